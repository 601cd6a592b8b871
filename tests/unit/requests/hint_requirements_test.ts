/**
 * Requests that wait until a daemon has listed its tools.
 *
 * @module
 */

import { HintRequirements } from "../../../lib/requests/hint_requirements.ts";
import { testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** Two requests, and the ids of the changed ones. */
function waiting(): {
  readonly waits: HintRequirements;
  readonly all: readonly ReturnType<typeof testEntry>[];
  readonly changed: string[];
} {
  const all = [testEntry(1), testEntry(2)];
  const changed: string[] = [];
  const waits = new HintRequirements(
    (key) => all.find((it) => it.key === key),
    ({ key }) => changed.push(key),
  );
  return { waits, all, changed };
}

test("Hint waits: a message of the daemon wakes those that wait on its connection", () => {
  const { waits, all, changed } = waiting();
  waits.markRequested("1", 7, 0);
  waits.markRequested("2", 8, 0);
  for (const key of ["1", "2"]) waits.awaitToolList(key);
  assertEquals(all.map(({ isAwaitingToolList }) => isAwaitingToolList), [
    true,
    true,
  ]);
  changed.length = 0;
  waits.onToolList(7);
  assertEquals(all.map(({ isAwaitingToolList }) => isAwaitingToolList), [
    false,
    true,
  ]);
  assertEquals(changed, ["1"]);
});

test("Hint waits: after a lost connection no list is requested, and the remaining time stays", () => {
  const { waits, all } = waiting();
  waits.markRequested("1", 7, 0);
  waits.awaitToolList("1");
  waits.onDisconnect(7, 2_000);
  const [first] = all;
  assertEquals(first?.hintRequirement, {
    connectionId: undefined,
    until: Infinity,
    remainingMs: 3_000,
  });
  assertEquals(first?.isAwaitingToolList, false);
});

test("Hint waits: a request with a new requirement belongs to the new connection only", () => {
  const { waits, changed } = waiting();
  waits.markRequested("1", 7, 0);
  waits.markRequested("1", 8, 0);
  changed.length = 0;
  waits.onToolList(7);
  assertEquals(changed, []);
  waits.onToolList(8);
  assertEquals(changed, ["1"]);
});

test("Hint waits: a request that is forgotten is not woken, an unknown one ignored", () => {
  const { waits, all, changed } = waiting();
  waits.markRequested("1", 7, 0);
  waits.remove(all[0]!);
  for (const act of [waits.awaitToolList, waits.add]) act.call(waits, "3", 0);
  waits.markRequested("3", 7, 0);
  changed.length = 0;
  waits.onToolList(7);
  assertEquals(changed, []);
});
