/**
 * Formats the changes of an entry in a client's file. Possible secrets are
 * redacted.
 *
 * @module
 */

import { alwaysupCommandOf } from "./registry.ts";
import { listSettings, redactSetting } from "../config/config.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

const REDACTED = "(hidden)";
/**
 * The arguments that are shown: launcher words, flag names and paths. Any other
 * word may be a secret that the user put in the wrong place.
 */
const SAFE_ARGUMENT =
  /^(cmd|\/c|npx|bunx|dlx|exec|node|deno|run|(alwaysup|deno)(@[\w.^~-]+)?|-\w|--?[a-z-]{2,30}|-NERW|(~|\.{0,2}|[a-z]:)[/\\].*)$/i;

/**
 * The signs that a string holds more than one word or path: `=`, `?`, a URL, a
 * flag after a space, or a space in the last part of a path. Folder names may
 * contain spaces.
 */
const SEVERAL_WORDS = /[=?]|:\/\/|\s-|\s[^/\\]*$/;

/**
 * Returns an entry's lines from the first to the last difference, each with `-`
 * or `+` before it. `before` and `after` are `undefined` if there is no entry.
 * The rest of the file is not shown, because it may contain the secrets of
 * other servers.
 */
export function redactedDiff(
  name: string,
  before: unknown,
  after: unknown,
  launchCommand: readonly string[],
): string[] {
  const linesOf = (entry: unknown): string[] => {
    if (entry === undefined) return [];
    const shown = isRecord(entry)
      ? JSON.stringify(redactEntry(entry, launchCommand), null, 2)
      : REDACTED;
    return `${JSON.stringify(name)}: ${shown}`.split("\n");
  };
  const [oldLines, newLines] = [linesOf(before), linesOf(after)];
  for (const at of [0, -1]) {
    while (oldLines.length > 0 && oldLines.at(at) === newLines.at(at)) {
      oldLines.splice(at, 1);
      newLines.splice(at, 1);
    }
  }
  return [
    ...oldLines.map((line) => `- ${line}`),
    ...newLines.map((line) => `+ ${line}`),
  ];
}

function redactEntry(
  entry: Record<string, unknown>,
  launchCommand: readonly string[],
): unknown {
  const isAlwaysup = alwaysupCommandOf(entry, launchCommand) !== undefined;
  const redactWord = (word: string, isSafe = true): string =>
    isSafe && !SEVERAL_WORDS.test(word) || launchCommand.includes(word)
      ? word
      : REDACTED;
  const redactArgument = (
    arg: unknown,
    i: number,
    args: readonly unknown[],
  ): string => {
    if (typeof arg !== "string") return REDACTED;
    const [, flag, text] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (flag !== undefined) return `--${flag}=${redactFlagValue(flag, text!)}`;
    const [, previousFlag] = /^--([^=]+)$/.exec(String(args[i - 1])) ?? [];
    return previousFlag !== undefined && !arg.startsWith("-")
      ? redactFlagValue(previousFlag, arg)
      : redactWord(arg, SAFE_ARGUMENT.test(arg));
  };
  const redactMember = (key: string, value: unknown): unknown => {
    if (/^(enabled|disabled)$/.test(key) && typeof value === "boolean") {
      return value;
    }
    if (/^(command|path|type)$/.test(key) && typeof value === "string") {
      return redactWord(value);
    }
    // Only alwaysup's arguments are shown: other programs' flags are unknown.
    // opencode's `command` is a list.
    if (/^(command|args)$/.test(key) && Array.isArray(value) && isAlwaysup) {
      return value.map(redactArgument);
    }
    // Older versions of Zed have an object here.
    if (key === "command" && isRecord(value)) return redactMembers(value);
    return /^(env|environment|headers)$/.test(key) && isRecord(value)
      ? Object.fromEntries(Object.keys(value).map((name) => [name, REDACTED]))
      : REDACTED;
  };
  const redactMembers = (members: Record<string, unknown>): unknown =>
    Object.fromEntries(
      Object.entries(members)
        .map(([key, value]) => [key, redactMember(key, value)]),
    );
  return redactMembers(entry);
}

/** Redacts a flag's value; hides it if the flag is not one of our settings. */
function redactFlagValue(flag: string, text: string): string {
  const [key] = listSettings().find(([, row]) => row.flag === flag) ?? [];
  try {
    return key === undefined ? REDACTED : redactSetting(key, text);
  } catch {
    return REDACTED;
  }
}
