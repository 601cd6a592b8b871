/**
 * The running proxies of a daemon, as a check of `alwaysup doctor`.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import type { FailureCause } from "../../link/link.ts";
import {
  describeConnectionState,
  type ProxyStatus,
  publicOf,
} from "../../proxy/status_format.ts";

/** The daemon that doctor was asked about. */
export interface CheckedDaemon {
  /** Its URL, without secrets. */
  readonly redactedUrl: string;
  /** How it is said to speak. */
  readonly dialect: string;
}

const RUNNING_CHECK_NAME = "running";
/** What doctor does when it is told to. */
const CONNECT_HINT =
  "with --connect doctor connects itself, which displaces the " +
  "client's session at a daemon that keeps one connection";
const RETRY_ADVICE = "ask again in some seconds";
/** A state's place in an order of badness. */
const STATES_BY_SEVERITY = ["ok", "warn", "fail"] as const;

/**
 * The proxies whose session a connection to the daemon may displace: names of
 * this machine are one, and what may be a secret in a query does not count.
 */
export function proxiesOfDaemon(
  running: readonly ProxyStatus[],
  { redactedUrl }: CheckedDaemon,
): ProxyStatus[] {
  return running.filter(({ url }) =>
    comparableUrl(url) === comparableUrl(redactedUrl)
  );
}

function comparableUrl(url: string): string {
  return url.replace(/\?.*$/s, "")
    .replace(/^(wss?:\/\/)(?:127\.0\.0\.1|\[::1\])(?=[:/])/, "$1localhost");
}

/**
 * What running proxies say of themselves, in whose place doctor opens nothing.
 * If none of them speaks as doctor is told to, that is the finding.
 *
 * @param proxies at least one
 */
export function runningCheck(
  proxies: readonly ProxyStatus[],
  target: CheckedDaemon,
  now: number,
): Check {
  const lines = proxies.flatMap((proxy) => describeProxy(proxy, target, now));
  lines.push(`nothing was opened to the daemon: ${CONNECT_HINT}`);
  const { state, advice } = assessProxies(proxies, target);
  return {
    name: RUNNING_CHECK_NAME,
    state,
    text: lines.join("\n"),
    ...(advice !== undefined && { advice }),
    data: { proxies: proxies.map(publicOf) },
  };
}

/** Doctor was told to connect although proxies run there. */
export function connectAnywayCheck(
  proxies: readonly ProxyStatus[],
  target: CheckedDaemon,
  now: number,
): Check {
  const lines = proxies.flatMap((proxy) => describeProxy(proxy, target, now));
  lines.push(
    "doctor connects, too (--connect): a daemon that keeps one connection " +
      "ends one of them",
  );
  return {
    name: RUNNING_CHECK_NAME,
    state: "warn",
    text: lines.join("\n"),
    data: { proxies: proxies.map(publicOf) },
  };
}

/** Nobody can tell whether a proxy runs there, and why not. */
export function unreadableProxiesCheck(troubles: readonly string[]): Check {
  const lines = [
    "whether a proxy of yours runs there cannot be known, so nothing was " +
    "opened to the daemon",
    ...troubles.map((trouble) => sanitizeLine(trouble)),
  ];
  const advice = `let your user read that, or remove it; ${CONNECT_HINT}`;
  return {
    name: RUNNING_CHECK_NAME,
    state: "fail",
    text: lines.join("\n"),
    advice,
  };
}

function describeProxy(
  { pid, client, url, dialect, standing, lastError }: ProxyStatus,
  target: CheckedDaemon,
  now: number,
): string[] {
  const who = client === undefined ? "" : ` (${sanitizeLine(client)})`;
  const where = url === target.redactedUrl ? "" : ` at ${sanitizeLine(url)}`;
  const how = dialect === target.dialect
    ? ""
    : `, dialect ${sanitizeLine(dialect)}`;
  const state = describeConnectionState(standing, now);
  const line = `proxy ${pid}${who}${where}${how}: ${state}`;
  return lastError === undefined
    ? [line]
    : [line, `its last error: ${sanitizeLine(lastError)}`];
}

/** How bad it is, and what to do. */
interface Assessment {
  readonly state: typeof STATES_BY_SEVERITY[number];
  readonly advice?: string;
}

function assessProxies(
  proxies: readonly ProxyStatus[],
  target: CheckedDaemon,
): Assessment {
  const alike = proxies.filter(({ dialect }) => dialect === target.dialect);
  if (alike.length === 0) {
    const advice =
      `say --dialect ${sanitizeLine(proxies[0]!.dialect)}, if the ` +
      "client's configuration is right";
    return { state: "fail", advice };
  }
  const isIdle = proxies.every(({ standing: { phase } }) =>
    phase === "waiting" || phase === "dialing"
  );
  // The worst one says what to do.
  return alike.map((proxy) => assessProxy(proxy, isIdle))
    .reduce((a, b) =>
      STATES_BY_SEVERITY.indexOf(b.state) > STATES_BY_SEVERITY.indexOf(a.state)
        ? b
        : a
    );
}

function assessProxy(
  { standing, lastErrorCause: cause }: ProxyStatus,
  isIdle: boolean,
): Assessment {
  switch (standing.phase) {
    case "ready":
    case "open":
      return { state: "ok" };
    case "checking":
      return { state: "warn", advice: RETRY_ADVICE };
    case "displaced": {
      const advice = "stop the other client, or give each client a daemon of " +
        "its own";
      return { state: "warn", advice };
    }
    case "waiting":
      return { state: "fail", advice: unreachableAdvice(cause, isIdle) };
    case "dialing":
    case "greeting":
      return standing.attempt > 1
        ? { state: "fail", advice: unreachableAdvice(cause, isIdle) }
        : { state: "warn", advice: RETRY_ADVICE };
  }
}

/**
 * What to do about a daemon that a proxy cannot reach.
 *
 * @param cause why, as far as the proxy tells
 * @param isIdle whether no proxy has a session
 */
function unreachableAdvice(
  cause: FailureCause | undefined,
  isIdle: boolean,
): string {
  const advice = whatToDo(cause);
  return isIdle
    ? `${advice}; --connect looks closer, and no session is displaced now`
    : advice;
}

function whatToDo(cause: FailureCause | undefined): string {
  switch (cause) {
    case "refused":
    case "token refused":
    case "policy violation":
      return "give the proxy the daemon's own token (--token-file, " +
        "ALWAYSUP_TOKEN), in the client's configuration";
    case "nobody there":
      return "start the daemon; in Docker, publish its port (-p 8079:8079)";
    case "other dialect":
    case undefined:
      return "look at the daemon's own log";
  }
}
