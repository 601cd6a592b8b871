// The forwarder for Bun. It writes all frames of one turn of the event loop
// together, through Bun's own streams.
const socket = new WebSocket(process.argv[2], ["mcp"]);
const stdout = Bun.stdout.writer();
let frames = [];
const flush = () => {
  stdout.write(`${frames.join("\n")}\n`);
  frames = [];
  stdout.flush();
};
socket.onmessage = ({ data }) => {
  if (frames.length === 0) setImmediate(flush);
  frames.push(data);
};
await new Promise((resolve) => socket.onopen = resolve);
const decoder = new TextDecoder();
let parts = [];
for await (const chunk of Bun.stdin.stream()) {
  const lines = decoder.decode(chunk, { stream: true }).split("\n");
  parts.push(lines[0]);
  if (lines.length === 1) continue;
  lines[0] = parts.join("");
  parts = [lines.pop()];
  for (const line of lines) socket.send(line);
}
process.exit(0);
