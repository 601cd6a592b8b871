/**
 * Defines the events that a session handles, and the effects that it returns.
 *
 * @module
 */

import type {
  ContentLengthEvent,
  InputLine,
} from "./protocol/content_length.ts";
import type { ErrorReason, Id } from "./protocol/jsonrpc.ts";
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
    /** The client's request in this frame; undefined for any other frame. */
    readonly requestId: Id | undefined;
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
  /** The name of the log event, for programs. */
  readonly event: LogEventName;
  /** The text for people. No part of the program parses it. */
  readonly message: string;
  /** What the line reports, for programs; undefined for most lines. */
  readonly fact?: LogFact;
  /** How many further events of this name the line stands for. */
  readonly more?: number;
}

/**
 * The names of all log events, in kebab case. `lib/telemetry/log_events.ts`
 * describes them.
 */
export type LogEventName =
  // The connection to the daemon.
  | "opened"
  | "connected"
  | "reconnected"
  | "lost"
  | "displaced"
  | "attempt-failed"
  | "circuit"
  | "resumed"
  | "suspected"
  | "standby-failed"
  | "busy"
  | "capacity-determined"
  | "keeps-one"
  | "pool-connected"
  | "pool-lost"
  | "pool-attempt-failed"
  | "retired"
  | "unread"
  | "health-file"
  | "gave-up"
  // Requests and other messages.
  | "message"
  | "request-failed"
  | "request-repeated"
  | "duplicate-id"
  | "dropped-notification"
  | "overlong-line"
  | "framed-input"
  | "invalid-from-client"
  | "invalid-from-daemon"
  | "stray-from-client"
  | "stray-from-daemon"
  | "unnamed-error"
  | "unnamed-result"
  | "binary-frame"
  // The client's session.
  | "initialized-locally"
  | "list-changed"
  | "not-restored"
  | "withheld"
  // The program itself.
  | "bad-setting"
  | "cache"
  | "status-file"
  | "log-file"
  | "metrics"
  | "broken-stdout"
  | "bug";

/** The state of the circuit breaker (`lib/session/circuit_breaker.ts`). */
export type CircuitState = "closed" | "open" | "half-open";

/** Why a connection was lost, as one of a few words. */
export type LossCause =
  | "closed" // the daemon sent a close frame
  | "aborted" // the connection ended without a close frame
  | "timeout" // the daemon did not answer in time
  | "refused" // the daemon refuses the proxy
  | "displaced" // another client took the connection
  | "too-large" // a message was too large
  | "second-connection" // the proxy's own second connection ended the first
  | "stdout-full" // the client does not read
  | "unreachable"; // the daemon was not reached since the start

/** A request that the proxy answered with an error of its own. */
export interface FailedRequest {
  /** The method. */
  readonly method: string;
  /** The name of the tool or of the prompt, if any. */
  readonly name?: string | undefined;
  /** The code of the error. */
  readonly code: number;
  /** The reason in the error's `data`. */
  readonly reason: ErrorReason;
}

/** From where to where a message goes. */
export type Direction =
  | "from-client"
  | "to-client"
  | "from-daemon"
  | "to-daemon";

/** A message that was received or sent, without its body. */
export interface MessageFact {
  /** The type of this fact. */
  readonly type: "message";
  /** From where to where it goes. */
  readonly direction: Direction;
  /** `request`, `response`, `notification` or another word. */
  readonly kind: string;
  /** The method, also that of the request of a response. */
  readonly method?: string;
  /** The id, as JSON text. */
  readonly id?: string;
  /** The code of the error in it. */
  readonly error?: number;
  /** The size in bytes; that of the whole frame if it has several messages. */
  readonly bytes: number;
  /** The connection to the daemon that carries it. */
  readonly connectionId: number | undefined;
  /** How long ago the request of this response was received or sent. */
  readonly ms?: number;
}

/** What a log line reports; durations are in milliseconds. */
export type LogFact =
  /** The daemon is connected, after `attempts` attempts. */
  | {
    readonly type: "connected";
    readonly attempts: number;
    /** How long the main link was down. */
    readonly downMs: number;
  }
  /** The main connection was lost. */
  | {
    readonly type: "lost";
    readonly cause: LossCause;
    /** The cause for the code that handles it, as in {@linkcode Failure}. */
    readonly failure: Failure;
    /** How many requests ended with an error because of it. */
    readonly failedRequests: number;
    /** How long the connection was ready. */
    readonly readyMs: number;
    /** How long before this line the connection was found to be silent. */
    readonly silentMs: number;
  }
  /** A dial of the main link failed. */
  | {
    readonly type: "attempt-failed";
    readonly attempt: number;
    readonly failure: Failure;
    /** How long the main link has been down. */
    readonly downMs: number;
  }
  /** A request ended with an error of the proxy. */
  | {
    readonly type: "request-failed";
    readonly request: FailedRequest;
    /** True if it was on its way when the connection was lost. */
    readonly wasInFlight: boolean;
  }
  /** A request was sent again, on another connection. */
  | {
    readonly type: "request-repeated";
    readonly method: string;
    readonly name: string | undefined;
  }
  | MessageFact
  /** The circuit breaker changed its state. */
  | { readonly type: "circuit"; readonly state: CircuitState }
  /** The program slept, and the clock counted `monotonicGapMs` of it. */
  | { readonly type: "resumed"; readonly monotonicGapMs: number };

/** An event of one connection. */
export type SocketEvent = Extract<SessionEvent, { connectionId: number }>;
