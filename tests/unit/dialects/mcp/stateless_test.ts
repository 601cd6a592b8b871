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

/** The next link opens and the daemon answers the probe that opens it. */
function again(scene: Scene): void {
  scene.untilDial();
  scene.open();
  const { id, method, params } = scene.sent().at(-1);
  assertEquals(method, "server/discover");
  assertEquals(
    params._meta["io.modelcontextprotocol/protocolVersion"],
    MODERN,
  );
  scene.daemon({ id, result: DISCOVERED });
}

/** A client that has subscribed to tools and to a resource. */
function listening(config: Partial<SessionConfig> = {}): Scene {
  return subscribed(config, FILTER);
}

test("the client's own server/discover opens the conversation, and nothing is invented", () => {
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
    `an error with ${
      JSON.stringify(id)
    } answers the server/discover that is alone on its connection`,
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
    `an error with ${
      JSON.stringify(id)
    } answers nothing else that opens, no second server/discover, and no result does`,
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

test("an error for server/discover, too, shows a daemon that is there", () => {
  const scene = new Scene();
  scene.open();
  ask(scene, 1, "server/discover");
  ask(scene, 2, "tools/list");
  scene.daemon({ id: 1, error: { code: -32022, message: "no" } });
  assertEquals(scene.replies()[0].error.code, -32022);
  assertEquals(scene.written().at(-1).id, 2);
});

test("a client that opens with anything else: a probe of its era, then its requests", () => {
  const scene = new Scene();
  scene.open();
  ask(scene, 1, "tools/list");
  const [{ id, method, params }] = scene.sent();
  assertEquals([method, params._meta], ["server/discover", META]);
  scene.daemon({ id, error: { code: -32601, message: "no" } });
  assertEquals(scene.sent().at(-1).id, 1);
});

test("probes are of the era, and lists are not fetched", () => {
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

test("server/discover is held through any outage, refusal and limit", () => {
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

test("in flight on lost connections, it is asked again each time", () => {
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

test("server/discover comes from the cache as long as its ttlMs says, and then is held", () => {
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

test("what is cached is kept for its own time, and for its own version", () => {
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

test("a result that is not to be kept is not", () => {
  for (const ttlMs of [0, -1, "1", undefined]) {
    const scene = new Scene({ remembered: NOTHING });
    scene.open();
    ask(scene, 1, "server/discover");
    scene.daemon({ id: 1, result: { ...DISCOVERED, ttlMs } });
    assertEquals(scene.take().some(({ type }) => type === "remember"), false);
  }
});

test("lists of the two eras are remembered apart", () => {
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

test("a subscription is opened again under its id; the client hears what it may have missed, and no second acknowledgement", () => {
  const scene = listening();
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

test("what may have been missed is told only as far as it was granted", () => {
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

test("a subscription whose id no number can hold is told of under that id", () => {
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

test("what is told of a subscription that is over is nobody's", () => {
  const scene = listening();
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

test("it outlives every outage, whatever may be repeated", () => {
  for (const retry of ["never", "safe"] as const) {
    const scene = listening({ retry, queueTimeout: 5_000, idleTimeout: 5_000 });
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

test("the end of a subscription that a dying daemon sends is swallowed", () => {
  const scene = listening();
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

test("the end that a living daemon sends reaches the client, and an error at once", () => {
  const scene = listening();
  const result = { resultType: "complete" };
  scene.daemon({ id: 0, result });
  scene.pass(999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [
    [0, result],
  ]);
  const other = listening();
  other.daemon({ id: 0, error: { code: -32603, message: "no" } });
  assertEquals(other.replies()[0].error.code, -32603);
});

test("a subscription that the daemon takes back is over: the client hears it, and it is not opened again", () => {
  const scene = listening();
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

test("what a dying daemon takes back, and ends as well, is opened again on the next one", () => {
  const scene = listening();
  const params = { requestId: 0 };
  scene.daemon({ method: "notifications/cancelled", params });
  scene.daemon({ id: 0, result: { resultType: "complete" } });
  scene.close(1001);
  again(scene);
  assertEquals(scene.sent().at(-1).method, "subscriptions/listen");
  assertEquals(scene.replies(), []);
});

test("a subscription that the client cancels is over", () => {
  const scene = listening();
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

test("a subscription keeps nobody from leaving, and a dead link from being left", () => {
  const scene = listening();
  const { epoch } = scene;
  scene.pass(10_000);
  assertEquals(scene.isLeft(epoch), true, "silence is a verdict all the same");
  const other = listening();
  other.end();
  assertEquals(other.exit(), 0);
});

test("a subscription moves to the connection that takes over", () => {
  const scene = listening();
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

test("results that ask for input pass untouched", () => {
  const scene = discovered();
  ask(scene, 1, "tools/call", { name: "write" });
  const result = { resultType: "input_required", requestState: "s" };
  scene.daemon({ id: 1, result });
  assertEquals(scene.replies()[0].result, result);
});

test("a ping, which this era does not know, is the daemon's to refuse", () => {
  const scene = new Scene();
  ask(scene, 1, "ping");
  assertEquals(scene.replies(), []);
  scene.open();
  const [{ id }] = scene.sent();
  scene.daemon({ id, result: DISCOVERED });
  assertEquals(scene.sent().at(-1).method, "ping");
});

test("a subscription has no limit of its own", () => {
  const scene = listening({ idleTimeout: 3_000, requestTimeout: 3_000 });
  scene.pass(4_900);
  assertEquals(scene.replies(), []);
});

test("the first acknowledgement of a subscription reaches the client, as it was", () => {
  const scene = discovered();
  ask(scene, 0, "subscriptions/listen", { notifications: FILTER });
  acknowledge(scene);
  assertEquals(scene.replies().map(({ method, params }) => [method, params]), [[
    "notifications/subscriptions/acknowledged",
    { _meta: { [SUBSCRIPTION]: 0 } },
  ]]);
});
