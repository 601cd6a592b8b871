// A bare bridge on the package ws, for comparisons. It parses nothing, and
// guarantees nothing. It writes all frames of one turn of the event loop
// together.
import { writeSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../npm/bench/", import.meta.url));
const { WebSocket } = require("ws");
const socket = new WebSocket(process.argv[2], ["mcp"], {
  maxPayload: 0,
  perMessageDeflate: false,
});
let frames = [];
const flush = () => {
  const bytes = Buffer.from(`${frames.join("\n")}\n`);
  frames = [];
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
};
socket.on("message", (data) => {
  if (frames.length === 0) setImmediate(flush);
  frames.push(data.toString());
});
socket.on("close", () => process.exit(1));
let parts = [];
socket.on("open", () => {
  process.stdin.setEncoding("utf8").on("data", (chunk) => {
    const lines = chunk.split("\n");
    parts.push(lines[0]);
    if (lines.length === 1) return;
    lines[0] = parts.join("");
    parts = [lines.pop()];
    // All frames of a chunk go out in one write.
    socket._socket.cork();
    for (const line of lines) socket.send(line);
    socket._socket.uncork();
  }).on("end", () => process.exit(0));
});
