/**
 * Finds out why a `wss://` dial failed, where the runtime's WebSocket does not
 * report it: makes a TLS handshake and sends the same WebSocket handshake
 * request over it.
 *
 * @module
 */

import { classifyDialError } from "./failure_reasons.ts";
import type { Host, SocketErrorInfo } from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { hostnameOf, portOf, proxyVariableFor } from "../runtime/url.ts";
import {
  buildHandshakeRequest,
  parseHandshakeResponse,
  requestOverTlsWithin,
} from "./raw_handshake.ts";

/**
 * How long a diagnosis is reused, in milliseconds: a daemon that is dialed
 * often is not diagnosed each time.
 */
const DIAGNOSIS_TTL_MS = 5_000;
/** How long a diagnosis may take, in milliseconds. */
const DIAGNOSIS_TIMEOUT_MS = 10_000;

/**
 * Finds out why a dial failed; `undefined` if that cannot be known. Never
 * rejects.
 */
export type TlsDiagnoser = (
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
) => Promise<SocketErrorInfo | undefined>;

/** Creates a diagnoser that reuses its last diagnosis for a while. */
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
    // If the runtime dials through a proxy, the diagnosis must not bypass it.
    const target = new URL(url);
    if (proxyVariableFor(target, host) !== undefined) {
      return Promise.resolve(undefined);
    }
    diagnosedAt = now;
    const request = buildHandshakeRequest(target, subprotocol, headers);
    return lastDiagnosis = diagnoseTls(target, request, host);
  };
}

async function diagnoseTls(
  url: URL,
  payload: string,
  host: Pick<Host, "requestOverTls">,
): Promise<SocketErrorInfo | undefined> {
  const address = { hostname: hostnameOf(url), port: portOf(url) };
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
        : { message: "", errorCode: "", hasTlsSucceeded: true };
    }
    // A diagnosis without a known cause must not replace the runtime's own
    // error.
    return response && classifyDialError(response) && response;
  } catch {
    // A failed diagnosis is not reported.
    return undefined;
  }
}
