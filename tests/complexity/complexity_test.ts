/**
 * Every parser, and a session with much to do, must take time that grows with
 * the size and not with its square. Eight times the size may take up to 24
 * times the time: linear is 8, quadratic 64.
 *
 * Work that is quadratic, or worse, within a small limit is not tested here: a
 * frame of more than 1,000 pieces is cut, and ten open objects are scanned to
 * the end of the frame (`frames`); a list of more than 100 pages is not
 * compared (`known_lists`); 100 tasks, 1,000 late responses and 1,000 pending
 * requests of the daemon are kept; 1 KiB of each end of a line that is too long
 * is searched for an id (`recoverRequestId`).
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import { GROWTH_LIMIT, growthOf } from "./measure.ts";
import { OUTPUT_CASES } from "./outputs.ts";
import { SESSION_CASES } from "./sessions.ts";
import { SETTING_CASES } from "./settings.ts";
import { TEXT_CASES } from "./texts.ts";
import { test } from "../helpers/no_permissions.ts";

for (
  const reader of [
    ...TEXT_CASES,
    ...OUTPUT_CASES,
    ...SESSION_CASES,
    ...SETTING_CASES,
  ]
) {
  test(`Complexity: ${reader.name} takes linear time`, () => {
    const growth = growthOf(reader);
    assert(growth < GROWTH_LIMIT, `${growth.toFixed(1)} times the time`);
  });
}

test("Complexity: the measurement finds a quadratic reader, and accepts a linear one", () => {
  let now = 0;
  const growth = (power: number): number => {
    const prepareRun = (size: number) => (): unknown => now += size ** power;
    return growthOf({ name: "", size: 100, prepareRun }, () => now);
  };
  assertEquals([growth(1), growth(2)], [8, 64]);
});
