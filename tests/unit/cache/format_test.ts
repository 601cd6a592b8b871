/**
 * Tests how cached results are written to the text of a cache file, and read
 * from it.
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

test("Cache format: reads back the exact text of each result", () => {
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
  [
    "something else",
    "[1]",
    "this version of alwaysup does not know its format",
  ],
  [
    "another version",
    '{"alwaysup":3}',
    "this version of alwaysup does not know its format",
  ],
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
    "another daemon's file of an older version",
    JSON.stringify({ alwaysup: 1, ...OWNER, daemon: "ws://b/" }),
    "it belongs to another daemon or dialect",
  ],
  [
    "a status file",
    JSON.stringify({ alwaysup: 1, pid: 7 }),
    "it belongs to another daemon or dialect",
  ],
  [
    "another daemon's",
    serializeCache({ ...OWNER, daemon: "ws://b/" }, CACHED_RESULTS),
    "it belongs to another daemon or dialect",
  ],
  [
    "another dialect's",
    serializeCache({ ...OWNER, dialect: "exai" }, CACHED_RESULTS),
    "it belongs to another daemon or dialect",
  ],
  ["huge", " ".repeat(9 * 1024 * 1024), "it is too large"],
  [
    "lists that are invalid",
    serializeCache(OWNER, {
      ...EMPTY_CACHED_RESULTS,
      lists: { "tools/list": '{"tools":1}', "x/list": "{}" },
    }),
    EMPTY_CACHED_RESULTS,
  ],
  [
    "an initialize result that is invalid",
    serializeCache(OWNER, {
      ...EMPTY_CACHED_RESULTS,
      initialize: { "1": "{}" },
    }),
    EMPTY_CACHED_RESULTS,
  ],
];

for (const [what, text, why] of BROKEN) {
  test(`Cache format: an invalid file is refused or read as empty: ${what}`, () => {
    assertEquals(parseCache(text, OWNER), why);
  });
}

test("Cache format: the capacities that several proxies found are merged, and each expires after its own time", () => {
  const owner = { daemon: "d", key: "k", user: "u", dialect: "mcp" };
  const kept = mergeCachedResults({
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { a: 5_000 },
  }, {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { b: 9_000 },
  });
  const text = serializeCache(owner, kept);
  assertEquals(parseCache(text, owner, 1_000), {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { a: 4_000, b: 8_000 },
  });
  assertEquals(parseCache(text, owner, 6_000), {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { b: 3_000 },
  });
  assertEquals(parseCache(text, owner, 9_000), EMPTY_CACHED_RESULTS);
  const bad = text.replace("5000", '"soon"');
  assertEquals(parseCache(bad, owner), {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { b: 9_000 },
  });
  const many = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [`${i}`, i]),
  );
  const { oneConnectionDaemons: one } = mergeCachedResults(
    { ...EMPTY_CACHED_RESULTS, oneConnectionDaemons: many },
    EMPTY_CACHED_RESULTS,
  );
  assertEquals(Object.keys(one!).length, 8);
});

test("Cache format: a server/discover result is read with its remaining time", () => {
  const discover = {
    requestedVersion: "2026-07-28",
    result: '{"a":1.0}',
    remainingMs: 500,
  };
  const text = serializeCache(OWNER, { ...EMPTY_CACHED_RESULTS, discover });
  assertEquals(parseCache(text, OWNER, 100), {
    ...EMPTY_CACHED_RESULTS,
    discover: { ...discover, remainingMs: 400 },
  });
  assertEquals(parseCache(text, OWNER, 500), EMPTY_CACHED_RESULTS);
});
