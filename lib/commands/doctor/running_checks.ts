/**
 * Checks the running proxies of a daemon.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import type { FailureCause } from "../../link/link.ts";
import {
  describeConnectionState,
  type ProxyStatus,
  toPublicStatus,
} from "../../proxy/status_format.ts";

/** The daemon that doctor checks. */
export interface CheckedDaemon {
  /** Its URL, without secrets. */
  readonly redactedUrl: string;
  /** Its configured dialect. */
  readonly dialect: string;
}

const RUNNING_CHECK_NAME = "running";
/** What doctor does with `--connect`. */
const CONNECT_HINT =
  "with --connect doctor connects itself, which displaces the " +
  "client's session at a daemon that keeps one connection";
const RETRY_ADVICE = "ask again in some seconds";
/** The states, from the best to the worst. */
const STATES_BY_SEVERITY = ["ok", "warn", "fail"] as const;

/**
 * Returns the proxies whose session a connection to the daemon may displace.
 * The names of this machine count as one, and the query is ignored, because it
 * may contain a secret.
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
 * Describes the running proxies; doctor opens no connection then. If none of
 * them has the configured dialect, that is the finding.
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
    data: { proxies: proxies.map(toPublicStatus) },
  };
}

/** Warns that doctor connects although proxies run. */
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
    data: { proxies: proxies.map(toPublicStatus) },
  };
}

/** Says that it is unknown whether a proxy runs, and why. */
export function unreadableProxiesCheck(problems: readonly string[]): Check {
  const lines = [
    "whether a proxy of yours runs there cannot be known, so nothing was " +
    "opened to the daemon",
    ...problems.map((problem) => sanitizeLine(problem)),
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

/** The state of a check, and what to do. */
interface Assessment {
  readonly state: typeof STATES_BY_SEVERITY[number];
  readonly advice?: string;
}

function assessProxies(
  proxies: readonly ProxyStatus[],
  target: CheckedDaemon,
): Assessment {
  const sameDialectProxies = proxies.filter(({ dialect }) =>
    dialect === target.dialect
  );
  if (sameDialectProxies.length === 0) {
    const advice =
      `say --dialect ${sanitizeLine(proxies[0]!.dialect)}, if the ` +
      "client's configuration is right";
    return { state: "fail", advice };
  }
  const hasNoSession = proxies.every(({ standing: { phase } }) =>
    phase === "waiting" || phase === "dialing"
  );
  // The worst state counts, with its advice.
  return sameDialectProxies.map((proxy) => assessProxy(proxy, hasNoSession))
    .reduce((a, b) =>
      STATES_BY_SEVERITY.indexOf(b.state) > STATES_BY_SEVERITY.indexOf(a.state)
        ? b
        : a
    );
}

function assessProxy(
  { standing, lastErrorCause: cause }: ProxyStatus,
  hasNoSession: boolean,
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
      return { state: "fail", advice: unreachableAdvice(cause, hasNoSession) };
    case "dialing":
    case "greeting":
      return standing.attempt > 1
        ? { state: "fail", advice: unreachableAdvice(cause, hasNoSession) }
        : { state: "warn", advice: RETRY_ADVICE };
  }
}

/**
 * Returns what to do about a daemon that a proxy cannot reach.
 *
 * @param cause why, if the proxy knows it
 * @param hasNoSession true if no proxy has a session
 */
function unreachableAdvice(
  cause: FailureCause | undefined,
  hasNoSession: boolean,
): string {
  const advice = adviceForCause(cause);
  return hasNoSession
    ? `${advice}; --connect looks closer, and no session is displaced now`
    : advice;
}

function adviceForCause(cause: FailureCause | undefined): string {
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
