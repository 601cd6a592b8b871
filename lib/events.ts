/**
 * What can happen to the session, and what it can do about it.
 *
 * @module
 */

import type {
  ContentLengthEvent,
  InputLine,
} from "./protocol/content_length.ts";
import type { CachedResults } from "./cache/cache.ts";
import type { Failure } from "./link/link.ts";

/** Something happened. */
export type SessionEvent =
  /** A line came on stdin. */
  | InputLine
  /** The client frames its messages with `Content-Length` headers. */
  | ContentLengthEvent
  /** stdin ended, or a signal asked us to end. */
  | { readonly type: "end"; readonly cause: "stdin" | "signal" }
  /** More waits for the client to read than may wait; or all of it is read. */
  | { readonly type: "stdout-full" | "stdout-drained" }
  /** stdout is broken: nobody can be answered any more. */
  | { readonly type: "stdout-broken" }
  /** A WebSocket opened. */
  | { readonly type: "open"; readonly connectionId: number }
  /** A text frame came, or a binary one of UTF-8. */
  | {
    readonly type: "frame";
    readonly connectionId: number;
    readonly text: string;
  }
  /** A binary frame came that is no text. */
  | {
    readonly type: "binary";
    readonly connectionId: number;
    readonly bytes: number;
  }
  /** More waits for the daemon to read than may wait; or most of it is read. */
  | {
    readonly type: "backlog";
    readonly connectionId: number;
    readonly state: "full" | "drained";
  }
  /** A WebSocket closed, or could not be opened. */
  | {
    readonly type: "closed";
    readonly connectionId: number;
    /** The close code (RFC 6455 section 7.4), 0 or 1006 where there was none. */
    readonly code: number;
    readonly reason: string;
    /** The HTTP status of a handshake that failed, where the runtime tells. */
    readonly status?: number;
    /** Whether the host was reached, as far as the runtime tells. */
    readonly reached: boolean;
    /** A message was larger than the runtime takes. */
    readonly oversize?: boolean;
    /** Nothing listens at the address, as far as the runtime tells. */
    readonly isNobodyThere?: boolean;
    /** The daemon's own words in its close frame, if it gave any. */
    readonly said?: string;
    /** How long ago it was, in milliseconds, where the reason had to be found. */
    readonly agoMs?: number;
  }
  /**
   * The program, or the machine, slept: `gap` is how much of that our clock
   * counted, `unseen` how much it did not. Milliseconds.
   */
  | {
    readonly type: "resumed";
    readonly monotonicGapMs: number;
    readonly suspendedMs: number;
  }
  /** The deadline has come. */
  | { readonly type: "tick" };

/** How much a log line matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Something to do. */
export type Effect =
  | {
    readonly type: "dial";
    readonly connectionId: number;
    readonly subprotocol: string | undefined;
  }
  | {
    readonly type: "send-to-daemon";
    readonly connectionId: number;
    readonly text: string;
  }
  /** Leave the connection, with close code 1000 if it is open. */
  | { readonly type: "close"; readonly connectionId: number }
  /** A line for stdout. */
  | { readonly type: "send-to-client"; readonly text: string }
  | LogEffect
  /** Keep what is remembered of the daemon. */
  | { readonly type: "save-cache"; readonly results: CachedResults }
  /** Say in the log what the daemon's health file tells; the daemon was lost so many milliseconds ago, if it was there. */
  | {
    readonly type: "log-health-file";
    readonly path: string;
    readonly disconnectedForMs: number | undefined;
  }
  | { readonly type: "exit"; readonly code: number };

/** A line for the log. */
export interface LogEffect {
  /** What kind of effect it is. */
  readonly type: "log";
  /** How much it matters. */
  readonly level: LogLevel;
  /** For programs: what happened, in kebab case. */
  readonly event: string;
  /** For people: no part of the program reads it. */
  readonly message: string;
  /** What has ended, where the line says that the connection for requests is lost or a dial of it has failed, and not that another client has it. */
  readonly failure?: Failure;
}

/** Something happened on a socket. */
export type SocketEvent = Extract<SessionEvent, { connectionId: number }>;
