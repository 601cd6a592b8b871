/**
 * Runs a command on a host, and collects its output.
 *
 * @module
 */

import type { Host } from "../../lib/runtime/host.ts";
import type { Output } from "../../lib/runtime/terminal.ts";

/** The exit code and the output of a command. Lines are joined with `\n`. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command until it ends. */
export async function runCommand(
  command: (
    args: readonly string[],
    host: Host,
    output: Output,
  ) => number | Promise<number>,
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
