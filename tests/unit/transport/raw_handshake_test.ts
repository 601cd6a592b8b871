/**
 * The request for a WebSocket as text, and how the response is parsed.
 *
 * @module
 */

import {
  buildHandshakeRequest,
  parseHandshakeResponse,
  requestOverTlsWithin,
} from "../../../lib/transport/raw_handshake.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Raw handshake: the request has all that RFC 6455 wants, and the user's headers", () => {
  const url = new URL("ws://u:p@h:81/a b?c=d#e");
  const text = buildHandshakeRequest(url, "mcp", [["X-A", "1"]]);
  const [first, ...lines] = text.split("\r\n");
  assertEquals(first, "GET /a%20b?c=d HTTP/1.1");
  assertEquals(lines.filter((line) => !line.startsWith("Sec-WebSocket-Key")), [
    ...["Host: h:81", "Connection: Upgrade", "Upgrade: websocket"],
    ...["Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: mcp"],
    ...["X-A: 1", "", ""],
  ]);
  const key = /Sec-WebSocket-Key: (.*)\r/.exec(text)![1]!;
  assertEquals(atob(key).length, 16);
  const bare = buildHandshakeRequest(url, undefined, []);
  assertEquals(/Protocol|X-A/.test(bare), false);
  assertEquals(bare.includes(key), false, "each request has its own key");
});

const ANSWERS: [what: string, text: string, found: unknown][] = [
  ["nothing", "", {
    kind: "failed",
    reason: "it closed the connection without a word",
  }],
  ["no HTTP", "220 ready\r\n\r\n", { kind: "not-http" }],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", { kind: "not-http" }],
  [
    "a status with headers",
    "HTTP/1.1 401 No\r\nWWW-Authenticate:  a: b \r\nX:\r\n\r\nbody: c",
    {
      kind: "response",
      status: 401,
      headers: new Map([["www-authenticate", "a: b"], ["x", ""]]),
    },
  ],
  ["a status alone", "HTTP/1.0 400", {
    kind: "response",
    status: 400,
    headers: new Map(),
  }],
];
for (const [what, text, found] of ANSWERS) {
  test(`Raw handshake: reads ${what}`, () => {
    assertEquals<unknown>(parseHandshakeResponse(text), found);
  });
}

test("Raw handshake: over TLS the time limit ends the request", async () => {
  let signal: AbortSignal | undefined;
  const target = { hostname: "h", port: 1, payload: "" };
  const silent = {
    requestOverTls: (request: { readonly signal: AbortSignal }) => {
      signal = request.signal;
      return new Promise<never>(() => {});
    },
  };
  assertEquals(await requestOverTlsWithin(target, 1, silent), undefined);
  assertEquals(signal?.aborted, true);
  const answers = { requestOverTls: () => Promise.resolve("HTTP/1.1 101") };
  assertMatch(`${await requestOverTlsWithin(target, 1e9, answers)}`, /101/);
});
