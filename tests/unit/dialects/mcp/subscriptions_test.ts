/**
 * Subscriptions of the stateless version (MCP 2026-07-28), which outlive their
 * connections.
 *
 * @module
 */

import type { SessionConfig } from "../../../../lib/session/context.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import {
  acknowledge,
  again,
  ask,
  discovered,
  listening,
  listening as subscribed,
  META,
  SUBSCRIPTION,
} from "../../../helpers/session/cold_start_driver.ts";
import { type Json, Scene } from "../../../helpers/session/session_driver.ts";

test("Subscriptions: the acknowledgement of a cancelled one is dropped", () => {
  const scene = discovered();
  ask(scene, 0, "subscriptions/listen", { notifications: {} });
  const params = { requestId: 0 };
  scene.client({ method: "notifications/cancelled", params });
  acknowledge(scene);
  assertEquals(scene.replies(), []);
});

test("Subscriptions: a held end reaches the client before the exit", () => {
  const scene = listening();
  const result = { resultType: "complete" };
  scene.daemon({ id: 0, result });
  scene.end();
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [
    [0, result],
  ]);
});

const FILTER = {
  toolsListChanged: true,
  resourceSubscriptions: ["file:///a"],
};

/** A client that has subscribed to tools and to a resource. */
function subscribedToAll(config: Partial<SessionConfig> = {}): Scene {
  return subscribed(config, FILTER);
}

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
