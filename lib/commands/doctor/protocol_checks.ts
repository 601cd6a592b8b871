/**
 * One look after the other at what a daemon says: dialect, token, tools, probe,
 * and how many connections it keeps; and before at the way to it.
 *
 * @module
 */

import { nextCursor } from "../../protocol/lists.ts";
import { tame } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import type { Config } from "../../config/config.ts";
import { type Known, knownCheck } from "./connections_check.ts";
import type { Host } from "../../runtime/host.ts";
import {
  type Habits,
  idsCheck,
  muteness,
  type Restart,
  restartCheck,
} from "./habits_check.ts";
import { dig } from "../../protocol/jsonrpc.ts";
import {
  META,
  type Params,
  type ServerCapability,
} from "../../protocol/mcp_types.ts";
import { serverOf } from "../../cache/cache.ts";
import type { FailureCause } from "../../link/link.ts";
import { reach } from "./network_checks.ts";
import { ownerOf, readState } from "../../proxy/cache_file.ts";
import { type Outcome, type Spelling, Trial } from "./probe_client.ts";

/** How long a daemon has to understand another dialect than was said, in milliseconds. */
const SHORT_MS = 3_000;
/** How long it has at least for what it has done before, in milliseconds; a slow one has several times what it took. */
const AGAIN_MS = 2_000;
/** How often the daemon is probed. */
const PROBES = 5;
/** How long a proxy's trial of two connections may take: it takes half of it. */
const TRIAL_MS = 1_000;
/** The version that the client in us speaks first, and the one of the stateless era. */
const [LEGACY, STATELESS] = ["2025-11-25", "2026-07-28"];

const CLIENT_INFO = { name: "alwaysup doctor", version: "1" };
const INITIALIZE = {
  ...{ protocolVersion: LEGACY, capabilities: {}, clientInfo: CLIENT_INFO },
} satisfies Params<"initialize">;

/** From the host's name to the daemon's answers; what follows from a failure is not looked at. */
export async function* checkup(
  config: Config,
  host: Host,
): AsyncGenerator<Check> {
  for await (const check of reach(config, host)) {
    yield check;
    if (check.state === "fail") return;
  }
  yield* interview(config, host);
}

/** Starts a proxy, and a client of it. */
export type StartTrial = (config: Config, spelling?: Spelling) => Trial;

/** Tries a whole proxy. */
export async function* interview(
  config: Config,
  host: Host,
  start: StartTrial = (...settings) => new Trial(host, ...settings),
): AsyncGenerator<Check> {
  const trial = start(untried(config));
  let server: string;
  let greeting: Greeting;
  let helloMs: number;
  let trouble: string | undefined;
  try {
    greeting = await greet(trial, config);
    const { hello, _meta } = greeting;
    if (hello.kind === "failed") {
      return yield await unwelcome(hello, config, start);
    }
    yield { name: "daemon", state: "ok", text: described(hello, config) };
    const isSent = config.helloToken !== "" ||
      config.headers.some(([name]) => /^authorization$/i.test(name));
    const token = isSent ? "sent, and not refused" : "none set, none asked for";
    yield { name: "token", state: "ok", text: token };
    const listed = await tools(trial, config, hello, _meta);
    yield listed;
    if (listed.state === "fail") return;
    yield await probe(trial, config, _meta);
    server = serverOf(resultOf(hello)) ?? "";
    helloMs = hello.ms;
  } finally {
    await trial.end();
  }
  if (config.dialect === "mcp") {
    const numbers = trial.saw("string") ? "as text" : "as sent";
    const limit = Math.min(
      Math.max(AGAIN_MS, 4 * helloMs),
      config.handshakeTimeout,
    );
    const rest = await habits(untried(config), start, greeting, limit);
    const found = { numbers, ...rest } as const;
    yield idsCheck(found);
    yield restartCheck(found);
    trouble = muteness(found.restart);
  }
  yield knownCheck(await known(config, host, start, server, trouble));
}

/** What becomes of text ids, and of a connection that is lost. */
async function habits(
  config: Config,
  start: StartTrial,
  { _meta }: Greeting,
  limit: number,
): Promise<Omit<Habits, "numbers">> {
  let trial: Trial = start(config, "texts");
  try {
    let texts: Habits["texts"] = "as sent";
    if (!await begins(trial, _meta, limit)) {
      texts = trial.saw("null") ? "as null" : "unanswered";
      await trial.end();
      trial = start(config);
      if (!await begins(trial, _meta, limit)) {
        return { texts: "unknown", restart: { kind: "second unanswered" } };
      }
    }
    return { texts, restart: await restart(trial, limit) };
  } finally {
    await trial.end();
  }
}

/** Whether a client can begin, and is answered then; the era is known. */
async function begins(
  trial: Trial,
  _meta: Greeting["_meta"],
  limit: number,
): Promise<boolean> {
  const hello = _meta === undefined
    ? await trial.ask("initialize", INITIALIZE, limit)
    : await trial.ask("server/discover", { _meta }, limit);
  if (hello.kind === "failed") return false;
  if (_meta === undefined) {
    await trial.tell({ method: "notifications/initialized" });
  }
  // A bridge may answer hello itself, and hand on the rest.
  const rest = _meta === undefined ? undefined : { _meta };
  const list = await trial.ask("tools/list", rest, limit);
  return list.kind === "result" || list.isAnswered === true;
}

/** A connection is lost, and the proxy does what it always does then. */
async function restart(trial: Trial, limit: number): Promise<Restart> {
  const found = await trial.lose(limit);
  if ("ms" in found) return { kind: "reconnected", ms: found.ms };
  const { phase, why } = found;
  if (phase === "greeting") return { kind: "own unanswered" };
  return { kind: "not reached", why };
}

/** The same, but that the proxy does not try two connections: that could end the first one. */
function untried(config: Config): Config {
  const { dialect, connections } = config;
  const isTrying = dialect === "mcp" && connections === "auto";
  return isTrying ? { ...config, connections: "one" } : config;
}

/** How many connections the daemon keeps, from who knows it first. */
async function known(
  config: Config,
  host: Host,
  start: StartTrial,
  server: string,
  trouble: string | undefined,
): Promise<Known> {
  const { dialect, cache, connections: set } = config;
  if (dialect === "exai") return { from: "dialect", connections: "many" };
  if (set !== "auto") return { from: "setting", connections: set };
  const remembered = readState(cache, ownerOf(config), host)?.remembered;
  const forMs = remembered?.one?.[server] ?? 0;
  if (forMs > 0) return { from: "cache", connections: "one", forMs };
  if (trouble === undefined) return await tried(config, start);
  return { from: "trial", connections: "unknown", trouble };
}

/** What a proxy finds out when it tries two connections. */
async function tried(config: Config, start: StartTrial): Promise<Known> {
  const trial = start(config);
  try {
    const { hello } = await greet(trial, config);
    const connections = await trial.connections(TRIAL_MS);
    const trouble = hello.kind === "failed" ? { trouble: hello.why } : {};
    return { from: "trial", connections, ...trouble };
  } finally {
    await trial.end();
  }
}

/** The daemon does not take us: because it does not want to, or does not understand us. */
async function unwelcome(
  { why, cause }: Extract<Outcome, { kind: "failed" }>,
  config: Config,
  start: StartTrial,
): Promise<Check> {
  const isMcp = config.dialect === "mcp";
  if (isTokenCause(cause, config.dialect)) {
    const advice = "give the daemon's own token (--token-file, ALWAYSUP_TOKEN)";
    return { name: "token", state: "fail", text: why, advice };
  }
  const dialect = isMcp ? "exai" : "mcp";
  const isTold = cause === "other dialect";
  if (isTold || await understands({ ...config, dialect }, start)) {
    const text = `this daemon speaks ${dialect}, not ${config.dialect}`;
    const advice = `say --dialect ${dialect}`;
    return { name: "daemon", state: "fail", text, advice };
  }
  const advice = "look at the daemon's own log";
  return { name: "daemon", state: "fail", text: why, advice };
}

/** Whether the daemon knows a dialect that was not asked for; so it gets no token, and says so if it wants one. */
async function understands(
  config: Config,
  start: StartTrial,
): Promise<boolean> {
  const handshakeTimeout = Math.min(config.handshakeTimeout, SHORT_MS);
  const other = untried({ ...config, handshakeTimeout, helloToken: "" });
  const trial = start(other);
  const { hello } = await greet(trial, other);
  await trial.end();
  return hello.kind === "result" || hello.cause === "token refused";
}

/** Whether a daemon may take us with another token. */
function isTokenCause(
  cause: FailureCause | undefined,
  dialect: string,
): boolean {
  switch (cause) {
    case "refused":
    case "token refused":
      return true;
    case "policy violation":
      // An exai daemon closes so where it has too many connections.
      return dialect === "mcp";
    case "other dialect":
    case "nobody there":
    case undefined:
      return false;
  }
}

/** What became of hello, and what every request says about us in the newer era, if that is the daemon's. */
interface Greeting {
  readonly hello: Outcome;
  readonly _meta?: Record<string, unknown>;
}

/** Says hello in the older era, and if the daemon does not know it, in the newer one. */
async function greet(trial: Trial, { dialect }: Config): Promise<Greeting> {
  const hello = await trial.ask("initialize", INITIALIZE);
  if (hello.kind === "result") {
    await trial.tell({ method: "notifications/initialized" });
    // The proxy itself answers for an exai daemon, whether one is there or not.
    if (dialect === "exai") return { hello: await trial.ask("tools/list") };
    return { hello };
  }
  if (dialect !== "mcp" || trial.isOver) return { hello };
  const _meta = {
    [META.protocolVersion]: STATELESS,
    [META.clientCapabilities]: {},
    [META.clientInfo]: CLIENT_INFO,
  };
  const other = await trial.ask("server/discover", { _meta });
  return other.kind === "result" ? { hello: other, _meta } : { hello };
}

function resultOf(outcome: Outcome): unknown {
  return outcome.kind === "result" ? outcome.result : undefined;
}

function described(hello: Outcome, { dialect }: Config): string {
  if (dialect === "exai") return "it speaks exai, and took our hello";
  const said = dig(resultOf(hello), "protocolVersion");
  const version = typeof said === "string" ? tame(said, 200) : STATELESS;
  const who = wordsOf(hello).map((text) => tame(text, 200)).join(" ");
  return `it speaks MCP ${version}${who && `: ${who}`}`;
}

/** The name and the version that the daemon gives itself, as far as it does. */
function wordsOf(hello: Outcome): string[] {
  const info = dig(resultOf(hello), "serverInfo");
  return ["name", "version"].map((name) => dig(info, name))
    .filter((text) => typeof text === "string" && text !== "") as string[];
}

async function tools(
  trial: Trial,
  { dialect, handshakeTimeout }: Config,
  hello: Outcome,
  _meta: Record<string, unknown> | undefined,
): Promise<Check> {
  const name = "tools" satisfies ServerCapability;
  const isToolless = dig(resultOf(hello), "capabilities", name) ===
    undefined;
  if (dialect === "mcp" && isToolless) {
    return { name, state: "warn", text: "the daemon says that it has none" };
  }
  const items = new Set<string>();
  let cursor: string | undefined;
  const seen = new Set<string>();
  const until = performance.now() + handshakeTimeout;
  for (;;) {
    const asked = await trial.ask("tools/list", {
      ...(cursor !== undefined && { cursor }),
      ...(_meta && { _meta }),
    });
    if (asked.kind === "failed") {
      const text = `they cannot be listed: ${asked.why}`;
      const advice = "look at the daemon's own log";
      return { name, state: "fail", text, advice };
    }
    const list = dig(asked.result, "tools");
    for (const tool of Array.isArray(list) ? list as unknown[] : []) {
      items.add(JSON.stringify(tool));
    }
    cursor = nextCursor(asked.result);
    // The proxy takes a cursor that comes again for the end, too.
    if (cursor === undefined || seen.has(cursor)) break;
    if (performance.now() > until) {
      const text = `${items.size}, and its pages do not come to an end`;
      return { name, state: "warn", text };
    }
    seen.add(cursor);
  }
  const count = items.size;
  return { name, state: count > 0 ? "ok" : "warn", text: `${count}` };
}

async function probe(
  trial: Trial,
  { dialect }: Config,
  _meta: Record<string, unknown> | undefined,
): Promise<Check> {
  const name = "probe";
  // What every daemon of that kind answers; exai's ping is answered here.
  const method = dialect === "exai"
    ? "tools/list"
    : _meta === undefined
    ? "ping"
    : "server/discover";
  const times: number[] = [];
  for (let i = 0; i < PROBES; i++) {
    const asked = await trial.ask(method, _meta && { _meta });
    if (asked.kind === "failed") {
      const text = `${method} fails: ${asked.why}`;
      const advice = "it lives, but its silence will be taken for death: " +
        "--ping-interval off";
      return { name, state: "warn", text, advice };
    }
    times.push(asked.ms);
  }
  times.sort((a, b) => a - b);
  const [low, middle, high] = [0, PROBES >> 1, PROBES - 1]
    .map((i) => times[i]!.toFixed(1));
  const text = `${middle} ms, the median of ${PROBES} (${low} to ${high})`;
  return { name, state: "ok", text };
}
