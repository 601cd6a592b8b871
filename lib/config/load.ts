/**
 * The settings of this process: its command line, its environment, and the
 * `.env` file that they name.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { NoText } from "../text/utf8.ts";
import {
  envFileOf,
  type Given,
  readConfig,
  type Reading,
  type Sources,
} from "./config.ts";
import type { EnvText } from "./dotenv.ts";
import { type Host } from "../runtime/host.ts";

/** How many things of a kind one sentence names. */
const NAMED_LIMIT = 10;

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
  const found = named === undefined || isMissing
    ? undefined
    : await readEnvFile(host, named, env);
  if (typeof found === "string") {
    const reading = { kind: "problems", problems: [found] } as const;
    return { reading, sources: { args, env } };
  }
  const sources = { args, env, file: found?.values ?? {} };
  const reading = await trusting(
    readConfig(sources, (path) => textIn(host, path)),
    host,
  );
  if (named === undefined) return { reading, sources };
  const { name, text } = named;
  const warnings = found === undefined
    ? [`${name}: there is no file ${text}; going on without it`]
    : faults(found).map((fault) => `${name} ${text}: ${fault}`);
  return { reading: withWarnings(reading, warnings), sources };
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
function withWarnings(reading: Reading, texts: readonly string[]): Reading {
  return reading.kind === "problems"
    ? { ...reading, problems: [...texts, ...reading.problems] }
    : { ...reading, warnings: [...texts, ...reading.warnings] };
}

/** What does not do in a `.env` file what it was written for, a sentence for each kind; a line's text may be a secret. */
function faults({ unread, unset }: EnvText): string[] {
  const isOne = unread.length === 1;
  const lines = `${isOne ? "line" : "lines"} ${listed(unread, " and ")}`;
  const names = unset.map(({ line, name }) => {
    // A password may hold braces, too.
    const isName = /^[A-Z_][A-Z0-9_]{0,63}$/.test(name);
    return `${isName ? `\${${name}}` : "a ${...}"} (line ${line})`;
  });
  return [
    ...unread.length === 0 ? [] : [
      `${lines} cannot be read and ${isOne ? "is" : "are"} left out; ` +
      "write NAME=value there, and close quotes",
    ],
    ...unset.length === 0 ? [] : [
      `nothing sets ${listed(names, ", ")}, so nothing is put in there; ` +
      "set it before that line or in the environment, or write what stands " +
      "in for it: ${NAME:-value}",
    ],
  ];
}

/** So many of them as a sentence may name. */
function listed(all: readonly (string | number)[], last: string): string {
  const rest = all.length - NAMED_LIMIT;
  const named = rest > 0 ? [...all.slice(0, NAMED_LIMIT), `${rest} more`] : all;
  const head = named.slice(0, -1).join(", ");
  return head === "" ? `${named[0]}` : head + last + named.at(-1);
}

/** The text of a file that a setting names. UTF-16 without its mark is UTF-8 with zeros. */
function textIn(host: Host, path: string): string {
  const text = host.readFile(path);
  if (text.includes("\0")) throw new NoText("it is not text in UTF-8");
  return text;
}

/** What a `.env` file says, or what is wrong with it. */
async function readEnvFile(
  host: Host,
  { name, text: path }: Given,
  env: Record<string, string>,
): Promise<EnvText | string> {
  try {
    const text = textIn(host, path);
    // Loaded only here: most starts do without.
    const { parseEnvText } = await import("./dotenv.ts");
    return parseEnvText(text, env);
  } catch (error) {
    const why = messageOf(error);
    return `${name} ${path}: it cannot be read (${why})`;
  }
}
