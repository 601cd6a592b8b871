/**
 * Counts what messages cost in the whole loop of the proxy, from the lines of
 * stdin to the lines of stdout. Host and connection are in memory. The clock
 * moves only between two events.
 *
 * @module
 */

import { readConfig } from "../../lib/config/config.ts";
import { runProxy } from "../../lib/proxy/proxy.ts";
import type { ChunkHandler } from "../../lib/runtime/host.ts";
import type {
  Transport,
  TransportConnection,
  TransportEvent,
} from "../../lib/transport/transport.ts";
import { respondToAll } from "../helpers/fake_websocket_server.ts";
import { MemoryDisk } from "../helpers/memory_disk.ts";
import {
  bytesAllocatedIn,
  costOf,
  CountingClock,
  functionsEnteredIn,
  loadedModules,
} from "./counters.ts";
import {
  callWithProgress,
  type Exchange,
  exchanges,
  smallCall,
} from "./messages.ts";

/** How many calls are measured. What each costs is the average. */
const CALLS = 100;
/** How many calls of a second are measured, one each millisecond. */
const CALLS_PER_SECOND = 1000;
/** The number of messages that arrive at once. */
const BURST = 100;
/** How often each count is measured. The least counts. */
const RUNS = 4;
/** The time between two events, in milliseconds. A write takes no longer. */
const STEP_MS = 0.2;
/** How long the proxy runs first, in milliseconds. */
const WARM_UP_MS = 1500;
/** How many calls of a kind come before those that are measured. */
const WARM_UP_CALLS = 500;
/** How many promises may resolve one after the other within a turn. */
const MICROTASKS = 20;

/** A proxy with the default settings, whose client and daemon the test is. */
class MeasuredProxy implements Disposable {
  readonly clock = new CountingClock();
  /** How many turns have ended. */
  turns = 0;
  /** How often stdout was written. */
  writes = 0;
  /** How many frames were sent. */
  sends = 0;
  /** How many timers were set. */
  timers = 0;
  readonly #random = Math.random;
  readonly #encoder = new TextEncoder();
  #handleChunk!: ChunkHandler;
  /** The connection that the last call was sent on. */
  #callReceiver!: {
    readonly connectionId: number;
    readonly emit: (event: TransportEvent) => void;
  };
  #dueTimers: { readonly at: number; readonly callback: () => void }[] = [];
  #yields: (() => void)[] = [];
  #nextId = 1;

  private constructor() {
    Math.random = () => 0.5;
    const args = ["--url", "ws://daemon.invalid/"];
    const reading = readConfig({ args, env: {} }, () => "");
    if (reading.kind === "problems") throw new Error(reading.problems.join());
    const host = new MemoryDisk().host({
      readStdin: (handleChunk) => {
        this.#handleChunk = handleChunk;
        return new Promise(() => {});
      },
      writeStdout: (bytes) => {
        this.writes++;
        return bytes.length;
      },
      setTimer: (ms, callback) => {
        this.timers++;
        this.#dueTimers.push({ at: this.clock.now + ms, callback });
      },
      yieldToEvents: () => new Promise((resolve) => this.#yields.push(resolve)),
      onSignal: () => {},
    });
    const transport: Transport = { dial: (...args) => this.#dial(...args) };
    const log = (): void => {};
    const onTurn = (): void => void this.turns++;
    void runProxy(reading.config, "0", host, log, onTurn, transport);
  }

  /** Returns a proxy in its steady state. */
  static async start(): Promise<MeasuredProxy> {
    const proxy = new MeasuredProxy();
    await proxy.passTime(0);
    const clientInfo = { name: "counter", version: "1" };
    const params = { protocolVersion: "2025-11-25", capabilities: {} };
    await proxy.#writeMessage({
      ...{ id: "initialize", method: "initialize" },
      params: { ...params, clientInfo },
    });
    await proxy.#writeMessage({ method: "notifications/initialized" });
    await proxy.#writeMessage({ id: "lists", method: "tools/list" });
    while (proxy.clock.now < WARM_UP_MS) {
      await proxy.run(proxy.make(smallCall, 100));
    }
    return proxy;
  }

  /** Returns exchanges with new ids. */
  make(make: (id: number) => Exchange, count: number): EncodedExchange[] {
    this.#nextId += count;
    return exchanges(make, this.#nextId - count, count).map(
      ({ line, frames }) => ({
        chunk: this.#encoder.encode(`${line}\n`),
        frames,
      }),
    );
  }

  /** Passes the events of exchanges one by one, with time between them. */
  async run(
    all: readonly EncodedExchange[],
    stepMs: number = STEP_MS,
  ): Promise<void> {
    for (const { chunk, frames } of all) {
      await this.passTime(stepMs);
      this.writeChunk(chunk);
      for (const frame of frames) {
        await this.passTime(stepMs);
        this.receive(frame);
      }
    }
    await this.passTime(stepMs);
  }

  /** Lets as much time pass as {@linkcode run}, without the events. */
  async runNothing(all: readonly EncodedExchange[]): Promise<void> {
    for (const { frames } of all) {
      await this.passTime(STEP_MS);
      for (const _ of frames) await this.passTime(STEP_MS);
    }
    await this.passTime(STEP_MS);
  }

  /** Passes a chunk of the client's bytes. */
  writeChunk(chunk: Uint8Array): void {
    void this.#handleChunk(chunk);
  }

  /** Passes a frame of the daemon. */
  receive(text: string): void {
    const { connectionId, emit } = this.#callReceiver;
    emit({ type: "frame", connectionId, text });
  }

  /** Ends the turn of the event loop, and lets time pass. */
  async passTime(ms: number): Promise<void> {
    await this.finishTurn();
    const yields = this.#yields;
    this.#yields = [];
    for (const resolve of yields) resolve();
    if (yields.length > 0) await this.finishTurn();
    const now = this.clock.now += ms;
    if (!this.#dueTimers.some(({ at }) => at <= now)) return;
    const due = this.#dueTimers.filter(({ at }) => at <= now);
    this.#dueTimers = this.#dueTimers.filter(({ at }) => at > now);
    for (const { callback } of due) callback();
    await this.finishTurn();
  }

  /** Resolves all promises that can resolve without another event. */
  async finishTurn(): Promise<void> {
    for (let i = 0; i < MICROTASKS; i++) await undefined;
  }

  [Symbol.dispose](): void {
    this.clock[Symbol.dispose]();
    Math.random = this.#random;
  }

  async #writeMessage(message: Record<string, unknown>): Promise<void> {
    const line = JSON.stringify({ jsonrpc: "2.0", ...message });
    void this.#handleChunk(this.#encoder.encode(`${line}\n`));
    for (let i = 0; i < 10; i++) await this.passTime(1);
  }

  #dial(
    connectionId: number,
    _subprotocol: string | undefined,
    emit: (event: TransportEvent) => void,
  ): TransportConnection {
    queueMicrotask(() => emit({ type: "open", connectionId }));
    return {
      backlog: 0,
      send: (text) => this.#send(text, connectionId, emit),
      close: () => Promise.resolve(),
    };
  }

  #send(
    text: string,
    connectionId: number,
    emit: (event: TransportEvent) => void,
  ): void {
    this.sends++;
    if (text.includes('"tools/call"')) {
      this.#callReceiver = { connectionId, emit };
      return;
    }
    const answer = respondToAll(JSON.parse(text));
    if (answer === undefined) return;
    const frame = JSON.stringify({ jsonrpc: "2.0", ...answer });
    queueMicrotask(() => emit({ type: "frame", connectionId, text: frame }));
  }
}

/** An exchange whose line is a chunk of stdin. */
interface EncodedExchange {
  readonly chunk: Uint8Array;
  readonly frames: readonly string[];
}

/** Returns the costs in the loop of the proxy, each with its name. */
export async function proxyCosts(): Promise<Record<string, number>> {
  return {
    ...await sequentialCosts("proxy, call", smallCall),
    ...await sequentialCosts("proxy, call with progress", callWithProgress),
    ...await burstCosts(),
    ...await timerCosts(),
  };
}

/**
 * Returns what telemetry costs a proxy that nobody observes. The process must
 * have loaded nothing that a proxy does not load.
 */
export async function unobservedCosts(): Promise<Record<string, number>> {
  using proxy = await MeasuredProxy.start();
  const all = proxy.make(callWithProgress, CALLS);
  const functions = await functionsEnteredIn(
    () => proxy.run(all),
    "telemetry/",
  );
  const modules = await loadedModules();
  const countLoaded = (pattern: RegExp): number =>
    modules.filter((url) => pattern.test(url)).length;
  return {
    "proxy, off: functions of lib/telemetry/ per call": functions / CALLS,
    // history.ts and log_events.ts, which see no message.
    "proxy, off: modules of lib/telemetry/": countLoaded(/\/lib\/telemetry\//),
    "proxy, off: modules of the metrics and of the log file": countLoaded(
      /prom-client|logtape|http_server|metrics_server|log_file/,
    ),
  };
}

/** Returns what calls cost that follow one another. */
async function sequentialCosts(
  name: string,
  make: (id: number) => Exchange,
): Promise<Record<string, number>> {
  using proxy = await MeasuredProxy.start();
  await proxy.run(proxy.make(make, WARM_UP_CALLS));
  const least = new LeastCounts();
  for (let i = 0; i < RUNS; i++) {
    const all = proxy.make(make, CALLS);
    await least.addGrowth("", proxy, async () => {
      const cost = await costOf(() => proxy.run(all));
      least.add("functions", cost.functions);
      least.add("look-ups", cost.lookups);
      least.add("JSON texts", cost.jsonTexts);
    });
  }
  const bytes = await bytesAllocatedIn(() => {
    const all = proxy.make(make, CALLS);
    return () => proxy.run(all);
  });
  // What the measurement itself allocates does not count.
  const ownBytes = await bytesAllocatedIn(() => {
    const all = proxy.make(make, CALLS);
    return () => proxy.runNothing(all);
  });
  least.add("bytes", bytes - ownBytes);
  return Object.fromEntries(
    Object.entries(least.counts)
      .map(([what, count]) => [`${name}: ${what}`, count / CALLS]),
  );
}

/** Returns what calls cost that come at once, and so do their results. */
async function burstCosts(): Promise<Record<string, number>> {
  using proxy = await MeasuredProxy.start();
  const least = new LeastCounts();
  for (let i = 0; i < RUNS; i++) {
    const all = proxy.make(smallCall, BURST);
    const chunk = Uint8Array.from(all.flatMap(({ chunk }) => [...chunk]));
    const { functions } = await costOf(async () => {
      await least.addGrowth("proxy, 100 lines in one chunk: ", proxy, () => {
        proxy.writeChunk(chunk);
        return proxy.passTime(STEP_MS);
      });
      await least.addGrowth("proxy, 100 results at once: ", proxy, () => {
        for (const { frames: [frame] } of all) proxy.receive(frame!);
        return proxy.passTime(STEP_MS);
      });
    });
    const name = "proxy, 100 calls and results at once: functions per call";
    least.add(name, functions / BURST);
    const others = proxy.make(smallCall, BURST);
    for (const { chunk } of others) proxy.writeChunk(chunk);
    await proxy.passTime(STEP_MS);
    const oneByOne = "proxy, 100 results one by one: ";
    await least.addGrowth(oneByOne, proxy, async () => {
      for (const { frames: [frame] } of others) {
        proxy.receive(frame!);
        await proxy.finishTurn();
      }
      await proxy.passTime(STEP_MS);
    });
  }
  return least.counts;
}

/** Returns how many timers are set in a second with many calls. */
async function timerCosts(): Promise<Record<string, number>> {
  using proxy = await MeasuredProxy.start();
  const { timers } = proxy;
  const all = proxy.make(smallCall, CALLS_PER_SECOND);
  await proxy.run(all, 500 / CALLS_PER_SECOND);
  return { "proxy, 1,000 calls in a second: timers": proxy.timers - timers };
}

/** What the host, the connection and the clock have counted. */
type Counts = Readonly<Record<string, number>>;

function countsOf(
  { turns, clock, timers, sends, writes }: MeasuredProxy,
): Counts {
  return {
    "turns": turns,
    "clock readings": clock.readings,
    "timers": timers,
    "frames sent": sends,
    "writes to stdout": writes,
  };
}

/**
 * The least of several measurements of each count. A timer of the proxy makes
 * some of them greater.
 */
class LeastCounts {
  readonly counts: Record<string, number> = {};

  add(name: string, count: number): void {
    this.counts[name] = Math.min(count, this.counts[name] ?? Infinity);
  }

  /**
   * Adds how much some work makes all counts of a proxy grow. Each name begins
   * with `start`.
   */
  async addGrowth(
    start: string,
    proxy: MeasuredProxy,
    work: () => Promise<void>,
  ): Promise<void> {
    const before = countsOf(proxy);
    await work();
    for (const [name, count] of Object.entries(countsOf(proxy))) {
      this.add(start + name, count - before[name]!);
    }
  }
}
