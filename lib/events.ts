/**
 * Defines the events that a session handles, and the effects that it returns.
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
  /** The client sent a `Content-Length` header, or a body framed with one. */
  | ContentLengthEvent
  /** stdin ended, or a signal asked the program to stop. */
  | { readonly type: "end"; readonly cause: "stdin" | "signal" }
  /**
   * `stdout-full`: the output that the client has not read exceeds the limit.
   * `stdout-drained`: after that, it is less than an eighth of the limit.
   */
  | { readonly type: "stdout-full" | "stdout-drained" }
  /** A write to stdout failed: no message can reach the client any more. */
  | { readonly type: "stdout-broken" }
  /** A WebSocket opened. */
  | {
    readonly type: "open";
    readonly connectionId: number;
    /** The subprotocol that the server has chosen; empty for none. */
    readonly subprotocol?: string;
  }
  /** A text frame arrived, or a binary frame that contains UTF-8 text. */
  | {
    readonly type: "frame";
    readonly connectionId: number;
    readonly text: string;
  }
  /** A binary frame arrived that does not contain UTF-8 text. */
  | {
    readonly type: "binary";
    readonly connectionId: number;
    readonly bytes: number;
  }
  /**
   * `full`: the unsent output for the daemon exceeds the limit.
   * `drained`: after that, it is less than an eighth of the limit.
   */
  | {
    readonly type: "backlog";
    readonly connectionId: number;
    readonly state: "full" | "drained";
  }
  /** A WebSocket closed or did not open. It is the connection's last event. */
  | {
    readonly type: "closed";
    readonly connectionId: number;
    /** The close code (RFC 6455 section 7.4); 0 or 1006 for no close frame. */
    readonly code: number;
    /**
     * The reason, as text for people. It contains the text of the daemon's
     * close frame, but never an error text of the runtime.
     */
    readonly reason: string;
    /** The HTTP status of a failed handshake, if the runtime reports it. */
    readonly status?: number;
    /** False if the dial certainly did not reach a server. */
    readonly mayHaveReachedServer: boolean;
    /** True if a message was larger than the runtime accepts. */
    readonly isOversized?: boolean;
    /** True if nothing listens at the address, or the reason is unknown. */
    readonly mayHaveNoListener?: boolean;
    /** The reason in the daemon's close frame; undefined for none. */
    readonly closeFrameReason?: string;
    /**
     * Why a dial without an HTTP status failed, and advice for the user.
     * Undefined if the reason is unknown, or if the WebSocket was open.
     */
    readonly dialFailure?: {
      readonly summary: string;
      readonly advice?: string | undefined;
    };
    /**
     * How long ago the connection ended, in milliseconds. The search for the
     * reason of a failed dial delays this event.
     */
    readonly endedMsAgo?: number;
  }
  /**
   * The process or the machine slept. The monotonic clock ran for
   * `monotonicGapMs` milliseconds of that time, and stood still for
   * `suspendedMs`.
   */
  | {
    readonly type: "resumed";
    readonly monotonicGapMs: number;
    readonly suspendedMs: number;
  }
  /** The proxy's timer fired, so the session's deadline may have passed. */
  | { readonly type: "tick" };

/** The severity of a log line. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** An effect that the proxy must perform. */
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
  /** Close an open connection with close code 1000, or abort its dial. */
  | { readonly type: "close"; readonly connectionId: number }
  /** Write one message to stdout as a line. */
  | { readonly type: "send-to-client"; readonly text: string }
  | LogEffect
  /** Save the cached results of the daemon to the cache file. */
  | { readonly type: "save-cache"; readonly results: CachedResults }
  /**
   * Log the state of the daemon's health file. `disconnectedForMs` is the time
   * since the connection was lost; undefined if the daemon never connected.
   */
  | {
    readonly type: "log-health-file";
    readonly path: string;
    readonly disconnectedForMs: number | undefined;
  }
  | { readonly type: "exit"; readonly code: number };

/** A line for the log. */
export interface LogEffect {
  /** The type of this effect. */
  readonly type: "log";
  /** The severity. */
  readonly level: LogLevel;
  /** The name of the log event, in kebab case, for programs. */
  readonly event: string;
  /** The text for people. No part of the program parses it. */
  readonly message: string;
  /**
   * Why the main connection was lost, or why its dial failed. Undefined for
   * any other line, and if another client took over the connection.
   */
  readonly failure?: Failure;
}

/** An event of one connection. */
export type SocketEvent = Extract<SessionEvent, { connectionId: number }>;
