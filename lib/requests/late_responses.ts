/**
 * The requests that nobody waits for any more, cancelled or timed out, and
 * whose answers may still come.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";

/** How many ids are remembered of a connection: an MCP daemon answers nothing that was cancelled. */
const LIMIT = 1_000;
/** How long such a call counts as being worked on, in milliseconds: its answer may never come. */
const WORK_MS = 60_000;

/** A call that the daemon may still be working on. */
interface Work {
  /** Its place in the order of what was written on its connection. */
  readonly number: number;
  until: number;
}

/** Whether the daemon owes an answer, or has given one that could not be understood. */
export type LateAnswer = "due" | "unclear";

/** Those requests, by the epoch of the link that they were written to. */
export class LateAnswers {
  readonly #ids = new Map<number, Map<Id, LateAnswer>>();
  readonly #work = new Map<number, Map<Id, Work>>();
  #earliest = Infinity;

  /** No one waits any more for a request. */
  add(id: Id, epoch: number, answer: LateAnswer = "due"): void {
    const ids = this.#ids.get(epoch) ?? new Map();
    this.#ids.set(epoch, ids.set(id, answer));
    const [oldest] = ids.keys();
    if (ids.size <= LIMIT) return;
    ids.delete(oldest!);
    this.#endOne(oldest!, epoch);
  }

  /** It is a call, and the daemon may be working on it. */
  works(id: Id, epoch: number, number: number, now: number): void {
    const work = this.#work.get(epoch) ?? new Map<Id, Work>();
    const until = now + WORK_MS;
    this.#work.set(epoch, work.set(id, { number, until }));
    this.#earliest = Math.min(this.#earliest, until);
  }

  /** Whether a late answer to this id may still come, which would be taken for the answer to another request of that id. */
  has(id: Id): boolean {
    for (const ids of this.#ids.values()) if (ids.has(id)) return true;
    return false;
  }

  /** Whether an answer is due on a link. */
  isAnyDue(epoch: number): boolean {
    const answers = this.#ids.get(epoch)?.values() ?? [];
    return [...answers].includes("due");
  }

  /** Whether the daemon may be working on one of those calls. */
  isWorking(epoch: number): boolean {
    return this.#work.has(epoch);
  }

  /** The place of the last of those calls that the daemon may be working on; 0 for none. */
  last(epoch: number): number {
    const numbers = this.#work.get(epoch)?.values() ?? [];
    return Math.max(0, ...numbers.map(({ number }) => number));
  }

  /** The late answer to a request has come on a link. Of one that could not be understood a further answer may come. */
  came(id: Id, epoch: number): void {
    const ids = this.#ids.get(epoch);
    if (ids?.get(id) === "due") ids.delete(id);
    this.#endOne(id, epoch);
  }

  /** The daemon has answered a probe that was written after some of those calls, so that they keep it from nothing. */
  overtaken(epoch: number, number: number): void {
    this.#end(epoch, (work) => work.number < number);
  }

  #endOne(id: Id, epoch: number): void {
    const works = this.#work.get(epoch);
    works?.delete(id);
    if (works?.size === 0) this.#work.delete(epoch);
  }

  #end(epoch: number, isOver: (work: Work) => boolean): void {
    const works = this.#work.get(epoch) ?? new Map<Id, Work>();
    for (const [id, work] of works) if (isOver(work)) works.delete(id);
    if (works.size === 0) this.#work.delete(epoch);
  }

  /** A link was lost. */
  lost(epoch: number): void {
    this.#ids.delete(epoch);
    this.#work.delete(epoch);
  }

  /** When the daemon will have had its time for the first of those calls, or earlier. */
  deadline(): number {
    return this.#earliest;
  }

  /** Forgets the calls that the daemon has had its time for. */
  advance(now: number): void {
    if (now < this.#earliest) return;
    for (const epoch of [...this.#work.keys()]) {
      this.#end(epoch, ({ until }) => now >= until);
    }
    const rest = [...this.#work.values()].flatMap((it) => [...it.values()]);
    this.#earliest = Math.min(Infinity, ...rest.map(({ until }) => until));
  }

  /** Every moment comes so much later: the program slept. */
  shift(ms: number): void {
    for (const works of this.#work.values()) {
      for (const work of works.values()) work.until += ms;
    }
    this.#earliest += ms;
  }
}
