/**
 * One look after the other at the way to the daemon: name, network, WebSocket,
 * dialect, token, tools, probe.
 *
 * @module
 */

import type { Config } from "./config.ts";
import type { Host } from "./host.ts";
import { dig } from "./jsonrpc.ts";
import { tame } from "./output.ts";
import { type Outcome, Trial } from "./trial.ts";
import {
  connect,
  hostOf,
  isAddress,
  portOf,
  resolve,
  upgrade,
} from "./upgrade.ts";

/** What became of one check. */
export interface Check {
  /** What was looked at. */
  readonly name: string;
  /** `warn` is worth a look, `skip` was not looked at. */
  readonly state: "ok" | "warn" | "fail" | "skip";
  /** What was found. */
  readonly text: string;
  /** What to do, where something is to be done. */
  readonly advice?: string;
}

/** How long a daemon has to understand another dialect than was said, in milliseconds. */
const SHORT_MS = 3_000;
/** How often the daemon is probed. */
const PROBES = 5;
/** The version that the client in us speaks first, and the one of the stateless era. */
const [LEGACY, STATELESS] = ["2025-11-25", "2026-07-28"];
/** From the host's name to the daemon's answers; what follows from a failure is not looked at. */
export async function* network(
  config: Config,
  host: Host,
): AsyncGenerator<Check> {
  const url = new URL(config.url);
  const proxy = proxyOf(url, host);
  if (proxy !== undefined) {
    const name = hostOf(url);
    const text = `${name} is dialed through the proxy that ${proxy} names`;
    const advice = `if the proxy is not to be asked, add ${name} to NO_PROXY`;
    yield { name: "proxy", state: "warn", text, advice };
  }
  for await (const check of direct(config, url)) {
    const isFailure = check.state === "fail";
    if (isFailure && proxy === undefined) return yield check;
    // What cannot be reached from here may be reached from the proxy.
    yield isFailure ? { ...check, state: "warn" } : check;
  }
  yield* interview(config, host);
}

/** The variable that names the proxy through which the runtime dials; `undefined` where it uses none. */
function proxyOf(url: URL, host: Host): string | undefined {
  const name = hostOf(url);
  // The hosts have seen to that.
  if (/^(localhost|127\.[\d.]+|::1)$/.test(name)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(host.variable);
  const isExempt = lists.join().split(",").map((entry) => entry.trim())
    .some((entry) =>
      entry === "*" ? !isAddress(name) : entry !== "" &&
        `.${name}`.endsWith(`.${entry.replace(/^\./, "")}`)
    );
  if (isExempt) return undefined;
  return host.proxies(url.protocol).find(host.variable);
}

/** The way to the daemon without a proxy, as far as the first failure. */
async function* direct(
  config: Config,
  url: URL,
): AsyncGenerator<Check> {
  const name = hostOf(url);
  const limitMs = config.handshakeTimeout;
  const addresses = (await resolve(name)).join(", ");
  if (addresses === "") {
    const text = `${name} is no host that this machine knows`;
    const advice = "check the URL's host; inside Docker, the host machine is " +
      "host.docker.internal";
    return yield { name: "name", state: "fail", text, advice };
  }
  const known = addresses === name ? "an address" : addresses;
  yield { name: "name", state: "ok", text: `${name} is ${known}` };
  const place = `${name} port ${portOf(url)}`;
  const reached = await connect(name, portOf(url), limitMs);
  if (typeof reached === "string") {
    const text = `${place} takes no connection (${reached})`;
    const advice =
      "start the daemon; in Docker, publish its port (-p 8079:8079)";
    return yield { name: "network", state: "fail", text, advice };
  }
  const text = `${place} takes connections (${reached.toFixed(1)} ms)`;
  yield { name: "network", state: "ok", text };
  yield await shake(config, url, limitMs);
}

/** Is it a WebSocket? */
async function shake(
  { dialect, headers }: Config,
  url: URL,
  limitMs: number,
): Promise<Check> {
  const name = "websocket";
  // A certificate may say anything, too.
  const fail = (text: string, advice: string): Check => ({
    ...{ name, state: "fail", text: tame(text), advice },
  });
  const subprotocol = dialect === "mcp" ? "mcp" : undefined;
  const found = await upgrade(url, subprotocol, headers, limitMs);
  if (found.kind === "garbage") {
    const other = url.protocol === "wss:" ? "ws://" : "wss://";
    return fail("it does not speak HTTP", `check the port, and try ${other}`);
  }
  if (found.kind === "failed") {
    const advice = url.protocol === "wss:"
      ? "check the certificate, or try ws://"
      : "check the port: something else listens there";
    return fail(`the handshake failed (${found.why})`, advice);
  }
  const { status } = found;
  const type = found.headers.get("content-type") ?? "";
  if (status === 101) {
    const echo = found.headers.get("sec-websocket-protocol");
    const words = echo === undefined ? "" : `, subprotocol ${tame(echo)}`;
    return { name, state: "ok", text: `it is a WebSocket${words}` };
  }
  if (status === 401 || status === 403) {
    return fail(
      `it refuses us with HTTP ${status}`,
      "check the token (--token-file or ALWAYSUP_TOKEN) and --header",
    );
  }
  if (status === 404) {
    const text = `there is nothing at ${url.pathname} (HTTP 404)`;
    return fail(text, "check the URL's path");
  }
  if (status >= 500) {
    const text = `it answers with HTTP ${status}`;
    return fail(text, "look at the daemon's own log; a front may wait for it");
  }
  if (status >= 300 && status < 400) {
    const location = found.headers.get("location") ?? "";
    const to = URL.canParse(location, url.href)
      ? new URL(location, url)
      : undefined;
    const place = to === undefined ? "nowhere" : to.origin + to.pathname;
    return fail(`it sends us to ${place} (HTTP ${status})`, "use that URL");
  }
  return fail(
    `this is an HTTP${/event-stream/.test(type) ? "/SSE" : ""} server, not a ` +
      `WebSocket (HTTP ${status})`,
    "give the URL of its WebSocket; without one, connect the client to it " +
      "by HTTP, which needs no alwaysup",
  );
}

/** Tries a whole proxy. */
async function* interview(config: Config, host: Host): AsyncGenerator<Check> {
  const trial = new Trial(config, host);
  try {
    const { hello, _meta } = await greet(trial, config);
    if (hello.kind === "failed") {
      return yield await unwelcome(hello.why, config, host);
    }
    yield { name: "daemon", state: "ok", text: described(hello, config) };
    const isSent = config.helloToken !== "" ||
      config.headers.some(([name]) => /^authorization$/i.test(name));
    const token = isSent ? "sent, and not refused" : "none set, none asked for";
    yield { name: "token", state: "ok", text: token };
    const listed = await tools(trial, config, hello, _meta);
    yield listed;
    if (listed.state !== "fail") yield await probe(trial, config, _meta);
  } finally {
    await trial.end();
  }
}

/** The daemon does not take us: because it does not want to, or does not understand us. */
async function unwelcome(
  why: string,
  config: Config,
  host: Host,
): Promise<Check> {
  if (/refuses|code 1008/.test(why)) {
    const advice = "give the daemon's own token (--token-file, ALWAYSUP_TOKEN)";
    return { name: "token", state: "fail", text: why, advice };
  }
  const dialect = config.dialect === "mcp" ? "exai" : "mcp";
  const handshakeTimeout = Math.min(config.handshakeTimeout, SHORT_MS);
  const other = { ...config, dialect, handshakeTimeout } as const;
  const trial = new Trial(other, host);
  const { hello } = await greet(trial, other);
  await trial.end();
  if (hello.kind === "result") {
    const text = `this daemon speaks ${dialect}, not ${config.dialect}`;
    const advice = `say --dialect ${dialect}`;
    return { name: "daemon", state: "fail", text, advice };
  }
  const advice = "look at the daemon's own log";
  return { name: "daemon", state: "fail", text: why, advice };
}

/** Says hello in the older era, and if the daemon does not know it, in the newer one. */
async function greet(
  trial: Trial,
  { dialect }: Config,
): Promise<{ hello: Outcome; _meta?: Record<string, unknown> }> {
  const clientInfo = { name: "alwaysup doctor", version: "1" };
  const hello = await trial.ask("initialize", {
    ...{ protocolVersion: LEGACY, capabilities: {}, clientInfo },
  });
  if (hello.kind === "result") {
    await trial.tell({ method: "notifications/initialized" });
    // The proxy itself answers for an exai daemon, whether one is there or not.
    if (dialect === "exai") return { hello: await trial.ask("tools/list") };
    return { hello };
  }
  if (dialect !== "mcp" || trial.isOver) return { hello };
  const prefix = "io.modelcontextprotocol/";
  const _meta = {
    [`${prefix}protocolVersion`]: STATELESS,
    [`${prefix}clientCapabilities`]: {},
    [`${prefix}clientInfo`]: clientInfo,
  };
  const other = await trial.ask("server/discover", { _meta });
  return other.kind === "result" ? { hello: other, _meta } : { hello };
}

function described(hello: Outcome, { dialect }: Config): string {
  const result = hello.kind === "result" ? hello.result : undefined;
  if (dialect === "exai") return "it speaks exai, and took our hello";
  const said = (...path: string[]): string | undefined => {
    const value = dig(result, ...path);
    return typeof value === "string" ? tame(value, 200) : undefined;
  };
  const version = said("protocolVersion") ?? STATELESS;
  const who = [said("serverInfo", "name"), said("serverInfo", "version")]
    .filter((text) => text).join(" ");
  return `it speaks MCP ${version}${who && `: ${who}`}`;
}

async function tools(
  trial: Trial,
  { dialect, handshakeTimeout }: Config,
  hello: Outcome,
  _meta: Record<string, unknown> | undefined,
): Promise<Check> {
  const name = "tools";
  const result = hello.kind === "result" ? hello.result : undefined;
  const isToolless = dig(result, "capabilities", "tools") === undefined;
  if (dialect === "mcp" && isToolless) {
    return { name, state: "warn", text: "the daemon says that it has none" };
  }
  let count = 0;
  let cursor: unknown;
  const seen = new Set<unknown>();
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
    count += Array.isArray(list) ? list.length : 0;
    cursor = dig(asked.result, "nextCursor");
    if (typeof cursor !== "string") break;
    if (seen.has(cursor) || performance.now() > until) {
      const text = `${count}, and its pages do not come to an end`;
      return { name, state: "warn", text };
    }
    seen.add(cursor);
  }
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
