/**
 * What several commands print in the same way.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import { describeChoices } from "../text/suggest.ts";
import type { Output } from "../runtime/terminal.ts";
import { flagsOf } from "./command_table.ts";

/**
 * Returns a message about the first flag that a command does not have;
 * `undefined` if there is none. It does not repeat the flag, which may be a
 * secret.
 */
export function describeUnknownFlag(
  command: string,
  args: readonly string[],
): string | undefined {
  const flags = flagsOf(command);
  const unknown = args.find((arg) => !flags.includes(arg));
  if (unknown === undefined) return undefined;
  const hint = describeChoices(unknown, "flags", flags);
  return `alwaysup ${command}: there is no such flag; ${hint}`;
}

/** Prints a line for each status file that cannot be used. */
export function printProblems(
  command: string,
  problems: readonly string[],
  output: Output,
): void {
  for (const problem of problems) {
    output.printError(`alwaysup ${command}: ${sanitizeLine(problem)}`);
  }
}
