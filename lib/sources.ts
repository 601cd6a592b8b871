/**
 * The settings of this process: its command line, its environment, and the
 * `.env` file that they name.
 *
 * @module
 */

import { envFileOf, readConfig, type Reading, type Sources } from "./config.ts";
import { type Host, messageOf } from "./host.ts";

/** Reads the configuration of the process, and says from where; `args` is the command line without the program's name and command. */
export async function readSettings(
  host: Host,
  args: readonly string[],
): Promise<{ readonly reading: Reading; readonly sources: Sources }> {
  const env = host.env();
  const path = envFileOf({ args, env });
  const file = path === undefined ? {} : await readEnvFile(host, path);
  if (typeof file === "string") {
    const reading = { kind: "problems", problems: [file] } as const;
    return { reading, sources: { args, env } };
  }
  const sources = { args, env, file };
  const reading = readConfig(sources, (path) => host.readFile(path));
  return { reading, sources };
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
