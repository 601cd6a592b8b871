/**
 * Runs seeded simulations, and prints how often each event happened in them.
 *
 *     deno task worlds [COUNT] [FIRST SEED]
 *       [mcp | exai | recovery | pair | liveness]
 *
 * @module
 */

import { runExaiSimulation } from "./exai_simulation.ts";
import { runLivenessSimulation } from "./liveness_simulation.ts";
import { runMcpSimulation } from "./mcp_simulation.ts";
import { runTwoProxiesSimulation } from "./two_proxies_simulation.ts";
import { print } from "../helpers/print.ts";
import { runReconnectSimulation } from "./reconnect_simulation.ts";

const SIMULATIONS: Readonly<Record<string, (seed: number) => object>> = {
  mcp: runMcpSimulation,
  exai: runExaiSimulation,
  recovery: runReconnectSimulation,
  pair: runTwoProxiesSimulation,
  liveness: runLivenessSimulation,
};

const count = Number(Deno.args[0] ?? 10_000);
const first = Number(Deno.args[1] ?? 1);
const run = SIMULATIONS[Deno.args[2] ?? "mcp"];
if (!(count > 0 && first > 0) || run === undefined) {
  const kinds = Object.keys(SIMULATIONS).join(" | ");
  print(`Usage: deno task worlds [COUNT] [FIRST SEED] [${kinds}]`);
  Deno.exit(1);
}
const sum = new Map<string, number>();
let failureCount = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  try {
    for (const [name, count] of Object.entries(run(seed))) {
      sum.set(name, (sum.get(name) ?? 0) + count);
    }
  } catch (error) {
    failureCount++;
    if (failureCount <= 5) print(`seed ${seed}: ${(error as Error).stack}`);
  }
}
const seconds = (performance.now() - start) / 1000;
print(`${count} runs in ${seconds.toFixed(1)} s, ${failureCount} failed`);
print(JSON.stringify(Object.fromEntries(sum)));
Deno.exit(failureCount === 0 ? 0 : 1);
