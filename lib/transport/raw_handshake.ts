/**
 * A WebSocket handshake written as plain HTTP: it shows what the runtime hides.
 *
 * @module
 */

import { waitAtMost } from "../runtime/timeout.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { classifyDialError, type DialFailure } from "./failure_reasons.ts";
import {
  type Host,
  type SocketErrorInfo,
  type TlsRequest,
} from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { hostnameOf, portOf } from "../runtime/url.ts";

/** The outcome of a handshake. */
export type HandshakeOutcome =
  /** The connection or TLS failed. */
  | {
    readonly kind: "failed";
    readonly reason: string;
    /** What to do, if the TLS handshake has shown it. */
    readonly advice?: string;
  }
  /** The response is not HTTP. */
  | { readonly kind: "not-http" }
  | {
    readonly kind: "response";
    readonly status: number;
    /** The names are in lower case. */
    readonly headers: ReadonlyMap<string, string>;
  };

/** The longest response that is read, in bytes. */
const MAX_RESPONSE_BYTES = 64 * 1024;

/**
 * Resolves a host name with the system's resolver; returns an empty list if it
 * is unknown.
 */
export async function resolveHostname(hostname: string): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  try {
    return (await lookup(hostname, { all: true })).map(({ address }) =>
      address
    );
  } catch (error) {
    // An error without a code is not from the resolver, but a bug.
    if ((error as { code?: unknown }).code === undefined) throw error;
    return [];
  }
}

/**
 * Connects to a host and port. Returns the time that it took, in milliseconds,
 * or why it did not connect within `timeoutMs`.
 */
export async function tryConnect(
  hostname: string,
  port: number,
  timeoutMs: number,
): Promise<number | string> {
  const net = await import("node:net");
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const socket = net.connect({ host: hostname, port });
  socket.on("connect", () => resolve(performance.now() - startedAt));
  socket.on("error", (error) => resolve(errorMessageOf(error)));
  const outcome = await waitAtMost(timeoutMs, promise);
  socket.destroy();
  return outcome ?? `no answer within ${timeoutMs / 1000} s`;
}

/**
 * Sends a WebSocket handshake (RFC 6455 section 4.1) and reads the head of the
 * response. Never throws.
 */
export async function tryHandshake(
  url: URL,
  subprotocol: string | undefined,
  headers: readonly Header[],
  timeoutMs: number,
  host: Pick<Host, "requestOverTls">,
): Promise<HandshakeOutcome> {
  const address = { hostname: hostnameOf(url), port: portOf(url) };
  const request = buildHandshakeRequest(url, subprotocol, headers);
  if (url.protocol === "wss:") {
    return await tryTlsHandshake(address, request, timeoutMs, host);
  }
  const { promise, resolve } = Promise.withResolvers<HandshakeOutcome>();
  const socket = (await import("node:net")).connect({
    host: address.hostname,
    port: address.port,
  });
  let text = "";
  socket.on("connect", () => {
    socket.write(request);
  });
  socket.on("data", (chunk: Uint8Array) => {
    text += new TextDecoder("latin1").decode(chunk);
    if (text.includes("\r\n\r\n") || text.length > MAX_RESPONSE_BYTES) {
      resolve(parseHandshakeResponse(text));
    }
  });
  socket.on("end", () => resolve(parseHandshakeResponse(text)));
  socket.on(
    "error",
    (error: Error) =>
      resolve({
        kind: "failed",
        reason: errorMessageOf(error) || "it closed the connection",
      }),
  );
  const outcome = await waitAtMost(timeoutMs, promise);
  socket.destroy();
  return outcome ?? noAnswerWithin(timeoutMs);
}

/**
 * The same over TLS. The request is not sent to a server with an invalid
 * certificate.
 */
async function tryTlsHandshake(
  address: { readonly hostname: string; readonly port: number },
  payload: string,
  timeoutMs: number,
  host: Pick<Host, "requestOverTls">,
): Promise<HandshakeOutcome> {
  const outcome = await requestOverTlsWithin(
    { ...address, payload },
    timeoutMs,
    host,
  );
  if (outcome === undefined) return noAnswerWithin(timeoutMs);
  if (typeof outcome === "string") return parseHandshakeResponse(outcome);
  const { summary, advice }: Pick<DialFailure, "summary" | "advice"> =
    classifyDialError(outcome) ?? { summary: outcome.message || "TLS failed" };
  return {
    kind: "failed",
    reason: summary,
    ...(advice !== undefined && { advice }),
  };
}

function noAnswerWithin(timeoutMs: number): HandshakeOutcome {
  return { kind: "failed", reason: `no answer within ${timeoutMs / 1000} s` };
}

/**
 * Sends a request over TLS; `undefined` if it takes longer than `timeoutMs`.
 */
export async function requestOverTlsWithin(
  request: Omit<TlsRequest, "maxBytes" | "signal">,
  timeoutMs: number,
  host: Pick<Host, "requestOverTls">,
): Promise<string | SocketErrorInfo | undefined> {
  const controller = new AbortController();
  const pending = host.requestOverTls({
    ...request,
    maxBytes: MAX_RESPONSE_BYTES,
    signal: controller.signal,
  });
  const response = await waitAtMost(timeoutMs, pending);
  if (response === undefined) controller.abort();
  return response;
}

/** Returns the WebSocket handshake request (RFC 6455 section 4.1). */
export function buildHandshakeRequest(
  { host, pathname, search }: URL,
  subprotocol: string | undefined,
  headers: readonly Header[],
): string {
  const key = btoa(String.fromCharCode(
    ...crypto.getRandomValues(new Uint8Array(16)),
  ));
  return [
    `GET ${pathname}${search} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
    ...(subprotocol === undefined
      ? []
      : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
    ...headers.map(([name, value]) => `${name}: ${value}`),
    "\r\n",
  ].join("\r\n");
}

/** Parses the head of a response. */
export function parseHandshakeResponse(text: string): HandshakeOutcome {
  const [statusLine = "", ...lines] = text.split("\r\n\r\n")[0]!.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1];
  if (status === undefined) {
    return text === ""
      ? { kind: "failed", reason: "it closed the connection without a word" }
      : { kind: "not-http" };
  }
  const headers = new Map(lines.map((line) => {
    const [name, ...value] = line.split(":");
    return [name!.toLowerCase(), value.join(":").trim()];
  }));
  return { kind: "response", status: Number(status), headers };
}
