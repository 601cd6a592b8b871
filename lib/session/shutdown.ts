/**
 * The end of a session.
 *
 * A session runs until stdin ends or a signal arrives. Then it is leaving: the
 * daemon has a moment to answer what is pending. After that every request that
 * is still pending gets an error, and the program exits.
 *
 * | state     | event                                                     | next                     |
 * | --------- | --------------------------------------------------------- | ------------------------ |
 * | `running` | stdin ends, or the first signal                           | `leaving`, for 1.5 s     |
 * | `leaving` | stdin ends, or the first signal                           | `leaving`, until the same moment |
 * | `leaving` | a second signal                                           | `over`: exit code 0      |
 * | `leaving` | no response is worth waiting for, or its time is over     | `over`: exit code 0      |
 * | any but `over` | no connection for `--give-up-after`                  | `over`: exit code 1      |
 * | any but `over` | stdout is broken                                     | `over`: exit code 0, and nobody is left to answer |
 *
 * `over` is final: nothing is handled after it.
 *
 * @module
 */

import type { PendingRequest } from "../requests/request_state.ts";
import type { Connections } from "./connections.ts";
import * as errors from "./errors.ts";
import type { LinkTimers } from "./link_timers.ts";
import { type SessionBase, SessionPart } from "./session_part.ts";
import type { SubscriptionEnds } from "./subscription_ends.ts";

/** How long the daemon has to answer once the client is leaving. */
export const SHUTDOWN_GRACE_MS = 1_500;

type ShutdownState =
  | { readonly phase: "running" }
  | {
    readonly phase: "leaving";
    readonly until: number;
    readonly isSignalled: boolean;
  }
  | { readonly phase: "over" };

/** Decides when a session is over, and ends it. */
export class Shutdown extends SessionPart {
  #state: ShutdownState = { phase: "running" };

  /** Starts with a session that runs. */
  constructor(
    base: SessionBase,
    private readonly connections: Connections,
    private readonly subscriptionEnds: SubscriptionEnds,
    private readonly linkTimers: LinkTimers,
  ) {
    super(base);
  }

  /** Whether the session has exited. */
  get isOver(): boolean {
    return this.#state.phase === "over";
  }

  /** stdin has ended, or a signal has arrived. */
  onEnd(cause: "stdin" | "signal"): void {
    const state = this.#state;
    const isSignal = cause === "signal";
    switch (state.phase) {
      case "running": {
        const until = this.now + SHUTDOWN_GRACE_MS;
        this.#state = { phase: "leaving", until, isSignalled: isSignal };
        return;
      }
      case "leaving":
        if (isSignal && state.isSignalled) return this.#end(0);
        this.#state = { ...state, isSignalled: state.isSignalled || isSignal };
        return;
      case "over":
        return;
    }
  }

  /** stdout is broken: no message can reach the client any more. */
  onStdoutBroken(): void {
    if (this.#state.phase === "over") return;
    this.effects.log.stdoutBroken();
    this.#exit(0);
  }

  /** When the session is over. */
  deadline(): number {
    const giveUpAt = this.#giveUpAt;
    const state = this.#state;
    switch (state.phase) {
      case "running":
        return giveUpAt;
      case "leaving":
        return this.#isEverythingAnswered
          ? -Infinity
          : Math.min(state.until, giveUpAt);
      case "over":
        return Infinity;
    }
  }

  /** Ends the session if it is over. */
  advance(): void {
    const state = this.#state;
    if (state.phase === "over") return;
    const isLeft = state.phase === "leaving" &&
      (this.now >= state.until || this.#isEverythingAnswered);
    if (isLeft) return this.#end(0);
    if (this.now < this.#giveUpAt) return;
    this.effects.log.gaveUp(this.config.giveUpAfter);
    this.#end(1);
  }

  get #giveUpAt(): number {
    return this.linkTimers.disconnectedSince + this.config.giveUpAfter;
  }

  /** Not worth waiting for: subscriptions, and a queued discover while down. */
  get #isEverythingAnswered(): boolean {
    const daemon = this.availability.isKnownDown ? "down" : "up";
    return this.tracker.responsesWorthAwaiting(daemon) === 0;
  }

  #end(code: number): void {
    this.effects.log.endDroppedNotifications();
    this.subscriptionEnds.advance(Infinity);
    for (const entry of this.tracker.takeAll()) {
      if (entry.message.kind === "notification") continue;
      const request = entry as PendingRequest;
      this.effects.toClient(this.#lastError(request));
    }
    this.#exit(code);
  }

  #lastError(entry: PendingRequest): string {
    const delivery = this.rules.deliveryOf(entry);
    if (delivery.isSent || delivery.isHintUnconfirmed) {
      return errors.outcomeUnknown(delivery, "stopped");
    }
    return this.availability.isOnlyQueued(entry.message)
      ? errors.stoppedBeforeSend(delivery)
      : this.connections.unavailableError(entry);
  }

  #exit(code: number): void {
    for (const { connectionId, phase } of this.links) {
      if (phase !== "waiting") this.effects.close(connectionId);
    }
    this.effects.push({ type: "exit", code });
    this.#state = { phase: "over" };
  }
}
