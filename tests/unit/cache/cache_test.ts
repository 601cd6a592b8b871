/**
 * Which results of a daemon are stored, and for how long.
 *
 * @module
 */

import type { Method } from "../../../lib/protocol/mcp_types.ts";
import {
  Memory,
  merged,
  NOTHING,
  type Remembered,
  serverOf,
} from "../../../lib/cache/cache.ts";
import { hider } from "../../../lib/config/secrets.ts";
import type { Answer, Request } from "../../../lib/protocol/jsonrpc.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  hello,
  kept,
  RESULT,
  VERSION,
} from "../../helpers/session/cold_start_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

test("Cache: stores initialize and complete lists, and no empty list of tools over a full one", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.open();
  hello(scene);
  scene.daemon({ id: "init", result: JSON.parse(RESULT) });
  assertEquals(kept(scene)?.initialize, {
    [VERSION]: JSON.stringify(JSON.parse(RESULT)),
  });
  const list = (result: Json, cursor?: string): Remembered | undefined => {
    scene.ask("l", "tools/list", cursor === undefined ? {} : { cursor });
    scene.daemon({ id: "l", result });
    return kept(scene);
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
  const kept: Remembered = {
    initialize: { a: "1", b: "2" },
    lists: { "tools/list": full, "prompts/list": '{"prompts":[1]}' },
  };
  const learned: Remembered = {
    initialize: { b: "", c: "3" },
    lists: { "tools/list": '{"tools":[]}', "prompts/list": '{"prompts":[]}' },
  };
  assertEquals(merged(kept, learned), {
    initialize: { a: "1", c: "3" },
    lists: { "tools/list": full, "prompts/list": '{"prompts":[]}' },
  });
});

test("Secrets: a daemon's name that is cut within a secret is not cached", () => {
  const memory = new Memory(NOTHING, 0, hider(["s3cret-0123456789"]));
  const name = `${"n".repeat(190)}s3cret-0123456789`;
  memory.learnOne(serverOf({ serverInfo: { name, version: "1" } })!, 0);
  const kept = JSON.stringify(memory.learned(1));
  assert(!kept.includes("s3cret"), kept.slice(-60));
});

test("Secrets: a cached result with a secret is removed at the next answer", () => {
  const initialize = '{"protocolVersion":"2025-11-25","instructions":"s3cret"}';
  const tools = '{"tools":[{"name":"a"}]}';
  const before = {
    initialize: { "2025-11-25": initialize },
    lists: { "tools/list": tools },
  };
  const memory = new Memory(before, 0, hider(["s3cret"]));
  const params = { protocolVersion: "2025-11-25" };
  const text = `{"jsonrpc":"2.0","id":1,"result":${initialize}}`;
  const result = JSON.parse(initialize);
  const answer = { kind: "answer", id: "1", result, error: undefined, text };
  const asked = { method: "initialize", params } as const;
  assert(memory.learn(asked, answer as Answer, 1), "it is written anew");
  const { initialize: kept, lists } = merged(before, memory.learned(1));
  assertEquals([kept, lists], [{}, before.lists]);
});

test("Secrets: finds a secret that is cut off in a long answer", () => {
  const hide = hider(["s3cret-0123456789"]);
  const memory = new Memory(NOTHING, 0, hide);
  const result = {
    tools: [{ name: "a", description: "x".repeat(9_000) }, {
      name: "b",
      description: "it is s3cret-0123...",
    }],
  };
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result });
  const answer = { kind: "answer", id: "1", result, error: undefined, text };
  const asked = { method: "tools/list", params: {} } as const;
  assert(!memory.learn(asked, answer as Answer, 1));
  assertEquals(memory.learned(1).lists, {});
});

test("Secrets: a cached result that is not an answer is not reported as withheld", () => {
  const memory = new Memory(NOTHING, 0, hider(["s3cret"]));
  memory.learnOne("a s3cret 1", 0);
  assertEquals(memory.takeWithheld(), false);
});

/** A cache after some responses; each says whether it had something new to store. */
function after(
  ...answers: [method: Method, params: Json, result: Json][]
): { memory: Memory; isNews: boolean[] } {
  const memory = new Memory(NOTHING, 0, hider([]));
  const isNews = answers.map(([method, params, result]) =>
    memory.learn({ method, params }, answerTo(result), 0)
  );
  return { memory, isNews };
}

function answerTo(result: Json): Answer {
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result });
  return { kind: "answer", id: "1", result, error: undefined, text };
}

function recalled(
  memory: Memory,
  method: string,
  params: Json = {},
  now = 0,
): Json {
  const request = { kind: "request", id: "1", text: "", method, params };
  const text = memory.recall(request as Request, now);
  return text === undefined ? undefined : JSON.parse(text);
}

test("Cache: a list in pages is stored when its last page came, each page once", () => {
  const page = (name: string, nextCursor?: string): Json => ({
    prompts: [{ name }],
    ...(nextCursor !== undefined && { nextCursor }),
  });
  const { memory, isNews } = after(
    ["prompts/list", {}, page("a", "2")],
    ["prompts/list", { cursor: "9" }, page("x")], // not the one that follows
    ["prompts/list", { cursor: "2" }, page("b", "3")],
    ["prompts/list", { cursor: "3" }, page("b", "2")], // a cursor from before
  );
  assertEquals(isNews, [false, false, false, true]);
  assertEquals(recalled(memory, "prompts/list"), {
    prompts: [{ name: "a" }, { name: "b" }],
  });
  assertEquals(recalled(memory, "prompts/list", { cursor: "2" }), undefined);
});

test("Cache: a list with a filter is neither stored nor served", () => {
  const { memory, isNews } = after([
    "prompts/list",
    { filter: "a" },
    { prompts: [] },
  ]);
  assertEquals(isNews, [false]);
  assertEquals(recalled(memory, "prompts/list"), undefined);
});

test("Cache: initialize is served only for the version that was requested", () => {
  const result = { protocolVersion: "2025-03-26" };
  const { memory } = after([
    "initialize",
    { protocolVersion: "2025-06-18" },
    result,
  ]);
  const of = (protocolVersion: Json): Json =>
    recalled(memory, "initialize", { protocolVersion });
  assertEquals(["2025-06-18", "2025-03-26", "toString", 5].map(of), [
    ...[result, undefined, undefined, undefined],
  ]);
  memory.forget("2025-06-18");
  assertEquals(of("2025-06-18"), undefined);
  assertEquals(memory.learned(0).initialize, { "2025-06-18": "" });
});

test("Cache: server/discover is served for its ttlMs, less the time asleep", () => {
  const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  const { memory } = after(["server/discover", { _meta }, { ttlMs: 1_000 }]);
  const of = (now: number): Json =>
    recalled(memory, "server/discover", { _meta }, now);
  assertEquals([of(300), of(1_000)], [{ ttlMs: 700 }, undefined]);
  memory.slept(600);
  assertEquals([of(399.5), of(400)], [{ ttlMs: 0 }, undefined]);
});

test("Cache: ttlMs counts for a day at most", () => {
  const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  const { memory } = after(["server/discover", { _meta }, { ttlMs: 1e12 }]);
  assertEquals(memory.learned(0).discover?.forMs, 86_400_000);
});

test("Cache: a daemon that keeps one connection is known by name and version for a week", () => {
  const memory = new Memory(NOTHING, 0, hider([]));
  const server = serverOf({ serverInfo: { name: "d", version: "1" } })!;
  assertEquals(server, "d 1");
  memory.learnOne(server, 1_000);
  const week = 604_800_000;
  assertEquals(
    [1_000 + week - 1, 1_000 + week].map((now) => memory.keepsOne(server, now)),
    [true, false],
  );
  assertEquals(memory.keepsOne("d 2", 1_000), false);
  assertEquals(memory.learned(2_000).one, { "d 1": week - 1_000 });
});

test("Cache: a server without serverInfo has no name", () => {
  for (const result of [{}, null, { serverInfo: "d" }]) {
    assertEquals(serverOf(result), undefined);
  }
});
