/**
 * A daemon of the liveness worlds: how it serves calls, whether it answers
 * pings meanwhile, how many clients it keeps, and what it has executed.
 *
 * @module
 */

import { DISCOVERED } from "../helpers/session/cold_start_driver.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Stage } from "./clock_and_random.ts";

/** How a daemon serves what comes on its connections. */
export const SERVING = [
  "concurrent",
  // One thing at a time on a connection, or in all.
  "serial",
  "serial as a whole",
  // No ping is answered while a call runs on that connection, or ever.
  "mute during calls",
  "never answers pings",
  // One thing at a time; a call that comes with a ping begins before the pong goes out.
  "late pong",
  // Pings are answered during a call for some seconds, then the connection stands still.
  "phases",
] as const;
export type Serving = typeof SERVING[number];

/** What a daemon does about a second connection. */
export const KEEPING = [
  ...["many", "closes the old one", "refuses the new one"],
  ...["ignores the new one", "answers the newest only"],
] as const;
export type Keeping = typeof KEEPING[number];

/** Everything that is particular to a daemon. */
export interface Habits {
  readonly serving: Serving;
  readonly keeping: Keeping;
  /** With which code it closes what it does not keep. */
  readonly code: number;
  /** How long the old connection lives on, and whether it is served meanwhile. */
  readonly closesAfter: number;
  readonly servesMeanwhile: "served" | "deaf";
  /** A newcomer counts when its WebSocket opens, or when it speaks. */
  readonly counts: "open" | "first frame";
  /** What becomes of a call that is cancelled. */
  readonly cancelled: "answered" | "stopped" | "worked on";
  /** Pings that are not answered during a call are answered after it, or never. */
  readonly latePings: "after" | "never";
  /** How long a connection answers during a call, and then stands still: at most, in milliseconds. */
  readonly answersMs: number;
  readonly blocksMs: number;
}

/** What a plain daemon does. */
export const PLAIN: Habits = {
  serving: "concurrent",
  keeping: "many",
  code: 1000,
  closesAfter: 0,
  servesMeanwhile: "served",
  counts: "open",
  cancelled: "stopped",
  latePings: "never",
  answersMs: 3_000,
  blocksMs: 9_000,
};

/** What the daemon does to its connections. It is never called back at once. */
export interface Wire {
  opened(epoch: number): void;
  say(epoch: number, message: Json): void;
  close(epoch: number, code: number): void;
  /** A call begins. */
  begun(id: unknown): void;
  /** A connection loses its place to a newer one. */
  displaced(epoch: number, by: number): void;
}

interface Job {
  readonly peer: Peer;
  readonly message: Json;
  isSilent: boolean;
}

/** Does one thing at a time. */
interface Worker {
  queue: Job[];
  current: Job | undefined;
  /** Changes when what is going on is not to go on. */
  turn: number;
}

/** A connection, as the daemon sees it. */
interface Peer {
  readonly epoch: number;
  readonly worker: Worker;
  isPlaced: boolean;
  isClosed: boolean;
  isDeaf: boolean;
  /** Calls that run. */
  readonly running: Set<Job>;
  /** What waits until the connection moves again; `undefined` while it moves. */
  blocked: (() => void)[] | undefined;
  latePings: Json[];
}

/** A daemon reads a ping, and for so long whatever comes with it, before it answers. */
const TOGETHER_MS = 5;

const TOOLS = [
  {
    name: "look",
    inputSchema: { type: "object" },
    annotations: { readOnlyHint: true },
  },
  { name: "write", inputSchema: { type: "object" } },
];

/** One process, which lives as long as the world. */
export class LivenessDaemon {
  readonly #stage: Stage;
  readonly #habits: Habits;
  readonly #wire: Wire;
  readonly #peers = new Map<number, Peer>();
  readonly #whole: Worker = worker();
  /** What happens when the process goes on; `undefined` while it does. */
  #stalled: (() => void)[] | undefined;

  constructor(stage: Stage, habits: Habits, wire: Wire) {
    this.#stage = stage;
    this.#habits = habits;
    this.#wire = wire;
  }

  /** Whether it is at a call, or has one in a queue. */
  get isBusy(): boolean {
    if (this.#whole.current !== undefined) return true;
    return [...this.#peers.values()].some((it) => isBusy(it));
  }

  /** Whether it will never speak on a connection again, although that lives. */
  isDeafOn(epoch: number): boolean {
    return this.#peers.get(epoch)?.isDeaf ?? false;
  }

  /** The whole process stands still for a while; then all goes on in order. */
  stall(ms: number): void {
    if (this.#stalled !== undefined) return;
    const stalled: (() => void)[] = this.#stalled = [];
    this.#stage.later(ms, () => {
      this.#stalled = undefined;
      for (const run of stalled) run();
    });
  }

  /** A connection is dialed. */
  accept(epoch: number): void {
    this.#do(() => {
      const isWhole = this.#habits.serving === "serial as a whole";
      const peer: Peer = {
        ...{ epoch, worker: isWhole ? this.#whole : worker() },
        ...{ isPlaced: false, isClosed: false, isDeaf: false },
        ...{ running: new Set<Job>(), blocked: undefined, latePings: [] },
      };
      this.#peers.set(epoch, peer);
      this.#wire.opened(epoch);
      if (this.#habits.counts === "open") this.#place(peer);
    });
  }

  /** A connection is gone, and the daemon has noticed. */
  gone(epoch: number): void {
    this.#do(() => this.#drop(this.#peers.get(epoch)));
  }

  receive(epoch: number, message: Json): void {
    this.#do(() => {
      const peer = this.#peers.get(epoch);
      if (peer === undefined || peer.isClosed) return;
      if (!peer.isPlaced) this.#place(peer);
      this.#through(peer, () => this.#read(peer, message));
    });
  }

  /** Does something now, or when the process goes on. */
  #do(run: () => void): void {
    if (this.#stalled === undefined) run();
    else this.#stalled.push(run);
  }

  #later(ms: number, run: () => void): void {
    if (ms === 0) run();
    else this.#stage.later(ms, () => this.#do(run));
  }

  /** Does something on a connection now, or when that moves again. */
  #through(peer: Peer, run: () => void): void {
    if (peer.isClosed || peer.isDeaf) return;
    if (peer.blocked === undefined) run();
    else peer.blocked.push(run);
  }

  #drop(peer: Peer | undefined): void {
    if (peer === undefined || peer.isClosed) return;
    peer.isClosed = true;
    this.#peers.delete(peer.epoch);
    // What it is at goes on, and is answered to nobody.
    peer.worker.queue = peer.worker.queue.filter((job) => job.peer !== peer);
  }

  #close(peer: Peer): void {
    if (peer.isClosed) return;
    this.#drop(peer);
    this.#wire.close(peer.epoch, this.#habits.code);
  }

  /** A newcomer has its place, or has none. */
  #place(peer: Peer): void {
    peer.isPlaced = true;
    const others = [...this.#peers.values()].filter((it) =>
      it !== peer && it.isPlaced
    );
    if (others.length === 0) return;
    const { keeping, closesAfter, servesMeanwhile } = this.#habits;
    switch (keeping) {
      case "many":
        return;
      case "refuses the new one":
        return this.#close(peer);
      case "ignores the new one":
        peer.isDeaf = true;
        return;
      case "answers the newest only":
      case "closes the old one":
        for (const it of others) {
          if (it.isDeaf) continue;
          this.#wire.displaced(it.epoch, peer.epoch);
          const isClosing = keeping === "closes the old one";
          it.isDeaf = !isClosing || servesMeanwhile === "deaf";
          if (isClosing) this.#later(closesAfter, () => this.#close(it));
        }
    }
  }

  #read(peer: Peer, message: Json): void {
    const { method, id, params } = message;
    // What the client answers.
    if (method === undefined) return;
    if (method === "notifications/cancelled") {
      return this.#cancel(peer, params.requestId);
    }
    const isPing = id !== undefined && isSign(method);
    const { serving, latePings } = this.#habits;
    const job: Job = { peer, message, isSilent: id === undefined };
    switch (serving) {
      case "serial":
      case "serial as a whole":
      case "late pong":
        peer.worker.queue.push(job);
        if (serving === "late pong") this.#together(peer.worker, job);
        return this.#next(peer.worker);
      case "never answers pings":
        return isPing ? undefined : this.#run(job);
      case "mute during calls":
        if (!isPing || peer.running.size === 0) return this.#run(job);
        if (latePings === "after") peer.latePings.push(message);
        return;
      case "phases":
        this.#run(job);
        if (peer.running.size === 1 && peer.running.has(job)) {
          this.#phase(peer);
        }
        return;
      case "concurrent":
        return this.#run(job);
    }
  }

  /** A call that came with a ping begins before the pong goes out. */
  #together(worker: Worker, { message }: Job): void {
    const { current } = worker;
    if (!isCall(message) || current === undefined) return;
    if (!isSign(current.message.method)) return;
    worker.turn++;
    worker.current = undefined;
    worker.queue = [...worker.queue.splice(-1), current, ...worker.queue];
  }

  /** One thing at a time. */
  #next(worker: Worker): void {
    while (worker.current === undefined) {
      const job = this.#take(worker);
      if (job === undefined) return;
      const { message, peer } = job;
      worker.current = job;
      const turn = ++worker.turn;
      if (isCall(message)) this.#wire.begun(message.id);
      const isLate = this.#habits.serving === "late pong" &&
        isSign(message.method);
      this.#later(isLate ? TOGETHER_MS : msOf(message), () => {
        if (worker.turn !== turn) return;
        worker.current = undefined;
        if (!job.isSilent) this.#answer(peer, message);
        this.#next(worker);
      });
    }
  }

  /** What is to be done next: a call before the pings that were read with it. */
  #take(worker: Worker): Job | undefined {
    const { queue } = worker;
    if (this.#habits.serving !== "late pong") return queue.shift();
    const at = queue.findIndex(({ message }) => !isSign(message.method));
    const isFirst = at > 0 && isCall(queue[at]!.message);
    return isFirst ? queue.splice(at, 1)[0] : queue.shift();
  }

  /** Everything at once. */
  #run(job: Job): void {
    const { peer, message } = job;
    if (!isCall(message)) {
      if (!job.isSilent) this.#answer(peer, message);
      return;
    }
    this.#wire.begun(message.id);
    peer.running.add(job);
    this.#later(msOf(message), () => this.#done(job));
  }

  #done(job: Job): void {
    const { peer, message } = job;
    if (!peer.running.delete(job)) return;
    if (!job.isSilent) this.#answer(peer, message);
    if (peer.running.size > 0) return;
    for (const ping of peer.latePings) this.#answer(peer, ping);
    peer.latePings = [];
  }

  /** The connection moves for a while, and then stands still for a while, as long as calls run. */
  #phase(peer: Peer): void {
    const { random } = this.#stage;
    const { answersMs, blocksMs } = this.#habits;
    this.#later(1 + random() * answersMs, () => {
      if (peer.running.size === 0 || peer.blocked !== undefined) return;
      const blocked: (() => void)[] = peer.blocked = [];
      this.#later(1 + random() * (blocksMs - 1), () => {
        peer.blocked = undefined;
        for (const run of blocked) run();
        if (peer.running.size > 0) this.#phase(peer);
      });
    });
  }

  #cancel({ worker, running }: Peer, id: unknown): void {
    const { cancelled } = this.#habits;
    const jobs = [...worker.queue, ...running];
    if (worker.current !== undefined) jobs.push(worker.current);
    const job = jobs.find(({ message }) => message.id === id);
    if (job === undefined || cancelled === "answered") return;
    job.isSilent = true;
    if (cancelled === "worked on") return;
    this.#done(job);
    worker.queue = worker.queue.filter((it) => it !== job);
    if (worker.current !== job) return;
    worker.turn++;
    worker.current = undefined;
    this.#next(worker);
  }

  #answer(peer: Peer, { id, method, params }: Json): void {
    const result = resultOf(id, method, params);
    this.#through(peer, () => {
      this.#wire.say(peer.epoch, { jsonrpc: "2.0", id, result });
    });
  }
}

/** Whether a request is one that says only whether the daemon lives. */
export function isSign(method: string | undefined): boolean {
  return method === "ping" || method === "server/discover";
}

function isCall({ method }: Json): boolean {
  return method === "tools/call";
}

/** How long the daemon is at a message. */
function msOf({ params }: Json): number {
  return params?.ms ?? 0;
}

function worker(): Worker {
  return { queue: [], current: undefined, turn: 0 };
}

function isBusy({ worker, running }: Peer): boolean {
  return worker.current !== undefined || running.size > 0;
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
      return DISCOVERED;
    case "tools/list":
      return { tools: TOOLS };
    case "tools/call":
      return { content: [{ type: "text", text: `${id}` }] };
    default:
      return {};
  }
}
