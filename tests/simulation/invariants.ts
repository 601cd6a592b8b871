/**
 * What the client of a world asked, and what it was promised for that.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Stage } from "./clock_and_random.ts";

/** What the client knows of one of its requests. */
export interface Asked {
  readonly key: string;
  readonly id: unknown;
  readonly method: string;
  readonly isSafe: boolean;
  readonly askedAt: number;
  readonly token: unknown;
  /** What stands in its params, and comes back in its result; `undefined` for one without params. */
  readonly mark: string | undefined;
  /** Where in a list it asks to go on. */
  readonly cursor: string | undefined;
  /** Its id was that of a request that nobody waits for any more. */
  readonly isReused: boolean;
  /** Its id may be one of the proxy's own, so that others may overtake it. */
  readonly mayWait: boolean;
  readonly order: number;
  progress: number;
  /** How often the client has heard of it. */
  progressed: number;
  /** The connection on which the daemon has said that it did not understand, or has said what cannot be read. */
  refusedOn: number | undefined;
  cancelledAt: number | undefined;
  answers: number;
  sentOn: number | undefined;
  written: number;
  executed: number;
  /** When the daemon was last heard of it, or got it. */
  stirredAt: number;
  /** How long it may take altogether. */
  readonly total: number;
  /** How long it waited with no connection to write it to, before the wait that goes on. */
  queuedMs: number;
  /** How long there had been none, in all, when that wait began; `undefined` while it does not wait. */
  waitsFrom: number | undefined;
  /** Its answer, or another one's, was too large for the connection. */
  isTooLarge: "no" | "maybe" | "yes";
}

/** Every request of the client's; each method throws when a promise is broken. */
export class Books {
  readonly #stage: Stage;
  readonly #config: SessionConfig;
  readonly #byKey = new Map<string, Asked>();
  readonly #byMark = new Map<string, Asked>();
  #order = 0;
  #lastWritten = 0;
  #downMs = 0;
  /** Since when there is no connection to write to; `undefined` while there is one. */
  #downSince: number | undefined = 0;
  /** When the client closed stdin. */
  endedAt: number | undefined;
  answers = 0;
  faults = 0;
  repeats = 0;

  constructor(stage: Stage, config: SessionConfig) {
    this.#stage = stage;
    this.#config = config;
  }

  /** How long there was no connection to write to, in all. */
  get downMs(): number {
    const { awake } = this.#stage;
    return this.#downMs + awake - (this.#downSince ?? awake);
  }

  /** The proxy has a connection to write to, or has none. */
  usable(isUsable: boolean): void {
    this.#downMs = this.downMs;
    this.#downSince = isUsable ? undefined : this.#stage.awake;
  }

  get(key: string): Asked | undefined {
    return this.#byKey.get(key);
  }

  /** The client's request that a message is, and not one of the proxy's own with the same id or the same params. */
  of({ id, method, params }: Json): Asked | undefined {
    if (method === undefined) return undefined;
    const key = JSON.stringify(id);
    const { mark } = params ?? {};
    const asked = mark === undefined
      ? this.#byKey.get(key)
      : this.#byMark.get(mark);
    const isIt = asked !== undefined && asked.key === key &&
      asked.mark === mark;
    return isIt ? asked : undefined;
  }

  /** The client asks. */
  register(
    id: unknown,
    method: string,
    isSafe: boolean,
    { total = this.#config.requestTimeout, ...more }: {
      readonly total?: number;
      readonly token?: unknown;
      readonly cursor?: string | undefined;
      readonly isPlain?: boolean;
      readonly mayWait?: boolean;
    } = {},
  ): Asked {
    const key = JSON.stringify(id);
    const asked: Asked = {
      key,
      id,
      method,
      isSafe,
      askedAt: this.#stage.awake,
      token: more.token,
      mark: more.isPlain ? undefined : `mark ${this.#order}`,
      cursor: more.cursor,
      isReused: this.#byKey.has(key),
      mayWait: more.mayWait ?? false,
      order: ++this.#order,
      progress: -Infinity,
      progressed: 0,
      refusedOn: undefined,
      cancelledAt: undefined,
      answers: 0,
      sentOn: undefined,
      written: 0,
      executed: 0,
      stirredAt: this.#stage.awake,
      total,
      queuedMs: 0,
      waitsFrom: this.downMs,
      isTooLarge: "no",
    };
    this.#byKey.set(asked.key, asked);
    if (asked.mark !== undefined) this.#byMark.set(asked.mark, asked);
    return asked;
  }

  /** The proxy wrote it to a connection. */
  written(asked: Asked, epoch: number): void {
    assert(asked.answers === 0, "written after its answer");
    assert(asked.cancelledAt === undefined, "written after it was cancelled");
    assert(asked.isTooLarge !== "yes", "written after it was too large");
    const isKnown = asked.sentOn !== epoch || asked.refusedOn === epoch ||
      asked.method === "initialize";
    assert(isKnown, `${asked.key} was written twice to a connection`);
    asked.sentOn = epoch;
    asked.queuedMs += this.downMs - (asked.waitsFrom ?? this.downMs);
    asked.waitsFrom = undefined;
    asked.stirredAt = this.#stage.awake;
    asked.written++;
    if (asked.method === "initialize") return;
    if (asked.written > 1) {
      this.repeats++;
      // Once because its connection was lost, and once because it was not understood.
      const most = asked.refusedOn === undefined ? 2 : 3;
      assert(asked.written <= most, "tried once more");
      assert(this.#config.retry !== "never", "written again");
      assert(asked.isSafe || this.#config.retry === "always", "unsafe, twice");
    } else if (!asked.mayWait) {
      assert(asked.order > this.#lastWritten, "out of order");
      this.#lastWritten = asked.order;
    }
  }

  /** A connection was left: what was in flight there waits for another one, if it is not answered at once. */
  lost(epoch: number): void {
    for (const asked of this.inFlight(epoch)) asked.waitsFrom = this.downMs;
  }

  /** What is in flight on a connection. */
  *inFlight(epoch: number): Iterable<Asked> {
    for (const asked of this.#byKey.values()) {
      const isOpen = asked.answers === 0 && asked.cancelledAt === undefined;
      if (isOpen && asked.sentOn === epoch) yield asked;
    }
  }

  /** The queue has no more in it than it may have. */
  checkQueue(): void {
    let waiting = 0;
    for (const { answers, cancelledAt, written } of this.#byKey.values()) {
      const isOpen = answers === 0 && cancelledAt === undefined;
      if (isOpen && written === 0) waiting++;
    }
    assert(waiting <= this.#config.queueLimit, `${waiting} wait`);
  }

  /** Whether something waits to be written. */
  get isAnyWaiting(): boolean {
    return [...this.#byKey.values()].some((it) =>
      it.answers === 0 && it.cancelledAt === undefined && it.written === 0
    );
  }

  /** Whether an answer is owed for something that was written to a connection. */
  isOwedOn(epoch: number): boolean {
    for (const _ of this.inFlight(epoch)) return true;
    return false;
  }

  /** Progress came. */
  progressed({ progressToken, progress }: Json): void {
    const asked = [...this.#byKey.values()]
      .find(({ token }) => token === progressToken);
    assert(asked !== undefined && asked.answers === 0, "stray progress");
    assert(asked.cancelledAt === undefined, "progress on what was cancelled");
    const isRising = progress > asked.progress || asked.written <= 1;
    assert(isRising, "progress of the first try after the second one's");
    asked.progress = Math.max(asked.progress, progress);
    asked.progressed++;
  }

  /** An answer came: the daemon's, or an error of the proxy's own. */
  answered(asked: Asked, error: Json): "daemon" | "proxy" {
    assertEquals(++asked.answers, 1, `answers to ${asked.key}`);
    assert(asked.cancelledAt === undefined, `${asked.key} was cancelled`);
    const waited = this.#stage.awake - asked.askedAt;
    assert(waited <= asked.total + 1, "too late");
    if (error === undefined || error.code < -32000) {
      this.answers++;
      return "daemon";
    }
    this.faults++;
    this.#blame(asked, error.code, error.data);
    return "proxy";
  }

  /** The daemon spoke of it: it must not have been silent for too long before. */
  stirred(asked: Asked): void {
    const isOpen = asked.answers === 0 && asked.cancelledAt === undefined;
    const idle = this.#stage.awake - asked.stirredAt;
    asked.stirredAt = this.#stage.awake;
    if (asked.method === "initialize" || !isOpen) return;
    const { idleTimeout } = this.#config;
    assert(idle <= idleTimeout + 1, `${asked.key} was idle for ${idle}`);
  }

  /** An error of the proxy's own must have its cause. */
  #blame(asked: Asked, code: number, data: Json): void {
    const mayBeDone = asked.written > 0 && code !== -31005;
    if (mayBeDone) assert(data.delivered === "unknown", "it was written");
    const isHarmless = asked.written === 0 || asked.isSafe;
    assert(!data.retryable || isHarmless, "an invitation to do it twice");
    const { queueTimeout, idleTimeout } = this.#config;
    const isEnd = this.endedAt !== undefined;
    const waited = this.#stage.awake - asked.askedAt;
    switch (code) {
      case -31001: {
        // What opens the conversation waits also while it is in flight.
        if (asked.method === "initialize") return;
        const queued = asked.queuedMs + this.downMs -
          (asked.waitsFrom ?? this.downMs);
        const late = queued - queueTimeout;
        assert(late <= 1, `${asked.key} waited ${late} too long`);
        if (isEnd || data.reason === "refused") return;
        // One that is to be written once more has waited since nobody knows when.
        if (asked.refusedOn !== undefined) return;
        // After a long outage a request may wait for 20 s only.
        const least = Math.min(queueTimeout, 20_000);
        assert(queued >= least - 1, `gave up after ${queued}`);
        return;
      }
      case -31002:
        assert(asked.written > 0, "it was never written");
        // One that waited for a hint to be confirmed may have waited long before.
        assert(
          asked.method === "initialize" ||
            asked.isSafe && asked.method === "tools/call" ||
            this.#stage.awake - asked.stirredAt <= idleTimeout + 1,
          "idle too long",
        );
        if (isEnd || asked.written > 1) return;
        if (asked.isTooLarge !== "no") return;
        if (asked.method === "initialize") return;
        assert(
          this.#config.retry !== "always" &&
            !(asked.isSafe && this.#config.retry === "safe" &&
              asked.method !== "tools/call"),
          `${asked.key} (${asked.method}) could have been repeated`,
        );
        return;
      case -31003: {
        const idle = this.#stage.awake - asked.stirredAt;
        const isDue = idle >= idleTimeout - 1 || waited >= asked.total - 1;
        assert(isDue, `timed out after ${waited}, idle for ${idle}`);
        return;
      }
      case -31004:
        return assertEquals(waited, 0);
      case -31005:
        return;
      default:
        throw new Error(`an unknown code: ${code}`);
    }
  }

  /** The world is over: nobody is left without an answer. */
  judge(): void {
    for (const { key, answers, cancelledAt } of this.#byKey.values()) {
      const isExcused = cancelledAt !== undefined;
      assert(
        answers === 1 || isExcused,
        `${key} was answered ${answers} times`,
      );
    }
  }
}
