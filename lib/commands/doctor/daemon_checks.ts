/**
 * Checks the daemon through a complete proxy in this process: its WebSocket,
 * handshake, tools, probes and ids, and a reconnect.
 *
 * @module
 */

import { nextCursorOf } from "../../protocol/methods.ts";
import { sanitizeLine } from "../../text/sanitize.ts";
import { type CheckResult, READ_LOG_ADVICE } from "./check.ts";
import { type Config, hasAuthorization } from "../../config/config.ts";
import {
  connectionsCheck,
  type ConnectionsFinding,
} from "./connections_checks.ts";
import type { Host } from "../../runtime/host.ts";
import { getMember } from "../../protocol/jsonrpc.ts";
import type { ServerCapability } from "../../protocol/mcp_types.ts";
import { daemonNameOf } from "../../cache/cache.ts";
import { websocketCheck } from "./network_checks.ts";
import { cacheKeyOf, readCacheFile } from "../../proxy/cache_file.ts";
import {
  InProcessClient,
  type ReconnectOutcome,
  type RequestOutcome,
  STATELESS_VERSION,
} from "./in_process_client.ts";

/** The longest handshake timeout while doctor tries the other dialect. */
const OTHER_DIALECT_TIMEOUT_MS = 3_000;
/** The shortest timeout of later handshakes; a slow daemon gets more time. */
const MIN_REPEAT_TIMEOUT_MS = 2_000;
const PROBE_COUNT = 5;
/** The time for a capacity check, which takes about half of it. */
const CAPACITY_WAIT_MS = 1_000;
const FIX_IDS_ADVICE = "fix the daemon: a response must have the id of its " +
  "request, with the same type (JSON-RPC 2.0 section 5)";

/** Starts a proxy and its client; tests replace this function. */
export type StartClient = (
  ...settings: [config: Config, idStyle?: "numbers" | "texts"]
) => InProcessClient;

/** Yields the checks from the WebSocket on; stops if nothing else can work. */
export async function* daemonChecks(
  config: Config,
  host: Host,
  start: StartClient = (...settings) => new InProcessClient(host, ...settings),
): AsyncGenerator<CheckResult> {
  // A capacity check opens a second connection, which could end the first one.
  const configWithoutCheck = withoutCapacityCheck(config);
  const startedAt = performance.now();
  const client = start(configWithoutCheck);
  let daemonName: string;
  let handshakeMs: number;
  try {
    const socket = await websocketCheck(config, await client.opening, host);
    yield socket;
    if (socket.state === "fail") return;
    const handshakeOutcome = await client.handshake();
    handshakeMs = performance.now() - startedAt;
    if (handshakeOutcome.kind === "failed") {
      return yield await rejectionCheck(handshakeOutcome, config, start);
    }
    const { result } = handshakeOutcome;
    yield { name: "daemon", state: "ok", text: describeServer(result, config) };
    const isSent = config.helloToken !== "" ||
      hasAuthorization(config.headers);
    const token = isSent
      ? "sent, and not refused"
      : "none is set, and the daemon asked for none";
    yield { name: "token", state: "ok", text: token };
    const tools = await toolsCheck(client, config, result);
    yield tools;
    if (tools.state === "fail") return;
    yield await probeCheck(client);
    daemonName = daemonNameOf(result) ?? "";
  } finally {
    await client.close();
  }
  let problem: string | undefined;
  if (config.dialect === "mcp") {
    const wantedMs = Math.max(MIN_REPEAT_TIMEOUT_MS, 4 * handshakeMs);
    const timeoutMs = Math.min(wantedMs, config.handshakeTimeout);
    const isRetyped = client.responseIdTypes.has("string");
    const { texts, reconnect } = await observeBehavior(
      configWithoutCheck,
      start,
      timeoutMs,
    );
    yield idsCheck(isRetyped ? "as text" : "as sent", texts);
    yield reconnectCheck(reconnect);
    problem = SECOND_CONNECTION_PROBLEMS[reconnect.kind];
  }
  yield connectionsCheck(
    await findConnections(config, host, start, daemonName, problem),
  );
}

function withoutCapacityCheck(config: Config): Config {
  const { dialect, connections } = config;
  const hasCapacityCheck = dialect === "mcp" && connections === "auto";
  return hasCapacityCheck ? { ...config, connections: "one" } : config;
}

function describeServer(handshakeResult: unknown, { dialect }: Config): string {
  if (dialect === "exai") return "it speaks exai, and accepted our hello";
  const info = getMember(handshakeResult, "serverInfo");
  const textOf = (member: unknown): string =>
    typeof member === "string" ? sanitizeLine(member, 200) : "";
  const version = textOf(getMember(handshakeResult, "protocolVersion"));
  const name = [getMember(info, "name"), getMember(info, "version")]
    .map(textOf).filter((text) => text).join(" ");
  return `it speaks MCP ${version || STATELESS_VERSION}${name && `: ${name}`}`;
}

async function rejectionCheck(
  { reason, cause }: Extract<RequestOutcome, { kind: "failed" }>,
  config: Config,
  start: StartClient,
): Promise<CheckResult> {
  const isTokenRefused = cause === "refused" || cause === "token refused" ||
    // An exai daemon also closes with 1008 if it has too many connections.
    cause === "policy violation" && config.dialect === "mcp";
  if (isTokenRefused) {
    const advice =
      "give the daemon's token with --token-file or ALWAYSUP_TOKEN";
    return { name: "token", state: "fail", text: reason, advice };
  }
  const dialect = config.dialect === "mcp" ? "exai" : "mcp";
  if (
    cause === "other dialect" || await speaksDialect(dialect, config, start)
  ) {
    const text = `this daemon speaks ${dialect}, not ${config.dialect}`;
    const advice = `use --dialect ${dialect}`;
    return { name: "daemon", state: "fail", text, advice };
  }
  const advice = READ_LOG_ADVICE;
  return { name: "daemon", state: "fail", text: reason, advice };
}

async function speaksDialect(
  dialect: "mcp" | "exai",
  config: Config,
  start: StartClient,
): Promise<boolean> {
  const maxMs = OTHER_DIALECT_TIMEOUT_MS;
  const handshakeTimeout = Math.min(config.handshakeTimeout, maxMs);
  // Doctor omits the token from this `hello`. If the daemon asks for one, the
  // dialect is right.
  const other = { ...config, dialect, handshakeTimeout, helloToken: "" };
  const client = start(withoutCapacityCheck(other));
  const outcome = await client.handshake();
  await client.close();
  return outcome.kind === "result" || outcome.cause === "token refused";
}

async function toolsCheck(
  client: InProcessClient,
  { dialect, handshakeTimeout }: Config,
  handshakeResult: unknown,
): Promise<CheckResult> {
  const name = "tools" satisfies ServerCapability;
  const isToolless =
    getMember(handshakeResult, "capabilities", name) === undefined;
  if (dialect === "mcp" && isToolless) {
    return {
      name,
      state: "warn",
      text: "the daemon says that it has no tools",
    };
  }
  const items = new Set<string>();
  const cursors = new Set<string>();
  let params: { cursor: string } | undefined;
  const deadline = performance.now() + handshakeTimeout;
  for (;;) {
    const response = await client.request("tools/list", params);
    if (response.kind === "failed") {
      const text = `the tools cannot be listed: ${response.reason}`;
      return { name, state: "fail", text, advice: READ_LOG_ADVICE };
    }
    const list = getMember(response.result, "tools");
    for (const tool of Array.isArray(list) ? list as unknown[] : []) {
      items.add(JSON.stringify(tool));
    }
    const cursor = nextCursorOf(response.result);
    // The proxy also treats a repeated cursor as the end of the list.
    if (cursor === undefined || cursors.has(cursor)) break;
    if (performance.now() > deadline) {
      const text =
        `${items.size} so far, and the list never ends: each page names another one`;
      return { name, state: "warn", text };
    }
    cursors.add(cursor);
    params = { cursor };
  }
  const count = items.size;
  return { name, state: count > 0 ? "ok" : "warn", text: `${count}` };
}

async function probeCheck(client: InProcessClient): Promise<CheckResult> {
  const name = "probe";
  const times: number[] = [];
  const method = client.probeMethod;
  while (times.length < PROBE_COUNT) {
    const startedAt = performance.now();
    const outcome = await client.request(method);
    if (outcome.kind === "failed") {
      const text = `${method} fails: ${outcome.reason}`;
      const advice =
        "the daemon runs, but the proxy would treat its silence as a lost connection: set " +
        "--ping-interval off";
      return { name, state: "warn", text, advice };
    }
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  const [low, middle, high] = [0, PROBE_COUNT >> 1, PROBE_COUNT - 1]
    .map((i) => times[i]!.toFixed(1));
  const text = `${middle} ms, the median of ${PROBE_COUNT} (${low} to ${high})`;
  return { name, state: "ok", text };
}

/** How a string id came back. `unknown`: later connections got no response. */
export type TextIdBehavior = "as sent" | "as null" | "unanswered" | "unknown";

/** The reconnect outcomes after which a capacity check can find nothing. */
const SECOND_CONNECTION_PROBLEMS: Partial<
  Record<ReconnectOutcome["kind"], string>
> = {
  "own unanswered": "the proxy's own requests are not answered",
  "second unanswered": "no client gets a response on a second connection",
};

/** Tests how string ids come back, and whether a proxy can reconnect. */
async function observeBehavior(
  config: Config,
  start: StartClient,
  timeoutMs: number,
): Promise<{ texts: TextIdBehavior; reconnect: ReconnectOutcome }> {
  let client: InProcessClient = start(config, "texts");
  try {
    let texts: TextIdBehavior = "as sent";
    if (!await isAnswered(client, timeoutMs)) {
      texts = client.responseIdTypes.has("null") ? "as null" : "unanswered";
      await client.close();
      client = start(config);
      if (!await isAnswered(client, timeoutMs)) {
        return { texts: "unknown", reconnect: { kind: "second unanswered" } };
      }
    }
    return { texts, reconnect: await client.dropAndReconnect(timeoutMs) };
  } finally {
    await client.close();
  }
}

/** Returns true if the daemon answers a request after the handshake. */
async function isAnswered(
  client: InProcessClient,
  timeoutMs: number,
): Promise<boolean> {
  const handshakeOutcome = await client.handshake(timeoutMs);
  if (handshakeOutcome.kind === "failed") return false;
  // A bridge may answer the handshake itself, and forward only the rest.
  const list = await client.request("tools/list", undefined, timeoutMs);
  return list.kind === "result" || list.isFromDaemon === true;
}

const TEXT_IDS_CONSEQUENCE =
  "clients that use strings as ids will not work (those that use numbers will)";
const TEXT_IDS_FINDINGS: Readonly<Record<TextIdBehavior, string>> = {
  "as sent": "requests are answered with numbers and with strings as ids",
  unknown:
    "number ids are answered on the first connection; string ids cannot be " +
    "tested, because later connections get no response",
  "as null": `string ids come back as null: ${TEXT_IDS_CONSEQUENCE}`,
  unanswered: "requests with a string as id are not answered: " +
    TEXT_IDS_CONSEQUENCE,
};

/** Returns the check that reports how the daemon returns ids. */
export function idsCheck(
  numbers: "as sent" | "as text",
  texts: TextIdBehavior,
): CheckResult {
  const retyped =
    "\nnumber ids come back as strings: this works, because each client gets " +
    "its id as it sent it";
  const isFine = texts === "as sent" || texts === "unknown";
  return {
    name: "ids",
    state: isFine ? "ok" : "warn",
    text: TEXT_IDS_FINDINGS[texts] + (numbers === "as text" ? retyped : ""),
    ...(!isFine && { advice: FIX_IDS_ADVICE }),
    data: { numbers, texts },
  };
}

/** Returns the check that reports a reconnect after a lost connection. */
export function reconnectCheck(reconnect: ReconnectOutcome): CheckResult {
  const name = "restart";
  const data = { ...reconnect };
  switch (reconnect.kind) {
    case "reconnected": {
      const ms = reconnect.ms.toFixed(0);
      const text =
        `after doctor closed a connection, the next one was ready in ${ms} ms, ` +
        "and the proxy's own requests are answered";
      return { name, state: "ok", text, data };
    }
    case "own unanswered": {
      const text =
        "after a lost connection, the daemon did not answer the proxy's " +
        "own first message (whose id is a large integer), but it answers a client's: " +
        "the proxy cannot find out whether the daemon is alive, and does not " +
        "reconnect after a restart";
      return { name, state: "fail", text, advice: FIX_IDS_ADVICE, data };
    }
    case "second unanswered": {
      const text = "the daemon does not answer the first message on a second " +
        "connection: after a lost connection, nothing works until the daemon " +
        "is restarted";
      const advice =
        "give each connection its own server instance, or fix the " +
        "daemon: it must answer initialize on each connection";
      return { name, state: "fail", text, advice, data };
    }
    case "not reached": {
      const text =
        "after doctor closed a connection, no new one was ready in time " +
        `(${reconnect.why})`;
      const advice = `${READ_LOG_ADVICE}: it may accept only one client at ` +
        "a time";
      return { name, state: "warn", text, advice, data };
    }
  }
}

/** Uses the first source that has a finding; a capacity check is the last. */
async function findConnections(
  config: Config,
  host: Host,
  start: StartClient,
  daemonName: string,
  problem: string | undefined,
): Promise<ConnectionsFinding> {
  const { dialect, cache, connections: setting } = config;
  if (dialect === "exai") return { from: "dialect", connections: "many" };
  if (setting !== "auto") return { from: "setting", connections: setting };
  const cachedResults = readCacheFile(cache, cacheKeyOf(config), host)?.results;
  const validForMs = cachedResults?.oneConnectionDaemons?.[daemonName] ?? 0;
  if (validForMs > 0) return { from: "cache", connections: "one", validForMs };
  if (problem !== undefined) {
    return { from: "capacity-check", connections: "unknown", problem };
  }
  const client = start(config);
  try {
    const handshakeOutcome = await client.handshake();
    const { connections } = await client.waitFor(
      ({ connections }) => connections !== "unknown",
      CAPACITY_WAIT_MS,
    );
    return handshakeOutcome.kind === "failed"
      ? {
        from: "capacity-check",
        connections,
        problem: handshakeOutcome.reason,
      }
      : { from: "capacity-check", connections };
  } finally {
    await client.close();
  }
}
