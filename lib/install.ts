/**
 * The commands that let a client start this program, and that end it.
 *
 * @module
 */

import { formatOf, oursIn, unreadable } from "./client_file.ts";
import {
  type Client,
  CLIENTS,
  entryOf,
  FILE_LIMIT,
  type Found,
  startable,
  wantedBy,
  whyOff,
} from "./clients.ts";
import { type Config, envFileOf, made, rows, type Sources } from "./config.ts";
import { diff } from "./entry_diff.ts";
import { folderOf, readLimited } from "./files.ts";
import { type Host, messageOf } from "./host.ts";
import { create, keep, overwrite } from "./in_place.ts";
import { dig } from "./jsonrpc.ts";
import { type Output, paint, tame } from "./output.ts";
import { path as parsePath } from "./parse.ts";
import type { Slot } from "./servers_text.ts";
import type { Setting, SettingName } from "./settings.ts";
import { readSettings } from "./sources.ts";
import { connect } from "./upgrade.ts";

/** The server's name where nobody says another. */
const NAME = "alwaysup";
/** The flag that makes variables unnecessary which have none of their own. */
const INSTEAD: Readonly<Record<string, string>> = {
  token: "token-file",
  exaiToken: "token-file",
  host: "url",
  port: "url",
};

/** What MCP's SDKs pass on of a client's environment to its servers; none of it is a setting. */
const PASSED_ON = {
  windows: [
    ...["APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH"],
    ...["PROCESSOR_ARCHITECTURE", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP"],
    ...["USERNAME", "USERPROFILE", "PROGRAMFILES"],
  ],
  others: ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"],
};

/** How long the default daemon may take to take a connection, in milliseconds: it is on this machine. */
const PROBE_MS = 2_000;

/** What is asked for. */
interface Order {
  /** The clients; every known one for `--all`. */
  readonly clients: readonly Client[];
  readonly isAll: boolean;
  readonly name: string;
  readonly isWritten: boolean;
  /** The settings of the proxy. */
  readonly flags: readonly string[];
}

/** What is to be done to one client's file. */
interface Task {
  readonly client: Client;
  readonly file: string;
  readonly name: string;
  readonly isWritten: boolean;
  /** What is so where nothing is to be done. */
  readonly same: string;
  readonly edit: (text: string, slot: Slot) => string;
}

/**
 * Prints how a client is to start this program; with `--write`, puts it into the
 * client's file. For `--all`, it lists the clients on this machine, or does that
 * for each.
 *
 * @returns the process's exit code: 0, 1 if a file cannot be changed, 2 for what was not understood
 */
export async function install(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const order = read(args);
  if (typeof order === "string") return refuse(output, 2, order);
  const { name, isAll, isWritten } = order;
  const flags = absolute(order.flags, host);
  // A client's servers do not get the rest of our environment.
  const alone = { ...host, env: () => passedOn(host) };
  const { reading, sources } = await readSettings(alone, flags);
  if (reading.kind === "problems") {
    return refuse(output, 2, ...reading.problems);
  }
  for (const text of reading.warnings) output.complain(`alwaysup: ${text}`);
  if (isAll && !isWritten) return list(host, output);
  const command = startable(host.os, [...host.program(), ...flags]);
  if (command[0] === "cmd" && command.some((word) => /[&|<>^%"]/.test(word))) {
    return refuse(
      output,
      2,
      "Windows would read a part of it as its own: write what has one of " +
        '& | < > ^ % " into a file, and give that with --env-file',
    );
  }
  const absent = await nobodyAt(reading.config, sources);
  if (absent !== undefined) return refuse(output, 2, absent);
  const clients = isAll ? present(host) : order.clients;
  if (clients.length === 0) return refuse(output, 1, nobody());
  let code = 0;
  for (const client of clients) {
    const file = client.file(host);
    if (file === undefined) return refuse(output, 1, nowhere(client));
    const unseen = unseenBy(client, flags, host);
    if (unseen !== undefined) output.complain(`alwaysup: ${unseen}`);
    const lost = relativeIn(sources, host);
    if (lost.length > 0) {
      output.complain(
        `alwaysup: ${envFileOf(sources)?.text}: ${lost.join(", ")}: it must ` +
          `be a whole path, for nobody knows in which folder ${client.title} ` +
          "starts its servers",
      );
    }
    const entry = entryOf(client, command);
    const { withEntry } = formatOf(client);
    if (isWritten) {
      const task: Task = {
        ...{ client, file, name, isWritten, same: "is there already" },
        edit: (text, slot) => withEntry(text, slot, entry),
      };
      code = Math.max(code, await change(task, host, output));
      continue;
    }
    output.print(`${client.title} reads its servers from ${file}`);
    output.print("This belongs there (--write puts it there):");
    output.print("");
    output.print(withEntry("", { key: client.key, name }, entry).trimEnd());
    if (client.note !== undefined) output.print(`\n${client.note}`);
  }
  return code;
}

/**
 * Prints what would be taken out of a client's file; with `--write`, takes it
 * out. For `--all`, it does that for each client on this machine.
 *
 * @returns the process's exit code: 0, 1 if a file cannot be changed, 2 for what was not understood
 */
export async function uninstall(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const order = read(args);
  if (typeof order === "string") return refuse(output, 2, order);
  const { isAll, flags, name, isWritten } = order;
  if (flags.length > 0) {
    const why =
      "here are only the flags --name, --write and --all (see --help)";
    return refuse(output, 2, why);
  }
  const clients = isAll ? present(host) : order.clients;
  if (clients.length === 0) return refuse(output, 1, nobody());
  let code = 0;
  for (const client of clients) {
    const file = client.file(host);
    if (file === undefined) return refuse(output, 1, nowhere(client));
    const { withoutEntry: edit } = formatOf(client);
    const same = "is not there";
    const task: Task = { client, file, name, isWritten, same, edit };
    code = Math.max(code, await change(task, host, output));
  }
  return code;
}

/** Understands a command line; a string says why not, without its text, which may hold a secret. */
function read(args: readonly string[]): Order | string {
  const [first, ...others] = args;
  const client = CLIENTS.find(({ name }) => name === first);
  const isAll = args.includes("--all");
  if (client === undefined && !isAll) {
    const names = CLIENTS.map(({ name }) => name).join(", ");
    return `a client must follow the command, one of ${names}, or --all`;
  }
  if (client !== undefined && isAll) return "a client or --all: not both";
  const rest = (isAll ? [...args] : others).filter((arg) => arg !== "--all");
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
  const clients = client === undefined ? CLIENTS : [client];
  return { clients, isAll, name, isWritten, flags };
}

/** Why the default address is not to be written into a file: nobody has named it, and nothing listens there. */
async function nobodyAt(
  { url, shownUrl }: Config,
  sources: Sources,
): Promise<string | undefined> {
  const names = made(sources).map(({ name }) => name);
  const isSaid = rows().some(([key, { flag, env }]) =>
    /^(url|host|port)$/.test(key) &&
    [`--${flag}`, ...env].some((name) => names.includes(name))
  );
  if (isSaid) return undefined;
  const { hostname, port } = new URL(url);
  const reached = await connect(hostname, Number(port), PROBE_MS);
  if (typeof reached === "number") return undefined;
  return `nothing listens at ${shownUrl}, where the daemon is expected if ` +
    "nobody says another place: give --url ws://HOST:PORT/";
}

/** The clients of this machine. */
function present(host: Host): Client[] {
  return CLIENTS.filter((client) => isHere(client, host));
}

function isHere(client: Client, host: Host): boolean {
  const file = client.file(host);
  if (file === undefined) return false;
  const folder = client.folder?.(host) ?? folderOf(file);
  try {
    return host.stat(file) !== undefined || host.stat(folder) !== undefined;
  } catch {
    // What may not be looked at is there.
    return true;
  }
}

/** Lists the clients of this machine, and the servers of each that are this program. */
function list(host: Host, output: Output): number {
  const here = present(host);
  const width = Math.max(...CLIENTS.map(({ name }) => name.length));
  for (const client of here) {
    const file = client.file(host)!;
    const name = client.name.padEnd(width);
    output.print(tame(`${name}  ${file}: ${stateOf(client, file, host)}`));
  }
  const others = CLIENTS.filter((client) => !here.includes(client))
    .map(({ name }) => name);
  if (others.length > 0) {
    output.print(`Not on this machine: ${others.join(", ")}`);
  }
  if (here.length > 0) {
    output.print("install CLIENT --write puts it into one, --all into each.");
  }
  return 0;
}

/** What there is of this program in a client's file. */
function stateOf(client: Client, file: string, host: Host): string {
  try {
    const text = readLimited(host, file, FILE_LIMIT)?.text;
    if (text === undefined) return "there is no such file yet";
    const found = oursIn(client, text, host.program());
    return found.length === 0
      ? "no server in it is this program"
      : `this program is ${found.map(shownAs).join(", ")}`;
  } catch (error) {
    return `it cannot be read (${messageOf(error)})`;
  }
}

function shownAs({ name, project }: Found): string {
  return project === undefined ? `"${name}"` : `"${name}" for ${project} only`;
}

/** The part of our environment that a client's servers get. */
function passedOn({ os, variable }: Host): Record<string, string> {
  const names = os === "windows" ? PASSED_ON.windows : PASSED_ON.others;
  const found = names.flatMap((name): [string, string][] => {
    const text = variable(name);
    return text === undefined ? [] : [[name, text]];
  });
  return Object.fromEntries(found);
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
  { client, file, name, isWritten, same, edit }: Task,
  host: Host,
  output: Output,
): Promise<number> {
  let before: string | undefined;
  try {
    before = readLimited(host, file, FILE_LIMIT)?.text;
  } catch (error) {
    const why = `it cannot be read (${messageOf(error)})`;
    return refuse(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const { key, unread = [] } = client;
  const slot: Slot = { key, name, unread };
  let after: string;
  let lines: string[];
  let parsed: unknown;
  try {
    const { entryIn, parseFile } = formatOf(client);
    after = edit(before ?? "", slot);
    if (after.trim() !== "") parsed = parseFile(after, wantedBy(client));
    const old = entryIn(before ?? "", slot);
    lines = diff(name, old, dig(parsed, key, name), host.program());
    const why = unreadable(client, before ?? "");
    if (why !== undefined) {
      const text = `it has ${why}, and ${client.title} does not read that`;
      if (client.isResetting) throw new Error(`${text}: take it out first`);
      output.complain(
        `alwaysup: ${file}: ${text}: take it out, or it finds no servers`,
      );
    }
  } catch (error) {
    const why = messageOf(error);
    return refuse(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const off = whyOff(client, parsed, name);
  if (off !== undefined) {
    output.complain(`alwaysup: ${file}: "${name}" ${off}`);
  }
  if (after === (before ?? "")) {
    output.print(`${file}: "${name}" ${same}; nothing changes`);
    for (const other of oursIn(client, after, host.program())) {
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

function nobody(): string {
  const titles = CLIENTS.map(({ title }) => title).join(", ");
  return `no client that is known here is on this machine: ${titles}`;
}

function nowhere({ title }: Client): string {
  return `${title}: the environment does not say where its settings are ` +
    "(HOME; on Windows USERPROFILE and APPDATA)";
}

function refuse(output: Output, code: number, ...lines: string[]): number {
  for (const line of lines) output.complain(`alwaysup: ${line}`);
  return code;
}
