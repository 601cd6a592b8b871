/**
 * Why a connection was lost or could not be made: the log has the same words,
 * whatever runtime runs the program.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { TcpRelay } from "../helpers/tcp_relay.ts";
import { test } from "../helpers/time_limit.ts";
import {
  freePort,
  HELLO,
  ProxyProcess,
  runsOnNode,
} from "../helpers/process.ts";

/**
 * The reason in the first line of a proxy's log that begins with this text and
 * the URL.
 */
async function reasonOf(proxy: ProxyProcess, start: RegExp): Promise<string> {
  const { text } = await proxy.stderr.waitForLine((line) => start.test(line));
  return text.replace(/^.*?ws:\S+?(?: failed)?: /, "")
    .replace(/\. (?:Reconnecting|Next attempt).*$/, "");
}

/** Why a proxy could not reach a URL. */
async function failureOf(url: string): Promise<string> {
  await using proxy = new ProxyProcess(["--url", url]);
  await proxy.write(HELLO);
  return await reasonOf(proxy, /Attempt 1 /);
}

/** The last bytes on a connection, and why it was lost. */
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
    "the daemon sent bytes that are no valid WebSocket frame",
  ],
];
for (const [last, reason] of LOSSES) {
  test(`Close reason: a connection is lost, ${reason}`, async () => {
    await using daemon = new FakeWebSocketServer();
    await using relay = new TcpRelay(daemon.port);
    const url = `ws://127.0.0.1:${relay.port}/`;
    // If the proxy wrote meanwhile, the end would become a reset.
    const quiet = ["--connections", "many", "--ping-interval", "off"];
    await using proxy = new ProxyProcess(["--url", url, ...quiet]);
    await proxy.initialize();
    await daemon.waitForMessages(2);
    await relay.writeAndClose(last);
    const found = await reasonOf(proxy, /Lost the WebSocket daemon/);
    const possible = [reason];
    // Some versions of Node do not distinguish invalid frames from an end.
    if (/no valid/.test(reason) && await runsOnNode()) {
      possible.push(LOSSES[0]![1]);
    }
    assert(possible.includes(found), found);
  });
}

/** How a server responds to a handshake, and why the dial failed. */
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

/** Responds to every handshake with a text, and closes. */
async function serve(
  listener: Deno.TcpListener,
  answer: string,
): Promise<void> {
  const buffer = new Uint8Array(4096);
  for await (const connection of listener) {
    // A connection that is closed with unread data would be reset.
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
  assertEquals(unknown, "its host name is not known");
});

/** A close frame of a server's. */
function closeFrame(code: number, reason = ""): Uint8Array {
  const words = new TextEncoder().encode(reason);
  return Uint8Array.of(
    ...[0x88, 2 + words.length],
    ...[code >> 8, code & 0xff],
    ...words,
  );
}
