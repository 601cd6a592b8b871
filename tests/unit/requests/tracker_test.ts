/**
 * The requests that are open: their order, their deadlines and their responses.
 *
 * @module
 */

import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { limitsOf } from "../../../lib/requests/timeouts.ts";
import { Ledger } from "../../../lib/requests/tracker.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { DEFAULTS } from "../../helpers/session/session_driver.ts";

/** Opens an account under limits that a test may set. */
function add(
  ledger: Ledger,
  message: Request,
  now: number,
  limits = DEFAULTS,
): void {
  ledger.add(message, limitsOf(message, limits), now);
}

test("Request tracker: distinguishes ids by type and value", () => {
  const ledger = new Ledger(DEFAULTS);
  const ids = ["0", '"0"', "1", '"1"', "-1", '""'];
  for (const id of ids) add(ledger, request(id, "ping"), 0);
  assertEquals(ledger.owed, ids.length);
  for (const id of ids) ledger.sent(id, 1, 0);
  for (const id of ids) assertEquals(ledger.settle(id, 1)?.key, id);
  assertEquals(ledger.owed, 0);
});

test("Request tracker: a response counts only on the connection that its request went to", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "ping"), 0);
  assertEquals(ledger.settle("1", 1), undefined, "it was not even sent");
  ledger.sent("1", 1, 0);
  assertEquals(ledger.settle("1", 2), undefined);
  assertEquals(ledger.settle("1", 1)?.key, "1");
  assertEquals(ledger.settle("1", 1), undefined, "once");
});

test("Request tracker: a request that is sent again keeps its place in the order", () => {
  const ledger = new Ledger(DEFAULTS);
  for (const id of ["1", "2", "3"]) add(ledger, request(id, "ping"), 0);
  ledger.sent("1", 7, 0);
  ledger.sent("2", 7, 0);
  assertEquals(ledger.inFlight(7), 2);
  ledger.lost(7, 0, () => "again");
  assertEquals([...ledger.queue()].map(({ key }) => key), ["1", "2", "3"]);
  assertEquals([ledger.inFlight(7), ledger.owed], [0, 3]);
});

test("Request tracker: deadline() is the moment at which something expires", () => {
  const limits = { ...DEFAULTS, requestTimeout: 60_000, idleTimeout: 10_000 };
  const ledger = new Ledger(limits);
  add(ledger, request("1", "ping"), 100, limits);
  ledger.updateWaits(100, () => false);
  assertEquals(ledger.deadline(), 45_100);
  assertEquals(ledger.expire(45_099), []);
  ledger.sent("1", 1, 200);
  assertEquals(ledger.deadline(), 10_200);
  ledger.progress(undefined, 1, 1, 5_000);
  assertEquals(ledger.expire(10_200)[0]?.expiry, "idle");
  assertEquals([ledger.owed, ledger.deadline()], [0, Infinity]);
  add(ledger, request("2", "ping"), 0, limits);
  ledger.sent("2", 1, 55_000);
  assertEquals(ledger.expire(60_000)[0]?.expiry, "total");
});

test("Request tracker: progress moves the idle deadline, never the total one", () => {
  const limits = { ...DEFAULTS, requestTimeout: 25_000, idleTimeout: 10_000 };
  const ledger = new Ledger(limits);
  add(ledger, request("1", "x", '{"_meta":{"progressToken":0}}'), 0, limits);
  ledger.sent("1", 1, 0);
  assertEquals(ledger.progress("0", 1, 1, 9_000), true);
  assertEquals(ledger.progress("0", 1, 1, 18_000), true, "a sign of life");
  assertEquals(ledger.progress('"0"', 2, 1, 18_000), false, "another token");
  assertEquals(ledger.progress("0", 2, 2, 18_000), false, "another link");
  assertEquals(ledger.progress("0", "3", 1, 18_000), false, "no number");
  assertEquals(ledger.expire(24_999), []);
  assertEquals(ledger.expire(25_000)[0]?.expiry, "total");
});

test("Request tracker: the queue timeout is the sum of all waits for a connection", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "ping"), 0);
  ledger.updateNewWaits(0, () => false);
  ledger.updateWaits(20_000, () => true);
  assertEquals(ledger.expire(45_000), [], "a link is ready");
  ledger.updateWaits(100_000, () => false);
  ledger.updateWaits(105_000, () => true);
  ledger.sent("1", 1, 110_000);
  ledger.lost(1, 200_000, () => "again");
  ledger.updateNewWaits(200_000, () => false);
  assertEquals(ledger.expire(219_999), []);
  assertEquals(ledger.deadline(), 220_000);
  assertEquals(ledger.expire(220_000)[0]?.expiry, "unavailable");
});

test("Request tracker: the request that opens the connection waits until the link is ready", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "initialize"), 0);
  ledger.updateWaits(0, () => false);
  ledger.greeted("1", 1, 10_000);
  ledger.lost(1, 20_000, () => "again");
  ledger.updateNewWaits(20_000, () => false);
  ledger.greeted("1", 2, 21_000);
  assertEquals(ledger.expire(44_999), []);
  assertEquals(ledger.expire(45_000)[0]?.expiry, "unavailable");
});

test("Request tracker: time asleep is no wait for a connection", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "ping"), 0);
  ledger.updateWaits(0, () => false);
  ledger.shift(1_000_000);
  // Whatever comes, each is looked at anew.
  add(ledger, request("2", "ping"), 1_010_000);
  ledger.updateWaits(1_010_000, () => false);
  assertEquals(ledger.expire(1_044_999), []);
  assertEquals(ledger.expire(1_045_000)[0]?.expiry, "unavailable");
});

test("Request tracker: an id stays in use until its late response came, or its connection is lost", () => {
  const ledger = new Ledger(DEFAULTS);
  const give = (id: string, epoch: number): void =>
    ledger.awaitLateAnswer(
      { message: request(id, "x"), number: 1 },
      epoch,
      0,
      0,
    );
  give("1", 7);
  give("1", 8);
  assertEquals([ledger.late.has("1"), ledger.late.has('"1"')], [
    true,
    false,
  ]);
  ledger.late.came("1", 7);
  assertEquals(ledger.late.has("1"), true, "on the other link");
  ledger.lost(8, 0, () => "again");
  assertEquals(ledger.late.has("1"), false);
  for (let id = 0; id <= 1_000; id++) give(`${id}`, 7);
  assertEquals([ledger.late.has("0"), ledger.late.has("1")], [
    false,
    true,
  ]);
});

test("Request tracker: the queue is limited in number and size, and sending makes room", () => {
  const ledger = new Ledger({ ...DEFAULTS, queueLimit: 2 });
  const message = request("1", "ping");
  add(ledger, message, 0);
  add(ledger, request("2", "ping"), 0);
  assertEquals(ledger.isFull(message), true);
  ledger.sent("1", 1, 0);
  assertEquals(ledger.isFull(message), false);
  const large = new Ledger(DEFAULTS);
  const half = `{"x":"${"x".repeat(32 * 1024 * 1024)}"}`;
  add(large, request("1", "x", half), 0);
  assertEquals(large.isFull(message), false);
  assertEquals(large.isFull(request("2", "x", half)), true);
});
