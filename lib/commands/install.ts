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

const DEFAULT_SERVER_NAME = "alwaysup";

interface InstallOptions {
  /** The client; `undefined` for `--all`. */
  readonly client: Client | undefined;
  readonly name: string;
  readonly shouldWrite: boolean;
  /** The settings of the proxy. */
  readonly flags: readonly string[];
}

/**
 * Prints how a client starts this program; with `--write`, puts it into the
 * client's file. With `--all`, it lists the clients on this machine, or, with
 * `--write`, edits the file of each.
 *
 * @returns the exit code: 1 if a file cannot be changed; 2 for invalid flags
 */
export async function install(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const options = parseInstallArgs(args);
  if (typeof options === "string") return failWith(output, 2, options);
  const flags = withAbsolutePaths(options.flags, host);
  // A client's servers do not get the rest of our environment.
  const isolatedHost = { ...host, env: () => inheritedEnv(host) };
  const { configResult, sources } = await loadConfig(isolatedHost, flags);
  if (configResult.kind === "problems") {
    return failWith(output, 2, ...configResult.problems);
  }
  printWarnings(output, configResult.warnings);
  if (options.client === undefined && !options.shouldWrite) {
    printInstalledClients(host, output);
    return 0;
  }
  const command = wrapForWindows(host.os, [...host.launchCommand(), ...flags]);
  if (command[0] === "cmd" && command.some((word) => /[&|<>^%"]/.test(word))) {
    const why = "Windows would read a part of it as its own: write what has " +
      'one of & | < > ^ % " into a file, and give that with --env-file';
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
    printWarnings(output, settingsWarnings(job.client, flags, sources, host));
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
  printWarnings(output, planChange(job, host).warnings);
  output.print(`${title} reads its servers from ${file}`);
  output.print("This belongs there (--write puts it there):");
  output.print(`\n${job.edit("").trimEnd()}`);
  if (note !== undefined) output.print(`\n${note}`);
}

/**
 * Prints what would be removed from a client's file; with `--write`, removes
 * it. With `--all`, it does so for each client on this machine.
 *
 * @returns the exit code: 1 if a file cannot be changed; 2 for invalid flags
 */
export async function uninstall(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const options = parseInstallArgs(args);
  if (typeof options === "string") return failWith(output, 2, options);
  if (options.flags.length > 0) {
    const why =
      "here are only the flags --name, --write and --all (see --help)";
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

/** Returns what is wrong, without the text itself, which may be a secret. */
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
  return { client, name, shouldWrite, flags };
}

/** A change of the entry in one client's file. */
interface ClientJob {
  readonly client: Client;
  readonly file: string;
  readonly name: string;
  readonly isInstall: boolean;
  /** Throws with what is wrong with the text. */
  readonly edit: (text: string) => string;
}

/** Returns a job for each of the chosen clients, or why there is none. */
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
      return `${client.title}: the environment does not say where its ` +
        "settings are (HOME; on Windows USERPROFILE and APPDATA)";
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

/** What a change does to a client's file. */
interface PlannedChange {
  /** `undefined` if there is no file. */
  before?: string | undefined;
  after?: string;
  /** The entry as it is, if there is one. */
  current?: unknown;
  /** The lines of the entry that differ. */
  diff: readonly string[];
  /** What keeps the client from starting the server. */
  warnings: string[];
  /** Why the file cannot be changed. */
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
      const when = mayLoseEntry ? " first" : ", or it finds no servers";
      const why = `it has ${syntax}, and ${client.title} does not read that: ` +
        `take it out${when}`;
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

/** Returns the process's exit code. */
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
    return failWith(output, 1, `${file}: ${problem}; nothing is changed`);
  }
  printWarnings(output, warnings);
  if (after === (before ?? "")) {
    const state = isInstall ? "there already" : "not there";
    output.print(`${file}: "${name}" is ${state}; nothing changes`);
    const others = findAlwaysupServers(client, after, host.launchCommand());
    for (const other of others) {
      if (other.name === name && other.project === undefined) continue;
      const where = other.project === undefined
        ? "(see --name)"
        : `for ${other.project} only, which is left alone`;
      const found = `This program is there as "${other.name}" ${where}`;
      output.print(sanitizeLine(found));
    }
    return 0;
  }
  output.print(`${file}:`);
  for (const line of diff) {
    const color = line.startsWith("+") ? "green" : "red";
    output.print(colorize(output, color, sanitizeLine(line)));
  }
  if (diff.length === 0) output.print("What changes may be a secret.");
  if (mode === "show") {
    output.print("--write does that.");
    return 0;
  }
  try {
    const mode = host.stat(file)?.mode ?? 0o600;
    if ((mode & 0o222) === 0) throw new Error("it is read-only");
    if (before === undefined) {
      await createSafely(host, file, after);
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

function printWarnings(output: Output, texts: readonly string[]): void {
  for (const text of texts) output.printError(`alwaysup: ${text}`);
}

function failWith(output: Output, code: number, ...lines: string[]): number {
  printWarnings(output, lines);
  return code;
}
