/**
 * Tests the logged reasons of lost connections and failed dials. Each reason is
 * the same on every runtime.
 *
 * @module
 */

import { assertEquals } from "../helpers/assert.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { TcpRelay } from "../helpers/tcp_relay.ts";
import { test } from "../helpers/time_limit.ts";
import { freePort, INITIALIZE_LINE, ProxyProcess } from "../helpers/process.ts";

/**
 * Returns the reason in the first log line that matches `start`, without the
 * text before and after it.
 */
async function reasonOf(proxy: ProxyProcess, start: RegExp): Promise<string> {
  const { text } = await proxy.stderr.waitForLine((line) => start.test(line));
  return text.replace(/^.*?ws:\S+?(?: failed)?: /, "")
    .replace(/\. (?:Reconnecting|Next attempt).*$/, "");
}

/** Returns the logged reason why a proxy cannot reach `url`. */
async function failureOf(url: string): Promise<string> {
  await using proxy = new ProxyProcess(["--url", url]);
  await proxy.write(INITIALIZE_LINE);
  return await reasonOf(proxy, /Attempt 1 /);
}

/** The last bytes that the proxy receives, and the logged reason. */
const LOSSES: readonly (readonly [Uint8Array, string])[] = [
  [new Uint8Array(), "the connection was closed without a close frame"],
  [
    closeFrame(1001),
    "the connection was closed with code 1001 (going away)",
  ],
  [
    closeFrame(4000, "a new version comes"),
    "the connection was closed with code 4000 (a new version comes)",
  ],
  [Uint8Array.of(0x88, 0), "the connection was closed without a close code"],
  [
    new Uint8Array(64).fill(0xff),
    "the daemon sent an invalid WebSocket frame",
  ],
];
for (const [last, reason] of LOSSES) {
  test(`Close reason: a connection is lost, ${reason}`, async () => {
    await using daemon = new FakeWebSocketServer();
    await using relay = new TcpRelay(daemon.port);
    const url = `ws://127.0.0.1:${relay.port}/`;
    // If the proxy wrote during the close, there would be a TCP reset.
    const quiet = ["--connections", "many", "--ping-interval", "off"];
    await using proxy = new ProxyProcess(["--url", url, ...quiet]);
    await proxy.initialize();
    await daemon.waitForMessages(2);
    await relay.writeAndClose(last);
    const found = await reasonOf(proxy, /Lost the WebSocket daemon/);
    assertEquals(found, reason);
  });
}

/** A server's response to a handshake, and the logged reason of the failure. */
const ANSWERS: readonly (readonly [string, string])[] = [
  ["", "it closed the connection during the handshake"],
  ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "it does not speak HTTP"],
  [
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "it answered the WebSocket handshake with HTTP 404",
  ],
];
for (const [answer, reason] of ANSWERS) {
  test(`Close reason: a dial fails, ${reason}`, async () => {
    using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    void serve(listener, answer);
    const { port } = listener.addr;
    const found = await failureOf(`ws://127.0.0.1:${port}/`);
    assertEquals(found, reason);
  });
}

/** Responds to every handshake with a text, and closes the connection. */
async function serve(
  listener: Deno.TcpListener,
  answer: string,
): Promise<void> {
  const buffer = new Uint8Array(4096);
  for await (const connection of listener) {
    // Closing a connection with unread data would send a TCP reset.
    await connection.read(buffer);
    await connection.write(new TextEncoder().encode(answer)).catch(() => 0);
    connection.close();
  }
}

test("Close reason: a port where nothing listens, and an unknown host name", async () => {
  const closed = await failureOf(`ws://127.0.0.1:${freePort()}/`);
  const nothing = "nothing listens there, or the host cannot be reached";
  assertEquals(closed, nothing);
  const unknown = await failureOf("ws://no-such-host.invalid/");
  assertEquals(unknown, "its host name cannot be resolved");
});

/** Returns a close frame of a server (RFC 6455 section 5.5.1). */
function closeFrame(code: number, reason = ""): Uint8Array {
  const words = new TextEncoder().encode(reason);
  return Uint8Array.of(
    ...[0x88, 2 + words.length],
    ...[code >> 8, code & 0xff],
    ...words,
  );
}
