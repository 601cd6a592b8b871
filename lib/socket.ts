/**
 * The native WebSocket as events.
 *
 * @module
 */

import { messageOf } from "./host.ts";
import { tame } from "./output.ts";
import type { Header } from "./parse.ts";

/** How long a peer has to answer a close, in milliseconds. */
const FAREWELL_MS = 2_000;

/** What a socket has to say; the epoch is the caller's to add. */
export type SocketReport =
  | { readonly type: "open" }
  | { readonly type: "frame"; readonly text: string }
  | { readonly type: "binary"; readonly bytes: number }
  | {
    readonly type: "closed";
    readonly code: number;
    readonly reason: string;
    readonly status?: number;
    readonly reached: boolean;
    readonly oversize?: boolean;
  };

/** A connection, or one that is being made. */
export interface Socket {
  /** Sends a text frame; does nothing on a socket that is not open. */
  send(text: string): void;
  /** How much waits to be sent, in bytes. */
  readonly backlog: number;
  /** Starts to close with code 1000; resolves when the other side knows, or never will. */
  close(): Promise<void>;
}

/**
 * Dials a WebSocket and reports what happens to it, `closed` exactly once and
 * last. Never throws.
 */
export function dial(
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
  emit: (report: SocketReport) => void,
): Socket {
  const closed = Promise.withResolvers<void>();
  let isOver = false;
  const end = (report: SocketReport): void => {
    if (isOver) return;
    isOver = true;
    closed.resolve();
    emit(report);
  };
  let socket: WebSocket;
  try {
    const protocols = subprotocol === undefined ? [] : [subprotocol];
    // The options object is an extension that Deno, Node and Bun have in common.
    socket = new WebSocket(url, {
      protocols,
      headers: Object.fromEntries(headers),
    });
  } catch (error) {
    const reason = messageOf(error);
    queueMicrotask(() =>
      end({ type: "closed", code: 0, reason, reached: false })
    );
    return { send: () => {}, backlog: 0, close: () => closed.promise };
  }
  socket.binaryType = "arraybuffer";
  let failure = "";
  let wasOpen = false;
  socket.onopen = () => {
    wasOpen = true;
    emit({ type: "open" });
  };
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") emit({ type: "frame", text: data });
    else emit({ type: "binary", bytes: (data as ArrayBuffer).byteLength });
  };
  socket.onerror = (event) => {
    failure = textOf(event);
    // Node 22 says no more than this of a dial that failed.
    if (!wasOpen) end({ type: "closed", code: 0, ...explain(failure) });
  };
  socket.onclose = ({ code, reason }) =>
    end({
      type: "closed",
      code,
      ...(wasOpen ? describeClose(code, reason, failure) : explain(failure)),
    });
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    get backlog() {
      const isOpen = socket.readyState === WebSocket.OPEN;
      return isOpen ? socket.bufferedAmount : 0;
    },
    close: () => {
      if (socket.readyState === WebSocket.CONNECTING) closed.resolve();
      socket.close(1000);
      void farewell(socket, closed.promise);
      return closed.promise;
    },
  };
}

/** A peer that never answers the close would keep the connection open for ever: of the runtimes only Bun can end it. */
async function farewell(
  socket: WebSocket & { terminate?(): void },
  closed: Promise<void>,
): Promise<void> {
  if (socket.terminate === undefined) return;
  await atMost(FAREWELL_MS, closed);
  socket.terminate();
}

/** Waits for a promise, but not longer than so many milliseconds. */
export async function atMost(
  ms: number,
  promise: Promise<unknown>,
): Promise<void> {
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(() => patience.resolve(), ms);
  await Promise.race([promise, patience.promise]);
  clearTimeout(timer);
}

/** What a runtime tells in an error event, with the code of the system's error; Bun's text begins with the URL, which may hold a secret. */
function textOf(event: Event): string {
  const { message, error } = event as Partial<ErrorEvent>;
  const text = String(message ?? "")
    .replace(/^.*(?:failed to connect to WebSocket|' failed): /s, "");
  const code = String(error?.code ?? "");
  return /^E[A-Z]+$/.test(code) ? `${text}, ${code}` : text;
}

function describeClose(
  code: number,
  reason: string,
  failure: string,
): { reason: string; reached: boolean; oversize?: boolean } {
  const words = reason || failure;
  const why = words === "" ? "" : ` (${tame(words, 200)})`;
  return {
    reason: `the connection was closed with code ${code}${why}`,
    reached: true,
    // Deno's words; other runtimes do not tell.
    ...(failure === "Frame too large" && { oversize: true }),
  };
}

/** What a runtime's text about a failed dial tells: Deno and Bun say why, Node does not. */
function explain(
  failure: string,
): { reason: string; status?: number; reached: boolean } {
  const status = /status code: (\d{3})/.exec(failure)?.[1];
  if (status !== undefined) {
    return {
      reason: `it answered the WebSocket handshake with HTTP ${status}`,
      status: Number(status),
      reached: true,
    };
  }
  if (/dns error|ENOTFOUND|EAI_AGAIN/i.test(failure)) {
    return { reason: "its host name is not known", reached: false };
  }
  if (/connect error|refused|Failed to connect/i.test(failure)) {
    return {
      reason: "nothing listens there, or the host cannot be reached",
      reached: false,
    };
  }
  const reason = failure === ""
    ? "nothing listens there, or the WebSocket handshake failed"
    : `the WebSocket handshake failed (${failure})`;
  return { reason, reached: true };
}
