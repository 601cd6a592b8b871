/**
 * What the program needs of a runtime; only the rooms named `host*` may name one.
 *
 * @module
 */

/** A runtime with a process around it. */
export interface Host {
  /** The runtime's name and version, e.g. `deno 2.9.6`. */
  readonly runtime: string;
  /** The command line without the program's name. */
  readonly args: readonly string[];
  /** The environment. */
  env(): Record<string, string>;
  /** A file's text; throws an error whose message a user can read. */
  readFile(path: string): string;
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** A variable of the environment; empty counts as not set. */
  variable(name: string): string | undefined;
  /** A file's text, and how many milliseconds old it is; `undefined` if there is none. Throws if it is larger than so many bytes, or cannot be read. */
  readState(
    path: string,
    limit: number,
  ): { readonly text: string; readonly ageMs: number } | undefined;
  /** Replaces a file's text at once, for the user's eyes only; its folder is made. Throws if it cannot. */
  writeState(path: string, text: string): void;
  /** The chunks of stdin; each is good until the next is asked for. Never throws. */
  stdin(): AsyncIterable<Uint8Array>;
  /** Writes some of the bytes to stdout and says how many; rejects when it is broken. */
  writeStdout(bytes: Uint8Array): Promise<number>;
  /** The same for stderr. */
  writeStderr(bytes: Uint8Array): Promise<number>;
  /** Calls back when the process is asked to end. */
  onSignal(callback: () => void): void;
  /** Ends the process. */
  exit(code: number): never;
}
