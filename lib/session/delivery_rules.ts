/**
 * Which requests may be sent a second time, and what is known of a request's
 * delivery.
 *
 * @module
 */

import type { Dialect } from "../dialects/dialect.ts";
import type { Request } from "../protocol/jsonrpc.ts";
import {
  isIdempotent,
  isLongLived,
  type RetryPolicy,
} from "../protocol/methods.ts";
import type { ToolHints } from "../requests/tool_hints.ts";
import type { PendingRequest, Recovery } from "../requests/request_state.ts";

/** A request, and its history unless it has just arrived. */
export type DeliveryHistory =
  & Pick<PendingRequest, "message">
  & Partial<PendingRequest>;

/** What is known of a request's delivery. */
export interface DeliveryState {
  /** The request. */
  readonly request: Request;
  /** Executing it twice has the same effect as executing it once. */
  readonly isIdempotent: boolean;
  /** It waits for the daemon's tool list to confirm that it is idempotent. */
  readonly isHintUnconfirmed: boolean;
  /** It was sent on the current or the last connection. */
  readonly isSent: boolean;
  /** Whether it was sent at some time, and may have been started. */
  readonly delivered: "no" | "unknown";
  /** How many connections were lost while it was in flight. */
  readonly connectionLosses: number;
}

/** The rules of the delivery contract for one session. */
export class DeliveryRules {
  /** Creates the rules for the `--retry` setting. */
  constructor(
    private readonly setting: RetryPolicy,
    private readonly toolHints: ToolHints,
    private readonly dialect: Dialect,
  ) {}

  /** Returns whether a request may be sent a second time. */
  mayRetry(request: Request): boolean {
    if (isLongLived(request.method)) return true;
    return this.setting === "safe"
      ? this.#isIdempotent(request)
      : this.setting === "always";
  }

  /** Whether a request may be retried only because of its tool's hint. */
  needsToolHint({ method }: Request): boolean {
    return this.setting === "safe" && method === "tools/call";
  }

  /** What to do with a request in flight when its connection is lost. */
  recoveryFor(request: Request, now: number): Recovery {
    const limitMs = this.dialect.outcomes?.windowMs(request, now);
    if (limitMs !== undefined) return { kind: "poll-outcome", limitMs };
    if (!this.mayRetry(request)) return "fail";
    return this.needsToolHint(request) ? "confirm-hint" : "resend";
  }

  /** Returns a request's delivery state. */
  deliveryOf(entry: DeliveryHistory): DeliveryState {
    const { message: request, isOutcomePoll = false } = entry;
    const { writeCount = 0, connectionLosses = 0 } = entry;
    const isInFlight = entry.sentOnConnectionId !== undefined;
    const isHintUnconfirmed = entry.hintRequirement !== undefined &&
      !isInFlight;
    const isSent = isInFlight || isOutcomePoll;
    const wasSent = isSent || writeCount > 0 || connectionLosses > 0;
    return {
      request,
      isIdempotent: this.#isIdempotent(request) && !isHintUnconfirmed,
      isHintUnconfirmed,
      isSent,
      delivered: wasSent ? "unknown" : "no",
      connectionLosses,
    };
  }

  #isIdempotent(request: Request): boolean {
    return isIdempotent(request, (tool) => this.toolHints.isIdempotent(tool));
  }
}
