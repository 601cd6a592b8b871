/**
 * Lives through seeded worlds and prints what happened in them.
 *
 *     deno task worlds [COUNT] [FIRST SEED]
 *
 * @module
 */

import { live, type Tally } from "./world.ts";
import { print } from "./ws_transport.ts";

const count = Number(Deno.args[0] ?? 10_000);
const first = Number(Deno.args[1] ?? 1);
const sum: Tally = { answers: 0, faults: 0, dials: 0, losses: 0, repeats: 0 };
let broken = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  try {
    const tally = live(seed);
    for (const name of Object.keys(sum) as (keyof Tally)[]) {
      sum[name] += tally[name];
    }
  } catch (error) {
    broken++;
    if (broken <= 5) print(`seed ${seed}: ${(error as Error).stack}`);
  }
}
const seconds = (performance.now() - start) / 1000;
print(`${count} worlds in ${seconds.toFixed(1)} s, ${broken} broken`);
print(JSON.stringify(sum));
Deno.exit(broken === 0 ? 0 : 1);
