/**
 * A summary of a session for people, as the status file has it.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { FailureCause, Link, LinkUsage } from "../link/link.ts";
import { getMember, type Request } from "../protocol/jsonrpc.ts";
import { META_KEYS } from "../protocol/mcp_types.ts";

/** The state of the connection; moments are by the session's clock. */
export type ConnectionState =
  | { readonly phase: "ready"; readonly since: number }
  /** The connection slept or is silent, and is being checked. */
  | { readonly phase: "checking"; readonly since: number }
  /** The next dial is due at `nextAt`. */
  | {
    readonly phase: "waiting";
    readonly attempt: number;
    readonly nextAt: number;
  }
  | { readonly phase: "dialing" | "greeting"; readonly attempt: number }
  /** The connection is open, and nothing was sent: the client must begin. */
  | { readonly phase: "open" }
  /** Another client has the connection: the next request triggers a dial. */
  | { readonly phase: "displaced" };

/** A summary of a session. */
export interface Snapshot {
  /** The client's name for itself. */
  readonly client: string | undefined;
  /** The state of the connection. */
  readonly standing: ConnectionState;
  /** How often the daemon became usable again. */
  readonly reconnects: number;
  /** How many requests from the client are not answered. */
  readonly owed: number;
  /** Why the last dial or connection ended, for people. */
  readonly lastError: string | undefined;
  /** The reason for programs, if it is one of the known causes. */
  readonly lastErrorCause?: FailureCause | undefined;
  /** How many connections the daemon keeps for a client, if it is known. */
  readonly connections: ConnectionCapacity | "unknown";
  /** Whether it answers probes during calls; `undefined` until one shows it. */
  readonly answersDuringCalls: boolean | undefined;
}

/** The longest client name in a list for people, in UTF-16 units. */
const MAX_CLIENT_NAME_CHARS = 60;

/** Returns the state of the main link's connection. */
export function connectionStateOf(
  main: Link,
  usage: LinkUsage,
): ConnectionState {
  const { attempt, phase, readySince, isUsable } = main;
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
        : { phase: "greeting", attempt };
    case "dialing":
      return { phase, attempt };
  }
}

/** From `initialize`, or from `_meta` of any request (MCP 2026-07-28). */
export function clientNameOf({ params }: Request): string | undefined {
  const info = getMember(params, "clientInfo") ??
    getMember(params, "_meta", META_KEYS.clientInfo);
  const [name, version] = [getMember(info, "name"), getMember(info, "version")];
  if (typeof name !== "string") return undefined;
  const label = typeof version === "string" ? `${name} ${version}` : name;
  return sanitizeLine(label, MAX_CLIENT_NAME_CHARS);
}
