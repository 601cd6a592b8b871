/**
 * What several commands print in the same way.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import { describeChoices } from "../text/suggest.ts";
import type { Host, TerminalSize } from "../runtime/host.ts";
import { type Output, outputSize } from "../runtime/terminal.ts";
import { findRunningProxies } from "../proxy/status_file.ts";
import type { ProxyStatus } from "../proxy/status_format.ts";
import { flagsOf } from "./command_table.ts";

/** What a text about proxies depends on besides the proxies. */
export interface View extends TerminalSize, Pick<Output, "hasColors"> {
  /** The time, in milliseconds since 1970. */
  readonly now: number;
  /** The number of status files that cannot be used. */
  readonly problemCount: number;
}

/** Returns a text about the proxies. */
export type Format = (
  proxies: readonly ProxyStatus[],
  view: View,
) => string | Promise<string>;

/**
 * Prints a text about the running proxies.
 *
 * @returns the exit code: 0; 1 if no status file, or not their folder, can be
 * read
 */
export async function printOnce(
  command: string,
  format: Format,
  host: Host,
  output: Output,
): Promise<number> {
  const { proxies, problems, isComplete } = findRunningProxies(host);
  printProblems(command, problems, output);
  if (!isComplete) return 1;
  // The text may be longer than the terminal is high.
  const view = { ...viewOf(host, output, problems), rows: Infinity };
  output.print(await format(proxies, view));
  return proxies.length === 0 && problems.length > 0 ? 1 : 0;
}

/** Returns the view of a text that fits on the terminal. */
export function viewOf(
  host: Host,
  { hasColors }: Output,
  { length: problemCount }: readonly string[],
): View {
  return { ...outputSize(host), now: Date.now(), hasColors, problemCount };
}

/** Returns the text if no proxy is known. */
export function describeNoProxy(
  { problemCount }: Pick<View, "problemCount">,
): string {
  return problemCount === 0
    ? "No alwaysup is running."
    : "No status file could be read.";
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
