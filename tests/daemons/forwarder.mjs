// The forwarder for Node. It writes all frames of one turn of the event loop
// together, and synchronously, as Node itself writes to pipes.
import { writeSync } from "node:fs";

const socket = new WebSocket(process.argv[2], ["mcp"]);
let frames = [];
const flush = () => {
  const bytes = Buffer.from(`${frames.join("\n")}\n`);
  frames = [];
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
};
socket.onmessage = ({ data }) => {
  if (frames.length === 0) setImmediate(flush);
  frames.push(data);
};
await new Promise((resolve) => socket.onopen = resolve);
let parts = [];
process.stdin.setEncoding("utf8").on("data", (chunk) => {
  const lines = chunk.split("\n");
  parts.push(lines[0]);
  if (lines.length === 1) return;
  lines[0] = parts.join("");
  parts = [lines.pop()];
  for (const line of lines) socket.send(line);
}).on("end", () => process.exit(0));
