/**
 * A random world for the rules of reconnecting: a client that asks in bursts
 * and falls silent, and a network that fails in one way after another. A daemon
 * that is back is used at once, and nothing is dialed too often.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import { assert } from "../helpers/assert.ts";
import { Manners, UNDERSTOOD } from "./message_habits.ts";
import { QuickDaemon, type Speech } from "./quick_daemon.ts";
import { DEFAULTS } from "../helpers/session/session_driver.ts";
import { Stage } from "./clock_and_random.ts";
import { type Back, Watched } from "./watched_proxy.ts";

/** How long the client asks, in simulated milliseconds. */
const LIFE_MS = 200_000;
const STEPS = 20_000;
/** How soon a daemon that is back is used. */
const BACK_MS = 1_500;
/** The same after silence: the dial that hangs must be given up first. */
const SILENT = { leastMs: 3_500, share: 1 / 2, slackMs: 300 } as const;

/** How long a dial that somebody waits for may take, one after another, and the pause between two. */
const STEPS_MS = [2_000, 2_000, 3_000, 4_000, 6_000, 9_000];
const PAUSE_MS = 1_100;

/** What the network and the daemon do for a while. */
const KINDS = [
  ...["up", "refused", "opens and closes", "closes with 1013", "reset"],
  ...["garbage", "silent tcp", "silent websocket", "quick restarts"],
  ...["1008 in a conversation", "unauthorized", "slow start"],
] as const;
type Kind = typeof KINDS[number];

/** How often each comes. */
const PLAN: readonly Kind[] = [
  ...["up", "up", "up", "up", "refused", "refused", "refused"] as const,
  ...["opens and closes", "opens and closes", "closes with 1013"] as const,
  ...["reset", "garbage", "silent tcp", "silent websocket"] as const,
  ...["quick restarts", "quick restarts"] as const,
  ...["1008 in a conversation", "1008 in a conversation"] as const,
  ...KINDS,
];

/** What a connection is to the network. */
interface Line {
  readonly epoch: number;
  /** What the network did when it was dialed. */
  readonly kind: Kind;
  readonly variant: boolean;
  readonly dialedAt: number;
  /** How long the first answer takes. */
  readonly slowMs: number;
  /** The daemon has answered on it. */
  isAnswered: boolean;
  /** It is closed, or the proxy has left it. */
  isGone: boolean;
  /** When the last frame arrives: nothing overtakes. */
  arrivesAt: number;
  saysAt: number;
}

/** What happened, to show that much did. */
export type RecoveryTally =
  & Record<"answers" | "faults" | "dials" | "dressed", number>
  & Record<Kind, number>;

/** Lives through a world. Throws when a promise is broken. */
export function liveRecovery(seed: number): RecoveryTally {
  return new RecoveryWorld(seed).live();
}

class RecoveryWorld {
  readonly #stage: Stage;
  readonly #speech: Speech;
  readonly #daemon: QuickDaemon;
  readonly #manners: Manners;
  readonly #proxy: Watched;
  readonly #lines = new Map<number, Line>();
  readonly #phases = new Map<Kind, number>(KINDS.map((kind) => [kind, 0]));
  /** How long this daemon needs for its first answer on a connection. */
  readonly #slowMs: number;
  /** How long it needs while it starts slowly, at most since it came back. */
  #startMs = 0;
  #kind: Kind = "up";
  /** One of the ways in which the present kind may go. */
  #variant = false;
  /** Since when the daemon can be reached; `undefined` while it cannot. */
  #upSince: number | undefined = 0;
  /** How long the network has been silent since the daemon answered a first frame. */
  #silentMs = 0;
  /** When the last of that silence was over. */
  #silentUntil = 0;
  /** When the daemon was heard for the first time after such a silence. */
  #heardAt = 0;
  /** How long dials lasted that were given up while the daemon started slowly. */
  #triedMs = 0;
  #turnedAt = 0;
  /** The slowest first answer so far. */
  #slowestMs = 0;
  /** How long the last first answer took. */
  #lastMs = 0;
  /** The daemon has answered in this process. */
  #hasAnswered = false;

  constructor(seed: number) {
    const stage = this.#stage = new Stage(seed);
    const speech = this.#speech = stage.pick(
      ["mcp", "mcp", "modern", "exai"] as const,
    );
    this.#daemon = new QuickDaemon(speech, stage.chance(0.5));
    this.#manners = new Manners(seed, UNDERSTOOD);
    this.#slowMs = stage.chance(0.15) ? 1_000 + stage.random() * 3_000 : 0;
    const config: SessionConfig = {
      ...DEFAULTS,
      queueTimeout: stage.pick([4_000, 45_000, 45_000]),
    };
    this.#proxy = new Watched(stage, config, speech, {
      dialed: (epoch) => this.#dialed(epoch),
      sent: (epoch, text) => this.#sent(epoch, text),
      left: (epoch) => this.#left(epoch),
    }, () => this.#back());
  }

  live(): RecoveryTally {
    const [stage, proxy] = [this.#stage, this.#proxy];
    this.#turn();
    proxy.handle({ type: "tick" });
    stage.later(stage.random() * stage.pick([500, 500, 10_000]), () => {
      proxy.hello();
      this.#act();
    });
    stage.later(
      LIFE_MS,
      () => proxy.handle({ type: "end", cause: "stdin" }),
    );
    for (let step = 0; proxy.exit === undefined; step++) {
      assert(step < STEPS, "the world runs away");
      const wake = proxy.deadline();
      if (stage.step(wake)) continue;
      assert(wake < Infinity, "nothing is left to wait for");
      stage.now = Math.max(stage.now, wake);
      proxy.handle({ type: "tick" });
    }
    proxy.judge();
    const { answers, faults, dials: { count: dials } } = proxy;
    const phases = Object.fromEntries(this.#phases) as Record<Kind, number>;
    const { dressed } = this.#manners;
    return { answers, faults, dials, dressed, ...phases };
  }

  // The client

  /** The client asks once or many times, and again after a while. */
  #act(): void {
    const [stage, proxy] = [this.#stage, this.#proxy];
    if (stage.now > LIFE_MS) return;
    const isListening = this.#speech === "modern" && stage.chance(0.2);
    if (isListening) proxy.ask("subscriptions/listen");
    else {
      const times = stage.pick([1, 1, 1, 3, 10]);
      for (let i = 0; i < times; i++) this.#ask();
    }
    const most = stage.pick([300, 300, 3_000, 3_000, 20_000, 90_000]);
    stage.later(stage.random() * most, () => this.#act());
  }

  #ask(): void {
    const [stage, proxy] = [this.#stage, this.#proxy];
    const what = stage.pick(["look", "look", "write", "list", "read"] as const);
    if (what === "look" || what === "write") proxy.ask("tools/call", what);
    else if (what === "list" || this.#speech === "exai") {
      proxy.ask("tools/list");
    } else proxy.ask("resources/read");
  }

  // The network

  /** It does something else from now on. */
  #turn(): void {
    const stage = this.#stage;
    this.#proxy.check();
    if (isSilent(this.#kind, this.#variant)) {
      this.#silentMs += stage.now - this.#turnedAt;
      this.#silentUntil = stage.now;
    }
    this.#turnedAt = stage.now;
    for (const line of this.#lines.values()) {
      if (line.kind === "opens and closes") this.#end(line, 1006);
    }
    const kind = this.#kind = stage.pick(PLAN);
    this.#variant = stage.chance(0.5);
    this.#phases.set(kind, this.#phases.get(kind)! + 1);
    this.#proxy.dials.turn(stage.now);
    const least = kind === "slow start" ? 10_000 : 200;
    const ms = least + stage.random() ** 2 * 19_800;
    this.#rise(isUsable(kind));
    if (kind === "slow start") {
      this.#startMs = Math.max(this.#startMs, 1_500 + stage.random() * 5_500);
    }
    if (kind === "quick restarts") this.#restart();
    if (kind === "1008 in a conversation") {
      stage.later(stage.random() * ms, () => this.#violate());
    }
    stage.later(ms, () => this.#turn());
  }

  /** The daemon can be reached from now on, or no longer. */
  #rise(isUp: boolean): void {
    const stage = this.#stage;
    this.#proxy.check();
    if (isUp === (this.#upSince !== undefined)) return;
    this.#startMs = 0;
    // To the proxy, a daemon that was too slow was silent.
    this.#silentMs += this.#triedMs;
    this.#triedMs = 0;
    this.#upSince = isUp ? stage.now : undefined;
    if (isUp) return this.#daemon.restart(stage.now);
    // What hangs may be left hanging.
    const isWhole = stage.chance(0.3);
    for (const line of this.#lines.values()) {
      if (isWhole || isUsable(line.kind)) this.#end(line, 1006);
    }
  }

  /** The daemon goes away, and comes back soon. */
  #restart(): void {
    const stage = this.#stage;
    const turnedAt = this.#turnedAt;
    const isOver = (): boolean => this.#turnedAt !== turnedAt;
    stage.later(1_000 + stage.random() * 5_000, () => {
      if (isOver()) return;
      this.#rise(false);
      stage.later(200 + stage.random() * 2_800, () => {
        if (isOver()) return;
        this.#rise(true);
        this.#restart();
      });
    });
  }

  /** The daemon closes a connection on which it had answered, and goes on. */
  #violate(): void {
    if (this.#kind !== "1008 in a conversation") return;
    const lines = [...this.#lines.values()]
      .filter(({ isAnswered, isGone }) => isAnswered && !isGone);
    if (lines.length > 0) this.#end(this.#stage.pick(lines), 1008);
  }

  /** How long a request may wait now. */
  #back(): Back | undefined {
    const silent = this.#silentMs;
    if (this.#upSince === undefined) return undefined;
    // An unknown daemon may use the whole handshake timeout.
    if (silent > 0 && !this.#hasAnswered) return undefined;
    const since = Math.max(this.#upSince, this.#heardAt);
    const { leastMs, share, slackMs } = SILENT;
    const limit = silent > 0
      // A dial is given twice the time of the slowest success.
      ? Math.max(leastMs, silent * share, 2 * this.#slowestMs + PAUSE_MS) +
        slackMs
      : BACK_MS;
    // Its first answer; and with a pool once more.
    const isPooled = this.#speech === "exai";
    const slowMs = (isPooled ? 2 : 1) * this.#slowMs;
    // What takes longer than twice the last time is given up at first.
    const startMs = this.#startMs > 0
      ? startingMs(this.#startMs, this.#slowestMs, isPooled)
      : this.#slowMs > 2 * this.#lastMs
      ? startingMs(this.#slowMs, this.#lastMs, isPooled)
      : 0;
    return { since, limit: limit + slowMs + startMs };
  }

  #dialed(epoch: number): void {
    const stage = this.#stage;
    const isDown = this.#upSince === undefined;
    const kind = this.#kind === "quick restarts" && isDown
      ? "refused"
      : this.#kind;
    const line: Line = {
      ...{ epoch, kind, variant: this.#variant, dialedAt: stage.now },
      // It is as slow each time, or almost.
      slowMs: (kind === "slow start" ? this.#startMs : this.#slowMs) *
        (0.8 + stage.random() * 0.2),
      ...{ isAnswered: false, isGone: false, arrivesAt: 0, saysAt: 0 },
    };
    this.#lines.set(epoch, line);
    switch (kind) {
      case "silent tcp":
        return;
      case "refused":
        return this.#fail(line, false);
      case "reset":
        return this.#fail(line, true);
      case "closes with 1013":
        if (this.#variant) return this.#fail(line, true, 503);
        break;
      case "unauthorized":
        if (this.#variant && stage.chance(0.5)) {
          return this.#fail(line, true, 401);
        }
    }
    this.#later(line, 1 + stage.random() * 49, () => {
      this.#proxy.handle({ type: "open", epoch });
      this.#opened(line);
    });
  }

  /** The proxy leaves a connection. */
  #left(epoch: number): void {
    const line = this.#lines.get(epoch);
    if (line === undefined) return;
    this.#lines.delete(epoch);
    const { now } = this.#stage;
    const isGivenUp = !line.isGone && !line.isAnswered;
    if (isGivenUp && line.kind === "slow start") {
      this.#triedMs += now - line.dialedAt;
    }
    // A dial that hung for longer than the network was silent has been silence to the proxy.
    const hasHung = isGivenUp && isSilent(line.kind, line.variant);
    if (hasHung && !isSilent(this.#kind, this.#variant)) {
      this.#silentMs += now - this.#silentUntil;
      this.#silentUntil = now;
    }
    line.isGone = true;
  }

  /** The WebSocket is open: some get no further. */
  #opened(line: Line): void {
    const { epoch, kind, variant } = line;
    switch (kind) {
      case "opens and closes":
        if (!variant) this.#end(line, 1006);
        return;
      case "closes with 1013":
        return this.#end(line, 1013);
      case "garbage":
        return this.#later(line, 1 + this.#stage.random() * 49, () => {
          const text = "SSH-2.0-OpenSSH_9.6";
          this.#proxy.handle({ type: "frame", epoch, text });
          if (variant) this.#end(line, 1006);
        });
      case "unauthorized":
        if (this.#speech !== "exai") this.#end(line, 1008);
    }
  }

  /** Something happens on a connection after a while, if it still is there. */
  #later(line: Line, ms: number, run: () => void): void {
    this.#stage.later(ms, () => {
      if (!line.isGone) run();
    });
  }

  /** A dial fails. */
  #fail(line: Line, reached: boolean, status?: number): void {
    const { epoch } = line;
    this.#later(line, 1 + this.#stage.random() * 19, () => {
      line.isGone = true;
      const reason = status === undefined ? "the dial failed" : "HTTP";
      const closed = { type: "closed", epoch, code: 0, reason } as const;
      const event = { ...closed, reached, ...(status && { status }) };
      this.#proxy.handle(event, { refuses: status === 401 });
    });
  }

  /** The connection is closed by the other end: what arrives from now on is lost. */
  #end(line: Line, code: number): void {
    if (line.isGone) return;
    line.isGone = true;
    const { epoch, isAnswered } = line;
    const refuses = code === 1008 && !isAnswered && this.#speech !== "exai";
    this.#stage.later(this.#stage.random() * 5, () => {
      if (!this.#lines.has(epoch)) return;
      const reason = `code ${code}`;
      const closed = { type: "closed", epoch, code, reason } as const;
      this.#proxy.handle({ ...closed, reached: true }, { refuses });
    });
  }

  // The daemon

  #sent(epoch: number, text: string): void {
    const line = this.#lines.get(epoch)!;
    const { kind } = line;
    if (isSilent(kind, line.variant) || kind === "garbage") return;
    const { now } = this.#stage;
    const lag = 1 + this.#stage.random() * 20;
    line.arrivesAt = Math.max(line.arrivesAt, now + lag);
    this.#later(line, line.arrivesAt - now, () => {
      if (kind === "unauthorized") return this.#refuse(line);
      const answer = this.#daemon.answer(text, this.#stage.now);
      if (answer !== undefined) this.#say(line, answer);
    });
  }

  /** An exai daemon does not take our token. */
  #refuse(line: Line): void {
    if (this.#speech !== "exai") return;
    const frame = { op: "hello_ack", ok: false, error: "unauthorized" };
    const text = JSON.stringify(frame);
    this.#proxy.handle({ type: "frame", epoch: line.epoch, text }, {
      refuses: true,
    });
    this.#end(line, 4003);
  }

  #say(line: Line, text: string): void {
    const { now, random } = this.#stage;
    const isFirst = line.saysAt === 0;
    const slow = isFirst ? line.slowMs : 0;
    line.saysAt = Math.max(line.saysAt, now + 1 + random() * 28 + slow);
    this.#later(line, line.saysAt - now, () => {
      line.isAnswered = true;
      const frame = this.#manners.spell(JSON.parse(text));
      this.#proxy.handle({ type: "frame", epoch: line.epoch, text: frame });
      if (isFirst) {
        this.#lastMs = line.slowMs;
        this.#slowestMs = Math.max(this.#slowestMs, line.slowMs);
      }
      if (line.kind === "opens and closes") {
        // What it has got until then may be executed.
        return this.#later(line, random() * 60, () => this.#end(line, 1006));
      }
      if (!isFirst) return;
      // Not before: what waits has waited for this.
      const isEnd = this.#silentMs > 0 || line.kind === "slow start";
      if (isEnd) this.#heardAt = this.#stage.now;
      this.#hasAnswered = true;
      this.#silentMs = this.#triedMs = 0;
    });
  }
}

/** Whether a dial that is made then hangs. */
function isSilent(kind: Kind, variant: boolean): boolean {
  return /^silent/.test(kind) || kind === "garbage" && !variant;
}

/** Whether connections are good that were made then. */
function isUsable(kind: Kind): boolean {
  return /^(up|quick restarts|1008 in a conversation|slow start)$/.test(kind);
}

/** How long a request waits for a first answer that takes so long: what gave it less time came before. */
function startingMs(
  ms: number,
  slowestMs: number,
  isPooled: boolean,
): number {
  // They need not be exactly these, and may be almost enough.
  const early = STEPS_MS.filter((step) => step <= 1.25 * ms)
    .map((step) => Math.min(ms, Math.max(step, 2 * slowestMs)))
    .reduce((sum, step) => sum + step + PAUSE_MS, 0);
  return early + ms + (isPooled ? ms + PAUSE_MS : 0);
}
