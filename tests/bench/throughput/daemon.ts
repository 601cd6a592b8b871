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

/** Frames above this are not decoded. Their id is looked for at both ends. */
const WHOLE_BYTES = 16 * 1024;
/** How much of both ends of a large message is searched. */
const END_BYTES = 400;
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT_FRAME = "\x81";
const OPCODE = { close: 8, ping: 9 };

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

/** What the answer depends on. */
interface Call {
  /** The id as JSON text. */
  readonly id: string | undefined;
  readonly method: string | undefined;
  readonly tool: string | undefined;
  readonly version: string | undefined;
}

/** Reads a message. Of a large one only both ends. */
function readCall(text: string): Call {
  if (text.length < WHOLE_BYTES) {
    const { id, method, params } = JSON.parse(text);
    return {
      id: id === undefined ? undefined : JSON.stringify(id),
      method,
      tool: params?.name,
      version: params?.protocolVersion,
    };
  }
  const ends = `${text.slice(0, END_BYTES)}\n${text.slice(-END_BYTES)}`;
  return {
    id: /"id":\s*(\d+|"[^"]*")/.exec(ends)?.[1],
    method: /"method":\s*"([^"]*)"/.exec(ends)?.[1],
    tool: /"name":\s*"([^"]*)"/.exec(ends)?.[1],
    version: undefined,
  };
}

/** Returns the answer to a message, or `undefined` if there is none. */
function answerTo(text: string): string | undefined {
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

/** Removes the mask of a part of a payload that begins at its byte `at`. */
function unmask(payload: Buffer, mask: Buffer, at: number): void {
  for (let i = 0; i < payload.length; i++) {
    payload[i]! ^= mask[(at + i) & 3]!;
  }
}

/** Returns the text of a payload. The middle of a large one stays masked. */
function payloadText(payload: Buffer, mask: Buffer): string {
  const { length } = payload;
  if (length < WHOLE_BYTES) {
    unmask(payload, mask, 0);
  } else {
    unmask(payload.subarray(0, END_BYTES), mask, 0);
    unmask(payload.subarray(length - END_BYTES), mask, length - END_BYTES);
  }
  return payload.toString("latin1");
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
    const output: string[] = [];
    let at = 0;
    for (;;) {
      const size = frameSize(bytes, at);
      this.#neededBytes = size.total;
      if (at + size.total > bytes.length) break;
      this.#handleFrame(bytes.subarray(at, at + size.total), size.head, output);
      at += size.total;
    }
    const rest = bytes.subarray(at);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#bufferedBytes = rest.length;
    if (output.length > 0) this.#socket.write(output.join(""), "latin1");
  }

  #handleFrame(frame: Buffer, head: number, output: string[]): void {
    const [isLast, opcode] = [(frame[0]! & 0x80) !== 0, frame[0]! & 15];
    const mask = frame.subarray(head - 4, head);
    const payload = frame.subarray(head);
    if (opcode === OPCODE.close) {
      this.#socket.end(Buffer.from([0x88, 0]));
    } else if (opcode === OPCODE.ping) {
      unmask(payload, mask, 0);
      const length = String.fromCharCode(payload.length);
      output.push(`\x8a${length}${payload.toString("latin1")}`);
    } else if (opcode <= 2) {
      this.#fragments.push(payloadText(payload, mask));
      if (!isLast) return;
      const answer = answerTo(this.#fragments.join(""));
      this.#fragments = [];
      if (answer !== undefined) output.push(toFrame(answer));
    }
  }
}

/** Returns the sizes of a frame and its head, as far as they are known. */
function frameSize(bytes: Buffer, at: number): { head: number; total: number } {
  const there = bytes.length - at;
  if (there < 2) return { head: 2, total: 2 };
  const short = bytes[at + 1]! & 127;
  if (short < 126) return { head: 6, total: 6 + short };
  if (short === 126) {
    const total = there < 4 ? 8 : 8 + bytes.readUInt16BE(at + 2);
    return { head: 8, total };
  }
  const total = there < 10 ? 14 : 14 + bytes.readUInt32BE(at + 6);
  return { head: 14, total };
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
