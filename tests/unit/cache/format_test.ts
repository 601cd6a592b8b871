/**
 * The text of a cache file.
 *
 * @module
 */

import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
  mergeCachedResults,
} from "../../../lib/cache/cache.ts";
import { parseCache, serializeCache } from "../../../lib/cache/format.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { CACHED_RESULTS } from "../../helpers/session/cold_start_driver.ts";

const OWNER = { daemon: "ws://daemon/", key: "k", dialect: "mcp", user: "u" };

test("Cache format: reads what it wrote, as it is spelled", () => {
  assertEquals(
    parseCache(serializeCache(OWNER, CACHED_RESULTS), OWNER),
    CACHED_RESULTS,
  );
  assertEquals(
    parseCache(serializeCache(OWNER, EMPTY_CACHED_RESULTS), OWNER),
    EMPTY_CACHED_RESULTS,
  );
});

const BROKEN: [what: string, text: string, why: string | CachedResults][] = [
  ["no JSON", "{", "it is not JSON"],
  ["nothing", "", EMPTY_CACHED_RESULTS],
  ["zeros", "\0\0", EMPTY_CACHED_RESULTS],
  ["something else", "[1]", "it is of another version"],
  ["another version", '{"alwaysup":3}', "it is of another version"],
  [
    "an older version",
    JSON.stringify({
      alwaysup: 1,
      ...OWNER,
      initialize: { "1": {} },
      lists: {},
    }),
    EMPTY_CACHED_RESULTS,
  ],
  [
    "an older version of another daemon's",
    JSON.stringify({ alwaysup: 1, ...OWNER, daemon: "ws://b/" }),
    "it is another daemon's",
  ],
  [
    "a status file",
    JSON.stringify({ alwaysup: 1, pid: 7 }),
    "it is another daemon's",
  ],
  [
    "another daemon's",
    serializeCache({ ...OWNER, daemon: "ws://b/" }, CACHED_RESULTS),
    "it is another daemon's",
  ],
  [
    "another dialect's",
    serializeCache({ ...OWNER, dialect: "exai" }, CACHED_RESULTS),
    "it is another daemon's",
  ],
  ["huge", " ".repeat(9 * 1024 * 1024), "it is too large"],
  [
    "lists that are none",
    serializeCache(OWNER, {
      ...EMPTY_CACHED_RESULTS,
      lists: { "tools/list": '{"tools":1}', "x/list": "{}" },
    }),
    EMPTY_CACHED_RESULTS,
  ],
  [
    "an initialize that is none",
    serializeCache(OWNER, {
      ...EMPTY_CACHED_RESULTS,
      initialize: { "1": "{}" },
    }),
    EMPTY_CACHED_RESULTS,
  ],
];

for (const [what, text, why] of BROKEN) {
  test(`Cache format: refuses or reduces a bad text: ${what}`, () => {
    assertEquals(parseCache(text, OWNER), why);
  });
}

test("Cache format: capacities of several proxies are merged, and each expires in its time", () => {
  const owner = { daemon: "d", key: "k", user: "u", dialect: "mcp" };
  const kept = mergeCachedResults({
    ...EMPTY_CACHED_RESULTS,
    one: { a: 5_000 },
  }, {
    ...EMPTY_CACHED_RESULTS,
    one: { b: 9_000 },
  });
  const text = serializeCache(owner, kept);
  assertEquals(parseCache(text, owner, 1_000), {
    ...EMPTY_CACHED_RESULTS,
    one: { a: 4_000, b: 8_000 },
  });
  assertEquals(parseCache(text, owner, 6_000), {
    ...EMPTY_CACHED_RESULTS,
    one: { b: 3_000 },
  });
  assertEquals(parseCache(text, owner, 9_000), EMPTY_CACHED_RESULTS);
  const bad = text.replace("5000", '"soon"');
  assertEquals(parseCache(bad, owner), {
    ...EMPTY_CACHED_RESULTS,
    one: { b: 9_000 },
  });
  const many = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [`${i}`, i]),
  );
  const { one } = mergeCachedResults(
    { ...EMPTY_CACHED_RESULTS, one: many },
    EMPTY_CACHED_RESULTS,
  );
  assertEquals(Object.keys(one!).length, 8);
});

test("Cache format: server/discover is read with the rest of its time", () => {
  const discover = { asked: "2026-07-28", result: '{"a":1.0}', forMs: 500 };
  const text = serializeCache(OWNER, { ...EMPTY_CACHED_RESULTS, discover });
  assertEquals(parseCache(text, OWNER, 100), {
    ...EMPTY_CACHED_RESULTS,
    discover: { ...discover, forMs: 400 },
  });
  assertEquals(parseCache(text, OWNER, 500), EMPTY_CACHED_RESULTS);
});
