/**
 * The lists of MCP and their cursors.
 *
 * @module
 */

import {
  emptied,
  type Listing,
  listingOf,
  listOf,
  methodOf,
  nextCursor,
} from "../../../lib/protocol/lists.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const LISTINGS: [method: string, listing: Listing, changed: string][] = [
  ["tools/list", "tools", "tools"],
  ["prompts/list", "prompts", "prompts"],
  ["resources/list", "resources", "resources"],
  ["resources/templates/list", "resourceTemplates", "resources"],
];
for (const [method, listing, changed] of LISTINGS) {
  test(`Lists: ${method} lists ${listing}`, () => {
    assertEquals(listingOf(method), listing);
    assertEquals(methodOf(listing), method);
    assertEquals(listOf(listing), changed, "the notification of its change");
  });
}

test("Lists: other methods list nothing, also those that objects have", () => {
  for (const method of ["tools/call", "tasks/list", "toString", "__proto__"]) {
    assertEquals(listingOf(method), undefined, method);
  }
});

test("Lists: an error for a missing method becomes an empty list", () => {
  const error = { code: -32601, message: "no" };
  const text = '{"jsonrpc":"2.0","id":"a","error":{}}';
  const answer = { kind: "answer", id: '"a"', result: undefined, error, text };
  const result = { resourceTemplates: [] };
  assertEquals(
    emptied(answer as Parameters<typeof emptied>[0], "resourceTemplates"),
    {
      kind: "answer",
      id: '"a"',
      result,
      error: undefined,
      text: '{"jsonrpc":"2.0","id":"a","result":{"resourceTemplates":[]}}',
    } as ReturnType<typeof emptied>,
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
  ) assertEquals(nextCursor(result), cursor, JSON.stringify(result));
});
