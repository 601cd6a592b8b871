/**
 * Decides when a session ends, and ends it.
 *
 * A session runs until stdin ends or a signal arrives. Then it is leaving: the
 * daemon has 1.5 s to answer the pending requests. After that, every request
 * that is still pending gets an error, and the program exits.
 *
 * | state          | event                                                | next                             |
 * | -------------- | ---------------------------------------------------- | -------------------------------- |
 * | `running`      | stdin ends, or the first signal arrives              | `leaving`, for 1.5 s             |
 * | `leaving`      | stdin ends, or the first signal arrives              | `leaving`, with the same deadline |
 * | `leaving`      | a second signal arrives                              | `over`: exit code 0              |
 * | `leaving`      | no response is worth waiting for, or 1.5 s have passed | `over`: exit code 0            |
 * | any but `over` | there was no connection for `--give-up-after`        | `over`: exit code 1              |
 * | any but `over` | stdout is broken                                     | `over`: exit code 0, and no request gets an error |
 *
 * `over` is final: later events are ignored.
 *
 * @module
 */

import type { PendingRequest } from "../requests/request_state.ts";
import type { Connections } from "./connections.ts";
import * as errors from "./errors.ts";
import type { LinkTimers } from "./link_timers.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";
import type { SubscriptionEnds } from "./subscription_ends.ts";

/** How long the daemon may answer after stdin ended or a signal came, in ms. */
export const SHUTDOWN_GRACE_MS = 1_500;

type ShutdownState =
  | { readonly phase: "running" }
  | {
    readonly phase: "leaving";
    readonly until: number;
    readonly isSignalled: boolean;
  }
  | { readonly phase: "over" };

/** Decides when the session ends, and ends it. */
export class Shutdown extends SessionPart {
  #state: ShutdownState = { phase: "running" };

  /** Creates a part for a session that is running. */
  constructor(
    base: SharedObjects,
    private readonly connections: Connections,
    private readonly subscriptionEnds: SubscriptionEnds,
    private readonly linkTimers: LinkTimers,
  ) {
    super(base);
  }

  /** True until stdin ends or a signal asks the program to stop. */
  get isRunning(): boolean {
    return this.#state.phase === "running";
  }

  /** True once the session has ended. */
  get isOver(): boolean {
    return this.#state.phase === "over";
  }

  /** Handles the end of stdin or a signal. */
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

  /** Ends the session because no message can reach the client any more. */
  onStdoutBroken(): void {
    if (this.#state.phase === "over") return;
    this.effects.log.stdoutBroken();
    this.#exit(0);
  }

  /** Returns when the session must end; `Infinity` if that is not known. */
  deadline(): number {
    const giveUpAt = this.#giveUpAt;
    const state = this.#state;
    switch (state.phase) {
      case "running":
        return giveUpAt;
      case "leaving":
        return this.#hasNothingToAwait
          ? -Infinity
          : Math.min(state.until, giveUpAt);
      case "over":
        return Infinity;
    }
  }

  /** Ends the session if its time is over or nothing is worth waiting for. */
  advance(): void {
    const state = this.#state;
    if (state.phase === "over") return;
    const isLeavingOver = state.phase === "leaving" &&
      (this.now >= state.until || this.#hasNothingToAwait);
    if (isLeavingOver) return this.#end(0);
    if (this.now < this.#giveUpAt) return;
    this.effects.log.gaveUp(this.config.giveUpAfter);
    this.#end(1);
  }

  get #giveUpAt(): number {
    return this.linkTimers.outageSince + this.config.giveUpAfter;
  }

  /**
   * True if no pending response is worth waiting for. Subscriptions never are,
   * nor is a queued `server/discover` while the daemon is down.
   */
  get #hasNothingToAwait(): boolean {
    const daemon = this.availability.isKnownDown ? "down" : "up";
    return this.tracker.awaitedResponseCount(daemon) === 0;
  }

  #end(code: number): void {
    this.effects.log.logDroppedTotal();
    this.subscriptionEnds.advance(Infinity);
    for (const entry of this.tracker.closeAll()) {
      if (entry.message.kind === "notification") continue;
      const request = entry as PendingRequest;
      this.effects.failRequest(this.#shutdownError(request));
    }
    this.#exit(code);
  }

  #shutdownError(entry: PendingRequest): errors.RequestError {
    const delivery = this.rules.deliveryOf(entry);
    if (delivery.isSentOrPolled || delivery.isHintUnconfirmed) {
      return errors.outcomeUnknown(delivery, "stopped");
    }
    return this.availability.waitsWithoutFailure(entry.message)
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
