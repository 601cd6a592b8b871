/**
 * A random world in simulated time: a client that asks, cancels and errs, a
 * network that loses, and a daemon that dies, hangs and rambles. Every promise
 * of the delivery contract is checked at every step.
 *
 * @module
 */

import { assert, assertEquals } from "./assert.ts";
import type { SessionConfig } from "../../lib/desk.ts";
import type { Effect, SessionEvent } from "../../lib/event.ts";
import { Mcp } from "../../lib/mcp.ts";
import { DRAIN_MS, Session } from "../../lib/session.ts";
import { DEFAULTS, type Json } from "./scene.ts";

/** How long the client asks, in simulated milliseconds. */
const LIFE_MS = 120_000;
const REQUESTS = 90;
/** What a world may take before it counts as running away. */
const STEPS = 20_000;

/** A generator of chance (mulberry32), so that a world can be seen again. */
export function prng(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** What the client knows of one of its requests. */
interface Asked {
  readonly key: string;
  readonly id: unknown;
  readonly method: string;
  readonly isSafe: boolean;
  readonly askedAt: number;
  readonly token: string | undefined;
  readonly order: number;
  progress: number;
  cancelledAt: number | undefined;
  answers: number;
  sentOn: number | undefined;
  written: number;
  executed: number;
  /** When the daemon was last heard of it, or got it. */
  stirredAt: number;
}

/** One connection, as the network and the daemon see it. */
interface Line {
  readonly epoch: number;
  isOpen: boolean;
  isGreeted: boolean;
  /** The daemon has answered the greeting. */
  isReady: boolean;
  /** The daemon's process has ended. */
  isGone: boolean;
  /** Nothing arrives any more, and nobody says so. */
  isBlack: boolean;
  /** The proxy has left it. */
  leftAt: number | undefined;
  deadAt: number | undefined;
  busyAt: number;
  readonly texts: Set<string>;
  /** What the proxy itself has asked the daemon, and is not answered: then, too, silence is patience. */
  readonly own: Set<string>;
  readonly questions: Map<string, number>;
  /** How many questions the daemon has asked; it counts from 0 on every connection. */
  asked: number;
}

/** What happened in a world, to show that much did. */
export interface Tally {
  answers: number;
  faults: number;
  dials: number;
  losses: number;
  repeats: number;
}

/** Lives through a world. Throws when a promise is broken. */
export function live(seed: number): Tally {
  return new World(seed).live();
}

class World {
  readonly #random: () => number;
  readonly #config: SessionConfig;
  readonly #session: Session;
  readonly #agenda: { at: number; order: number; run: () => void }[] = [];
  readonly #lines = new Map<number, Line>();
  readonly #requests = new Map<string, Asked>();
  readonly #questionIds = new Set<unknown>();
  readonly #tally: Tally = {
    answers: 0,
    faults: 0,
    dials: 0,
    losses: 0,
    repeats: 0,
  };
  #now = 0;
  #order = 0;
  #isDaemonUp = true;
  #isAgreed = false;
  #tools = 1;
  #dialed: { at: number; subprotocol: string | undefined } | undefined;
  #readyLostAt = 0;
  #lastWritten = 0;
  #endedAt: number | undefined;
  #exit: number | undefined;

  constructor(seed: number) {
    const random = this.#random = prng(seed);
    this.#config = {
      ...DEFAULTS,
      retry: this.#pick(["safe", "safe", "safe", "always", "never"] as const),
      queueTimeout: this.#pick([4_000, 45_000]),
      queueLimit: this.#pick([5, 1000]),
      idleTimeout: this.#pick([8_000, 600_000]),
      requestTimeout: this.#pick([1_500, 20_000, Infinity]),
      handshakeTimeout: this.#pick([2_000, 15_000]),
      maxMessage: 2_000,
    };
    this.#session = new Session(this.#config, new Mcp(random), random, 0);
  }

  live(): Tally {
    this.#plan();
    this.#happen({ type: "tick" });
    for (let step = 0; this.#exit === undefined; step++) {
      assert(step < STEPS, "the world runs away");
      const wake = this.#session.deadline();
      const next = this.#agenda[0];
      if (next !== undefined && next.at <= wake) {
        this.#agenda.shift();
        this.#now = Math.max(this.#now, next.at);
        next.run();
      } else {
        assert(wake < Infinity, "nothing is left to wait for");
        this.#now = Math.max(this.#now, wake);
        this.#happen({ type: "tick" });
      }
    }
    this.#judge();
    return this.#tally;
  }

  // The script: what will happen, as far as it does not depend on the proxy.

  #plan(): void {
    const isGreeter = this.#chance(0.95);
    if (isGreeter) this.#later(this.#random() * 500, () => this.#hello());
    // Half of the clients work in bursts, so that links fall idle between.
    const bursts = this.#pick([1, 6]);
    for (let i = 0; i < REQUESTS; i++) {
      const burst = Math.floor(this.#random() * bursts) / bursts * LIFE_MS;
      const within = this.#random() * (bursts === 1 ? LIFE_MS : 3_000);
      this.#later(500 + burst + within, () => this.#ask(i));
    }
    for (let i = 0; i < 5; i++) {
      this.#later(this.#random() * LIFE_MS, () => this.#err());
    }
    const crashes = Math.floor(this.#random() * 5);
    for (let i = 0; i < crashes; i++) {
      this.#later(this.#random() * LIFE_MS, () => this.#crash());
    }
    if (this.#chance(0.2)) this.#crash();
    this.#later(LIFE_MS + 1_000, () => {
      this.#endedAt = this.#now;
      this.#happen({ type: "end", cause: "stdin" });
    });
  }

  #crash(): void {
    this.#isDaemonUp = false;
    if (this.#chance(0.3)) this.#tools++;
    for (const line of this.#lines.values()) {
      if (line.isGone || line.leftAt !== undefined) continue;
      line.isGone = true;
      if (this.#chance(0.85)) this.#end(line, 1006);
      else this.#blacken(line);
    }
    const away = this.#random() ** 3 * 60_000;
    this.#later(away, () => this.#isDaemonUp = true);
  }

  // The client.

  #hello(): void {
    const params = { protocolVersion: "2025-11-25", capabilities: {} };
    const asked = this.#register(`hello ${this.#order}`, "initialize", true);
    this.#write(asked, params);
  }

  #ask(order: number): void {
    const method = this.#pick([
      "tools/call",
      "tools/call",
      "tools/call",
      "tools/list",
      "resources/read",
      "logging/setLevel",
      "ping",
    ]);
    const name = this.#pick(["write", "look"]);
    const isSafe = method === "tools/call" ? name === "look" : true;
    const number = order + 1;
    const id = this.#pick([
      number - 1,
      String(number),
      -number,
      `\u00e9${order}`,
    ]);
    const token = this.#chance(0.5) ? `t${order}` : undefined;
    const params = {
      name,
      ...(token !== undefined && { _meta: { progressToken: token } }),
      ...(this.#chance(0.02) && { much: "x".repeat(2_000) }),
    };
    const asked = this.#register(id, method, isSafe, token);
    this.#write(asked, params);
    if (this.#chance(0.03) && asked.answers === 0) this.#write(asked, params);
    if (!this.#chance(0.1)) return;
    this.#later(this.#random() * 5_000, () => {
      asked.cancelledAt ??= this.#now;
      const cancel = { requestId: id };
      this.#say({ method: "notifications/cancelled", params: cancel });
    });
  }

  #register(
    id: unknown,
    method: string,
    isSafe: boolean,
    token?: string,
  ): Asked {
    const asked: Asked = {
      key: JSON.stringify(id),
      id,
      method,
      isSafe,
      askedAt: this.#now,
      token,
      order: ++this.#order,
      progress: -Infinity,
      cancelledAt: undefined,
      answers: 0,
      sentOn: undefined,
      written: 0,
      executed: 0,
      stirredAt: this.#now,
    };
    this.#requests.set(asked.key, asked);
    return asked;
  }

  #write({ id, method }: Asked, params: Json): void {
    this.#say({ id, method, params });
  }

  #err(): void {
    const text = this.#pick([
      "{",
      "[]",
      '{"jsonrpc":"2.0","id":"bad","method":5}',
      '{"jsonrpc":"2.0","id":null,"method":"x"}',
      '{"jsonrpc":"2.0","id":"nobody asked","result":1}',
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":0,"progress":1}}',
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
    ]);
    this.#happen({ type: "line", text });
  }

  #say(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#happen({ type: "line", text });
  }

  #reply(text: string): void {
    assert(!/[\r\n]/.test(text), "a line has a line break");
    const message = JSON.parse(text);
    assertEquals(message.jsonrpc, "2.0");
    if (message.method === undefined) return this.#answered(message, text);
    if (message.id !== undefined) return this.#asked(message);
    if (message.method !== "notifications/progress") return;
    const { progressToken, progress } = message.params;
    const asked = [...this.#requests.values()]
      .find(({ token }) => token === progressToken);
    assert(asked !== undefined && asked.answers === 0, "stray progress");
    assert(asked.cancelledAt === undefined, "progress on what was cancelled");
    assert(progress > asked.progress, "progress that does not rise");
    asked.progress = progress;
  }

  #answered(message: Json, text: string): void {
    const key = JSON.stringify(message.id);
    const asked = this.#requests.get(key);
    if (key === '"bad"') return assertEquals(message.error.code, -32600);
    assert(asked !== undefined, `an answer to ${key}, which nobody asked`);
    assertEquals(++asked.answers, 1, `answers to ${key}`);
    assert(asked.cancelledAt === undefined, `${key} was cancelled`);
    const { requestTimeout } = this.#config;
    assert(this.#now - asked.askedAt <= requestTimeout + 1, "too late");
    const code = message.error?.code;
    if (code === undefined || code < -32000) {
      this.#tally.answers++;
      if (asked.method === "initialize") {
        if (code !== undefined) {
          this.#later(1_000, () => this.#hello());
          return;
        }
        this.#isAgreed = true;
        const initialized = { method: "notifications/initialized" };
        this.#later(1, () => this.#say(initialized));
      } else if (asked.method === "ping" && text.endsWith('"result":{}}')) {
        // The proxy itself answers pings while the daemon is away.
      } else if (asked.written > 0) {
        const line = this.#lines.get(asked.sentOn!);
        assert(line?.leftAt === undefined, "an answer of a stranger");
        const plain = text.replace(/^\{ /, "{").replace(/ \}$/, "}");
        assert(line?.texts.has(plain), `re-spelled: ${text}`);
      }
    } else {
      this.#tally.faults++;
      if (asked.method === "initialize") {
        this.#later(1_000, () => this.#hello());
      }
      this.#blame(asked, code, message.error.data);
    }
    asked.sentOn = undefined;
  }

  /** What is in flight is given up when the daemon was silent about it for too long. */
  #checkIdle(asked: Asked): void {
    if (asked.method === "initialize") return;
    if (asked.answers > 0 || asked.cancelledAt !== undefined) return;
    const idle = this.#now - asked.stirredAt;
    const { idleTimeout } = this.#config;
    assert(idle <= idleTimeout + 1, `${asked.key} was idle for ${idle}`);
  }

  /** An error of the proxy's own must have its cause. */
  #blame(asked: Asked, code: number, data: Json): void {
    const mayBeDone = asked.written > 0 && code !== -31005;
    if (mayBeDone) assert(data.delivered === "unknown", "it was written");
    const isHarmless = asked.written === 0 || asked.isSafe;
    assert(!data.retryable || isHarmless, "an invitation to do it twice");
    const { queueTimeout, idleTimeout, requestTimeout } = this.#config;
    const isEnd = this.#endedAt !== undefined;
    const waited = this.#now - asked.askedAt;
    switch (code) {
      case -31001: {
        const since = Math.max(asked.askedAt, this.#readyLostAt);
        const late = this.#now - since - queueTimeout;
        assert(late <= 1, `${asked.key} waited ${late} too long`);
        if (isEnd || data.reason === "refused") return;
        assert(waited >= queueTimeout - 1, `gave up after ${waited}`);
        return;
      }
      case -31002:
        assert(asked.written > 0, "it was never written");
        assert(this.#now - asked.stirredAt <= idleTimeout + 1, "idle too long");
        if (isEnd || asked.written > 1) return;
        assert(
          this.#config.retry !== "always" &&
            !(asked.isSafe && this.#config.retry === "safe" &&
              asked.method !== "tools/call"),
          `${asked.key} (${asked.method}) could have been repeated`,
        );
        return;
      case -31003: {
        const idle = this.#now - asked.stirredAt;
        const isDue = idle >= idleTimeout - 1 || waited >= requestTimeout - 1;
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

  /** The daemon asks the client something. */
  #asked({ id, params }: Json): void {
    assert(!this.#questionIds.has(id), "a question's id was used before");
    this.#questionIds.add(id);
    if (this.#chance(0.3)) return;
    this.#later(this.#random() * 3_000, () => {
      this.#say({ id, result: { mark: params.mark } });
      if (this.#chance(0.1)) this.#say({ id, result: { mark: "twice" } });
    });
  }

  // The network.

  #dial(epoch: number, subprotocol: string | undefined): void {
    this.#tally.dials++;
    const last = this.#dialed;
    // The subprotocol may be left out at once; otherwise there is a pause.
    if (last !== undefined && !(last.subprotocol && !subprotocol)) {
      const pause = this.#now - last.at;
      assert(pause >= 250, `dialed again after ${pause}`);
    }
    this.#dialed = { at: this.#now, subprotocol };
    const line: Line = {
      epoch,
      isOpen: false,
      isGreeted: false,
      isReady: false,
      isGone: false,
      isBlack: false,
      leftAt: undefined,
      deadAt: undefined,
      busyAt: this.#now,
      texts: new Set(),
      own: new Set(),
      questions: new Map(),
      asked: 0,
    };
    assert(!this.#lines.has(epoch), "an epoch was used before");
    this.#lines.set(epoch, line);
    if (!this.#isDaemonUp) return this.#end(line, 0, false);
    if (this.#chance(0.03)) return; // the packets are lost
    if (this.#chance(0.05)) return this.#end(line, 0, true);
    this.#later(this.#random() * 50, () => {
      if (line.leftAt !== undefined || line.isGone) return;
      line.isOpen = true;
      this.#happen({ type: "open", epoch });
      if (this.#chance(0.1)) this.#end(line, 1006);
    });
  }

  #end(line: Line, code: number, reached = true): void {
    this.#later(this.#random() * 20, () => {
      if (line.isBlack) return;
      line.isGone = true;
      const { epoch } = line;
      const reason = `code ${code}`;
      this.#happen({ type: "closed", epoch, code, reason, reached });
    });
  }

  #blacken(line: Line): void {
    line.isBlack = true;
    line.deadAt ??= this.#now;
  }

  #leave(epoch: number): void {
    const line = this.#lines.get(epoch);
    assert(line !== undefined, "it leaves what it never dialed");
    if (line.leftAt !== undefined) return;
    line.leftAt = this.#now;
    if (line.isReady) this.#readyLostAt = this.#now;
    this.#tally.losses++;
    const { deadAt } = line;
    // An idle dead link is noticed: 5 s of silence, and 5 s for a probe.
    if (deadAt === undefined || !line.isReady) return;
    const idle = this.#now - Math.max(deadAt, line.busyAt);
    assert(idle <= 10_001, `a dead link was kept for ${idle}`);
  }

  // The daemon.

  #send(epoch: number, text: string): void {
    const line = this.#lines.get(epoch)!;
    assert(line.isOpen && line.leftAt === undefined, "sent on no connection");
    const message = JSON.parse(text);
    const key = JSON.stringify(message.id);
    const asked = this.#requests.get(key);
    line.busyAt = this.#now;
    const isProbe = message.method === "ping";
    if (key?.startsWith('"alwaysup:') && !isProbe) line.own.add(key);
    if (message.method !== undefined && asked !== undefined) {
      this.#written(asked, line);
    }
    if (message.method === undefined) {
      const mark = line.questions.get(key);
      assert(mark !== undefined, "an answer to what this daemon never asked");
      assertEquals(message.result.mark, mark, "another question's answer");
      line.questions.delete(key);
    }
    this.#later(this.#random() * 20, () => {
      if (!line.isGone && !line.isBlack) this.#receive(line, message);
    });
  }

  #written(asked: Asked, line: Line): void {
    assert(asked.answers === 0, "written after its answer");
    assert(asked.cancelledAt === undefined, "written after it was cancelled");
    asked.sentOn = line.epoch;
    asked.stirredAt = this.#now;
    asked.written++;
    if (asked.method === "initialize") return;
    if (asked.written > 1) {
      this.#tally.repeats++;
      assert(asked.written <= 2, "tried a third time");
      assert(this.#config.retry !== "never", "written again");
      assert(asked.isSafe || this.#config.retry === "always", "unsafe, twice");
    } else {
      assert(asked.order > this.#lastWritten, "out of order");
      this.#lastWritten = asked.order;
    }
  }

  #receive(line: Line, message: Json): void {
    if (this.#chance(0.005)) return this.#blacken(line);
    if (this.#chance(0.01)) return this.#end(line, 1001);
    if (this.#chance(0.001)) return this.#end(line, 1008);
    if (this.#chance(0.02)) {
      const { epoch } = line;
      this.#happen({ type: "frame", epoch, text: "garbage" });
      this.#happen({ type: "binary", epoch, bytes: 3 });
    }
    const { id, method, params } = message;
    if (id === undefined || method === undefined) return;
    if (method === "initialize") line.isGreeted = true;
    // A client that never agreed on anything may do as it likes.
    const isFree = line.isGreeted || !this.#isAgreed || method === "ping";
    assert(isFree, `${method} before initialize`);
    if (method === "tools/call") {
      const asked = this.#requests.get(JSON.stringify(id))!;
      const isOnce = !asked.isSafe && this.#config.retry !== "always";
      assertEquals(++asked.executed > 1 && isOnce, false, "executed twice");
    }
    if (this.#chance(0.05)) this.#question(line);
    if (this.#chance(0.03)) return; // no answer ever
    const isLong = method === "tools/call" && this.#chance(0.2);
    const lag = this.#random() * (isLong ? 15_000 : 400);
    const token = params?._meta?.progressToken;
    for (let n = 1; token !== undefined && n <= 3; n++) {
      const progress = this.#chance(0.2) ? 1 : n;
      const text = {
        method: "notifications/progress",
        params: { progressToken: token, progress },
      };
      this.#speak(line, lag * n / 4, text, JSON.stringify(id));
    }
    const answer = this.#answer(id, method);
    this.#speak(line, lag, answer);
    if (this.#chance(0.05)) this.#speak(line, lag + 50, answer);
  }

  #answer(id: unknown, method: string): Json {
    if (this.#chance(0.03)) {
      return { id, error: { code: -32602, message: "no" } };
    }
    switch (method) {
      case "initialize":
        return {
          id,
          result: {
            protocolVersion: "2025-11-25",
            capabilities: { tools: {} },
          },
        };
      case "tools/list": {
        const tools = Array.from({ length: this.#tools }, (_, i) => ({
          name: i === 0 ? "look" : `tool ${i}`,
          annotations: { readOnlyHint: i === 0 },
        }));
        return { id, result: { tools } };
      }
      default:
        return {
          id,
          result: { n: this.#random() },
          ...(this.#chance(0.02) && { much: "x".repeat(2_000) }),
        };
    }
  }

  #question(line: Line): void {
    const id = line.asked++;
    const mark = this.#random();
    line.questions.set(JSON.stringify(id), mark);
    this.#speak(line, 10, { id, method: "roots/list", params: { mark } });
  }

  #speak(line: Line, ms: number, message: Json, about?: string): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    const frame = this.#chance(0.05)
      ? text.replace(/^\{/, "{\r\n").replace(/\}$/, "\n}")
      : text;
    this.#later(ms, () => {
      if (line.isGone || line.isBlack || line.leftAt !== undefined) return;
      line.texts.add(text);
      line.own.delete(JSON.stringify(message.id));
      const isOwn = String(message.id).startsWith("alwaysup:");
      const greeted = this.#requests.get(JSON.stringify(message.id));
      const isGreeting = greeted?.method === "initialize" &&
        greeted.answers === 0 && message.result !== undefined;
      if (isOwn || isGreeting) line.isReady = true;
      const isAnswer = message.method === undefined;
      const key = about ?? (isAnswer ? JSON.stringify(message.id) : "");
      const asked = this.#requests.get(key);
      if (asked?.sentOn === line.epoch) {
        this.#checkIdle(asked);
        asked.stirredAt = this.#now;
        line.busyAt = this.#now;
      }
      this.#happen({ type: "frame", epoch: line.epoch, text: frame });
    });
  }

  // The stage.

  #happen(event: SessionEvent): void {
    const effects = this.#session.handle(event, this.#now);
    for (const line of this.#lines.values()) {
      if (line.leftAt === undefined && this.#isBusy(line)) {
        line.busyAt = this.#now;
      }
    }
    for (const effect of effects) this.#perform(effect);
  }

  #isBusy(line: Line): boolean {
    if (line.deadAt === undefined) return false;
    if (line.own.size > 0) return true;
    for (const asked of this.#requests.values()) {
      const isOpen = asked.answers === 0 && asked.cancelledAt === undefined;
      if (isOpen && asked.sentOn === line.epoch) return true;
    }
    return false;
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dial(effect.epoch, effect.subprotocol);
      case "send":
        return this.#send(effect.epoch, effect.text);
      case "close":
        return this.#leave(effect.epoch);
      case "reply":
        return this.#reply(effect.text);
      case "log":
        return assert(effect.event !== "bug", effect.message);
      case "exit":
        this.#exit = effect.code;
    }
  }

  #judge(): void {
    assertEquals(this.#exit, 0);
    assertEquals(this.#session.owed, 0);
    const late = this.#now - this.#endedAt!;
    assert(late <= DRAIN_MS, `left ${late} after the end`);
    for (const asked of this.#requests.values()) {
      const isExcused = asked.cancelledAt !== undefined;
      assert(
        asked.answers === 1 || isExcused,
        `${asked.key} was answered ${asked.answers} times`,
      );
    }
    for (const line of this.#lines.values()) {
      if (line.leftAt !== undefined || line.deadAt === undefined) continue;
      if (!line.isReady) continue;
      const idle = this.#now - Math.max(line.deadAt, line.busyAt);
      assert(idle <= 10_001, `a dead link was never left: ${idle}`);
    }
  }

  #later(ms: number, run: () => void): void {
    const at = this.#now + ms;
    const order = this.#order++;
    let low = 0;
    let high = this.#agenda.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#agenda[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    this.#agenda.splice(low, 0, { at, order, run });
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #pick<const T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#random() * choices.length)]!;
  }
}
