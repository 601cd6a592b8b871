/**
 * Tracks abandoned requests. They are no longer pending, for example because
 * they were cancelled, but their responses may still arrive.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";

/** The most ids kept per connection, because some responses never arrive. */
const MAX_LATE_IDS = 1_000;
/** How long an abandoned call counts as running, if no response arrives. */
const MAX_ABANDONED_CALL_MS = 60_000;

interface AbandonedCall {
  readonly writeNumber: number;
  until: number;
}

/** The abandoned requests of each connection. */
export class LateResponses {
  readonly #responses = new Map<number, Map<Id, "expected" | "unclear">>();
  /** The abandoned calls that the daemon may still run, in deadline order. */
  readonly #calls = new Map<number, Map<Id, AbandonedCall>>();

  /** Records a request; `unclear`: more than one response may arrive. */
  add(
    id: Id,
    connectionId: number,
    state: "expected" | "unclear" = "expected",
  ): void {
    const responses = this.#responses.get(connectionId) ?? new Map();
    this.#responses.set(connectionId, responses.set(id, state));
    if (responses.size <= MAX_LATE_IDS) return;
    const [oldest] = responses.keys();
    responses.delete(oldest!);
    this.#calls.get(connectionId)?.delete(oldest!);
  }

  /** Records that the daemon may still run the call with this id. */
  addAbandonedCall(
    id: Id,
    connectionId: number,
    writeNumber: number,
    now: number,
  ): void {
    const calls = this.#calls.get(connectionId) ?? new Map();
    const call = { writeNumber, until: now + MAX_ABANDONED_CALL_MS };
    this.#calls.set(connectionId, calls.set(id, call));
  }

  /** True if no late response is known on any connection. */
  get isEmpty(): boolean {
    return this.#responses.size === 0;
  }

  /** Returns true if a response with this id may arrive on any connection. */
  has(id: Id): boolean {
    for (const responses of this.#responses.values()) {
      if (responses.has(id)) return true;
    }
    return false;
  }

  /** Returns true if a late response is expected on a connection. */
  hasExpected(connectionId: number): boolean {
    const states = this.#responses.get(connectionId)?.values() ?? [];
    return [...states].includes("expected");
  }

  /** Returns true if the daemon may still run an abandoned call. */
  hasAbandonedCall(connectionId: number): boolean {
    return (this.#calls.get(connectionId)?.size ?? 0) > 0;
  }

  /** Returns the write number of the last abandoned call; 0 if none. */
  lastCallWriteNumber(connectionId: number): number {
    let last = 0;
    const calls = this.#calls.get(connectionId)?.values() ?? [];
    for (const { writeNumber } of calls) last = Math.max(last, writeNumber);
    return last;
  }

  /** Records a late response. An `unclear` id stays: more may arrive. */
  onResponse(id: Id, connectionId: number): void {
    const responses = this.#responses.get(connectionId);
    if (responses?.get(id) === "expected") responses.delete(id);
    this.#calls.get(connectionId)?.delete(id);
  }

  /** Drops the calls before an answered probe: the daemon has ended them. */
  onProbeAnswered(connectionId: number, probeNumber: number): void {
    const calls = this.#calls.get(connectionId);
    for (const [id, { writeNumber }] of calls ?? []) {
      if (writeNumber < probeNumber) calls?.delete(id);
    }
  }

  /** Drops the requests of a lost connection. */
  onDisconnect(connectionId: number): void {
    this.#responses.delete(connectionId);
    this.#calls.delete(connectionId);
  }

  /** Returns when the first abandoned call no longer counts as running. */
  deadline(): number {
    let earliest = Infinity;
    if (this.#calls.size === 0) return earliest;
    for (const calls of this.#calls.values()) {
      const [first] = calls.values();
      if (first !== undefined) earliest = Math.min(earliest, first.until);
    }
    return earliest;
  }

  /** Drops the abandoned calls that no longer count as running. */
  advance(now: number): void {
    for (const calls of this.#calls.values()) {
      for (const [id, { until }] of calls) {
        if (until > now) break;
        calls.delete(id);
      }
    }
  }

  /** Moves every deadline by the time asleep, in milliseconds. */
  postpone(ms: number): void {
    for (const calls of this.#calls.values()) {
      for (const call of calls.values()) call.until += ms;
    }
  }
}
