/**
 * Tracks requests that were cancelled or timed out and whose responses may
 * still arrive.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";

/**
 * How many ids are tracked per connection: an MCP daemon never answers
 * cancelled requests.
 */
const MAX_LATE_IDS = 1_000;
/**
 * How long an abandoned call counts as running, in milliseconds: its response
 * may never arrive.
 */
const MAX_ABANDONED_CALL_MS = 60_000;

/** A call that the daemon may still be working on. */
interface AbandonedCall {
  /** Its position in the order of writes on its connection. */
  readonly writeNumber: number;
  until: number;
}

/** Whether a response is expected, or has arrived but could not be parsed. */
export type LateResponseState = "expected" | "unclear";

/** The abandoned requests, by the connection they were written to. */
export class LateResponses {
  readonly #responses = new Map<number, Map<Id, LateResponseState>>();
  readonly #abandonedCalls = new Map<number, Map<Id, AbandonedCall>>();
  #earliest = Infinity;

  /** Records a request that no one waits for any more. */
  add(
    id: Id,
    connectionId: number,
    state: LateResponseState = "expected",
  ): void {
    const responses = this.#responses.get(connectionId) ?? new Map();
    this.#responses.set(connectionId, responses.set(id, state));
    const [oldest] = responses.keys();
    if (responses.size <= MAX_LATE_IDS) return;
    responses.delete(oldest!);
    this.#deleteCall(oldest!, connectionId);
  }

  /** Records that the request is a call which the daemon may be working on. */
  addAbandonedCall(
    id: Id,
    connectionId: number,
    writeNumber: number,
    now: number,
  ): void {
    const calls = this.#abandonedCalls.get(connectionId) ??
      new Map<Id, AbandonedCall>();
    const until = now + MAX_ABANDONED_CALL_MS;
    this.#abandonedCalls.set(
      connectionId,
      calls.set(id, { writeNumber, until }),
    );
    this.#earliest = Math.min(this.#earliest, until);
  }

  /**
   * Whether a late response with this id may still arrive. It would be mistaken
   * for the response to another request with that id.
   */
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
    return this.#abandonedCalls.has(connectionId);
  }

  /**
   * The write number of the last abandoned call that the daemon may be working
   * on; 0 for none.
   */
  lastCallNumber(connectionId: number): number {
    const lateCalls = this.#abandonedCalls.get(connectionId)?.values() ?? [];
    return Math.max(0, ...lateCalls.map(({ writeNumber }) => writeNumber));
  }

  /** Records a late response. After an `unclear` one another may arrive. */
  onResponse(id: Id, connectionId: number): void {
    const responses = this.#responses.get(connectionId);
    if (responses?.get(id) === "expected") responses.delete(id);
    this.#deleteCall(id, connectionId);
  }

  /**
   * Records an answered probe. The daemon is not busy with abandoned calls that
   * were written before it.
   */
  onProbeAnswered(connectionId: number, probeNumber: number): void {
    this.#deleteCalls(connectionId, (call) => call.writeNumber < probeNumber);
  }

  #deleteCall(id: Id, connectionId: number): void {
    const abandoned = this.#abandonedCalls.get(connectionId);
    abandoned?.delete(id);
    if (abandoned?.size === 0) this.#abandonedCalls.delete(connectionId);
  }

  #deleteCalls(
    connectionId: number,
    isOver: (call: AbandonedCall) => boolean,
  ): void {
    const abandoned = this.#abandonedCalls.get(connectionId) ??
      new Map<Id, AbandonedCall>();
    for (const [id, call] of abandoned) if (isOver(call)) abandoned.delete(id);
    if (abandoned.size === 0) this.#abandonedCalls.delete(connectionId);
  }

  /** Forgets a lost connection. */
  onDisconnect(connectionId: number): void {
    this.#responses.delete(connectionId);
    this.#abandonedCalls.delete(connectionId);
  }

  /** When the first abandoned call ceases to count as running, or earlier. */
  deadline(): number {
    return this.#earliest;
  }

  /** Drops the abandoned calls that no longer count as running. */
  advance(now: number): void {
    if (now < this.#earliest) return;
    for (const connectionId of [...this.#abandonedCalls.keys()]) {
      this.#deleteCalls(connectionId, ({ until }) => now >= until);
    }
    const rest = [...this.#abandonedCalls.values()].flatMap((
      it,
    ) => [...it.values()]);
    this.#earliest = Math.min(Infinity, ...rest.map(({ until }) => until));
  }

  /** Postpones every deadline, after a sleep. */
  postpone(ms: number): void {
    for (const abandoned of this.#abandonedCalls.values()) {
      for (const call of abandoned.values()) call.until += ms;
    }
    this.#earliest += ms;
  }
}
