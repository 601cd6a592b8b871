/**
 * Tests ids that stay in use until a late response arrives.
 *
 * @module
 */

import { LateResponses } from "../../../lib/requests/late_responses.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import { startDown } from "../../helpers/session/outage.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

const LATE: [
  what: string,
  config: Json,
  leave: (driver: SessionDriver) => void,
][] = [
  ["cancelled", {}, (driver) =>
    driver.fromClient({
      method: "notifications/cancelled",
      params: { requestId: 1 },
    })],
  ["timed out", { requestTimeout: 1_000 }, (driver) => driver.advance(1_000)],
  [
    "silent for too long",
    { idleTimeout: 1_000 },
    (driver) => driver.advance(1_000),
  ],
];

test("Late responses: the id of an initialize that timed out stays in use until its late response arrives", () => {
  const driver = new SessionDriver({ requestTimeout: 1_000 });
  driver.connect();
  driver.request(7, "initialize", { protocolVersion: "2025-06-18" });
  driver.advance(1_000);
  driver.takeEffects();
  driver.request(7, "tools/list");
  assertEquals(driver.sentToClient().map(({ error }) => error.code), [-32600]);
  // An invalid late response also frees the id.
  driver.fromDaemon('{"jsonrpc":"2.0","id":7,"result":1,"error":{}}');
  driver.takeEffects();
  driver.request(7, "tools/list");
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [7]);
});

for (const [what, config, leave] of LATE) {
  test(`Late responses: the id of a request that was ${what} stays in use until its late response arrives`, () => {
    const driver = new SessionDriver(config);
    driver.connect();
    driver.callTool(1, "write");
    leave(driver);
    driver.takeEffects();
    driver.callTool(1, "write");
    const [{ id, error }] = driver.sentToClient();
    assertEquals([id, error.code], [1, -32600]);
    assertMatch(error.message, /another id/);
    assertEquals(driver.sentExceptProbes(), []);
    driver.takeEffects();
    driver.callTool("1", "write");
    assertEquals(
      driver.sentExceptProbes().map(({ id }) => id),
      ["1"],
      "another id",
    );
    driver.takeEffects();
    driver.fromDaemon({ id: 1, result: "late" });
    assertEquals(driver.sentToClient(), []);
    driver.callTool(1, "write");
    driver.fromDaemon({ id: 1, result: "its own" });
    assertEquals(driver.sentToClient().map(({ result }) => result), [
      "its own",
    ]);
  });

  test(`Late responses: the id of a request that was ${what} is free again on the next connection`, () => {
    const driver = new SessionDriver(config);
    driver.connect();
    driver.callTool(1, "write");
    leave(driver);
    driver.close();
    driver.takeEffects();
    driver.callTool(1, "write");
    assertEquals(driver.sentToClient(), []);
    driver.advanceToNextDial();
    driver.reconnect();
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  });
}

const EXAI_LATE: [what: string, frame: Json][] = [
  ["an error with OVER_CAPACITY", {
    error: { code: "OVER_CAPACITY", message: "full", retry_after: 1 },
  }],
  ["a response over the size limit", {
    op: "list_tools_res",
    tools: [{ name: "x".repeat(33 * 1024 * 1024) }],
  }],
  ["the list", { op: "list_tools_res", tools: [] }],
];

for (const [what, frame] of EXAI_LATE) {
  test(`exai late responses: a late response to a cancelled tools/list frees its id: ${what}`, () => {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    driver.request(1, "tools/list");
    driver.fromClient({
      method: "notifications/cancelled",
      params: { requestId: 1 },
    });
    driver.request(1, "tools/list");
    assertEquals(driver.sentToClient().at(-1).error.code, -32600);
    driver.frameFromDaemon(frame);
    driver.takeEffects();
    driver.request(1, "tools/list");
    driver.frameFromDaemon({ op: "list_tools_res", tools: [] });
    assertEquals(
      driver.sentToClient().map(({ id, result }) => [id, result.tools]),
      [
        [1, []],
      ],
    );
  });
}

test("Late responses: an id that was cancelled before it was sent is free at once", () => {
  const driver = startDown();
  driver.callTool(1, "write");
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.callTool(1, "look");
  driver.advanceToNextDial();
  driver.reconnect();
  assertEquals(driver.sentExceptProbes().at(-1).params, { name: "look" });
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
});

test("Late responses: an id is in use until its response arrives on the same connection", () => {
  const late = new LateResponses();
  late.add("1", 7);
  late.add("1", 8);
  late.add("2", 7, "unclear");
  late.onResponse("1", 7);
  assertEquals([late.has("1"), late.hasExpected(7), late.hasExpected(8)], [
    ...[true, false, true],
  ]);
  late.onResponse("2", 7);
  assertEquals(
    late.has("2"),
    true,
    "after an unclear response, another may come",
  );
  late.onDisconnect(7);
  late.onDisconnect(8);
  assertEquals([late.has("1"), late.has("2")], [false, false]);
});

test("Late responses: a cancelled call counts as running for 60 s, without time asleep", () => {
  const late = new LateResponses();
  late.addAbandonedCall("1", 7, 4, 0);
  late.addAbandonedCall("2", 7, 6, 10_000);
  assertEquals([late.deadline(), late.lastCallWriteNumber(7)], [60_000, 6]);
  late.postpone(5_000);
  late.advance(64_999);
  assertEquals(late.lastCallWriteNumber(7), 6);
  late.advance(65_000);
  assertEquals([late.hasAbandonedCall(7), late.deadline()], [true, 75_000]);
  late.advance(75_000);
  assertEquals([
    late.hasAbandonedCall(7),
    late.lastCallWriteNumber(7),
    late.deadline(),
  ], [
    ...[false, 0, Infinity],
  ]);
});

test("Late responses: an answered probe ends the abandoned calls before it, and only those", () => {
  const late = new LateResponses();
  late.addAbandonedCall("1", 7, 4, 0);
  late.addAbandonedCall("2", 7, 6, 0);
  late.onProbeAnswered(7, 5);
  assertEquals([late.hasAbandonedCall(7), late.lastCallWriteNumber(7)], [
    true,
    6,
  ]);
  late.onResponse("2", 7);
  assertEquals(late.hasAbandonedCall(7), false);
});
