/**
 * The dials of one proxy, and how many there may be (DESIGN, backoff and
 * demand).
 *
 * @module
 */

import { assert } from "../helpers/assert.ts";

/** No two dials are closer, in milliseconds. */
const LEAST_MS = 250;
/** The first pause of the table, with what chance adds to it. */
const FIRST_MS = LEAST_MS * 1.1 + 1;
/** The longest pause of the table. */
const CAP_MS = 30_000;
/** How long after a dial that was refused a request makes the next one. */
const REFUSED_MS = 5_000;
/** The pause while a request waits. */
const DEMAND_MS = 900;

/** How many dials the table makes in so much time after its beginning. */
export function tableCount(ms: number): number {
  let count = 0;
  for (let at = LEAST_MS, pause = LEAST_MS; at <= ms; at += pause) {
    count++;
    pause = Math.min(CAP_MS, pause * 2);
  }
  return count;
}

export class Dials {
  /** How many connections a pool has; with one more for a second main connection. */
  readonly #width: number;
  #subprotocol: string | undefined;
  /** When the next dial must have been made. */
  #dueBy = Infinity;
  /** The same as long as nobody waits. */
  #quietDueBy = Infinity;
  /** Since when the table has not begun anew for certain. */
  #certainSince = 0;
  #hasRepeated = false;
  #isDisplaced = false;
  /** The moments of the last dials that were not the main connection's. */
  #others: number[] = [];
  #refusedAt: number | undefined;
  /** When the table began, how often a request waited since, and the dials that nobody waited for. */
  #table = { since: 0, demands: 0, dials: 0 };
  /** The same of the time since somebody waited last; `undefined` while somebody does. */
  #quiet: { since: number; dials: number } | undefined = { since: 0, dials: 0 };
  /** The phase of the network. */
  #phase = { since: 0, restarts: 0, main: 0, other: 0 };
  count = 0;
  /** When the main connection was dialed last. */
  mainAt = -Infinity;

  /** No dial was made; a pool has so many connections. */
  constructor(poolSize: number) {
    this.#width = poolSize + 1;
  }

  /** Whether a request waits for a connection from now on. */
  want(now: number, isWanted: boolean): void {
    if (isWanted && this.#quiet !== undefined) {
      this.#quiet = undefined;
      this.#table.demands++;
    } else if (!isWanted) this.#quiet ??= { since: now, dials: 0 };
  }

  /** The network does something else from now on. */
  turn(now: number): void {
    this.#phase = { since: now, restarts: 0, main: 0, other: 0 };
  }

  /** A connection is lost that has answered the client or stayed ready: the table begins anew, unless that is not certain. */
  restart(now: number, isCertain: boolean): void {
    this.#phase.restarts++;
    if (isCertain) this.#certainSince = now;
    this.#dueBy = isCertain ? now + FIRST_MS : Infinity;
    this.#table = { since: now, demands: 0, dials: 0 };
    if (this.#quiet !== undefined) this.#quiet = { since: now, dials: 0 };
  }

  /** A dial or connection ended. What was dialed because a request waited must not have made the next pause longer. */
  ended(now: number): void {
    if (this.#isDisplaced) return;
    // One step more than the table had time for.
    const step = tableCount(now - this.#certainSince) + 1;
    const pause = Math.min(CAP_MS, LEAST_MS * 2 ** step);
    this.#quietDueBy = now + pause * 1.1 + 1;
  }

  /** Another client takes the connection: it is dialed on demand only. */
  displaced(): void {
    this.#isDisplaced = true;
    this.#dueBy = this.#quietDueBy = Infinity;
  }

  /** The daemon refuses us. */
  refused(now: number): void {
    this.#refusedAt = now;
    this.#quietDueBy = Infinity;
  }

  /** The main connection is dialed; `isAsked` says whether a request of the client's has just come. */
  main(
    now: number,
    subprotocol: string | undefined,
    isWanted: boolean,
    isAsked: boolean,
  ): void {
    this.count++;
    assert(
      now <= this.#dueBy,
      `the first dial after a connection that had worked came ` +
        `${now - this.#dueBy} ms too late`,
    );
    this.#dueBy = Infinity;
    this.#isDisplaced = false;
    const pause = now - this.mainAt;
    const isRepeat = pause < LEAST_MS && this.#subprotocol !== undefined &&
      subprotocol === undefined && !this.#hasRepeated;
    if (isRepeat) this.#hasRepeated = true;
    else assert(pause >= LEAST_MS, `dialed again after ${pause} ms`);
    this.#subprotocol = subprotocol;
    this.mainAt = now;
    if (this.#refusedAt !== undefined) {
      const least = isAsked ? REFUSED_MS - 100 : CAP_MS;
      assert(
        pause >= least,
        `dialed again ${pause} ms after a dial that was refused, and ` +
          (isAsked ? "a request has just come" : "nobody asked"),
      );
      this.#refusedAt = undefined;
    }
    if (isRepeat) return;
    this.#phase.main++;
    this.#checkRate(now, this.#phase.main, 1, "dials");
    if (isWanted) return;
    this.#checkTable(now);
    assert(
      now <= this.#quietDueBy,
      `the table's next dial came ${now - this.#quietDueBy} ms too late`,
    );
  }

  #checkTable(now: number): void {
    const { since, demands } = this.#table;
    const [quiet, table] = [this.#quiet, this.#table];
    assert(quiet !== undefined, "the world's books are wrong");
    table.dials++;
    quiet.dials++;
    const allowed = tableCount(now - quiet.since) + 2;
    assert(
      quiet.dials <= allowed,
      `${quiet.dials} dials in ${now - quiet.since} ms in which nobody ` +
        `waited, and the table has ${allowed - 2}`,
    );
    const inAll = tableCount(now - since) + 2 + demands;
    assert(
      table.dials <= inAll,
      `${table.dials} dials that nobody waited for in ${now - since} ms ` +
        `since the table began; it has ${inAll - demands - 2}, and a request ` +
        `waited ${demands} times`,
    );
  }

  /** Another connection is dialed: of the pool, or a second one. */
  other(now: number): void {
    this.count++;
    this.#others.push(now);
    const before = this.#others.at(-1 - this.#width) ?? -Infinity;
    assert(
      now - before >= LEAST_MS,
      `${this.#width + 1} dials beside the main one in ${now - before} ms`,
    );
    if (this.#others.length > this.#width) this.#others.shift();
    this.#phase.other++;
    const factor = this.#width;
    this.#checkRate(
      now,
      this.#phase.other,
      factor,
      "dials beside the main one",
    );
  }

  /** At most one in 0.9 s and four more; a table that begins anew has two that come sooner. */
  #checkRate(now: number, dials: number, factor: number, what: string): void {
    const { since, restarts } = this.#phase;
    const ms = now - since;
    const limit = factor * (Math.floor(ms / DEMAND_MS) + 4 + 2 * restarts);
    assert(
      dials <= limit,
      `${dials} ${what} in ${ms} ms of one phase, and ${limit} are allowed`,
    );
  }
}
