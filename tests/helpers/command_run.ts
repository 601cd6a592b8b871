/**
 * A command on a host, and what it says.
 *
 * @module
 */

import type { Host } from "../../lib/runtime/host.ts";
import type { Output } from "../../lib/runtime/terminal.ts";

/** The end of a command, and its lines, with `\n` between them. */
export interface Ran {
  readonly code: number;
  /** What it says on stdout. */
  readonly out: string;
  /** What it says on stderr. */
  readonly err: string;
}

/** Runs a command to its end. */
export async function ran(
  command: (
    args: readonly string[],
    host: Host,
    output: Output,
  ) => Promise<number>,
  args: readonly string[],
  host: Host,
): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await command(args, host, {
    print: (line) => out.push(line),
    complain: (line) => err.push(line),
    isColoured: false,
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}
