/**
 * A random world in simulated time: a client that asks, cancels and errs, a
 * network that loses, and a daemon that dies, hangs and rambles. Every promise
 * of the delivery contract is checked at every step.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import type { SessionConfig } from "../../lib/session/context.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import { NOTHING } from "../../lib/cache/cache.ts";
import { DRAIN_MS, Session } from "../../lib/session/session.ts";
import { type Asked, Books } from "./invariants.ts";
import { DECOY, type Dressed, MANNERS, Manners } from "./message_habits.ts";
import { DEFAULTS, type Json } from "../helpers/session/session_driver.ts";
import { isOwnId } from "../helpers/session/own_ids.ts";
import { Stage } from "./clock_and_random.ts";

/** How long the client asks, in simulated milliseconds. */
const LIFE_MS = 120_000;
const REQUESTS = 90;
const GLM_MS = 10_000;
/** How long a call that was given up counts as in flight. */
const GIVEN_UP_MS = 60_000;
/** How long after a second dial the main connection may be dialed at once. */
const OURS_MS = 2_500;
/** What a world may take before it counts as running away. */
const STEPS = 20_000;
/** How long a request waits after a daemon has said that it did not understand: 2 s for a proper answer, and for a probe that may come before the second try. */
const REFUSED_MS = 3_000;
/** The most that goes into one frame. */
const FRAME = 1_800;

/** What the daemon says, and of what. */
interface Said {
  readonly message: Json;
  /** What it answers, or tells the progress of, if the client has asked for that. */
  readonly asked: Asked | undefined;
  readonly dressed: Dressed;
  /** The cursor of the question, if it was the proxy's own. */
  readonly cursor: string | undefined;
  readonly isOwn: boolean;
}

/** One connection, as the network and the daemon see it. */
interface Line {
  readonly epoch: number;
  readonly dialedAt: number;
  isOpen: boolean;
  isGreeted: boolean;
  /** The daemon has answered the greeting. */
  isReady: boolean;
  /** What the daemon has said here of `look`. */
  hint: boolean | undefined;
  /** The daemon's process has ended, or the connection. */
  isGone: boolean;
  /** When the daemon will be done with what it has from this connection, if it does one thing at a time. */
  freeAt: number;
  /** When what was sent last arrives. */
  arrivedAt: number;
  /** Until when nothing moves on it. */
  blockedUntil: number;
  /** When a call was last cancelled here, or timed out. */
  givenUpAt: number;
  /** Nothing arrives any more, and nobody says so. */
  isBlack: boolean;
  /** The proxy has left it. */
  leftAt: number | undefined;
  deadAt: number | undefined;
  busyAt: number;
  readonly texts: Set<string>;
  /** What the proxy itself has asked the daemon, and is not answered: then, too, silence is patience. */
  readonly own: Set<string>;
  /** The same with its probes. */
  readonly ownOpen: Set<unknown>;
  /** What was written and is not settled: requests by their keys; the rest as `undefined`. */
  unsettled: (string | undefined)[];
  /** It has heard that the client is initialized. */
  isInitialized: boolean;
  /** What waits for more to go into the same frame. */
  held: Said[];
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
  sleeps: number;
  blocks: number;
  /** Calls that outlived the silence of a daemon that was merely busy. */
  patience: number;
  /** Messages that took a form of their own, and requests that were not understood. */
  dressed: number;
  refused: number;
}

/** Lives through a world. Throws when a promise is broken. */
export function live(seed: number): Tally {
  return new World(seed).live();
}

/** What a daemon has said before the world began. */
const REMEMBERED = {
  initialize: {
    "2025-11-25":
      '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}',
  },
  lists: { "tools/list": '{"tools":[{"name":"look"}]}' },
};

class World {
  readonly #stage: Stage;
  readonly #books: Books;
  readonly #config: SessionConfig;
  readonly #session: Session;
  readonly #lines = new Map<number, Line>();
  readonly #questionIds = new Set<unknown>();
  #dials = 0;
  #losses = 0;
  #isDaemonUp = true;
  #isAgreed = false;
  #hellos = 0;
  #tools = 1;
  #dialed: { at: number; subprotocol: string | undefined } | undefined;
  #exit: number | undefined;
  /** How the daemon works: all at once, one thing at a time on a connection, without ever answering a ping, or on a connection that stands still at times. */
  readonly #habit: "concurrent" | "serial" | "mute" | "blocking";
  /** How many connections the daemon keeps: it closes the older ones, or none. */
  readonly #keeps: "one" | "many";
  /** When the proxy last dialed while it had a connection. */
  #secondAt = -Infinity;
  /** How often the daemon has closed a connection that the proxy still used. */
  #displaced = 0;
  /** A tool blocks the whole daemon until then. */
  #blockedUntil = 0;
  /** What happened while the program slept. */
  #missed: (() => void)[] = [];
  /** What the client would have done meanwhile. */
  #postponed: (() => void)[] = [];
  /** Whether the daemon says of `look` that it only reads. */
  #isHinted = true;
  #sleeps = 0;
  #blocks = 0;
  #patience = 0;
  readonly #manners: Manners;
  /** What types the client's ids and tokens have had. */
  readonly #types = { ids: new Set<string>(), tokens: new Set<string>() };
  /** Some ids are those of the proxy's own requests. */
  readonly #meetsOwn: boolean;
  /** The id of the client's `initialized`, where that has one, and when it was said. */
  readonly #initialized: { id: unknown; at: number | undefined } = {
    id: undefined,
    at: undefined,
  };
  /** The tools that the client has seen in a whole list, and whether it knows that they have changed. */
  #told: { tools: string; isOld: boolean } | undefined;
  #paged: string[] = [];
  #isPagedOld = false;
  #pages = 0;
  /** What the daemon gives as the next cursor, where that is odd. */
  readonly #cursor: string;
  #refused = 0;

  constructor(seed: number) {
    this.#stage = new Stage(seed);
    this.#manners = new Manners(seed, MANNERS);
    this.#meetsOwn = this.#manners.chance(0.1);
    this.#cursor = this.#manners.pick(["", "same"]);
    this.#keeps = this.#stage.pick(["many", "many", "many", "one"] as const);
    this.#config = {
      ...DEFAULTS,
      connections: this.#stage.pick(
        this.#keeps === "many"
          ? ["auto", "auto", "auto", "many", "one"]
          : ["auto", "auto", "auto", "one"],
      ),
      retry: this.#stage.pick(
        ["safe", "safe", "safe", "always", "never"] as const,
      ),
      queueTimeout: this.#stage.pick([4_000, 45_000]),
      queueLimit: this.#stage.pick([5, 1000]),
      idleTimeout: this.#stage.pick([8_000, 600_000]),
      requestTimeout: this.#stage.pick([1_500, 20_000, Infinity]),
      handshakeTimeout: this.#stage.pick([2_000, 15_000]),
      maxMessage: 2_000,
      providers: [{ name: "GLM", total: GLM_MS, idle: Infinity }],
      remembered: this.#stage.pick([undefined, NOTHING, REMEMBERED]),
    };
    this.#habit = this.#stage.pick([
      ...["concurrent", "concurrent", "concurrent"] as const,
      ...["serial", "mute", "blocking"] as const,
    ]);
    const { random } = this.#stage;
    this.#session = new Session(this.#config, new Mcp(random), random, 0);
    this.#books = new Books(this.#stage, this.#config);
  }

  live(): Tally {
    this.#plan();
    this.#happen({ type: "tick" });
    for (let step = 0; this.#exit === undefined; step++) {
      assert(step < STEPS, "the world runs away");
      const wake = this.#stage.isAsleep ? Infinity : this.#session.deadline();
      if (this.#stage.step(wake)) continue;
      assert(wake < Infinity, "nothing is left to wait for");
      this.#stage.now = Math.max(this.#stage.now, wake);
      this.#happen({ type: "tick" });
    }
    this.#judge();
    const { answers, faults, repeats } = this.#books;
    const [dials, losses] = [this.#dials, this.#losses];
    const [sleeps, blocks] = [this.#sleeps, this.#blocks];
    const patience = this.#patience;
    return {
      ...{ answers, faults, dials, losses, repeats },
      ...{ sleeps, blocks, patience },
      ...{ dressed: this.#manners.dressed, refused: this.#refused },
    };
  }

  // The script: what will happen, as far as it does not depend on the proxy.

  #plan(): void {
    const isGreeter = this.#stage.chance(0.95);
    if (isGreeter) {
      this.#act(this.#stage.random() * 500, () => this.#hello());
    }
    // Half of the clients work in bursts, so that links fall idle between.
    const bursts = this.#stage.pick([1, 6]);
    for (let i = 0; i < REQUESTS; i++) {
      const burst = Math.floor(this.#stage.random() * bursts) / bursts *
        LIFE_MS;
      const within = this.#stage.random() * (bursts === 1 ? LIFE_MS : 3_000);
      this.#act(500 + burst + within, () => this.#ask(i));
    }
    for (let i = 0; i < 5; i++) {
      this.#act(this.#stage.random() * LIFE_MS, () => this.#err());
    }
    const crashes = Math.floor(this.#stage.random() * 5);
    for (let i = 0; i < crashes; i++) {
      this.#stage.later(this.#stage.random() * LIFE_MS, () => this.#crash());
    }
    if (this.#stage.chance(0.2)) this.#crash();
    for (let i = Math.floor(this.#stage.random() * 3); i > 0; i--) {
      // A connection that stands still is an exception as soon as it has been silent before that.
      if (this.#habit !== "blocking") {
        this.#stage.later(this.#stage.random() * LIFE_MS, () => this.#block());
      }
      this.#stage.later(this.#stage.random() * LIFE_MS, () => this.#sleep());
    }
    this.#act(LIFE_MS + 1_000, () => {
      this.#books.endedAt = this.#stage.awake;
      this.#happen({ type: "end", cause: "stdin" });
    });
  }

  #crash(): void {
    this.#isDaemonUp = false;
    if (this.#stage.chance(0.3)) this.#tools++;
    // It comes back as another version.
    if (this.#stage.chance(0.2)) this.#isHinted = !this.#isHinted;
    for (const line of this.#lines.values()) {
      if (line.isGone || line.leftAt !== undefined) continue;
      line.isGone = true;
      if (this.#stage.chance(0.85)) this.#end(line, 1006);
      else this.#blacken(line);
    }
    const away = this.#stage.random() ** 3 * 60_000;
    this.#stage.later(away, () => this.#isDaemonUp = true);
  }

  /** The daemon runs a tool that lets it do nothing else. */
  #block(): void {
    this.#blocks++;
    const ms = this.#stage.random() ** 2 * 60_000;
    this.#blockedUntil = Math.max(this.#blockedUntil, this.#stage.now + ms);
  }

  /** The program is stopped, or the machine: what happens meanwhile is learned later. */
  #sleep(): void {
    if (this.#stage.isAsleep) return;
    this.#sleeps++;
    this.#stage.fallAsleep();
    const isCut = this.#stage.chance(0.3);
    this.#stage.later(3_001 + this.#stage.random() ** 3 * 600_000, () => {
      const gap = this.#stage.wakeUp();
      if (isCut) {
        for (const line of this.#lines.values()) {
          if (!line.isGone && line.leftAt === undefined) this.#blacken(line);
        }
      }
      const missed = this.#missed;
      this.#missed = [];
      this.#happen({ type: "resumed", gap, unseen: 0 });
      for (const run of missed) run();
      const postponed = this.#postponed;
      this.#postponed = [];
      for (const run of postponed) this.#act(this.#stage.random() * 10, run);
    });
  }

  // The client.

  /** The client sleeps with the program: what it is about to do, it does later. */
  #act(ms: number, run: () => void): void {
    this.#stage.later(ms, () => {
      if (this.#stage.isAsleep) this.#postponed.push(run);
      else run();
    });
  }

  #hello(): void {
    const params = { protocolVersion: "2025-11-25", capabilities: {} };
    const number = this.#hellos++;
    const asked = this.#books.register(
      this.#manners.style === "numbers" ? 5_000 + number : `hello ${number}`,
      "initialize",
      true,
    );
    this.#write(asked, params);
  }

  #ask(order: number): void {
    const method = this.#stage.pick([
      "tools/call",
      "tools/call",
      "tools/call",
      "tools/list",
      "resources/read",
      "logging/setLevel",
      "ping",
    ]);
    const name = this.#stage.pick(["write", "look", "glm_write"]);
    const isSafe = method === "tools/call" ? name === "look" : true;
    const { id, mayWait } = this.#id(order);
    const token = this.#stage.chance(0.5) ? this.#token(order) : undefined;
    // Those without params are told by their ids.
    const isPlain = method === "tools/list" && this.#stage.chance(0.5) &&
      !mayWait;
    const params = {
      ...(!isPlain && { name }),
      ...(token !== undefined && { _meta: { progressToken: token } }),
      ...(this.#stage.chance(0.02) && { much: "x".repeat(2_000) }),
    };
    const isGlm = method === "tools/call" && name === "glm_write";
    const total = isGlm ? GLM_MS : this.#config.requestTimeout;
    const asked = this.#books.register(id, method, isSafe, {
      ...{ token, total, isPlain, mayWait },
    });
    this.#write(asked, params);
    this.#books.checkQueue();
    if (this.#stage.chance(0.03) && asked.answers === 0) {
      this.#write(asked, params);
    }
    if (!this.#stage.chance(0.1)) return;
    this.#act(this.#stage.random() * 5_000, () => {
      if (asked.answers === 0) asked.cancelledAt ??= this.#stage.now;
      this.#giveUp(asked);
      const cancel = { requestId: id };
      this.#say({ method: "notifications/cancelled", params: cancel });
      if (asked.cancelledAt === undefined || !this.#manners.chance(0.1)) return;
      // It is careless, and asks something else under the id.
      this.#act(this.#manners.pick([0, 50, 2_000]), () => {
        const { mayWait } = asked;
        const method = "resources/read";
        const again = this.#books.register(id, method, true, { mayWait });
        this.#write(again, {});
      });
    });
  }

  /** An id of the client's types. */
  #id(order: number): { id: unknown; mayWait: boolean } {
    const { style, has } = this.#manners;
    const number = order + 1;
    const picked = this.#stage.pick([
      number - 1,
      String(number),
      -number,
      `\u00e9${order}`,
    ]);
    const as = (id: number): unknown => style === "texts" ? `${id}` : id;
    if (this.#meetsOwn && this.#manners.chance(0.2)) {
      const open = [...this.#lines.values()]
        .filter(({ leftAt }) => leftAt === undefined)
        .flatMap(({ ownOpen }) => [...ownOpen]);
      const any = 2 ** 30 + this.#manners.pick([order, 2 ** 29 + order]);
      const own = [any, ...open.slice(-3)].map(Number).filter(Number.isFinite);
      const id = as(this.#manners.pick(own));
      const isNew = this.#books.get(JSON.stringify(id)) === undefined;
      if (isNew) return { id, mayWait: true };
    }
    if (style === "numbers") {
      const id = this.#manners.pick([number - 1, -number]);
      return { id, mayWait: false };
    }
    if (style === "texts") {
      const id = this.#manners.pick([`${number}`, `-${number}`, `r${number}`]);
      return { id, mayWait: false };
    }
    // What comes back as the other type must not be somebody else's.
    if (!has.has("retyped ids")) return { id: picked, mayWait: false };
    return { id: number % 2 === 0 ? number : `${number}`, mayWait: false };
  }

  #token(order: number): unknown {
    const { tokenStyle, has } = this.#manners;
    const text = `${order}`;
    switch (tokenStyle) {
      case "numbers":
        return order;
      case "texts":
        return this.#manners.pick([text, `t${order}`]);
      case "both":
        if (has.has("retyped tokens")) return order % 2 === 0 ? order : text;
        return `t${order}`;
    }
  }

  /** Nobody waits for it any more. */
  #giveUp({ sentOn = 0 }: Asked): void {
    const line = this.#lines.get(sentOn);
    if (line !== undefined) line.givenUpAt = this.#stage.awake;
  }

  #write({ id, method, mark, cursor }: Asked, params: Json): void {
    const more = {
      ...(mark !== undefined && { mark }),
      ...(cursor !== undefined && { cursor }),
    };
    // A text that no number can be mistaken for says nothing.
    const isType = (it: unknown): boolean =>
      typeof it === "number" || /^-?\d+$/.test(`${it}`);
    if (isType(id)) this.#types.ids.add(typeof id);
    const token = params._meta?.progressToken;
    if (isType(token)) this.#types.tokens.add(typeof token);
    this.#say({ id, method, params: { ...params, ...more } });
  }

  /** The client's `initialized`, in one of the ways in which it is said. */
  #initialize(): void {
    this.#initialized.at ??= this.#stage.now;
    const { style } = this.#manners;
    const method = "notifications/initialized";
    const said = this.#manners.chance(0.3)
      ? this.#manners.pick(["with null", "with an id", "old"])
      : "plain";
    switch (said) {
      case "plain":
        return this.#say({ method });
      case "with null":
        return this.#say({ id: null, method });
      case "old":
        return this.#say({ method: "initialized" });
      case "with an id": {
        const id = style === "numbers" ? 7_000 : "7000";
        this.#initialized.id = id;
        this.#types.ids.add(typeof id);
        return this.#say({ id, method });
      }
    }
  }

  #err(): void {
    const text = this.#stage.pick([
      "{",
      "[]",
      `{"jsonrpc":"2.0","id":${this.#bad()},"method":5}`,
      '{"jsonrpc":"2.0","id":null,"method":"x"}',
      `{"jsonrpc":"2.0","id":${
        this.#manners.style === "numbers" ? 6_001 : '"nobody asked"'
      },"result":1}`,
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":0,"progress":1}}',
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
    ]);
    this.#happen({ type: "line", text });
  }

  #bad(): string {
    return this.#manners.style === "numbers" ? "6000" : '"bad"';
  }

  #say(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#happen({ type: "line", text });
  }

  #reply(text: string): void {
    const isClean = !/[\r\n\ufeff]/.test(text) &&
      !["\0", "\x1e"].some((it) => text.includes(it));
    assert(isClean, "a line has more than a message");
    assert(!text.includes(DECOY), `from a log line: ${text}`);
    const message = JSON.parse(text);
    assertEquals(message.jsonrpc, "2.0");
    for (const [key, value] of Object.entries(message)) {
      const isNobodys = key === "id" && message.error?.code === -32600;
      assert(value !== null || isNobodys, `null reaches the client: ${text}`);
    }
    if (message.method === undefined) return this.#answered(message, text);
    if (message.id !== undefined) return this.#asked(message);
    if (message.method === "notifications/tools/list_changed") {
      this.#isPagedOld = true;
      if (this.#told !== undefined) this.#told.isOld = true;
    }
    if (message.method !== "notifications/progress") return;
    this.#books.progressed(message.params);
  }

  #answered(message: Json, text: string): void {
    const key = JSON.stringify(message.id);
    if (key === this.#bad() || key === "null") {
      return assertEquals(message.error.code, -32600);
    }
    if (message.id === this.#initialized.id) {
      return assertEquals(message.result, {}, "the client is initialized");
    }
    const asked = this.#books.get(key);
    assert(asked !== undefined, `an answer to ${key}, which nobody asked`);
    const who = this.#books.answered(asked, message.error);
    this.#checkWords(asked, message);
    const line = this.#lines.get(asked.sentOn ?? 0);
    const isRefused = line !== undefined && asked.refusedOn === line.epoch;
    if (message.error?.code === -31003) this.#giveUp(asked);
    asked.sentOn = undefined;
    const isEnd = this.#books.endedAt !== undefined;
    if (message.error?.code === -31002 && !isEnd && line !== undefined) {
      // What merely is slow is never killed.
      const isLost = line.isGone || line.isBlack || isRefused;
      assert(isLost, `${key} was lost for nothing`);
      line.unsettled = line.unsettled.filter((it) => it !== key);
    }
    if (asked.method === "initialize") {
      const isAgreed = message.error === undefined;
      if (!isAgreed) return this.#act(1_000, () => this.#hello());
      this.#isAgreed = true;
      return this.#act(1, () => this.#initialize());
    }
    // The proxy itself answers pings while the daemon is away.
    const isLocal = asked.method === "ping" && text.endsWith('"result":{}}');
    if (asked.method === "tools/list") this.#listed(asked, message.result);
    if (asked.method === "tools/list" && this.#isRemembered(line)) return;
    // An error may have been put into order.
    if (
      message.error !== undefined && this.#manners.has.has("malformed errors")
    ) {
      return;
    }
    if (who === "proxy" || isLocal || line === undefined) return;
    assert(line.leftAt === undefined, "an answer of a stranger");
    const plain = text.trim().replace(/^\{ /, "{").replace(/ \}$/, "}");
    assert(line.texts.has(plain), `re-spelled: ${text}`);
  }

  /** It is the answer to this request, and what the daemon said. */
  #checkWords({ key, mark, isReused }: Asked, { result, error }: Json): void {
    if (result?.mark !== undefined) assertEquals(result.mark, mark, key);
    if (error === undefined) return;
    assert(Number.isInteger(error.code), `${key}: ${error.code} is no code`);
    assertEquals(typeof error.message, "string", key);
    assert(error.code !== -32600 || isReused, `${key} was refused`);
    if (error.code >= -32000 || error.code === -32600) return;
    const said = /no: (mark \d+|undefined)/.exec(error.message);
    assertEquals(said?.[1], `${mark}`, `the daemon's words on ${key}`);
  }

  /** The client has a page of tools, and asks for the next one. */
  #listed({ cursor }: Asked, result: Json): void {
    if (result === undefined) return;
    if (cursor === undefined) {
      this.#paged = [];
      this.#isPagedOld = false;
    }
    this.#paged.push(...result.tools.map((it: Json) => JSON.stringify(it)));
    const { nextCursor: next } = result;
    if (next === undefined || next === cursor) {
      this.#told = { tools: setOf(this.#paged), isOld: this.#isPagedOld };
      return;
    }
    // Until it has them all it knows nothing certain.
    this.#told = undefined;
    if (this.#manners.style === "both") return;
    const number = 8_000 + this.#pages++;
    const id = this.#manners.style === "numbers" ? number : `${number}`;
    this.#act(1, () => {
      const method = "tools/list";
      const asked = this.#books.register(id, method, true, { cursor: next });
      this.#write(asked, {});
    });
  }

  /** A list can come out of memory while the daemon is away. */
  #isRemembered(line: Line | undefined): boolean {
    return this.#config.remembered !== undefined &&
      (line === undefined || line.leftAt !== undefined);
  }

  /** The daemon asks the client something. */
  #asked({ id, params }: Json): void {
    assert(!this.#questionIds.has(id), "a question's id was used before");
    this.#questionIds.add(id);
    if (this.#stage.chance(0.3)) return;
    this.#act(this.#stage.random() * 3_000, () => {
      this.#say({ id, result: { mark: params.mark } });
      if (this.#stage.chance(0.1)) this.#say({ id, result: { mark: "twice" } });
    });
  }

  // The network.

  #dial(epoch: number, subprotocol: string | undefined): void {
    this.#dials++;
    const last = this.#dialed;
    const isSecond = [...this.#lines.values()]
      .some(({ isOpen, leftAt }) => isOpen && leftAt === undefined);
    // The subprotocol may be left out at once; otherwise there is a pause.
    if (last !== undefined && !(last.subprotocol && !subprotocol)) {
      const pause = this.#stage.now - last.at;
      // What its own second connection has cost it is dialed again at once.
      const isOurs = this.#stage.now - this.#secondAt <= OURS_MS;
      const isTime = isSecond || isOurs || pause >= 250;
      assert(isTime, `dialed again after ${pause}`);
    }
    if (isSecond) this.#secondAt = this.#stage.now;
    else this.#dialed = { at: this.#stage.now, subprotocol };
    const line: Line = {
      epoch,
      dialedAt: this.#stage.now,
      isOpen: false,
      isGreeted: false,
      isReady: false,
      hint: undefined,
      isGone: false,
      freeAt: 0,
      arrivedAt: 0,
      blockedUntil: 0,
      givenUpAt: -Infinity,
      isBlack: false,
      leftAt: undefined,
      deadAt: undefined,
      busyAt: this.#stage.awake,
      texts: new Set(),
      own: new Set(),
      ownOpen: new Set(),
      unsettled: [],
      isInitialized: false,
      held: [],
      questions: new Map(),
      asked: 0,
    };
    assert(!this.#lines.has(epoch), "an epoch was used before");
    this.#lines.set(epoch, line);
    if (!this.#isDaemonUp) return this.#end(line, 0, false);
    if (this.#stage.chance(0.03)) return; // the packets are lost
    if (this.#stage.chance(0.05)) return this.#end(line, 0, true);
    const blocked = Math.max(0, this.#blockedUntil - this.#stage.now);
    this.#stage.later(blocked + this.#stage.random() * 50, () => {
      if (line.leftAt !== undefined || line.isGone) return;
      line.isOpen = true;
      this.#happen({ type: "open", epoch });
      if (this.#keeps === "one") this.#displace(line);
      if (this.#stage.chance(0.1)) this.#end(line, 1006);
    });
  }

  /** The daemon keeps a new connection only. */
  #displace(by: Line): void {
    for (const line of this.#lines.values()) {
      const isOld = line !== by && line.isOpen && !line.isGone;
      if (!isOld || line.leftAt !== undefined) continue;
      assertEquals(++this.#displaced, 1, "displaced by the proxy itself");
      const calls = [...this.#books.inFlight(line.epoch)].map(({ method }) =>
        method
      )
        .filter((it) => !/^(initialize|ping|tools\/list)$/.test(it));
      assertEquals(calls, [], "in flight where the proxy displaced itself");
      this.#end(line, this.#stage.pick([1000, 1006]));
    }
  }

  #end(line: Line, code: number, reached = true): void {
    this.#stage.later(this.#stage.random() * 20, () => {
      if (line.isBlack) return;
      line.isGone = true;
      const { epoch } = line;
      const reason = `code ${code}`;
      this.#happen({ type: "closed", epoch, code, reason, reached });
    });
  }

  #blacken(line: Line): void {
    line.isBlack = true;
    line.deadAt ??= this.#stage.awake;
  }

  #leave(epoch: number): void {
    const line = this.#lines.get(epoch);
    assert(line !== undefined, "it leaves what it never dialed");
    if (line.leftAt !== undefined) return;
    line.leftAt = this.#stage.now;
    this.#books.lost(epoch);
    this.#losses++;
    const { deadAt } = line;
    // An idle dead link is noticed: 5 s of silence, and 5 s for a probe.
    if (deadAt === undefined || !line.isReady) return;
    const idle = this.#stage.awake - Math.max(deadAt, line.busyAt);
    assert(idle <= 10_001, `a dead link was kept for ${idle}`);
  }

  // The daemon.

  #send(epoch: number, text: string): void {
    const line = this.#lines.get(epoch)!;
    assert(line.isOpen && line.leftAt === undefined, "sent on no connection");
    const message = JSON.parse(text);
    const key = JSON.stringify(message.id);
    const asked = this.#books.of(message);
    line.busyAt = this.#stage.awake;
    const isProbe = message.method === "ping";
    const isOwn = asked === undefined && isOwnId(message.id);
    if (isOwn && !isProbe) line.own.add(key);
    if (isOwn) line.ownOpen.add(message.id);
    const { method } = message;
    line.unsettled.push(method && key);
    if (method !== undefined && asked !== undefined) {
      this.#books.written(asked, line.epoch);
      const isHinted = asked.isSafe && method === "tools/call" &&
        this.#config.retry === "safe";
      if (isHinted && asked.written > 1) {
        assert(line.hint === true, `${key} again without a hint`);
      }
    }
    if (message.method === undefined) {
      const mark = line.questions.get(key);
      assert(mark !== undefined, "an answer to what this daemon never asked");
      // One on a second connection is not passed on.
      const said = message.error === undefined ? message.result.mark : mark;
      assertEquals(said, mark, "another question's answer");
      line.questions.delete(key);
    }
    this.#arrive(line, message);
  }

  /** Nothing overtakes on a connection. */
  #arrive(line: Line, message: Json): void {
    const { now, random } = this.#stage;
    const at = Math.max(
      ...[now, this.#blockedUntil, line.blockedUntil, line.arrivedAt],
    );
    line.arrivedAt = at + random() * 20;
    const land = (): void => {
      if (line.isGone || line.isBlack) return;
      const until = Math.max(this.#blockedUntil, line.blockedUntil);
      const blocked = until - this.#stage.now;
      if (blocked > 0) this.#stage.later(blocked, land);
      else this.#receive(line, message);
    };
    this.#stage.later(line.arrivedAt - now, land);
  }

  #receive(line: Line, message: Json): void {
    if (/^(notifications.)?initialized$/.test(message.method)) {
      line.isInitialized = true;
      assert(!("id" in message), "initialized is no request");
    }
    if (this.#stage.chance(0.005)) return this.#blacken(line);
    if (this.#stage.chance(0.01)) return this.#end(line, 1001);
    if (this.#stage.chance(0.001)) return this.#end(line, 1008);
    if (this.#stage.chance(0.02)) {
      const { epoch } = line;
      this.#happen({ type: "frame", epoch, text: "garbage" });
      this.#happen({ type: "binary", epoch, bytes: 3 });
    }
    const { id, method, params } = message;
    if (id === undefined || method === undefined) return;
    if (method === "initialize") line.isGreeted = true;
    const asked = this.#books.of(message);
    const { at: initializedAt = Infinity } = this.#initialized;
    const isLate = line.dialedAt > initializedAt && asked !== undefined;
    const isNext = isLate && !/^(initialize|ping)$/.test(method);
    assert(!isNext || line.isInitialized, `${method} before initialized`);
    // A client that never agreed on anything may do as it likes.
    const isFree = line.isGreeted || !this.#isAgreed || method === "ping";
    assert(isFree, `${method} before initialize`);
    if (method === "tools/call") {
      const isOnce = !asked!.isSafe && this.#config.retry !== "always";
      assertEquals(++asked!.executed > 1 && isOnce, false, "executed twice");
    }
    if (this.#stage.chance(0.05)) this.#question(line);
    // A daemon that does one thing at a time answers all of them: one that
    // answers a ping although it owes an answer counts as concurrent.
    const mayForget = method !== "ping" && this.#habit !== "serial";
    if (mayForget && this.#stage.chance(0.03)) return;
    if (method === "ping" && this.#habit === "mute") return;
    if (this.#stage.chance(0.002)) return this.#burst(line);
    if (this.#manners.has.has("logging") && this.#manners.chance(0.05)) {
      const text = this.#manners.logLine(id);
      this.#happen({ type: "frame", epoch: line.epoch, text });
    }
    if (asked !== undefined && this.#isRefused(line, asked)) return;
    const isLong = method === "tools/call" && this.#stage.chance(0.2);
    if (isLong && this.#habit === "blocking") this.#stall(line);
    const work = this.#stage.random() * (isLong ? 40_000 : 400);
    const start = this.#habit === "serial"
      ? Math.max(line.freeAt, this.#stage.now)
      : this.#stage.now;
    line.freeAt = start + work;
    const lag = line.freeAt - this.#stage.now;
    const token = params?._meta?.progressToken;
    for (let n = 1; token !== undefined && n <= 3; n++) {
      const falling = this.#manners.takes("falling progress") ? 3 - n : n;
      const progress = this.#stage.chance(0.2) ? 1 : falling;
      const text = {
        method: "notifications/progress",
        params: { progressToken: token, progress },
      };
      this.#speak(line, lag * n / 4, text, { asked });
    }
    const answer = this.#answer(message);
    const about = {
      asked,
      ...(asked === undefined && { isOwn: true, cursor: params?.cursor }),
    };
    this.#speak(line, lag, answer, about);
    const isTwice = this.#stage.chance(0.05) && !this.#meetsOwn;
    if (!isTwice) return;
    this.#stage.later(lag + 50, () => {
      // Its id may be that of another request by then.
      if (asked?.cancelledAt === undefined) this.#speak(line, 0, answer, about);
    });
  }

  /** The daemon says that it did not understand, or what cannot be read. */
  #isRefused(line: Line, asked: Asked): boolean {
    const { method, id, key } = asked;
    const mayBe = !/^(initialize|ping)$/.test(method) &&
      this.#habit !== "serial" && this.#manners.chance(0.2);
    if (!mayBe) return false;
    const isBroken = this.#manners.takes("broken answers");
    if (!isBroken && !this.#manners.takes("nameless errors")) return false;
    const error = {
      code: this.#manners.pick([-32700, -32600]),
      message: `no: ${asked.mark}`,
    };
    const head = `{"jsonrpc":"2.0","id":${key},"result":{`;
    const text = isBroken
      ? head + this.#manners.pick(['"n":NaN}}', '"n":0.1', '"a":"b', ""])
      : JSON.stringify({ jsonrpc: "2.0", id: null, error });
    const speak = (): void => {
      if (this.#stage.isAsleep) return void this.#missed.push(speak);
      const blocked = line.blockedUntil - this.#stage.now;
      if (blocked > 0) return this.#stage.later(blocked, speak);
      if (line.isGone || line.isBlack || line.leftAt !== undefined) return;
      this.#refused++;
      const isSole = line.unsettled.length === 1 &&
        line.unsettled[0] === key;
      const isOpen = asked.answers === 0 && asked.sentOn === line.epoch &&
        asked.cancelledAt === undefined;
      // Those of the proxy's own may be settled before it is time.
      const isMeant = isBroken ||
        line.unsettled.every((it) =>
          it === key || it !== undefined && isOwnId(JSON.parse(it))
        );
      if (isMeant) asked.refusedOn = line.epoch;
      line.busyAt = this.#stage.awake;
      const { answers, faults } = this.#books;
      this.#happen({ type: "frame", epoch: line.epoch, text });
      assertEquals(
        [answers, faults],
        [this.#books.answers, this.#books.faults],
        `it answers ${JSON.stringify(id)} at once`,
      );
      if (isSole && isOpen) this.#expectEnd(line, asked);
    };
    this.#stage.later(this.#stage.random() * 400, speak);
    return true;
  }

  /** What was not understood is asked once more, or answered, soon. */
  #expectEnd(line: Line, asked: Asked): void {
    const { written } = asked;
    const { awake } = this.#stage;
    const ms = REFUSED_MS + 1;
    this.#stage.later(ms, () => {
      // What answers no probe may be written to after all only when it is given up.
      const isOver = line.isGone || line.isBlack ||
        line.leftAt !== undefined || this.#habit === "mute";
      const isOpen = asked.answers === 0 && asked.cancelledAt === undefined;
      const hasSlept = this.#stage.awake - awake < ms;
      const isBlocked = line.blockedUntil > this.#stage.now - ms;
      if (isOver || !isOpen || hasSlept || isBlocked) return;
      assert(asked.written > written, `${asked.key} waits for nothing`);
    });
  }

  /** The connection stands still for a while during a call. */
  #stall(line: Line): void {
    this.#stage.later(this.#stage.random() * 3_000, () => {
      const { now } = this.#stage;
      if (line.blockedUntil + 1_000 > now) return;
      line.blockedUntil = now + this.#stage.random() * 10_000;
    });
  }

  /** An answer is larger than the runtime can receive, and ends the connection. */
  #burst(line: Line): void {
    this.#stage.later(10, () => {
      if (line.isGone || line.isBlack || line.leftAt !== undefined) return;
      line.isGone = true;
      for (const asked of this.#books.inFlight(line.epoch)) {
        if (asked.method === "initialize" || asked.method === "ping") continue;
        // What was not understood may be waiting for its second try.
        const isAgain = asked.refusedOn === line.epoch;
        asked.isTooLarge = isAgain ? "maybe" : "yes";
      }
      const { epoch } = line;
      const reason =
        "the daemon sent a message larger than can be received here";
      const how = { code: 0, reason, reached: true, oversize: true };
      this.#happen({ type: "closed", epoch, ...how });
    });
  }

  #answer({ id, method, params }: Json): Json {
    if (this.#stage.chance(0.03)) {
      const message = `no: ${params?.mark}`;
      const error = this.#manners.takes("malformed errors")
        ? this.#manners.error(message)
        : { code: -32602, message };
      return { id, error };
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
          annotations: { readOnlyHint: i === 0 && this.#isHinted },
        }));
        // It says so each time, or the next page is the same one.
        const nextCursor = this.#manners.has.has("odd cursors")
          ? this.#cursor
          : undefined;
        const result = {
          tools,
          ...(nextCursor !== undefined && { nextCursor }),
        };
        return { id, result };
      }
      default:
        if (
          method === "logging/setLevel" && this.#manners.takes("null members")
        ) {
          return { id, result: null };
        }
        return {
          id,
          result: { n: this.#stage.random(), mark: params?.mark },
          ...(this.#stage.chance(0.02) && { much: "x".repeat(2_000) }),
        };
    }
  }

  #question(line: Line): void {
    const id = line.asked++;
    const mark = this.#stage.random();
    line.questions.set(JSON.stringify(id), mark);
    this.#speak(line, 10, { id, method: "roots/list", params: { mark } });
  }

  #speak(
    line: Line,
    ms: number,
    message: Json,
    about: Partial<Said> = {},
  ): void {
    const isPretty = this.#stage.chance(0.05);
    const said = {
      ...{ message, asked: undefined, cursor: undefined, isOwn: false },
      ...about,
    };
    const speak = (): void => {
      if (this.#stage.isAsleep) return void this.#missed.push(speak);
      const blocked = line.blockedUntil - this.#stage.now;
      if (blocked > 0) return this.#stage.later(blocked, speak);
      if (isPretty && message.result !== null) {
        this.#flush(line);
        const text = JSON.stringify({ jsonrpc: "2.0", ...message });
        const pretty = text.replace(/^\{/, "{\r\n").replace(/\}$/, "\n}");
        const dressed = { text: pretty, mended: [text], isRetyped: false };
        return this.#deliver(line, [{ ...said, dressed }]);
      }
      const dressed = this.#manners.dress(message);
      const length = line.held.reduce(
        (sum, it) => sum + it.dressed.text.length,
        0,
      );
      if (length + dressed.text.length > FRAME) this.#flush(line);
      line.held.push({ ...said, dressed });
      const { joinMs } = this.#manners;
      if (joinMs === 0 || line.held.length > 3) return this.#flush(line);
      this.#stage.later(joinMs, () => this.#flush(line));
    };
    this.#stage.later(ms, speak);
  }

  /** What has waited goes out in one frame. */
  #flush(line: Line): void {
    if (this.#stage.isAsleep) {
      return void this.#missed.push(() => this.#flush(line));
    }
    const blocked = line.blockedUntil - this.#stage.now;
    if (blocked > 0) return this.#stage.later(blocked, () => this.#flush(line));
    const { held } = line;
    line.held = [];
    if (held.length > 0) this.#deliver(line, held);
  }

  #deliver(line: Line, all: readonly Said[]): void {
    if (line.isGone || line.isBlack || line.leftAt !== undefined) return;
    const { epoch } = line;
    const owed = all.flatMap(({ asked, ...said }) =>
      asked !== undefined && this.#isOwed(line, asked, said)
        ? [{ asked, before: asked.progressed, ...said }]
        : []
    );
    // An answer may come twice, and says nothing then.
    const fresh = all.filter(({ message }) => line.ownOpen.has(message.id));
    const heard = new Map(
      all.flatMap(({ asked }) =>
        asked === undefined ? [] : [[asked, asked.progressed] as const]
      ),
    );
    for (const { message, asked, dressed, isOwn } of all) {
      for (const text of dressed.mended) line.texts.add(text);
      const key = JSON.stringify(message.id);
      if (isOwn) {
        line.own.delete(key);
        line.ownOpen.delete(message.id);
      }
      const isUnderstood = this.#isUnderstood(message, dressed);
      // What cannot be told apart settles nothing.
      if (message.method === undefined && (isOwn || isUnderstood)) {
        settle(line, key);
      }
      // It greets the link even if the client was answered without it.
      const isGreeting = asked?.method === "initialize" &&
        message.result !== undefined;
      if (isOwn || isGreeting) line.isReady = true;
      if (asked?.sentOn === epoch && isUnderstood) {
        if (this.#stage.awake - asked.stirredAt > 12_000) this.#patience++;
        this.#books.stirred(asked);
        line.busyAt = this.#stage.awake;
      }
      const [tool] = message.result?.tools ?? [];
      if (tool !== undefined) line.hint = tool.annotations.readOnlyHint;
    }
    const isAnswers = all.every(({ message }) => message.method === undefined);
    const texts = all.map(({ dressed }) => dressed.text);
    const isPretty = /[\r\n]/.test(texts.join(""));
    const [{ message: { id } }] = all as [Said];
    const text = isPretty
      ? texts.join("")
      : this.#manners.frame(texts, { isAnswers, id });
    this.#happen({ type: "frame", epoch, text });
    for (const [asked, before] of heard) {
      // What was too large to be read has shown no type.
      if (asked.progressed > before) this.#books.stirred(asked);
    }
    for (const { asked, message, before } of owed) {
      if (asked.answers > 0) continue;
      const isAnswer = message.method === undefined;
      const isThere = !isAnswer && asked.progressed > before;
      assert(isThere, `${asked.key} has nothing of ${JSON.stringify(text)}`);
    }
    for (const said of fresh) this.#checkChange(line, said);
  }

  /** Whether the client must get what is said, as soon as it is said. */
  #isOwed(
    line: Line,
    asked: Asked,
    { message, dressed }: Omit<Said, "asked">,
  ): boolean {
    if (this.#books.get(asked.key) !== asked) return false;
    const isOpen = asked.answers === 0 && asked.cancelledAt === undefined;
    if (!isOpen || asked.sentOn !== line.epoch) return false;
    if (!this.#isUnderstood(message, dressed)) return false;
    if (message.method === undefined) return true;
    const { progress } = message.params;
    return asked.written <= 1 || progress > asked.progress;
  }

  /** Whether it can be told what is meant. */
  #isUnderstood({ method }: Json, { isRetyped }: Dressed): boolean {
    const { ids, tokens } = this.#types;
    const { size } = method === undefined ? ids : tokens;
    return !isRetyped || size === 1;
  }

  /** A new daemon has other tools: the client hears of that. */
  #checkChange(line: Line, { message, isOwn, cursor }: Said): void {
    const tools = message.result?.tools;
    if (!isOwn || tools === undefined || line.leftAt !== undefined) return;
    const { nextCursor: next } = message.result;
    if (next !== undefined && next !== cursor) return;
    const found = setOf(tools.map((it: Json) => JSON.stringify(it)));
    const told = this.#told;
    if (told === undefined || told.isOld || told.tools === found) return;
    throw new Error(`The client does not know of ${found}`);
  }

  // The stage.

  #happen(event: SessionEvent): void {
    if (this.#stage.isAsleep) {
      return void this.#missed.push(() => this.#happen(event));
    }
    const effects = this.#session.handle(event, this.#stage.now);
    const { phase } = this.#session.snapshot().standing;
    this.#books.usable(phase === "ready");
    for (const line of this.#lines.values()) {
      if (line.leftAt === undefined && this.#isBusy(line)) {
        line.busyAt = this.#stage.awake;
      }
    }
    for (const effect of effects) this.#perform(effect);
  }

  #isBusy(line: Line): boolean {
    if (line.deadAt === undefined) return false;
    if (line.own.size > 0) return true;
    // What waits for it may first see what a second connection shows.
    if (this.#books.isAnyWaiting) return true;
    // The daemon may be working on what nobody waits for any more.
    if (this.#stage.awake < line.givenUpAt + GIVEN_UP_MS) return true;
    return this.#books.isOwedOn(line.epoch);
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
    const late = this.#stage.awake - this.#books.endedAt!;
    assert(late <= DRAIN_MS + 1, `left ${late} after the end`);
    this.#books.judge();
    for (const line of this.#lines.values()) {
      if (line.leftAt !== undefined || line.deadAt === undefined) continue;
      if (!line.isReady) continue;
      const idle = this.#stage.awake - Math.max(line.deadAt, line.busyAt);
      assert(idle <= 10_001, `a dead link was never left: ${idle}`);
    }
  }
}

/** Items in an order of their own. */
function setOf(items: readonly string[]): string {
  return [...new Set(items)].toSorted().join();
}

/** What an answer settles: its request, and the notifications that were written before that. */
function settle(line: Line, key: string): void {
  const at = line.unsettled.lastIndexOf(key);
  if (at < 0) return;
  line.unsettled = line.unsettled.filter((it, index) =>
    it !== key && (it !== undefined || index > at)
  );
}
