/**
 * The stateless era (MCP 2026-07-28): nothing is replayed, `server/discover` is
 * never answered with an outage, and subscriptions outlive their connections.
 *
 * @module
 */

import { assert, assertEquals } from "../../../helpers/assert.ts";
import type { SessionConfig } from "../../../../lib/session/context.ts";
import { NOTHING } from "../../../../lib/cache/cache.ts";
import { fromText, toText } from "../../../../lib/cache/format.ts";
import {
  acknowledge,
  again,
  ask,
  DISCOVERED,
  discovered,
  listening as subscribed,
  META,
  MODERN,
  SUBSCRIPTION,
} from "../../../helpers/session/cold_start_driver.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../../helpers/session/session_driver.ts";

const FILTER = {
  toolsListChanged: true,
  resourceSubscriptions: ["file:///a"],
};

/** A client that has subscribed to tools and to a resource. */
function subscribedToAll(config: Partial<SessionConfig> = {}): Scene {
  return subscribed(config, FILTER);
}

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

test("Subscriptions: reopened under the same id, with notifications of what may have changed, and one acknowledgement", () => {
  const scene = subscribedToAll();
  scene.close();
  again(scene);
  const listen = scene.sent().at(-1);
  assertEquals([listen.method, listen.id], ["subscriptions/listen", 0]);
  scene.take();
  acknowledge(scene);
  const subscription = { _meta: { [SUBSCRIPTION]: 0 } };
  assertEquals(
    scene.replies().map(({ method, params }) => [method, params]),
    [
      ["notifications/tools/list_changed", subscription],
      ["notifications/resources/updated", {
        ...subscription,
        uri: "file:///a",
      }],
    ],
  );
});

test("Subscriptions: after a reconnect the client is notified only of what was granted", () => {
  const scene = discovered();
  ask(scene, 0, "subscriptions/listen", { notifications: FILTER });
  acknowledge(scene, 0, { resourceSubscriptions: ["file:///a"] });
  scene.close();
  again(scene);
  scene.take();
  acknowledge(scene, 0, FILTER);
  assertEquals(scene.replies().map(({ method }) => method), [
    "notifications/resources/updated",
  ]);
});

test("Subscriptions: an id that no number can hold is kept exactly", () => {
  const scene = discovered();
  const id = "9007199254740993";
  const params = { notifications: FILTER, _meta: META };
  const acknowledged = `{"jsonrpc":"2.0","method":` +
    `"notifications/subscriptions/acknowledged","params":{"_meta":` +
    `{"${SUBSCRIPTION}":${id}}}}`;
  scene.client(
    `{"jsonrpc":"2.0","id":${id},"method":"subscriptions/listen","params":${
      JSON.stringify(params)
    }}`,
  );
  scene.daemon(acknowledged);
  scene.close();
  again(scene);
  scene.take();
  scene.daemon(acknowledged);
  const texts = scene.take().flatMap((effect) =>
    effect.type === "reply" ? [effect.text] : []
  );
  assertEquals(
    texts.map((text) => text.includes(`{"${SUBSCRIPTION}":${id}}`)),
    [true, true],
  );
});

test("Subscriptions: a notification for one that is cancelled is dropped", () => {
  const scene = subscribedToAll();
  const changed = (params: Json): void => {
    const method = "notifications/tools/list_changed";
    scene.daemon({ method, params });
  };
  changed({ _meta: { [SUBSCRIPTION]: 0 } });
  const params = { requestId: 0 };
  scene.client({ method: "notifications/cancelled", params });
  changed({ _meta: { [SUBSCRIPTION]: 0 } });
  changed({});
  assertEquals(scene.replies().length, 2);
});

test("Subscriptions: survive every outage, whatever --retry says", () => {
  for (const retry of ["never", "safe"] as const) {
    const scene = subscribedToAll({
      retry,
      queueTimeout: 5_000,
      idleTimeout: 5_000,
    });
    for (let n = 0; n < 5; n++) {
      scene.close();
      scene.untilDial();
      scene.pass(10_000);
      again(scene);
      acknowledge(scene);
    }
    assertEquals(scene.replies().filter(({ error }) => error), []);
  }
});

test("Subscriptions: the end that a daemon sends just before it closes is dropped", () => {
  const scene = subscribedToAll();
  scene.daemon({ id: 0, result: { resultType: "complete" } });
  scene.pass(500);
  scene.close(1001);
  again(scene);
  assertEquals(scene.sent().at(-1).method, "subscriptions/listen");
  assertEquals(scene.replies(), []);
  scene.take();
  acknowledge(scene);
  scene.pass(5_000);
  assertEquals(scene.replies().filter(({ id }) => id !== undefined), []);
});

test("Subscriptions: the end reaches the client after 1 s on the same connection, an error at once", () => {
  const scene = subscribedToAll();
  const result = { resultType: "complete" };
  scene.daemon({ id: 0, result });
  scene.pass(999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [
    [0, result],
  ]);
  const other = subscribedToAll();
  other.daemon({ id: 0, error: { code: -32603, message: "no" } });
  assertEquals(other.replies()[0].error.code, -32603);
});

test("Subscriptions: one that the daemon cancels has ended: the client is notified, and it is not reopened", () => {
  const scene = subscribedToAll();
  ask(scene, 1, "tools/call", { name: "write" });
  const method = "notifications/cancelled";
  for (const requestId of [1, 7, 0]) {
    scene.daemon({ method, params: { requestId, reason: "no" } });
  }
  scene.pass(999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies().map(({ method, params }) => [method, params]), [
    [method, { requestId: 0, reason: "no" }],
  ]);
  acknowledge(scene);
  scene.daemon({ id: 0, result: { resultType: "complete" } });
  scene.pass(2_000);
  assertEquals(scene.replies().length, 1);
  scene.close();
  again(scene);
  assertEquals(scene.sent().some(({ id }) => id === 0), false);
});

test("Subscriptions: one that is cancelled and ended just before a close is reopened", () => {
  const scene = subscribedToAll();
  const params = { requestId: 0 };
  scene.daemon({ method: "notifications/cancelled", params });
  scene.daemon({ id: 0, result: { resultType: "complete" } });
  scene.close(1001);
  again(scene);
  assertEquals(scene.sent().at(-1).method, "subscriptions/listen");
  assertEquals(scene.replies(), []);
});

test("Subscriptions: one that the client cancels is not reopened", () => {
  const scene = subscribedToAll();
  const params = { requestId: 0 };
  scene.client({ method: "notifications/cancelled", params });
  assertEquals(scene.written().map(({ method }) => method), [
    "notifications/cancelled",
  ]);
  scene.close();
  scene.untilDial();
  scene.open();
  assertEquals(scene.replies(), []);
  assertEquals(scene.written().some(({ id }) => id === 0), false);
});

test("Subscriptions: do not delay the exit, nor the loss of a dead connection", () => {
  const scene = subscribedToAll();
  const { epoch } = scene;
  scene.pass(10_000);
  assertEquals(scene.isLeft(epoch), true, "silence is a verdict all the same");
  const other = subscribedToAll();
  other.end();
  assertEquals(other.exit(), 0);
});

test("Subscriptions: move to the connection that takes over", () => {
  const scene = subscribedToAll();
  ask(scene, 1, "tools/call", { name: "write" });
  scene.pass(10_000);
  assertEquals(scene.epoch, 2);
  scene.open();
  scene.pong();
  scene.pong();
  scene.pass(5_000);
  scene.pong();
  const listen = scene.sent().at(-1);
  assertEquals([listen.method, listen.id], ["subscriptions/listen", 0]);
  scene.daemon({ id: 1, result: {} }, 1);
  assertEquals(scene.isLeft(1), true, "it owes nothing any more");
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

test("Subscriptions: have no timeout", () => {
  const scene = subscribedToAll({ idleTimeout: 3_000, requestTimeout: 3_000 });
  scene.pass(4_900);
  assertEquals(scene.replies(), []);
});

test("Subscriptions: the first acknowledgement reaches the client unchanged", () => {
  const scene = discovered();
  ask(scene, 0, "subscriptions/listen", { notifications: FILTER });
  acknowledge(scene);
  assertEquals(scene.replies().map(({ method, params }) => [method, params]), [[
    "notifications/subscriptions/acknowledged",
    { _meta: { [SUBSCRIPTION]: 0 } },
  ]]);
});
