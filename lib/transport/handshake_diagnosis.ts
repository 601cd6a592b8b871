/**
 * Finds out why a dial failed, by a second handshake with `fetch`. This shows
 * the TLS error or the server's response, which a WebSocket may hide.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Host, SocketErrorInfo } from "../runtime/host.ts";
import { classifyDialError, infoOfFetchError } from "./failure_reasons.ts";

/** How long a diagnosis is reused, because dials can follow each other fast. */
const DIAGNOSIS_TTL_MS = 5_000;
const DIAGNOSIS_TIMEOUT_MS = 10_000;

/** Finds out why a dial failed; `undefined` if unknown. Never rejects. */
export type Diagnoser = (
  subprotocol: string | undefined,
) => Promise<SocketErrorInfo | undefined>;

/** Creates a diagnoser that reuses its last diagnosis for some seconds. */
export function createDiagnoser(config: Config, host: Host): Diagnoser {
  let diagnosedAt = -Infinity;
  let lastDiagnosis: ReturnType<Diagnoser> = Promise.resolve(undefined);
  return (subprotocol) => {
    const now = performance.now();
    if (now - diagnosedAt < DIAGNOSIS_TTL_MS) return lastDiagnosis;
    diagnosedAt = now;
    return lastDiagnosis = diagnoseDial(config, host, subprotocol);
  };
}

async function diagnoseDial(
  config: Config,
  host: Host,
  subprotocol: string | undefined,
): Promise<SocketErrorInfo | undefined> {
  try {
    const timeoutMs = DIAGNOSIS_TIMEOUT_MS;
    const handshake = fetchHandshake(config, host, subprotocol, timeoutMs);
    const { response: { status }, isUpgradeRefused } = await handshake;
    const nothing = { message: "", errorCode: "" };
    if (isUpgradeRefused) return { ...nothing, status };
    const isTls = config.url.startsWith("wss:");
    return isTls ? { ...nothing, hasTlsSucceeded: true } : undefined;
  } catch (error) {
    const found = infoOfFetchError(error);
    // An error without a known cause must not replace the WebSocket's error.
    return classifyDialError(found) && found;
  }
}

/**
 * Requests a WebSocket handshake with `fetch` (RFC 6455 section 4.1). For
 * `wss://`, the server needs a valid certificate. If the runtime's `fetch`
 * cannot request a handshake, this function sends a plain request, and
 * `isUpgradeRefused` is false. Rejects with the error of `fetch`.
 */
export async function fetchHandshake(
  { url, headers }: Config,
  host: Host,
  subprotocol: string | undefined,
  timeoutMs: number,
): Promise<{ response: Response; isUpgradeRefused: boolean }> {
  const options = await host.handshakeFetchOptions();
  const key = crypto.getRandomValues(new Uint8Array(16));
  const upgradeHeaders = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": btoa(String.fromCharCode(...key)),
    ...(subprotocol !== undefined && { "Sec-WebSocket-Protocol": subprotocol }),
  };
  const response = await fetch(url.replace(/^ws/, "http"), {
    redirect: "manual",
    headers: { ...Object.fromEntries(headers), ...(options && upgradeHeaders) },
    signal: AbortSignal.timeout(timeoutMs),
    ...options,
  });
  // The body may never end.
  void response.body?.cancel().catch(() => {});
  const isUpgradeRefused = options !== undefined && response.status !== 101;
  return { response, isUpgradeRefused };
}
