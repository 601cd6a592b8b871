/**
 * Summarizes a session, for the status file and `doctor`.
 *
 * @module
 */

import type { CircuitState } from "../events.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { FailureCause, Link, LinkUsage } from "../link/link.ts";
import { getMember, type Request } from "../protocol/jsonrpc.ts";
import { META_KEYS } from "../protocol/mcp_types.ts";

/** The state of the main connection; times are in ms on the session's clock. */
export type ConnectionState =
  | { readonly phase: "ready"; readonly since: number }
  /** Checked after a sleep of the program, or because the link is silent. */
  | { readonly phase: "checking"; readonly since: number }
  /** The next dial is due at `nextAt`. */
  | {
    readonly phase: "waiting";
    readonly attempt: number;
    readonly nextAt: number;
  }
  | { readonly phase: "dialing" | "handshaking"; readonly attempt: number }
  /** The WebSocket is open, and waits for the client's first request. */
  | { readonly phase: "open" }
  /** Another client took over; only the next request causes a dial. */
  | { readonly phase: "displaced" };

/** A summary of a session at one moment. */
export interface Snapshot {
  /** The client's reported name and version; `undefined` before the report. */
  readonly client: string | undefined;
  /** The daemon's reported name and version; `undefined` if not known. */
  readonly daemon?: string | undefined;
  /** The state of the main connection. */
  readonly connectionState: ConnectionState;
  /** The state of the circuit breaker. */
  readonly circuit: CircuitState;
  /** How many times the daemon was connected again after an outage. */
  readonly reconnects: number;
  /** The number of the client's requests that have no response yet. */
  readonly pendingRequests: number;
  /** The number of messages that wait for the daemon. */
  readonly queuedMessages: number;
  /** The reason why the last dial or connection ended, for people. */
  readonly lastError: string | undefined;
  /** When that happened, in ms on the session's clock. */
  readonly lastErrorAt?: number | undefined;
  /** The same reason as a code for programs, if it is a known cause. */
  readonly lastErrorCause?: FailureCause | undefined;
  /** Whether the daemon keeps one or many connections open per client. */
  readonly connections: ConnectionCapacity | "unknown";
  /** True if the daemon answers probes during calls; `undefined` if unknown. */
  readonly answersDuringCalls: boolean | undefined;
}

/** The maximum length of a client's name and version, in UTF-16 units. */
const MAX_CLIENT_NAME_CHARS = 60;

/** Returns the state of the main link. */
export function connectionStateOf(
  main: Link,
  usage: LinkUsage,
): ConnectionState {
  const { attemptCount: attempt, phase, readySince, isUsable } = main;
  switch (phase) {
    case "ready":
      return { phase: isUsable ? "ready" : "checking", since: readySince! };
    case "waiting": {
      const nextAt = main.deadline(usage);
      return nextAt === Infinity
        ? { phase: "displaced" }
        : { phase, attempt, nextAt };
    }
    case "handshaking":
      return main.isHandshakeUnsent
        ? { phase: "open" }
        : { phase: "handshaking", attempt };
    case "dialing":
      return { phase, attempt };
  }
}

/**
 * Returns the client's name and version, from `initialize` or from `_meta` of
 * any request (MCP 2026-07-28); `undefined` if the request has no name.
 */
export function clientNameOf({ params }: Request): string | undefined {
  const info = getMember(params, "clientInfo") ??
    getMember(params, "_meta", META_KEYS.clientInfo);
  const [name, version] = [getMember(info, "name"), getMember(info, "version")];
  if (typeof name !== "string") return undefined;
  const label = typeof version === "string" ? `${name} ${version}` : name;
  return sanitizeLine(label, MAX_CLIENT_NAME_CHARS);
}
