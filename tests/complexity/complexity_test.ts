/**
 * Checks that the time of each parser, and of a session with much to do, grows
 * with the size and not with its square. Eight times the size may take up to 24
 * times as long: linear growth is 8, quadratic growth is 64.
 *
 * Work that is quadratic, or worse, within a small limit is not tested here:
 *
 * - A frame is cut after 1,000 pieces. Some ten unclosed objects in it are
 *   scanned to its end (`frame_splitter.ts`).
 * - A list of more than 100 pages is not compared (`known_lists.ts`).
 * - 100 tasks, 1,000 late responses, and 1,000 daemon requests are kept.
 * - A line that is too long is searched for its id in 1 KiB at each end.
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
  const measuredCase of [
    ...TEXT_CASES,
    ...OUTPUT_CASES,
    ...SESSION_CASES,
    ...SETTING_CASES,
  ]
) {
  test(`Complexity: ${measuredCase.name} takes linear time`, () => {
    const growth = growthOf(measuredCase);
    assert(growth < GROWTH_LIMIT, `${growth.toFixed(1)} times the time`);
  });
}

test("Complexity: the measurement finds a quadratic case, and accepts a linear one", () => {
  let now = 0;
  const growth = (power: number): number => {
    const prepareRun = (size: number) => (): unknown => now += size ** power;
    return growthOf({ name: "", size: 100, prepareRun }, () => now);
  };
  assertEquals([growth(1), growth(2)], [8, 64]);
});
