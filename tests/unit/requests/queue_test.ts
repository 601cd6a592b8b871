/**
 * The messages that wait to be sent.
 *
 * @module
 */

import type { LinkRole } from "../../../lib/link/link.ts";
import { MessageQueue, QUEUE_TEXT_LIMIT } from "../../../lib/requests/queue.ts";
import { testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { request } from "../../helpers/parsed_request.ts";
import { test } from "../../helpers/no_permissions.ts";

const LIMITS = {
  queueTimeout: 45_000,
  queueLimit: 2,
  waitProgress: "on",
} as const;
const TOKEN = '{"_meta":{"progressToken":"t"}}';

/** A queue in which calls belong to the pool. */
function queue(limits: typeof LIMITS | object = {}): MessageQueue {
  const all = { ...LIMITS, queueLimit: 100, ...limits };
  return new MessageQueue(
    all,
    ({ method }) => method === "tools/call" ? "pool" : "main",
  );
}

/**
 * The messages that may be sent while some roles are full. Nothing is sent
 * here.
 */
function orders(queue: MessageQueue, ...full: LinkRole[]): number[] {
  return [...queue.writable(new Set(full))].map(({ arrivalNumber }) =>
    arrivalNumber
  );
}

test("Queue: gives the oldest first, over all roles, but for the full ones", () => {
  const it = queue();
  const methods = ["tools/call", "x", "tools/call", "x"];
  const all = methods.map((method, i) => testEntry(i + 1, method));
  for (const entry of [...all].reverse()) it.add(entry, 0);
  assertEquals(orders(it), [1, 2, 3, 4]);
  assertEquals(orders(it), [1, 2, 3, 4], "skipped entries stay");
  assertEquals(orders(it, "pool"), [2, 4]);
  assertEquals([it.writableCount("pool"), it.writableCount("main")], [2, 2]);
  it.remove(all[0]!);
  assertEquals(orders(it), [2, 3, 4]);
});

test("Queue: a role that fills up meanwhile is not looked at any further", () => {
  const it = queue();
  for (const order of [1, 3]) it.add(testEntry(order, "tools/call"), 0);
  it.add(testEntry(2), 0);
  const full = new Set<LinkRole>();
  const seen: number[] = [];
  for (const { arrivalNumber } of it.writable(full)) {
    seen.push(arrivalNumber);
    if (arrivalNumber === 1) full.add("pool");
  }
  assertEquals(seen, [1, 2]);
  assertEquals(orders(it), [1, 2, 3]);
});

test("Queue: parked messages and those with a pause are not sent", () => {
  const it = queue();
  const [parked, paused] = [testEntry(1), testEntry(2)];
  for (const entry of [parked, paused]) it.add(entry, 0);
  parked.isAwaitingToolList = true;
  paused.notBefore = 1_000;
  for (const entry of [parked, paused]) it.updateWritable(entry);
  assertEquals([orders(it), it.writableCount("main")], [[], 0]);
  assertEquals(
    it.all().map(({ arrivalNumber }) => arrivalNumber),
    [1],
    "a pause does not count as waiting",
  );
  parked.isAwaitingToolList = false;
  it.updateWritable(parked);
  assertEquals(orders(it), [1]);
});

test("Queue: --queue-limit holds for messages, and twice for those that are held for ever", () => {
  const it = queue({ queueLimit: 2 });
  const [call, discover] = [request("1", "x"), request("2", "server/discover")];
  for (const order of [1, 2]) it.add(testEntry(order), 0);
  assertEquals([it.isFull(call), it.isFull(discover)], [true, false]);
  for (const order of [3, 4]) it.add(testEntry(order, "server/discover"), 0);
  assertEquals(it.isFull(discover), true);
});

test("Queue: the text is limited, too, but a first message may have any size", () => {
  const it = queue();
  const large = (order: number): ReturnType<typeof testEntry> => {
    const text = "x".repeat(QUEUE_TEXT_LIMIT / 2);
    const one = testEntry(order);
    return { ...one, message: { ...one.message, text } };
  };
  const huge = { ...large(1).message, text: "x".repeat(QUEUE_TEXT_LIMIT + 1) };
  assertEquals(it.isFull(huge), false);
  const [first, second] = [large(1), large(2)];
  it.add(first, 0);
  assertEquals(it.isFull(second.message), false, "exactly the limit");
  it.add(second, 0);
  assertEquals(it.isFull(request("3", "ping")), true);
  it.remove(first);
  assertEquals(it.isFull(request("3", "ping")), false);
});

test("Queue: counts requests, those that will end, and subscriptions", () => {
  const it = queue();
  const counts =
    (): number[] => [it.requestCount, it.shortLivedCount, it.subscriptionCount];
  const methods = ["x", "server/discover", "subscriptions/listen"];
  const all = methods.map((method, i) => testEntry(i, method));
  for (const entry of all) it.add(entry, 0);
  assertEquals(counts(), [3, 1, 1]);
  for (const entry of all) it.remove(entry);
  assertEquals(counts(), [0, 0, 0]);
});

test("Wait notices: the first after 1 s, where there is a token and --wait-progress is on", () => {
  const moments = (["on", "off"] as const).map((waitProgress) => {
    const it = queue({ waitProgress });
    const all = [testEntry(1, "x", TOKEN), testEntry(2)];
    for (const entry of all) it.add(entry, 500);
    return all.map(({ waitNoticeAt }) => waitNoticeAt);
  });
  assertEquals(moments, [[1_500, Infinity], [Infinity, Infinity]]);
});
