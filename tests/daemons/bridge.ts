/**
 * A minimal bridge, which `deno task recovery` compares with the proxy. It
 * sends lines of stdin to a WebSocket, and writes frames to stdout. It dials
 * again every second without end, queues lines while there is no connection,
 * and repeats the client's handshake on each new connection. It has no
 * timeouts, and does not track calls in flight.
 *
 *     deno run --allow-net tests/daemons/bridge.ts --url URL
 *
 * @module
 */

import { print } from "../helpers/print.ts";

const url = Deno.args[1]!;
const handshake: string[] = [];
let queuedLines: string[] = [];
let openSocket: WebSocket | undefined;
let attempt = 0;

function send(socket: WebSocket, line: string): void {
  const { method } = JSON.parse(line);
  if (method === "initialize") handshake.length = 0;
  if (/initialized?$/.test(method ?? "")) handshake.push(line);
  socket.send(line);
}

function dial(): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`Attempt ${++attempt} \n`));
  const socket = new WebSocket(url, ["mcp"]);
  let repeated: unknown;
  socket.onopen = () => {
    openSocket = socket;
    for (const line of handshake) socket.send(line);
    if (handshake.length > 0) repeated = JSON.parse(handshake[0]!).id;
    for (const line of queuedLines) send(socket, line);
    queuedLines = [];
  };
  socket.onmessage = ({ data }) => {
    if (!data.startsWith("{")) return;
    if (repeated === undefined) return print(data);
    if (JSON.parse(data).id === repeated) repeated = undefined;
  };
  socket.onclose = () => {
    openSocket = undefined;
    setTimeout(dial, 1_000);
  };
}

dial();
let rest = "";
for await (
  const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    if (openSocket === undefined) queuedLines.push(line);
    else send(openSocket, line);
  }
}
Deno.exit(0);
