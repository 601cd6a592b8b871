/**
 * Lives through seeded worlds and prints what happened in them.
 *
 *     deno task worlds [COUNT] [FIRST SEED] [mcp | exai]
 *
 * @module
 */

import { liveExai } from "./exai_world.ts";
import { live } from "./world.ts";
import { print } from "./print.ts";

const count = Number(Deno.args[0] ?? 10_000);
const first = Number(Deno.args[1] ?? 1);
if (!(count > 0 && first > 0)) {
  print("Say deno task worlds [COUNT] [FIRST SEED] [mcp | exai]");
  Deno.exit(1);
}
const run: (seed: number) => object = Deno.args[2] === "exai" ? liveExai : live;
const sum = new Map<string, number>();
let broken = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  try {
    for (const [name, count] of Object.entries(run(seed))) {
      sum.set(name, (sum.get(name) ?? 0) + count);
    }
  } catch (error) {
    broken++;
    if (broken <= 5) print(`seed ${seed}: ${(error as Error).stack}`);
  }
}
const seconds = (performance.now() - start) / 1000;
print(`${count} worlds in ${seconds.toFixed(1)} s, ${broken} broken`);
print(JSON.stringify(Object.fromEntries(sum)));
Deno.exit(broken === 0 ? 0 : 1);
