/**
 * The pending requests: their order, their deadlines and their responses.
 *
 * @module
 */

import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { timeoutsOf } from "../../../lib/requests/timeouts.ts";
import { RequestTracker } from "../../../lib/requests/tracker.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";

/** Adds a request with timeouts that a test may set. */
function addRequest(
  ledger: RequestTracker,
  message: Request,
  now: number,
  limits = DEFAULT_CONFIG,
): void {
  ledger.add(message, timeoutsOf(message, limits), now);
}

test("Request tracker: distinguishes ids by type and value", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  const ids = ["0", '"0"', "1", '"1"', "-1", '""'];
  for (const id of ids) addRequest(ledger, request(id, "ping"), 0);
  assertEquals(ledger.pendingRequestCount, ids.length);
  for (const id of ids) ledger.markSent(id, 1, 0);
  for (const id of ids) assertEquals(ledger.complete(id, 1)?.key, id);
  assertEquals(ledger.pendingRequestCount, 0);
});

test("Request tracker: a response counts only on the connection that its request went to", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  addRequest(ledger, request("1", "ping"), 0);
  assertEquals(ledger.complete("1", 1), undefined, "it was not even sent");
  ledger.markSent("1", 1, 0);
  assertEquals(ledger.complete("1", 2), undefined);
  assertEquals(ledger.complete("1", 1)?.key, "1");
  assertEquals(ledger.complete("1", 1), undefined, "once");
});

test("Request tracker: a request that is sent again keeps its place in the order", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  for (const id of ["1", "2", "3"]) addRequest(ledger, request(id, "ping"), 0);
  ledger.markSent("1", 7, 0);
  ledger.markSent("2", 7, 0);
  assertEquals(ledger.inFlightCount(7), 2);
  ledger.onDisconnect(7, 0, () => "resend");
  assertEquals([...ledger.queuedEntries()].map(({ key }) => key), [
    "1",
    "2",
    "3",
  ]);
  assertEquals([ledger.inFlightCount(7), ledger.pendingRequestCount], [0, 3]);
});

test("Request tracker: deadline() is the moment at which something expires", () => {
  const limits = {
    ...DEFAULT_CONFIG,
    requestTimeout: 60_000,
    idleTimeout: 10_000,
  };
  const ledger = new RequestTracker(limits);
  addRequest(ledger, request("1", "ping"), 100, limits);
  ledger.updateQueueTimers(100, () => false);
  assertEquals(ledger.deadline(), 45_100);
  assertEquals(ledger.expire(45_099), []);
  ledger.markSent("1", 1, 200);
  assertEquals(ledger.deadline(), 10_200);
  ledger.acceptProgress(undefined, 1, 1, 5_000);
  assertEquals(ledger.expire(10_200)[0]?.expiry, "idle-timeout");
  assertEquals([ledger.pendingRequestCount, ledger.deadline()], [0, Infinity]);
  addRequest(ledger, request("2", "ping"), 0, limits);
  ledger.markSent("2", 1, 55_000);
  assertEquals(ledger.expire(60_000)[0]?.expiry, "total-timeout");
});

test("Request tracker: progress moves the idle deadline, never the total one", () => {
  const limits = {
    ...DEFAULT_CONFIG,
    requestTimeout: 25_000,
    idleTimeout: 10_000,
  };
  const ledger = new RequestTracker(limits);
  addRequest(
    ledger,
    request("1", "x", '{"_meta":{"progressToken":0}}'),
    0,
    limits,
  );
  ledger.markSent("1", 1, 0);
  assertEquals(ledger.acceptProgress("0", 1, 1, 9_000), true);
  assertEquals(
    ledger.acceptProgress("0", 1, 1, 18_000),
    true,
    "a sign of life",
  );
  assertEquals(
    ledger.acceptProgress('"0"', 2, 1, 18_000),
    false,
    "another token",
  );
  assertEquals(ledger.acceptProgress("0", 2, 2, 18_000), false, "another link");
  assertEquals(ledger.acceptProgress("0", "3", 1, 18_000), false, "no number");
  assertEquals(ledger.expire(24_999), []);
  assertEquals(ledger.expire(25_000)[0]?.expiry, "total-timeout");
});

test("Request tracker: the queue timeout is the sum of all waits for a connection", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  addRequest(ledger, request("1", "ping"), 0);
  ledger.updateNewQueueTimers(0, () => false);
  ledger.updateQueueTimers(20_000, () => true);
  assertEquals(ledger.expire(45_000), [], "a link is ready");
  ledger.updateQueueTimers(100_000, () => false);
  ledger.updateQueueTimers(105_000, () => true);
  ledger.markSent("1", 1, 110_000);
  ledger.onDisconnect(1, 200_000, () => "resend");
  ledger.updateNewQueueTimers(200_000, () => false);
  assertEquals(ledger.expire(219_999), []);
  assertEquals(ledger.deadline(), 220_000);
  assertEquals(ledger.expire(220_000)[0]?.expiry, "queue-timeout");
});

test("Request tracker: the request that opens the connection waits until the link is ready", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  addRequest(ledger, request("1", "initialize"), 0);
  ledger.updateQueueTimers(0, () => false);
  ledger.markHandshakeSent("1", 1, 10_000);
  ledger.onDisconnect(1, 20_000, () => "resend");
  ledger.updateNewQueueTimers(20_000, () => false);
  ledger.markHandshakeSent("1", 2, 21_000);
  assertEquals(ledger.expire(44_999), []);
  assertEquals(ledger.expire(45_000)[0]?.expiry, "queue-timeout");
});

test("Request tracker: time asleep is no wait for a connection", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  addRequest(ledger, request("1", "ping"), 0);
  ledger.updateQueueTimers(0, () => false);
  ledger.postpone(1_000_000);
  // Every change rechecks all entries.
  addRequest(ledger, request("2", "ping"), 1_010_000);
  ledger.updateQueueTimers(1_010_000, () => false);
  assertEquals(ledger.expire(1_044_999), []);
  assertEquals(ledger.expire(1_045_000)[0]?.expiry, "queue-timeout");
});

test("Request tracker: an id stays in use until its late response came, or its connection is lost", () => {
  const ledger = new RequestTracker(DEFAULT_CONFIG);
  const give = (id: string, connectionId: number): void =>
    ledger.expectLateResponse(
      { message: request(id, "x"), writeNumber: 1 },
      connectionId,
      0,
      0,
    );
  give("1", 7);
  give("1", 8);
  assertEquals(
    [ledger.lateResponses.has("1"), ledger.lateResponses.has('"1"')],
    [
      true,
      false,
    ],
  );
  ledger.lateResponses.onResponse("1", 7);
  assertEquals(ledger.lateResponses.has("1"), true, "on the other link");
  ledger.onDisconnect(8, 0, () => "resend");
  assertEquals(ledger.lateResponses.has("1"), false);
  for (let id = 0; id <= 1_000; id++) give(`${id}`, 7);
  assertEquals([ledger.lateResponses.has("0"), ledger.lateResponses.has("1")], [
    false,
    true,
  ]);
});

test("Request tracker: the queue is limited in number and size, and sending makes room", () => {
  const ledger = new RequestTracker({ ...DEFAULT_CONFIG, queueLimit: 2 });
  const message = request("1", "ping");
  addRequest(ledger, message, 0);
  addRequest(ledger, request("2", "ping"), 0);
  assertEquals(ledger.isFull(message), true);
  ledger.markSent("1", 1, 0);
  assertEquals(ledger.isFull(message), false);
  const large = new RequestTracker(DEFAULT_CONFIG);
  const half = `{"x":"${"x".repeat(32 * 1024 * 1024)}"}`;
  addRequest(large, request("1", "x", half), 0);
  assertEquals(large.isFull(message), false);
  assertEquals(large.isFull(request("2", "x", half)), true);
});
