/**
 * A session between a client and a daemon of the liveness worlds, with a
 * network that can lose, stop and go on. What is promised is checked whenever
 * something happens.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import type { Remembered } from "../../lib/cache/cache.ts";
import { Session } from "../../lib/session/session.ts";
import type { Snapshot } from "../../lib/session/snapshot.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { META } from "../helpers/session/cold_start_driver.ts";
import { type Manners } from "./message_habits.ts";
import {
  type Asked,
  isCall,
  isDead,
  isOver,
  type Line,
  line as newLine,
  LivenessBooks,
} from "./liveness_invariants.ts";
import { type Habits, isSign, LivenessDaemon } from "./liveness_daemon.ts";
import { LivenessNet, type Pace } from "./liveness_network.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Stage } from "./clock_and_random.ts";

/** What a rig is made of. */
export interface Plan extends Pace {
  readonly habits: Habits;
  readonly config: SessionConfig;
  /** How the daemon spells what it says. */
  readonly manners: Manners;
  /** The cache says that the daemon keeps one. */
  readonly isKnownOne: boolean;
  /** The client speaks 2026-07-28. */
  readonly isModern: boolean;
}

/** An idle connection: 5 s of silence, and 5 s for a probe. */
const IDLE_MS = 10_001;
/** How soon the client has an answer when the connection is dead. */
const DUE_MS = 18_000;
/** At most one leading probe goes out in this time. */
const LEADING_MS = 1_000;
/** How long a connection that slept may be kept although it is silent. */
const WOKEN_MS = 40_000;
/** How long what happened in a sleep is excused. */
const SLEPT_MS = 25_000;
/** How soon a daemon notices that a client is gone without a word. */
const NOTICED_MS = 20_000;
/** How many pings may go out within how long. */
const PINGS: readonly (readonly [count: number, ms: number])[] = [
  [9, 1_000],
  [40, 10_000],
];
const STEPS = 60_000;

/** A client, a proxy, a network and a daemon. */
export class LivenessRig {
  readonly stage: Stage;
  readonly plan: Plan;
  readonly books: LivenessBooks;
  readonly daemon: LivenessDaemon;
  readonly #session: Session;
  readonly #lines = new Map<number, Line>();
  readonly #net: LivenessNet;
  #isEnded = false;
  #disturbances = 0;
  #pings: number[] = [];
  /** The client has seen which tools only read. */
  #isListed = false;
  #postponed: (() => void)[] = [];
  /** Since when there is a connection that can be used. */
  #usableSince: number | undefined;
  exit: number | undefined;
  readonly tally = {
    ...{
      dials: 0,
      displaced: 0,
      "displaced late": 0,
      hidden: 0,
      remembered: 0,
      freezes: 0,
    },
    ...{ cuts: 0, stalls: 0, sleeps: 0, "ended in time": 0, pings: 0 },
  };

  constructor(stage: Stage, plan: Plan) {
    this.stage = stage;
    this.plan = plan;
    this.books = new LivenessBooks(plan.manners.style);
    this.#net = new LivenessNet(stage, plan);
    const { random } = stage;
    this.#session = new Session(plan.config, new Mcp(random), random, 0);
    this.daemon = new LivenessDaemon(stage, plan.habits, {
      opened: (epoch) => this.#accepted(this.#lines.get(epoch)!),
      say: (epoch, message) => this.#said(this.#lines.get(epoch)!, message),
      close: (epoch, code) => this.#closed(this.#lines.get(epoch)!, code),
      begun: (id) => this.books.begun(id),
      displaced: (epoch, by) => {
        const [line, newer] = [epoch, by].map((it) => this.#lines.get(it)!);
        // What it has left long ago may arrive after the network was gone.
        if (newer!.leftAt === undefined) this.#displaced(line!);
      },
    });
    this.#handle({ type: "tick" });
  }

  /** What the proxy says of the daemon. */
  get facts(): Pick<Snapshot, "connections" | "answersDuringCalls"> {
    return this.#session.snapshot();
  }

  /** Lets time pass until then, or to the end. */
  run(until: number): void {
    const { stage } = this;
    for (let step = 0; this.exit === undefined; step++) {
      assert(step < STEPS, "the world runs away");
      const wake = stage.isAsleep ? Infinity : this.#session.deadline();
      if (stage.step(Math.min(wake, until))) continue;
      if (wake > until) return void (stage.now = until);
      assert(wake < Infinity, "nothing is left to wait for");
      stage.now = Math.max(stage.now, wake);
      this.#handle({ type: "tick" });
    }
  }

  // The client

  /** The client does something after a while; it sleeps with the program. */
  act(ms: number, run: () => void): void {
    this.stage.later(ms, () => {
      if (this.stage.isAsleep) this.#postponed.push(run);
      else run();
    });
  }

  /** The client opens the conversation. */
  hello(): void {
    if (this.plan.isModern) return void this.ask("server/discover");
    this.ask("initialize", {
      params: { protocolVersion: "2025-06-18", capabilities: {} },
    });
  }

  call(tool: "look" | "write", ms: number, token?: string): Asked {
    const isSafe = tool === "look";
    return this.ask("tools/call", {
      isSafe,
      ms,
      token,
      params: { name: tool },
    });
  }

  ask(
    method: string,
    { ms = 0, isSafe = true, token, params }: {
      readonly ms?: number;
      readonly isSafe?: boolean;
      readonly token?: string | undefined;
      readonly params?: Json;
    } = {},
  ): Asked {
    const askedAt = this.stage.awake;
    const asked = this.books.register({ method, ms, isSafe, askedAt, token });
    if (isCall(asked)) this.#judgeFreeze(asked);
    const progress = token === undefined ? {} : { progressToken: token };
    const _meta = { ...progress, ...(this.plan.isModern && META) };
    const { id } = asked;
    this.#say({ id, method, params: { ...params, ms, _meta } });
    return asked;
  }

  cancel(asked: Asked): void {
    if (isOver(asked)) return;
    asked.cancelledAt = this.stage.awake;
    this.notify("notifications/cancelled", { requestId: asked.id });
  }

  notify(method: string, params?: Json): void {
    if (params?.ms > 0) this.#disturbances++;
    this.#say({ method, params });
  }

  end(): void {
    this.#isEnded = true;
    this.#handle({ type: "end", cause: "stdin" });
  }

  #say(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#handle({ type: "line", text });
  }

  #told(text: string): void {
    const message = JSON.parse(text);
    const { method, params, error } = message;
    if (method === "notifications/progress") {
      return this.books.progressed(params);
    }
    if (method !== undefined) return;
    const now = this.stage.awake;
    const asked = this.books.answered(message, now);
    if (!this.#isEnded) this.#judge(asked, now);
    const isList = asked.method === "tools/list";
    if (isList && error === undefined) this.#isListed = true;
    if (asked.method !== "initialize") return;
    if (error !== undefined) return this.act(1_000, () => this.hello());
    this.act(1, () => this.notify("notifications/initialized"));
  }

  /** An answer must have its cause, and its time. */
  #judge(asked: Asked, now: number): void {
    const { id, outcome, askedAt, line } = asked;
    if (outcome === "timed out") {
      const { idleTimeout, requestTimeout } = this.plan.config;
      const least = Math.min(idleTimeout, requestTimeout);
      return assert(now - askedAt >= least - 1, `${id} timed out too early`);
    }
    if (!isCall(asked)) return;
    if (outcome === "told") {
      assert(line !== undefined, `${id} was told, and never written`);
      const isLost = !this.#isLiving(line) || this.#isExcused(line);
      assert(isLost, `${id} was ended on a living connection`);
    }
    if (outcome === "unavailable") {
      const since = this.#usableSince ?? Infinity;
      assert(askedAt < since, `${id} was not written to a living connection`);
    }
    this.#checkDue(asked, now);
  }

  /** A dead connection is noticed in time. */
  #checkDue(asked: Asked, now: number): void {
    const { due, id } = asked;
    if (due === undefined || due.disturbances !== this.#disturbances) return;
    const late = now - due.by - this.#workOf(asked);
    assert(late <= 0, `${id} had no answer ${late} ms after its time`);
    if (asked.outcome === undefined) return;
    this.tally["ended in time"]++;
    // It was not written to the dead one, so that it can be written anywhere.
    assertEquals(asked.outcome, "answered", `${id}`);
  }

  /** How long the daemon may be at what it was asked meanwhile. */
  #workOf(asked: Asked): number {
    const { writtenAt } = asked;
    const { serving, blocksMs } = this.plan.habits;
    let ms = serving === "phases" ? blocksMs : 0;
    for (const it of this.books.all) {
      // It is before or behind others where one thing is done at a time.
      const mayRun = it === asked || it.isSafe ||
        /^serial|^late/.test(serving);
      const isThere = it.writtenAt !== undefined && mayRun &&
        (it.answeredAt ?? Infinity) >= writtenAt!;
      if (isThere) ms += it.ms;
    }
    return ms;
  }

  /** The first call on a connection that has frozen: whether that must be noticed. */
  #judgeFreeze(asked: Asked): void {
    const now = this.stage.awake;
    for (const line of this.#live()) {
      const isFirst = isDead(line) && this.books.inFlight(line).length === 0;
      // What waits for an answer but our own probes keeps a probe from leading.
      const isSettled = line.unsettled.every((id) => line.pings.has(id));
      const isLed = isSettled && now - line.lastPingAt > LEADING_MS;
      if (isFirst && !isLed) line.isAccountable = false;
    }
    const [only, ...others] = this.#live();
    if (others.length === 0 && only?.isAccountable && isDead(only)) {
      const by = now + DUE_MS;
      asked.due = { by, disturbances: this.#disturbances };
    }
  }

  // The network

  /** What is on the way on the present connections is lost from now on, and what will be. */
  freeze(direction: "both" | "up" | "down" = "both"): void {
    this.#disturb("freezes");
    const { habits } = this.plan;
    const isIdle = habits.serving !== "serial as a whole" ||
      !this.daemon.isBusy && direction !== "down";
    const keepsTwo = habits.keeping === "many" &&
      this.facts.connections === "many";
    for (const line of this.#live()) {
      if (isDead(line)) continue;
      line.isAccountable = keepsTwo && isIdle && line.hasPonged &&
        line.unsettled.length === 0;
      if (direction !== "down") line.up.isDead = true;
      if (direction !== "up") line.down.isDead = true;
      this.stage.later(NOTICED_MS, () => this.daemon.gone(line.epoch));
    }
  }

  /** The network is gone for everybody for a while; what was sent arrives after that. */
  cut(ms: number): void {
    if (this.#net.isCut) return;
    this.#disturb("cuts");
    this.#net.cut(ms, () => this.#disturbances++);
  }

  /** The daemon's process stands still for a while. */
  stall(ms: number): void {
    this.#disturb("stalls");
    this.daemon.stall(ms);
    this.stage.later(ms, () => this.#disturbances++);
  }

  /** The laptop sleeps. */
  sleep(ms: number, network: "stays" | "forgets"): void {
    const { stage } = this;
    if (stage.isAsleep) return;
    this.#disturb("sleeps");
    stage.fallAsleep();
    stage.later(ms, () => {
      this.#disturbances++;
      const gap = stage.wakeUp();
      for (const line of this.#live()) {
        line.wokeAt = stage.awake;
        line.isAccountable = false;
        if (network === "stays") continue;
        line.up.isDead = line.down.isDead = true;
        stage.later(NOTICED_MS, () => this.daemon.gone(line.epoch));
      }
      this.#handle({ type: "resumed", gap, unseen: 0 });
      this.#net.wake();
      for (const run of this.#postponed.splice(0)) {
        this.act(stage.random() * 10, run);
      }
    });
  }

  #disturb(what: "freezes" | "cuts" | "stalls" | "sleeps"): void {
    this.tally[what]++;
    this.#disturbances++;
  }

  #dialed(epoch: number): void {
    this.tally.dials++;
    const isSecond = this.#live().some(({ isOpen, isClosed }) =>
      isOpen && !isClosed
    );
    const isRisk = isSecond && this.facts.connections !== "many" &&
      this.books.hasCalled;
    assert(!isRisk, "a second connection after a call");
    const line = newLine(epoch, this.stage.awake);
    this.#lines.set(epoch, line);
    this.#net.dial(line, () => this.daemon.accept(epoch));
  }

  #accepted(line: Line): void {
    line.isAccepted = true;
    const { epoch } = line;
    if (line.leftAt !== undefined) return this.daemon.gone(epoch);
    this.#net.carry(line, line.down, () => {
      if (line.leftAt !== undefined) return;
      line.isOpen = true;
      this.#handle({ type: "open", epoch });
    });
  }

  #said(line: Line, message: Json): void {
    this.#net.carry(line, line.down, () => {
      if (line.leftAt !== undefined) return;
      line.heardAt = this.stage.awake;
      const { id } = message;
      line.own.delete(id);
      settle(line, id);
      const text = this.plan.manners.spell(message);
      this.#handle({ type: "frame", epoch: line.epoch, text });
    });
  }

  #closed(line: Line, code: number): void {
    line.isClosed = true;
    if (line.leftAt === undefined && this.books.inFlight(line).length > 0) {
      this.tally["displaced late"]++;
    }
    const { epoch } = line;
    this.#net.carry(line, line.down, () => {
      const reason = `code ${code}`;
      if (line.leftAt !== undefined) return;
      this.#handle({ type: "closed", epoch, code, reason, reached: true });
    });
  }

  /** The daemon prefers a newer connection. */
  #displaced(line: Line): void {
    if (line.leftAt !== undefined) return;
    const { config, habits, isKnownOne } = this.plan;
    const { connections } = config;
    const most = connections === "auto" && !isKnownOne ? 1 : 0;
    const count = ++this.tally.displaced;
    // If something else happens before it closes the old one, the proxy cannot know.
    const isHidden = habits.closesAfter > 0 && this.#disturbances > 0 &&
      habits.servesMeanwhile === "served" && connections === "auto";
    if (isHidden) return void this.tally.hidden++;
    assert(count <= most, `the proxy displaced itself ${count} times`);
    const calls = this.books.inFlight(line);
    assert(calls.length === 0, `displaced with ${calls[0]?.id} in flight`);
  }

  // The proxy

  #handle(event: SessionEvent): void {
    if (this.exit !== undefined) return;
    const effects = this.#session.handle(event, this.stage.now);
    for (const effect of effects) this.#perform(effect);
    this.#check();
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dialed(effect.epoch);
      case "send":
        return this.#sent(this.#lines.get(effect.epoch)!, effect.text);
      case "close":
        return this.#left(this.#lines.get(effect.epoch)!);
      case "reply":
        return this.#told(effect.text);
      case "log":
        return assert(effect.event !== "bug", effect.message);
      case "remember":
        return this.#remembered(effect.learned);
      case "exit":
        this.exit = effect.code;
    }
  }

  /** What is kept for seven days must be true. */
  #remembered({ one = {} }: Remembered): void {
    if (Object.keys(one).length === 0) return;
    this.tally.remembered++;
    const isTrue = this.plan.habits.keeping !== "many";
    assert(isTrue || this.#disturbances > 0, "remembered wrongly");
  }

  #sent(line: Line, text: string): void {
    assert(line.isOpen && line.leftAt === undefined, "sent on no connection");
    const message = JSON.parse(text);
    const { id, method } = message;
    const now = this.stage.awake;
    const asked = this.books.get(id);
    if (asked !== undefined && method !== undefined) {
      this.books.written(asked, line, now);
      // Its first words on a connection are no probe.
    } else if (isSign(method) && line.heardAt !== undefined) {
      this.#pinged(line, id);
    } else if (id !== undefined && method !== undefined) line.own.add(id);
    line.unsettled.push(id);
    this.#net.carry(
      line,
      line.up,
      () => this.daemon.receive(line.epoch, message),
    );
  }

  #pinged(line: Line, id: string | number): void {
    const now = this.stage.awake;
    line.pings.add(id);
    line.lastPingAt = now;
    this.tally.pings++;
    this.#pings.push(now);
    for (const [count, ms] of PINGS) {
      // Each connection has its own after a sleep, and in silence.
      const most = count + this.#live().length * Math.ceil(ms / 5_000);
      const before = this.#pings.at(-1 - most) ?? -Infinity;
      assert(now - before > ms, `${most + 1} pings in ${now - before} ms`);
    }
  }

  #left(line: Line): void {
    if (line.leftAt !== undefined) return;
    const isLiving = this.#isLiving(line) && !this.#isExcused(line);
    const [call] = this.books.inFlight(line);
    const isHarm = isLiving && call !== undefined && !this.#isEnded;
    assert(!isHarm, `a living connection was left with ${call?.id} in flight`);
    line.leftAt = this.stage.awake;
    if (!line.isAccepted) return;
    this.#net.carry(line, line.up, () => this.daemon.gone(line.epoch));
  }

  #live(): Line[] {
    return [...this.#lines.values()].filter((it) => it.leftAt === undefined);
  }

  /** Whether what is in flight there will be answered on it. */
  #isLiving(line: Line): boolean {
    return line.isOpen && !line.isClosed && !isDead(line) &&
      !this.daemon.isDeafOn(line.epoch);
  }

  #isAwaited(): boolean {
    return [...this.books.all].some((it) => !isOver(it) && it.written === 0);
  }

  #isExcused({ wokeAt = -Infinity }: Line): boolean {
    return this.stage.awake - wokeAt < SLEPT_MS;
  }

  #check(): void {
    if (this.#isEnded) return;
    const now = this.stage.awake;
    const lines = this.#live();
    for (const line of lines) {
      line.busyAt = this.books.busyUntil(line, now);
      if (line.heardAt === undefined) continue;
      const { busyAt, heardAt, wokeAt = 0 } = line;
      const silent = now - Math.max(heardAt, busyAt, wokeAt);
      // What slept with a call may wait for a second connection first.
      // As may one that a call waits for, without being written.
      const isIdle = !this.#isAwaited() &&
        (line.wokeAt === undefined || now - wokeAt > WOKEN_MS);
      assert(
        !isIdle || silent <= IDLE_MS,
        `an idle connection was kept for ${silent} ms`,
      );
    }
    for (const { epoch, busyAt } of lines.slice(0, -2)) {
      assert(busyAt === now, `connection ${epoch} is kept for nothing`);
    }
    const newest = lines.at(-1);
    const isUsable = newest?.heardAt !== undefined && this.#isLiving(newest);
    this.#usableSince = isUsable ? this.#usableSince ?? now : undefined;
  }

  /** Nobody is left without an answer. */
  settle(): void {
    for (const asked of this.books.all) {
      const { id, line, ms } = asked;
      if (isOver(asked) || !isCall(asked)) continue;
      this.#checkDue(asked, this.stage.awake);
      const isHeld = line === undefined && this.#usableSince !== undefined;
      assert(!isHeld, `${id} is held for ever`);
      if (line === undefined || !this.#isLiving(line)) continue;
      assert(line.leftAt === undefined, `${id} is forgotten`);
      assert(this.daemon.isBusy, `${id} (${ms} ms) was answered, and is open`);
    }
  }
}

/** What an answer settles: its request, and the notifications and probes that were written before that. */
function settle(line: Line, id: string | number): void {
  const at = line.unsettled.indexOf(id);
  if (at < 0) return;
  line.unsettled = line.unsettled.filter((it, index) =>
    index > at || index < at && it !== undefined && !line.pings.has(it)
  );
  if (line.pings.delete(id)) line.hasPonged = true;
}
