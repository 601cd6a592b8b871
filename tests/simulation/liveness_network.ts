/**
 * The network of a liveness simulation. Every message takes time, messages of a
 * connection stay in order, and the network may be down for a while.
 *
 * @module
 */

import {
  isDead,
  type LivenessConnection,
  type NetworkDirection,
} from "./liveness_invariants.ts";
import type { Scheduler } from "./scheduler.ts";

/** The durations of the network, in milliseconds. */
export interface NetworkTiming {
  /** The latency of one direction, and the maximum of its random addition. */
  readonly lagMs: number;
  readonly jitterMs: number;
  readonly dialMs: number;
}

/**
 * The longest time from the network's return until earlier messages arrive, and
 * until earlier dials do.
 */
const MAX_RESEND_DELAY_MS = 500;
const MAX_REDIAL_DELAY_MS = 1_000;

/** Carries messages in both directions. */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #timing: NetworkTiming;
  readonly #connections = new Set<LivenessConnection>();
  /** The dials that wait until the network is back. */
  #pendingDials: (() => void)[] = [];
  #isCut = false;

  constructor(scheduler: Scheduler, timing: NetworkTiming) {
    this.#scheduler = scheduler;
    this.#timing = timing;
  }

  /** True while the network is down. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Dials a connection. Calls `arrive` if the dial reaches the daemon. */
  dial(connection: LivenessConnection, arrive: () => void): void {
    this.#connections.add(connection);
    this.#scheduler.schedule(
      this.#timing.dialMs,
      () => this.#arrive(connection, arrive),
    );
  }

  #arrive(connection: LivenessConnection, arrive: () => void): void {
    if (connection.closedByProxyAt !== undefined || isDead(connection)) return;
    if (!this.#isCut) return arrive();
    this.#pendingDials.push(() => this.#arrive(connection, arrive));
  }

  /**
   * Takes the network down for a while. Messages sent during that time arrive
   * later.
   */
  cut(ms: number, back: () => void): void {
    this.#isCut = true;
    const scheduler = this.#scheduler;
    scheduler.schedule(ms, () => {
      this.#isCut = false;
      back();
      for (const connection of this.#connections) {
        for (const direction of [connection.up, connection.down]) {
          scheduler.schedule(
            scheduler.random() * MAX_RESEND_DELAY_MS,
            () => this.#deliver(connection, direction),
          );
        }
      }
      const hanging = this.#pendingDials;
      this.#pendingDials = [];
      for (const run of hanging) {
        scheduler.schedule(scheduler.random() * MAX_REDIAL_DELAY_MS, run);
      }
    });
  }

  /** Delivers what arrived while the program slept. */
  resume(): void {
    for (const connection of this.#connections) {
      this.#deliver(connection, connection.down);
    }
  }

  /**
   * Sends a message in one direction of a connection. Calls `run` when it
   * arrives.
   */
  send(
    connection: LivenessConnection,
    direction: NetworkDirection,
    run: () => void,
  ): void {
    const { now, random } = this.#scheduler;
    const { lagMs, jitterMs } = this.#timing;
    const at = Math.max(direction.lastAt, now + lagMs + random() * jitterMs);
    direction.lastAt = at;
    direction.queue.push({ at, run });
    this.#scheduler.schedule(
      at - now,
      () => this.#deliver(connection, direction),
    );
  }

  #deliver(connection: LivenessConnection, direction: NetworkDirection): void {
    for (;;) {
      const [head] = direction.queue;
      const isHeld = this.#isCut ||
        direction === connection.down && this.#scheduler.isSuspended;
      if (head === undefined || isHeld || head.at > this.#scheduler.now) return;
      direction.queue.shift();
      if (!direction.isDead) head.run();
    }
  }
}
