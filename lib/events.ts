/**
 * The events that a session handles and the effects that it returns.
 *
 * @module
 */

import type {
  ContentLengthEvent,
  InputLine,
} from "./protocol/content_length.ts";
import type { CachedResults } from "./cache/cache.ts";
import type { Failure } from "./link/link.ts";

/** An event for the session. */
export type SessionEvent =
  /** A line arrived on stdin. */
  | InputLine
  /** The client frames its messages with `Content-Length` headers. */
  | ContentLengthEvent
  /** stdin ended, or a signal asked the program to end. */
  | { readonly type: "end"; readonly cause: "stdin" | "signal" }
  /**
   * The output that the client has not read is too large; or all of it is read.
   */
  | { readonly type: "stdout-full" | "stdout-drained" }
  /** stdout is broken: no message can reach the client any more. */
  | { readonly type: "stdout-broken" }
  /** A WebSocket opened. */
  | {
    readonly type: "open";
    readonly connectionId: number;
    /** The subprotocol that the server has chosen; empty if none. */
    readonly subprotocol?: string;
  }
  /** A text frame arrived, or a binary one that is UTF-8. */
  | {
    readonly type: "frame";
    readonly connectionId: number;
    readonly text: string;
  }
  /** A binary frame arrived that is not UTF-8. */
  | {
    readonly type: "binary";
    readonly connectionId: number;
    readonly bytes: number;
  }
  /**
   * The output that the daemon has not read is too large; or most of it is
   * read.
   */
  | {
    readonly type: "backlog";
    readonly connectionId: number;
    readonly state: "full" | "drained";
  }
  /** A WebSocket closed, or could not be opened. */
  | {
    readonly type: "closed";
    readonly connectionId: number;
    /** The close code (RFC 6455 section 7.4); 0 or 1006 if there was none. */
    readonly code: number;
    /**
     * The reason in plain words, with the daemon's own; never a runtime's text.
     */
    readonly reason: string;
    /** The HTTP status of a failed handshake, if the runtime reports it. */
    readonly status?: number;
    /** Whether the server was reached, as far as the runtime reports it. */
    readonly isServerReached: boolean;
    /** A message was larger than the runtime accepts. */
    readonly isOversized?: boolean;
    /** Nothing listens at the address, as far as the runtime reports it. */
    readonly isPortClosed?: boolean;
    /** The reason in the daemon's close frame, if there was one. */
    readonly closeFrameReason?: string;
    /**
     * What is wrong with a failed dial without an HTTP status, and what to do
     * about it, if that is known.
     */
    readonly dialFailure?: {
      readonly summary: string;
      readonly advice?: string | undefined;
    };
    /**
     * How long ago the connection ended, in milliseconds, if finding the reason
     * took time.
     */
    readonly agoMs?: number;
  }
  /**
   * The process or the machine slept: the monotonic clock counted
   * `monotonicGapMs` of that time, and did not count `suspendedMs`.
   * Milliseconds.
   */
  | {
    readonly type: "resumed";
    readonly monotonicGapMs: number;
    readonly suspendedMs: number;
  }
  /** The session's deadline is reached. */
  | { readonly type: "tick" };

/** The severity of a log line. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** An effect that the proxy must carry out. */
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
  /** Close the connection, with close code 1000 if it is open. */
  | { readonly type: "close"; readonly connectionId: number }
  /** A line for stdout. */
  | { readonly type: "send-to-client"; readonly text: string }
  | LogEffect
  /** Save the cached results of the daemon. */
  | { readonly type: "save-cache"; readonly results: CachedResults }
  /**
   * Log the content of the daemon's health file. `disconnectedForMs` is how
   * long ago the connection was lost, if there was one.
   */
  | {
    readonly type: "log-health-file";
    readonly path: string;
    readonly disconnectedForMs: number | undefined;
  }
  | { readonly type: "exit"; readonly code: number };

/** A line for the log. */
export interface LogEffect {
  /** Identifies this effect. */
  readonly type: "log";
  /** The severity. */
  readonly level: LogLevel;
  /** For programs: what happened, in kebab case. */
  readonly event: string;
  /** For people: no part of the program reads it. */
  readonly message: string;
  /**
   * What has ended, if the line reports that the main connection was lost or
   * its dial failed, and not that another client took over the connection.
   */
  readonly failure?: Failure;
}

/** An event on a socket. */
export type SocketEvent = Extract<SessionEvent, { connectionId: number }>;
