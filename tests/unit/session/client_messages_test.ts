/**
 * Tests a client that sends messages with Content-Length headers.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

const requestText = (id: number, more = ""): string =>
  `{"jsonrpc":"2.0","id":${id},"method":"m","params":{"a":"${more}"}}`;

test("Content-Length: a client that uses it is logged once, and each of its requests gets one error", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.takeEffects();
  driver.handle({ type: "content-length" });
  const bodies = [
    requestText(5),
    '{"jsonrpc":"2.0","id":"a","method":"m"}',
    `[${requestText(6)},{"jsonrpc":"2.0","method":"n"},${requestText(7)}]`,
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    '{"jsonrpc":"2.0","id":8,"result":{}}',
    '{"jsonrpc":"2.0","id":9,"method":"cut","params":{"a":"',
    "not JSON",
    "",
  ];
  for (const text of bodies) driver.handle({ type: "content-length", text });
  const effects: Json[] = driver.takeEffects();
  const kinds = effects.map(({ type, event }) => event ?? type);
  assertEquals(kinds, [
    "framed-input",
    ..."send-to-client ".repeat(5).trim().split(" "),
  ]);
  const replies = effects.slice(1).map(({ text }) => JSON.parse(text));
  assertEquals(replies.map(({ id }) => id), [5, "a", 6, 7, 9]);
  for (const { error } of replies) {
    assertEquals(error.code, -32600);
    assertEquals(/Content-Length.*one line.*: set /.test(error.message), true);
  }
});

test("Content-Length: a framed request gets no error while a request with the same id is pending", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(5, "tools/list");
  driver.takeEffects();
  driver.handle({ type: "content-length", text: requestText(5) });
  assertEquals(driver.takeEffects(), []);
});
