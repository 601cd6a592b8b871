/**
 * The plain request for a WebSocket, byte by byte: it shows what a runtime
 * hides.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { type DialFault, dialFaultOf } from "./close_reason.ts";
import { type Host, type TlsRequest, type Trouble } from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { hostOf, portOf } from "../runtime/address.ts";

/** What became of it. */
export type Upgrade =
  /** Nobody is there, or TLS failed. */
  | {
    readonly kind: "failed";
    readonly why: string;
    /** What to do, where the TLS handshake has shown it. */
    readonly advice?: string;
  }
  /** It does not speak HTTP. */
  | { readonly kind: "garbage" }
  | {
    readonly kind: "answered";
    readonly status: number;
    /** Names in lower case. */
    readonly headers: ReadonlyMap<string, string>;
  };

/** The longest answer that is read, in bytes. */
const LIMIT = 64 * 1024;

/** The addresses of a host, by the system's own way; none if it is not known. */
export async function resolve(host: string): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (error) {
    // What has no code is no answer of the system's, but a bug.
    if ((error as { code?: unknown }).code === undefined) throw error;
    return [];
  }
}

/** Connects to a host and port; gives the milliseconds that it took, or why it cannot within `limitMs`. */
export async function connect(
  host: string,
  port: number,
  limitMs: number,
): Promise<number | string> {
  const net = await import("node:net");
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const socket = net.connect({ host, port });
  const timer = setTimeout(
    () => resolve(`no answer within ${limitMs / 1000} s`),
    limitMs,
  );
  socket.on("connect", () => resolve(performance.now() - startedAt));
  socket.on("error", (error) => resolve(messageOf(error)));
  const outcome = await promise;
  clearTimeout(timer);
  socket.destroy();
  return outcome;
}

/** Asks for a WebSocket (RFC 6455 section 4.1) and reads the head of the answer. Never throws. */
export async function upgrade(
  url: URL,
  subprotocol: string | undefined,
  headers: readonly Header[],
  limitMs: number,
  host: Pick<Host, "askOverTls">,
): Promise<Upgrade> {
  const place = { host: hostOf(url), port: portOf(url) };
  const request = requestText(url, subprotocol, headers);
  if (url.protocol === "wss:") {
    return await secureUpgrade(place, request, limitMs, host);
  }
  const { promise, resolve } = Promise.withResolvers<Upgrade>();
  const socket = (await import("node:net")).connect(place);
  const timer = setTimeout(() => {
    const why = `no answer within ${limitMs / 1000} s`;
    resolve({ kind: "failed", why });
  }, limitMs);
  let text = "";
  socket.on("connect", () => {
    socket.write(request);
  });
  socket.on("data", (chunk: Uint8Array) => {
    text += new TextDecoder("latin1").decode(chunk);
    if (text.includes("\r\n\r\n") || text.length > LIMIT) {
      resolve(readAnswer(text));
    }
  });
  socket.on("end", () => resolve(readAnswer(text)));
  socket.on(
    "error",
    (error: Error) =>
      resolve({
        kind: "failed",
        why: messageOf(error) || "it closed the connection",
      }),
  );
  const outcome = await promise;
  clearTimeout(timer);
  socket.destroy();
  return outcome;
}

/** The same over TLS. What was asked for is not sent to a server whose certificate is bad. */
async function secureUpgrade(
  place: { readonly host: string; readonly port: number },
  text: string,
  limitMs: number,
  host: Pick<Host, "askOverTls">,
): Promise<Upgrade> {
  const found = await askWithin({ ...place, text }, limitMs, host);
  if (found === undefined) {
    return { kind: "failed", why: `no answer within ${limitMs / 1000} s` };
  }
  if (typeof found === "string") return readAnswer(found);
  const { what, advice }: Pick<DialFault, "what" | "advice"> =
    dialFaultOf(found) ?? { what: found.text || "TLS failed" };
  return { kind: "failed", why: what, ...(advice !== undefined && { advice }) };
}

/** Asks something over TLS; `undefined` if it takes more than so many milliseconds. */
export async function askWithin(
  request: Omit<TlsRequest, "limit" | "signal">,
  limitMs: number,
  host: Pick<Host, "askOverTls">,
): Promise<string | Trouble | undefined> {
  const ending = new AbortController();
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => {
    late.resolve(undefined);
    ending.abort();
  }, limitMs);
  const { signal } = ending;
  try {
    const answer = host.askOverTls({ ...request, limit: LIMIT, signal });
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The request for a WebSocket (RFC 6455 section 4.1). */
export function requestText(
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

/** What an answer's head says. */
export function readAnswer(text: string): Upgrade {
  const [first = "", ...lines] = text.split("\r\n\r\n")[0]!.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1];
  if (status === undefined) {
    return text === ""
      ? { kind: "failed", why: "it closed the connection without a word" }
      : { kind: "garbage" };
  }
  const headers = new Map(lines.map((line) => {
    const [name, ...value] = line.split(":");
    return [name!.toLowerCase(), value.join(":").trim()];
  }));
  return { kind: "answered", status: Number(status), headers };
}
