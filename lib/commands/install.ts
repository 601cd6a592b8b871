/**
 * The commands that add this program to a client's file, and remove it.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import {
  clientFileFormatOf,
  findAlwaysupServers,
  findRejectedSyntax,
} from "../clients/client_file.ts";
import {
  findInstalledClients,
  printInstalledClients,
  readClientFile,
} from "./installed_clients.ts";
import {
  type Client,
  CLIENTS,
  createServerEntry,
  findDisabledReason,
  memberFilterFor,
  wrapForWindows,
} from "../clients/registry.ts";
import { envFileSettingOf } from "../config/config.ts";
import { redactedDiff } from "../clients/redacted_diff.ts";
import type { EntryPath } from "../clients/config_entry.ts";
import {
  defaultAddressProblem,
  entryNamesAddress,
  ignoredVariablesWarning,
  inheritedEnv,
  relativePathVariables,
  withAbsolutePaths,
} from "./entry_settings.ts";
import { type Host } from "../runtime/host.ts";
import {
  backUp,
  createSafely,
  overwriteSafely,
} from "../runtime/safe_write.ts";
import { getNested } from "../protocol/jsonrpc.ts";
import { colorize, type Output } from "../runtime/terminal.ts";
import { loadConfig } from "../config/load.ts";

/** The server's default name. */
const DEFAULT_SERVER_NAME = "alwaysup";

/** The parsed command line. */
interface InstallOptions {
  /** The clients; every known one for `--all`. */
  readonly clients: readonly Client[];
  readonly isAll: boolean;
  readonly name: string;
  readonly shouldWrite: boolean;
  /** The settings of the proxy. */
  readonly flags: readonly string[];
}

/** An edit of one client's file. */
interface EditJob {
  readonly client: Client;
  readonly file: string;
  readonly name: string;
  readonly shouldWrite: boolean;
  /** True to set an entry, false to remove it. */
  readonly isInstall: boolean;
  readonly edit: (text: string, entryPath: EntryPath) => string;
}

/**
 * Prints how a client starts this program; with `--write`, puts it into the
 * client's file. With `--all`, it lists the clients on this machine, or, with
 * `--write`, edits the file of each.
 *
 * @returns the process's exit code: 0; 1 if a file cannot be changed; 2 for an
 * invalid command line
 */
export async function install(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const options = parseInstallArgs(args);
  if (typeof options === "string") return failWith(output, 2, options);
  const { name, isAll, shouldWrite } = options;
  const flags = withAbsolutePaths(options.flags, host);
  // A client's servers do not get the rest of our environment.
  const isolatedHost = { ...host, env: () => inheritedEnv(host) };
  const { configResult, sources } = await loadConfig(isolatedHost, flags);
  if (configResult.kind === "problems") {
    return failWith(output, 2, ...configResult.problems);
  }
  for (const text of configResult.warnings) {
    output.printError(`alwaysup: ${text}`);
  }
  if (isAll && !shouldWrite) {
    printInstalledClients(host, output);
    return 0;
  }
  const command = wrapForWindows(host.os, [...host.launchCommand(), ...flags]);
  if (command[0] === "cmd" && command.some((word) => /[&|<>^%"]/.test(word))) {
    return failWith(
      output,
      2,
      "Windows would read a part of it as its own: write what has one of " +
        '& | < > ^ % " into a file, and give that with --env-file',
    );
  }
  const addressProblem = await defaultAddressProblem(
    configResult.config,
    sources,
  );
  const clients = isAll ? findInstalledClients(host) : options.clients;
  if (clients.length === 0) return failWith(output, 1, noClientsMessage());
  // An existing entry keeps its own settings.
  if (addressProblem !== undefined) {
    for (const client of clients) {
      const entry = currentEntry(client, name, host);
      if (!await entryNamesAddress(entry, host)) {
        return failWith(output, 2, addressProblem);
      }
    }
  }
  const relativeVariables = relativePathVariables(sources, host);
  let code = 0;
  for (const client of clients) {
    const file = client.filePath(host);
    if (file === undefined) {
      return failWith(output, 1, noFilePathMessage(client));
    }
    const ignoredVariables = ignoredVariablesWarning(client, flags, host);
    if (ignoredVariables !== undefined) {
      output.printError(`alwaysup: ${ignoredVariables}`);
    }
    if (relativeVariables.length > 0) {
      output.printError(
        `alwaysup: ${envFileSettingOf(sources)?.text}: ${
          relativeVariables.join(", ")
        }: it must ` +
          `be a whole path, for nobody knows in which folder ${client.title} ` +
          "starts its servers",
      );
    }
    const entry = createServerEntry(client, command);
    const { setEntry } = clientFileFormatOf(client);
    const job: EditJob = {
      client,
      file,
      name,
      shouldWrite,
      isInstall: true,
      edit: (text, entryPath) => setEntry(text, entryPath, entry),
    };
    if (shouldWrite) {
      code = Math.max(code, await runEditJob(job, host, output));
      continue;
    }
    printWarnings(job, host, output);
    output.print(`${client.title} reads its servers from ${file}`);
    output.print("This belongs there (--write puts it there):");
    output.print("");
    output.print(
      setEntry("", { serversKey: client.serversKey, name }, entry).trimEnd(),
    );
    if (client.note !== undefined) output.print(`\n${client.note}`);
  }
  return code;
}

/**
 * Prints what would be removed from a client's file; with `--write`, removes
 * it. With `--all`, it does so for each client on this machine.
 *
 * @returns the process's exit code: 0; 1 if a file cannot be changed; 2 for an
 * invalid command line
 */
export async function uninstall(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const options = parseInstallArgs(args);
  if (typeof options === "string") return failWith(output, 2, options);
  const { isAll, flags, name, shouldWrite } = options;
  if (flags.length > 0) {
    const why =
      "here are only the flags --name, --write and --all (see --help)";
    return failWith(output, 2, why);
  }
  const clients = isAll ? findInstalledClients(host) : options.clients;
  if (clients.length === 0) return failWith(output, 1, noClientsMessage());
  let code = 0;
  for (const client of clients) {
    const file = client.filePath(host);
    if (file === undefined) {
      return failWith(output, 1, noFilePathMessage(client));
    }
    const { removeEntry: edit } = clientFileFormatOf(client);
    const isInstall = false;
    const job: EditJob = { client, file, name, shouldWrite, isInstall, edit };
    code = Math.max(code, await runEditJob(job, host, output));
  }
  return code;
}

/**
 * Parses a command line. A string says what is wrong with it, without its text,
 * which may contain a secret.
 */
function parseInstallArgs(args: readonly string[]): InstallOptions | string {
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
  let shouldWrite = false;
  while (rest.length > 0) {
    const arg = rest.shift()!;
    const [, isName, attached] = /^--(name)(?:=(.*))?$/s.exec(arg) ?? [];
    if (/^--(write|all)=/.test(arg)) {
      return `${arg.slice(0, arg.indexOf("="))}: it takes no value`;
    }
    if (arg === "--write") shouldWrite = true;
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
  const [name = DEFAULT_SERVER_NAME] = names;
  // Claude Code accepts no other names.
  if (!/^\w[\w-]{0,59}$/.test(name)) {
    return "--name: it must be 1 to 60 characters of A-Z, a-z, 0-9, _ and -, " +
      "the first not -";
  }
  const clients = client === undefined ? CLIENTS : [client];
  return { clients, isAll, name, shouldWrite, flags };
}

/**
 * Returns the entry in a client's file; `undefined` if there is none, or if the
 * file cannot be read.
 */
function currentEntry(client: Client, name: string, host: Host): unknown {
  const file = client.filePath(host);
  if (file === undefined) return undefined;
  try {
    const text = readClientFile(host, file) ?? "";
    return clientFileFormatOf(client).findEntry(text, {
      serversKey: client.serversKey,
      name,
    });
  } catch {
    return undefined;
  }
}

/** The result of an edit, and the warnings for it. */
interface EditPlan {
  /** The new text of the file. */
  readonly after: string;
  /**
   * The parsed new text, as far as the client's servers go; `undefined` for an
   * empty text.
   */
  readonly parsed: unknown;
  /** Why the client cannot parse the file as it is, and what to do. */
  readonly unreadableReason: string | undefined;
  /** Why the client does not start the new server. */
  readonly disabledReason: string | undefined;
}

/**
 * Plans an edit. Throws with what is wrong with the text, as a part of a
 * sentence.
 */
function planEdit(
  { client, name, isInstall, edit }: EditJob,
  before: string,
): EditPlan {
  const { serversKey, title, rejectedSyntax = [], mayResetFile } = client;
  const after = edit(before, { serversKey, name, rejectedSyntax });
  const parsed = after.trim() === ""
    ? undefined
    : clientFileFormatOf(client).parseClientFile(
      after,
      memberFilterFor(client),
    );
  const syntax = findRejectedSyntax(client, before);
  const when = mayResetFile && isInstall
    ? " first"
    : ", or it finds no servers";
  const unreadableReason = syntax &&
    `it has ${syntax}, and ${title} does not read that: take it out${when}`;
  const disabledText = isInstall
    ? findDisabledReason(client, parsed, name)
    : undefined;
  return {
    after,
    parsed,
    unreadableReason,
    disabledReason: disabledText && `"${name}" ${disabledText}`,
  };
}

/**
 * Prints what in a client's file keeps the server from starting, even if the
 * user adds the entry by hand.
 */
function printWarnings(job: EditJob, host: Host, output: Output): void {
  const { file } = job;
  try {
    const { unreadableReason, disabledReason } = planEdit(
      job,
      readClientFile(host, file) ?? "",
    );
    for (const text of [unreadableReason, disabledReason]) {
      if (text !== undefined) output.printError(`alwaysup: ${file}: ${text}`);
    }
  } catch {
    // What is wrong with the file does not change the entry.
  }
}

/** Edits a client's file, or shows how it would be edited. */
async function runEditJob(
  job: EditJob,
  host: Host,
  output: Output,
): Promise<number> {
  const { client, file, name, shouldWrite, isInstall } = job;
  let before: string | undefined;
  try {
    before = readClientFile(host, file);
  } catch (error) {
    const why = `it cannot be read (${errorMessageOf(error)})`;
    return failWith(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const { serversKey } = client;
  let plan: EditPlan;
  let lines: string[];
  try {
    plan = planEdit(job, before ?? "");
    const old = clientFileFormatOf(client).findEntry(before ?? "", {
      serversKey,
      name,
    });
    lines = redactedDiff(
      name,
      old,
      getNested(plan.parsed, serversKey, name),
      host.launchCommand(),
    );
    const isRefused = client.mayResetFile && isInstall;
    if (plan.unreadableReason !== undefined && isRefused) {
      throw new Error(plan.unreadableReason);
    }
  } catch (error) {
    const why = errorMessageOf(error);
    return failWith(output, 1, `${file}: ${why}; nothing is changed`);
  }
  const { after, unreadableReason, disabledReason } = plan;
  for (const text of [unreadableReason, disabledReason]) {
    if (text !== undefined) output.printError(`alwaysup: ${file}: ${text}`);
  }
  if (after === (before ?? "")) {
    const same = `"${name}" is ${isInstall ? "there already" : "not there"}`;
    output.print(`${file}: ${same}; nothing changes`);
    for (
      const other of findAlwaysupServers(client, after, host.launchCommand())
    ) {
      if (other.name === name && other.project === undefined) continue;
      const where = other.project === undefined
        ? "(see --name)"
        : `for ${other.project} only, which is left alone`;
      output.print(
        sanitizeLine(`This program is there as "${other.name}" ${where}`),
      );
    }
    return 0;
  }
  output.print(`${file}:`);
  for (const line of lines) {
    const color = line.startsWith("+") ? "green" : "red";
    output.print(colorize(output, color, sanitizeLine(line)));
  }
  if (lines.length === 0) output.print("What changes may be a secret.");
  if (!shouldWrite) {
    output.print("--write does that.");
    return 0;
  }
  try {
    const mode = host.stat(file)?.mode ?? 0o600;
    if ((mode & 0o222) === 0) throw new Error("it is read-only");
    if (before === undefined) {
      await createSafely(host, file, after, 0o600);
    } else {
      const backupPath = await backUp(host, file, before, mode);
      output.print(`The file as it was is ${backupPath}`);
      await overwriteSafely(host, file, before, after, backupPath);
    }
  } catch (error) {
    const why = `it cannot be written (${errorMessageOf(error)})`;
    return failWith(output, 1, `${file}: ${why}`);
  }
  output.print(`Restart ${client.title}, or its servers, for it to see that.`);
  if (isInstall && client.note !== undefined) output.print(client.note);
  return 0;
}

function noClientsMessage(): string {
  const titles = CLIENTS.map(({ title }) => title).join(", ");
  return `none of these clients is on this machine: ${titles}`;
}

function noFilePathMessage({ title }: Client): string {
  return `${title}: the environment does not say where its settings are ` +
    "(HOME; on Windows USERPROFILE and APPDATA)";
}

function failWith(output: Output, code: number, ...lines: string[]): number {
  for (const line of lines) output.printError(`alwaysup: ${line}`);
  return code;
}
