/**
 * Measures all costs, and compares them with the table.
 *
 * @module
 */

import { ROOT } from "../../.ci/build/bundle.ts";
import type { Limits } from "./limits.ts";

/** What was measured, by name. */
export type Costs = Readonly<Record<string, number>>;

/**
 * Makes the number of allocated bytes repeatable: nothing is optimized, so no
 * allocation disappears, and no garbage is collected meanwhile.
 */
const V8_FLAGS = [
  "--expose-gc",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
  "--no-lazy-feedback-allocation",
  "--single-threaded-gc",
  "--min-semi-space-size=64",
  "--max-semi-space-size=64",
];

/**
 * Counts what messages cost in session and proxy, and what telemetry costs if
 * it is off. Each is counted in a process of its own.
 */
export async function countCosts(): Promise<Costs> {
  return {
    ...await runCounting("count.ts"),
    ...await runCounting("count_unobserved.ts"),
  };
}

async function runCounting(script: string): Promise<Costs> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--cached-only", "--no-prompt", "-A"],
      `--v8-flags=${V8_FLAGS.join(",")}`,
      `${ROOT}tests/costs/${script}`,
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Returns a cost as the table shows it. */
export function roundCost(value: number): number {
  return value < 1000 ? Math.round(100 * value) / 100 : Math.round(value);
}

/** What to do about violations. */
const ADVICE = `What has grown: find what costs more, and remove it. Change the
table tests/costs/limits.ts only for a reason, and name it in the commit.
What has fallen: good; the table must say so, or it would allow the old cost.
"deno task costs --write" writes the table.`;

/** Throws if there is a cost that its limit does not accept. */
export function assertAccepted(costs: Costs, limits: Limits): void {
  const violations = findViolations(costs, limits);
  if (violations.length === 0) return;
  throw new Error([...violations, ADVICE].join("\n"));
}

/** Returns a line for each cost that its limit does not accept. */
export function findViolations(costs: Costs, limits: Limits): string[] {
  return Object.entries(limits).flatMap(([name, { measured, most, least }]) => {
    const cost = costs[name];
    if (cost === undefined) return [`"${name}" was not counted.`];
    const value = roundCost(cost);
    if (value >= least && value <= most) return [];
    const change = value > most ? "grown" : "fallen";
    const limit = roundCost(value > most ? most : least);
    return [
      `"${name}" has ${change} from ${measured} to ${value} (limit: ${limit}).`,
    ];
  });
}
