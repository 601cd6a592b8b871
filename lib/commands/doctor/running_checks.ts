/**
 * Checks the state of the daemon's running proxies, from their status files.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import { type CheckResult, READ_LOG_ADVICE, START_ADVICE } from "./check.ts";
import type { Config } from "../../config/config.ts";
import type { FailureCause } from "../../link/link.ts";
import {
  describeConnectionState,
  type ProxyStatus,
  toPublicStatus,
} from "../../proxy/status_format.ts";

/** The address and the dialect of the daemon that doctor checks. */
export type CheckedDaemon = Pick<Config, "redactedUrl" | "dialect">;

const CONNECT_HINT =
  "with --connect, doctor itself connects, which displaces " +
  "the client's session if the daemon keeps only one connection";

/** Returns the proxies that a new connection to the daemon may displace. */
export function proxiesOfDaemon(
  running: readonly ProxyStatus[],
  { redactedUrl }: CheckedDaemon,
): ProxyStatus[] {
  return running.filter(({ url }) =>
    comparableUrl(url) === comparableUrl(redactedUrl)
  );
}

function comparableUrl(url: string): string {
  // The query is redacted. Every loopback address counts as the same host.
  return url.replace(/\?.*$/s, "")
    .replace(/^(wss?:\/\/)(?:127\.0\.0\.1|\[::1\])(?=[:/])/, "$1localhost");
}

/**
 * Returns the check that reports the daemon's running proxies. In the mode
 * `read`, it fails if none of them has the configured dialect.
 *
 * @param proxies at least one
 * @param mode `connect` if doctor connects although proxies run
 */
export function runningCheck(
  proxies: readonly ProxyStatus[],
  target: CheckedDaemon,
  now: number,
  mode: "read" | "connect",
): CheckResult {
  const lines = proxies.flatMap((proxy) => describeProxy(proxy, target, now));
  const consequence = mode === "read"
    ? `doctor opened no connection to the daemon: ${CONNECT_HINT}`
    : "doctor also connects (--connect): a daemon that keeps only one connection " +
      "closes one of the two";
  return {
    name: "running",
    text: [...lines, consequence].join("\n"),
    ...(mode === "read" ? assessProxies(proxies, target) : { state: "warn" }),
    data: { proxies: proxies.map(toPublicStatus) },
  };
}

/** Returns a failed check: not all proxies' status files can be read. */
export function unreadableProxiesCheck(
  problems: readonly string[],
): CheckResult {
  const consequence = "it is unknown whether one of your proxies is running, " +
    "so doctor opened no connection to the daemon";
  const lines = problems.map((problem) => sanitizeLine(problem));
  const text = [consequence, ...lines].join("\n");
  const advice =
    `make that readable for your user, or remove it; ${CONNECT_HINT}`;
  return { name: "running", state: "fail", text, advice };
}

function describeProxy(
  { pid, client, url, dialect, connectionState, lastError }: ProxyStatus,
  target: CheckedDaemon,
  now: number,
): string[] {
  const who = client === undefined ? "" : ` (${sanitizeLine(client)})`;
  const where = url === target.redactedUrl ? "" : ` at ${sanitizeLine(url)}`;
  const isOther = dialect !== target.dialect;
  const how = isOther ? `, dialect ${sanitizeLine(dialect)}` : "";
  const state = describeConnectionState(connectionState, now);
  const line = `proxy ${pid}${who}${where}${how}: ${state}`;
  return lastError === undefined
    ? [line]
    : [line, `its last error: ${sanitizeLine(lastError)}`];
}

type Assessment = Pick<CheckResult, "state" | "advice">;

function assessProxies(
  proxies: readonly ProxyStatus[],
  target: CheckedDaemon,
): Assessment {
  const sameDialect = proxies.filter(({ dialect }) =>
    dialect === target.dialect
  );
  if (sameDialect.length === 0) {
    const dialect = sanitizeLine(proxies[0]!.dialect);
    const advice =
      `use --dialect ${dialect}, if the client's configuration is right`;
    return { state: "fail", advice };
  }
  const hasNoSession = proxies.every(({ connectionState: { phase } }) =>
    phase === "waiting" || phase === "dialing"
  );
  const hint = hasNoSession
    ? "; --connect checks more, and displaces no session now"
    : "";
  const found = sameDialect.map((proxy) => assessProxy(proxy, hint));
  // The worst state counts, with its advice.
  return found.find(({ state }) => state === "fail") ??
    found.find(({ state }) => state === "warn") ?? { state: "ok" };
}

/** @param hint a text to add to the advice if the proxy cannot connect */
function assessProxy(
  { connectionState, lastErrorCause: cause }: ProxyStatus,
  hint: string,
): Assessment {
  const retry = {
    state: "warn",
    advice: "run doctor again in a few seconds",
  } as const;
  const advice = adviceForCause(cause) + hint;
  switch (connectionState.phase) {
    case "ready":
    case "open":
      return { state: "ok" };
    case "checking":
      return retry;
    case "displaced": {
      const advice =
        "stop the other client, or give each client a daemon of its own";
      return { state: "warn", advice };
    }
    case "waiting":
      return { state: "fail", advice };
    case "dialing":
    case "handshaking":
      return connectionState.attempt > 1 ? { state: "fail", advice } : retry;
  }
}

function adviceForCause(cause: FailureCause | undefined): string {
  switch (cause) {
    case "refused":
    case "token refused":
    case "policy violation":
      return "give the proxy the daemon's own token (--token-file, " +
        "ALWAYSUP_TOKEN), in the client's configuration";
    case "nobody there":
      return START_ADVICE;
    case "other dialect":
    case undefined:
      return READ_LOG_ADVICE;
  }
}
