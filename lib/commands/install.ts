/**
 * The commands that let a client start this program, and that end it.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { tame } from "../text/sanitize.ts";
import { formatOf, oursIn, rejectedIn } from "../clients/config_file.ts";
import { clientsHere, clientText, listClients } from "./installed_clients.ts";
import {
  type Client,
  CLIENTS,
  entryOf,
  startable,
  wantedBy,
  whyOff,
} from "../clients/registry.ts";
import { envFileOf } from "../config/config.ts";
import { diff } from "../clients/redacted_diff.ts";
import type { Slot } from "../clients/entry.ts";
import {
  absolute,
  namesPlace,
  nobodyAt,
  passedOn,
  relativeIn,
  unseenBy,
} from "./entry_settings.ts";
import { type Host } from "../runtime/host.ts";
import { create, keep, overwrite } from "../runtime/safe_write.ts";
import { dig } from "../protocol/jsonrpc.ts";
import { type Output, paint } from "../runtime/terminal.ts";
import { readSettings } from "../config/load.ts";

/** The server's name where nobody says another. */
const NAME = "alwaysup";

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
  /** Whether an entry is put in; else it is taken out. */
  readonly isPut: boolean;
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
  if (isAll && !isWritten) {
    listClients(host, output);
    return 0;
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
  const absent = await nobodyAt(reading.config, sources);
  const clients = isAll ? clientsHere(host) : order.clients;
  if (clients.length === 0) return refuse(output, 1, nobody());
  // What an entry says already stays there.
  if (absent !== undefined) {
    for (const client of clients) {
      const entry = entryNow(client, name, host);
      if (!await namesPlace(entry, host)) return refuse(output, 2, absent);
    }
  }
  const lost = relativeIn(sources, host);
  let code = 0;
  for (const client of clients) {
    const file = client.file(host);
    if (file === undefined) return refuse(output, 1, nowhere(client));
    const unseen = unseenBy(client, flags, host);
    if (unseen !== undefined) output.complain(`alwaysup: ${unseen}`);
    if (lost.length > 0) {
      output.complain(
        `alwaysup: ${envFileOf(sources)?.text}: ${lost.join(", ")}: it must ` +
          `be a whole path, for nobody knows in which folder ${client.title} ` +
          "starts its servers",
      );
    }
    const entry = entryOf(client, command);
    const { withEntry } = formatOf(client);
    const task: Task = {
      ...{ client, file, name, isWritten, isPut: true },
      edit: (text, slot) => withEntry(text, slot, entry),
    };
    if (isWritten) {
      code = Math.max(code, await change(task, host, output));
      continue;
    }
    hint(task, host, output);
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
  const clients = isAll ? clientsHere(host) : order.clients;
  if (clients.length === 0) return refuse(output, 1, nobody());
  let code = 0;
  for (const client of clients) {
    const file = client.file(host);
    if (file === undefined) return refuse(output, 1, nowhere(client));
    const { withoutEntry: edit } = formatOf(client);
    const isPut = false;
    const task: Task = { client, file, name, isWritten, isPut, edit };
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
  const rest = (isAll ? [...args] : others).filter((arg) => arg !== "--all");
  const flags: string[] = [];
  const names: string[] = [];
  let isWritten = false;
  while (rest.length > 0) {
    const arg = rest.shift()!;
    const [, isName, attached] = /^--(name)(?:=(.*))?$/s.exec(arg) ?? [];
    if (/^--(write|all)=/.test(arg)) {
      return `${arg.slice(0, arg.indexOf("="))}: it takes no value`;
    }
    if (arg === "--write") isWritten = true;
    else if (isName === undefined) flags.push(arg);
    else if (attached !== undefined) names.push(attached);
    else names.push(rest[0]?.startsWith("--") ? "" : rest.shift() ?? "");
  }
  const isSecond = CLIENTS.some(({ name }) => name === flags[0]);
  if (isAll && (isSecond || client !== undefined)) {
    return "a client or --all: not both";
  }
  if (isSecond) return "one client only, or --all for each";
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

/** The entry in a client's file; `undefined` if there is none, or it cannot be read. */
function entryNow(client: Client, name: string, host: Host): unknown {
  const file = client.file(host);
  if (file === undefined) return undefined;
  try {
    const text = clientText(host, file) ?? "";
    return formatOf(client).entryIn(text, { key: client.key, name });
  } catch {
    return undefined;
  }
}

/** What becomes of a client's file, and what is to be said of that. */
interface Plan {
  /** The text that the file is to have. */
  readonly after: string;
  /** The value that this is, as far as the client's servers go; `undefined` for an empty text. */
  readonly parsed: unknown;
  /** What keeps the client from reading the file as it is, and what to do. */
  readonly unread: string | undefined;
  /** What keeps a server that is put in from its start. */
  readonly off: string | undefined;
}

/** Throws with what is wrong with the text, as a part of a sentence. */
function planned({ client, name, isPut, edit }: Task, before: string): Plan {
  const { key, title, rejects = [], isResetting } = client;
  const after = edit(before, { key, name, rejects });
  const parsed = after.trim() === ""
    ? undefined
    : formatOf(client).parseFile(after, wantedBy(client));
  const what = rejectedIn(client, before);
  const when = isResetting && isPut ? " first" : ", or it finds no servers";
  const unread = what &&
    `it has ${what}, and ${title} does not read that: take it out${when}`;
  const off = isPut ? whyOff(client, parsed, name) : undefined;
  return { after, parsed, unread, off: off && `"${name}" ${off}` };
}

/** Says what in a client's file keeps the server from its start, once the entry is there, whoever puts it there. */
function hint(task: Task, host: Host, output: Output): void {
  const { file } = task;
  try {
    const { unread, off } = planned(task, clientText(host, file) ?? "");
    for (const text of [unread, off]) {
      if (text !== undefined) output.complain(`alwaysup: ${file}: ${text}`);
    }
  } catch {
    // What is wrong with the file does not change what belongs there.
  }
}

/** Changes a client's file, or shows how it would be changed. */
async function change(
  task: Task,
  host: Host,
  output: Output,
): Promise<number> {
  const { client, file, name, isWritten, isPut } = task;
  let before: string | undefined;
  try {
    before = clientText(host, file);
  } catch (error) {
    const why = `it cannot be read (${messageOf(error)})`;
    return refuse(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const { key } = client;
  let plan: Plan;
  let lines: string[];
  try {
    plan = planned(task, before ?? "");
    const old = formatOf(client).entryIn(before ?? "", { key, name });
    lines = diff(name, old, dig(plan.parsed, key, name), host.program());
    const isRefused = client.isResetting && isPut;
    if (plan.unread !== undefined && isRefused) throw new Error(plan.unread);
  } catch (error) {
    const why = messageOf(error);
    return refuse(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const { after, unread, off } = plan;
  for (const text of [unread, off]) {
    if (text !== undefined) output.complain(`alwaysup: ${file}: ${text}`);
  }
  if (after === (before ?? "")) {
    const same = `"${name}" is ${isPut ? "there already" : "not there"}`;
    output.print(`${file}: ${same}; nothing changes`);
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
  if (isPut && client.note !== undefined) output.print(client.note);
  return 0;
}

function nobody(): string {
  const titles = CLIENTS.map(({ title }) => title).join(", ");
  return `none of these clients is on this machine: ${titles}`;
}

function nowhere({ title }: Client): string {
  return `${title}: the environment does not say where its settings are ` +
    "(HOME; on Windows USERPROFILE and APPDATA)";
}

function refuse(output: Output, code: number, ...lines: string[]): number {
  for (const line of lines) output.complain(`alwaysup: ${line}`);
  return code;
}
