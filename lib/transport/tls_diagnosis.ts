/**
 * Why a `wss://` dial failed, where the runtime's WebSocket does not tell: by a
 * TLS handshake of our own and, over that, the same request for a WebSocket.
 *
 * @module
 */

import { dialFaultOf } from "./close_reason.ts";
import type { Host, Trouble } from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { hostOf, portOf, proxyOf } from "../runtime/address.ts";
import { askWithin, readAnswer, requestText } from "./raw_handshake.ts";

/** How long an answer counts, in milliseconds: a daemon that is dialed quickly is not asked each time. */
const FRESH_MS = 5_000;
/** How long an answer may take, in milliseconds. */
const LIMIT_MS = 10_000;

/** Finds out what is wrong with a server that did not take such a dial; `undefined` where that cannot be known. Never rejects. */
export type FindFault = (
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
) => Promise<Trouble | undefined>;

/** One who asks, and for whom an answer counts for a while. */
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
  const place = { host: hostOf(url), port: portOf(url) };
  try {
    const found = await askWithin({ ...place, text }, LIMIT_MS, host);
    if (typeof found === "string") {
      const answer = readAnswer(found);
      const isStatus = answer.kind === "answered" && answer.status !== 101;
      return isStatus
        ? { text: "", error: "", status: answer.status }
        : { text: "", error: "", isSecure: true };
    }
    // What says nothing does not take the place of the runtime's own words.
    return found && dialFaultOf(found) && found;
  } catch {
    // What cannot be found out is not said.
    return undefined;
  }
}
