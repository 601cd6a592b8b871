/**
 * A random simulation with an exai daemon. The daemon runs one frame at a time
 * per connection, dies, blocks, runs out of capacity, and stops reading from
 * connections. Every promise about a call is checked at every step.
 *
 * @module
 */

import { Exai } from "../../lib/dialects/exai/exai.ts";
import type { SessionConfig } from "../../lib/session/session_config.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import type { Session } from "../../lib/session/session.ts";
import { CheckedSession } from "../helpers/session/checked_session.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { EXAI_CONFIG } from "../helpers/session/exai_driver.ts";
import { HARMLESS_HABITS, MessageHabits } from "./message_habits.ts";
import {
  DEFAULT_CONFIG,
  type Json,
} from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";

const CLIENT_LIFETIME_MS = 120_000;
const MAX_STEPS = 20_000;
/**
 * The main connection, a second one that checks whether the main one is dead,
 * and the pool.
 */
const MAX_CONNECTIONS = 6;
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

interface ExaiConnection {
  readonly connectionId: number;
  readonly process: number;
  isOpen: boolean;
  hasHello: boolean;
  /** True if nothing arrives any more, and neither side notices. */
  isBlackholed: boolean;
  /** True if the daemon no longer reads from the connection. */
  isZombie: boolean;
  /** True if the daemon has accepted a frame and not answered it yet. */
  isBusy: boolean;
  /** The frames that are held back, to be sent in one frame with later ones. */
  heldFrames: string[];
}

/** A request of the client. */
interface ExaiRequest {
  readonly id: number;
  readonly requestedAt: number;
  readonly isCall: boolean;
  isCancelled: boolean;
  answers: number;
  executions: number;
}

/** Counts of events, which show how much the simulation covers. */
export interface ExaiTally {
  answers: number;
  errors: number;
  executions: number;
  polls: number;
  restarts: number;
  sleeps: number;
  /** How many frames had an unusual form. */
  reformattedCount: number;
}

/** Runs a simulation. Throws if a promise is broken. */
export function runExaiSimulation(seed: number): ExaiTally {
  return new ExaiSimulation(seed).run();
}

class ExaiSimulation {
  readonly #scheduler: Scheduler;
  readonly #config: SessionConfig;
  readonly #session: Session;
  readonly #connections = new Map<number, ExaiConnection>();
  readonly #requests = new Map<number, ExaiRequest>();
  /** The calls, by their `request_id`. */
  readonly #requestsByDaemonId = new Map<string, ExaiRequest>();
  readonly #messageHabits: MessageHabits;
  readonly #tally: ExaiTally = {
    answers: 0,
    errors: 0,
    executions: 0,
    polls: 0,
    restarts: 0,
    sleeps: 0,
    reformattedCount: 0,
  };
  /**
   * What happened while the program slept, and what the client would have done.
   */
  #missedEvents: (() => void)[] = [];
  #isFirstRevision: boolean;
  #process = 0;
  #isUp: boolean;
  #startedAt = 0;
  #blockedUntil = 0;
  #runningCount = 0;
  #capacity: number;
  /** The responses that the daemon's process keeps, by `request_id`. */
  #responsesById = new Map<string, Json | "running">();
  #exitCode: number | undefined;

  constructor(seed: number) {
    const scheduler = this.#scheduler = new Scheduler(seed);
    this.#messageHabits = new MessageHabits(seed, [
      ...HARMLESS_HABITS,
      "joined",
    ]);
    this.#config = {
      ...DEFAULT_CONFIG,
      requestTimeout: scheduler.pick([Infinity, Infinity, 5_000, 30_000]),
      idleTimeout: scheduler.pick([20_000, 600_000]),
      queueTimeout: scheduler.pick([3_000, 45_000]),
      retry: scheduler.pick(["safe", "safe", "never"]),
    };
    this.#isFirstRevision = scheduler.chance(0.7);
    this.#isUp = scheduler.chance(0.7);
    this.#capacity = scheduler.pick([2, 24]);
    const dialect = new Exai(EXAI_CONFIG, scheduler.random);
    this.#session = new CheckedSession(
      this.#config,
      dialect,
      scheduler.random,
      0,
    );
  }

  run(): ExaiTally {
    const scheduler = this.#scheduler;
    this.#handle({ type: "tick" });
    for (let at = 0, id = 1; at < CLIENT_LIFETIME_MS; id++) {
      at += scheduler.random() * scheduler.pick([20, 500, 8_000]);
      scheduler.schedule(at, () => this.#whenAwake(() => this.#request(id)));
    }
    for (let at = 0; at < CLIENT_LIFETIME_MS;) {
      at += scheduler.random() * scheduler.pick([2_000, 30_000]);
      scheduler.schedule(at, () => this.#injectFault());
    }
    const end = { type: "end", cause: "stdin" } as const;
    scheduler.schedule(
      CLIENT_LIFETIME_MS,
      () => this.#whenAwake(() => this.#handle(end)),
    );
    for (let step = 0; this.#exitCode === undefined; step++) {
      assert(step < MAX_STEPS, "the simulation does not end");
      const at = scheduler.isSuspended ? Infinity : this.#session.deadline();
      assert(
        scheduler.awakeMs < CLIENT_LIFETIME_MS + 10_000,
        "the proxy never exits",
      );
      if (scheduler.runNext(at)) continue;
      scheduler.now = Math.max(scheduler.now, at);
      this.#handle({ type: "tick" });
    }
    for (const { id, answers, isCancelled } of this.#requests.values()) {
      if (!isCancelled) assertEquals(answers, 1, `answers to ${id}`);
    }
    this.#tally.reformattedCount = this.#messageHabits.reformattedCount;
    return this.#tally;
  }

  /** Does something now, or once the program is awake again. */
  #whenAwake(run: () => void): void {
    if (this.#scheduler.isSuspended) this.#missedEvents.push(run);
    else run();
  }

  #suspend(): void {
    const scheduler = this.#scheduler;
    if (scheduler.isSuspended || scheduler.now > CLIENT_LIFETIME_MS) return;
    this.#tally.sleeps++;
    scheduler.suspend();
    scheduler.schedule(3_001 + scheduler.random() ** 3 * 600_000, () => {
      const monotonicGapMs = scheduler.resume();
      const missed = this.#missedEvents;
      this.#missedEvents = [];
      this.#handle({ type: "resumed", monotonicGapMs, suspendedMs: 0 });
      for (const run of missed) run();
    });
  }

  #handle(event: SessionEvent): void {
    if (this.#exitCode !== undefined) return;
    if (this.#scheduler.isSuspended) {
      return void this.#missedEvents.push(() => this.#handle(event));
    }
    const { now } = this.#scheduler;
    for (const effect of this.#session.handle(event, now)) {
      this.#perform(effect);
    }
    this.#checkDeadlines();
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dial(effect.connectionId);
      case "send-to-daemon":
        return this.#sendToDaemon(effect.connectionId, JSON.parse(effect.text));
      case "close": {
        const connection = this.#connections.get(effect.connectionId);
        if (connection !== undefined) connection.isOpen = false;
        return void this.#connections.delete(effect.connectionId);
      }
      case "send-to-client":
        return this.#receiveAtClient(JSON.parse(effect.text));
      case "log":
        assert(effect.event !== "bug", effect.message);
        return;
      case "exit":
        this.#exitCode = effect.code;
    }
  }

  // The client

  #request(id: number): void {
    if (this.#exitCode !== undefined) return;
    const scheduler = this.#scheduler;
    const isCall = scheduler.chance(0.8);
    this.#requests.set(id, {
      id,
      requestedAt: scheduler.awakeMs,
      isCall,
      isCancelled: false,
      answers: 0,
      executions: 0,
    });
    const name = scheduler.pick(TOOLS);
    const _meta = { progressToken: id };
    const params = isCall ? { name, arguments: { id }, _meta } : {};
    const method = isCall ? "tools/call" : "tools/list";
    this.#sendFromClient({ id, method, params });
    if (!scheduler.chance(0.1)) return;
    const cancel = (): void => {
      const request = this.#requests.get(id)!;
      if (request.answers > 0) return;
      request.isCancelled = true;
      const params = { requestId: id };
      this.#sendFromClient({ method: "notifications/cancelled", params });
    };
    scheduler.schedule(
      scheduler.random() * 10_000,
      () => this.#whenAwake(cancel),
    );
  }

  #sendFromClient(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#handle({ type: "line", text });
  }

  #receiveAtClient({ id, method, params, error, result }: Json): void {
    if (method === "notifications/progress") {
      const request = this.#requests.get(params.progressToken);
      assertEquals(request?.answers, 0, "progress after the response");
      return;
    }
    if (method !== undefined) return;
    const request = this.#requests.get(id)!;
    assertEquals(request.isCancelled, false, `${id} was cancelled`);
    assertEquals(++request.answers, 1, `answers to ${id}`);
    if (error === undefined) this.#tally.answers++;
    else this.#tally.errors++;
    if (error?.data?.delivered === "no") {
      assertEquals(request.executions, 0, `${id} is reported as not delivered`);
    }
    if (result?.content && !result.isError) {
      assertEquals(result.content[0].text, `result of ${id}`);
    }
  }

  #checkDeadlines(): void {
    const { requestTimeout } = this.#config;
    for (const request of this.#requests.values()) {
      if (request.answers > 0 || request.isCancelled) continue;
      const late = this.#scheduler.awakeMs - request.requestedAt -
        requestTimeout;
      assert(late <= 0, `${request.id} is ${late} ms late`);
    }
  }

  // The network

  #schedule(connection: ExaiConnection, run: () => void): void {
    const { now } = this.#scheduler;
    const free = Math.max(0, this.#blockedUntil - now);
    this.#scheduler.schedule(free + 1 + this.#scheduler.random() * 20, () => {
      if (this.#blockedUntil > this.#scheduler.now) {
        this.#schedule(connection, run);
      } else run();
    });
  }

  #dial(connectionId: number): void {
    const process = this.#process;
    const connection: ExaiConnection = {
      connectionId,
      process,
      isOpen: true,
      hasHello: false,
      isBlackholed: false,
      isZombie: false,
      isBusy: false,
      heldFrames: [],
    };
    this.#connections.set(connectionId, connection);
    assert(
      this.#connections.size <= MAX_CONNECTIONS,
      `${this.#connections.size} connections at once`,
    );
    if (!this.#isUp) {
      return this.#scheduler.schedule(
        1,
        () => this.#closeByDaemon(connection, 0),
      );
    }
    this.#schedule(connection, () => {
      if (connection.isOpen && process === this.#process && this.#isUp) {
        this.#handle({ type: "open", connectionId });
      }
    });
  }

  #closeByDaemon(connection: ExaiConnection, code: number): void {
    if (!connection.isOpen) return;
    connection.isOpen = false;
    const { connectionId } = connection;
    const reason = `code ${code}`;
    const mayHaveReachedServer = code > 0;
    this.#handle({
      type: "closed",
      connectionId,
      code,
      reason,
      mayHaveReachedServer,
    });
  }

  #sendFromDaemon(connection: ExaiConnection, frame: Json): void {
    const isIntermediate = frame.op === "call_tool_ack" ||
      frame.op === "progress" && !/duplicate/.test(frame.note);
    if (!isIntermediate) connection.isBusy = false;
    connection.heldFrames.push(JSON.stringify(frame));
    const { joinDelayMs } = this.#messageHabits;
    // A frame that waits is sent together with the next one.
    if (!isIntermediate || joinDelayMs === 0) {
      return this.#flush(connection, frame);
    }
    this.#scheduler.schedule(joinDelayMs, () => this.#flush(connection, frame));
  }

  /** Sends the waiting frames in one WebSocket frame. */
  #flush(
    connection: ExaiConnection,
    { op, request_id: id, outputs }: Json,
  ): void {
    const { heldFrames } = connection;
    connection.heldFrames = [];
    if (
      !connection.isOpen || connection.isBlackholed || heldFrames.length === 0
    ) return;
    const isAnswer = op === "call_tool_res";
    const allAreResponses = heldFrames.length === 1 && isAnswer;
    const text = this.#messageHabits.joinIntoFrame(heldFrames, {
      allAreResponses,
      id,
    });
    const request = isAnswer ? this.#requestsByDaemonId.get(id) : undefined;
    this.#handle({
      type: "frame",
      connectionId: connection.connectionId,
      text,
    });
    const isDue = request !== undefined && !this.#scheduler.isSuspended &&
      outputs !== undefined && !request.isCancelled;
    assert(
      !isDue || request.answers > 0,
      `the client got no response to ${request?.id} from ${text}`,
    );
  }

  // The daemon

  #injectFault(): void {
    const scheduler = this.#scheduler;
    const connections = [...this.#connections.values()].filter(({ isOpen }) =>
      isOpen
    );
    const errors = [
      "die",
      "die",
      "close",
      "black",
      "capacity",
      "sleep",
    ] as const;
    switch (scheduler.pick(errors)) {
      case "sleep":
        return this.#suspend();
      case "die":
        this.#isUp = false;
        this.#process++;
        this.#responsesById = new Map();
        this.#blockedUntil = 0;
        this.#runningCount = 0;
        this.#tally.restarts++;
        for (const connection of connections) {
          if (!connection.isBlackholed) this.#closeByDaemon(connection, 1006);
        }
        scheduler.schedule(
          scheduler.random() * scheduler.pick([100, 5_000, 20_000]),
          () => {
            if (!this.#isUp) this.#startedAt = scheduler.now;
            this.#isUp = true;
          },
        );
        return;
      case "close":
        if (connections.length > 0) {
          this.#closeByDaemon(scheduler.pick(connections), 1006);
        }
        return;
      case "black":
        if (connections.length > 0) {
          scheduler.pick(connections).isBlackholed = true;
        }
        return;
      case "capacity":
        this.#capacity = scheduler.pick([1, 24]);
    }
  }

  #sendToDaemon(connectionId: number, frame: Json): void {
    const connection = this.#connections.get(connectionId)!;
    if (!connection.isOpen) return; // closed while the proxy slept
    if (frame.op !== "hello") assert(connection.hasHello, "hello comes first");
    assertEquals(connection.isBusy, false, "one frame at a time");
    connection.isBusy = true;
    if (connection.isBlackholed || connection.isZombie) return;
    this.#schedule(connection, () => {
      const isReachable = this.#isUp && connection.process === this.#process;
      if (isReachable && !connection.isBlackholed) {
        this.#receiveAtDaemon(connection, frame);
      }
    });
  }

  #receiveAtDaemon(connection: ExaiConnection, frame: Json): void {
    const scheduler = this.#scheduler;
    switch (frame.op) {
      case "hello": {
        connection.hasHello = true;
        const session_id = this.#isFirstRevision ? "theirs" : frame.session_id;
        return this.#sendFromDaemon(connection, {
          op: "hello_ack",
          ok: true,
          session_id,
        });
      }
      case "health": {
        if (!this.#isFirstRevision) {
          return this.#sendFromDaemon(connection, { error: { code: "NO" } });
        }
        const seconds = Math.floor((scheduler.now - this.#startedAt) / 1000);
        const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
        const uptime_human = `0:${`${minutes}`.padStart(2, "0")}:${
          `${rest}`.padStart(2, "0")
        }`;
        const health = { uptime_human, t: 1_000 + scheduler.now / 1000 };
        return this.#sendFromDaemon(connection, {
          op: "health_res",
          ok: true,
          health,
        });
      }
      case "list_tools":
        return this.#sendFromDaemon(connection, {
          op: "list_tools_res",
          tools: [],
        });
      case "call_tool":
        return this.#startCall(connection, frame);
      default:
        throw new Error(`The daemon knows no op ${frame.op}`);
    }
  }

  #startCall(
    connection: ExaiConnection,
    { request_id, name, arguments: input }: Json,
  ): void {
    const known = this.#responsesById.get(request_id);
    if (known !== undefined) {
      this.#tally.polls++;
      const note = "duplicate request; still processing";
      return this.#sendFromDaemon(
        connection,
        known === "running" ? { op: "progress", request_id, note } : known,
      );
    }
    this.#responsesById.set(request_id, "running");
    this.#requestsByDaemonId.set(request_id, this.#requests.get(input.id)!);
    if (this.#runningCount >= this.#capacity) {
      const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
      return this.#sendFromDaemon(connection, {
        op: "call_tool_res",
        request_id,
        error,
      });
    }
    this.#runningCount++;
    this.#tally.executions++;
    const request = this.#requests.get(input.id)!;
    assertEquals(++request.executions, 1, `executions of ${input.id}`);
    if (this.#scheduler.chance(0.5)) {
      const note = "accepted, awaiting capacity";
      this.#sendFromDaemon(connection, { op: "progress", request_id, note });
      this.#sendFromDaemon(connection, {
        op: "call_tool_ack",
        request_id,
        timeout: 67,
      });
    }
    const process = this.#process;
    const ms = DURATION_MS[name]!;
    if (name === "block") this.#blockedUntil = this.#scheduler.now + ms;
    this.#scheduler.schedule(
      ms,
      () => this.#completeCall(connection, request_id, input, process, name),
    );
  }

  #completeCall(
    connection: ExaiConnection,
    request_id: string,
    input: Json,
    process: number,
    name: string,
  ): void {
    if (process !== this.#process || !this.#isUp) return;
    this.#runningCount--;
    if (name === "zombie") {
      connection.isZombie = true;
      return this.#sendFromDaemon(connection, { op: "progress", request_id });
    }
    const outputs = [{ type: "text", text: `result of ${input.id}` }];
    const answer = { op: "call_tool_res", request_id, outputs };
    this.#responsesById.set(request_id, answer);
    this.#sendFromDaemon(connection, answer);
  }
}
