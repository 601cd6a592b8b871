/**
 * `alwaysup install` and `alwaysup uninstall`: add this program to the
 * configuration file of an MCP client, or remove it.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { describeChoices, didYouMean } from "../text/suggest.ts";
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
  wrapForWindows,
} from "../clients/registry.ts";
import { redactedDiff } from "../clients/redacted_diff.ts";
import {
  defaultAddressProblem,
  inheritedEnv,
  settingsWarnings,
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
import { flagsOf } from "./command_table.ts";

const DEFAULT_SERVER_NAME = "alwaysup";

interface InstallOptions {
  /** The client; `undefined` for `--all`. */
  readonly client: Client | undefined;
  readonly name: string;
  readonly shouldWrite: boolean;
  /** The flags of the proxy's settings. */
  readonly flags: readonly string[];
}

/**
 * Prints the entry with which a client starts this program. `--write` adds the
 * entry to the client's file. `--all` lists the clients on this machine, or,
 * with `--write`, edits the file of each.
 *
 * @returns the exit code: 0; 1 if a file cannot be changed; 2 for invalid flags
 */
export async function install(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const options = parseInstallArgs(args);
  if (typeof options === "string") return failWith(output, 2, options);
  const flags = withAbsolutePaths(options.flags, host);
  // A client passes only a part of the environment to its servers.
  const isolatedHost = { ...host, env: () => inheritedEnv(host) };
  const { configResult, sources } = await loadConfig(
    isolatedHost,
    flags,
    flagsOf("install"),
  );
  if (configResult.kind === "problems") {
    return failWith(output, 2, ...configResult.problems);
  }
  printMessages(output, configResult.warnings);
  if (options.client === undefined && !options.shouldWrite) {
    printInstalledClients(host, output);
    return 0;
  }
  const command = wrapForWindows(host.os, [...host.launchCommand(), ...flags]);
  if (command[0] === "cmd" && command.some((word) => /[&|<>^%"]/.test(word))) {
    const why = 'In Windows commands, & | < > ^ % " have a special meaning: ' +
      "write the settings with these characters into a file, and use " +
      "--env-file";
    return failWith(output, 2, why);
  }
  const jobs = clientJobs(options, host, command);
  if (typeof jobs === "string") return failWith(output, 1, jobs);
  const addressProblem = await defaultAddressProblem(
    configResult.config,
    sources,
    host,
    () => jobs.map((job) => planChange(job, host).current),
  );
  if (addressProblem !== undefined) return failWith(output, 2, addressProblem);
  let code = 0;
  for (const job of jobs) {
    printMessages(output, settingsWarnings(job.client, flags, sources, host));
    if (options.shouldWrite) {
      code = Math.max(code, await runJob(job, "write", host, output));
    } else {
      printEntry(job, host, output);
    }
  }
  return code;
}

function printEntry(job: ClientJob, host: Host, output: Output): void {
  const { client: { title, note }, file } = job;
  printMessages(output, planChange(job, host).warnings);
  output.print(`${title} reads its servers from ${file}`);
  output.print("Add this to the file, or run the command with --write:");
  output.print(`\n${job.edit("").trimEnd()}`);
  if (note !== undefined) output.print(`\n${note}`);
}

/**
 * Prints the lines of the entry in a client's file. With `--write`, also
 * removes them. With `--all`, does this for each client on this machine.
 *
 * @returns the exit code: 0; 1 if a file cannot be changed; 2 for invalid flags
 */
export async function uninstall(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const options = parseInstallArgs(args);
  if (typeof options === "string") return failWith(output, 2, options);
  if (options.flags.length > 0) {
    const [, flag] = /^(--[a-z-]{1,30})(?:=|$)/.exec(options.flags[0]!) ?? [];
    const flags = flagsOf("uninstall");
    const what = flag === undefined
      ? "only a client and flags may follow uninstall"
      : `${flag}: uninstall has no such flag`;
    const why = `${what}; ${describeChoices(flag ?? "", "flags", flags)}`;
    return failWith(output, 2, why);
  }
  const jobs = clientJobs(options, host, undefined);
  if (typeof jobs === "string") return failWith(output, 1, jobs);
  let code = 0;
  for (const job of jobs) {
    const mode = options.shouldWrite ? "write" : "show";
    code = Math.max(code, await runJob(job, mode, host, output));
  }
  return code;
}

/**
 * Parses the command line. Returns the problem if it is invalid; the text does
 * not repeat an argument, which may be a secret.
 */
function parseInstallArgs(args: readonly string[]): InstallOptions | string {
  const [first, ...others] = args;
  const client = CLIENTS.find(({ name }) => name === first);
  const isAll = args.includes("--all");
  if (client === undefined && !isAll) {
    const names = CLIENTS.map(({ name }) => name);
    const question = didYouMean(first ?? "", names);
    return question === undefined
      ? `a client must follow the command, one of ${names.join(", ")}, or --all`
      : `there is no such client; ${question}`;
  }
  const rest = (isAll ? [...args] : others).filter((arg) => arg !== "--all");
  const flags: string[] = [];
  const names: string[] = [];
  let shouldWrite = false;
  while (rest.length > 0) {
    const arg = rest.shift()!;
    const [, nameFlag, attached] = /^--(name)(?:=(.*))?$/s.exec(arg) ?? [];
    if (/^--(write|all)=/.test(arg)) {
      return `${arg.slice(0, arg.indexOf("="))}: it takes no value`;
    }
    if (arg === "--write") shouldWrite = true;
    else if (nameFlag === undefined) flags.push(arg);
    else if (attached !== undefined) names.push(attached);
    else names.push(rest[0]?.startsWith("--") ? "" : rest.shift() ?? "");
  }
  const hasClientInFlags = CLIENTS.some(({ name }) => name === flags[0]);
  if (isAll && (hasClientInFlags || client !== undefined)) {
    return "give a client or --all, not both";
  }
  if (hasClientInFlags) {
    return "give one client only, or --all for each of them";
  }
  if (names.length > 1) return "--name: it is given twice";
  const [name = DEFAULT_SERVER_NAME] = names;
  // Claude Code accepts only these names.
  if (!/^\w[\w-]{0,59}$/.test(name)) {
    return "--name: it must be 1 to 60 characters of A-Z, a-z, 0-9, _ and -, " +
      "and must not begin with -";
  }
  return { client, name, shouldWrite, flags };
}

/** A change of the entry in one client's file. */
interface ClientJob {
  readonly client: Client;
  readonly file: string;
  readonly name: string;
  readonly isInstall: boolean;
  /** Returns the changed text. Throws an error that names the problem. */
  readonly edit: (text: string) => string;
}

/** Returns a job for each chosen client, or the reason why there is none. */
function clientJobs(
  { client: chosen, name }: InstallOptions,
  host: Host,
  command: readonly string[] | undefined,
): ClientJob[] | string {
  const clients = chosen === undefined ? findInstalledClients(host) : [chosen];
  if (clients.length === 0) {
    const titles = CLIENTS.map(({ title }) => title).join(", ");
    return `none of these clients is on this machine: ${titles}`;
  }
  const jobs: ClientJob[] = [];
  for (const client of clients) {
    const file = client.filePath(host);
    if (file === undefined) {
      return `${client.title}: the folder of its settings is unknown; set ` +
        "HOME (on Windows USERPROFILE and APPDATA)";
    }
    const { setEntry, removeEntry } = clientFileFormatOf(client);
    const edit = (text: string): string =>
      command === undefined
        ? removeEntry(text, name)
        : setEntry(text, name, createServerEntry(client, command));
    jobs.push({ client, file, name, isInstall: command !== undefined, edit });
  }
  return jobs;
}

/** The effect of a change on a client's file. */
interface PlannedChange {
  /** The text of the file; `undefined` if there is no file. */
  before?: string | undefined;
  after?: string;
  /** The entry before the change, if there is one. */
  current?: unknown;
  /** The changed lines of the entry, without secrets. */
  diff: readonly string[];
  /** The reasons why the client would not start the server. */
  warnings: string[];
  /** The reason why the file cannot be changed. */
  problem?: string;
}

function planChange(job: ClientJob, host: Host): PlannedChange {
  const { client, file, name, isInstall, edit } = job;
  const { findEntry, parseClientFile } = clientFileFormatOf(client);
  const plan: PlannedChange = { diff: [], warnings: [] };
  try {
    plan.before = readClientFile(host, file);
  } catch (error) {
    plan.problem = `it cannot be read (${errorMessageOf(error)})`;
    return plan;
  }
  try {
    const before = plan.before ?? "";
    plan.current = findEntry(before, name);
    plan.after = edit(before);
    const parsed = parseClientFile(plan.after);
    const syntax = findRejectedSyntax(client, before);
    const entry = getNested(parsed, client.serversKey, name);
    plan.diff = redactedDiff(name, plan.current, entry, host.launchCommand());
    if (syntax !== undefined) {
      const mayLoseEntry = client.mayResetFile && isInstall;
      const when = mayLoseEntry ? " first" : ", or the client finds no servers";
      const why = `it has ${syntax}, which ${client.title} cannot read; ` +
        `remove that${when}`;
      plan.warnings.push(`${file}: ${why}`);
      if (mayLoseEntry) plan.problem = why;
    }
    const disabledReason = findDisabledReason(client, parsed, name);
    if (isInstall && disabledReason !== undefined) {
      plan.warnings.push(`${file}: "${name}" ${disabledReason}`);
    }
  } catch (error) {
    plan.problem = errorMessageOf(error);
  }
  return plan;
}

/** Prints or writes a change. Returns the exit code. */
async function runJob(
  job: ClientJob,
  mode: "write" | "show",
  host: Host,
  output: Output,
): Promise<number> {
  const { client, file, name, isInstall } = job;
  const plan = planChange(job, host);
  const { before, after = "", diff, warnings, problem } = plan;
  if (problem !== undefined) {
    return failWith(output, 1, `${file}: ${problem}; nothing was changed`);
  }
  printMessages(output, warnings);
  if (after === (before ?? "")) {
    const state = isInstall ? "already in this file" : "not in this file";
    output.print(`${file}: "${name}" is ${state}; nothing changes`);
    const others = findAlwaysupServers(client, after, host.launchCommand());
    for (const other of others) {
      if (other.name === name && other.project === undefined) continue;
      const where = other.project === undefined
        ? "(see --name)"
        : `for ${other.project} only; that entry does not change`;
      const found = `This program is in the file as "${other.name}" ${where}`;
      output.print(sanitizeLine(found));
    }
    return 0;
  }
  output.print(`${file}:`);
  for (const line of diff) {
    const color = line.startsWith("+") ? "green" : "red";
    output.print(colorize(output, color, sanitizeLine(line)));
  }
  if (diff.length === 0) {
    output.print("The change is not shown, because it may be a secret.");
  }
  if (mode === "show") {
    output.print("Run the command with --write to change the file.");
    return 0;
  }
  try {
    const mode = host.stat(file)?.mode ?? 0o600;
    if ((mode & 0o222) === 0) throw new Error("it is read-only");
    if (before === undefined) {
      await createSafely(host, file, after);
    } else {
      const backupPath = await backUp(host, file, before, mode);
      output.print(`Backup of the file: ${backupPath}`);
      await overwriteSafely(host, file, before, after, backupPath);
    }
  } catch (error) {
    const why = `it cannot be written (${errorMessageOf(error)})`;
    return failWith(output, 1, `${file}: ${why}`);
  }
  output.print(`Restart ${client.title} or its MCP servers.`);
  if (isInstall && client.note !== undefined) output.print(client.note);
  return 0;
}

function printMessages(output: Output, texts: readonly string[]): void {
  for (const text of texts) output.printError(`alwaysup: ${text}`);
}

function failWith(output: Output, code: number, ...lines: string[]): number {
  printMessages(output, lines);
  return code;
}
