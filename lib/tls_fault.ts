/**
 * Why a `wss://` dial failed, where the runtime's WebSocket does not tell: by a
 * TLS handshake of our own and, over that, the same request for a WebSocket.
 *
 * @module
 */

import { dialFaultOf, NO_TLS_FAULT } from "./close_reason.ts";
import type { Host, Trouble } from "./host.ts";
import type { Header } from "./parse.ts";
import { hostOf, portOf, proxyOf } from "./place.ts";
import { requestText } from "./upgrade.ts";

/** How long an answer counts, in milliseconds: a daemon that is dialed quickly is not asked each time. */
const FRESH_MS = 5_000;
/** How long a handshake may take, in milliseconds. */
const LIMIT_MS = 10_000;

/** How much of an answer is read, in bytes. */
const ANSWER_LIMIT = 64 * 1024;

/** Finds out what is wrong with a server that did not take such a dial; `undefined` where that cannot be known. Never rejects. */
export type FindFault = (
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
) => Promise<Trouble | undefined>;

/** One who asks, remembers the answer for a while, and never asks twice at a time. */
export function faultFinder(
  host: Pick<Host, "askOverTls" | "proxies" | "variable">,
): FindFault {
  let askedAt = -Infinity;
  let answer: Promise<Trouble | undefined> = Promise.resolve(undefined);
  return (url, subprotocol, headers) => {
    const now = performance.now();
    if (now - askedAt < FRESH_MS) return answer;
    // What the runtime dials through a proxy is not to be dialed past it.
    const place = new URL(url);
    if (proxyOf(place, host) !== undefined) return Promise.resolve(undefined);
    askedAt = now;
    const request = requestText(place, subprotocol, headers);
    return answer = ask(place, request, host);
  };
}

async function ask(
  url: URL,
  text: string,
  host: Pick<Host, "askOverTls">,
): Promise<Trouble | undefined> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(), LIMIT_MS);
  try {
    const place = { host: hostOf(url), port: portOf(url) };
    const { signal } = ending;
    const found = await host.askOverTls({
      ...{ ...place, text, limit: ANSWER_LIMIT, signal },
    });
    // What we have ended ourselves says nothing.
    if (signal.aborted) return undefined;
    if (typeof found === "string") {
      const [, status = "101"] = /^HTTP\/1\.[01] (\d{3})/.exec(found) ?? [];
      const isTaken = status === "101";
      return {
        text: isTaken ? NO_TLS_FAULT : `status code: ${status}`,
        error: "",
      };
    }
    // What says nothing does not take the place of the runtime's own words.
    return dialFaultOf(found) === undefined ? undefined : found;
  } catch {
    // What cannot be found out is not said.
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
