/**
 * The daemon of the benchmark: MCP over a WebSocket and over Streamable HTTP on
 * one port, with the same answers. It must cost as little as possible, so that
 * it does not limit the programs: answers are made in advance, and all answers
 * to one chunk of input go out in one write. It runs under Node without any
 * package. It ends when its stdin ends.
 *
 *     node daemon.ts PORT
 *
 * With port 0, a free one is used. When it listens, it prints a line: the port,
 * and the time in milliseconds since 1970.
 *
 * The tools:
 *
 * - `search` answers with a few bytes
 * - `report` answers with 100 kB of structured content
 * - `echo` answers with a text as long as the call
 * - `hold` is never answered
 *
 * @module
 */

import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import process from "node:process";

/** Of longer messages, only both ends are decoded. */
const WHOLE_BYTES = 16 * 1024;
/** How much of both ends of a large message is searched. */
const END_BYTES = 400;
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT_FRAME = "\x81";
const OPCODE = { close: 8, ping: 9, pong: 10 };

const TOOLS = JSON.stringify(
  ["search", "report", "echo", "hold"].map((name) => ({
    name,
    description: `The tool ${name} of the benchmark`,
    inputSchema: { type: "object" },
    annotations: { readOnlyHint: true },
  })),
);
const REPORT = JSON.stringify({
  content: [],
  structuredContent: {
    records: Array.from({ length: 880 }, (_, i) => ({
      path: `src/module-${i}/index.ts`,
      line: i * 7,
      isExported: i % 3 === 0,
      tags: ["a", `b${i}`, null],
      score: i / 7,
    })),
  },
});
const SMALL = `{"content":[{"type":"text","text":"ok"}]}`;
const echoes = new Map<number, string>();

/** Returns the result of `echo` for a call of this many bytes. */
function echoResult(bytes: number): string {
  let result = echoes.get(bytes);
  if (result === undefined) {
    const text = "x".repeat(Math.max(0, bytes - 100));
    result = `{"content":[{"type":"text","text":"${text}"}]}`;
    // Programs may write the same call with a few bytes more or less.
    if (echoes.size > 50) echoes.clear();
    echoes.set(bytes, result);
  }
  return result;
}

/**
 * What the answer depends on. It is found without a parser: the benchmark's
 * messages have these names in one place only, and no program adds spaces.
 */
interface Call {
  /** The id as JSON text. */
  readonly id: string | undefined;
  readonly method: string | undefined;
  readonly tool: string | undefined;
  readonly version: string | undefined;
}

/** Reads a message. Of a large one only both ends. */
function readCall(text: string): Call {
  const ends = text.length < WHOLE_BYTES
    ? text
    : `${text.slice(0, END_BYTES)}\n${text.slice(-END_BYTES)}`;
  return {
    id: /"id":(\d+|"[^"]*")/.exec(ends)?.[1],
    method: /"method":"([^"]*)"/.exec(ends)?.[1],
    tool: /"name":"([^"]*)"/.exec(ends)?.[1],
    version: /"protocolVersion":"([^"]*)"/.exec(ends)?.[1],
  };
}

const SEARCH = `"params":{"name":"search"`;

/** Returns the answer to a message, or `undefined` if there is none. */
function answerTo(text: string): string | undefined {
  if (text.length < 200 && text.includes(SEARCH)) {
    // Most messages are these, so they are read faster.
    const id = /"id":(\d+|"[^"]*")/.exec(text)?.[1];
    return `{"jsonrpc":"2.0","id":${id},"result":${SMALL}}`;
  }
  const { id, method, tool, version } = readCall(text);
  if (id === undefined || method === undefined) return undefined;
  const start = `{"jsonrpc":"2.0","id":${id},`;
  switch (method) {
    case "tools/call":
      if (tool === "search") return `${start}"result":${SMALL}}`;
      if (tool === "report") return `${start}"result":${REPORT}}`;
      if (tool === "echo") {
        return `${start}"result":${echoResult(text.length)}}`;
      }
      if (tool === "hold") return undefined;
      return `${start}"error":{"code":-32602,"message":"Unknown tool"}}`;
    case "ping":
      return `${start}"result":{}}`;
    case "tools/list":
      return `${start}"result":{"tools":${TOOLS}}}`;
    case "initialize":
      return `${start}"result":{"protocolVersion":"${version}",` +
        `"capabilities":{"tools":{"listChanged":true}},` +
        `"serverInfo":{"name":"bench","version":"1"}}}`;
    default:
      return `${start}"error":{"code":-32601,"message":"Unknown method"}}`;
  }
}

/** Returns a text as a frame, in a string with one byte per character. */
function toFrame(text: string): string {
  const bytes = text.length;
  const code = String.fromCharCode;
  if (bytes < 126) return TEXT_FRAME + code(bytes) + text;
  if (bytes < 65_536) {
    return TEXT_FRAME + code(126, bytes >> 8, bytes & 255) + text;
  }
  const length = [24, 16, 8, 0].map((shift) => (bytes >>> shift) & 255);
  return TEXT_FRAME + code(127, 0, 0, 0, 0, ...length) + text;
}

/** A frame in a buffer: where it, its mask and its payload begin, and its end. */
interface Frame {
  readonly start: number;
  readonly mask: number;
  readonly payload: number;
  readonly end: number;
}

/** Returns the frame at a position, or how many bytes it needs at least. */
function frameAt(bytes: Buffer, start: number): Frame | number {
  const there = bytes.length - start;
  if (there < 2) return 2;
  let [length, mask] = [bytes[start + 1]! & 127, start + 2];
  if (length === 126) {
    if (there < 4) return 4;
    length = bytes.readUInt16BE(start + 2);
    mask = start + 4;
  } else if (length === 127) {
    if (there < 10) return 10;
    // The upper half of the length is always zero here.
    length = bytes.readUInt32BE(start + 6);
    mask = start + 10;
  }
  const payload = mask + 4;
  const end = payload + length;
  return end <= bytes.length ? { start, mask, payload, end } : end - start;
}

/** Removes the mask from a part of a payload. */
function unmask(
  bytes: Buffer,
  { mask, payload }: Frame,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i++) {
    bytes[i]! ^= bytes[mask + ((i - payload) & 3)]!;
  }
}

/** Returns the text of a payload. The middle of a large one stays masked. */
function payloadText(bytes: Buffer, frame: Frame): string {
  const { payload, end } = frame;
  if (end - payload < WHOLE_BYTES) {
    unmask(bytes, frame, payload, end);
  } else {
    unmask(bytes, frame, payload, payload + END_BYTES);
    unmask(bytes, frame, end - END_BYTES, end);
  }
  return bytes.toString("latin1", payload, end);
}

/** Speaks WebSocket on an upgraded connection. */
class Peer {
  readonly #socket: Socket;
  #parts: Buffer[] = [];
  #bufferedBytes = 0;
  /** How many bytes the next frame needs at least. */
  #neededBytes = 2;
  /** The payloads of a message that came in several frames. */
  #fragments: string[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  push(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#bufferedBytes += chunk.length;
    if (this.#bufferedBytes < this.#neededBytes) return;
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    let output = "";
    let at = 0;
    for (;;) {
      const frame = frameAt(bytes, at);
      if (typeof frame === "number") {
        this.#neededBytes = frame;
        break;
      }
      output += this.#handleFrame(bytes, frame);
      at = frame.end;
    }
    const rest = bytes.subarray(at);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#bufferedBytes = rest.length;
    if (output !== "") this.#socket.write(output, "latin1");
  }

  /** Returns the frame that answers a frame, or an empty text. */
  #handleFrame(bytes: Buffer, frame: Frame): string {
    const first = bytes[frame.start]!;
    const [isLast, opcode] = [(first & 0x80) !== 0, first & 15];
    if (opcode === OPCODE.close) {
      this.#socket.end(Buffer.from([0x88, 0]));
      return "";
    }
    const text = payloadText(bytes, frame);
    if (opcode === OPCODE.ping) {
      return `\x8a${String.fromCharCode(text.length)}${text}`;
    }
    if (opcode === OPCODE.pong) return "";
    this.#fragments.push(text);
    if (!isLast) return "";
    const message = this.#fragments.join("");
    this.#fragments = [];
    const answer = answerTo(message);
    return answer === undefined ? "" : toFrame(answer);
  }
}

/** The session of Streamable HTTP. After a restart, the old one is unknown. */
const session: string = randomUUID();

const server = createServer((request, response) => {
  if (request.method !== "POST") {
    // There is no stream of messages from the server.
    response.writeHead(request.method === "DELETE" ? 200 : 405).end();
    return;
  }
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    const body = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    const text = body.toString("latin1");
    const isInitialize = text.length < WHOLE_BYTES &&
      text.includes(`"initialize"`);
    if (!isInitialize && request.headers["mcp-session-id"] !== session) {
      const message = `{"jsonrpc":"2.0","id":null,` +
        `"error":{"code":-32001,"message":"Session not found"}}`;
      response.writeHead(404, { "Content-Type": "application/json" });
      response.end(message);
      return;
    }
    const answer = answerTo(text);
    if (answer === undefined) {
      // A held call keeps its response open.
      if (!text.includes(`"hold"`)) response.writeHead(202).end();
      return;
    }
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Content-Length": answer.length,
      ...(isInitialize && { "Mcp-Session-Id": session }),
    });
    response.end(answer, "latin1");
  });
});

server.on("upgrade", (request: IncomingMessage, socket: Socket, head) => {
  const key = request.headers["sec-websocket-key"];
  const accept = createHash("sha1").update(`${key}${WEBSOCKET_GUID}`)
    .digest("base64");
  const protocol = request.headers["sec-websocket-protocol"];
  socket.write([
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    ...(protocol === undefined ? [] : ["Sec-WebSocket-Protocol: mcp"]),
    "\r\n",
  ].join("\r\n"));
  socket.setNoDelay(true);
  const peer = new Peer(socket);
  if (head.length > 0) peer.push(head);
  socket.on("data", (chunk: Buffer) => peer.push(chunk));
  socket.on("error", () => socket.destroy());
});
server.requestTimeout = 0;
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  process.stdout.write(`${port} ${Date.now()}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
