/**
 * What a session is doing, as people who ask want to know it.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { FailureCause } from "../link/link.ts";
import type { SessionContext } from "./context.ts";
import { getNested, type Request } from "../protocol/jsonrpc.ts";
import { META } from "../protocol/mcp_types.ts";

/** Where the connection to the daemon is; moments are by the session's clock. */
export type ConnectionState =
  | { readonly phase: "ready"; readonly since: number }
  /** It has slept with us or is silent, and is being checked. */
  | { readonly phase: "checking"; readonly since: number }
  /** The next dial is due at `nextAt`. */
  | {
    readonly phase: "waiting";
    readonly attempt: number;
    readonly nextAt: number;
  }
  | { readonly phase: "dialing" | "greeting"; readonly attempt: number }
  /** It is open, and nothing was said: the client is to begin. */
  | { readonly phase: "open" }
  /** Another client has the connection: the next request has it dialed. */
  | { readonly phase: "displaced" };

/** What a session is doing. */
export interface Snapshot {
  /** What the client calls itself. */
  readonly client: string | undefined;
  /** Where the connection is. */
  readonly standing: ConnectionState;
  /** How often the daemon became usable again. */
  readonly reconnects: number;
  /** How many answers are owed to the client. */
  readonly owed: number;
  /** Why the last dial or connection ended, for people. */
  readonly lastError: string | undefined;
  /** The same for programs, where it is one of the causes that are told apart. */
  readonly lastErrorCause?: FailureCause | undefined;
  /** How many connections the daemon keeps for a client, as far as it is known. */
  readonly connections: ConnectionCapacity | "unknown";
  /** Whether the daemon answers a probe while it is at a call; `undefined` as long as no call has shown it. */
  readonly answersDuringCalls: boolean | undefined;
}

/** A name in a list for people needs no more, in UTF-16 units. */
const MAX_CLIENT_NAME_CHARS = 60;

/** Looks at the books of a session. */
export function takeSnapshot(context: SessionContext): Snapshot {
  const { clientName, timesConnected, tracker, links } = context;
  return {
    client: clientName,
    standing: connectionStateOf(context),
    reconnects: Math.max(0, timesConnected - 1),
    owed: tracker.pendingRequestCount,
    lastError: links.main.lastFailure,
    lastErrorCause: links.main.lastCause,
    connections: context.connectionCapacity,
    answersDuringCalls: context.answersDuringCalls,
  };
}

function connectionStateOf(context: SessionContext): ConnectionState {
  const { main } = context.links;
  const { attempt, phase, readySince, isUsable } = main;
  switch (phase) {
    case "ready":
      return { phase: isUsable ? "ready" : "checking", since: readySince! };
    case "waiting": {
      const nextAt = main.deadline(context.usageOf(main));
      return nextAt === Infinity
        ? { phase: "displaced" }
        : { phase, attempt, nextAt };
    }
    case "handshaking":
      return main.isHandshakeUnsent
        ? { phase: "open" }
        : { phase: "greeting", attempt };
    case "dialing":
      return { phase, attempt };
  }
}

/** What a client calls itself in `initialize`, or in every request of the stateless era (MCP 2026-07-28, `_meta`). */
export function clientNameOf({ params }: Request): string | undefined {
  const info = getNested(params, "clientInfo") ??
    getNested(params, "_meta", META.clientInfo);
  const [name, version] = [getNested(info, "name"), getNested(info, "version")];
  if (typeof name !== "string") return undefined;
  const label = typeof version === "string" ? `${name} ${version}` : name;
  return sanitizeLine(label, MAX_CLIENT_NAME_CHARS);
}
