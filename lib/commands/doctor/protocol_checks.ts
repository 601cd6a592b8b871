/**
 * Checks the path to a daemon, and then what the daemon answers: dialect,
 * token, tools, probe, ids, reconnection, and how many connections it keeps.
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
import { getMember } from "../../protocol/jsonrpc.ts";
import {
  META_KEYS,
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

/**
 * How long a daemon may take to answer in a dialect other than the configured
 * one, in milliseconds.
 */
const OTHER_DIALECT_TIMEOUT_MS = 3_000;
/**
 * The minimum timeout for a repeated handshake, in milliseconds; for a slow
 * daemon it is several times the duration of the first one.
 */
const MIN_REPEAT_TIMEOUT_MS = 2_000;
/** How often the daemon is probed. */
const PROBE_COUNT = 5;
/**
 * How long a proxy's capacity check may take, in milliseconds: it takes half of
 * that.
 */
const CAPACITY_WAIT_MS = 1_000;
/**
 * The version that the in-process client requests first, and the one without
 * `initialize`, in which every request names the version.
 */
const [INITIALIZE_VERSION, STATELESS_VERSION] = ["2025-11-25", "2026-07-28"];

const CLIENT_INFO = { name: "alwaysup doctor", version: "1" };
const INITIALIZE_PARAMS = {
  protocolVersion: INITIALIZE_VERSION,
  capabilities: {},
  clientInfo: CLIENT_INFO,
} satisfies Params<"initialize">;

/**
 * Makes all checks from the host name to the daemon's answers; stops after a
 * failure.
 */
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

/** Starts a proxy with an in-process client. */
export type StartClient = (
  config: Config,
  idStyle?: IdStyle,
) => InProcessClient;

/** Checks the daemon through a whole proxy. */
export async function* protocolChecks(
  config: Config,
  host: Host,
  start: StartClient = (...settings) => new InProcessClient(host, ...settings),
): AsyncGenerator<Check> {
  const client = start(withoutCapacityCheck(config));
  let daemonName: string;
  let handshakeResult: HandshakeResult;
  let handshakeMs: number;
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
    const toolsResult = await toolsCheck(client, config, result, _meta);
    yield toolsResult;
    if (toolsResult.state === "fail") return;
    yield await probeCheck(client, config, _meta);
    daemonName = daemonNameOf(callResultOf(result)) ?? "";
    handshakeMs = result.ms;
  } finally {
    await client.close();
  }
  if (config.dialect === "mcp") {
    const numbers = client.sawResponseId("string") ? "as text" : "as sent";
    const timeoutMs = Math.min(
      Math.max(MIN_REPEAT_TIMEOUT_MS, 4 * handshakeMs),
      config.handshakeTimeout,
    );
    const rest = await observeBehavior(
      withoutCapacityCheck(config),
      start,
      handshakeResult,
      timeoutMs,
    );
    const found = { numbers, ...rest } as const;
    yield idsCheck(found);
    yield reconnectCheck(found);
    trouble = secondConnectionProblem(found.restart);
  }
  yield connectionsCheck(
    await findConnections(config, host, start, daemonName, trouble),
  );
}

/**
 * Observes how the daemon treats text ids, and whether it accepts a new
 * connection.
 */
async function observeBehavior(
  config: Config,
  start: StartClient,
  { _meta }: HandshakeResult,
  timeoutMs: number,
): Promise<Omit<DaemonBehavior, "numbers">> {
  let client: InProcessClient = start(config, "texts");
  try {
    let texts: DaemonBehavior["texts"] = "as sent";
    if (!await canInitialize(client, _meta, timeoutMs)) {
      texts = client.sawResponseId("null") ? "as null" : "unanswered";
      await client.close();
      client = start(config);
      if (!await canInitialize(client, _meta, timeoutMs)) {
        return { texts: "unknown", restart: { kind: "second unanswered" } };
      }
    }
    return { texts, restart: await observeReconnect(client, timeoutMs) };
  } finally {
    await client.close();
  }
}

/**
 * True if a client can make the handshake and gets an answer after it; `_meta`
 * is what the first handshake has shown.
 */
async function canInitialize(
  client: InProcessClient,
  _meta: HandshakeResult["_meta"],
  timeoutMs: number,
): Promise<boolean> {
  const opening = _meta === undefined
    ? await client.request("initialize", INITIALIZE_PARAMS, timeoutMs)
    : await client.request("server/discover", { _meta }, timeoutMs);
  if (opening.kind === "failed") return false;
  if (_meta === undefined) {
    await client.send({ method: "notifications/initialized" });
  }
  // A bridge may answer the handshake itself, and forward the rest.
  const rest = _meta === undefined ? undefined : { _meta };
  const list = await client.request("tools/list", rest, timeoutMs);
  return list.kind === "result" || list.isFromDaemon === true;
}

/** Drops the connection and observes how the proxy reconnects. */
async function observeReconnect(
  client: InProcessClient,
  timeoutMs: number,
): Promise<ReconnectOutcome> {
  const found = await client.dropAndReconnect(timeoutMs);
  if ("ms" in found) return { kind: "reconnected", ms: found.ms };
  const { phase, why } = found;
  if (phase === "greeting") return { kind: "own unanswered" };
  return { kind: "not reached", why };
}

/**
 * Returns the settings without the capacity check: its second connection could
 * end the first one.
 */
function withoutCapacityCheck(config: Config): Config {
  const { dialect, connections } = config;
  const hasCapacityCheck = dialect === "mcp" && connections === "auto";
  return hasCapacityCheck ? { ...config, connections: "one" } : config;
}

/**
 * Finds how many connections the daemon keeps, from the first source that knows
 * it.
 */
async function findConnections(
  config: Config,
  host: Host,
  start: StartClient,
  daemonName: string,
  trouble: string | undefined,
): Promise<ConnectionsFinding> {
  const { dialect, cache, connections: set } = config;
  if (dialect === "exai") return { from: "dialect", connections: "many" };
  if (set !== "auto") return { from: "setting", connections: set };
  const cachedResults = readCacheFile(cache, cacheKeyOf(config), host)?.results;
  const forMs = cachedResults?.one?.[daemonName] ?? 0;
  if (forMs > 0) return { from: "cache", connections: "one", forMs };
  if (trouble === undefined) return await checkCapacity(config, start);
  return { from: "trial", connections: "unknown", trouble };
}

/** Runs a proxy's capacity check. */
async function checkCapacity(
  config: Config,
  start: StartClient,
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

/**
 * Finds out whether the daemon rejects our token, or does not speak our
 * dialect.
 */
async function diagnoseRejection(
  { reason, cause }: Extract<CallResult, { kind: "failed" }>,
  config: Config,
  start: StartClient,
): Promise<Check> {
  const isMcp = config.dialect === "mcp";
  if (isTokenCause(cause, config.dialect)) {
    const advice = "give the daemon's own token (--token-file, ALWAYSUP_TOKEN)";
    return { name: "token", state: "fail", text: reason, advice };
  }
  const dialect = isMcp ? "exai" : "mcp";
  const isKnown = cause === "other dialect";
  if (isKnown || await speaksDialect({ ...config, dialect }, start)) {
    const text = `this daemon speaks ${dialect}, not ${config.dialect}`;
    const advice = `say --dialect ${dialect}`;
    return { name: "daemon", state: "fail", text, advice };
  }
  const advice = "look at the daemon's own log";
  return { name: "daemon", state: "fail", text: reason, advice };
}

/**
 * True if the daemon speaks a dialect that was not configured. It gets no
 * token, and says so if it wants one.
 */
async function speaksDialect(
  config: Config,
  start: StartClient,
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

/** True if the daemon might accept another token. */
function isTokenCause(
  cause: FailureCause | undefined,
  dialect: string,
): boolean {
  switch (cause) {
    case "refused":
    case "token refused":
      return true;
    case "policy violation":
      // An exai daemon also closes this way if it has too many connections.
      return dialect === "mcp";
    case "other dialect":
    case "nobody there":
    case undefined:
      return false;
  }
}

/**
 * The result of the handshake, and the `_meta` of every request if the daemon
 * speaks the version without `initialize`.
 */
interface HandshakeResult {
  readonly result: CallResult;
  readonly _meta?: Record<string, unknown>;
}

/**
 * Makes the handshake with `initialize`, and the one with `server/discover` if
 * the daemon does not know the first.
 */
async function handshake(
  client: InProcessClient,
  { dialect }: Config,
): Promise<HandshakeResult> {
  const result = await client.request("initialize", INITIALIZE_PARAMS);
  if (result.kind === "result") {
    await client.send({ method: "notifications/initialized" });
    // For exai, the proxy answers `initialize` itself, even if there is no
    // daemon.
    if (dialect === "exai") {
      return { result: await client.request("tools/list") };
    }
    return { result };
  }
  if (dialect !== "mcp" || client.hasFailed) return { result };
  const _meta = {
    [META_KEYS.protocolVersion]: STATELESS_VERSION,
    [META_KEYS.clientCapabilities]: {},
    [META_KEYS.clientInfo]: CLIENT_INFO,
  };
  const other = await client.request("server/discover", { _meta });
  return other.kind === "result" ? { result: other, _meta } : { result };
}

function callResultOf(outcome: CallResult): unknown {
  return outcome.kind === "result" ? outcome.result : undefined;
}

function describeServer(opening: CallResult, { dialect }: Config): string {
  if (dialect === "exai") return "it speaks exai, and took our hello";
  const protocolVersion = getMember(callResultOf(opening), "protocolVersion");
  const version = typeof protocolVersion === "string"
    ? sanitizeLine(protocolVersion, 200)
    : STATELESS_VERSION;
  const who = serverNameAndVersion(opening).map((text) =>
    sanitizeLine(text, 200)
  )
    .join(" ");
  return `it speaks MCP ${version}${who && `: ${who}`}`;
}

/**
 * Returns the name and version that the daemon gives for itself, if it does.
 */
function serverNameAndVersion(opening: CallResult): string[] {
  const info = getMember(callResultOf(opening), "serverInfo");
  return (["name", "version"] as const).map((name) => getMember(info, name))
    .filter((text) => typeof text === "string" && text !== "") as string[];
}

async function toolsCheck(
  client: InProcessClient,
  { dialect, handshakeTimeout }: Config,
  opening: CallResult,
  _meta: Record<string, unknown> | undefined,
): Promise<Check> {
  const name = "tools" satisfies ServerCapability;
  const isToolless = getMember(callResultOf(opening), "capabilities", name) ===
    undefined;
  if (dialect === "mcp" && isToolless) {
    return { name, state: "warn", text: "the daemon says that it has none" };
  }
  const items = new Set<string>();
  let cursor: string | undefined;
  const seen = new Set<string>();
  const deadline = performance.now() + handshakeTimeout;
  for (;;) {
    const response = await client.request("tools/list", {
      ...(cursor !== undefined && { cursor }),
      ...(_meta && { _meta }),
    });
    if (response.kind === "failed") {
      const text = `they cannot be listed: ${response.reason}`;
      const advice = "look at the daemon's own log";
      return { name, state: "fail", text, advice };
    }
    const list = getMember(response.result, "tools");
    for (const tool of Array.isArray(list) ? list as unknown[] : []) {
      items.add(JSON.stringify(tool));
    }
    cursor = nextCursorOf(response.result);
    // The proxy also treats a repeated cursor as the end.
    if (cursor === undefined || seen.has(cursor)) break;
    if (performance.now() > deadline) {
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
  // Every daemon of the dialect answers this; the proxy answers an exai ping
  // itself.
  const method = dialect === "exai"
    ? "tools/list"
    : _meta === undefined
    ? "ping"
    : "server/discover";
  const times: number[] = [];
  for (let i = 0; i < PROBE_COUNT; i++) {
    const response = await client.request(method, _meta && { _meta });
    if (response.kind === "failed") {
      const text = `${method} fails: ${response.reason}`;
      const advice = "it lives, but its silence will be taken for death: " +
        "--ping-interval off";
      return { name, state: "warn", text, advice };
    }
    times.push(response.ms);
  }
  times.sort((a, b) => a - b);
  const [low, middle, high] = [0, PROBE_COUNT >> 1, PROBE_COUNT - 1]
    .map((i) => times[i]!.toFixed(1));
  const text = `${middle} ms, the median of ${PROBE_COUNT} (${low} to ${high})`;
  return { name, state: "ok", text };
}
