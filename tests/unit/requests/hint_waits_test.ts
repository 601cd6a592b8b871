/**
 * Requests that wait until a daemon has listed its tools.
 *
 * @module
 */

import { HintWaits } from "../../../lib/requests/hint_waits.ts";
import { account } from "../../helpers/account.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** Two requests, and the ids of those that were changed. */
function waiting(): {
  readonly waits: HintWaits;
  readonly all: readonly ReturnType<typeof account>[];
  readonly changed: string[];
} {
  const all = [account(1), account(2)];
  const changed: string[] = [];
  const waits = new HintWaits(
    (key) => all.find((it) => it.key === key),
    ({ key }) => changed.push(key),
  );
  return { waits, all, changed };
}

test("Hint waits: a message of the daemon wakes those that wait on its connection", () => {
  const { waits, all, changed } = waiting();
  waits.ask("1", 7, 0);
  waits.ask("2", 8, 0);
  for (const key of ["1", "2"]) waits.park(key);
  assertEquals(all.map(({ isParked }) => isParked), [true, true]);
  changed.length = 0;
  waits.heard(7);
  assertEquals(all.map(({ isParked }) => isParked), [false, true]);
  assertEquals(changed, ["1"]);
});

test("Hint waits: after a lost connection none is asked, and the rest of the time stays", () => {
  const { waits, all } = waiting();
  waits.ask("1", 7, 0);
  waits.park("1");
  waits.lost(7, 2_000);
  const [first] = all;
  assertEquals(first?.hint, {
    epoch: undefined,
    until: Infinity,
    leftMs: 3_000,
  });
  assertEquals(first?.isParked, false);
});

test("Hint waits: a request that is asked anew belongs to the new connection only", () => {
  const { waits, changed } = waiting();
  waits.ask("1", 7, 0);
  waits.ask("1", 8, 0);
  changed.length = 0;
  waits.heard(7);
  assertEquals(changed, []);
  waits.heard(8);
  assertEquals(changed, ["1"]);
});

test("Hint waits: a request that is forgotten is not woken, an unknown one ignored", () => {
  const { waits, all, changed } = waiting();
  waits.ask("1", 7, 0);
  waits.forget(all[0]!);
  for (const act of [waits.park, waits.need]) act.call(waits, "3", 0);
  waits.ask("3", 7, 0);
  changed.length = 0;
  waits.heard(7);
  assertEquals(changed, []);
});
