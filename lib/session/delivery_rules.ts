/**
 * Implements the delivery contract: decides which requests may be sent a second
 * time, and describes the state of a request's delivery.
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

/** A request and its tracked state. A new request has only `message`. */
export type DeliveryHistory =
  & Pick<PendingRequest, "message">
  & Partial<PendingRequest>;

/** The state of a request's delivery. */
export interface DeliveryState {
  /** The client's request. */
  readonly request: Request;
  /** True if executing the request twice has the same effect as once. */
  readonly isIdempotent: boolean;
  /** True while a tool list must confirm that the request is idempotent. */
  readonly isHintUnconfirmed: boolean;
  /**
   * True if the request is in flight, or if it was in flight and the proxy now
   * polls for its outcome.
   */
  readonly isSentOrPolled: boolean;
  /** True if the request is in flight, not for its outcome only. */
  readonly isInFlight: boolean;
  /** `unknown` once the daemon may have started the request, else `no`. */
  readonly delivered: "no" | "unknown";
  /** How many connections were lost while the request was in flight. */
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

  /** Returns true if a request may be sent a second time. */
  mayRetry(request: Request): boolean {
    if (isLongLived(request.method)) return true;
    return this.setting === "safe"
      ? this.#isIdempotent(request)
      : this.setting === "always";
  }

  /** Returns true if a retry of the request depends on the hint of its tool. */
  needsToolHint({ method }: Request): boolean {
    return this.setting === "safe" && method === "tools/call";
  }

  /** Returns what to do with a request in flight on a lost connection. */
  recoveryFor(request: Request, now: number): Recovery {
    const limitMs = this.dialect.outcomes?.pollWindowMs(request, now);
    if (limitMs !== undefined) return { kind: "poll-outcome", limitMs };
    if (!this.mayRetry(request)) return "fail";
    return this.needsToolHint(request) ? "confirm-hint" : "resend";
  }

  /** Returns the delivery state of a request. */
  deliveryOf(entry: DeliveryHistory): DeliveryState {
    const { message: request, isOutcomePoll = false } = entry;
    const { writeCount = 0, connectionLosses = 0 } = entry;
    const isInFlight = entry.sentOnConnectionId !== undefined;
    const isHintUnconfirmed = entry.hintRequirement !== undefined &&
      !isInFlight;
    const isSentOrPolled = isInFlight || isOutcomePoll;
    const wasSent = isSentOrPolled || writeCount > 0 || connectionLosses > 0;
    return {
      request,
      isIdempotent: this.#isIdempotent(request) && !isHintUnconfirmed,
      isHintUnconfirmed,
      isSentOrPolled,
      isInFlight: isInFlight && !isOutcomePoll,
      delivered: wasSent ? "unknown" : "no",
      connectionLosses,
    };
  }

  #isIdempotent(request: Request): boolean {
    return isIdempotent(request, (tool) => this.toolHints.isIdempotent(tool));
  }
}
