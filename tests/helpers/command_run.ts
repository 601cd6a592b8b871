/**
 * A command on a host, and what it says.
 *
 * @module
 */

import type { Host } from "../../lib/runtime/host.ts";
import type { Output } from "../../lib/runtime/terminal.ts";

/** The end of a command, and its lines, with `\n` between them. */
export interface CommandResult {
  readonly code: number;
  /** What it says on stdout. */
  readonly stdout: string;
  /** What it says on stderr. */
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function runCommand(
  command: (
    args: readonly string[],
    host: Host,
    output: Output,
  ) => Promise<number>,
  args: readonly string[],
  host: Host,
): Promise<CommandResult> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await command(args, host, {
    print: (line) => out.push(line),
    printError: (line) => err.push(line),
    hasColors: false,
  });
  return { code, stdout: out.join("\n"), stderr: err.join("\n") };
}
