/**
 * The text of a cache file.
 *
 * @module
 */

import { merged, NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import { fromText, isWritten, toText } from "../../../lib/cache/format.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { REMEMBERED } from "../../helpers/session/cold_start_driver.ts";

const OWNER = { daemon: "ws://daemon/", key: "k", dialect: "mcp", user: "u" };

test("Cache format: reads what it wrote, as it is spelled", () => {
  assertEquals(fromText(toText(OWNER, REMEMBERED), OWNER), REMEMBERED);
  assertEquals(fromText(toText(OWNER, NOTHING), OWNER), NOTHING);
});

const BROKEN: [what: string, text: string, why: string | Remembered][] = [
  ["no JSON", "{", "it is not JSON"],
  ["nothing", "", "it is not JSON"],
  ["something else", "[1]", "it is of another version"],
  ["another version", '{"alwaysup":2}', "it is of another version"],
  [
    "another daemon's",
    toText({ ...OWNER, daemon: "ws://b/" }, REMEMBERED),
    "it is another daemon's",
  ],
  [
    "another dialect's",
    toText({ ...OWNER, dialect: "exai" }, REMEMBERED),
    "it is another daemon's",
  ],
  ["huge", " ".repeat(9 * 1024 * 1024), "it is too large"],
  [
    "lists that are none",
    toText(OWNER, {
      ...NOTHING,
      lists: { "tools/list": '{"tools":1}', "x/list": "{}" },
    }),
    NOTHING,
  ],
  [
    "an initialize that is none",
    toText(OWNER, { ...NOTHING, initialize: { "1": "{}" } }),
    NOTHING,
  ],
];

for (const [what, text, why] of BROKEN) {
  test(`Cache format: refuses or reduces a bad text: ${what}`, () => {
    assertEquals(fromText(text, OWNER), why);
  });
}

test("Cache format: capacities of several proxies are merged, and each expires in its time", () => {
  const owner = { daemon: "d", key: "k", user: "u", dialect: "mcp" };
  const kept = merged({ ...NOTHING, one: { a: 5_000 } }, {
    ...NOTHING,
    one: { b: 9_000 },
  });
  const text = toText(owner, kept);
  assertEquals(fromText(text, owner, 1_000), {
    ...NOTHING,
    one: { a: 4_000, b: 8_000 },
  });
  assertEquals(fromText(text, owner, 6_000), { ...NOTHING, one: { b: 3_000 } });
  assertEquals(fromText(text, owner, 9_000), NOTHING);
  const bad = text.replace("5000", '"soon"');
  assertEquals(fromText(bad, owner), { ...NOTHING, one: { b: 9_000 } });
  const many = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [`${i}`, i]),
  );
  const { one } = merged({ ...NOTHING, one: many }, NOTHING);
  assertEquals(Object.keys(one!).length, 8);
});

test("Cache format: what a power cut leaves of a file counts as ours, other texts do not", () => {
  const texts = ["", "\0\0", '{"alwaysup":1}', '{"alwaysup":1,"x":2}'];
  for (const text of [...texts, toText(OWNER, REMEMBERED)]) {
    assertEquals(isWritten(text), true, text);
  }
  for (const text of ["{}", '{"alwaysup":10}', ' {"alwaysup":1}', "\0x"]) {
    assertEquals(isWritten(text), false, text);
  }
});

test("Cache format: server/discover is read with the rest of its time", () => {
  const discover = { asked: "2026-07-28", result: '{"a":1.0}', forMs: 500 };
  const text = toText(OWNER, { ...NOTHING, discover });
  assertEquals(fromText(text, OWNER, 100), {
    ...NOTHING,
    discover: { ...discover, forMs: 400 },
  });
  assertEquals(fromText(text, OWNER, 500), NOTHING);
});
