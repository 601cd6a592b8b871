/**
 * A bare forwarder between a client and a daemon, for comparisons. It forwards
 * lines and frames, and guarantees nothing. It writes all frames of one turn of
 * the event loop together.
 */
const socket = new WebSocket(Deno.args[1]!, ["mcp"]);
const opened = new Promise((resolve) => socket.onopen = resolve);
const encoder = new TextEncoder();
let frames: string[] = [];
let writing: Promise<void> | undefined;
async function write(): Promise<void> {
  await Promise.resolve();
  while (frames.length > 0) {
    const bytes = encoder.encode(frames.join("\n") + "\n");
    frames = [];
    for (let at = 0; at < bytes.length;) {
      at += await Deno.stdout.write(bytes.subarray(at));
    }
  }
  writing = undefined;
}
socket.onmessage = ({ data }) => {
  frames.push(data);
  writing ??= write();
};
let rest = "";
for await (
  const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop()!;
  await opened;
  for (const line of lines) socket.send(line);
}
await writing;
Deno.exit(0);
