// The forwarder for Node and Bun.
const socket = new WebSocket(process.argv[2], ["mcp"]);
const opened = new Promise((resolve) => socket.onopen = resolve);
socket.onmessage = ({ data }) => process.stdout.write(`${data}\n`);
let rest = "";
for await (const chunk of process.stdin.setEncoding("utf8")) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  await opened;
  for (const line of lines) socket.send(line);
}
process.exit(0);
