/**
 * Why a `wss://` dial failed, determined by a TLS handshake of our own.
 *
 * @module
 */

import type { SocketErrorInfo } from "../../../lib/runtime/host.ts";
import { createTlsDiagnoser } from "../../../lib/transport/tls_diagnosis.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const EXPIRED: SocketErrorInfo = { message: "", errorCode: "CERT_HAS_EXPIRED" };

/**
 * The diagnosis if a TLS handshake ends like this, and how many handshakes two
 * requests for it made.
 */
async function found(
  answer: () => Promise<string | SocketErrorInfo>,
  proxy?: string,
): Promise<{ diagnosis: SocketErrorInfo | undefined; handshakeCount: number }> {
  let handshakeCount = 0;
  const find = createTlsDiagnoser({
    requestOverTls: () => {
      handshakeCount++;
      return answer();
    },
    proxyVariables: () => ["HTTPS_PROXY"],
    getEnv: (name) => name === "HTTPS_PROXY" ? proxy : undefined,
  });
  const diagnosis = await find("wss://h/", "mcp", []);
  assertEquals(await find("wss://h/", "mcp", []), diagnosis);
  return { diagnosis, handshakeCount };
}

const ANSWERS: [
  what: string,
  answer: () => Promise<string | SocketErrorInfo>,
  diagnosis: SocketErrorInfo | undefined,
][] = [
  ["an expired certificate", () => Promise.resolve(EXPIRED), EXPIRED],
  [
    "an HTTP status",
    () => Promise.resolve("HTTP/1.1 403 No\r\n\r\n"),
    { message: "", errorCode: "", status: 403 },
  ],
  [
    "a WebSocket, this time",
    () => Promise.resolve("HTTP/1.1 101 Yes\r\n\r\n"),
    { message: "", errorCode: "", hasTlsSucceeded: true },
  ],
  [
    "words that say nothing",
    () => Promise.resolve({ message: "odd", errorCode: "" }),
    undefined,
  ],
  ["an exception", () => Promise.reject(new Error("odd")), undefined],
];
for (const [what, answer, diagnosis] of ANSWERS) {
  test(`TLS diagnosis: finds ${what}, with one handshake in 5 s`, async () => {
    assertEquals(await found(answer), { diagnosis, handshakeCount: 1 });
  });
}

test("TLS diagnosis: does not go past a proxy", async () => {
  const { diagnosis, handshakeCount } = await found(
    () => Promise.resolve(EXPIRED),
    "p",
  );
  assertEquals([diagnosis, handshakeCount], [undefined, 0]);
});
