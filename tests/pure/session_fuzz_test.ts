import { type ExaiTally, liveExai } from "../tools/exai_world.ts";
import { assert, assertEquals } from "../tools/assert.ts";
import { test } from "../tools/pure.ts";
import { live, type Tally } from "../tools/world.ts";

/** How many worlds. `deno test ... -- WORLDS EXAI_WORLDS` changes it. */
const [WORLDS = 9_000, EXAI_WORLDS = 1_500] = Deno.args.map(Number);
assert(WORLDS > 0 && EXAI_WORLDS > 0, "the numbers of worlds are positive");

test(`${WORLDS} seeded worlds keep the delivery contract`, () => {
  const zero: Tally = {
    answers: 0,
    faults: 0,
    dials: 0,
    losses: 0,
    repeats: 0,
    sleeps: 0,
    blocks: 0,
    patience: 0,
  };
  liveThrough(WORLDS, live, zero, "mcp");
});

test(`${EXAI_WORLDS} seeded worlds with an exai daemon keep it, too`, () => {
  const zero: ExaiTally = {
    ...{
      answers: 0,
      faults: 0,
      executions: 0,
      polls: 0,
      restarts: 0,
      sleeps: 0,
    },
  };
  liveThrough(EXAI_WORLDS, liveExai, zero, "exai");
});

function liveThrough<T extends Tally | ExaiTally>(
  worlds: number,
  live: (seed: number) => T,
  zero: T,
  dialect: string,
): void {
  const sum = new Map(Object.entries(zero));
  for (let seed = 1; seed <= worlds; seed++) {
    let tally: T;
    try {
      tally = live(seed);
    } catch (error) {
      const task = `deno task worlds 1 ${seed} ${dialect}`;
      throw new Error(`Seed ${seed} (${task}): ${error}`, { cause: error });
    }
    for (const [name, count] of Object.entries(tally)) {
      sum.set(name, sum.get(name)! + count);
    }
  }
  // Worlds in which nothing happens prove nothing.
  for (const [name, count] of sum) {
    assert(count > worlds / 4, `only ${count} ${name}`);
  }
}

test("a seed gives the same world again", () => {
  assertEquals(live(7), live(7));
  assertEquals(liveExai(7), liveExai(7));
});
