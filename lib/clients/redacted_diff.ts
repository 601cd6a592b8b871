/**
 * Shows how an entry in a client's file changes, with possible secrets
 * redacted.
 *
 * @module
 */

import { alwaysupCommandOf } from "./registry.ts";
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
 * Marks of a whole command line in the place of one word: an assignment, a
 * query, a URL, or a word after a space. Folder names may contain spaces.
 */
const SEVERAL_WORDS = /[=?]|:\/\/|\s-|\s[^/\\]*$/;

/**
 * Returns the lines of an entry that differ; `undefined` is no entry. The rest
 * of the file is not shown: it may contain other servers' secrets.
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
    const [, last] = /^--([^=]+)$/.exec(String(args[i - 1])) ?? [];
    return last !== undefined && !arg.startsWith("-")
      ? redactFlagValue(last, arg)
      : redactWord(arg, SAFE_ARGUMENT.test(arg));
  };
  const redactMember = (key: string, value: unknown): unknown => {
    if (/^(enabled|disabled)$/.test(key) && typeof value === "boolean") {
      return value;
    }
    if (/^(command|path|type)$/.test(key) && typeof value === "string") {
      return redactWord(value);
    }
    // The flags of other programs are unknown. opencode's command is a list.
    if (/^(command|args)$/.test(key) && Array.isArray(value) && isAlwaysup) {
      return value.map(redactArgument);
    }
    // Older versions of Zed had an object here.
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

/** The value of a flag that is not ours is hidden: its meaning is unknown. */
function redactFlagValue(flag: string, text: string): string {
  const [key] = listSettings().find(([, row]) => row.flag === flag) ?? [];
  try {
    return key === undefined ? REDACTED : redactSetting(key, text);
  } catch {
    return REDACTED;
  }
}
