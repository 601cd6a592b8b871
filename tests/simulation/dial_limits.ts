/**
 * Counts the dials of one proxy, and checks their number and their times.
 *
 * @module
 */

import { assert } from "../helpers/assert.ts";

/** The minimum interval between two dials, in milliseconds. */
const MIN_DIAL_INTERVAL_MS = 250;
/** The longest first pause of the backoff schedule: jitter adds up to 10 %. */
const MAX_FIRST_DELAY_MS = MIN_DIAL_INTERVAL_MS * 1.1 + 1;
/** The longest pause of the backoff schedule, without jitter. */
const MAX_BACKOFF_MS = 30_000;
/** The shortest time between a refused dial and a dial for a new request. */
const REFUSED_REDIAL_MS = 5_000;
/** The interval of dials while a request waits. */
const DEMAND_DIAL_INTERVAL_MS = 900;

/** Returns how many dials the backoff schedule makes in its first `ms`. */
export function backoffDialCount(ms: number): number {
  let count = 0;
  for (
    let at = MIN_DIAL_INTERVAL_MS, pause = MIN_DIAL_INTERVAL_MS;
    at <= ms;
    at += pause
  ) {
    count++;
    pause = Math.min(MAX_BACKOFF_MS, pause * 2);
  }
  return count;
}

export class DialLimits {
  /** The number of pool connections, plus one for a second main connection. */
  readonly #maxOtherConnections: number;
  #subprotocol: string | undefined;
  /** The deadline of the next dial of the main connection. */
  #nextDialBy = Infinity;
  /** The deadline of the next dial, if no request waits. */
  #idleDialBy = Infinity;
  /** When the backoff schedule last restarted for certain. */
  #backoffSince = 0;
  #hasDroppedSubprotocol = false;
  #isDisplaced = false;
  /** When connections other than the main one were dialed most recently. */
  #otherDialTimes: number[] = [];
  #refusedAt: number | undefined;
  /**
   * When the backoff schedule started, how often a request has begun to wait
   * since, and how many dials were made while none waited.
   */
  #backoff = { since: 0, demands: 0, dials: 0 };
  /**
   * When requests last stopped waiting, and how many dials were made since.
   * `undefined` while a request waits.
   */
  #idle: { since: number; dials: number } | undefined = { since: 0, dials: 0 };
  /** When the network last changed, and the restarts and dials since then. */
  #networkPhase = { since: 0, restarts: 0, main: 0, other: 0 };
  count = 0;
  /** When the main connection was last dialed; `-Infinity` before that. */
  mainDialedAt = -Infinity;

  /** Starts without dials, for a pool of `poolSize` connections. */
  constructor(poolSize: number) {
    this.#maxOtherConnections = poolSize + 1;
  }

  /** Records whether a request waits for a connection from now on. */
  setDemand(now: number, isWanted: boolean): void {
    if (isWanted && this.#idle !== undefined) {
      this.#idle = undefined;
      this.#backoff.demands++;
    } else if (!isWanted) this.#idle ??= { since: now, dials: 0 };
  }

  /** Records that the network behaves differently from now on. */
  networkChanged(now: number): void {
    this.#networkPhase = { since: now, restarts: 0, main: 0, other: 0 };
  }

  /**
   * Records the loss of a connection that had answered the client or stayed
   * ready. The backoff schedule restarts if `isCertain`; otherwise it is
   * unknown whether it does.
   */
  backoffRestarted(now: number, isCertain: boolean): void {
    this.#networkPhase.restarts++;
    if (isCertain) this.#backoffSince = now;
    this.#nextDialBy = isCertain ? now + MAX_FIRST_DELAY_MS : Infinity;
    this.#backoff = { since: now, demands: 0, dials: 0 };
    if (this.#idle !== undefined) this.#idle = { since: now, dials: 0 };
  }

  /**
   * Records that a dial or a connection ended, and limits the pause that
   * follows. Dials for waiting requests must not make that pause longer.
   */
  connectionEnded(now: number): void {
    if (this.#isDisplaced) return;
    // The schedule may be one step ahead of what the elapsed time explains.
    const step = backoffDialCount(now - this.#backoffSince) + 1;
    const pause = Math.min(MAX_BACKOFF_MS, MIN_DIAL_INTERVAL_MS * 2 ** step);
    this.#idleDialBy = now + pause * 1.1 + 1;
  }

  /** Records a displacement: from now on, only requests cause dials. */
  connectionDisplaced(): void {
    this.#isDisplaced = true;
    this.#nextDialBy = this.#idleDialBy = Infinity;
  }

  /** Records that the daemon has refused the proxy. */
  dialRefused(now: number): void {
    this.#refusedAt = now;
    this.#idleDialBy = Infinity;
  }

  /**
   * Records a dial of the main connection. `isWanted`: a request waits.
   * `hasNewRequest`: the client has just sent one.
   */
  mainDialed(
    now: number,
    subprotocol: string | undefined,
    isWanted: boolean,
    hasNewRequest: boolean,
  ): void {
    this.count++;
    assert(
      now <= this.#nextDialBy,
      `the first dial after a connection that had worked came ` +
        `${now - this.#nextDialBy} ms too late`,
    );
    this.#nextDialBy = Infinity;
    this.#isDisplaced = false;
    const pause = now - this.mainDialedAt;
    const dropsSubprotocol = pause < MIN_DIAL_INTERVAL_MS &&
      this.#subprotocol !== undefined &&
      subprotocol === undefined && !this.#hasDroppedSubprotocol;
    if (dropsSubprotocol) this.#hasDroppedSubprotocol = true;
    else {assert(
        pause >= MIN_DIAL_INTERVAL_MS,
        `dialed again after ${pause} ms`,
      );}
    this.#subprotocol = subprotocol;
    this.mainDialedAt = now;
    if (this.#refusedAt !== undefined) {
      const least = hasNewRequest ? REFUSED_REDIAL_MS - 100 : MAX_BACKOFF_MS;
      assert(
        pause >= least,
        `dialed again ${pause} ms after a dial that was refused, and ` +
          (hasNewRequest
            ? "a request has just arrived"
            : "no request has arrived"),
      );
      this.#refusedAt = undefined;
    }
    if (dropsSubprotocol) return;
    this.#networkPhase.main++;
    this.#checkRate(now, this.#networkPhase.main, 1, "dials");
    if (isWanted) return;
    this.#checkBackoff(now);
    assert(
      now <= this.#idleDialBy,
      `the next dial of the backoff schedule came ${
        now - this.#idleDialBy
      } ms too late`,
    );
  }

  #checkBackoff(now: number): void {
    const { since, demands } = this.#backoff;
    const [idle, backoff] = [this.#idle, this.#backoff];
    assert(idle !== undefined, "the simulation's records are wrong");
    backoff.dials++;
    idle.dials++;
    const allowed = backoffDialCount(now - idle.since) + 2;
    assert(
      idle.dials <= allowed,
      `${idle.dials} dials in ${now - idle.since} ms in which no ` +
        `request waited; the backoff schedule allows ${allowed - 2}`,
    );
    const allowedInTotal = backoffDialCount(now - since) + 2 + demands;
    assert(
      backoff.dials <= allowedInTotal,
      `${backoff.dials} dials without a waiting request in ${now - since} ms ` +
        `since the backoff schedule began; it allows ${
          allowedInTotal - demands - 2
        }, and a request ` +
        `waited ${demands} times`,
    );
  }

  /** Records a dial for the pool, or of a second main connection. */
  otherDialed(now: number): void {
    this.count++;
    this.#otherDialTimes.push(now);
    const before = this.#otherDialTimes.at(-1 - this.#maxOtherConnections) ??
      -Infinity;
    assert(
      now - before >= MIN_DIAL_INTERVAL_MS,
      `${this.#maxOtherConnections + 1} dials beside the main one in ${
        now - before
      } ms`,
    );
    if (this.#otherDialTimes.length > this.#maxOtherConnections) {
      this.#otherDialTimes.shift();
    }
    this.#networkPhase.other++;
    const factor = this.#maxOtherConnections;
    this.#checkRate(
      now,
      this.#networkPhase.other,
      factor,
      "dials beside the main one",
    );
  }

  /**
   * Checks the number of dials since the network last changed. The limit is
   * `factor` times the sum of four, one per 0.9 s, and two per restart of the
   * backoff schedule.
   */
  #checkRate(now: number, dials: number, factor: number, what: string): void {
    const { since, restarts } = this.#networkPhase;
    const ms = now - since;
    const limit = factor *
      (Math.floor(ms / DEMAND_DIAL_INTERVAL_MS) + 4 + 2 * restarts);
    assert(
      dials <= limit,
      `${dials} ${what} in ${ms} ms of one phase, and ${limit} are allowed`,
    );
  }
}
