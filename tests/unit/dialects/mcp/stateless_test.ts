/**
 * The stateless version of MCP (2026-07-28): nothing is replayed, and
 * `server/discover` waits for the daemon.
 *
 * @module
 */

import { NOTHING } from "../../../../lib/cache/cache.ts";
import { fromText, toText } from "../../../../lib/cache/format.ts";
import { assert, assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import {
  again,
  ask,
  DISCOVERED,
  discovered,
  META,
  MODERN,
} from "../../../helpers/session/cold_start_driver.ts";
import { type Json, Scene } from "../../../helpers/session/session_driver.ts";

test("Stateless MCP: the client's own server/discover opens the connection, and none of ours is sent", () => {
  const scene = new Scene();
  scene.open();
  assertEquals(scene.sent(), []);
  ask(scene, 1, "server/discover");
  ask(scene, 2, "tools/list");
  assertEquals(scene.sent().map(({ id }) => id), [1]);
  scene.daemon({ id: 1, result: DISCOVERED });
  assertEquals(scene.written().filter(({ id }) => id === 2).length, 1);
  assertEquals(scene.replies().map(({ id }) => id), [1]);
});

// The SDK's second client asks with a text as id, of which some bridges make null.
for (const id of [{ id: null }, {}]) {
  const error = { code: -32601, message: "Method not found", data: { a: 1 } };

  test(
    `Stateless MCP: an error with ${
      JSON.stringify(id)
    } answers a server/discover that is alone on its connection`,
    () => {
      const scene = new Scene();
      scene.open();
      ask(scene, "probe-1", "server/discover");
      scene.daemon({ ...id, error });
      assertEquals(scene.replies(), [{ jsonrpc: "2.0", id: "probe-1", error }]);
      scene.ask(0, "initialize", { protocolVersion: "2025-11-25" });
      assertEquals(scene.sent().at(-1).id, 0);
    },
  );

  test(
    `Stateless MCP: an error with ${
      JSON.stringify(id)
    } answers no initialize and no second server/discover, and no result does`,
    () => {
      const opens = new Scene();
      opens.open();
      opens.ask(0, "initialize", { protocolVersion: "2025-11-25" });
      opens.daemon({ ...id, error });
      assertEquals(opens.replies(), []);
      const second = new Scene();
      second.open();
      ask(second, "probe-1", "server/discover");
      const params = { requestId: "probe-1" };
      second.client({ method: "notifications/cancelled", params });
      ask(second, "probe-2", "server/discover");
      second.daemon({ ...id, error });
      assertEquals(second.replies(), []);
      const result = new Scene();
      result.open();
      ask(result, "probe-1", "server/discover");
      result.daemon({ ...id, result: DISCOVERED });
      assertEquals(result.replies(), []);
    },
  );
}

test("Stateless MCP: an error for server/discover opens the connection, too", () => {
  const scene = new Scene();
  scene.open();
  ask(scene, 1, "server/discover");
  ask(scene, 2, "tools/list");
  scene.daemon({ id: 1, error: { code: -32022, message: "no" } });
  assertEquals(scene.replies()[0].error.code, -32022);
  assertEquals(scene.written().at(-1).id, 2);
});

test("Stateless MCP: a client's other first request waits for a server/discover of ours", () => {
  const scene = new Scene();
  scene.open();
  ask(scene, 1, "tools/list");
  const [{ id, method, params }] = scene.sent();
  assertEquals([method, params._meta], ["server/discover", META]);
  scene.daemon({ id, error: { code: -32601, message: "no" } });
  assertEquals(scene.sent().at(-1).id, 1);
});

test("Stateless MCP: probes are server/discover, and lists are not fetched after a reconnect", () => {
  const scene = discovered();
  ask(scene, 1, "tools/list");
  scene.daemon({ id: 1, result: { tools: [] } });
  scene.take();
  scene.pass(5_000);
  const [probe] = scene.sent();
  assertEquals([probe.method, probe.params._meta], ["server/discover", META]);
  scene.close();
  again(scene);
  const methods = new Set(scene.sent().map(({ method }) => method));
  assertEquals([...methods], ["server/discover"]);
});

test("Stateless MCP: server/discover waits through outages, refusals and limits", () => {
  const scene = new Scene({ requestTimeout: 10_000, queueTimeout: 5_000 });
  ask(scene, 1, "server/discover");
  scene.open();
  scene.close(1008);
  for (let n = 0; n < 20; n++) {
    scene.untilDial();
    if (n === 2) ask(scene, 2, "server/discover");
    if (n % 2 === 0) scene.refuse();
    else scene.close(1008);
  }
  assertEquals(scene.replies(), []);
  scene.untilDial();
  scene.open();
  scene.daemon({ id: 1, result: DISCOVERED });
  scene.daemon({ id: 2, result: DISCOVERED });
  assertEquals(scene.replies().map(({ id }) => id), [1, 2]);
});

test("Stateless MCP: server/discover is sent again on each connection, even with --retry never", () => {
  const scene = new Scene({ retry: "never" });
  ask(scene, 1, "server/discover");
  for (let n = 0; n < 5; n++) {
    scene.open();
    assertEquals(scene.written().at(-1).id, 1);
    scene.close();
    scene.untilDial();
  }
  assertEquals(scene.replies(), []);
});

test("Stateless MCP: server/discover is answered from the cache for its ttlMs, and then waits", () => {
  const scene = discovered({ remembered: NOTHING });
  scene.close();
  scene.take();
  ask(scene, 1, "server/discover");
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [
    [1, DISCOVERED],
  ]);
  scene.take();
  for (let n = 0; n < 12; n++) {
    scene.untilDial();
    scene.refuse();
  }
  assert(scene.now > 60_000);
  ask(scene, 2, "server/discover");
  assertEquals(scene.replies(), []);
});

test("Stateless MCP: a cached result is used for its ttlMs, and for its protocol version only", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.open();
  ask(scene, 1, "server/discover");
  scene.daemon({ id: 1, result: DISCOVERED });
  const effect = scene.take().findLast(({ type }) => type === "remember");
  assert(effect?.type === "remember");
  const owner = { daemon: "ws://daemon/", key: "k", dialect: "mcp", user: "u" };
  const text = toText(owner, effect.learned);
  const read = (ageMs: number): Json => fromText(text, owner, ageMs);
  assertEquals(read(20_000).discover.forMs, 40_000);
  assertEquals(read(60_000).discover, undefined);
  for (const [version, count] of [[MODERN, 1], ["2027-01-01", 0]] as const) {
    const later = new Scene({ remembered: read(0) });
    const asked = { ...META };
    asked["io.modelcontextprotocol/protocolVersion"] = version;
    later.ask(1, "server/discover", { _meta: asked });
    assertEquals(later.replies().length, count);
  }
});

test("Stateless MCP: a result without a positive ttlMs is not cached", () => {
  for (const ttlMs of [0, -1, "1", undefined]) {
    const scene = new Scene({ remembered: NOTHING });
    scene.open();
    ask(scene, 1, "server/discover");
    scene.daemon({ id: 1, result: { ...DISCOVERED, ttlMs } });
    assertEquals(scene.take().some(({ type }) => type === "remember"), false);
  }
});

test("Stateless MCP: its lists are cached apart from those of clients that initialize", () => {
  const scene = discovered({ remembered: NOTHING });
  const complete = { resultType: "complete", tools: [] };
  ask(scene, 1, "tools/list");
  scene.daemon({ id: 1, result: complete });
  scene.close();
  scene.take();
  ask(scene, 2, "tools/list");
  scene.ask(3, "tools/list");
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [
    [2, complete],
  ]);
});

test("Stateless MCP: a result that asks for input passes unchanged", () => {
  const scene = discovered();
  ask(scene, 1, "tools/call", { name: "write" });
  const result = { resultType: "input_required", requestState: "s" };
  scene.daemon({ id: 1, result });
  assertEquals(scene.replies()[0].result, result);
});

test("Stateless MCP: a client's ping is forwarded, for the daemon to refuse", () => {
  const scene = new Scene();
  ask(scene, 1, "ping");
  assertEquals(scene.replies(), []);
  scene.open();
  const [{ id }] = scene.sent();
  scene.daemon({ id, result: DISCOVERED });
  assertEquals(scene.sent().at(-1).method, "ping");
});

test("server/discover: one that is cancelled during the handshake delays nobody", () => {
  const scene = new Scene();
  scene.open();
  ask(scene, 1, "server/discover");
  const params = { requestId: 1 };
  scene.client({ method: "notifications/cancelled", params });
  scene.daemon({ id: 1, result: DISCOVERED });
  ask(scene, 2, "tools/list");
  const probe = scene.sent().at(-1);
  assertEquals(probe.method, "server/discover");
  scene.daemon({ id: probe.id, result: DISCOVERED });
  assertEquals(scene.sent().at(-1).id, 2);
});

test("server/discover: alone in flight it is no call: the silent connection is lost, and it opens the next one", () => {
  const scene = discovered();
  ask(scene, 1, "server/discover");
  scene.pass(9_999);
  assertEquals(scene.isLeft(1), false);
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
  scene.untilDial();
  scene.take();
  scene.open();
  assertEquals(scene.sent().map(({ id }) => id), [1]);
  assertEquals(scene.replies(), []);
});

test("server/discover: sent again on the connection that takes over", () => {
  const scene = discovered();
  ask(scene, 1, "server/discover");
  ask(scene, 2, "tools/call", { name: "write" });
  scene.pass(10_000);
  scene.open();
  for (let i = 0; i < 3; i++) {
    const { id } = scene.sent().at(-1);
    scene.take();
    scene.daemon({ id, result: {} });
    if (i === 1) scene.pass(5_000);
  }
  const again = scene.sent().filter(({ id }) => id === 1);
  assertEquals(again.length, 1);
});
