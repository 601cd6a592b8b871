/**
 * A daemon of the liveness simulations. Its behavior says how it serves calls,
 * whether it answers pings meanwhile, and how many clients it keeps.
 *
 * @module
 */

import { DISCOVER_RESULT } from "../helpers/session/cold_start_driver.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Scheduler } from "./scheduler.ts";

/** How a daemon serves the messages on its connections. */
export const SERVING_MODES = [
  "concurrent",
  // It does one thing at a time, on each connection or in the whole daemon.
  "serial",
  "serial as a whole",
  // It answers no ping while a call runs on that connection, or none ever.
  "mute during calls",
  "never answers pings",
  // It does one thing at a time. A call that arrives together with a ping
  // starts before the pong is sent.
  "late pong",
  // During a call it answers pings for some seconds, and then the connection
  // blocks.
  "phases",
] as const;
export type ServingMode = typeof SERVING_MODES[number];

/** What a daemon does when a client opens a second connection. */
export const SECOND_CONNECTION_POLICIES = [
  ...["many", "closes the old one", "refuses the new one"],
  ...["ignores the new one", "answers the newest only"],
] as const;
export type SecondConnectionPolicy = typeof SECOND_CONNECTION_POLICIES[number];

export interface DaemonBehavior {
  readonly serving: ServingMode;
  readonly secondConnection: SecondConnectionPolicy;
  /** The close code for connections that the daemon does not keep. */
  readonly closeCode: number;
  /** How long the old connection stays open, and whether it is served then. */
  readonly closeDelayMs: number;
  readonly untilClosed: "served" | "deaf";
  /**
   * Whether a new connection counts once its WebSocket is open, or from its
   * first frame.
   */
  readonly countsFrom: "open" | "first frame";
  /** What happens to a cancelled call. */
  readonly onCancel: "answered" | "stopped" | "worked on";
  /**
   * Whether a ping that was not answered during a call is answered after the
   * call, or never.
   */
  readonly latePings: "after" | "never";
  /**
   * The longest time that a connection answers during a call before it blocks,
   * and the longest time that it then blocks, in milliseconds.
   */
  readonly maxRespondingMs: number;
  readonly maxBlockingMs: number;
}

/** A daemon that does everything at once and keeps all connections. */
export const DEFAULT_BEHAVIOR: DaemonBehavior = {
  serving: "concurrent",
  secondConnection: "many",
  closeCode: 1000,
  closeDelayMs: 0,
  untilClosed: "served",
  countsFrom: "open",
  onCancel: "stopped",
  latePings: "never",
  maxRespondingMs: 3_000,
  maxBlockingMs: 9_000,
};

/**
 * The actions of a daemon on its connections. They do not call the daemon back
 * at once, except that `onOpen` may report that the connection is lost.
 */
export interface DaemonHooks {
  onOpen(connectionId: number): void;
  send(connectionId: number, message: Json): void;
  close(connectionId: number, code: number): void;
  /** Called when a call starts. */
  onCallStart(id: unknown): void;
  /** Called when a newer connection displaces another one. */
  onDisplaced(connectionId: number, by: number): void;
}

interface Job {
  readonly peer: Peer;
  readonly message: Json;
  needsNoResponse: boolean;
}

/** Executes jobs one at a time. */
interface Worker {
  queue: Job[];
  current: Job | undefined;
  /** Changes when the current job must not continue. */
  generation: number;
}

/** A connection, as the daemon sees it. */
interface Peer {
  readonly connectionId: number;
  readonly worker: Worker;
  isAdmitted: boolean;
  isClosed: boolean;
  isIgnored: boolean;
  readonly runningCalls: Set<Job>;
  /**
   * The actions that wait until the connection is no longer blocked.
   * `undefined` while it is not blocked.
   */
  blockedActions: (() => void)[] | undefined;
  latePings: Json[];
}

/** How long a `late pong` daemon reads on before it answers a ping. */
const PING_DELAY_MS = 5;

const TOOLS = [
  {
    name: "look",
    inputSchema: { type: "object" },
    annotations: { readOnlyHint: true },
  },
  { name: "write", inputSchema: { type: "object" } },
];

/** A daemon that runs as one process for the whole simulation. */
export class LivenessDaemon {
  readonly #scheduler: Scheduler;
  readonly #behavior: DaemonBehavior;
  readonly #hooks: DaemonHooks;
  readonly #peers = new Map<number, Peer>();
  readonly #sharedWorker: Worker = newWorker();
  /**
   * The actions that wait until the process resumes. `undefined` while it runs.
   */
  #suspendedActions: (() => void)[] | undefined;

  constructor(
    scheduler: Scheduler,
    behavior: DaemonBehavior,
    hooks: DaemonHooks,
  ) {
    this.#scheduler = scheduler;
    this.#behavior = behavior;
    this.#hooks = hooks;
  }

  /** True while the daemon works on a message. */
  get isBusy(): boolean {
    if (this.#sharedWorker.current !== undefined) return true;
    return [...this.#peers.values()].some((it) => isBusy(it));
  }

  /** Returns whether the daemon ignores a connection that is alive. */
  isIgnoring(connectionId: number): boolean {
    return this.#peers.get(connectionId)?.isIgnored ?? false;
  }

  /** Suspends the process for a while; then everything continues in order. */
  suspend(ms: number): void {
    if (this.#suspendedActions !== undefined) return;
    const suspendedActions: (() => void)[] = this.#suspendedActions = [];
    this.#scheduler.schedule(ms, () => {
      this.#suspendedActions = undefined;
      for (const run of suspendedActions) run();
    });
  }

  /** Accepts a connection that a client dialed. */
  accept(connectionId: number): void {
    this.#whenRunning(() => {
      const isWhole = this.#behavior.serving === "serial as a whole";
      const peer: Peer = {
        ...{ connectionId, worker: isWhole ? this.#sharedWorker : newWorker() },
        ...{ isAdmitted: false, isClosed: false, isIgnored: false },
        ...{
          runningCalls: new Set<Job>(),
          blockedActions: undefined,
          latePings: [],
        },
      };
      this.#peers.set(connectionId, peer);
      this.#hooks.onOpen(connectionId);
      if (this.#behavior.countsFrom === "open") this.#admit(peer);
    });
  }

  /** Tells the daemon that a connection is gone. */
  connectionLost(connectionId: number): void {
    this.#whenRunning(() => this.#drop(this.#peers.get(connectionId)));
  }

  receive(connectionId: number, message: Json): void {
    this.#whenRunning(() => {
      const peer = this.#peers.get(connectionId);
      if (peer === undefined || peer.isClosed) return;
      if (!peer.isAdmitted) this.#admit(peer);
      this.#whenUnblocked(peer, () => this.#handleMessage(peer, message));
    });
  }

  /** Does something now, or once the process resumes. */
  #whenRunning(run: () => void): void {
    if (this.#suspendedActions === undefined) run();
    else this.#suspendedActions.push(run);
  }

  #schedule(ms: number, run: () => void): void {
    if (ms === 0) run();
    else this.#scheduler.schedule(ms, () => this.#whenRunning(run));
  }

  /** Does something on a connection now, or once it is no longer blocked. */
  #whenUnblocked(peer: Peer, run: () => void): void {
    if (peer.isClosed || peer.isIgnored) return;
    if (peer.blockedActions === undefined) run();
    else peer.blockedActions.push(run);
  }

  #drop(peer: Peer | undefined): void {
    if (peer === undefined || peer.isClosed) return;
    peer.isClosed = true;
    this.#peers.delete(peer.connectionId);
    // The current job continues, but its response reaches nobody.
    peer.worker.queue = peer.worker.queue.filter((job) => job.peer !== peer);
  }

  #close(peer: Peer): void {
    if (peer.isClosed) return;
    this.#drop(peer);
    this.#hooks.close(peer.connectionId, this.#behavior.closeCode);
  }

  /** Admits a new connection or rejects it. */
  #admit(peer: Peer): void {
    peer.isAdmitted = true;
    const others = [...this.#peers.values()].filter((it) =>
      it !== peer && it.isAdmitted
    );
    if (others.length === 0) return;
    const { secondConnection, closeDelayMs, untilClosed } = this.#behavior;
    switch (secondConnection) {
      case "many":
        return;
      case "refuses the new one":
        return this.#close(peer);
      case "ignores the new one":
        peer.isIgnored = true;
        return;
      case "answers the newest only":
      case "closes the old one":
        for (const it of others) {
          if (it.isIgnored) continue;
          this.#hooks.onDisplaced(it.connectionId, peer.connectionId);
          const isClosing = secondConnection === "closes the old one";
          it.isIgnored = !isClosing || untilClosed === "deaf";
          if (isClosing) this.#schedule(closeDelayMs, () => this.#close(it));
        }
    }
  }

  #handleMessage(peer: Peer, message: Json): void {
    const { method, id, params } = message;
    // This is a response of the client.
    if (method === undefined) return;
    if (method === "notifications/cancelled") {
      return this.#cancel(peer, params.requestId);
    }
    const isPing = id !== undefined && isProbeMethod(method);
    const { serving, latePings } = this.#behavior;
    const job: Job = { peer, message, needsNoResponse: id === undefined };
    switch (serving) {
      case "serial":
      case "serial as a whole":
      case "late pong":
        peer.worker.queue.push(job);
        if (serving === "late pong") {
          this.#startCallBeforePong(peer.worker, job);
        }
        return this.#runQueue(peer.worker);
      case "never answers pings":
        return isPing ? undefined : this.#runConcurrently(job);
      case "mute during calls":
        if (!isPing || peer.runningCalls.size === 0) {
          return this.#runConcurrently(job);
        }
        if (latePings === "after") peer.latePings.push(message);
        return;
      case "phases":
        this.#runConcurrently(job);
        if (peer.runningCalls.size === 1 && peer.runningCalls.has(job)) {
          this.#alternatePhases(peer);
        }
        return;
      case "concurrent":
        return this.#runConcurrently(job);
    }
  }

  /** Puts a call before the ping that is being answered. */
  #startCallBeforePong(worker: Worker, { message }: Job): void {
    const { current } = worker;
    if (!isToolCall(message) || current === undefined) return;
    if (!isProbeMethod(current.message.method)) return;
    worker.generation++;
    worker.current = undefined;
    worker.queue = [...worker.queue.splice(-1), current, ...worker.queue];
  }

  /** Runs the jobs of a worker one at a time. */
  #runQueue(worker: Worker): void {
    while (worker.current === undefined) {
      const job = this.#takeJob(worker);
      if (job === undefined) return;
      const { message, peer } = job;
      worker.current = job;
      const turn = ++worker.generation;
      if (isToolCall(message)) this.#hooks.onCallStart(message.id);
      const isLate = this.#behavior.serving === "late pong" &&
        isProbeMethod(message.method);
      this.#schedule(isLate ? PING_DELAY_MS : durationOf(message), () => {
        if (worker.generation !== turn) return;
        worker.current = undefined;
        if (!job.needsNoResponse) this.#respond(peer, message);
        this.#runQueue(worker);
      });
    }
  }

  /** Takes the next job: a call comes before pings that were read with it. */
  #takeJob(worker: Worker): Job | undefined {
    const { queue } = worker;
    if (this.#behavior.serving !== "late pong") return queue.shift();
    const at = queue.findIndex(({ message }) => !isProbeMethod(message.method));
    const isFirst = at > 0 && isToolCall(queue[at]!.message);
    return isFirst ? queue.splice(at, 1)[0] : queue.shift();
  }

  /** Runs a job at once, whatever else is running. */
  #runConcurrently(job: Job): void {
    const { peer, message } = job;
    if (!isToolCall(message)) {
      if (!job.needsNoResponse) this.#respond(peer, message);
      return;
    }
    this.#hooks.onCallStart(message.id);
    peer.runningCalls.add(job);
    this.#schedule(durationOf(message), () => this.#complete(job));
  }

  #complete(job: Job): void {
    const { peer, message } = job;
    if (!peer.runningCalls.delete(job)) return;
    if (!job.needsNoResponse) this.#respond(peer, message);
    if (peer.runningCalls.size > 0) return;
    for (const ping of peer.latePings) this.#respond(peer, ping);
    peer.latePings = [];
  }

  /**
   * Makes a connection answer for a while and block for a while, in turn, while
   * calls run on it.
   */
  #alternatePhases(peer: Peer): void {
    const { random } = this.#scheduler;
    const { maxRespondingMs, maxBlockingMs } = this.#behavior;
    this.#schedule(1 + random() * maxRespondingMs, () => {
      if (peer.runningCalls.size === 0 || peer.blockedActions !== undefined) {
        return;
      }
      const blocked: (() => void)[] = peer.blockedActions = [];
      this.#schedule(1 + random() * (maxBlockingMs - 1), () => {
        peer.blockedActions = undefined;
        for (const run of blocked) run();
        if (peer.runningCalls.size > 0) this.#alternatePhases(peer);
      });
    });
  }

  #cancel({ worker, runningCalls }: Peer, id: unknown): void {
    const { onCancel } = this.#behavior;
    const jobs = [...worker.queue, ...runningCalls];
    if (worker.current !== undefined) jobs.push(worker.current);
    const job = jobs.find(({ message }) => message.id === id);
    if (job === undefined || onCancel === "answered") return;
    job.needsNoResponse = true;
    if (onCancel === "worked on") return;
    this.#complete(job);
    worker.queue = worker.queue.filter((it) => it !== job);
    if (worker.current !== job) return;
    worker.generation++;
    worker.current = undefined;
    this.#runQueue(worker);
  }

  #respond(peer: Peer, { id, method, params }: Json): void {
    const result = resultOf(id, method, params);
    this.#whenUnblocked(peer, () => {
      this.#hooks.send(peer.connectionId, { jsonrpc: "2.0", id, result });
    });
  }
}

/** Returns whether a method only checks whether the daemon is alive. */
export function isProbeMethod(method: string | undefined): boolean {
  return method === "ping" || method === "server/discover";
}

function isToolCall({ method }: Json): boolean {
  return method === "tools/call";
}

/** Returns how long the daemon works on a message, in milliseconds. */
function durationOf({ params }: Json): number {
  return params?.ms ?? 0;
}

function newWorker(): Worker {
  return { queue: [], current: undefined, generation: 0 };
}

function isBusy({ worker, runningCalls }: Peer): boolean {
  return worker.current !== undefined || runningCalls.size > 0;
}

function resultOf(id: unknown, method: string, params: Json): Json {
  switch (method) {
    case "initialize":
      return {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: "world", version: "1" },
      };
    case "server/discover":
      return DISCOVER_RESULT;
    case "tools/list":
      return { tools: TOOLS };
    case "tools/call":
      return { content: [{ type: "text", text: `${id}` }] };
    default:
      return {};
  }
}
