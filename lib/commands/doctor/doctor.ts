/**
 * `alwaysup doctor`: checks what works between this machine and the daemon, and
 * says what to do about what does not.
 *
 * @module
 */

import { errorMessageOf } from "../../text/error_message.ts";
import { sanitizeLine } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import { networkAndProtocolChecks } from "./protocol_checks.ts";
import { findAlwaysupServers } from "../../clients/client_file.ts";
import { formatServerName, readClientFile } from "../installed_clients.ts";
import { CLIENTS } from "../../clients/registry.ts";
import {
  type Config,
  explicitSettingsOf,
  type SettingSource,
  type SettingSources,
} from "../../config/config.ts";
import { proxyConnectionsCheck } from "./connections_checks.ts";
import { readHealthFile } from "../../proxy/health_file.ts";
import { checkWritable } from "../../runtime/atomic_file.ts";
import { type Host } from "../../runtime/host.ts";
import { colorize, type Output } from "../../runtime/terminal.ts";
import { findRunningProxies } from "../../proxy/status_file.ts";
import { HEALTH_FRESH_MS } from "../../session/log_messages.ts";
import {
  connectAnywayCheck,
  proxiesOfDaemon,
  runningCheck,
  unreadableProxiesCheck,
} from "./running_checks.ts";
import {
  createConfigRedactor,
  redactJsonValue,
  type Redactor,
} from "../../config/secrets.ts";
import { loadConfig } from "../../config/load.ts";
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
 * Makes every check and prints each result.
 *
 * @returns the process's exit code: 0, or 1 if a check failed
 */
export async function doctor(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const isJson = args.includes("--json");
  const isConnecting = args.includes("--connect");
  const rest = args.filter((arg) => !/^--(json|connect)$/.test(arg));
  const mode = isConnecting ? "connect" : "read";
  const checks: Check[] = [];
  for await (const check of runChecks(rest, host, mode)) {
    checks.push(check);
    if (!isJson) printCheck(check, output);
  }
  const isFine = !checks.some(({ state }) => state === "fail");
  if (isJson) output.print(JSON.stringify({ ok: isFine, checks }));
  return isFine ? 0 : 1;
}

function printCheck(
  { name, state, text, advice }: Check,
  output: Output,
): void {
  const mark = colorize(output, STATE_COLORS[state], state.padEnd(4));
  const [first, ...more] = text.split("\n").map((text) => sanitizeLine(text));
  output.print(`${mark}  ${name.padEnd(11)}  ${first}`);
  if (advice !== undefined) more.push(`-> ${sanitizeLine(advice)}`);
  for (const line of more) output.print(`${" ".repeat(19)}${line}`);
}

async function* runChecks(
  args: readonly string[],
  host: Host,
  mode: "connect" | "read",
): AsyncGenerator<Check> {
  const { configResult, sources } = await loadConfig(host, args);
  if (configResult.kind === "problems") {
    for (const text of configResult.problems) {
      const advice = "mend it; nothing starts before (alwaysup --help)";
      yield { name: "settings", state: "fail", text, advice };
    }
    return;
  }
  const { config, warnings } = configResult;
  yield settingsCheck(config, sources);
  for (const text of warnings) yield { name: "settings", state: "warn", text };
  const redact = createConfigRedactor(config);
  for await (const check of daemonChecks(config, host, mode)) {
    yield redactCheck(check, redact);
  }
  yield cacheCheck(config, host);
  yield healthFileCheck(config, sources, host);
  yield clientsCheck(host);
}

/** Redacts secrets: a daemon may quote what it was sent. */
function redactCheck(
  { text, advice, data, ...check }: Check,
  redact: Redactor,
): Check {
  return {
    ...check,
    text: redact(text),
    ...(advice !== undefined && { advice: redact(advice) }),
    ...(data &&
      { data: redactJsonValue(data, redact) as Record<string, unknown> }),
  };
}

/**
 * Checks the daemon; reads its running proxies' status files instead, if there
 * are any. A connection of doctor's could displace the session of their
 * clients.
 */
async function* daemonChecks(
  config: Config,
  host: Host,
  mode: "connect" | "read",
): AsyncGenerator<Check> {
  const { proxies, problems } = findRunningProxies(host);
  const daemonProxies = proxiesOfDaemon(proxies, config);
  const now = Date.now();
  if (mode === "connect") {
    if (daemonProxies.length > 0) {
      yield connectAnywayCheck(daemonProxies, config, now);
    }
    yield* networkAndProtocolChecks(config, host);
  } else if (daemonProxies.length > 0) {
    yield runningCheck(daemonProxies, config, now);
    const sameDialectProxies = daemonProxies.filter(({ dialect }) =>
      dialect === config.dialect
    );
    if (sameDialectProxies.length > 0) {
      yield proxyConnectionsCheck(sameDialectProxies, config.connections);
    }
  } else if (problems.length > 0) {
    yield unreadableProxiesCheck(problems);
  } else {
    yield* networkAndProtocolChecks(config, host);
  }
}

function settingsCheck(
  { redactedUrl, dialect }: Config,
  sources: SettingSources,
): Check {
  const settingLines = explicitSettingsOf(sources).map((
    { name, redactedValue, from },
  ) => `${name}: ${redactedValue} (${SOURCE_LABELS[from]})`);
  const text = [`${redactedUrl}, dialect ${dialect}`, ...settingLines].join(
    "\n",
  );
  return { name: "settings", state: "ok", text };
}

function cacheCheck(config: Config, host: Host): Check {
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
    const advice = "delete it, or name another one (--cache PATH)";
    return { name, state: "warn", text, advice };
  }
  try {
    checkWritable(host, path);
  } catch (error) {
    const text = `${path} cannot be written (${errorMessageOf(error)})`;
    const advice = "let your user write there, or name another (--cache PATH)";
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
): Check {
  const name = "health file";
  if (path === undefined) {
    const variable = "EXAI_WS_HEALTH_FILE";
    const isNamed = explicitSettingsOf(sources).some(({ name }) =>
      name === variable
    );
    const why = dialect === "mcp"
      ? `${variable} is for the exai dialect only`
      : "EXAI_WS_SKIP_HEALTH_CHECK leaves it alone";
    return { name, state: "skip", text: isNamed ? why : "none is named" };
  }
  const found = readHealthFile(() => host.readFile(path), Date.now());
  if (typeof found === "string") {
    const advice = "check EXAI_WS_HEALTH_FILE, and that the daemon runs";
    return { name, state: "warn", text: `${path} is ${found}`, advice };
  }
  const age = `${path} is ${formatDuration(found.ageMs)} old`;
  if (found.ageMs <= HEALTH_FRESH_MS) return { name, state: "ok", text: age };
  const advice = "the daemon is down, or busy with a call that blocks it";
  return { name, state: "warn", text: age, advice };
}

/** Checks which clients on this machine start this program. */
function clientsCheck(host: Host): Check {
  const name = "clients";
  const lines: string[] = [];
  const problems: string[] = [];
  for (const client of CLIENTS) {
    const path = client.filePath(host);
    if (path === undefined) continue;
    try {
      const text = readClientFile(host, path);
      const found = findAlwaysupServers(
        client,
        text ?? "",
        host.launchCommand(),
      );
      if (found.length === 0) continue;
      const names = found.map((it) => sanitizeLine(formatServerName(it))).join(
        ", ",
      );
      lines.push(`${client.title}: ${names} in ${path}`);
    } catch (error) {
      const why = errorMessageOf(error);
      problems.push(`${client.title}: ${path} cannot be read (${why})`);
    }
  }
  const text = [...lines, ...problems].join("\n");
  if (problems.length > 0) {
    const advice = "mend that file, or the client will not start its servers";
    return { name, state: "warn", text, advice };
  }
  if (lines.length > 0) return { name, state: "ok", text };
  const none = "none that is known here starts alwaysup";
  const advice = "alwaysup install CLIENT says how";
  return { name, state: "warn", text: none, advice };
}
