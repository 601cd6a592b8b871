/**
 * Prints what a message costs now, next to the table in `limits.ts`. With
 * `--write`, writes the counts into the table.
 *
 *     deno task costs [--write]
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import { COUNT_LIMITS, WAKE_UP_LIMITS } from "./limits.ts";
import { countCosts, findViolations, roundCost } from "./measure.ts";
import { wakeUpCosts } from "./wake_ups.ts";

const limits = { ...COUNT_LIMITS, ...WAKE_UP_LIMITS };
const isLinux = Deno.build.os === "linux";
const counts = await countCosts();
const costs = { ...counts, ...isLinux ? await wakeUpCosts() : {} };
for (const [name, { measured, most }] of Object.entries(limits)) {
  const value = costs[name];
  if (value === undefined) continue;
  const [now, before, limit] = [value, measured, most].map((it) =>
    `${roundCost(it)}`.padStart(8)
  );
  print(`${name.padEnd(60)}${now} now${before} in the table${limit} at most`);
}
if (Deno.args.includes("--write")) {
  const url = new URL("limits.ts", import.meta.url);
  let text = await Deno.readTextFile(url);
  for (const [name, value] of Object.entries(counts)) {
    text = text.replace(
      new RegExp(`("${name}":\\s*\\w+\\()[\\d.]+\\)`),
      (_, start) => `${start}${roundCost(value)})`,
    );
  }
  await Deno.writeTextFile(url, text);
} else {
  const checked = isLinux ? limits : COUNT_LIMITS;
  for (const violation of findViolations(costs, checked)) print(violation);
}
