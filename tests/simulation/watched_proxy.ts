/**
 * A proxy in a simulated world, with its client and its books: who waits, since
 * when, how often it dials. Every rule about reconnecting is checked whenever
 * something happens.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import { Exai } from "../../lib/dialects/exai/exai.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import { Session } from "../../lib/session/session.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { Dials } from "./dial_limits.ts";
import { META } from "../helpers/session/cold_start_driver.ts";
import { EXAI } from "../helpers/session/exai_driver.ts";
import type { Speech } from "./quick_daemon.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Stage } from "./clock_and_random.ts";

/** How long after a dial a request makes no further one to a daemon that refuses us. */
const REFUSED_MS = 5_000;
/** No request is given up before this for want of a connection, if the queue timeout is longer. */
const LEAST_PATIENCE_MS = 20_000;
/** How long a connection must stay ready for the table to begin anew. */
const STABLE_MS = 5_000;
/** How long a client waits that was told of a failure, before it says hello again. */
const AGAIN_MS = 1_000;

/** What the network does for a proxy. It must not call back at once. */
export interface Wire {
  dialed(epoch: number): void;
  sent(epoch: number, text: string): void;
  left(epoch: number): void;
}

/** Since when the daemon can be reached, and how long a request may wait for a connection to it. */
export interface Back {
  readonly since: number;
  readonly limit: number;
}

/** What the client asked. */
export interface Asked {
  readonly id: number;
  readonly method: string;
  /** It is held as long as the client wants, and calls for no dial. */
  readonly isStanding: boolean;
  /** It goes on a connection of exai's pool. */
  readonly isPooled: boolean;
  readonly askedAt: number;
  /** What the clock of all outages showed then. */
  readonly downAtAsk: number;
  /** How often it was written. */
  written: number;
  /** The connection that it was written to, as long as that lasts. */
  sentOn: number | undefined;
  /** Since when it waits to be written. */
  waitsSince: number;
  answeredAt: number | undefined;
  /** The code of the error that it was answered with. */
  code: number | undefined;
}

/** How long a daemon has to confirm a hint, in milliseconds. */
const HINT_MS = 5_000;

export class Watched {
  readonly #stage: Stage;
  readonly #config: SessionConfig;
  readonly #speech: Speech;
  readonly #session: Session;
  readonly #wire: Wire;
  readonly #back: () => Back | undefined;
  readonly #asked = new Map<number, Asked>();
  readonly #pending = new Set<Asked>();
  readonly #live = new Set<number>();
  /** When a request for each kind of connection was written last. */
  readonly #writtenAt = { main: 0, pool: 0 };
  #ids: number;
  /** The client knows the daemon, and may ask. */
  #isIntroduced: boolean;
  #readyAt: number | undefined;
  /** The daemon has answered the client since the connection became ready: on any connection, or on this one. */
  #hasServed: "nowhere" | "elsewhere" | "here" = "nowhere";
  /** The daemon has answered in this process. */
  #isKnown = false;
  /** Since when the present dial lasts, or its WebSocket is open, and whether a request has waited meanwhile. */
  #step = { since: 0, wasWanted: false };
  /** How long there was no usable connection until {@linkcode #clock}, in all. */
  #down = 0;
  #clock = 0;
  /** The daemon has refused the last dial, and nothing was dialed since. */
  #isRefused = false;
  /** The client may be told that the daemon refuses it. */
  #mayBeRefused = false;
  #endedAt: number | undefined;
  /** When the client asked last. */
  askedAt = -Infinity;
  /** The main connection that was dialed last. */
  mainEpoch = 0;
  readonly dials: Dials;
  answers = 0;
  faults = 0;
  /** Log lines that say that another client takes the connection. */
  displacements = 0;
  exit: number | undefined;

  constructor(
    stage: Stage,
    config: SessionConfig,
    speech: Speech,
    wire: Wire,
    back: () => Back | undefined,
    lastId = 0,
  ) {
    const { random } = stage;
    const dialect = speech === "exai"
      ? new Exai(EXAI, random)
      : new Mcp(random);
    this.#stage = stage;
    this.#config = config;
    this.#speech = speech;
    this.#session = new Session(config, dialect, random, 0);
    this.#wire = wire;
    this.#back = back;
    this.#ids = lastId;
    this.#isIntroduced = speech === "exai";
    this.dials = new Dials(speech === "exai" ? 4 : 0);
  }

  /** Whether a request waits for a connection that will be given up one day. */
  get isWanting(): boolean {
    for (const { isStanding, sentOn } of this.#pending) {
      if (!isStanding && sentOn === undefined) return true;
    }
    return false;
  }

  /** Whether the client has said anything. */
  get hasSpoken(): boolean {
    return this.#speech === "exai" || this.#asked.size > 0;
  }

  /** Whether the client is owed an answer that it waits for. */
  get isOwed(): boolean {
    for (const { isStanding } of this.#pending) if (!isStanding) return true;
    return false;
  }

  /** Whether the daemon has refused the last dial. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** How long there was no usable connection until now, in all. */
  get #downNow(): number {
    const gap = this.#stage.now - this.#clock;
    return this.#down + (this.#readyAt === undefined ? gap : 0);
  }

  deadline(): number {
    return this.#session.deadline();
  }

  // The client

  /** The client says hello, in its way. */
  hello(): void {
    if (this.#speech === "exai") return;
    if (this.#speech === "modern") {
      this.#ask("server/discover", {});
    } else {
      const protocolVersion = "2025-11-25";
      this.#ask("initialize", { protocolVersion, capabilities: {} });
    }
  }

  /** The client asks, if it may ask already. */
  ask(method: string, tool?: "look" | "write"): Asked | undefined {
    if (!this.#isIntroduced || this.#endedAt !== undefined) return undefined;
    const id = this.#ids + 1;
    return this.#ask(method, {
      ...(tool && { name: tool, arguments: { id } }),
    });
  }

  #ask(method: string, params: Json): Asked {
    const { now } = this.#stage;
    const isStanding = /^(subscriptions\/listen|server\/discover)$/
      .test(method);
    const asked: Asked = {
      id: ++this.#ids,
      method,
      isStanding,
      isPooled: this.#speech === "exai" && method === "tools/call",
      askedAt: now,
      downAtAsk: this.#downNow,
      written: 0,
      sentOn: undefined,
      waitsSince: now,
      answeredAt: undefined,
      code: undefined,
    };
    this.#asked.set(asked.id, asked);
    if (!isStanding) this.askedAt = now;
    const wasRefused = this.#isRefused;
    const { mainAt: dialedAt } = this.dials;
    this.#say({
      id: asked.id,
      method,
      params: { ...params, ...(this.#speech === "modern" && { _meta: META }) },
    }, asked);
    if (!wasRefused || isStanding || method === "initialize") return asked;
    const age = now - dialedAt;
    if (age < REFUSED_MS - 100) {
      assert(
        asked.answeredAt === now && asked.code === -31001,
        `${asked.id} was not refused at once, ${age} ms after the last dial`,
      );
    } else if (age > REFUSED_MS + 1_000 && asked.answeredAt === now) {
      const isDialed = this.dials.mainAt === now;
      assert(isDialed, `${asked.id} was refused without a new dial`);
    }
    return asked;
  }

  #say(message: Json, asked?: Asked): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.handle({ type: "line", text }, { asked });
  }

  // The session

  /** Something happens to the proxy; `refuses` says whether the daemon refuses it thereby. */
  handle(
    event: SessionEvent,
    { refuses = false, asked }: {
      refuses?: boolean;
      asked?: Asked | undefined;
    } = {},
  ): void {
    if (this.exit !== undefined) return;
    const { now } = this.#stage;
    this.#down = this.#downNow;
    this.#clock = now;
    this.check();
    if (event.type === "end") this.#endedAt ??= now;
    const isMain = "epoch" in event && event.epoch === this.mainEpoch &&
      this.#live.has(event.epoch);
    if (isMain && refuses) this.#mayBeRefused = true;
    else if (isMain && event.type === "closed") this.#mayBeRefused = false;
    if (isMain && event.type === "open") this.#step.since = now;
    if (event.type === "closed") this.#lose(event.epoch);
    const wasWanting = this.isWanting;
    if (asked !== undefined) this.#pending.add(asked);
    const isWanted = wasWanting || this.isWanting;
    this.dials.want(now, isWanted);
    this.#step.wasWanted ||= isWanted;
    const effects = this.#session.handle(event, now);
    if (event.type === "tick") this.#checkPatience(effects);
    this.#look();
    this.#checkEnd();
    for (const effect of effects) this.#perform(effect, isWanted);
    this.dials.want(now, this.isWanting);
    if (!refuses || !isMain) return;
    this.#isRefused = true;
    this.dials.refused(now);
    assert(!this.isWanting, "a request still waits after a refusal");
  }

  /** Where the connection is now. */
  #look(): void {
    const { now } = this.#stage;
    const { phase } = this.#session.snapshot().standing;
    const isReady = phase === "ready" || phase === "checking";
    if (isReady && this.#readyAt === undefined) {
      this.#readyAt = now;
      this.#isRefused = this.#mayBeRefused = false;
      this.#isKnown = true;
      this.#hasServed = "nowhere";
    } else if (!isReady && this.#readyAt !== undefined) {
      const ms = now - this.#readyAt;
      this.#readyAt = undefined;
      if (ms < STABLE_MS && this.#hasServed === "nowhere") return;
      // What a pool has answered need not concern the main connection.
      const isCertain = ms > STABLE_MS + 10 || this.#hasServed === "here";
      this.dials.restart(now, isCertain);
    }
  }

  /** Whatever is not open, or left to another client, is dialed one day. */
  #checkEnd(): void {
    const { phase } = this.#session.snapshot().standing;
    const mayWait = /^(displaced|open|ready|checking)$/.test(phase);
    const isEndless = this.#session.deadline() === Infinity;
    const isOver = this.#endedAt !== undefined;
    assert(mayWait || isOver || !isEndless, `it is ${phase} for ever`);
  }

  /** A dial is given up early only if a request has waited for it, and the daemon is known. */
  #checkPatience(effects: readonly Effect[]): void {
    const { now } = this.#stage;
    const { since, wasWanted } = this.#step;
    const isGivenUp = effects.some((effect) =>
      effect.type === "close" && effect.epoch === this.mainEpoch
    );
    const isOver = this.#readyAt !== undefined || this.#endedAt !== undefined;
    if (!isGivenUp || isOver || wasWanted && this.#isKnown) return;
    const { handshakeTimeout } = this.#config;
    assert(
      now - since >= handshakeTimeout - 1,
      `a dial was given up after ${now - since} ms, and ` +
        (wasWanted ? "the daemon is not known" : "nobody waited for it"),
    );
  }

  #perform(effect: Effect, isWanted: boolean): void {
    const { now } = this.#stage;
    switch (effect.type) {
      case "dial": {
        const { epoch, subprotocol } = effect;
        this.#live.add(epoch);
        const { phase } = this.#session.snapshot().standing;
        if (phase === "dialing") {
          this.mainEpoch = epoch;
          const isAsked = this.#isRefused && now - this.askedAt <= 100;
          this.#isRefused = false;
          this.#step = { since: now, wasWanted: isWanted };
          this.dials.main(now, subprotocol, isWanted, isAsked);
        } else this.dials.other(now);
        return this.#wire.dialed(epoch);
      }
      case "send":
        this.#written(effect.epoch, JSON.parse(effect.text));
        return this.#wire.sent(effect.epoch, effect.text);
      case "close":
        this.#lose(effect.epoch);
        if (effect.epoch === this.mainEpoch) this.dials.ended(now);
        return this.#wire.left(effect.epoch);
      case "reply":
        return this.#replied(JSON.parse(effect.text));
      case "log":
        assert(effect.event !== "bug", effect.message);
        assert(!/Infinity|NaN/.test(effect.message), effect.message);
        if (effect.event === "displaced") {
          this.displacements++;
          this.dials.displaced();
        }
        return;
      case "exit":
        this.exit = effect.code;
    }
  }

  /** A connection is over: what was written to it waits again, or is answered now. */
  #lose(epoch: number): void {
    this.#live.delete(epoch);
    for (const asked of this.#pending) {
      if (asked.sentOn !== epoch) continue;
      asked.sentOn = undefined;
      asked.waitsSince = this.#stage.now;
    }
  }

  #written(epoch: number, frame: Json): void {
    assert(this.#live.has(epoch), "sent on no connection");
    const asked = this.#requestOf(frame);
    if (asked === undefined) return;
    assert(asked.answeredAt === undefined, `${asked.id} was written too late`);
    asked.sentOn = epoch;
    asked.written++;
    this.#writtenAt[asked.isPooled ? "pool" : "main"] = this.#stage.now;
  }

  /** The client's request in a frame. Only exai's list has no id; the one that waits first counts. */
  #requestOf(frame: Json): Asked | undefined {
    if (this.#speech !== "exai") {
      return frame.method && this.#asked.get(frame.id);
    }
    if (frame.op === "call_tool") return this.#asked.get(frame.arguments.id);
    if (frame.op !== "list_tools") return undefined;
    return [...this.#pending].find(({ method, sentOn }) =>
      method === "tools/list" && sentOn === undefined
    );
  }

  #replied({ id, method, error }: Json): void {
    if (method !== undefined) return;
    const { now } = this.#stage;
    const asked = this.#asked.get(id);
    assert(asked !== undefined, `an answer to ${id}, which nobody asked`);
    assert(asked.answeredAt === undefined, `${id} was answered twice`);
    asked.answeredAt = now;
    asked.code = error?.code;
    this.#pending.delete(asked);
    const isIntroduction = /^(initialize|server\/discover)$/
      .test(asked.method);
    if (error === undefined) {
      this.answers++;
      // A proxy that introduces itself has answered nothing of the daemon's.
      if (asked.sentOn !== undefined && this.#hasServed !== "here") {
        this.#hasServed = asked.isPooled ? "elsewhere" : "here";
      }
      if (isIntroduction) this.#stage.later(1, () => this.#introduced());
      return;
    }
    this.faults++;
    this.#blame(asked, error);
    if (isIntroduction && this.#endedAt === undefined) {
      this.#stage.later(AGAIN_MS, () => this.hello());
    }
  }

  #introduced(): void {
    if (this.#endedAt !== undefined) return;
    this.#isIntroduced = true;
    if (this.#speech !== "mcp") return;
    this.#say({ method: "notifications/initialized" });
  }

  /** An error of the proxy's own must have its cause. */
  #blame(asked: Asked, { code, data }: Json): void {
    const { id, written, isPooled } = asked;
    const isList = this.#speech === "exai" && asked.method === "tools/list";
    if (data?.delivered === "no" && !isList) {
      assertEquals(written, 0, `${id} was written, and is said not to be`);
    }
    assert(code !== -31002 || written > 0, `${id} was never written`);
    assert(code !== -31003, `${id} timed out, without a limit`);
    if (data?.reason === "refused") {
      assert(this.#mayBeRefused, `${id} was refused, and the daemon did not`);
    }
    const isEnd = this.#endedAt !== undefined;
    if (code !== -31001 || data.reason !== "unavailable" || isEnd) return;
    const { queueTimeout } = this.#config;
    // How long a pool was missing cannot be seen from here.
    const waited = isPooled
      ? this.#stage.now - asked.askedAt
      : this.#down - asked.downAtAsk;
    const least = Math.min(queueTimeout, LEAST_PATIENCE_MS);
    assert(
      waited >= least - 1,
      `${id} was given up after ${waited} ms without a connection`,
    );
  }

  // The rules that hold all the time

  /** Nobody waits for too long. To be called before something about the daemon changes, too. */
  check(): void {
    if (this.#pending.size === 0 || this.#endedAt !== undefined) return;
    const { now } = this.#stage;
    const back = this.#back();
    const { queueTimeout } = this.#config;
    for (const asked of this.#pending) {
      const { id, isStanding, isPooled, sentOn, waitsSince } = asked;
      if (isStanding || sentOn !== undefined) continue;
      if (!isPooled) {
        const down = this.#downNow - asked.downAtAsk;
        assert(
          down <= queueTimeout + 1,
          `${id} (${asked.method}) has waited ${down} ms without a ` +
            `connection, and the queue timeout is ${queueTimeout} ms in all`,
        );
      }
      // A call that was written may have to wait until its hint is confirmed.
      const isAgain = asked.written > 0 && asked.method === "tools/call";
      if (back === undefined) continue;
      const limit = back.limit + (isAgain ? HINT_MS : 0);
      const writtenAt = this.#writtenAt[isPooled ? "pool" : "main"];
      const waited = now - Math.max(back.since, waitsSince, writtenAt);
      assert(
        waited <= limit,
        `${id} (${asked.method}) has waited ${waited} ms for a daemon that ` +
          `is there, and may wait ${limit} ms`,
      );
    }
  }

  /** The world is over: nobody is left without an answer. */
  judge(): void {
    assertEquals(this.exit, 0, "exit code");
    assertEquals(this.#session.owed, 0, "owed answers");
    for (const { id } of this.#pending) {
      throw new Error(`${id} was never answered`);
    }
  }
}
