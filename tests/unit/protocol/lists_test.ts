/**
 * The lists of MCP and their cursors.
 *
 * @module
 */

import {
  listChangedKindOf,
  type ListKind,
  listKindOf,
  listMethodOf,
  nextCursorOf,
  toEmptyListResponse,
} from "../../../lib/protocol/lists.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const LISTINGS: [method: string, listing: ListKind, changed: string][] = [
  ["tools/list", "tools", "tools"],
  ["prompts/list", "prompts", "prompts"],
  ["resources/list", "resources", "resources"],
  ["resources/templates/list", "resourceTemplates", "resources"],
];
for (const [method, listing, changed] of LISTINGS) {
  test(`Lists: ${method} lists ${listing}`, () => {
    assertEquals(listKindOf(method), listing);
    assertEquals(listMethodOf(listing), method);
    assertEquals(
      listChangedKindOf(listing),
      changed,
      "the notification of its change",
    );
  });
}

test("Lists: other methods list nothing, also those that objects have", () => {
  for (const method of ["tools/call", "tasks/list", "toString", "__proto__"]) {
    assertEquals(listKindOf(method), undefined, method);
  }
});

test("Lists: an error for a missing method becomes an empty list", () => {
  const error = { code: -32601, message: "no" };
  const text = '{"jsonrpc":"2.0","id":"a","error":{}}';
  const answer = {
    kind: "response",
    id: '"a"',
    result: undefined,
    error,
    text,
  };
  const result = { resourceTemplates: [] };
  assertEquals(
    toEmptyListResponse(
      answer as Parameters<typeof toEmptyListResponse>[0],
      "resourceTemplates",
    ),
    {
      kind: "response",
      id: '"a"',
      result,
      error: undefined,
      text: '{"jsonrpc":"2.0","id":"a","result":{"resourceTemplates":[]}}',
    } as ReturnType<typeof toEmptyListResponse>,
  );
});

test("Lists: a cursor is a text, the empty one included", () => {
  for (
    const [result, cursor] of [
      [{ nextCursor: "2" }, "2"],
      [{ nextCursor: "" }, ""],
      [{ nextCursor: null }, undefined],
      [{ nextCursor: 2 }, undefined],
      [{}, undefined],
      [null, undefined],
    ] as const
  ) assertEquals(nextCursorOf(result), cursor, JSON.stringify(result));
});
