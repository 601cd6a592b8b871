/**
 * Tracks abandoned requests, whose responses may still arrive.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";

/** Per connection: an MCP daemon never answers cancelled requests. */
const MAX_LATE_IDS = 1_000;
/** How long an abandoned call counts as running: it may never be answered. */
const MAX_ABANDONED_CALL_MS = 60_000;

interface AbandonedCall {
  readonly writeNumber: number;
  until: number;
}

/** The abandoned requests, by the connection they were written to. */
export class LateResponses {
  readonly #responses = new Map<number, Map<Id, "expected" | "unclear">>();
  /** The calls among them, in the order of their deadlines. */
  readonly #calls = new Map<number, Map<Id, AbandonedCall>>();

  /** Records a request; `unclear` if its response could not be read. */
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

  /** Records that the request is a call that the daemon may be working on. */
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

  /** Whether a late response could be mistaken for that to another request. */
  has(id: Id): boolean {
    for (const responses of this.#responses.values()) {
      if (responses.has(id)) return true;
    }
    return false;
  }

  /** Whether a response is expected on a connection. */
  isAnyExpected(connectionId: number): boolean {
    const states = this.#responses.get(connectionId)?.values() ?? [];
    return [...states].includes("expected");
  }

  /** Whether the daemon may be working on an abandoned call. */
  hasAbandonedCall(connectionId: number): boolean {
    return (this.#calls.get(connectionId)?.size ?? 0) > 0;
  }

  /** The write number of the last of these calls; 0 for none. */
  lastCallNumber(connectionId: number): number {
    let last = 0;
    const calls = this.#calls.get(connectionId)?.values() ?? [];
    for (const { writeNumber } of calls) last = Math.max(last, writeNumber);
    return last;
  }

  /** Records a late response. After an `unclear` one another may arrive. */
  onResponse(id: Id, connectionId: number): void {
    const responses = this.#responses.get(connectionId);
    if (responses?.get(id) === "expected") responses.delete(id);
    this.#calls.get(connectionId)?.delete(id);
  }

  /** Records an answered probe: the daemon has ended the calls before it. */
  onProbeAnswered(connectionId: number, probeNumber: number): void {
    const calls = this.#calls.get(connectionId);
    for (const [id, { writeNumber }] of calls ?? []) {
      if (writeNumber < probeNumber) calls?.delete(id);
    }
  }

  /** Forgets a lost connection. */
  onDisconnect(connectionId: number): void {
    this.#responses.delete(connectionId);
    this.#calls.delete(connectionId);
  }

  /** When the first abandoned call ceases to count as running. */
  deadline(): number {
    let earliest = Infinity;
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

  /** Postpones every deadline, after a sleep. */
  postpone(ms: number): void {
    for (const calls of this.#calls.values()) {
      for (const call of calls.values()) call.until += ms;
    }
  }
}
