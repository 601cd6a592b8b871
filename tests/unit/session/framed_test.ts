/**
 * A client that sends messages with Content-Length headers.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const ask = (id: number, more = ""): string =>
  `{"jsonrpc":"2.0","id":${id},"method":"m","params":{"a":"${more}"}}`;

test("Content-Length: a client that uses it is logged once, and each of its requests gets one error", () => {
  const scene = new Scene();
  scene.start();
  scene.take();
  scene.do({ type: "framed" });
  const bodies = [
    ask(5),
    '{"jsonrpc":"2.0","id":"a","method":"m"}',
    `[${ask(6)},{"jsonrpc":"2.0","method":"n"},${ask(7)}]`,
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    '{"jsonrpc":"2.0","id":8,"result":{}}',
    '{"jsonrpc":"2.0","id":9,"method":"cut","params":{"a":"',
    "not JSON",
    "",
  ];
  for (const text of bodies) scene.do({ type: "framed", text });
  const effects: Json[] = scene.take();
  const kinds = effects.map(({ type, event }) => event ?? type);
  assertEquals(kinds, [
    "framed-input",
    ..."reply ".repeat(5).trim().split(" "),
  ]);
  const replies = effects.slice(1).map(({ text }) => JSON.parse(text));
  assertEquals(replies.map(({ id }) => id), [5, "a", 6, 7, 9]);
  for (const { error } of replies) {
    assertEquals(error.code, -32600);
    assertEquals(/Content-Length.*one line.*: set /.test(error.message), true);
  }
});

test("Content-Length: a framed request does not answer an open one of the same id", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(5, "tools/list");
  scene.take();
  scene.do({ type: "framed", text: ask(5) });
  assertEquals(scene.take(), []);
});
