/**
 * The network of a liveness world: everything takes its time, nothing overtakes
 * on a connection, and the network may be gone for a while.
 *
 * @module
 */

import {
  isDead,
  type LivenessConnection,
  type NetworkDirection,
} from "./liveness_invariants.ts";
import type { Scheduler } from "./scheduler.ts";

/** How long things take, in milliseconds. */
export interface NetworkTiming {
  /** One way, and how much chance adds to that. */
  readonly lagMs: number;
  readonly jitterMs: number;
  readonly dialMs: number;
}

/** How long after the network is back what was sent arrives at most, and what was dialed. */
const MAX_RESEND_DELAY_MS = 500;
const MAX_REDIAL_DELAY_MS = 1_000;

/** Carries what goes to and fro. */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #timing: NetworkTiming;
  readonly #connections = new Set<LivenessConnection>();
  /** What was dialed while the network is gone. */
  #pendingDials: (() => void)[] = [];
  #isCut = false;

  constructor(scheduler: Scheduler, timing: NetworkTiming) {
    this.#scheduler = scheduler;
    this.#timing = timing;
  }

  /** Whether the network is gone. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** A connection is dialed, and may arrive. */
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

  /** The network is gone for a while; what was sent arrives after that. */
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

  /** The program is awake again, and reads what came meanwhile. */
  resume(): void {
    for (const connection of this.#connections) {
      this.#deliver(connection, connection.down);
    }
  }

  /** Something goes one way on a connection, and happens when it arrives. */
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
