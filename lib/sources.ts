/**
 * The settings of this process: its command line, its environment, and the
 * `.env` file that they name.
 *
 * @module
 */

import {
  envFileOf,
  type Given,
  readConfig,
  type Reading,
  type Sources,
} from "./config.ts";
import { type Host, messageOf } from "./host.ts";

/** Reads the configuration of the process, and says from where; `args` is the command line without the program's name and command. */
export async function readSettings(
  host: Host,
  args: readonly string[],
): Promise<{ readonly reading: Reading; readonly sources: Sources }> {
  const env = host.env();
  const named = envFileOf({ args, env });
  // A variable is often set once for many programs and machines; a flag is
  // meant for this one.
  const isMissing = named?.from === "env" && !isThere(host, named.text);
  const file = named === undefined || isMissing
    ? {}
    : await readEnvFile(host, named);
  if (typeof file === "string") {
    const reading = { kind: "problems", problems: [file] } as const;
    return { reading, sources: { args, env } };
  }
  const sources = { args, env, file };
  const reading = await trusting(
    readConfig(sources, (path) => host.readFile(path)),
    host,
  );
  if (!isMissing) return { reading, sources };
  const { name, text } = named;
  const missing = `${name}: there is no file ${text}; going on without it`;
  return { reading: withWarning(reading, missing), sources };
}

/** Has the runtime trust the authorities that were named; what it does not take is a problem. */
async function trusting(reading: Reading, host: Host): Promise<Reading> {
  if (reading.kind === "problems") return reading;
  const { authorities } = reading.config;
  if (authorities.length === 0) return reading;
  try {
    await host.trustAuthorities(authorities);
    return reading;
  } catch (error) {
    return { kind: "problems", problems: [`--ca-file: ${messageOf(error)}`] };
  }
}

/** Whether something has that name; what cannot be looked at may be there. */
function isThere(host: Host, path: string): boolean {
  try {
    return host.stat(path) !== undefined;
  } catch {
    return true;
  }
}

/** What is wrong otherwise may be so because of it, so a problem comes after it. */
function withWarning(reading: Reading, text: string): Reading {
  return reading.kind === "problems"
    ? { ...reading, problems: [text, ...reading.problems] }
    : { ...reading, warnings: [text, ...reading.warnings] };
}

/** The names and values of a `.env` file, or what is wrong with it. */
async function readEnvFile(
  host: Host,
  { name, text: path }: Given,
): Promise<Record<string, string | undefined> | string> {
  try {
    const text = host.readFile(path).replace(/^\ufeff/, "");
    if (text.includes("\0")) throw new Error("it is not text in UTF-8");
    // Loaded only here: it costs the start a few milliseconds.
    const { parseEnv } = await import("node:util");
    return parseEnv(text);
  } catch (error) {
    const why = messageOf(error);
    return `${name} ${path}: it cannot be read (${why})`;
  }
}
