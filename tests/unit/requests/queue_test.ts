/**
 * Tests the queue of the messages that wait to be sent.
 *
 * @module
 */

import type { LinkRole } from "../../../lib/link/link.ts";
import { MessageQueue, QUEUE_TEXT_LIMIT } from "../../../lib/requests/queue.ts";
import { PendingEntry } from "../../../lib/requests/request_state.ts";
import { testEntry, UNLIMITED } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { request } from "../../helpers/parsed_request.ts";
import { test } from "../../helpers/no_permissions.ts";

/** Returns a queue: tool calls need a pool link, all else the main link. */
function queue(limit = 100): MessageQueue {
  return new MessageQueue(
    limit,
    ({ method }) => method === "tools/call" ? "pool" : "main",
  );
}

function queuedEntry(order: number, method?: string): PendingEntry {
  const entry = testEntry(order, method);
  entry.enqueue(0);
  return entry;
}

/**
 * Returns the arrival numbers of the messages that may be sent while some roles
 * are full. The queue does not change.
 */
function writableNumbers(queue: MessageQueue, ...full: LinkRole[]): number[] {
  return [...queue.writable(new Set(full))].map(({ arrivalNumber }) =>
    arrivalNumber
  );
}

test("Queue: yields the oldest message of all roles first, except those of full roles", () => {
  const it = queue();
  assertEquals(it.hasWritable, false);
  const methods = ["tools/call", "x", "tools/call", "x"];
  const all = methods.map((method, i) => queuedEntry(i + 1, method));
  for (const entry of [...all].reverse()) it.add(entry);
  assertEquals([writableNumbers(it), it.hasWritable], [[1, 2, 3, 4], true]);
  assertEquals(writableNumbers(it), [1, 2, 3, 4], "skipped entries stay");
  assertEquals(writableNumbers(it, "pool"), [2, 4]);
  assertEquals([it.writableCount("pool"), it.writableCount("main")], [2, 2]);
  it.remove(all[0]!);
  it.remove(all[0]!); // This removal changes nothing.
  assertEquals(writableNumbers(it), [2, 3, 4]);
});

test("Queue: once a role is full, no more messages of that role are yielded", () => {
  const it = queue();
  for (const order of [1, 3]) it.add(queuedEntry(order, "tools/call"));
  it.add(queuedEntry(2));
  const full = new Set<LinkRole>();
  const seen: number[] = [];
  for (const { arrivalNumber } of it.writable(full)) {
    seen.push(arrivalNumber);
    if (arrivalNumber === 1) full.add("pool");
  }
  assertEquals(seen, [1, 2]);
  assertEquals(writableNumbers(it), [1, 2, 3]);
});

test("Queue: a message that was skipped and then removed does not come back", () => {
  const it = queue();
  const [skipped, next] = [queuedEntry(1), queuedEntry(2)];
  for (const entry of [skipped, next]) it.add(entry);
  for (const entry of it.writable(new Set())) {
    if (entry === next) it.remove(skipped);
  }
  assertEquals([writableNumbers(it), it.shortLivedCount], [[2], 1]);
});

test("Queue: parked and delayed messages are not writable", () => {
  const it = queue();
  const [parked, paused] = [queuedEntry(1), testEntry(2)];
  paused.send(1, 0, 1);
  paused.requeue(0, 1_000);
  parked.requestHint(7, 0);
  parked.park();
  for (const entry of [parked, paused]) it.add(entry);
  assertEquals(
    [writableNumbers(it), it.writableCount("main"), it.hasWritable],
    [
      ...[[], 0, false],
    ],
  );
  assertEquals(it.undelayed(), [parked], "a pause does not count as waiting");
  parked.unpark();
  paused.advance(1_000);
  for (const entry of [parked, paused]) it.update(entry);
  assertEquals(writableNumbers(it), [1, 2]);
  it.remove(parked);
  it.update(parked);
  assertEquals(writableNumbers(it), [2], "an update adds nothing");
});

test("Queue: knows which messages wait for the tool list of a connection", () => {
  const it = queue();
  const all = [queuedEntry(1), queuedEntry(2), queuedEntry(3)];
  for (const entry of all) it.add(entry);
  const [first, second] = all as [PendingEntry, PendingEntry];
  first.requestHint(7, 0);
  second.requestHint(8, 0);
  for (const entry of all) it.update(entry);
  assertEquals([7, 8, 9].map((id) => it.waitingForHint(id)), [
    ...[[first], [second], []],
  ]);
  first.requestHint(8, 0);
  it.update(first);
  assertEquals([7, 8].map((id) => it.waitingForHint(id).length), [0, 2]);
  first.requireHint(0);
  it.update(first);
  it.remove(second);
  assertEquals(it.waitingForHint(8), []);
});

test("Queue: --queue-limit applies to messages, and is twice as high for long-lived requests", () => {
  const it = queue(2);
  const [call, discover] = [request("1", "x"), request("2", "server/discover")];
  for (const order of [1, 2]) it.add(queuedEntry(order));
  assertEquals([it.isFull(call), it.isFull(discover)], [true, false]);
  for (const order of [3, 4]) it.add(queuedEntry(order, "server/discover"));
  assertEquals(it.isFull(discover), true);
});

test("Queue: the text is limited, too, but a first message may have any size", () => {
  const it = queue();
  const large = (order: number, length: number): PendingEntry => {
    const message = { ...request("1", "x"), text: "x".repeat(length) };
    return new PendingEntry(message, order, UNLIMITED, 0, Infinity, "on");
  };
  assertEquals(it.isFull(large(1, QUEUE_TEXT_LIMIT + 1).message), false);
  const half = QUEUE_TEXT_LIMIT / 2;
  const [first, second] = [large(1, half), large(2, half)];
  it.add(first);
  assertEquals(it.isFull(second.message), false, "exactly the limit");
  it.add(second);
  assertEquals(it.isFull(request("3", "ping")), true);
  it.remove(first);
  assertEquals(it.isFull(request("3", "ping")), false);
});

test("Queue: counts short-lived requests, and long-lived ones except subscriptions", () => {
  const it = queue();
  const counts = (): number[] => [it.shortLivedCount, it.discoverCount];
  const methods = ["x", "server/discover", "subscriptions/listen"];
  const all = methods.map((method, i) => queuedEntry(i, method));
  for (const entry of all) it.add(entry);
  assertEquals(counts(), [1, 1]);
  for (const entry of all) it.remove(entry);
  assertEquals(counts(), [0, 0]);
});
