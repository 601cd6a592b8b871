import { type ExaiTally, runExaiSimulation } from "./exai_simulation.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import {
  runTwoProxiesSimulation,
  type TwoProxiesTally,
} from "./two_proxies_simulation.ts";
import {
  type LivenessTally,
  runLivenessSimulation,
} from "./liveness_simulation.ts";
import { test } from "../helpers/no_permissions.ts";
import {
  type ReconnectTally,
  runReconnectSimulation,
} from "./reconnect_simulation.ts";
import { type McpTally, runMcpSimulation } from "./mcp_simulation.ts";

/**
 * The number of simulations of each kind. `deno test ... -- MCP_RUNS EXAI_RUNS
 * RECONNECT_RUNS TWO_PROXIES_RUNS LIVENESS_RUNS` changes them.
 */
const [
  MCP_RUNS = 9_000,
  EXAI_RUNS = 1_500,
  RECONNECT_RUNS = 1_400,
  TWO_PROXIES_RUNS = 1_800,
  LIVENESS_RUNS = 1_500,
] = Deno.args.map(Number);
assert(
  Math.min(
    ...[MCP_RUNS, EXAI_RUNS, RECONNECT_RUNS, TWO_PROXIES_RUNS, LIVENESS_RUNS],
  ) > 0,
  "the numbers of simulations must be positive",
);

test(`Simulation: ${MCP_RUNS} seeded simulations with an MCP daemon keep the delivery contract`, () => {
  const zero: McpTally = {
    answers: 0,
    faults: 0,
    dials: 0,
    losses: 0,
    repeats: 0,
    sleeps: 0,
    blocks: 0,
    survivedSilences: 0,
    reformattedCount: 0,
    notUnderstood: 0,
  };
  runSeeds(MCP_RUNS, runMcpSimulation, zero, "mcp", 1 / 8);
});

test(`Simulation: ${EXAI_RUNS} seeded simulations with an exai daemon keep the delivery contract`, () => {
  const zero: ExaiTally = {
    ...{
      answers: 0,
      errors: 0,
      executions: 0,
      polls: 0,
      restarts: 0,
      sleeps: 0,
      reformattedCount: 0,
    },
  };
  runSeeds(EXAI_RUNS, runExaiSimulation, zero, "exai", 1 / 8);
});

test(`Simulation: ${RECONNECT_RUNS} seeded simulations keep the rules of reconnecting`, () => {
  const zero: ReconnectTally = {
    ...{ answers: 0, faults: 0, dials: 0, up: 0, refused: 0, reset: 0 },
    reformattedCount: 0,
    ...{ "opens and closes": 0, "closes with 1013": 0, garbage: 0 },
    ...{ "silent tcp": 0, "silent websocket": 0, "quick restarts": 0 },
    ...{ "1008 in a conversation": 0, unauthorized: 0, "slow start": 0 },
  };
  runSeeds(RECONNECT_RUNS, runReconnectSimulation, zero, "recovery");
});

test(`Simulation: ${TWO_PROXIES_RUNS} seeded simulations with two proxies keep the delivery contract`, () => {
  const zero: TwoProxiesTally = {
    ...{ answers: 0, faults: 0, dials: 0, displaced: 0, "kept out": 0 },
    ...{ restarts: 0, calm: 0, "quiet dials": 0, reformattedCount: 0 },
    ...{ newest: 0, both: 0, oldest: 0 },
  };
  runSeeds(TWO_PROXIES_RUNS, runTwoProxiesSimulation, zero, "pair");
});

test(`Simulation: ${LIVENESS_RUNS} seeded simulations end no call on a living connection, and notice dead ones`, () => {
  // Events that are rare are left out.
  const zero: Omit<LivenessTally, "displaced late" | "hidden" | "told"> = {
    ...{ dials: 0, displaced: 0, remembered: 0, freezes: 0, cuts: 0 },
    ...{ stalls: 0, sleeps: 0, "ended in time": 0, pings: 0 },
    ...{
      answered: 0,
      waiting: 0,
      concurrent: 0,
      serial: 0,
      reformattedCount: 0,
    },
    ...{ "serial as a whole": 0, "mute during calls": 0, phases: 0 },
    ...{ "never answers pings": 0, "late pong": 0, "closes the old one": 0 },
    ...{ "refuses the new one": 0, "ignores the new one": 0 },
    ...{ "answers the newest only": 0 },
  };
  runSeeds(LIVENESS_RUNS, runLivenessSimulation, zero, "liveness", 1 / 40);
});

/**
 * Runs simulations. Each event in `zero` must happen more than `share` times
 * per simulation on average.
 */
function runSeeds<T extends object>(
  runCount: number,
  simulate: (seed: number) => T,
  zero: Partial<T>,
  kind: string,
  share = 1 / 4,
): void {
  const sum = new Map<string, number>(Object.entries(zero));
  for (let seed = 1; seed <= runCount; seed++) {
    let tally: T;
    try {
      tally = simulate(seed);
    } catch (error) {
      const task = `deno task worlds 1 ${seed} ${kind}`;
      throw new Error(`Seed ${seed} (${task}): ${error}`, { cause: error });
    }
    for (const [name, count] of Object.entries(tally)) {
      if (sum.has(name)) sum.set(name, sum.get(name)! + count);
    }
  }
  // Without these events, the simulations would prove nothing.
  for (const [name, count] of sum) {
    assert(count > runCount * share, `only ${count} ${name}`);
  }
}

test("Simulation: a seed gives the same simulation again", () => {
  assertEquals(runMcpSimulation(7), runMcpSimulation(7));
  assertEquals(runExaiSimulation(7), runExaiSimulation(7));
  assertEquals(
    resultOfSeed7(runReconnectSimulation),
    resultOfSeed7(runReconnectSimulation),
  );
  assertEquals(
    resultOfSeed7(runTwoProxiesSimulation),
    resultOfSeed7(runTwoProxiesSimulation),
  );
  assertEquals(
    resultOfSeed7(runLivenessSimulation),
    resultOfSeed7(runLivenessSimulation),
  );
});

/** Returns the result of a simulation, or its error as text. */
function resultOfSeed7(simulate: (seed: number) => unknown): unknown {
  try {
    return simulate(7);
  } catch (error) {
    return String(error);
  }
}
