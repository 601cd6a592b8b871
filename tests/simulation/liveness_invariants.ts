/**
 * What the client of a liveness world asked, what became of it, and what the
 * world knows of every connection.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import type { Style } from "./message_habits.ts";
import type { Json } from "../helpers/session/session_driver.ts";

/** What a client can be told. */
export type Outcome = "answered" | "told" | "unavailable" | "timed out";

/** A request of the client's. Moments are of the time that the program was awake. */
export interface Asked {
  readonly id: string | number;
  readonly method: string;
  /** How long the daemon is at it. */
  readonly ms: number;
  /** It may be executed twice. */
  readonly isSafe: boolean;
  readonly askedAt: number;
  readonly token: string | undefined;
  /** How often it was written, since when, and to which connection last. */
  written: number;
  writtenAt: number | undefined;
  line: Line | undefined;
  executed: number;
  cancelledAt: number | undefined;
  answers: number;
  answeredAt: number | undefined;
  outcome: Outcome | undefined;
  progress: number;
  /** By when it must have its answer if nothing else happens, and what was the last thing that had happened then. */
  due: { readonly by: number; readonly disturbances: number } | undefined;
}

/** What goes one way on a connection, in order. */
export interface Way {
  readonly queue: { readonly at: number; readonly run: () => void }[];
  lastAt: number;
  /** What is on the way, and what comes, is lost. */
  isDead: boolean;
}

/** A connection. Moments are of the time that the program was awake. */
export interface Line {
  readonly epoch: number;
  readonly up: Way;
  readonly down: Way;
  isAccepted: boolean;
  isOpen: boolean;
  /** The daemon has closed it. */
  isClosed: boolean;
  leftAt: number | undefined;
  /** The daemon has spoken on it, and when last. */
  heardAt: number | undefined;
  /** When it last carried something. */
  busyAt: number;
  /** What the proxy itself has asked, but for pings. */
  readonly own: Set<string | number>;
  readonly pings: Set<string | number>;
  hasPonged: boolean;
  lastPingAt: number;
  /** What was written, and has not been settled by an answer. */
  unsettled: (string | number)[];
  /** When the program last woke up while it was open. */
  wokeAt: number | undefined;
  /** It froze when nothing was in flight, after it had answered a ping, and the daemon keeps two. */
  isAccountable: boolean;
}

/** A new connection. */
export function line(epoch: number, now: number): Line {
  const way = (): Way => ({ queue: [], lastAt: 0, isDead: false });
  return {
    ...{ epoch, up: way(), down: way() },
    ...{ isAccepted: false, isOpen: false, isClosed: false },
    ...{ leftAt: undefined, heardAt: undefined, busyAt: now },
    ...{ own: new Set<string | number>() },
    ...{ pings: new Set<string | number>() },
    ...{ hasPonged: false, lastPingAt: -Infinity, unsettled: [] },
    ...{ wokeAt: undefined, isAccountable: false },
  };
}

/** Whether what is written there arrives, and the other way. */
export function isDead({ up, down }: Line): boolean {
  return up.isDead || down.isDead;
}

/** Whether a request is a call, and not only a sign of life or what opens a conversation. */
export function isCall({ method }: Asked): boolean {
  return !/^(ping|initialize|server\/discover)$/.test(method);
}

/** Whether nobody waits for it any more. */
export function isOver({ answers, cancelledAt }: Asked): boolean {
  return answers > 0 || cancelledAt !== undefined;
}

/** Since when nobody waits for a request that has no answer of the daemon's. */
function givenUpAt(
  { answeredAt, cancelledAt, outcome }: Asked,
): number | undefined {
  return cancelledAt ?? (outcome === "timed out" ? answeredAt : undefined);
}

/** How long a call that was given up counts as in flight. */
const GIVEN_UP_MS = 60_000;

/** Every request; each method throws when a promise is broken. */
export class LivenessBooks {
  readonly #all = new Map<string, Asked>();
  readonly #style: Style;

  constructor(style: Style) {
    this.#style = style;
  }

  get all(): Iterable<Asked> {
    return this.#all.values();
  }

  get(id: unknown): Asked | undefined {
    return this.#all.get(`${id}`);
  }

  register(
    what: Pick<Asked, "method" | "ms" | "isSafe" | "askedAt" | "token">,
  ): Asked {
    const number = this.#all.size + 1;
    const id = this.#style === "numbers"
      ? number
      : this.#style === "texts"
      ? `${number}`
      : `r${number}`;
    const asked: Asked = {
      ...{ ...what, id, written: 0 },
      ...{ writtenAt: undefined, line: undefined, executed: 0 },
      ...{ cancelledAt: undefined, answers: 0, answeredAt: undefined },
      ...{ outcome: undefined, progress: -Infinity, due: undefined },
    };
    this.#all.set(`${id}`, asked);
    return asked;
  }

  /** The calls that were written to a connection and are owed an answer. */
  inFlight(line: Line): Asked[] {
    return [...this.#all.values()].filter((it) =>
      it.line === line && isCall(it) && !isOver(it)
    );
  }

  /** Whether a call was ever written, and not only a list. */
  get hasCalled(): boolean {
    return [...this.#all.values()].some((it) =>
      it.written > 0 && isCall(it) && it.method !== "tools/list"
    );
  }

  /** Until when a connection may be silent without being idle. */
  busyUntil(line: Line, now: number): number {
    let until = line.own.size > 0 ? now : line.busyAt;
    for (const it of this.#all.values()) {
      if (it.line !== line || !isCall(it)) continue;
      const at = givenUpAt(it);
      if (at === undefined && !isOver(it)) return now;
      if (at === undefined || !line.unsettled.includes(it.id)) continue;
      until = Math.max(until, Math.min(now, at + GIVEN_UP_MS));
    }
    return until;
  }

  /** The daemon begins a call. */
  begun(id: unknown): void {
    const asked = this.get(id);
    assert(asked !== undefined, `${id} was executed, and nobody asked`);
    asked.executed++;
    const most = asked.isSafe ? 2 : 1;
    assert(
      asked.executed <= most,
      `${id} was executed ${asked.executed} times`,
    );
  }

  written(asked: Asked, line: Line, now: number): void {
    const { id, isSafe } = asked;
    assert(!isOver(asked), `${id} was written, and nobody waits for it`);
    // What opens the conversation opens it on every connection.
    const most = !isCall(asked) ? Infinity : isSafe ? 2 : 1;
    assert(++asked.written <= most, `${id} was written ${asked.written} times`);
    asked.line = line;
    asked.writtenAt ??= now;
  }

  progressed({ progressToken, progress }: Json): void {
    const asked = [...this.#all.values()].find((it) =>
      it.token === progressToken
    );
    assert(asked !== undefined && !isOver(asked), "progress for nobody");
    assert(progress > asked.progress, "progress that does not rise");
    asked.progress = progress;
  }

  /** The client has an answer. */
  answered(message: Json, now: number): Asked {
    const asked = this.get(message.id);
    assert(asked !== undefined, `an answer to ${message.id}`);
    const { id, method } = asked;
    assertEquals(message.id, id, "its own spelling");
    assertEquals(++asked.answers, 1, `answers to ${id}`);
    assert(asked.cancelledAt === undefined, `${id} was cancelled`);
    asked.answeredAt = now;
    asked.outcome = outcomeOf(message.error?.code);
    if (asked.outcome === "answered" && method === "tools/call") {
      assertEquals(message.result.content[0].text, `${id}`);
      const isOnce = asked.isSafe ? asked.executed >= 1 : asked.executed === 1;
      assert(isOnce, `${id} was answered and executed ${asked.executed} times`);
    }
    return asked;
  }
}

function outcomeOf(code: number | undefined): Outcome {
  switch (code) {
    case undefined:
      return "answered";
    case -31001:
      return "unavailable";
    case -31002:
      return "told";
    case -31003:
      return "timed out";
    default:
      throw new Error(`an unknown code: ${code}`);
  }
}
