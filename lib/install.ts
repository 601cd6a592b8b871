/**
 * The commands that let a client start this program, and that end it.
 *
 * @module
 */

import {
  type Client,
  CLIENTS,
  entryOf,
  FILE_LIMIT,
  findOurs,
  startable,
} from "./clients.ts";
import { envFileOf, made, rows, type Sources } from "./config.ts";
import { diff } from "./entry_diff.ts";
import { readLimited } from "./files.ts";
import { type Host, messageOf } from "./host.ts";
import { create, keep, overwrite } from "./in_place.ts";
import { type Output, paint, tame } from "./output.ts";
import { path as parsePath } from "./parse.ts";
import {
  entryIn,
  parseFile,
  type Slot,
  withEntry,
  withoutEntry,
} from "./servers_text.ts";
import type { Setting, SettingName } from "./settings.ts";
import { readSettings } from "./sources.ts";

/** The server's name where nobody says another. */
const NAME = "alwaysup";
/** The flag that makes variables unnecessary which have none of their own. */
const INSTEAD: Readonly<Record<string, string>> = {
  token: "token-file",
  exaiToken: "token-file",
  host: "url",
  port: "url",
};

/** What is asked for. */
interface Order {
  readonly client: Client;
  readonly name: string;
  readonly isWritten: boolean;
  /** The settings of the proxy. */
  readonly flags: readonly string[];
}

/** An order, and the file that it is about. */
interface Task extends Order {
  readonly file: string;
  /** What is so where nothing is to be done. */
  readonly same: string;
}

/**
 * Prints how a client is to start this program; with `--write`, puts it into the
 * client's file.
 *
 * @returns the process's exit code: 0, 1 if the file cannot be changed, 2 for what was not understood
 */
export async function install(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const order = read(args);
  if (typeof order === "string") return refuse(output, 2, order);
  const { client, name, isWritten } = order;
  const flags = absolute(order.flags, host);
  // A client's servers do not get our environment.
  const alone = { ...host, env: () => ({}) };
  const { reading, sources } = await readSettings(alone, flags);
  if (reading.kind === "problems") {
    return refuse(output, 2, ...reading.problems);
  }
  const command = startable(host.os, [...host.program(), ...flags]);
  if (command[0] === "cmd" && command.some((word) => /[&|<>^%"]/.test(word))) {
    return refuse(
      output,
      2,
      "Windows would read a part of it as its own: write what has one of " +
        '& | < > ^ % " into a file, and give that with --env-file',
    );
  }
  const file = client.file(host);
  if (file === undefined) return refuse(output, 1, nowhere(client));
  const unseen = unseenBy(client, flags, host);
  if (unseen !== undefined) output.complain(`alwaysup: ${unseen}`);
  const lost = relativeIn(sources, host);
  if (lost.length > 0) {
    output.complain(
      `alwaysup: ${envFileOf(sources)?.text}: ${
        lost.join(", ")
      }: it must be a ` +
        `whole path, for nobody knows in which folder ${client.title} starts ` +
        "its servers",
    );
  }
  const entry = entryOf(client, command);
  if (isWritten) {
    return await change(
      { ...order, file, same: "is there already" },
      host,
      output,
      (text, slot) => withEntry(text, slot, entry),
    );
  }
  const snippet = { [client.key]: { [name]: entry } };
  output.print(`${client.title} reads its servers from ${file}`);
  output.print("This belongs there (--write puts it there):");
  output.print("");
  output.print(JSON.stringify(snippet, null, 2));
  if (client.note !== undefined) output.print(`\n${client.note}`);
  return 0;
}

/**
 * Prints what would be taken out of a client's file; with `--write`, takes it
 * out.
 *
 * @returns the process's exit code: 0, 1 if the file cannot be changed, 2 for what was not understood
 */
export async function uninstall(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const order = read(args);
  if (typeof order === "string") return refuse(output, 2, order);
  const { client, flags } = order;
  if (flags.length > 0) {
    const why = "here are only the flags --name and --write (see --help)";
    return refuse(output, 2, why);
  }
  const file = client.file(host);
  if (file === undefined) return refuse(output, 1, nowhere(client));
  const same = "is not there";
  return await change({ ...order, file, same }, host, output, withoutEntry);
}

/** Understands a command line; a string says why not, without its text, which may hold a secret. */
function read([first, ...rest]: readonly string[]): Order | string {
  const client = CLIENTS.find(({ name }) => name === first);
  if (client === undefined) {
    const names = CLIENTS.map(({ name }) => name).join(", ");
    return `a client must follow the command, one of ${names}`;
  }
  const flags: string[] = [];
  const names: string[] = [];
  let isWritten = false;
  while (rest.length > 0) {
    const arg = rest.shift()!;
    const [, isName, attached] = /^--(name)(?:=(.*))?$/s.exec(arg) ?? [];
    if (arg === "--write") isWritten = true;
    else if (isName === undefined) flags.push(arg);
    else if (attached !== undefined) names.push(attached);
    else names.push(rest[0]?.startsWith("--") ? "" : rest.shift() ?? "");
  }
  if (names.length > 1) return "--name: it is given twice";
  const [name = NAME] = names;
  // Claude Code takes no other names.
  if (!/^\w[\w-]{0,59}$/.test(name)) {
    return "--name: it must be 1 to 60 characters of A-Z, a-z, 0-9, _ and -, " +
      "the first not -";
  }
  return { client, name, isWritten, flags };
}

/** Whether a setting is a path that is another one in another folder. */
function isRelative(
  [key, { parse }]: [SettingName, Setting<unknown>],
  text: string,
  { os }: Host,
): boolean {
  const isPath = parse === parsePath && text !== "" &&
    !(key === "cache" && /^(on|off|0)$/i.test(text));
  const isWhole = os === "windows"
    ? /^([a-z]:)?[/\\]/i.test(text)
    : text.startsWith("/");
  return isPath && !isWhole;
}

/** The variables of the named file that are such paths. */
function relativeIn(sources: Sources, host: Host): string[] {
  return made(sources)
    .filter(({ name, shown, from }) => {
      const row = rows().find(([, { env }]) => env.includes(name));
      return from === "file" && row !== undefined && row[0] !== "envFile" &&
        isRelative(row, shown, host);
    })
    .map(({ name }) => name);
}

/** The flags with whole paths. */
function absolute(flags: readonly string[], host: Host): readonly string[] {
  const whole = (flag: string | undefined, text: string): string => {
    const row = rows().find(([, row]) => row.flag === flag);
    if (row === undefined || !isRelative(row, text, host)) return text;
    const separator = host.os === "windows" ? "\\" : "/";
    return host.realPath(".") + separator + text.replace(/^(\.[/\\])+/, "");
  };
  return flags.map((arg, i) => {
    const [, flag, text] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (text !== undefined) return `--${flag}=${whole(flag, text)}`;
    if (arg.startsWith("--")) return arg;
    return whole(/^--([^=]+)$/.exec(flags[i - 1] ?? "")?.[1], arg);
  });
}

/** What is set here and will not be there; `undefined` if that is nothing. */
function unseenBy(
  client: Client,
  flags: readonly string[],
  host: Host,
): string | undefined {
  const isGiven = (flag: string | undefined): boolean =>
    flags.some((arg) => arg.split("=")[0] === `--${flag}`);
  if (isGiven("env-file")) return undefined;
  const names = rows()
    .filter(([name, { flag }]) => !isGiven(flag) && !isGiven(INSTEAD[name]))
    .flatMap(([, { env }]) => env)
    .filter((name) => /^(ALWAYSUP|EXAI)_/.test(name) && host.variable(name));
  if (names.length === 0) return undefined;
  return `${client.title} will not see ${names.join(", ")} of this ` +
    "environment: give flags instead, or a file of such lines with --env-file";
}

/** Changes a client's file, or shows how it would be changed. */
async function change(
  { client, name, isWritten, file, same }: Task,
  host: Host,
  output: Output,
  edit: (text: string, slot: Slot) => string,
): Promise<number> {
  let before: string | undefined;
  try {
    before = readLimited(host, file, FILE_LIMIT)?.text;
  } catch (error) {
    const why = `it cannot be read (${messageOf(error)})`;
    return refuse(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const slot = { key: client.key, name };
  let after: string;
  let lines: string[];
  try {
    // It could not be written as it was.
    if (before?.includes("\ufffd")) throw new Error("it is not text in UTF-8");
    after = edit(before ?? "", slot);
    const [old, young] = [before ?? "", after].map((it) => entryIn(it, slot));
    lines = diff(name, old, young, host.program());
  } catch (error) {
    const why = messageOf(error);
    return refuse(output, 1, `${file}: ${why}; nothing is changed`);
  }
  if (after === (before ?? "")) {
    output.print(`${file}: "${name}" ${same}; nothing changes`);
    const found = before?.trim()
      ? findOurs(client, parseFile(before), host.program())
      : [];
    for (const other of found) {
      if (other.name === name && other.project === undefined) continue;
      const where = other.project === undefined
        ? "(see --name)"
        : `for ${other.project} only, which is left alone`;
      output.print(tame(`This program is there as "${other.name}" ${where}`));
    }
    return 0;
  }
  output.print(`${file}:`);
  for (const line of lines) {
    const colour = line.startsWith("+") ? "green" : "red";
    output.print(paint(output, colour, tame(line)));
  }
  if (lines.length === 0) output.print("What changes may be a secret.");
  if (!isWritten) {
    output.print("--write does that.");
    return 0;
  }
  try {
    const mode = host.stat(file)?.mode ?? 0o600;
    if ((mode & 0o222) === 0) throw new Error("it is read-only");
    if (before === undefined) {
      await create(host, file, after, 0o600);
    } else {
      const kept = await keep(host, file, before, mode);
      output.print(`The file as it was is ${kept}`);
      await overwrite(host, file, before, after, kept);
    }
  } catch (error) {
    const why = `it cannot be written (${messageOf(error)})`;
    return refuse(output, 1, `${file}: ${why}`);
  }
  output.print(`Restart ${client.title}, or its servers, for it to see that.`);
  if (client.note !== undefined) output.print(client.note);
  return 0;
}

function nowhere({ title }: Client): string {
  return `${title}: the environment does not say where its settings are ` +
    "(HOME; on Windows USERPROFILE and APPDATA)";
}

function refuse(output: Output, code: number, ...lines: string[]): number {
  for (const line of lines) output.complain(`alwaysup: ${line}`);
  return code;
}
