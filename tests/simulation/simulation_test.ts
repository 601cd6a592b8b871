import { type ExaiTally, liveExai } from "./exai_simulation.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { livePair, type PairTally } from "./two_proxies_simulation.ts";
import { liveLiveness, type LivenessTally } from "./liveness_simulation.ts";
import { test } from "../helpers/no_permissions.ts";
import { liveRecovery, type RecoveryTally } from "./reconnect_simulation.ts";
import { live, type Tally } from "./mcp_simulation.ts";

/** How many worlds. `deno test ... -- WORLDS EXAI_WORLDS RECOVERY_WORLDS PAIR_WORLDS LIVENESS_WORLDS` changes it. */
const [
  WORLDS = 9_000,
  EXAI_WORLDS = 1_500,
  RECOVERY_WORLDS = 1_400,
  PAIR_WORLDS = 1_800,
  LIVENESS_WORLDS = 1_500,
] = Deno.args.map(Number);
assert(
  Math.min(
    ...[WORLDS, EXAI_WORLDS, RECOVERY_WORLDS, PAIR_WORLDS, LIVENESS_WORLDS],
  ) > 0,
  "the numbers of worlds are positive",
);

test(`Simulation: ${WORLDS} seeded worlds with an MCP daemon keep the delivery contract`, () => {
  const zero: Tally = {
    answers: 0,
    faults: 0,
    dials: 0,
    losses: 0,
    repeats: 0,
    sleeps: 0,
    blocks: 0,
    patience: 0,
    dressed: 0,
    refused: 0,
  };
  liveThrough(WORLDS, live, zero, "mcp", 1 / 8);
});

test(`Simulation: ${EXAI_WORLDS} seeded worlds with an exai daemon keep the delivery contract`, () => {
  const zero: ExaiTally = {
    ...{
      answers: 0,
      faults: 0,
      executions: 0,
      polls: 0,
      restarts: 0,
      sleeps: 0,
      dressed: 0,
    },
  };
  liveThrough(EXAI_WORLDS, liveExai, zero, "exai", 1 / 8);
});

test(`Simulation: ${RECOVERY_WORLDS} seeded worlds keep the rules of reconnecting`, () => {
  const zero: RecoveryTally = {
    ...{ answers: 0, faults: 0, dials: 0, up: 0, refused: 0, reset: 0 },
    dressed: 0,
    ...{ "opens and closes": 0, "closes with 1013": 0, garbage: 0 },
    ...{ "silent tcp": 0, "silent websocket": 0, "quick restarts": 0 },
    ...{ "1008 in a conversation": 0, unauthorized: 0, "slow start": 0 },
  };
  liveThrough(RECOVERY_WORLDS, liveRecovery, zero, "recovery");
});

test(`Simulation: ${PAIR_WORLDS} seeded worlds with two proxies keep the delivery contract`, () => {
  const zero: PairTally = {
    ...{ answers: 0, faults: 0, dials: 0, displaced: 0, "kept out": 0 },
    ...{ restarts: 0, calm: 0, "quiet dials": 0, dressed: 0 },
    ...{ newest: 0, both: 0, oldest: 0 },
  };
  liveThrough(PAIR_WORLDS, livePair, zero, "pair");
});

test(`Simulation: ${LIVENESS_WORLDS} seeded worlds end no call on a living connection, and notice dead ones`, () => {
  // What hardly ever happens is not counted.
  const zero: Omit<LivenessTally, "displaced late" | "hidden" | "told"> = {
    ...{ dials: 0, displaced: 0, remembered: 0, freezes: 0, cuts: 0 },
    ...{ stalls: 0, sleeps: 0, "ended in time": 0, pings: 0 },
    ...{ answered: 0, waiting: 0, concurrent: 0, serial: 0, dressed: 0 },
    ...{ "serial as a whole": 0, "mute during calls": 0, phases: 0 },
    ...{ "never answers pings": 0, "late pong": 0, "closes the old one": 0 },
    ...{ "refuses the new one": 0, "ignores the new one": 0 },
    ...{ "answers the newest only": 0 },
  };
  liveThrough(LIVENESS_WORLDS, liveLiveness, zero, "liveness", 1 / 40);
});

/** Lives through worlds; each thing in `zero` happens in a share of them, or as often. */
function liveThrough<T extends object>(
  worlds: number,
  live: (seed: number) => T,
  zero: Partial<T>,
  kind: string,
  share = 1 / 4,
): void {
  const sum = new Map<string, number>(Object.entries(zero));
  for (let seed = 1; seed <= worlds; seed++) {
    let tally: T;
    try {
      tally = live(seed);
    } catch (error) {
      const task = `deno task worlds 1 ${seed} ${kind}`;
      throw new Error(`Seed ${seed} (${task}): ${error}`, { cause: error });
    }
    for (const [name, count] of Object.entries(tally)) {
      if (sum.has(name)) sum.set(name, sum.get(name)! + count);
    }
  }
  // Worlds in which nothing happens prove nothing.
  for (const [name, count] of sum) {
    assert(count > worlds * share, `only ${count} ${name}`);
  }
}

test("Simulation: a seed gives the same world again", () => {
  assertEquals(live(7), live(7));
  assertEquals(liveExai(7), liveExai(7));
  assertEquals(seen(liveRecovery), seen(liveRecovery));
  assertEquals(seen(livePair), seen(livePair));
  assertEquals(seen(liveLiveness), seen(liveLiveness));
});

/** What comes of a world, for better or worse. */
function seen(live: (seed: number) => unknown): unknown {
  try {
    return live(7);
  } catch (error) {
    return String(error);
  }
}
