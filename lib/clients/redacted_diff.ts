/**
 * How an entry of a client's changes, without what may be a secret in it.
 *
 * @module
 */

import { startsUs } from "./registry.ts";
import { rows, shownOf } from "../config/config.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

const HIDDEN = "(hidden)";
/** What starts a program, a flag's name, or a path. Another word may be a secret in the wrong place. */
const PLAIN =
  /^(cmd|\/c|npx|bunx|dlx|exec|node|deno|run|(alwaysup|deno)(@[\w.^~-]+)?|-\w|--?[a-z-]{2,30}|-NERW|(~|\.{0,2}|[a-z]:)[/\\].*)$/i;

/**
 * The lines of an entry that differ. Nothing else of the file is shown: it may
 * hold others' secrets.
 *
 * @param before the entry as it was; `undefined` if there was none
 * @param after the same for what is to be
 * @param program what starts this program
 */
export function diff(
  name: string,
  before: unknown,
  after: unknown,
  program: readonly string[],
): string[] {
  const [old, young] = [before, after].map((entry) =>
    entry === undefined ? [] : shown(name, entry, program).split("\n")
  ) as [string[], string[]];
  const isFull = (): boolean => old.length > 0 && young.length > 0;
  while (isFull() && old[0] === young[0]) {
    old.shift();
    young.shift();
  }
  while (isFull() && old.at(-1) === young.at(-1)) {
    old.pop();
    young.pop();
  }
  return [
    ...old.map((line) => `- ${line}`),
    ...young.map((line) => `+ ${line}`),
  ];
}

/** An entry as text. */
function shown(
  name: string,
  entry: unknown,
  program: readonly string[],
): string {
  const isOurs = startsUs(entry, program);
  const text = isRecord(entry)
    ? JSON.stringify(members(entry, isOurs, program), null, 2)
    : HIDDEN;
  return `${JSON.stringify(name)}: ${text}`;
}

/** What may be shown of an entry's members. */
function members(
  entry: Record<string, unknown>,
  isOurs: boolean,
  program: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(entry)
      .map(([key, value]) => [key, memberOf(key, value, isOurs, program)]),
  );
}

/** What may be shown of a member of an entry. */
function memberOf(
  key: string,
  value: unknown,
  isOurs: boolean,
  program: readonly string[],
): unknown {
  switch (key) {
    case "enabled":
    case "disabled":
      return typeof value === "boolean" ? value : HIDDEN;
    case "command":
      // Zed had an object there once, opencode has a list.
      if (isRecord(value)) return members(value, isOurs, program);
      if (Array.isArray(value)) {
        return memberOf("args", value, isOurs, program);
      }
      return memberOf("path", value, isOurs, program);
    case "type":
    case "path":
      return typeof value === "string" ? word(value, program) : HIDDEN;
    case "args":
      // What others' flags mean is not known.
      return isOurs && Array.isArray(value)
        ? value.map((arg, i) => argument(arg, value[i - 1], program))
        : HIDDEN;
    case "env":
    case "environment":
    case "headers":
      return isRecord(value)
        ? Object.fromEntries(Object.keys(value).map((name) => [name, HIDDEN]))
        : HIDDEN;
    default:
      return HIDDEN;
  }
}

function argument(
  arg: unknown,
  before: unknown,
  program: readonly string[],
): string {
  if (typeof arg !== "string") return HIDDEN;
  const [, flag, text] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
  if (flag !== undefined) return `--${flag}=${valueOf(flag, text!)}`;
  const [, last] = /^--([^=]+)$/.exec(String(before)) ?? [];
  if (last !== undefined && !arg.startsWith("-")) return valueOf(last, arg);
  return PLAIN.test(arg) ? word(arg, program) : wordOfUs(arg, program);
}

/** The value of a flag of ours; of another's nobody knows what it is. */
function valueOf(flag: string, text: string): string {
  const [key] = rows().find(([, row]) => row.flag === flag) ?? [];
  try {
    return key === undefined ? HIDDEN : shownOf(key, text);
  } catch {
    return HIDDEN;
  }
}

/** What a whole command line has where one word belongs: an assignment, a query, a URL, or a word behind a blank. Folders may have blanks in their names. */
const SEVERAL = /[=?]|:\/\/|\s-|\s[^/\\]*$/;

/** A word that stands alone, as what starts the program does. */
function word(text: string, program: readonly string[]): string {
  return SEVERAL.test(text) ? wordOfUs(text, program) : text;
}

/** A word, if this program is started with it. */
function wordOfUs(text: string, program: readonly string[]): string {
  return program.includes(text) ? text : HIDDEN;
}
