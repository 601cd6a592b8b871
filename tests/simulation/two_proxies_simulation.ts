/**
 * A random world with two proxies and one daemon, which keeps only the newest
 * client, or both, or only the oldest. Two clients that take the connection
 * from each other must come to rest, and nobody dials too often.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import { assert } from "../helpers/assert.ts";
import { Manners, UNDERSTOOD } from "./message_habits.ts";
import { isOwnId } from "../helpers/session/own_ids.ts";
import { QuickDaemon, type Speech } from "./quick_daemon.ts";
import { DEFAULTS } from "../helpers/session/session_driver.ts";
import { Stage } from "./clock_and_random.ts";
import { type Asked, type Back, Watched } from "./watched_proxy.ts";

/** How long the clients ask, in simulated milliseconds. */
const LIFE_MS = 200_000;
const STEPS = 20_000;
/** How soon a daemon that is back is used. */
const BACK_MS = 1_500;
/** Whoever is not disturbed for so long is answered. */
const CALM_MS = 5_000;
/** How soon: it is displaced once more at most, and dials again. */
const CALM_ANSWER_MS = 3_000;
/** How often both may dial in a time in which neither client asks. */
const REST = { ms: 60_000, dials: 6 } as const;

/** Who loses the connection to another client twice in this time must say so. */
const TWICE_MS = 9_000;

/** Which of two clients the daemon keeps. */
const HABITS = ["newest", "both", "oldest"] as const;
type Habit = typeof HABITS[number];

/** One of the two. */
interface Side {
  readonly name: "A" | "B";
  readonly proxy: Watched;
  /** What the client asked, until it has been looked at. */
  readonly asked: Set<Asked>;
  /** It has dialed since the daemon came back. */
  hasReturned: boolean;
  /** When its connection was last taken by the other one. */
  takenAt: number;
  /** That has happened twice in a short time, which its log must tell. */
  mustTell: boolean;
}

/** A connection. */
interface Line {
  readonly side: Side;
  readonly epoch: number;
  isOpen: boolean;
  isAnswered: boolean;
  isGone: boolean;
  arrivesAt: number;
  saysAt: number;
  /** How many lists the proxy itself has asked for, and has no answer to. */
  lists: number;
}

/** What happened, to show that much did. */
export type PairTally =
  & Record<
    "answers" | "faults" | "dials" | "displaced" | "kept out" | "restarts",
    number
  >
  & Record<"calm" | "quiet dials" | "dressed", number>
  & Record<Habit, number>;

/** Lives through a world. Throws when a promise is broken. */
export function livePair(seed: number): PairTally {
  return new PairWorld(seed).live();
}

class PairWorld {
  readonly #stage: Stage;
  readonly #speech: Speech;
  readonly #daemon: QuickDaemon;
  readonly #manners: Manners;
  readonly #sides: readonly [Side, Side];
  readonly #habit: Habit;
  /** It counts connections, so that a client has only one; or else clients. */
  readonly #isStrict: boolean;
  /** It looks when it is greeted, or else when a connection opens. */
  readonly #looksAtGreeting: boolean;
  /** How it gets rid of the older one, or of the newcomer. */
  readonly #code: number;
  readonly #lines = new Set<Line>();
  #upSince: number | undefined = 0;
  /** The dials of a minute in which no client asked or waited. */
  #rest: number[] = [];
  readonly #tally: PairTally = {
    ...{ answers: 0, faults: 0, dials: 0, displaced: 0, "kept out": 0 },
    ...{ restarts: 0, calm: 0, "quiet dials": 0, dressed: 0 },
    ...{ newest: 0, both: 0, oldest: 0 },
  };

  constructor(seed: number) {
    const stage = this.#stage = new Stage(seed);
    const speech = this.#speech = stage.pick(
      ["mcp", "mcp", "modern", "exai"] as const,
    );
    this.#habit = stage.pick(HABITS);
    this.#tally[this.#habit]++;
    // An exai client has a connection for each call, so that its daemon counts clients.
    this.#isStrict = speech !== "exai" && stage.chance(0.5);
    this.#looksAtGreeting = stage.chance(0.5);
    this.#code = this.#habit === "newest"
      ? stage.pick([1000, 1008, 4000])
      : stage.pick([1008, 503, 1013]);
    this.#daemon = new QuickDaemon(speech, stage.chance(0.5));
    this.#manners = new Manners(seed, UNDERSTOOD);
    this.#sides = [this.#side("A"), this.#side("B")];
  }

  #side(name: "A" | "B"): Side {
    const wire = {
      dialed: (epoch: number) => this.#dialed(side, epoch),
      sent: (epoch: number, text: string) => this.#sent(side, epoch, text),
      left: (epoch: number) => {
        const line = this.#line(side, epoch);
        if (line === undefined) return;
        line.isGone = true;
        this.#lines.delete(line);
      },
    };
    const config: SessionConfig = { ...DEFAULTS };
    const proxy: Watched = new Watched(
      this.#stage,
      config,
      this.#speech,
      wire,
      () => this.#back(),
      // The daemon must be able to tell the requests apart.
      name === "A" ? 0 : 1_000_000,
    );
    const side: Side = {
      ...{ name, proxy, asked: new Set<Asked>() },
      ...{ hasReturned: false, takenAt: -Infinity, mustTell: false },
    };
    return side;
  }

  live(): PairTally {
    const stage = this.#stage;
    for (const { proxy } of this.#sides) proxy.handle({ type: "tick" });
    for (const side of this.#sides) {
      const at = stage.random() * stage.pick([500, 20_000]);
      stage.later(at, () => {
        side.proxy.hello();
        this.#act(side);
      });
      const end = { type: "end", cause: "stdin" } as const;
      stage.later(LIFE_MS, () => side.proxy.handle(end));
    }
    // Only a daemon that keeps both restarts often: the herd comes back.
    const pause = this.#habit === "both" ? 40_000 : 150_000;
    this.#restartLater(pause);
    const [a, b] = this.#sides;
    const isOver = (): boolean =>
      [a, b].every(({ proxy }) => proxy.exit !== undefined);
    for (let step = 0; !isOver(); step++) {
      assert(step < STEPS, "the world runs away");
      this.#checkCalm();
      const [first, second] = [a, b].map(({ proxy }) => proxy.deadline());
      const wake = Math.min(first!, second!);
      if (stage.step(wake)) continue;
      assert(wake < Infinity, "nothing is left to wait for");
      stage.now = Math.max(stage.now, wake);
      (first! <= second! ? a : b).proxy.handle({ type: "tick" });
    }
    const tally = this.#tally;
    for (const { name, proxy, mustTell } of this.#sides) {
      proxy.judge();
      const hasTold = !mustTell || proxy.displacements > 0;
      assert(hasTold, `${name}'s log does not tell of another client`);
      tally.answers += proxy.answers;
      tally.faults += proxy.faults;
      tally.dials += proxy.dials.count;
    }
    tally.dressed = this.#manners.dressed;
    return tally;
  }

  // The clients

  #act(side: Side): void {
    const stage = this.#stage;
    if (stage.now > LIFE_MS) return;
    const times = stage.pick([1, 1, 1, 3]);
    for (let i = 0; i < times; i++) this.#ask(side);
    const most = stage.pick([300, 3_000, 12_000, 60_000, 150_000]);
    stage.later(stage.random() * most, () => this.#act(side));
  }

  #ask({ proxy, asked }: Side): void {
    const what = this.#stage.pick(["look", "write", "list", "list"] as const);
    this.#rest = [];
    const it = what === "list"
      ? proxy.ask("tools/list")
      : proxy.ask("tools/call", what);
    if (it !== undefined) asked.add(it);
  }

  /** What one client asks while the other is quiet is answered. */
  #checkCalm(): void {
    if (this.#habit !== "newest") return;
    const { now } = this.#stage;
    for (const { name, proxy, asked } of this.#sides) {
      const other = this.#sides.find((it) => it.proxy !== proxy)!.proxy;
      for (const it of asked) {
        const { id, method, askedAt, answeredAt, code } = it;
        const isEnd = answeredAt === undefined && now >= LIFE_MS;
        // At first each has yet to learn that there is another one.
        const quietMs = askedAt - Math.max(other.askedAt, this.#upSince ?? 0);
        const isCalm = quietMs >= CALM_MS && !other.isOwed &&
          !this.#isDisturbed(other, askedAt);
        // A call may be lost to a newcomer, and a daemon that seems to refuse us is not asked.
        const isExcused = !isCalm || isEnd || proxy.isRefused ||
          code === -31001 || method === "tools/call";
        if (isExcused) {
          asked.delete(it);
          continue;
        }
        const waited = (answeredAt ?? now) - askedAt;
        assert(
          waited <= CALM_ANSWER_MS && (code === undefined),
          `${name}'s ${id} (${method}) has waited ${waited} ms (code ` +
            `${code}) although the other client is quiet`,
        );
        if (answeredAt === undefined) continue;
        this.#tally.calm++;
        asked.delete(it);
      }
    }
  }

  /** The other client has asked since, or the daemon was away. */
  #isDisturbed(other: Watched, since: number): boolean {
    return other.askedAt > since || this.#upSince === undefined ||
      this.#upSince > since;
  }

  // The daemon and the network

  #restartLater(ms: number): void {
    const stage = this.#stage;
    stage.later(stage.random() * ms, () => {
      this.#tally.restarts++;
      this.#check();
      this.#upSince = undefined;
      for (const line of this.#lines) this.#end(line, 1006);
      this.#turn();
      stage.later(200 + stage.random() ** 2 * 20_000, () => {
        this.#check();
        this.#upSince = stage.now;
        for (const side of this.#sides) {
          side.hasReturned = false;
          // What was lost before says nothing of the other client.
          side.takenAt = -Infinity;
        }
        this.#daemon.restart(stage.now);
        this.#turn();
        this.#restartLater(ms);
      });
    });
  }

  #check(): void {
    for (const { proxy } of this.#sides) proxy.check();
  }

  #turn(): void {
    // What the daemon does to both is no rest.
    this.#rest = [];
    for (const { proxy } of this.#sides) proxy.dials.turn(this.#stage.now);
  }

  #back(): Back | undefined {
    const since = this.#upSince;
    if (this.#habit !== "both" || since === undefined) return undefined;
    return { since, limit: BACK_MS };
  }

  #line(side: Side, epoch: number): Line | undefined {
    for (const line of this.#lines) {
      if (line.side === side && line.epoch === epoch) return line;
    }
    return undefined;
  }

  #dialed(side: Side, epoch: number): void {
    this.#rested(side);
    const stage = this.#stage;
    const line: Line = {
      ...{ side, epoch },
      ...{ isOpen: false, isAnswered: false, isGone: false },
      ...{ arrivesAt: 0, saysAt: 0, lists: 0 },
    };
    this.#lines.add(line);
    const isDown = this.#upSince === undefined;
    if (isDown) return this.#fail(line, false);
    this.#later(line, 1 + stage.random() * 49, () => {
      const isHttp = this.#habit === "oldest" && this.#code === 503;
      if (isHttp && this.#isTaken(line)) return this.#fail(line, true, 503);
      line.isOpen = true;
      side.proxy.handle({ type: "open", epoch });
      if (!this.#looksAtGreeting) this.#take(line);
    });
  }

  /** While both clients are quiet, their proxies come to rest. */
  #rested(side: Side): void {
    const { now } = this.#stage;
    if (this.#habit !== "newest") return;
    const isReturn = !side.hasReturned;
    side.hasReturned = this.#upSince !== undefined;
    // Before they have spoken, nobody can tell who takes what from whom; and a daemon that is away is dialed by the table.
    const isUp = this.#upSince !== undefined;
    const isQuiet = this.#sides.every(({ proxy }) =>
      proxy.hasSpoken && !proxy.isOwed
    );
    if (!isUp || !isQuiet) return void (this.#rest = []);
    // Who comes back to a daemon that was away takes nothing from anybody yet.
    if (isReturn) return;
    this.#tally["quiet dials"]++;
    const dials = this.#rest;
    dials.push(now);
    while (dials[0]! <= now - REST.ms) dials.shift();
    assert(
      dials.length <= REST.dials,
      `${dials.length} dials in ${now - dials[0]!} ms in which neither ` +
        `client asked, and ${REST.dials} are allowed in a minute`,
    );
  }

  /** The other connections that count as the same place. */
  #rivals(line: Line): Line[] {
    return [...this.#lines].filter((it) =>
      it !== line && it.isOpen && !it.isGone &&
      (this.#isStrict || it.side !== line.side)
    );
  }

  #isTaken(line: Line): boolean {
    return this.#rivals(line).length > 0;
  }

  /** A newcomer has its place, or has none. */
  #take(line: Line): void {
    const rivals = this.#rivals(line);
    if (rivals.length === 0 || this.#habit === "both") return;
    if (this.#habit === "oldest") {
      this.#tally["kept out"]++;
      return this.#end(line, this.#code === 503 ? 1013 : this.#code);
    }
    this.#tally.displaced++;
    for (const it of rivals) this.#end(it, this.#code, line.side);
  }

  #later(line: Line, ms: number, run: () => void): void {
    this.#stage.later(ms, () => {
      if (!line.isGone) run();
    });
  }

  #fail(line: Line, reached: boolean, status?: number): void {
    line.isGone = true;
    const { epoch, side: { proxy } } = line;
    this.#stage.later(1 + this.#stage.random() * 19, () => {
      if (!this.#lines.has(line)) return;
      const reason = "the dial failed";
      const closed = { type: "closed", epoch, code: 0, reason } as const;
      proxy.handle({ ...closed, reached, ...(status && { status }) });
    });
  }

  /** The daemon closes a connection, maybe because another side has taken its place. */
  #end(line: Line, code: number, by?: Side): void {
    if (line.isGone) return;
    line.isGone = true;
    const { epoch, isAnswered, side } = line;
    const { proxy } = side;
    const reason = by === undefined ? `code ${code}` : "replaced";
    // Before the first answer it is a refusal, whatever the daemon means by it.
    const refuses = code === 1008 && !isAnswered && this.#speech !== "exai";
    this.#stage.later(this.#stage.random() * 5, () => {
      if (!this.#lines.has(line)) return;
      const isTaken = by !== undefined && by !== side && isAnswered &&
        epoch === proxy.mainEpoch;
      if (isTaken) {
        const { now } = this.#stage;
        // A request in flight may have been the cause, one of the proxy's own too.
        const isClear = !proxy.isOwed && line.lists === 0;
        side.mustTell ||= now - side.takenAt < TWICE_MS && isClear;
        if (isClear) side.takenAt = now;
      }
      const closed = { type: "closed", epoch, code, reason } as const;
      proxy.handle({ ...closed, reached: true }, { refuses });
    });
  }

  #sent(side: Side, epoch: number, text: string): void {
    const line = this.#line(side, epoch)!;
    const { now, random } = this.#stage;
    const { id, method } = JSON.parse(text);
    const isOwnList = isOwnId(id) && /\/list$/.test(method);
    if (isOwnList) line.lists++;
    const isFirst = line.arrivesAt === 0;
    line.arrivesAt = Math.max(line.arrivesAt, now + 1 + random() * 20);
    this.#later(line, line.arrivesAt - now, () => {
      if (isFirst && this.#looksAtGreeting) this.#take(line);
      if (line.isGone) return;
      const answer = this.#daemon.answer(text, this.#stage.now);
      if (answer !== undefined) this.#say(line, answer, isOwnList);
    });
  }

  #say(line: Line, text: string, isOwnList: boolean): void {
    const { now, random } = this.#stage;
    line.saysAt = Math.max(line.saysAt, now + 1 + random() * 28);
    this.#later(line, line.saysAt - now, () => {
      line.isAnswered = true;
      if (isOwnList) line.lists--;
      const { epoch, side: { proxy } } = line;
      const frame = this.#manners.spell(JSON.parse(text));
      proxy.handle({ type: "frame", epoch, text: frame });
    });
  }
}
