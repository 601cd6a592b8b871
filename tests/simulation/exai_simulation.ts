/**
 * A random world with an exai daemon: it runs one frame at a time per
 * connection, dies, blocks, fills up and turns into a zombie. Every promise
 * about a call is checked at every step.
 *
 * @module
 */

import { Exai } from "../../lib/dialects/exai/exai.ts";
import type { SessionConfig } from "../../lib/session/context.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Session } from "../../lib/session/session.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { EXAI } from "../helpers/session/exai_driver.ts";
import { Manners, UNDERSTOOD } from "./message_habits.ts";
import { DEFAULTS, type Json } from "../helpers/session/session_driver.ts";
import { Stage } from "./clock_and_random.ts";

const LIFE_MS = 120_000;
const STEPS = 20_000;
/** The main one, one that is asked for an opinion, and the pool. */
const LINKS = 6;
const TOOLS = [
  ...["quick", "quick", "quick", "quick", "slow", "slow"],
  ...["block", "zombie"],
] as const;
const DURATION_MS: Readonly<Record<string, number>> = {
  quick: 50,
  slow: 6_000,
  block: 15_000,
  zombie: 8_000,
};

/** One connection. */
interface Line {
  readonly epoch: number;
  readonly process: number;
  isOpen: boolean;
  isGreeted: boolean;
  /** Nothing arrives any more, and nobody says so. */
  isBlack: boolean;
  /** The daemon reads nothing more from it. */
  isZombie: boolean;
  /** A frame was taken and is not answered. */
  isBusy: boolean;
  /** What waits for more to go into the same frame. */
  held: string[];
}

/** What the client has asked. */
interface Asked {
  readonly id: number;
  readonly at: number;
  readonly isCall: boolean;
  isCancelled: boolean;
  answers: number;
  executions: number;
}

/** What happened, to show that much did. */
export interface ExaiTally {
  answers: number;
  faults: number;
  executions: number;
  polls: number;
  restarts: number;
  sleeps: number;
  /** Frames that took a form of their own. */
  dressed: number;
}

/** Lives through a world. Throws when a promise is broken. */
export function liveExai(seed: number): ExaiTally {
  return new ExaiWorld(seed).live();
}

class ExaiWorld {
  readonly #stage: Stage;
  readonly #config: SessionConfig;
  readonly #session: Session;
  readonly #lines = new Map<number, Line>();
  readonly #asked = new Map<number, Asked>();
  /** The calls by what the daemon knows them by. */
  readonly #requests = new Map<string, Asked>();
  readonly #manners: Manners;
  readonly #tally: ExaiTally = {
    answers: 0,
    faults: 0,
    executions: 0,
    polls: 0,
    restarts: 0,
    sleeps: 0,
    dressed: 0,
  };
  /** What happened, and what the client would have done, while the program slept. */
  #missed: (() => void)[] = [];
  #isFirst: boolean;
  #process = 0;
  #isUp: boolean;
  #startedAt = 0;
  #blockedUntil = 0;
  #running = 0;
  #capacity: number;
  /** What the daemon's process keeps by request_id. */
  #known = new Map<string, Json | "running">();
  #exit: number | undefined;

  constructor(seed: number) {
    const stage = this.#stage = new Stage(seed);
    this.#manners = new Manners(seed, [...UNDERSTOOD, "joined"]);
    this.#config = {
      ...DEFAULTS,
      requestTimeout: stage.pick([Infinity, Infinity, 5_000, 30_000]),
      idleTimeout: stage.pick([20_000, 600_000]),
      queueTimeout: stage.pick([3_000, 45_000]),
      retry: stage.pick(["safe", "safe", "never"]),
    };
    this.#isFirst = stage.chance(0.7);
    this.#isUp = stage.chance(0.7);
    this.#capacity = stage.pick([2, 24]);
    const dialect = new Exai(EXAI, stage.random);
    this.#session = new Session(this.#config, dialect, stage.random, 0);
  }

  live(): ExaiTally {
    const stage = this.#stage;
    this.#do({ type: "tick" });
    for (let at = 0, id = 1; at < LIFE_MS; id++) {
      at += stage.random() * stage.pick([20, 500, 8_000]);
      stage.later(at, () => this.#awake(() => this.#ask(id)));
    }
    for (let at = 0; at < LIFE_MS;) {
      at += stage.random() * stage.pick([2_000, 30_000]);
      stage.later(at, () => this.#mischief());
    }
    const end = { type: "end", cause: "stdin" } as const;
    stage.later(LIFE_MS, () => this.#awake(() => this.#do(end)));
    for (let step = 0; this.#exit === undefined; step++) {
      assert(step < STEPS, "it runs away");
      const at = stage.isAsleep ? Infinity : this.#session.deadline();
      assert(stage.awake < LIFE_MS + 10_000, "it never ends");
      if (stage.step(at)) continue;
      stage.now = Math.max(stage.now, at);
      this.#do({ type: "tick" });
    }
    for (const { id, answers, isCancelled } of this.#asked.values()) {
      if (!isCancelled) assertEquals(answers, 1, `answers to ${id}`);
    }
    this.#tally.dressed = this.#manners.dressed;
    return this.#tally;
  }

  /** Does something now, or when the program is awake again. */
  #awake(run: () => void): void {
    if (this.#stage.isAsleep) this.#missed.push(run);
    else run();
  }

  #sleep(): void {
    const stage = this.#stage;
    if (stage.isAsleep || stage.now > LIFE_MS) return;
    this.#tally.sleeps++;
    stage.fallAsleep();
    stage.later(3_001 + stage.random() ** 3 * 600_000, () => {
      const gap = stage.wakeUp();
      const missed = this.#missed;
      this.#missed = [];
      this.#do({ type: "resumed", gap, unseen: 0 });
      for (const run of missed) run();
    });
  }

  #do(event: SessionEvent): void {
    if (this.#exit !== undefined) return;
    if (this.#stage.isAsleep) {
      return void this.#missed.push(() => this.#do(event));
    }
    const { now } = this.#stage;
    for (const effect of this.#session.handle(event, now)) {
      this.#perform(effect);
    }
    this.#checkDeadlines();
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dialed(effect.epoch);
      case "send":
        return this.#sent(effect.epoch, JSON.parse(effect.text));
      case "close": {
        const line = this.#lines.get(effect.epoch);
        if (line !== undefined) line.isOpen = false;
        return void this.#lines.delete(effect.epoch);
      }
      case "reply":
        return this.#answered(JSON.parse(effect.text));
      case "log":
        assert(effect.event !== "bug", effect.message);
        return;
      case "exit":
        this.#exit = effect.code;
    }
  }

  // The client

  #ask(id: number): void {
    if (this.#exit !== undefined) return;
    const stage = this.#stage;
    const isCall = stage.chance(0.8);
    this.#asked.set(id, {
      id,
      at: stage.awake,
      isCall,
      isCancelled: false,
      answers: 0,
      executions: 0,
    });
    const name = stage.pick(TOOLS);
    const _meta = { progressToken: id };
    const params = isCall ? { name, arguments: { id }, _meta } : {};
    const method = isCall ? "tools/call" : "tools/list";
    this.#line({ id, method, params });
    if (!stage.chance(0.1)) return;
    const cancel = (): void => {
      const asked = this.#asked.get(id)!;
      if (asked.answers > 0) return;
      asked.isCancelled = true;
      const params = { requestId: id };
      this.#line({ method: "notifications/cancelled", params });
    };
    stage.later(stage.random() * 10_000, () => this.#awake(cancel));
  }

  #line(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#do({ type: "line", text });
  }

  #answered({ id, method, params, error, result }: Json): void {
    if (method === "notifications/progress") {
      const asked = this.#asked.get(params.progressToken);
      assertEquals(asked?.answers, 0, "progress before the answer");
      return;
    }
    if (method !== undefined) return;
    const asked = this.#asked.get(id)!;
    assertEquals(asked.isCancelled, false, `${id} was cancelled`);
    assertEquals(++asked.answers, 1, `answers to ${id}`);
    if (error === undefined) this.#tally.answers++;
    else this.#tally.faults++;
    if (error?.data?.delivered === "no") {
      assertEquals(asked.executions, 0, `${id} was said not to be delivered`);
    }
    if (result?.content && !result.isError) {
      assertEquals(result.content[0].text, `result of ${id}`);
    }
  }

  #checkDeadlines(): void {
    const { requestTimeout } = this.#config;
    for (const asked of this.#asked.values()) {
      if (asked.answers > 0 || asked.isCancelled) continue;
      const late = this.#stage.awake - asked.at - requestTimeout;
      assert(late <= 0, `${asked.id} is ${late} ms late`);
    }
  }

  // The network

  #later(line: Line, run: () => void): void {
    const { now } = this.#stage;
    const free = Math.max(0, this.#blockedUntil - now);
    this.#stage.later(free + 1 + this.#stage.random() * 20, () => {
      if (this.#blockedUntil > this.#stage.now) this.#later(line, run);
      else run();
    });
  }

  #dialed(epoch: number): void {
    const process = this.#process;
    const line: Line = {
      epoch,
      process,
      isOpen: true,
      isGreeted: false,
      isBlack: false,
      isZombie: false,
      isBusy: false,
      held: [],
    };
    this.#lines.set(epoch, line);
    assert(this.#lines.size <= LINKS, `${this.#lines.size} links`);
    if (!this.#isUp) {
      return this.#stage.later(1, () => this.#closed(line, 0));
    }
    this.#later(line, () => {
      if (line.isOpen && process === this.#process && this.#isUp) {
        this.#do({ type: "open", epoch });
      }
    });
  }

  #closed(line: Line, code: number): void {
    if (!line.isOpen) return;
    line.isOpen = false;
    const { epoch } = line;
    const reason = `code ${code}`;
    const reached = code > 0;
    this.#do({ type: "closed", epoch, code, reason, reached });
  }

  #say(line: Line, frame: Json): void {
    const isMore = frame.op === "call_tool_ack" ||
      frame.op === "progress" && !/duplicate/.test(frame.note);
    if (!isMore) line.isBusy = false;
    line.held.push(JSON.stringify(frame));
    const { joinMs } = this.#manners;
    // Whoever waits for more has more to say.
    if (!isMore || joinMs === 0) return this.#flush(line, frame);
    this.#stage.later(joinMs, () => this.#flush(line, frame));
  }

  /** What has waited goes out in one frame. */
  #flush(line: Line, { op, request_id: id, outputs }: Json): void {
    const { held } = line;
    line.held = [];
    if (!line.isOpen || line.isBlack || held.length === 0) return;
    const isAnswer = op === "call_tool_res";
    const isAnswers = held.length === 1 && isAnswer;
    const text = this.#manners.frame(held, { isAnswers, id });
    const asked = isAnswer ? this.#requests.get(id) : undefined;
    this.#do({ type: "frame", epoch: line.epoch, text });
    const isDue = asked !== undefined && !this.#stage.isAsleep &&
      outputs !== undefined && !asked.isCancelled;
    assert(!isDue || asked.answers > 0, `${asked?.id} has nothing of ${text}`);
  }

  // The daemon

  #mischief(): void {
    const stage = this.#stage;
    const lines = [...this.#lines.values()].filter(({ isOpen }) => isOpen);
    const pranks = [
      "die",
      "die",
      "close",
      "black",
      "capacity",
      "sleep",
    ] as const;
    switch (stage.pick(pranks)) {
      case "sleep":
        return this.#sleep();
      case "die":
        this.#isUp = false;
        this.#process++;
        this.#known = new Map();
        this.#blockedUntil = 0;
        this.#running = 0;
        this.#tally.restarts++;
        for (const line of lines) {
          if (!line.isBlack) this.#closed(line, 1006);
        }
        stage.later(stage.random() * stage.pick([100, 5_000, 20_000]), () => {
          if (!this.#isUp) this.#startedAt = stage.now;
          this.#isUp = true;
        });
        return;
      case "close":
        if (lines.length > 0) this.#closed(stage.pick(lines), 1006);
        return;
      case "black":
        if (lines.length > 0) stage.pick(lines).isBlack = true;
        return;
      case "capacity":
        this.#capacity = stage.pick([1, 24]);
    }
  }

  #sent(epoch: number, frame: Json): void {
    const line = this.#lines.get(epoch)!;
    if (!line.isOpen) return; // what it slept through, it cannot know
    if (frame.op !== "hello") assert(line.isGreeted, "hello comes first");
    assertEquals(line.isBusy, false, "one frame at a time");
    line.isBusy = true;
    if (line.isBlack || line.isZombie) return;
    this.#later(line, () => {
      const isThere = this.#isUp && line.process === this.#process;
      if (isThere && !line.isBlack) this.#take(line, frame);
    });
  }

  #take(line: Line, frame: Json): void {
    const stage = this.#stage;
    switch (frame.op) {
      case "hello": {
        line.isGreeted = true;
        const session_id = this.#isFirst ? "theirs" : frame.session_id;
        return this.#say(line, { op: "hello_ack", ok: true, session_id });
      }
      case "health": {
        if (!this.#isFirst) return this.#say(line, { error: { code: "NO" } });
        const seconds = Math.floor((stage.now - this.#startedAt) / 1000);
        const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
        const uptime_human = `0:${`${minutes}`.padStart(2, "0")}:${
          `${rest}`.padStart(2, "0")
        }`;
        const health = { uptime_human, t: 1_000 + stage.now / 1000 };
        return this.#say(line, { op: "health_res", ok: true, health });
      }
      case "list_tools":
        return this.#say(line, { op: "list_tools_res", tools: [] });
      case "call_tool":
        return this.#call(line, frame);
      default:
        throw new Error(`The daemon knows no op ${frame.op}`);
    }
  }

  #call(line: Line, { request_id, name, arguments: input }: Json): void {
    const known = this.#known.get(request_id);
    if (known !== undefined) {
      this.#tally.polls++;
      const note = "duplicate request; still processing";
      return this.#say(
        line,
        known === "running" ? { op: "progress", request_id, note } : known,
      );
    }
    this.#known.set(request_id, "running");
    this.#requests.set(request_id, this.#asked.get(input.id)!);
    if (this.#running >= this.#capacity) {
      const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
      return this.#say(line, { op: "call_tool_res", request_id, error });
    }
    this.#running++;
    this.#tally.executions++;
    const asked = this.#asked.get(input.id)!;
    assertEquals(++asked.executions, 1, `executions of ${input.id}`);
    if (this.#stage.chance(0.5)) {
      const note = "accepted, awaiting capacity";
      this.#say(line, { op: "progress", request_id, note });
      this.#say(line, { op: "call_tool_ack", request_id, timeout: 67 });
    }
    const process = this.#process;
    const ms = DURATION_MS[name]!;
    if (name === "block") this.#blockedUntil = this.#stage.now + ms;
    this.#stage.later(
      ms,
      () => this.#done(line, request_id, input, process, name),
    );
  }

  #done(
    line: Line,
    request_id: string,
    input: Json,
    process: number,
    name: string,
  ): void {
    if (process !== this.#process || !this.#isUp) return;
    this.#running--;
    if (name === "zombie") {
      line.isZombie = true;
      return this.#say(line, { op: "progress", request_id });
    }
    const outputs = [{ type: "text", text: `result of ${input.id}` }];
    const answer = { op: "call_tool_res", request_id, outputs };
    this.#known.set(request_id, answer);
    this.#say(line, answer);
  }
}
