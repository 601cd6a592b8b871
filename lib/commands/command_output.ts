/**
 * What several commands print in the same way.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import { describeChoices } from "../text/suggest.ts";
import type { TerminalSize } from "../runtime/host.ts";
import type { Output } from "../runtime/terminal.ts";
import { flagsOf } from "./command_table.ts";

/** What a text about proxies depends on besides the proxies. */
export interface View extends TerminalSize, Pick<Output, "hasColors"> {
  /** The time, in milliseconds since 1970. */
  readonly now: number;
  /** The number of status files that cannot be used. */
  readonly problemCount: number;
}

/** Returns the text if no proxy is known. */
export function describeNoProxy(
  { problemCount }: Pick<View, "problemCount">,
): string {
  return problemCount === 0
    ? "No alwaysup is running."
    : "No status file could be read.";
}

/** True if there are status files, but none can be used. */
export function hasNoUsableFile(
  proxies: readonly unknown[],
  problems: readonly string[],
): boolean {
  return proxies.length === 0 && problems.length > 0;
}

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
