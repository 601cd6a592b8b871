/**
 * Which tools may be called twice, by the list of each connection.
 *
 * @module
 */

import { Hints } from "../../../lib/requests/tool_hints.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Tool hints: only annotations make a tool repeatable, and the newest ones count", () => {
  const hints = new Hints();
  const told = (annotations: unknown): boolean => {
    hints.learn(1, undefined, { tools: [{ name: "t", annotations }] });
    return hints.isRepeatable("t");
  };
  assertEquals(told({ readOnlyHint: true }), true);
  assertEquals(told({ idempotentHint: true }), true);
  assertEquals(told({ readOnlyHint: "true" }), false);
  assertEquals(told({ destructiveHint: false }), false);
  assertEquals(told(undefined), false);
  assertEquals(hints.isRepeatable("unknown"), false);
});

const READ_ONLY = { readOnlyHint: true };

test("Tool hints: each connection has its own list", () => {
  const hints = new Hints();
  const list = (epoch: number, annotations: unknown): void =>
    hints.learn(epoch, undefined, { tools: [{ name: "t", annotations }] });
  list(1, READ_ONLY);
  assertEquals([1, 2].map((epoch) => hints.answer(epoch, "t")), [
    "repeatable",
    "unknown",
  ]);
  list(2, {});
  assertEquals([1, 2].map((epoch) => hints.answer(epoch, "t")), [
    "repeatable",
    "once",
  ]);
  assertEquals(hints.isRepeatable("t"), false, "the newest");
  hints.lost(1);
  assertEquals(hints.answer(1, "t"), "unknown");
});

test("Tool hints: a tool that is not in the complete list is not repeatable", () => {
  const hints = new Hints();
  const annotations = READ_ONLY;
  const page = (names: string[], nextCursor?: string): unknown => ({
    tools: names.map((name) => ({ name, annotations })),
    ...(nextCursor !== undefined && { nextCursor }),
  });
  hints.learn(1, "late", page(["a"]));
  assertEquals(hints.answer(1, "t"), "unknown", "the first page is missing");
  hints.learn(1, undefined, page(["a"], "2"));
  assertEquals(hints.answer(1, "t"), "unknown");
  hints.learn(1, "2", page(["b"]));
  assertEquals([hints.answer(1, "t"), hints.answer(1, "b")], [
    "once",
    "repeatable",
  ]);
  for (const junk of [null, {}, { tools: 7 }, { tools: [7, { name: 7 }] }]) {
    hints.learn(2, undefined, junk);
  }
  assertEquals(hints.answer(2, "t"), "once", "there is none");
});

test("Tool hints: a first page replaces the earlier list of its connection", () => {
  const hints = new Hints();
  const list = (name: string): unknown => ({
    tools: [{ name, annotations: READ_ONLY }],
  });
  hints.learn(1, undefined, list("a"));
  hints.learn(1, undefined, list("b"));
  assertEquals(["a", "b"].map((tool) => hints.answer(1, tool)), [
    ...["once", "repeatable"],
  ]);
  assertEquals(hints.isRepeatable("a"), true, "said last, on any connection");
});

test("Tool hints: a list whose further pages are not requested is complete", () => {
  const hints = new Hints();
  assertEquals(hints.isRequested(1), false);
  hints.requested(1);
  hints.complete(1);
  assertEquals([hints.isRequested(1), hints.answer(1, "a")], [
    ...[true, "unknown"],
  ]);
  hints.learn(1, undefined, { tools: [], nextCursor: "2" });
  assertEquals(hints.answer(1, "a"), "unknown");
  hints.complete(1);
  assertEquals(hints.answer(1, "a"), "once");
});
