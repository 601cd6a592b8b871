/**
 * Tests the comparison of the lists that the client has seen with those of a
 * new daemon.
 *
 * @module
 */

import { KnownLists } from "../../../lib/session/known_lists.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

function toolsPage(names: string[], nextCursor?: string): unknown {
  return {
    tools: names.map((name) => ({ name })),
    ...(nextCursor !== undefined && { nextCursor }),
  };
}

const COMPARED: [
  what: string,
  seenBefore: unknown[],
  now: unknown[],
  kind: string,
][] = [
  ["the same", [toolsPage(["a", "b"])], [toolsPage(["a", "b"])], "same"],
  ["another order", [toolsPage(["a", "b"])], [toolsPage(["b", "a"])], "same"],
  ["one more", [toolsPage(["a"])], [toolsPage(["a", "b"])], "changed"],
  ["one less", [toolsPage(["a", "b"])], [toolsPage(["a"])], "changed"],
  ["another", [toolsPage(["a"])], [toolsPage(["b"])], "changed"],
  ["none left", [toolsPage(["a"])], [toolsPage([])], "changed"],
  ["other pages", [toolsPage(["a"], "2"), toolsPage(["b"])], [
    toolsPage(["a", "b"]),
  ], "same"],
  [
    "an invalid cursor",
    [{ tools: [1], nextCursor: null }],
    [toolsPage([])],
    "changed",
  ],
  ["half of it seen", [toolsPage(["a"], "2")], [toolsPage(["a", "b"])], "same"],
  [
    "half of it seen, and removed since",
    [toolsPage(["a"], "2")],
    [toolsPage(["b"])],
    "changed",
  ],
  ["an invalid result", [toolsPage(["a"])], [null], "changed"],
];

for (const [what, seenBefore, now, kind] of COMPARED) {
  test(`Known lists: compared with the new ones: ${what}`, () => {
    const lists = new KnownLists();
    seenBefore.forEach((result, i) =>
      lists.recordShown("tools", i === 0 ? undefined : "2", result)
    );
    const found = now.map((result, i) =>
      lists.compare("tools", i === 0 ? undefined : "2", result)
    );
    assertEquals(found.at(-1)?.kind, kind);
  });
}

test("Known lists: a list that the client never saw has not changed", () => {
  const lists = new KnownLists();
  assertEquals(
    lists.compare("tools", undefined, toolsPage(["a"])).kind,
    "same",
  );
  assertEquals(lists.shownLists(), []);
});

test("Known lists: the comparison stops after 100 pages", () => {
  const lists = new KnownLists();
  lists.recordShown("tools", undefined, toolsPage(["a"]));
  let pages = 1;
  let found = lists.compare("tools", undefined, toolsPage(["b"], "0"));
  while (found.kind === "more" && pages < 1000) {
    const { cursor } = found;
    found = lists.compare("tools", cursor, toolsPage(["b"], `${pages++}`));
  }
  assertEquals(found.kind, "same");
  assert(pages <= 100);
});

/**
 * Cursors that do not advance: a function that returns the next cursor for a
 * requested one, and the number of requested pages.
 */
const CURSORS: [
  what: string,
  next: (cursor: string | undefined) => string,
  pages: number,
][] = [
  ["always the same", () => "again", 2],
  ["always empty", () => "", 2],
  ["the cursor of the request itself", (cursor) => cursor ?? "first", 2],
  ["two cursors in turn", (cursor) => cursor === "x" ? "y" : "x", 3],
  [
    "empty, then always the same",
    (cursor) => cursor === undefined ? "" : "x",
    3,
  ],
];

for (const [what, next, expectedPages] of CURSORS) {
  for (
    const [now, kind] of [[["a"], "same"], [["a", "b"], "changed"]] as const
  ) {
    test(`Known lists: a cursor that does not advance ends the list: ${what}, ${kind}`, () => {
      const lists = new KnownLists();
      lists.recordShown(
        "tools",
        undefined,
        toolsPage(["a"], next(undefined)),
      );
      let pages = 1;
      let found = lists.compare(
        "tools",
        undefined,
        toolsPage([...now], next(undefined)),
      );
      while (found.kind === "more" && pages < 10) {
        const { cursor } = found;
        pages++;
        found = lists.compare(
          "tools",
          cursor,
          toolsPage([...now], next(cursor)),
        );
      }
      assertEquals([found.kind, pages], [kind, expectedPages]);
    });
  }
}

test("Known lists: a page that the client requested twice counts once", () => {
  const lists = new KnownLists();
  lists.recordShown("tools", undefined, toolsPage(["a"], "2"));
  lists.recordShown("tools", "2", toolsPage(["b"]));
  lists.recordShown("tools", "2", toolsPage(["b"]));
  const found = lists.compare("tools", undefined, toolsPage(["a", "b"]));
  assertEquals(found.kind, "same");
});
