/**
 * Why a `wss://` dial failed, where the runtime's WebSocket does not tell: by a
 * TLS handshake of our own and, over that, the same request for a WebSocket.
 *
 * @module
 */

import { classifyDialError } from "./close_details.ts";
import type { Host, SocketErrorInfo } from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { hostnameOf, portOf, proxyVariableFor } from "../runtime/url.ts";
import {
  handshakeRequest,
  parseHandshakeResponse,
  requestOverTlsWithin,
} from "./raw_handshake.ts";

/** How long an answer counts, in milliseconds: a daemon that is dialed quickly is not asked each time. */
const DIAGNOSIS_TTL_MS = 5_000;
/** How long an answer may take, in milliseconds. */
const DIAGNOSIS_TIMEOUT_MS = 10_000;

/** Finds out what is wrong with a server that did not take such a dial; `undefined` where that cannot be known. Never rejects. */
export type TlsDiagnoser = (
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
) => Promise<SocketErrorInfo | undefined>;

/** One who asks, and for whom an answer counts for a while. */
export function createTlsDiagnoser(
  host: Pick<Host, "requestOverTls" | "proxyVariables" | "getEnv">,
): TlsDiagnoser {
  let diagnosedAt = -Infinity;
  let lastDiagnosis: Promise<SocketErrorInfo | undefined> = Promise.resolve(
    undefined,
  );
  return (url, subprotocol, headers) => {
    const now = performance.now();
    if (now - diagnosedAt < DIAGNOSIS_TTL_MS) return lastDiagnosis;
    // What the runtime dials through a proxy is not to be dialed past it.
    const target = new URL(url);
    if (proxyVariableFor(target, host) !== undefined) {
      return Promise.resolve(undefined);
    }
    diagnosedAt = now;
    const request = handshakeRequest(target, subprotocol, headers);
    return lastDiagnosis = diagnoseTls(target, request, host);
  };
}

async function diagnoseTls(
  url: URL,
  payload: string,
  host: Pick<Host, "requestOverTls">,
): Promise<SocketErrorInfo | undefined> {
  const address = { host: hostnameOf(url), port: portOf(url) };
  try {
    const response = await requestOverTlsWithin(
      { ...address, payload },
      DIAGNOSIS_TIMEOUT_MS,
      host,
    );
    if (typeof response === "string") {
      const outcome = parseHandshakeResponse(response);
      const isRejected = outcome.kind === "response" && outcome.status !== 101;
      return isRejected
        ? { message: "", errorCode: "", status: outcome.status }
        : { message: "", errorCode: "", isSecure: true };
    }
    // What says nothing does not take the place of the runtime's own words.
    return response && classifyDialError(response) && response;
  } catch {
    // What cannot be found out is not said.
    return undefined;
  }
}
