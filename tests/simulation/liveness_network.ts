/**
 * The network of a liveness world: everything takes its time, nothing overtakes
 * on a connection, and the network may be gone for a while.
 *
 * @module
 */

import { isDead, type Line, type Way } from "./liveness_invariants.ts";
import type { Stage } from "./clock_and_random.ts";

/** How long things take, in milliseconds. */
export interface Pace {
  /** One way, and how much chance adds to that. */
  readonly lagMs: number;
  readonly jitterMs: number;
  readonly dialMs: number;
}

/** How long after the network is back what was sent arrives at most, and what was dialed. */
const RESENT_MS = 500;
const REDIALED_MS = 1_000;

/** Carries what goes to and fro. */
export class LivenessNet {
  readonly #stage: Stage;
  readonly #pace: Pace;
  readonly #lines = new Set<Line>();
  /** What was dialed while the network is gone. */
  #hanging: (() => void)[] = [];
  #isCut = false;

  constructor(stage: Stage, pace: Pace) {
    this.#stage = stage;
    this.#pace = pace;
  }

  /** Whether the network is gone. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** A connection is dialed, and may arrive. */
  dial(line: Line, arrive: () => void): void {
    this.#lines.add(line);
    this.#stage.later(this.#pace.dialMs, () => this.#arrive(line, arrive));
  }

  #arrive(line: Line, arrive: () => void): void {
    if (line.leftAt !== undefined || isDead(line)) return;
    if (!this.#isCut) return arrive();
    this.#hanging.push(() => this.#arrive(line, arrive));
  }

  /** The network is gone for a while; what was sent arrives after that. */
  cut(ms: number, back: () => void): void {
    this.#isCut = true;
    const stage = this.#stage;
    stage.later(ms, () => {
      this.#isCut = false;
      back();
      for (const line of this.#lines) {
        for (const way of [line.up, line.down]) {
          stage.later(stage.random() * RESENT_MS, () => this.#pump(line, way));
        }
      }
      const hanging = this.#hanging;
      this.#hanging = [];
      for (const run of hanging) {
        stage.later(stage.random() * REDIALED_MS, run);
      }
    });
  }

  /** The program is awake again, and reads what came meanwhile. */
  wake(): void {
    for (const line of this.#lines) this.#pump(line, line.down);
  }

  /** Something goes one way on a connection, and happens when it arrives. */
  carry(line: Line, way: Way, run: () => void): void {
    const { now, random } = this.#stage;
    const { lagMs, jitterMs } = this.#pace;
    const at = Math.max(way.lastAt, now + lagMs + random() * jitterMs);
    way.lastAt = at;
    way.queue.push({ at, run });
    this.#stage.later(at - now, () => this.#pump(line, way));
  }

  #pump(line: Line, way: Way): void {
    for (;;) {
      const [head] = way.queue;
      const isHeld = this.#isCut || way === line.down && this.#stage.isAsleep;
      if (head === undefined || isHeld || head.at > this.#stage.now) return;
      way.queue.shift();
      if (!way.isDead) head.run();
    }
  }
}
