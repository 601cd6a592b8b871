/**
 * The settings of this process: its command line, its environment, and the
 * `.env` file that they name.
 *
 * @module
 */

import { envFileOf, readConfig, type Reading, type Sources } from "./config.ts";
import { type Host, messageOf } from "./host.ts";

/** Reads the configuration of the process; `args` is the command line without the program's name and command. */
export async function readSettings(
  host: Host,
  args: readonly string[],
): Promise<Reading> {
  const sources = await sourcesOf(host, args);
  if (typeof sources === "string") {
    return { kind: "problems", problems: [sources] };
  }
  return readConfig(sources, (path) => host.readFile(path));
}

/** Where the settings come from, or what is wrong with the named `.env` file. */
export async function sourcesOf(
  host: Host,
  args: readonly string[],
): Promise<Sources | string> {
  const env = host.env();
  const path = envFileOf({ args, env });
  const file = path === undefined ? {} : await readEnvFile(host, path);
  return typeof file === "string" ? file : { args, env, file };
}

/** The names and values of a `.env` file, or what is wrong with it. */
async function readEnvFile(
  host: Host,
  path: string,
): Promise<Record<string, string | undefined> | string> {
  try {
    const text = host.readFile(path).replace(/^\ufeff/, "");
    if (text.includes("\0")) throw new Error("it is not text in UTF-8");
    // Loaded only here: it costs the start a few milliseconds.
    const { parseEnv } = await import("node:util");
    return parseEnv(text);
  } catch (error) {
    const why = messageOf(error);
    return `--env-file ${path}: it cannot be read (${why})`;
  }
}
