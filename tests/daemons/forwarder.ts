/**
 * The minimum between a client and a daemon: it forwards bytes both ways, and
 * guarantees nothing.
 */
const socket = new WebSocket(Deno.args[1]!, ["mcp"]);
const opened = new Promise((resolve) => socket.onopen = resolve);
const encoder = new TextEncoder();
let writing: Promise<unknown> = Promise.resolve();
socket.onmessage = ({ data }) => {
  writing = writing.then(async () => {
    const bytes = encoder.encode(`${data}\n`);
    for (let at = 0; at < bytes.length;) {
      at += await Deno.stdout.write(bytes.subarray(at));
    }
  });
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
Deno.exit(0);
