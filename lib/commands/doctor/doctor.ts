/**
 * Runs `alwaysup doctor`. This folder holds its checks of the settings, of each
 * step from this machine to the daemon, of running proxies, and of files. A
 * check reports its finding, and advice if there is a problem.
 *
 * @module
 */

import { errorMessageOf } from "../../text/error_message.ts";
import { sanitizeLine } from "../../text/sanitize.ts";
import type { CheckResult } from "./check.ts";
import { daemonChecks } from "./daemon_checks.ts";
import { networkChecks } from "./network_checks.ts";
import { CLIENTS } from "../../clients/registry.ts";
import {
  type Config,
  explicitSettingsOf,
  type SettingSource,
  type SettingSources,
} from "../../config/config.ts";
import { proxyConnectionsCheck } from "./connections_checks.ts";
import { HEALTH_FRESH_MS, readHealthFile } from "../../proxy/health_file.ts";
import { checkWritable } from "../../runtime/own_files.ts";
import { type Host } from "../../runtime/host.ts";
import { colorize, type Output } from "../../runtime/terminal.ts";
import { findRunningProxies } from "../../proxy/status_file.ts";
import {
  proxiesOfDaemon,
  runningCheck,
  unreadableProxiesCheck,
} from "./running_checks.ts";
import { createConfigRedactor, redactJsonValue } from "../../config/secrets.ts";
import { loadConfig } from "../../config/load.ts";
import { flagsOf } from "../command_table.ts";
import { cacheKeyOf, readCacheFile } from "../../proxy/cache_file.ts";
import { formatDuration } from "../../proxy/status_format.ts";

const SOURCE_LABELS: Readonly<Record<SettingSource, string>> = {
  flag: "command line",
  env: "environment",
  file: ".env file",
};
const STATE_COLORS = {
  ok: "green",
  warn: "yellow",
  fail: "red",
  skip: "bold",
} as const;

/**
 * Runs and prints all checks.
 *
 * @returns the exit code: 0; 1 if a check failed; 2 for invalid settings
 */
export async function doctor(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const isJson = args.includes("--json");
  const checks: CheckResult[] = [];
  for await (const check of runChecks(args, host)) {
    checks.push(check);
    if (!isJson) printCheck(check, output);
  }
  const failed = checks.filter(({ state }) => state === "fail");
  const isFine = failed.length === 0;
  if (isJson) output.print(JSON.stringify({ ok: isFine, checks }));
  if (isFine) return 0;
  return failed.some(({ name }) => name === "settings") ? 2 : 1;
}

function printCheck(check: CheckResult, output: Output): void {
  const { name, state, text, advice } = check;
  const mark = colorize(output, STATE_COLORS[state], state.padEnd(4));
  const [first, ...more] = text.split("\n").map((text) => sanitizeLine(text));
  output.print(`${mark}  ${name.padEnd(11)}  ${first}`);
  if (advice !== undefined) more.push(`-> ${sanitizeLine(advice)}`);
  for (const line of more) output.print(`${" ".repeat(19)}${line}`);
}

async function* runChecks(
  args: readonly string[],
  host: Host,
): AsyncGenerator<CheckResult> {
  const flags = args.filter((arg) => !/^--(json|connect)$/.test(arg));
  const { configResult, sources } = await loadConfig(
    host,
    flags,
    flagsOf("doctor"),
  );
  if (configResult.kind === "problems") {
    for (const text of configResult.problems) {
      const advice = "correct the setting: see `alwaysup help`";
      yield { name: "settings", state: "fail", text, advice };
    }
    return;
  }
  const { config, warnings } = configResult;
  yield settingsCheck(config, sources);
  for (const text of warnings) yield { name: "settings", state: "warn", text };
  // The daemon's texts may quote secrets that were sent to it.
  const redact = createConfigRedactor(config);
  const mode = args.includes("--connect") ? "connect" : "read";
  for await (const check of proxyAndDaemonChecks(config, host, mode)) {
    const { name, state } = check;
    yield { ...redactJsonValue(check, redact) as CheckResult, name, state };
  }
  yield cacheCheck(config, host);
  yield healthFileCheck(config, sources, host);
  yield await clientsCheck(host);
}

/**
 * In the mode `read`, connects only if no proxy of this daemon runs, because a
 * new connection could displace the session of a proxy.
 */
async function* proxyAndDaemonChecks(
  config: Config,
  host: Host,
  mode: "read" | "connect",
): AsyncGenerator<CheckResult> {
  const { proxies, problems } = findRunningProxies(host);
  const daemonProxies = proxiesOfDaemon(proxies, config);
  if (daemonProxies.length > 0) {
    yield runningCheck(daemonProxies, config, Date.now(), mode);
  }
  if (mode === "read" && daemonProxies.length > 0) {
    const sameDialect = daemonProxies.filter((it) =>
      it.dialect === config.dialect
    );
    if (sameDialect.length > 0) {
      yield proxyConnectionsCheck(sameDialect, config.connections);
    }
    return;
  }
  if (mode === "read" && problems.length > 0) {
    return yield unreadableProxiesCheck(problems);
  }
  for await (const check of networkChecks(config, host)) {
    yield check;
    if (check.state === "fail") return;
  }
  yield* daemonChecks(config, host);
}

function settingsCheck(
  { redactedUrl, dialect }: Config,
  sources: SettingSources,
): CheckResult {
  const lines = [`${redactedUrl}, dialect ${dialect}`];
  for (const { name, redactedValue, from } of explicitSettingsOf(sources)) {
    lines.push(`${name}: ${redactedValue} (${SOURCE_LABELS[from]})`);
  }
  return { name: "settings", state: "ok", text: lines.join("\n") };
}

function cacheCheck(config: Config, host: Host): CheckResult {
  const name = "cache";
  const cacheFile = readCacheFile(config.cache, cacheKeyOf(config), host);
  if (cacheFile === undefined) {
    const text = "off, or there is no state folder: the client waits for the " +
      "daemon at each start";
    return { name, state: "skip", text };
  }
  const { path, problem } = cacheFile;
  if (problem !== undefined) {
    const text = `${path} is not used: ${problem}`;
    const advice = "delete it, or choose another file (--cache PATH)";
    return { name, state: "warn", text, advice };
  }
  try {
    checkWritable(host, path);
  } catch (error) {
    const text = `${path} cannot be written (${errorMessageOf(error)})`;
    const advice =
      "make it writable for your user, or choose another file (--cache PATH)";
    return { name, state: "warn", text, advice };
  }
  const modifiedAt = host.stat(path)?.modifiedAt;
  const text = modifiedAt === undefined
    ? `${path} will be written when a client has listed the tools`
    : `${path}, ${formatDuration(Date.now() - modifiedAt)} old`;
  return { name, state: "ok", text };
}

function healthFileCheck(
  { dialect, healthFile: path }: Config,
  sources: SettingSources,
  host: Host,
): CheckResult {
  const name = "health file";
  if (path === undefined) {
    const variable = "EXAI_WS_HEALTH_FILE";
    const isNamed = explicitSettingsOf(sources)
      .some(({ name }) => name === variable);
    const why = dialect === "mcp"
      ? `${variable} is for the exai dialect only`
      : "it is not read, because EXAI_WS_SKIP_HEALTH_CHECK is set";
    return {
      name,
      state: "skip",
      text: isNamed ? why : "no health file is set",
    };
  }
  const found = readHealthFile(host, path);
  if (typeof found === "string") {
    const advice = "check EXAI_WS_HEALTH_FILE, and that the daemon runs";
    return { name, state: "warn", text: `${path} is ${found}`, advice };
  }
  const age = `${path} is ${formatDuration(found.ageMs)} old`;
  if (found.ageMs <= HEALTH_FRESH_MS) return { name, state: "ok", text: age };
  const advice =
    "check that the daemon runs; a call that blocks it may also be the reason";
  return { name, state: "warn", text: age, advice };
}

async function clientsCheck(host: Host): Promise<CheckResult> {
  const name = "clients";
  let installed: typeof import("../installed_clients.ts");
  try {
    // This module needs npm packages, which may be missing without a network.
    installed = await import("../installed_clients.ts");
  } catch {
    const text =
      "the clients' files cannot be read: npm packages for that are missing";
    const advice = "start alwaysup once with access to the npm registry";
    return { name, state: "skip", text, advice };
  }
  const { findOwnServers, formatServerName } = installed;
  const lines: string[] = [];
  const problems: string[] = [];
  for (const client of CLIENTS) {
    const path = client.filePath(host);
    if (path === undefined) continue;
    try {
      const found = findOwnServers(client, path, host) ?? [];
      if (found.length === 0) continue;
      const names = found.map((it) => sanitizeLine(formatServerName(it)));
      lines.push(`${client.title}: ${names.join(", ")} in ${path}`);
    } catch (error) {
      const why = errorMessageOf(error);
      problems.push(`${client.title}: ${path} cannot be read (${why})`);
    }
  }
  if (problems.length > 0) {
    const text = [...lines, ...problems].join("\n");
    const advice = "fix that file, or the client will not start its servers";
    return { name, state: "warn", text, advice };
  }
  if (lines.length > 0) return { name, state: "ok", text: lines.join("\n") };
  const text = "no known client starts alwaysup";
  const advice = "run alwaysup install CLIENT to see how to add it";
  return { name, state: "warn", text, advice };
}
