/**
 * Compares how texts are read with `JSON.parse` and the rules, and prints how
 * many texts there were of each kind.
 *
 *     deno task fuzz [COUNT] [FIRST SEED]
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import { checkSeed, type FuzzTally } from "./message_check.ts";

const count = Number(Deno.args[0] ?? 1_000_000);
const first = Number(Deno.args[1] ?? 1);
if (!(count > 0 && first > 0)) {
  print("Usage: deno task fuzz [COUNT] [FIRST SEED]");
  Deno.exit(1);
}
const tally: FuzzTally = {};
let failureCount = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  try {
    checkSeed(seed, tally);
  } catch (error) {
    failureCount++;
    if (failureCount <= 5) print((error as Error).message);
  }
}
const seconds = (performance.now() - start) / 1000;
print(
  `${count} texts in ${seconds.toFixed(1)} s, ` +
    `${Math.round(count / seconds)} per second, ${failureCount} failed`,
);
print(JSON.stringify(tally));
Deno.exit(failureCount === 0 ? 0 : 1);
