/**
 * The circuit breaker. It decides how long a new request may wait for a daemon
 * that is down, so that nobody waits long for a daemon that has been away for
 * long, or that refuses the proxy.
 *
 * The circuit is tripped when the daemon has been down for `--queue-timeout`, or
 * refuses the connection. A connection that is not needed is not down: before
 * the client's first message, or while another client has the connection.
 *
 * | state       | condition                              | a new request                               |
 * | ----------- | -------------------------------------- | ------------------------------------------- |
 * | `closed`    | not tripped                            | waits for `--queue-timeout` at most         |
 * | `open`      | tripped, and no request waits          | gets an attempt at once: `half-open`        |
 * | `half-open` | tripped, and a request waits           | waits, too                                  |
 *
 * | event                                  | state               | next                                       |
 * | -------------------------------------- | ------------------- | ------------------------------------------ |
 * | the circuit is tripped                 | `closed`            | `open`, or `half-open` if a request waits  |
 * | a request arrives                      | `open`              | `half-open`                                |
 * | the last waiting request ends          | `half-open`         | `open`                                     |
 * | the circuit is not tripped any more    | `open`, `half-open` | `closed`                                   |
 *
 * The circuit is not tripped any more when the daemon is connected, when the
 * daemon does not refuse the connection any more and has not been away for long,
 * or when another outage begins.
 *
 * After a long outage, a request waits for 20 s at most: a container needs 10 to
 * 15 s to boot. If the daemon refuses the connection, a request waits for one
 * attempt. If the last attempt is less than 5 s old, the request fails at once,
 * and the circuit stays `open`.
 *
 * Attempts without a request follow the backoff schedule in every state.
 *
 * @module
 */

import type { Dialect } from "../dialects/dialect.ts";
import type { CircuitState } from "../events.ts";
import type { Link } from "../link/link.ts";
import type { LinkSet } from "../link/link_set.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";
import { isLongLived } from "../protocol/methods.ts";
import type { RequestTracker } from "../requests/tracker.ts";
import type { Availability } from "./availability.ts";
import type { Effects } from "./effects.ts";
import type { SessionConfig } from "./session_config.ts";

/** The longest queue time of a request after a long outage, in milliseconds. */
const TRIPPED_QUEUE_MS = 20_000;

/** Decides how long new requests may wait for a daemon that is down. */
export class CircuitBreaker {
  /** The state that the log shows. */
  #loggedState: CircuitState = "closed";

  /** Creates a closed circuit. */
  constructor(
    private readonly config: SessionConfig,
    private readonly dialect: Dialect,
    private readonly links: LinkSet,
    private readonly tracker: RequestTracker,
    private readonly availability: Availability,
    private readonly effects: Effects,
  ) {}

  /** The state at the time of the current event. */
  get state(): CircuitState {
    const isTripped = this.links.isMainRefused ||
      this.effects.now >= this.#longOutageAt;
    if (!isTripped) return "closed";
    return this.#hasWaitingRequest ? "half-open" : "open";
  }

  get #hasWaitingRequest(): boolean {
    const { links: { main }, tracker } = this;
    return tracker.hasQueuedShortLivedRequest ||
      // The request that opens a connection is written before that is usable.
      tracker.hasCallInFlight(main.connectionId);
  }

  /** When the outage has lasted for long; `Infinity` if there is none. */
  get #longOutageAt(): number {
    return this.links.downSince + this.config.queueTimeout;
  }

  /** Returns how long a request that arrives now may be queued, in ms. */
  get queueTimeoutMs(): number {
    const { queueTimeout } = this.config;
    return this.effects.now >= this.#longOutageAt
      ? Math.min(queueTimeout, TRIPPED_QUEUE_MS)
      : queueTimeout;
  }

  /** Returns the link that a message waits for, if the daemon refuses it. */
  refusingLinkOf(message: OutboundMessage): Link | undefined {
    const { availability } = this;
    if (availability.hasUsableMain && this.dialect.scheduling === undefined) {
      return undefined;
    }
    const link = availability.blockingLinkOf(message);
    // A message that waits for a refused standby stays in the queue.
    return link?.refusal !== undefined && link.role !== "standby"
      ? link
      : undefined;
  }

  /**
   * Returns true if a new message must fail, because the daemon refuses this
   * link. Otherwise makes an attempt due, if there is none.
   */
  rejects({ method }: OutboundMessage, refusingLink: Link): boolean {
    return !isLongLived(method) &&
      !refusingLink.tryRedialAfterRefusal(this.effects.now);
  }

  /** Returns when the log must show another state; `-Infinity` for now. */
  deadline(): number {
    const { state } = this;
    if (state !== this.#loggedState) return -Infinity;
    return state === "closed" ? this.#longOutageAt : Infinity;
  }

  /** Logs the state if it has changed. */
  advance(): void {
    const { state } = this;
    if (state === this.#loggedState) return;
    const hasJustTripped = this.#loggedState === "closed";
    this.#loggedState = state;
    const cause = this.links.isMainRefused
      ? { kind: "refused" } as const
      : { kind: "long-outage", queueMs: this.queueTimeoutMs } as const;
    this.effects.log.circuitChanged(state, hasJustTripped ? cause : undefined);
  }
}
