/**
 * The requests that nobody waits for any more, cancelled or timed out, and
 * whose answers may still come.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";

/** How many ids are remembered of a connection: an MCP daemon answers nothing that was cancelled. */
const MAX_LATE_IDS = 1_000;
/** How long such a call counts as being worked on, in milliseconds: its answer may never come. */
const MAX_ABANDONED_CALL_MS = 60_000;

/** A call that the daemon may still be working on. */
interface AbandonedCall {
  /** Its place in the order of what was written on its connection. */
  readonly writeNumber: number;
  until: number;
}

/** Whether the daemon owes an answer, or has given one that could not be understood. */
export type LateResponseState = "expected" | "unclear";

/** Those requests, by the connection id of the link that they were written to. */
export class LateResponses {
  readonly #responses = new Map<number, Map<Id, LateResponseState>>();
  readonly #abandonedCalls = new Map<number, Map<Id, AbandonedCall>>();
  #earliest = Infinity;

  /** No one waits any more for a request. */
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

  /** It is a call, and the daemon may be working on it. */
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

  /** Whether a late answer to this id may still come, which would be taken for the answer to another request of that id. */
  has(id: Id): boolean {
    for (const responses of this.#responses.values()) {
      if (responses.has(id)) return true;
    }
    return false;
  }

  /** Whether an answer is due on a link. */
  isAnyExpected(connectionId: number): boolean {
    const states = this.#responses.get(connectionId)?.values() ?? [];
    return [...states].includes("expected");
  }

  /** Whether the daemon may be working on one of those calls. */
  hasAbandonedCall(connectionId: number): boolean {
    return this.#abandonedCalls.has(connectionId);
  }

  /** The place of the last of those calls that the daemon may be working on; 0 for none. */
  lastCallNumber(connectionId: number): number {
    const lateCalls = this.#abandonedCalls.get(connectionId)?.values() ?? [];
    return Math.max(0, ...lateCalls.map(({ writeNumber }) => writeNumber));
  }

  /** The late answer to a request has come on a link. Of one that could not be understood a further answer may come. */
  onResponse(id: Id, connectionId: number): void {
    const responses = this.#responses.get(connectionId);
    if (responses?.get(id) === "expected") responses.delete(id);
    this.#deleteCall(id, connectionId);
  }

  /** The daemon has answered a probe that was written after some of those calls, so that they keep it from nothing. */
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

  /** A link was lost. */
  onDisconnect(connectionId: number): void {
    this.#responses.delete(connectionId);
    this.#abandonedCalls.delete(connectionId);
  }

  /** When the daemon will have had its time for the first of those calls, or earlier. */
  deadline(): number {
    return this.#earliest;
  }

  /** Forgets the calls that the daemon has had its time for. */
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

  /** Every moment comes so much later: the program slept. */
  postpone(ms: number): void {
    for (const abandoned of this.#abandonedCalls.values()) {
      for (const call of abandoned.values()) call.until += ms;
    }
    this.#earliest += ms;
  }
}
