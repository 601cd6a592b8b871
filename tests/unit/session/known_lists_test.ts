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
    "a cursor that is none",
    [{ tools: [1], nextCursor: null }],
    [toolsPage([])],
    "changed",
  ],
  ["half of it seen", [toolsPage(["a"], "2")], [toolsPage(["a", "b"])], "same"],
  [
    "half of it seen, and gone",
    [toolsPage(["a"], "2")],
    [toolsPage(["b"])],
    "changed",
  ],
  ["a result that is none", [toolsPage(["a"])], [null], "changed"],
];

for (const [what, seenBefore, now, kind] of COMPARED) {
  test(`Known lists: compared with the new ones: ${what}`, () => {
    const catalog = new KnownLists();
    seenBefore.forEach((result, i) =>
      catalog.recordShown("tools", i === 0 ? undefined : "2", result)
    );
    const found = now.map((result, i) =>
      catalog.compare("tools", i === 0 ? undefined : "2", result)
    );
    assertEquals(found.at(-1)?.kind, kind);
  });
}

test("Known lists: a list that the client never saw has not changed", () => {
  const catalog = new KnownLists();
  assertEquals(
    catalog.compare("tools", undefined, toolsPage(["a"])).kind,
    "same",
  );
  assertEquals(catalog.shownLists(), []);
});

test("Known lists: the comparison stops after 100 pages", () => {
  const catalog = new KnownLists();
  catalog.recordShown("tools", undefined, toolsPage(["a"]));
  let pages = 1;
  let found = catalog.compare("tools", undefined, toolsPage(["b"], "0"));
  while (found.kind === "more" && pages < 1000) {
    const { cursor } = found;
    found = catalog.compare("tools", cursor, toolsPage(["b"], `${pages++}`));
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
  ["always the same", () => "resend", 2],
  ["always empty", () => "", 2],
  ["its own, once it has one", (cursor) => cursor ?? "first", 2],
  ["two that take turns", (cursor) => cursor === "x" ? "y" : "x", 3],
  [
    "empty, then one that stays",
    (cursor) => cursor === undefined ? "" : "x",
    3,
  ],
];

for (const [what, next, most] of CURSORS) {
  for (
    const [now, kind] of [[["a"], "same"], [["a", "b"], "changed"]] as const
  ) {
    test(`Known lists: a cursor that does not advance ends the list: ${what}, ${kind}`, () => {
      const catalog = new KnownLists();
      catalog.recordShown(
        "tools",
        undefined,
        toolsPage(["a"], next(undefined)),
      );
      let pages = 1;
      let found = catalog.compare(
        "tools",
        undefined,
        toolsPage([...now], next(undefined)),
      );
      while (found.kind === "more" && pages < 10) {
        const { cursor } = found;
        pages++;
        found = catalog.compare(
          "tools",
          cursor,
          toolsPage([...now], next(cursor)),
        );
      }
      assertEquals([found.kind, pages], [kind, most]);
    });
  }
}

test("Known lists: a page that the client requested twice counts once", () => {
  const catalog = new KnownLists();
  catalog.recordShown("tools", undefined, toolsPage(["a"], "2"));
  catalog.recordShown("tools", "2", toolsPage(["b"]));
  catalog.recordShown("tools", "2", toolsPage(["b"]));
  const found = catalog.compare("tools", undefined, toolsPage(["a", "b"]));
  assertEquals(found.kind, "same");
});
