/**
 * What a session is doing, as people who ask want to know it.
 *
 * @module
 */

import { tame } from "../text/sanitize.ts";
import type { Keeps } from "../link/capacity.ts";
import type { FailureCause } from "../link/link.ts";
import type { Desk } from "./context.ts";
import { dig, type Request } from "../protocol/jsonrpc.ts";
import { META } from "../protocol/mcp_types.ts";

/** Where the connection to the daemon is; moments are by the session's clock. */
export type Standing =
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
  readonly standing: Standing;
  /** How often the daemon became usable again. */
  readonly reconnects: number;
  /** How many answers are owed to the client. */
  readonly owed: number;
  /** Why the last dial or connection ended, for people. */
  readonly lastError: string | undefined;
  /** The same for programs, where it is one of the causes that are told apart. */
  readonly lastErrorCause?: FailureCause | undefined;
  /** How many connections the daemon keeps for a client, as far as it is known. */
  readonly connections: Keeps | "unknown";
  /** Whether the daemon answers a probe while it is at a call; `undefined` as long as no call has shown it. */
  readonly answersDuringCalls: boolean | undefined;
}

/** A name in a list for people needs no more, in UTF-16 units. */
const NAME_LIMIT = 60;

/** Looks at the books of a session. */
export function snapshot(desk: Desk): Snapshot {
  const { client, connections, ledger, links } = desk;
  return {
    client,
    standing: standing(desk),
    reconnects: Math.max(0, connections - 1),
    owed: ledger.owed,
    lastError: links.main.lastFailure,
    lastErrorCause: links.main.lastCause,
    connections: desk.keeps,
    answersDuringCalls: desk.answersDuringCalls,
  };
}

function standing(desk: Desk): Standing {
  const { main } = desk.links;
  const { attempt, phase, readySince, isUsable } = main;
  switch (phase) {
    case "ready":
      return { phase: isUsable ? "ready" : "checking", since: readySince! };
    case "waiting": {
      const nextAt = main.deadline(desk.traffic(main));
      return nextAt === Infinity
        ? { phase: "displaced" }
        : { phase, attempt, nextAt };
    }
    case "greeting":
      return main.isUngreeted ? { phase: "open" } : { phase, attempt };
    case "dialing":
      return { phase, attempt };
  }
}

/** What a client calls itself in `initialize`, or in every request of the stateless era (MCP 2026-07-28, `_meta`). */
export function clientOf({ params }: Request): string | undefined {
  const info = dig(params, "clientInfo") ??
    dig(params, "_meta", META.clientInfo);
  const [name, version] = [dig(info, "name"), dig(info, "version")];
  if (typeof name !== "string") return undefined;
  const words = typeof version === "string" ? `${name} ${version}` : name;
  return tame(words, NAME_LIMIT);
}
