/**
 * A bare forwarder between a client and a daemon, for comparisons. It forwards
 * lines and frames, and guarantees nothing. A frame that comes alone is written
 * at once, on this thread. Frames that follow closely are written together by
 * another thread. Of the ways that were tried, this one is the fastest for
 * both.
 */
/** A frame is alone if no other came in this time before it. */
const ALONE_MS = 0.06;
/** A pipe takes this much without waiting if it is empty. */
const MAX_ALONE = 4_000;
const socket = new WebSocket(Deno.args[1]!, ["mcp"]);
const opened = new Promise((resolve) => socket.onopen = resolve);
const encoder = new TextEncoder();
let frames: string[] = [];
let writing: Promise<void> | undefined;
let lastFrameAt = 0;
async function write(): Promise<void> {
  await Promise.resolve();
  while (frames.length > 0) {
    const bytes = encoder.encode(`${frames.join("\n")}\n`);
    frames = [];
    for (let at = 0; at < bytes.length;) {
      at += await Deno.stdout.write(bytes.subarray(at));
    }
  }
  writing = undefined;
}
socket.onmessage = ({ data }) => {
  const now = performance.now();
  const isAlone = writing === undefined && now - lastFrameAt > ALONE_MS;
  lastFrameAt = now;
  if (isAlone && data.length < MAX_ALONE) {
    const bytes = encoder.encode(`${data}\n`);
    for (let at = 0; at < bytes.length;) {
      at += Deno.stdout.writeSync(bytes.subarray(at));
    }
  } else {
    frames.push(data);
    writing ??= write();
  }
};
await opened;
const decoder = new TextDecoder();
const buffer = new Uint8Array(65_536);
let parts: string[] = [];
for (;;) {
  const size = await Deno.stdin.read(buffer);
  if (size === null) break;
  const chunk = decoder.decode(buffer.subarray(0, size), { stream: true });
  const lines = chunk.split("\n");
  parts.push(lines[0]!);
  if (lines.length === 1) continue;
  lines[0] = parts.join("");
  parts = [lines.pop()!];
  for (const line of lines) socket.send(line);
}
await writing;
Deno.exit(0);
