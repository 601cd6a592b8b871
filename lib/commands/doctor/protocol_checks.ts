/**
 * One look after the other at what a daemon says: dialect, token, tools, probe,
 * and how many connections it keeps; and before at the way to it.
 *
 * @module
 */

import { nextCursorOf } from "../../protocol/lists.ts";
import { sanitizeLine } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import type { Config } from "../../config/config.ts";
import {
  connectionsCheck,
  type ConnectionsFinding,
} from "./connections_checks.ts";
import type { Host } from "../../runtime/host.ts";
import {
  type DaemonBehavior,
  idsCheck,
  reconnectCheck,
  type ReconnectOutcome,
  secondConnectionProblem,
} from "./behavior_checks.ts";
import { getNested } from "../../protocol/jsonrpc.ts";
import {
  META,
  type Params,
  type ServerCapability,
} from "../../protocol/mcp_types.ts";
import { daemonNameOf } from "../../cache/cache.ts";
import type { FailureCause } from "../../link/link.ts";
import { networkChecks } from "./network_checks.ts";
import { cacheKeyOf, readCacheFile } from "../../proxy/cache_file.ts";
import {
  type CallResult,
  type IdStyle,
  InProcessClient,
} from "./in_process_client.ts";

/** How long a daemon has to understand another dialect than was said, in milliseconds. */
const OTHER_DIALECT_TIMEOUT_MS = 3_000;
/** How long it has at least for what it has done before, in milliseconds; a slow one has several times what it took. */
const MIN_REPEAT_TIMEOUT_MS = 2_000;
/** How often the daemon is probed. */
const PROBE_COUNT = 5;
/** How long a proxy's trial of two connections may take: it takes half of it. */
const CAPACITY_WAIT_MS = 1_000;
/** The version that the client in us speaks first, and the one of the stateless era. */
const [INITIALIZE_VERSION, STATELESS_VERSION] = ["2025-11-25", "2026-07-28"];

const CLIENT_INFO = { name: "alwaysup doctor", version: "1" };
const INITIALIZE_PARAMS = {
  ...{
    protocolVersion: INITIALIZE_VERSION,
    capabilities: {},
    clientInfo: CLIENT_INFO,
  },
} satisfies Params<"initialize">;

/** From the host's name to the daemon's answers; what follows from a failure is not looked at. */
export async function* networkAndProtocolChecks(
  config: Config,
  host: Host,
): AsyncGenerator<Check> {
  for await (const check of networkChecks(config, host)) {
    yield check;
    if (check.state === "fail") return;
  }
  yield* protocolChecks(config, host);
}

/** Starts a proxy, and a client of it. */
export type StartTrial = (
  config: Config,
  spelling?: IdStyle,
) => InProcessClient;

/** Tries a whole proxy. */
export async function* protocolChecks(
  config: Config,
  host: Host,
  start: StartTrial = (...settings) => new InProcessClient(host, ...settings),
): AsyncGenerator<Check> {
  const client = start(withoutCapacityCheck(config));
  let server: string;
  let handshakeResult: HandshakeResult;
  let helloMs: number;
  let trouble: string | undefined;
  try {
    handshakeResult = await handshake(client, config);
    const { result, _meta } = handshakeResult;
    if (result.kind === "failed") {
      return yield await diagnoseRejection(result, config, start);
    }
    yield { name: "daemon", state: "ok", text: describeServer(result, config) };
    const isSent = config.helloToken !== "" ||
      config.headers.some(([name]) => /^authorization$/i.test(name));
    const token = isSent ? "sent, and not refused" : "none set, none asked for";
    yield { name: "token", state: "ok", text: token };
    const listed = await toolsCheck(client, config, result, _meta);
    yield listed;
    if (listed.state === "fail") return;
    yield await probeCheck(client, config, _meta);
    server = daemonNameOf(callResultOf(result)) ?? "";
    helloMs = result.ms;
  } finally {
    await client.close();
  }
  if (config.dialect === "mcp") {
    const numbers = client.sawResponseId("string") ? "as text" : "as sent";
    const limit = Math.min(
      Math.max(MIN_REPEAT_TIMEOUT_MS, 4 * helloMs),
      config.handshakeTimeout,
    );
    const rest = await observeBehavior(
      withoutCapacityCheck(config),
      start,
      handshakeResult,
      limit,
    );
    const found = { numbers, ...rest } as const;
    yield idsCheck(found);
    yield reconnectCheck(found);
    trouble = secondConnectionProblem(found.restart);
  }
  yield connectionsCheck(
    await findConnections(config, host, start, server, trouble),
  );
}

/** What becomes of text ids, and of a connection that is lost. */
async function observeBehavior(
  config: Config,
  start: StartTrial,
  { _meta }: HandshakeResult,
  limit: number,
): Promise<Omit<DaemonBehavior, "numbers">> {
  let client: InProcessClient = start(config, "texts");
  try {
    let texts: DaemonBehavior["texts"] = "as sent";
    if (!await canInitialize(client, _meta, limit)) {
      texts = client.sawResponseId("null") ? "as null" : "unanswered";
      await client.close();
      client = start(config);
      if (!await canInitialize(client, _meta, limit)) {
        return { texts: "unknown", restart: { kind: "second unanswered" } };
      }
    }
    return { texts, restart: await observeReconnect(client, limit) };
  } finally {
    await client.close();
  }
}

/** Whether a client can begin, and is answered then; the era is known. */
async function canInitialize(
  client: InProcessClient,
  _meta: HandshakeResult["_meta"],
  limit: number,
): Promise<boolean> {
  const hello = _meta === undefined
    ? await client.request("initialize", INITIALIZE_PARAMS, limit)
    : await client.request("server/discover", { _meta }, limit);
  if (hello.kind === "failed") return false;
  if (_meta === undefined) {
    await client.send({ method: "notifications/initialized" });
  }
  // A bridge may answer hello itself, and hand on the rest.
  const rest = _meta === undefined ? undefined : { _meta };
  const list = await client.request("tools/list", rest, limit);
  return list.kind === "result" || list.isFromDaemon === true;
}

/** A connection is lost, and the proxy does what it always does then. */
async function observeReconnect(
  client: InProcessClient,
  limit: number,
): Promise<ReconnectOutcome> {
  const found = await client.dropAndReconnect(limit);
  if ("ms" in found) return { kind: "reconnected", ms: found.ms };
  const { phase, why } = found;
  if (phase === "greeting") return { kind: "own unanswered" };
  return { kind: "not reached", why };
}

/** The same, but that the proxy does not try two connections: that could end the first one. */
function withoutCapacityCheck(config: Config): Config {
  const { dialect, connections } = config;
  const isTrying = dialect === "mcp" && connections === "auto";
  return isTrying ? { ...config, connections: "one" } : config;
}

/** How many connections the daemon keeps, from who knows it first. */
async function findConnections(
  config: Config,
  host: Host,
  start: StartTrial,
  server: string,
  trouble: string | undefined,
): Promise<ConnectionsFinding> {
  const { dialect, cache, connections: set } = config;
  if (dialect === "exai") return { from: "dialect", connections: "many" };
  if (set !== "auto") return { from: "setting", connections: set };
  const remembered = readCacheFile(cache, cacheKeyOf(config), host)?.results;
  const forMs = remembered?.one?.[server] ?? 0;
  if (forMs > 0) return { from: "cache", connections: "one", forMs };
  if (trouble === undefined) return await checkCapacity(config, start);
  return { from: "trial", connections: "unknown", trouble };
}

/** What a proxy finds out when it tries two connections. */
async function checkCapacity(
  config: Config,
  start: StartTrial,
): Promise<ConnectionsFinding> {
  const client = start(config);
  try {
    const { result } = await handshake(client, config);
    const connections = await client.waitForCapacity(CAPACITY_WAIT_MS);
    const trouble = result.kind === "failed" ? { trouble: result.reason } : {};
    return { from: "trial", connections, ...trouble };
  } finally {
    await client.close();
  }
}

/** The daemon does not take us: because it does not want to, or does not understand us. */
async function diagnoseRejection(
  { reason, cause }: Extract<CallResult, { kind: "failed" }>,
  config: Config,
  start: StartTrial,
): Promise<Check> {
  const isMcp = config.dialect === "mcp";
  if (isTokenCause(cause, config.dialect)) {
    const advice = "give the daemon's own token (--token-file, ALWAYSUP_TOKEN)";
    return { name: "token", state: "fail", text: reason, advice };
  }
  const dialect = isMcp ? "exai" : "mcp";
  const isTold = cause === "other dialect";
  if (isTold || await speaksDialect({ ...config, dialect }, start)) {
    const text = `this daemon speaks ${dialect}, not ${config.dialect}`;
    const advice = `say --dialect ${dialect}`;
    return { name: "daemon", state: "fail", text, advice };
  }
  const advice = "look at the daemon's own log";
  return { name: "daemon", state: "fail", text: reason, advice };
}

/** Whether the daemon knows a dialect that was not asked for; so it gets no token, and says so if it wants one. */
async function speaksDialect(
  config: Config,
  start: StartTrial,
): Promise<boolean> {
  const handshakeTimeout = Math.min(
    config.handshakeTimeout,
    OTHER_DIALECT_TIMEOUT_MS,
  );
  const other = withoutCapacityCheck({
    ...config,
    handshakeTimeout,
    helloToken: "",
  });
  const client = start(other);
  const { result } = await handshake(client, other);
  await client.close();
  return result.kind === "result" || result.cause === "token refused";
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
interface HandshakeResult {
  readonly result: CallResult;
  readonly _meta?: Record<string, unknown>;
}

/** Says hello in the older era, and if the daemon does not know it, in the newer one. */
async function handshake(
  client: InProcessClient,
  { dialect }: Config,
): Promise<HandshakeResult> {
  const result = await client.request("initialize", INITIALIZE_PARAMS);
  if (result.kind === "result") {
    await client.send({ method: "notifications/initialized" });
    // The proxy itself answers for an exai daemon, whether one is there or not.
    if (dialect === "exai") {
      return { result: await client.request("tools/list") };
    }
    return { result };
  }
  if (dialect !== "mcp" || client.hasFailed) return { result };
  const _meta = {
    [META.protocolVersion]: STATELESS_VERSION,
    [META.clientCapabilities]: {},
    [META.clientInfo]: CLIENT_INFO,
  };
  const other = await client.request("server/discover", { _meta });
  return other.kind === "result" ? { result: other, _meta } : { result };
}

function callResultOf(outcome: CallResult): unknown {
  return outcome.kind === "result" ? outcome.result : undefined;
}

function describeServer(hello: CallResult, { dialect }: Config): string {
  if (dialect === "exai") return "it speaks exai, and took our hello";
  const said = getNested(callResultOf(hello), "protocolVersion");
  const version = typeof said === "string"
    ? sanitizeLine(said, 200)
    : STATELESS_VERSION;
  const who = serverNameAndVersion(hello).map((text) => sanitizeLine(text, 200))
    .join(" ");
  return `it speaks MCP ${version}${who && `: ${who}`}`;
}

/** The name and the version that the daemon gives itself, as far as it does. */
function serverNameAndVersion(hello: CallResult): string[] {
  const info = getNested(callResultOf(hello), "serverInfo");
  return ["name", "version"].map((name) => getNested(info, name))
    .filter((text) => typeof text === "string" && text !== "") as string[];
}

async function toolsCheck(
  client: InProcessClient,
  { dialect, handshakeTimeout }: Config,
  hello: CallResult,
  _meta: Record<string, unknown> | undefined,
): Promise<Check> {
  const name = "tools" satisfies ServerCapability;
  const isToolless = getNested(callResultOf(hello), "capabilities", name) ===
    undefined;
  if (dialect === "mcp" && isToolless) {
    return { name, state: "warn", text: "the daemon says that it has none" };
  }
  const items = new Set<string>();
  let cursor: string | undefined;
  const seen = new Set<string>();
  const until = performance.now() + handshakeTimeout;
  for (;;) {
    const asked = await client.request("tools/list", {
      ...(cursor !== undefined && { cursor }),
      ...(_meta && { _meta }),
    });
    if (asked.kind === "failed") {
      const text = `they cannot be listed: ${asked.reason}`;
      const advice = "look at the daemon's own log";
      return { name, state: "fail", text, advice };
    }
    const list = getNested(asked.result, "tools");
    for (const tool of Array.isArray(list) ? list as unknown[] : []) {
      items.add(JSON.stringify(tool));
    }
    cursor = nextCursorOf(asked.result);
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

async function probeCheck(
  client: InProcessClient,
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
  for (let i = 0; i < PROBE_COUNT; i++) {
    const asked = await client.request(method, _meta && { _meta });
    if (asked.kind === "failed") {
      const text = `${method} fails: ${asked.reason}`;
      const advice = "it lives, but its silence will be taken for death: " +
        "--ping-interval off";
      return { name, state: "warn", text, advice };
    }
    times.push(asked.ms);
  }
  times.sort((a, b) => a - b);
  const [low, middle, high] = [0, PROBE_COUNT >> 1, PROBE_COUNT - 1]
    .map((i) => times[i]!.toFixed(1));
  const text = `${middle} ms, the median of ${PROBE_COUNT} (${low} to ${high})`;
  return { name, state: "ok", text };
}
