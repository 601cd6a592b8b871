import { assert, assertEquals } from "../tools/assert.ts";
import { test } from "../tools/pure.ts";
import { live, type Tally } from "../tools/world.ts";

const WORLDS = 4_000;

test(`${WORLDS} seeded worlds keep the delivery contract`, () => {
  const sum: Tally = { answers: 0, faults: 0, dials: 0, losses: 0, repeats: 0 };
  for (let seed = 1; seed <= WORLDS; seed++) {
    let tally: Tally;
    try {
      tally = live(seed);
    } catch (error) {
      throw new Error(`Seed ${seed} (deno task worlds 1 ${seed}): ${error}`, {
        cause: error,
      });
    }
    for (const name of Object.keys(sum) as (keyof Tally)[]) {
      sum[name] += tally[name];
    }
  }
  // Worlds in which nothing happens prove nothing.
  for (const [name, count] of Object.entries(sum)) {
    assert(count > WORLDS / 2, `only ${count} ${name}`);
  }
});

test("a seed gives the same world again", () => {
  assertEquals(live(7), live(7));
});
