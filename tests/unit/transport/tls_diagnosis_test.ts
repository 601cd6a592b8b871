/**
 * Why a `wss://` dial failed, found out by a TLS handshake of our own.
 *
 * @module
 */

import type { Trouble } from "../../../lib/runtime/host.ts";
import { faultFinder } from "../../../lib/transport/tls_diagnosis.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const EXPIRED: Trouble = { text: "", error: "CERT_HAS_EXPIRED" };

/** What is found out where a TLS handshake ends like this, and how many were made for two questions. */
async function found(
  answer: () => Promise<string | Trouble>,
  proxy?: string,
): Promise<{ trouble: Trouble | undefined; asked: number }> {
  let asked = 0;
  const find = faultFinder({
    askOverTls: () => {
      asked++;
      return answer();
    },
    proxies: () => ["HTTPS_PROXY"],
    variable: (name) => name === "HTTPS_PROXY" ? proxy : undefined,
  });
  const trouble = await find("wss://h/", "mcp", []);
  assertEquals(await find("wss://h/", "mcp", []), trouble);
  return { trouble, asked };
}

const ANSWERS: [
  what: string,
  answer: () => Promise<string | Trouble>,
  trouble: Trouble | undefined,
][] = [
  ["an expired certificate", () => Promise.resolve(EXPIRED), EXPIRED],
  [
    "an HTTP status",
    () => Promise.resolve("HTTP/1.1 403 No\r\n\r\n"),
    { text: "status code: 403", error: "" },
  ],
  [
    "a WebSocket, this time",
    () => Promise.resolve("HTTP/1.1 101 Yes\r\n\r\n"),
    { text: "the TLS handshake succeeded", error: "" },
  ],
  [
    "words that say nothing",
    () => Promise.resolve({ text: "odd", error: "" }),
    undefined,
  ],
  ["an exception", () => Promise.reject(new Error("odd")), undefined],
];
for (const [what, answer, trouble] of ANSWERS) {
  test(`TLS diagnosis: finds ${what}, and asks once in 5 s`, async () => {
    assertEquals(await found(answer), { trouble, asked: 1 });
  });
}

test("TLS diagnosis: does not go past a proxy", async () => {
  const { trouble, asked } = await found(() => Promise.resolve(EXPIRED), "p");
  assertEquals([trouble, asked], [undefined, 0]);
});
