/**
 * Tests which tools may be called twice, according to the tool list of each
 * connection.
 *
 * @module
 */

import { ToolHints } from "../../../lib/requests/tool_hints.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Tool hints: only annotations make a tool repeatable, and the newest ones count", () => {
  const hints = new ToolHints();
  const isRepeatableWith = (annotations: unknown): boolean => {
    hints.onToolsPage(1, undefined, { tools: [{ name: "t", annotations }] });
    return hints.isIdempotent("t");
  };
  assertEquals(isRepeatableWith({ readOnlyHint: true }), true);
  assertEquals(isRepeatableWith({ idempotentHint: true }), true);
  assertEquals(isRepeatableWith({ readOnlyHint: "true" }), false);
  assertEquals(isRepeatableWith({ destructiveHint: false }), false);
  assertEquals(isRepeatableWith(undefined), false);
  assertEquals(hints.isIdempotent("unknown"), false);
});

const READ_ONLY = { readOnlyHint: true };

test("Tool hints: each connection has its own list", () => {
  const hints = new ToolHints();
  const list = (connectionId: number, annotations: unknown): void =>
    hints.onToolsPage(connectionId, undefined, {
      tools: [{ name: "t", annotations }],
    });
  list(1, READ_ONLY);
  assertEquals([1, 2].map((connectionId) => hints.hintOf(connectionId, "t")), [
    "idempotent",
    "unknown",
  ]);
  list(2, {});
  assertEquals([1, 2].map((connectionId) => hints.hintOf(connectionId, "t")), [
    "idempotent",
    "not-idempotent",
  ]);
  assertEquals(hints.isIdempotent("t"), false, "the newest");
  hints.onDisconnect(1);
  assertEquals(hints.hintOf(1, "t"), "unknown");
});

test("Tool hints: a tool that is not in the complete list is not repeatable", () => {
  const hints = new ToolHints();
  const annotations = READ_ONLY;
  const page = (names: string[], nextCursor?: string): unknown => ({
    tools: names.map((name) => ({ name, annotations })),
    ...(nextCursor !== undefined && { nextCursor }),
  });
  hints.onToolsPage(1, "late", page(["a"]));
  assertEquals(hints.hintOf(1, "t"), "unknown", "the first page is missing");
  hints.onToolsPage(1, undefined, page(["a"], "2"));
  assertEquals(hints.hintOf(1, "t"), "unknown");
  hints.onToolsPage(1, "2", page(["b"]));
  assertEquals([hints.hintOf(1, "t"), hints.hintOf(1, "b")], [
    "not-idempotent",
    "idempotent",
  ]);
  for (const junk of [null, {}, { tools: 7 }, { tools: [7, { name: 7 }] }]) {
    hints.onToolsPage(2, undefined, junk);
  }
  assertEquals(
    hints.hintOf(2, "t"),
    "not-idempotent",
    "the list has no such tool",
  );
});

test("Tool hints: a first page replaces the earlier list of its connection", () => {
  const hints = new ToolHints();
  const list = (name: string): unknown => ({
    tools: [{ name, annotations: READ_ONLY }],
  });
  hints.onToolsPage(1, undefined, list("a"));
  hints.onToolsPage(1, undefined, list("b"));
  assertEquals(["a", "b"].map((tool) => hints.hintOf(1, tool)), [
    ...["not-idempotent", "idempotent"],
  ]);
  assertEquals(
    hints.isIdempotent("a"),
    true,
    "the latest list of any connection",
  );
});

test("Tool hints: a list whose further pages are not requested is complete", () => {
  const hints = new ToolHints();
  assertEquals(hints.isListRequested(1), false);
  hints.onListRequested(1);
  hints.onListEnd(1);
  assertEquals([hints.isListRequested(1), hints.hintOf(1, "a")], [
    ...[true, "unknown"],
  ]);
  hints.onToolsPage(1, undefined, { tools: [], nextCursor: "2" });
  assertEquals(hints.hintOf(1, "a"), "unknown");
  hints.onListEnd(1);
  assertEquals(hints.hintOf(1, "a"), "not-idempotent");
});
