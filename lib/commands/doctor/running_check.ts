/**
 * The running proxies of a daemon, as a check of `alwaysup doctor`.
 *
 * @module
 */

import { tame } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import type { FailureCause } from "../../link/link.ts";
import { inWords, publicOf, type Running } from "../../proxy/status_format.ts";

/** The daemon that doctor was asked about. */
export interface Target {
  /** Its URL, without secrets. */
  readonly shownUrl: string;
  /** How it is said to speak. */
  readonly dialect: string;
}

const NAME = "running";
/** What doctor does when it is told to. */
const CONNECT = "with --connect doctor connects itself, which displaces the " +
  "client's session at a daemon that keeps one connection";
const AGAIN = "ask again in some seconds";
/** A state's place in an order of badness. */
const STATES = ["ok", "warn", "fail"] as const;

/**
 * The proxies whose session a connection to the daemon may displace: names of
 * this machine are one, and what may be a secret in a query does not count.
 */
export function proxiesAt(
  running: readonly Running[],
  { shownUrl }: Target,
): Running[] {
  return running.filter(({ url }) => placeOf(url) === placeOf(shownUrl));
}

function placeOf(url: string): string {
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
  proxies: readonly Running[],
  target: Target,
  now: number,
): Check {
  const lines = proxies.flatMap((proxy) => described(proxy, target, now));
  lines.push(`nothing was opened to the daemon: ${CONNECT}`);
  const { state, advice } = judgeAll(proxies, target);
  return {
    name: NAME,
    state,
    text: lines.join("\n"),
    ...(advice !== undefined && { advice }),
    data: { proxies: proxies.map(publicOf) },
  };
}

/** Doctor was told to connect although proxies run there. */
export function besideCheck(
  proxies: readonly Running[],
  target: Target,
  now: number,
): Check {
  const lines = proxies.flatMap((proxy) => described(proxy, target, now));
  lines.push(
    "doctor connects, too (--connect): a daemon that keeps one connection " +
      "ends one of them",
  );
  return {
    name: NAME,
    state: "warn",
    text: lines.join("\n"),
    data: { proxies: proxies.map(publicOf) },
  };
}

/** Nobody can tell whether a proxy runs there, and why not. */
export function unseenCheck(troubles: readonly string[]): Check {
  const lines = [
    "whether a proxy of yours runs there cannot be known, so nothing was " +
    "opened to the daemon",
    ...troubles.map((trouble) => tame(trouble)),
  ];
  const advice = `let your user read that, or remove it; ${CONNECT}`;
  return { name: NAME, state: "fail", text: lines.join("\n"), advice };
}

function described(
  { pid, client, url, dialect, standing, lastError }: Running,
  target: Target,
  now: number,
): string[] {
  const who = client === undefined ? "" : ` (${tame(client)})`;
  const where = url === target.shownUrl ? "" : ` at ${tame(url)}`;
  const how = dialect === target.dialect ? "" : `, dialect ${tame(dialect)}`;
  const state = inWords(standing, now);
  const line = `proxy ${pid}${who}${where}${how}: ${state}`;
  return lastError === undefined
    ? [line]
    : [line, `its last error: ${tame(lastError)}`];
}

/** How bad it is, and what to do. */
interface Verdict {
  readonly state: typeof STATES[number];
  readonly advice?: string;
}

function judgeAll(proxies: readonly Running[], target: Target): Verdict {
  const alike = proxies.filter(({ dialect }) => dialect === target.dialect);
  if (alike.length === 0) {
    const advice = `say --dialect ${tame(proxies[0]!.dialect)}, if the ` +
      "client's configuration is right";
    return { state: "fail", advice };
  }
  const isIdle = proxies.every(({ standing: { phase } }) =>
    phase === "waiting" || phase === "dialing"
  );
  // The worst one says what to do.
  return alike.map((proxy) => judge(proxy, isIdle))
    .reduce((a, b) =>
      STATES.indexOf(b.state) > STATES.indexOf(a.state) ? b : a
    );
}

function judge(
  { standing, lastErrorCause: cause }: Running,
  isIdle: boolean,
): Verdict {
  switch (standing.phase) {
    case "ready":
    case "open":
      return { state: "ok" };
    case "checking":
      return { state: "warn", advice: AGAIN };
    case "displaced": {
      const advice = "stop the other client, or give each client a daemon of " +
        "its own";
      return { state: "warn", advice };
    }
    case "waiting":
      return { state: "fail", advice: adviceOn(cause, isIdle) };
    case "dialing":
    case "greeting":
      return standing.attempt > 1
        ? { state: "fail", advice: adviceOn(cause, isIdle) }
        : { state: "warn", advice: AGAIN };
  }
}

/**
 * What to do about a daemon that a proxy cannot reach.
 *
 * @param cause why, as far as the proxy tells
 * @param isIdle whether no proxy has a session
 */
function adviceOn(cause: FailureCause | undefined, isIdle: boolean): string {
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
