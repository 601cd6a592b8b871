/**
 * Why a `wss://` dial failed, where the runtime's WebSocket does not tell: by a
 * TLS handshake of our own, over which nothing is sent.
 *
 * @module
 */

import { dialFaultOf, NO_TLS_FAULT } from "./close_reason.ts";
import type { Host, Trouble } from "./host.ts";
import { hostOf, portOf, proxyOf } from "./place.ts";

/** How long an answer counts, in milliseconds: a daemon that is dialed quickly is not asked each time. */
const FRESH_MS = 20_000;
/** How long a handshake may take, in milliseconds. */
const LIMIT_MS = 10_000;

/** Finds out what is wrong with a server; `undefined` where that cannot be known. Never rejects. */
export type FindFault = (url: string) => Promise<Trouble | undefined>;

/** One who asks, remembers the answer for a while, and never asks twice at a time. */
export function faultFinder(
  host: Pick<Host, "askOverTls" | "proxies" | "variable">,
): FindFault {
  let askedAt = -Infinity;
  let answer: Promise<Trouble | undefined> = Promise.resolve(undefined);
  return (url) => {
    const now = performance.now();
    if (now - askedAt < FRESH_MS) return answer;
    // What the runtime dials through a proxy is not to be dialed past it.
    const place = new URL(url);
    if (proxyOf(place, host) !== undefined) return Promise.resolve(undefined);
    askedAt = now;
    return answer = ask(place, host);
  };
}

async function ask(
  url: URL,
  host: Pick<Host, "askOverTls">,
): Promise<Trouble | undefined> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(), LIMIT_MS);
  try {
    const place = { host: hostOf(url), port: portOf(url) };
    const { signal } = ending;
    const found = await host.askOverTls({
      ...place,
      text: "",
      limit: 0,
      signal,
    });
    // What we have ended ourselves says nothing.
    if (signal.aborted) return undefined;
    const fine = { text: NO_TLS_FAULT, error: "" };
    if (typeof found === "string") return fine;
    // What says nothing does not take the place of the runtime's own words.
    return dialFaultOf(found) === undefined ? undefined : found;
  } catch {
    // What cannot be found out is not said.
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
