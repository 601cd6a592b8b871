/**
 * Shows how an entry in a client's file changes, with possible secrets
 * redacted.
 *
 * @module
 */

import { launchesAlwaysup } from "./registry.ts";
import { listSettings, redactSetting } from "../config/config.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

const REDACTED = "(hidden)";
/**
 * A launcher word, a flag's name, or a path. Any other word may be a secret in
 * the wrong place.
 */
const SAFE_ARGUMENT =
  /^(cmd|\/c|npx|bunx|dlx|exec|node|deno|run|(alwaysup|deno)(@[\w.^~-]+)?|-\w|--?[a-z-]{2,30}|-NERW|(~|\.{0,2}|[a-z]:)[/\\].*)$/i;

/**
 * Returns the lines of an entry that differ. The rest of the file is not shown:
 * it may contain other servers' secrets.
 *
 * @param before the old entry; `undefined` if there was none
 * @param after the new entry; `undefined` if there is none
 * @param launchCommand the command that starts this program
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

/** Returns an entry as text, redacted. */
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

/** Redacts an entry's members. */
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

/** Redacts a member of an entry. */
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
      // Older versions of Zed had an object here; opencode has a list.
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
      // The flags of other programs are unknown.
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

/**
 * Redacts a flag's value. The value of a flag that is not ours is hidden: its
 * meaning is unknown.
 */
function redactFlagValue(flag: string, text: string): string {
  const [key] = listSettings().find(([, row]) => row.flag === flag) ?? [];
  try {
    return key === undefined ? REDACTED : redactSetting(key, text);
  } catch {
    return REDACTED;
  }
}

/**
 * Marks of a whole command line in the place of one word: an assignment, a
 * query, a URL, or a word after a space. Folder names may contain spaces.
 */
const SEVERAL_WORDS = /[=?]|:\/\/|\s-|\s[^/\\]*$/;

/** Redacts a word that stands alone, e.g. the program that is started. */
function redactWord(text: string, launchCommand: readonly string[]): string {
  return SEVERAL_WORDS.test(text) ? redactUnlessOwn(text, launchCommand) : text;
}

/**
 * Returns a word if it is part of this program's launch command; else hides it.
 */
function redactUnlessOwn(
  text: string,
  launchCommand: readonly string[],
): string {
  return launchCommand.includes(text) ? text : REDACTED;
}
