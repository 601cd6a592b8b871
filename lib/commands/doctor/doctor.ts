/**
 * `alwaysup doctor`: what works between this machine and the daemon, and what
 * to do about what does not.
 *
 * @module
 */

import { messageOf } from "../../text/error_message.ts";
import { tame } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import { checkup } from "./protocol_checks.ts";
import { oursIn } from "../../clients/config_file.ts";
import { clientText, shownAs } from "../installed_clients.ts";
import { CLIENTS } from "../../clients/registry.ts";
import {
  type Config,
  made,
  type Source,
  type Sources,
} from "../../config/config.ts";
import { proxiesCheck } from "./connections_check.ts";
import { readHealth } from "../../proxy/health_file.ts";
import { rehearse } from "../../runtime/atomic_file.ts";
import { type Host } from "../../runtime/host.ts";
import { type Output, paint } from "../../runtime/terminal.ts";
import { findRunning } from "../../proxy/status_file.ts";
import { HEALTH_FRESH_MS } from "../../session/log_messages.ts";
import {
  besideCheck,
  proxiesAt,
  runningCheck,
  unseenCheck,
} from "./running_check.ts";
import { type Hide, hideIn, hiderOf } from "../../config/secrets.ts";
import { readSettings } from "../../config/load.ts";
import { ownerOf, readState } from "../../proxy/cache_file.ts";
import { span } from "../../proxy/status_format.ts";

const PLACES: Readonly<Record<Source, string>> = {
  flag: "command line",
  env: "environment",
  file: ".env file",
};
const COLOURS = {
  ok: "green",
  warn: "yellow",
  fail: "red",
  skip: "bold",
} as const;

/**
 * Makes every check and says one line about each.
 *
 * @returns the process's exit code: 0, or 1 where something failed
 */
export async function doctor(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const isJson = args.includes("--json");
  const isConnecting = args.includes("--connect");
  const rest = args.filter((arg) => !/^--(json|connect)$/.test(arg));
  const way = isConnecting ? "connect" : "read";
  const checks: Check[] = [];
  for await (const check of examine(rest, host, way)) {
    checks.push(check);
    if (!isJson) say(check, output);
  }
  const isFine = !checks.some(({ state }) => state === "fail");
  if (isJson) output.print(JSON.stringify({ ok: isFine, checks }));
  return isFine ? 0 : 1;
}

function say({ name, state, text, advice }: Check, output: Output): void {
  const mark = paint(output, COLOURS[state], state.padEnd(4));
  const [first, ...more] = text.split("\n").map((text) => tame(text));
  output.print(`${mark}  ${name.padEnd(11)}  ${first}`);
  if (advice !== undefined) more.push(`-> ${tame(advice)}`);
  for (const line of more) output.print(`${" ".repeat(19)}${line}`);
}

async function* examine(
  args: readonly string[],
  host: Host,
  way: "connect" | "read",
): AsyncGenerator<Check> {
  const { reading, sources } = await readSettings(host, args);
  if (reading.kind === "problems") {
    for (const text of reading.problems) {
      const advice = "mend it; nothing starts before (alwaysup --help)";
      yield { name: "settings", state: "fail", text, advice };
    }
    return;
  }
  const { config, warnings } = reading;
  yield settings(config, sources);
  for (const text of warnings) yield { name: "settings", state: "warn", text };
  const hide = hiderOf(config);
  for await (const check of daemon(config, host, way)) {
    yield withoutSecrets(check, hide);
  }
  yield cache(config, host);
  yield health(config, sources, host);
  yield clients(host);
}

/** A daemon may quote what it was told. */
function withoutSecrets(
  { text, advice, data, ...check }: Check,
  hide: Hide,
): Check {
  return {
    ...check,
    text: hide(text),
    ...(advice !== undefined && { advice: hide(advice) }),
    ...(data && { data: hideIn(data, hide) as Record<string, unknown> }),
  };
}

/**
 * The daemon: from its proxies that run, if there are any. A connection of
 * doctor's could displace the session of their clients.
 */
async function* daemon(
  config: Config,
  host: Host,
  way: "connect" | "read",
): AsyncGenerator<Check> {
  const { running, troubles } = findRunning(host);
  const proxies = proxiesAt(running, config);
  const now = Date.now();
  if (way === "connect") {
    if (proxies.length > 0) yield besideCheck(proxies, config, now);
    yield* checkup(config, host);
  } else if (proxies.length > 0) {
    yield runningCheck(proxies, config, now);
    const alike = proxies.filter(({ dialect }) => dialect === config.dialect);
    if (alike.length > 0) yield proxiesCheck(alike, config.connections);
  } else if (troubles.length > 0) {
    yield unseenCheck(troubles);
  } else {
    yield* checkup(config, host);
  }
}

function settings({ shownUrl, dialect }: Config, sources: Sources): Check {
  const words = made(sources).map(({ name, shown, from }) =>
    `${name}: ${shown} (${PLACES[from]})`
  );
  const text = [`${shownUrl}, dialect ${dialect}`, ...words].join("\n");
  return { name: "settings", state: "ok", text };
}

function cache(config: Config, host: Host): Check {
  const name = "cache";
  const state = readState(config.cache, ownerOf(config), host);
  if (state === undefined) {
    const text = "off, or there is no state folder: the client waits for the " +
      "daemon at each start";
    return { name, state: "skip", text };
  }
  const { path, trouble } = state;
  if (trouble !== undefined) {
    const text = `${path} is not used: ${trouble}`;
    const advice = "delete it, or name another one (--cache PATH)";
    return { name, state: "warn", text, advice };
  }
  try {
    rehearse(host, path);
  } catch (error) {
    const text = `${path} cannot be written (${messageOf(error)})`;
    const advice = "let your user write there, or name another (--cache PATH)";
    return { name, state: "warn", text, advice };
  }
  const modifiedAt = host.stat(path)?.modifiedAt;
  const text = modifiedAt === undefined
    ? `${path} will be written when a client has listed the tools`
    : `${path}, ${span(Date.now() - modifiedAt)} old`;
  return { name, state: "ok", text };
}

function health(
  { dialect, healthFile: path }: Config,
  sources: Sources,
  host: Host,
): Check {
  const name = "health file";
  if (path === undefined) {
    const variable = "EXAI_WS_HEALTH_FILE";
    const isNamed = made(sources).some(({ name }) => name === variable);
    const why = dialect === "mcp"
      ? `${variable} is for the exai dialect only`
      : "EXAI_WS_SKIP_HEALTH_CHECK leaves it alone";
    return { name, state: "skip", text: isNamed ? why : "none is named" };
  }
  const found = readHealth(() => host.readFile(path), Date.now());
  if (typeof found === "string") {
    const advice = "check EXAI_WS_HEALTH_FILE, and that the daemon runs";
    return { name, state: "warn", text: `${path} is ${found}`, advice };
  }
  const age = `${path} is ${span(found.ageMs)} old`;
  if (found.ageMs <= HEALTH_FRESH_MS) return { name, state: "ok", text: age };
  const advice = "the daemon is down, or busy with a call that blocks it";
  return { name, state: "warn", text: age, advice };
}

/** The clients of this machine that start this program. */
function clients(host: Host): Check {
  const name = "clients";
  const lines: string[] = [];
  const troubles: string[] = [];
  for (const client of CLIENTS) {
    const path = client.file(host);
    if (path === undefined) continue;
    try {
      const text = clientText(host, path);
      const found = oursIn(client, text ?? "", host.program());
      if (found.length === 0) continue;
      const names = found.map((it) => tame(shownAs(it))).join(", ");
      lines.push(`${client.title}: ${names} in ${path}`);
    } catch (error) {
      const why = messageOf(error);
      troubles.push(`${client.title}: ${path} cannot be read (${why})`);
    }
  }
  const text = [...lines, ...troubles].join("\n");
  if (troubles.length > 0) {
    const advice = "mend that file, or the client will not start its servers";
    return { name, state: "warn", text, advice };
  }
  if (lines.length > 0) return { name, state: "ok", text };
  const none = "none that is known here starts alwaysup";
  const advice = "alwaysup install CLIENT says how";
  return { name, state: "warn", text: none, advice };
}
