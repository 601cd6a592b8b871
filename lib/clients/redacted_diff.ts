/**
 * How an entry of a client's changes, without what may be a secret in it.
 *
 * @module
 */

import { launchesAlwaysup } from "./registry.ts";
import { listSettings, redactSetting } from "../config/config.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

const REDACTED = "(hidden)";
/** What starts a program, a flag's name, or a path. Another word may be a secret in the wrong place. */
const SAFE_ARGUMENT =
  /^(cmd|\/c|npx|bunx|dlx|exec|node|deno|run|(alwaysup|deno)(@[\w.^~-]+)?|-\w|--?[a-z-]{2,30}|-NERW|(~|\.{0,2}|[a-z]:)[/\\].*)$/i;

/**
 * The lines of an entry that differ. Nothing else of the file is shown: it may
 * hold others' secrets.
 *
 * @param before the entry as it was; `undefined` if there was none
 * @param after the same for what is to be
 * @param program what starts this program
 */
export function redactedDiff(
  name: string,
  before: unknown,
  after: unknown,
  launchCommand: readonly string[],
): string[] {
  const [oldLines, newLines] = [before, after].map((entry) =>
    entry === undefined
      ? []
      : redactedEntryText(name, entry, launchCommand).split("\n")
  ) as [string[], string[]];
  const haveBothLines = (): boolean =>
    oldLines.length > 0 && newLines.length > 0;
  while (haveBothLines() && oldLines[0] === newLines[0]) {
    oldLines.shift();
    newLines.shift();
  }
  while (haveBothLines() && oldLines.at(-1) === newLines.at(-1)) {
    oldLines.pop();
    newLines.pop();
  }
  return [
    ...oldLines.map((line) => `- ${line}`),
    ...newLines.map((line) => `+ ${line}`),
  ];
}

/** An entry as text. */
function redactedEntryText(
  name: string,
  entry: unknown,
  launchCommand: readonly string[],
): string {
  const isAlwaysup = launchesAlwaysup(entry, launchCommand);
  const text = isRecord(entry)
    ? JSON.stringify(redactMembers(entry, isAlwaysup, launchCommand), null, 2)
    : REDACTED;
  return `${JSON.stringify(name)}: ${text}`;
}

/** What may be shown of an entry's members. */
function redactMembers(
  entry: Record<string, unknown>,
  isAlwaysup: boolean,
  launchCommand: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(entry)
      .map((
        [key, value],
      ) => [key, redactMember(key, value, isAlwaysup, launchCommand)]),
  );
}

/** What may be shown of a member of an entry. */
function redactMember(
  key: string,
  value: unknown,
  isAlwaysup: boolean,
  launchCommand: readonly string[],
): unknown {
  switch (key) {
    case "enabled":
    case "disabled":
      return typeof value === "boolean" ? value : REDACTED;
    case "command":
      // Zed had an object there once, opencode has a list.
      if (isRecord(value)) {
        return redactMembers(value, isAlwaysup, launchCommand);
      }
      if (Array.isArray(value)) {
        return redactMember("args", value, isAlwaysup, launchCommand);
      }
      return redactMember("path", value, isAlwaysup, launchCommand);
    case "type":
    case "path":
      return typeof value === "string"
        ? redactWord(value, launchCommand)
        : REDACTED;
    case "args":
      // What others' flags mean is not known.
      return isAlwaysup && Array.isArray(value)
        ? value.map((arg, i) =>
          redactArgument(arg, value[i - 1], launchCommand)
        )
        : REDACTED;
    case "env":
    case "environment":
    case "headers":
      return isRecord(value)
        ? Object.fromEntries(Object.keys(value).map((name) => [name, REDACTED]))
        : REDACTED;
    default:
      return REDACTED;
  }
}

function redactArgument(
  arg: unknown,
  before: unknown,
  launchCommand: readonly string[],
): string {
  if (typeof arg !== "string") return REDACTED;
  const [, flag, text] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
  if (flag !== undefined) return `--${flag}=${redactFlagValue(flag, text!)}`;
  const [, last] = /^--([^=]+)$/.exec(String(before)) ?? [];
  if (last !== undefined && !arg.startsWith("-")) {
    return redactFlagValue(last, arg);
  }
  return SAFE_ARGUMENT.test(arg)
    ? redactWord(arg, launchCommand)
    : redactUnlessOwn(arg, launchCommand);
}

/** The value of a flag of ours; of another's nobody knows what it is. */
function redactFlagValue(flag: string, text: string): string {
  const [key] = listSettings().find(([, row]) => row.flag === flag) ?? [];
  try {
    return key === undefined ? REDACTED : redactSetting(key, text);
  } catch {
    return REDACTED;
  }
}

/** What a whole command line has where one word belongs: an assignment, a query, a URL, or a word behind a blank. Folders may have blanks in their names. */
const SEVERAL_WORDS = /[=?]|:\/\/|\s-|\s[^/\\]*$/;

/** A word that stands alone, as what starts the program does. */
function redactWord(text: string, launchCommand: readonly string[]): string {
  return SEVERAL_WORDS.test(text) ? redactUnlessOwn(text, launchCommand) : text;
}

/** A word, if this program is started with it. */
function redactUnlessOwn(
  text: string,
  launchCommand: readonly string[],
): string {
  return launchCommand.includes(text) ? text : REDACTED;
}
