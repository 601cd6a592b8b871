/**
 * Tests which results of a daemon are cached, and for how long.
 *
 * @module
 */

import type { Method } from "../../../lib/protocol/mcp_types.ts";
import {
  type CachedResults,
  DaemonCache,
  daemonNameOf,
  EMPTY_CACHED_RESULTS,
  mergeCachedResults,
} from "../../../lib/cache/cache.ts";
import { createRedactor } from "../../../lib/config/secrets.ts";
import type { Request, Response } from "../../../lib/protocol/jsonrpc.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  INITIALIZE_RESULT_TEXT,
  INITIALIZE_VERSION,
  requestInitialize,
  savedCache,
} from "../../helpers/session/cold_start_driver.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

test("Cache: stores initialize results and complete lists, but an empty tool list does not replace a full one", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.open();
  requestInitialize(driver);
  driver.fromDaemon({ id: "init", result: JSON.parse(INITIALIZE_RESULT_TEXT) });
  assertEquals(savedCache(driver)?.initialize, {
    [INITIALIZE_VERSION]: JSON.stringify(JSON.parse(INITIALIZE_RESULT_TEXT)),
  });
  const list = (result: Json, cursor?: string): CachedResults | undefined => {
    driver.request("l", "tools/list", cursor === undefined ? {} : { cursor });
    driver.fromDaemon({ id: "l", result });
    return savedCache(driver);
  };
  const [a, b] = [{ name: "a" }, { name: "b" }];
  assertEquals(list({ tools: [a], nextCursor: "2" }), undefined);
  assertEquals(list({ tools: [b] }, "2")?.lists, {
    "tools/list": '{"tools":[{"name":"a"},{"name":"b"}]}',
  });
  assertEquals(list({ tools: [a] })?.lists, {
    "tools/list": '{"tools":[{"name":"a"}]}',
  });
  assertEquals(list({ tools: [a] }), undefined, "nothing new");
  assertEquals(list({ tools: [] }), undefined);
  assertEquals(list({ tools: "none" }), undefined);
});

test("Cache: merging keeps what other processes have stored, and removes what is invalid", () => {
  const full = '{"tools":[{"name":"a"}]}';
  const saved: CachedResults = {
    initialize: { a: "1", b: "2" },
    lists: { "tools/list": full, "prompts/list": '{"prompts":[1]}' },
  };
  const learned: CachedResults = {
    initialize: { b: "", c: "3" },
    lists: { "tools/list": '{"tools":[]}', "prompts/list": '{"prompts":[]}' },
  };
  assertEquals(mergeCachedResults(saved, learned), {
    initialize: { a: "1", c: "3" },
    lists: { "tools/list": full, "prompts/list": '{"prompts":[]}' },
  });
});

test("Secrets: a daemon's name that is cut within a secret is not cached", () => {
  const cache = new DaemonCache(
    EMPTY_CACHED_RESULTS,
    0,
    createRedactor(["s3cret-0123456789"]),
  );
  const name = `${"n".repeat(190)}s3cret-0123456789`;
  cache.recordOneConnection(
    daemonNameOf({ serverInfo: { name, version: "1" } })!,
    0,
  );
  const saved = JSON.stringify(cache.resultsToSave(1));
  assert(!saved.includes("s3cret"), saved.slice(-60));
});

test("Secrets: a cached result with a secret is removed after the next response", () => {
  const initialize = '{"protocolVersion":"2025-11-25","instructions":"s3cret"}';
  const tools = '{"tools":[{"name":"a"}]}';
  const before = {
    initialize: { "2025-11-25": initialize },
    lists: { "tools/list": tools },
  };
  const cache = new DaemonCache(before, 0, createRedactor(["s3cret"]));
  const params = { protocolVersion: "2025-11-25" };
  const text = `{"jsonrpc":"2.0","id":1,"result":${initialize}}`;
  const result = JSON.parse(initialize);
  const answer = { kind: "response", id: "1", result, error: undefined, text };
  const cacheable = { method: "initialize", params } as const;
  assert(cache.store(cacheable, answer as Response, 1), "a save is due");
  const { initialize: saved, lists } = mergeCachedResults(
    before,
    cache.resultsToSave(1),
  );
  assertEquals([saved, lists], [{}, before.lists]);
});

test("Secrets: finds a secret that is cut off in a long answer", () => {
  const redact = createRedactor(["s3cret-0123456789"]);
  const cache = new DaemonCache(EMPTY_CACHED_RESULTS, 0, redact);
  const result = {
    tools: [{ name: "a", description: "x".repeat(9_000) }, {
      name: "b",
      description: "it is s3cret-0123...",
    }],
  };
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result });
  const answer = { kind: "response", id: "1", result, error: undefined, text };
  const cacheable = { method: "tools/list", params: {} } as const;
  assert(!cache.store(cacheable, answer as Response, 1));
  assertEquals(cache.resultsToSave(1).lists, {});
});

test("Secrets: a daemon's name that is not cached is not reported as a withheld answer", () => {
  const cache = new DaemonCache(
    EMPTY_CACHED_RESULTS,
    0,
    createRedactor(["s3cret"]),
  );
  cache.recordOneConnection("a s3cret 1", 0);
  assertEquals(cache.takeWithheldFlag(), false);
});

test("Cache: a response that cannot be cached is not read", () => {
  const refuse = (): never => {
    throw new Error("it was looked at");
  };
  const cache = new DaemonCache(EMPTY_CACHED_RESULTS, 0, refuse);
  const response = new Proxy({}, { get: refuse }) as Response;
  const params = { name: "a" };
  for (const method of ["tools/call", "resources/read", "x"] as Method[]) {
    assertEquals(cache.store({ method, params }, response, 0), false);
  }
  const filtered = { method: "tools/list", params: { filter: "a" } } as const;
  assertEquals(cache.store(filtered, response, 0), false);
});

/**
 * Stores responses in an empty cache. Returns the cache, and for each response
 * whether a save is due.
 */
function after(
  ...answers: [method: Method, params: Json, result: Json][]
): { cache: DaemonCache; needsSave: boolean[] } {
  const cache = new DaemonCache(EMPTY_CACHED_RESULTS, 0, createRedactor([]));
  const needsSave = answers.map(([method, params, result]) =>
    cache.store({ method, params }, answerTo(result), 0)
  );
  return { cache, needsSave };
}

function answerTo(result: Json): Response {
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result });
  return { kind: "response", id: "1", result, error: undefined, text };
}

function lookUp(
  cache: DaemonCache,
  method: string,
  params: Json = {},
  now = 0,
): Json {
  const request = { kind: "request", id: "1", text: "", method, params };
  const text = cache.lookup(request as Request, now);
  return text === undefined ? undefined : JSON.parse(text);
}

test("Cache: a list in pages is stored after its last page, with each page once", () => {
  const page = (name: string, nextCursor?: string): Json => ({
    prompts: [{ name }],
    ...(nextCursor !== undefined && { nextCursor }),
  });
  const { cache, needsSave } = after(
    ["prompts/list", {}, page("a", "2")],
    ["prompts/list", { cursor: "9" }, page("x")], // not the next cursor
    ["prompts/list", { cursor: "2" }, page("b", "3")],
    ["prompts/list", { cursor: "3" }, page("b", "2")], // 2 was used before
  );
  assertEquals(needsSave, [false, false, false, true]);
  assertEquals(lookUp(cache, "prompts/list"), {
    prompts: [{ name: "a" }, { name: "b" }],
  });
  assertEquals(lookUp(cache, "prompts/list", { cursor: "2" }), undefined);
});

test("Cache: a list with a filter is neither stored nor served", () => {
  const { cache, needsSave } = after([
    "prompts/list",
    { filter: "a" },
    { prompts: [] },
  ]);
  assertEquals(needsSave, [false]);
  assertEquals(lookUp(cache, "prompts/list"), undefined);
});

test("Cache: initialize is served only for the version that was requested", () => {
  const result = { protocolVersion: "2025-03-26" };
  const { cache } = after([
    "initialize",
    { protocolVersion: "2025-06-18" },
    result,
  ]);
  const of = (protocolVersion: Json): Json =>
    lookUp(cache, "initialize", { protocolVersion });
  assertEquals(["2025-06-18", "2025-03-26", "toString", 5].map(of), [
    ...[result, undefined, undefined, undefined],
  ]);
  cache.evictInitialize("2025-06-18");
  assertEquals(of("2025-06-18"), undefined);
  assertEquals(cache.resultsToSave(0).initialize, { "2025-06-18": "" });
});

test("Cache: a server/discover result is served for its ttlMs; time asleep counts", () => {
  const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  const { cache } = after(["server/discover", { _meta }, { ttlMs: 1_000 }]);
  const of = (now: number): Json =>
    lookUp(cache, "server/discover", { _meta }, now);
  assertEquals([of(300), of(1_000)], [{ ttlMs: 700 }, undefined]);
  cache.shortenBy(600);
  assertEquals([of(399.5), of(400)], [{ ttlMs: 0 }, undefined]);
});

test("Cache: a ttlMs of more than a day counts as a day", () => {
  const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  const { cache } = after(["server/discover", { _meta }, { ttlMs: 1e12 }]);
  assertEquals(cache.resultsToSave(0).discover?.remainingMs, 86_400_000);
});

test("Cache: remembers for a week, by name and version, that a daemon keeps one connection", () => {
  const cache = new DaemonCache(EMPTY_CACHED_RESULTS, 0, createRedactor([]));
  const server = daemonNameOf({ serverInfo: { name: "d", version: "1" } })!;
  assertEquals(server, "d 1");
  cache.recordOneConnection(server, 1_000);
  const week = 604_800_000;
  assertEquals(
    [1_000 + week - 1, 1_000 + week].map((now) =>
      cache.keepsOneConnection(server, now)
    ),
    [true, false],
  );
  assertEquals(cache.keepsOneConnection("d 2", 1_000), false);
  assertEquals(cache.resultsToSave(2_000).oneConnectionDaemons, {
    "d 1": week - 1_000,
  });
});

test("Cache: a server without serverInfo has no name", () => {
  for (const result of [{}, null, { serverInfo: "d" }]) {
    assertEquals(daemonNameOf(result), undefined);
  }
});
