/**
 * Tests the subscriptions of the stateless version (MCP 2026-07-28). The proxy
 * reopens them after a reconnect.
 *
 * @module
 */

import type { SessionConfig } from "../../../../lib/session/session_config.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import {
  acknowledgeSubscription,
  connectStateless,
  connectSubscribed,
  connectSubscribed as subscribed,
  reconnectStateless,
  requestStateless,
  STATELESS_META,
  SUBSCRIPTION_ID_KEY,
} from "../../../helpers/session/cold_start_driver.ts";
import {
  type Json,
  SessionDriver,
} from "../../../helpers/session/session_driver.ts";

test("Subscriptions: the acknowledgement of a cancelled subscription is dropped", () => {
  const driver = connectStateless();
  requestStateless(driver, 0, "subscriptions/listen", { notifications: {} });
  const params = { requestId: 0 };
  driver.fromClient({ method: "notifications/cancelled", params });
  acknowledgeSubscription(driver);
  assertEquals(driver.sentToClient(), []);
});

test("Subscriptions: an end that is held back reaches the client before the exit", () => {
  const driver = connectSubscribed();
  const result = { resultType: "complete" };
  driver.fromDaemon({ id: 0, result });
  driver.end();
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result]), [
    [0, result],
  ]);
});

const FILTER = {
  toolsListChanged: true,
  resourceSubscriptions: ["file:///a"],
};

/** Returns a session that has subscribed to tools and to one resource. */
function connectWithFilter(config: Partial<SessionConfig> = {}): SessionDriver {
  return subscribed(config, FILTER);
}

test("Subscriptions: reopened with the same id; the client gets one acknowledgement, and notifications of possible changes", () => {
  const driver = connectWithFilter();
  driver.close();
  reconnectStateless(driver);
  const listen = driver.sentToDaemon().at(-1);
  assertEquals([listen.method, listen.id], ["subscriptions/listen", 0]);
  driver.takeEffects();
  acknowledgeSubscription(driver);
  const subscription = { _meta: { [SUBSCRIPTION_ID_KEY]: 0 } };
  assertEquals(
    driver.sentToClient().map(({ method, params }) => [method, params]),
    [
      ["notifications/tools/list_changed", subscription],
      ["notifications/resources/updated", {
        ...subscription,
        uri: "file:///a",
      }],
    ],
  );
});

test("Subscriptions: after a reconnect, the client is notified only about the granted subjects", () => {
  const driver = connectStateless();
  requestStateless(driver, 0, "subscriptions/listen", {
    notifications: FILTER,
  });
  acknowledgeSubscription(driver, 0, { resourceSubscriptions: ["file:///a"] });
  driver.close();
  reconnectStateless(driver);
  driver.takeEffects();
  acknowledgeSubscription(driver, 0, FILTER);
  assertEquals(driver.sentToClient().map(({ method }) => method), [
    "notifications/resources/updated",
  ]);
});

test("Subscriptions: an id beyond the precision of a number is kept exactly", () => {
  const driver = connectStateless();
  const id = "9007199254740993";
  const params = { notifications: FILTER, _meta: STATELESS_META };
  const acknowledged = `{"jsonrpc":"2.0","method":` +
    `"notifications/subscriptions/acknowledged","params":{"_meta":` +
    `{"${SUBSCRIPTION_ID_KEY}":${id}}}}`;
  driver.fromClient(
    `{"jsonrpc":"2.0","id":${id},"method":"subscriptions/listen","params":${
      JSON.stringify(params)
    }}`,
  );
  driver.fromDaemon(acknowledged);
  driver.close();
  reconnectStateless(driver);
  driver.takeEffects();
  driver.fromDaemon(acknowledged);
  const texts = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-client" ? [effect.text] : []
  );
  assertEquals(
    texts.map((text) => text.includes(`{"${SUBSCRIPTION_ID_KEY}":${id}}`)),
    [true, true],
  );
});

test("Subscriptions: a notification for a cancelled subscription is dropped", () => {
  const driver = connectWithFilter();
  const changed = (params: Json): void => {
    const method = "notifications/tools/list_changed";
    driver.fromDaemon({ method, params });
  };
  changed({ _meta: { [SUBSCRIPTION_ID_KEY]: 0 } });
  const params = { requestId: 0 };
  driver.fromClient({ method: "notifications/cancelled", params });
  changed({ _meta: { [SUBSCRIPTION_ID_KEY]: 0 } });
  changed({});
  assertEquals(driver.sentToClient().length, 2);
});

test("Subscriptions: reopened after every outage, with any value of --retry", () => {
  for (const retry of ["never", "safe"] as const) {
    const driver = connectWithFilter({
      retry,
      queueTimeout: 5_000,
      idleTimeout: 5_000,
    });
    for (let n = 0; n < 5; n++) {
      driver.close();
      driver.advanceToNextDial();
      driver.advance(10_000);
      reconnectStateless(driver);
      acknowledgeSubscription(driver);
    }
    assertEquals(driver.sentToClient().filter(({ error }) => error), []);
  }
});

test("Subscriptions: the end that a daemon sends just before it closes is dropped", () => {
  const driver = connectWithFilter();
  driver.fromDaemon({ id: 0, result: { resultType: "complete" } });
  driver.advance(500);
  driver.close(1001);
  reconnectStateless(driver);
  assertEquals(driver.sentToDaemon().at(-1).method, "subscriptions/listen");
  assertEquals(driver.sentToClient(), []);
  driver.takeEffects();
  acknowledgeSubscription(driver);
  driver.advance(5_000);
  assertEquals(driver.sentToClient().filter(({ id }) => id !== undefined), []);
});

test("Subscriptions: the end reaches the client after 1 s on the same connection, an error at once", () => {
  const driver = connectWithFilter();
  const result = { resultType: "complete" };
  driver.fromDaemon({ id: 0, result });
  driver.advance(999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result]), [
    [0, result],
  ]);
  const other = connectWithFilter();
  other.fromDaemon({ id: 0, error: { code: -32603, message: "no" } });
  assertEquals(other.sentToClient()[0].error.code, -32603);
});

test("Subscriptions: if the daemon cancels a subscription, the client is notified and the subscription is not reopened", () => {
  const driver = connectWithFilter();
  requestStateless(driver, 1, "tools/call", { name: "write" });
  const method = "notifications/cancelled";
  for (const requestId of [1, 7, 0]) {
    driver.fromDaemon({ method, params: { requestId, reason: "no" } });
  }
  driver.advance(999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(
    driver.sentToClient().map(({ method, params }) => [method, params]),
    [
      [method, { requestId: 0, reason: "no" }],
    ],
  );
  acknowledgeSubscription(driver);
  driver.fromDaemon({ id: 0, result: { resultType: "complete" } });
  driver.advance(2_000);
  assertEquals(driver.sentToClient().length, 1);
  driver.close();
  reconnectStateless(driver);
  assertEquals(driver.sentToDaemon().some(({ id }) => id === 0), false);
});

test("Subscriptions: a subscription that the daemon cancels and ends just before a close is reopened", () => {
  const driver = connectWithFilter();
  const params = { requestId: 0 };
  driver.fromDaemon({ method: "notifications/cancelled", params });
  driver.fromDaemon({ id: 0, result: { resultType: "complete" } });
  driver.close(1001);
  reconnectStateless(driver);
  assertEquals(driver.sentToDaemon().at(-1).method, "subscriptions/listen");
  assertEquals(driver.sentToClient(), []);
});

test("Subscriptions: a subscription that the client cancels is not reopened", () => {
  const driver = connectWithFilter();
  const params = { requestId: 0 };
  driver.fromClient({ method: "notifications/cancelled", params });
  assertEquals(driver.sentExceptProbes().map(({ method }) => method), [
    "notifications/cancelled",
  ]);
  driver.close();
  driver.advanceToNextDial();
  driver.open();
  assertEquals(driver.sentToClient(), []);
  assertEquals(driver.sentExceptProbes().some(({ id }) => id === 0), false);
});

test("Subscriptions: do not delay the exit or the detection of a dead connection", () => {
  const driver = connectWithFilter();
  const { connectionId } = driver;
  driver.advance(10_000);
  assertEquals(
    driver.isConnectionClosed(connectionId),
    true,
    "a silent connection is closed nevertheless",
  );
  const other = connectWithFilter();
  other.end();
  assertEquals(other.exitCode(), 0);
});

test("Subscriptions: move to the connection that replaces a silent one", () => {
  const driver = connectWithFilter();
  requestStateless(driver, 1, "tools/call", { name: "write" });
  driver.advance(10_000);
  assertEquals(driver.connectionId, 2);
  driver.open();
  driver.answerProbe();
  driver.answerProbe();
  driver.advance(5_000);
  driver.answerProbe();
  const listen = driver.sentToDaemon().at(-1);
  assertEquals([listen.method, listen.id], ["subscriptions/listen", 0]);
  driver.fromDaemon({ id: 1, result: {} }, 1);
  assertEquals(
    driver.isConnectionClosed(1),
    true,
    "no response is pending any more",
  );
});

test("Subscriptions: have no timeout", () => {
  const driver = connectWithFilter({
    idleTimeout: 3_000,
    requestTimeout: 3_000,
  });
  driver.advance(4_900);
  assertEquals(driver.sentToClient(), []);
});

test("Subscriptions: the first acknowledgement reaches the client unchanged", () => {
  const driver = connectStateless();
  requestStateless(driver, 0, "subscriptions/listen", {
    notifications: FILTER,
  });
  acknowledgeSubscription(driver);
  assertEquals(
    driver.sentToClient().map(({ method, params }) => [method, params]),
    [[
      "notifications/subscriptions/acknowledged",
      { _meta: { [SUBSCRIPTION_ID_KEY]: 0 } },
    ]],
  );
});
