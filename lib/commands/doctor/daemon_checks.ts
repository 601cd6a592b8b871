/**
 * Checks the daemon through a complete proxy in this process: its WebSocket,
 * handshake, tools, probes and ids, and a reconnect.
 *
 * @module
 */

import { nextCursorOf } from "../../protocol/methods.ts";
import { sanitizeLine } from "../../text/sanitize.ts";
import { type Check, READ_LOG_ADVICE } from "./check.ts";
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
const FIX_IDS_ADVICE = "mend the daemon: an answer has the id of its " +
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
): AsyncGenerator<Check> {
  // A capacity check opens a second connection, which could end the first one.
  const single = withoutCapacityCheck(config);
  const startedAt = performance.now();
  const client = start(single);
  let daemonName: string;
  let handshakeMs: number;
  try {
    const socket = await websocketCheck(config, await client.opening, host);
    yield socket;
    if (socket.state === "fail") return;
    const opening = await client.handshake();
    handshakeMs = performance.now() - startedAt;
    if (opening.kind === "failed") {
      return yield await rejectionCheck(opening, config, start);
    }
    const { result } = opening;
    yield { name: "daemon", state: "ok", text: describeServer(result, config) };
    const isSent = config.helloToken !== "" ||
      hasAuthorization(config.headers);
    const token = isSent ? "sent, and not refused" : "none set, none asked for";
    yield { name: "token", state: "ok", text: token };
    const tools = await toolsCheck(client, config, result);
    yield tools;
    if (tools.state === "fail") return;
    yield await probeCheck(client);
    daemonName = daemonNameOf(result) ?? "";
  } finally {
    await client.close();
  }
  let trouble: string | undefined;
  if (config.dialect === "mcp") {
    const wantedMs = Math.max(MIN_REPEAT_TIMEOUT_MS, 4 * handshakeMs);
    const timeoutMs = Math.min(wantedMs, config.handshakeTimeout);
    const isRetyped = client.responseIdTypes.has("string");
    const { texts, restart } = await observeBehavior(single, start, timeoutMs);
    yield idsCheck(isRetyped ? "as text" : "as sent", texts);
    yield reconnectCheck(restart);
    trouble = SECOND_CONNECTION_PROBLEMS[restart.kind];
  }
  yield connectionsCheck(
    await findConnections(config, host, start, daemonName, trouble),
  );
}

function withoutCapacityCheck(config: Config): Config {
  const { dialect, connections } = config;
  const hasCapacityCheck = dialect === "mcp" && connections === "auto";
  return hasCapacityCheck ? { ...config, connections: "one" } : config;
}

function describeServer(opening: unknown, { dialect }: Config): string {
  if (dialect === "exai") return "it speaks exai, and took our hello";
  const info = getMember(opening, "serverInfo");
  const textOf = (member: unknown): string =>
    typeof member === "string" ? sanitizeLine(member, 200) : "";
  const version = textOf(getMember(opening, "protocolVersion"));
  const name = [getMember(info, "name"), getMember(info, "version")]
    .map(textOf).filter((text) => text).join(" ");
  return `it speaks MCP ${version || STATELESS_VERSION}${name && `: ${name}`}`;
}

async function rejectionCheck(
  { reason, cause }: Extract<RequestOutcome, { kind: "failed" }>,
  config: Config,
  start: StartClient,
): Promise<Check> {
  const isTokenRefused = cause === "refused" || cause === "token refused" ||
    // An exai daemon also closes with 1008 if it has too many connections.
    cause === "policy violation" && config.dialect === "mcp";
  if (isTokenRefused) {
    const advice = "give the daemon's own token (--token-file, ALWAYSUP_TOKEN)";
    return { name: "token", state: "fail", text: reason, advice };
  }
  const dialect = config.dialect === "mcp" ? "exai" : "mcp";
  if (
    cause === "other dialect" || await speaksDialect(dialect, config, start)
  ) {
    const text = `this daemon speaks ${dialect}, not ${config.dialect}`;
    const advice = `say --dialect ${dialect}`;
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
  // No token is sent. If the daemon asks for one, the dialect is right.
  const other = { ...config, dialect, handshakeTimeout, helloToken: "" };
  const client = start(withoutCapacityCheck(other));
  const outcome = await client.handshake();
  await client.close();
  return outcome.kind === "result" || outcome.cause === "token refused";
}

async function toolsCheck(
  client: InProcessClient,
  { dialect, handshakeTimeout }: Config,
  opening: unknown,
): Promise<Check> {
  const name = "tools" satisfies ServerCapability;
  const isToolless = getMember(opening, "capabilities", name) === undefined;
  if (dialect === "mcp" && isToolless) {
    return { name, state: "warn", text: "the daemon says that it has none" };
  }
  const items = new Set<string>();
  const cursors = new Set<string>();
  let params: { cursor: string } | undefined;
  const deadline = performance.now() + handshakeTimeout;
  for (;;) {
    const response = await client.request("tools/list", params);
    if (response.kind === "failed") {
      const text = `they cannot be listed: ${response.reason}`;
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
      const text = `${items.size}, and its pages do not come to an end`;
      return { name, state: "warn", text };
    }
    cursors.add(cursor);
    params = { cursor };
  }
  const count = items.size;
  return { name, state: count > 0 ? "ok" : "warn", text: `${count}` };
}

async function probeCheck(client: InProcessClient): Promise<Check> {
  const name = "probe";
  const times: number[] = [];
  const method = client.probeMethod;
  while (times.length < PROBE_COUNT) {
    const startedAt = performance.now();
    const outcome = await client.request(method);
    if (outcome.kind === "failed") {
      const text = `${method} fails: ${outcome.reason}`;
      const advice = "it lives, but its silence will be taken for death: " +
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
  "second unanswered": "nobody is answered on another connection",
};

/** Tests how string ids come back, and whether a proxy can reconnect. */
async function observeBehavior(
  config: Config,
  start: StartClient,
  timeoutMs: number,
): Promise<{ texts: TextIdBehavior; restart: ReconnectOutcome }> {
  let client: InProcessClient = start(config, "texts");
  try {
    let texts: TextIdBehavior = "as sent";
    if (!await isAnswered(client, timeoutMs)) {
      texts = client.responseIdTypes.has("null") ? "as null" : "unanswered";
      await client.close();
      client = start(config);
      if (!await isAnswered(client, timeoutMs)) {
        return { texts: "unknown", restart: { kind: "second unanswered" } };
      }
    }
    return { texts, restart: await client.dropAndReconnect(timeoutMs) };
  } finally {
    await client.close();
  }
}

/** Returns true if the daemon answers a request after the handshake. */
async function isAnswered(
  client: InProcessClient,
  timeoutMs: number,
): Promise<boolean> {
  const opening = await client.handshake(timeoutMs);
  if (opening.kind === "failed") return false;
  // A bridge may answer the handshake itself, and forward only the rest.
  const list = await client.request("tools/list", undefined, timeoutMs);
  return list.kind === "result" || list.isFromDaemon === true;
}

const TEXT_IDS_CONSEQUENCE =
  "clients with text ids will not work through it (those with numbers do)";
const TEXT_IDS_FINDINGS: Readonly<Record<TextIdBehavior, string>> = {
  "as sent": "numbers and texts are answered",
  unknown: "numbers are answered on the first connection; texts cannot be " +
    "judged, because later connections are not answered",
  "as null": `texts come back as null: ${TEXT_IDS_CONSEQUENCE}`,
  unanswered: "requests with a text for an id are not answered: " +
    TEXT_IDS_CONSEQUENCE,
};

/** Returns the check that reports how the daemon returns ids. */
export function idsCheck(
  numbers: "as sent" | "as text",
  texts: TextIdBehavior,
): Check {
  const retyped = "\nnumbers come back as texts: it works, every client gets " +
    "its own spelling";
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
export function reconnectCheck(restart: ReconnectOutcome): Check {
  const name = "restart";
  const data = { ...restart };
  switch (restart.kind) {
    case "reconnected": {
      const ms = restart.ms.toFixed(0);
      const text = `a connection that doctor ended was replaced in ${ms} ms, ` +
        "and the proxy's own requests are answered";
      return { name, state: "ok", text, data };
    }
    case "own unanswered": {
      const text = "after a lost connection it did not answer the proxy's " +
        "own first message (its id is a large whole number), and a client's " +
        "it does: the proxy cannot tell whether it lives, and does not " +
        "reconnect after a restart";
      return { name, state: "fail", text, advice: FIX_IDS_ADVICE, data };
    }
    case "second unanswered": {
      const text = "it answers nobody's first message on another connection: " +
        "after a lost connection nothing works until it is started anew";
      const advice = "give every connection a server of its own, or mend the " +
        "daemon: each connection may begin with initialize";
      return { name, state: "fail", text, advice, data };
    }
    case "not reached": {
      const text = "a connection that doctor ended was not replaced in time " +
        `(${restart.why})`;
      const advice = `${READ_LOG_ADVICE}: it may let in one client after the ` +
        "other only";
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
  trouble: string | undefined,
): Promise<ConnectionsFinding> {
  const { dialect, cache, connections: set } = config;
  if (dialect === "exai") return { from: "dialect", connections: "many" };
  if (set !== "auto") return { from: "setting", connections: set };
  const cachedResults = readCacheFile(cache, cacheKeyOf(config), host)?.results;
  const forMs = cachedResults?.one?.[daemonName] ?? 0;
  if (forMs > 0) return { from: "cache", connections: "one", forMs };
  if (trouble !== undefined) {
    return { from: "trial", connections: "unknown", trouble };
  }
  const client = start(config);
  try {
    const opening = await client.handshake();
    const { connections } = await client.waitFor(
      ({ connections }) => connections !== "unknown",
      CAPACITY_WAIT_MS,
    );
    return opening.kind === "failed"
      ? { from: "trial", connections, trouble: opening.reason }
      : { from: "trial", connections };
  } finally {
    await client.close();
  }
}
