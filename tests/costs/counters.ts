/**
 * Counts what code does, without clocks: functions entered, look-ups, JSON
 * texts, bytes allocated and clocks read.
 *
 * @module
 */

import { Session } from "node:inspector";

// deno-lint-ignore no-explicit-any
type Json = any;

/** What some work cost. */
export interface Cost {
  /** The functions of `lib/` that were entered. */
  readonly functions: number;
  /** The look-ups, insertions and removals in a `Map` or a `Set`. */
  readonly lookups: number;
  /** The calls of `JSON.parse` and `JSON.stringify`. */
  readonly jsonTexts: number;
  /** The UTF-16 units that `JSON.parse` was given. */
  readonly parsedChars: number;
}

/** Work that is measured. It may consist of several turns. */
export type Work = () => void | Promise<void>;

/** The folder with the functions that count. */
const LIB_URL = new URL("../../lib/", import.meta.url).href;

/** The methods of `Map` and `Set` that count as a look-up. */
const LOOKUPS = [
  [Map.prototype, ["get", "has", "set", "delete"]],
  [Set.prototype, ["has", "add", "delete"]],
] as const;

/** Returns what the work costs. The work must be in its steady state. */
export async function costOf(work: Work): Promise<Cost> {
  using calls = new BuiltinCalls();
  const functions = await functionsEnteredIn(work);
  const { lookups, jsonTexts, parsedChars } = calls;
  return { functions, lookups, jsonTexts, parsedChars };
}

/** Counts calls of functions of the language until it is disposed of. */
class BuiltinCalls implements Disposable {
  lookups = 0;
  jsonTexts = 0;
  parsedChars = 0;
  readonly #restorations: (() => void)[] = [];

  constructor() {
    for (const [prototype, names] of LOOKUPS) {
      for (const name of names) {
        this.#observe(prototype, name, () => this.lookups++);
      }
    }
    this.#observe(JSON, "stringify", () => this.jsonTexts++);
    this.#observe(JSON, "parse", (text) => {
      this.jsonTexts++;
      this.parsedChars += `${text}`.length;
    });
  }

  #observe(owner: Json, name: string, onCall: (first: Json) => void): void {
    const original = owner[name];
    owner[name] = function (this: unknown, ...args: unknown[]): unknown {
      onCall(args[0]);
      return original.apply(this, args);
    };
    this.#restorations.push(() => owner[name] = original);
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restorations) restore();
  }
}

/**
 * Returns how many functions of `lib/`, or of a folder in it, the work enters.
 */
export async function functionsEnteredIn(
  work: Work,
  folder: string = "",
): Promise<number> {
  const session = new Session();
  session.connect();
  const post = (method: string, params?: Json): Promise<Json> =>
    new Promise((resolve, reject) =>
      session.post(
        method as "Profiler.enable",
        params,
        (error, result) => error ? reject(error) : resolve(result),
      )
    );
  await post("Profiler.enable");
  const options = { callCount: true, detailed: false };
  await post("Profiler.startPreciseCoverage", options);
  // Taking the counts also resets them.
  await post("Profiler.takePreciseCoverage");
  await work();
  const { result } = await post("Profiler.takePreciseCoverage");
  await post("Profiler.stopPreciseCoverage");
  session.disconnect();
  return result.filter(({ url }: Json) => url.startsWith(LIB_URL + folder))
    .flatMap(({ functions }: Json) => functions)
    .reduce((sum: number, it: Json) => sum + it.ranges[0].count, 0);
}

/** Returns the URLs of all modules that this process has loaded. */
export async function loadedModules(): Promise<string[]> {
  const session = new Session();
  session.connect();
  const urls: string[] = [];
  session.on("Debugger.scriptParsed", ({ params }: Json) => {
    urls.push(params.url);
  });
  await new Promise((resolve) => session.post("Debugger.enable", resolve));
  session.disconnect();
  return urls;
}

/** How often the allocations are measured. The median counts. */
const BYTE_MEASUREMENTS = 5;

/**
 * Returns how many bytes of the heap the work takes. This needs the V8 flags in
 * `measure.ts`: they keep V8 from optimizing, and from collecting garbage
 * meanwhile.
 */
export async function bytesAllocatedIn(
  prepare: () => Work | Promise<Work>,
): Promise<number> {
  const sizes: number[] = [];
  for (let i = 0; i < BYTE_MEASUREMENTS; i++) {
    const work = await prepare();
    (globalThis as Json).gc();
    const before = Deno.memoryUsage().heapUsed;
    await work();
    sizes.push(Deno.memoryUsage().heapUsed - before);
  }
  return sizes.sort((a, b) => a - b)[BYTE_MEASUREMENTS >> 1]!;
}

/** Replaces the clocks by one that stands still, and counts its readings. */
export class CountingClock implements Disposable {
  /** The time, in milliseconds. */
  now = 0;
  /** How often a clock was read. */
  readings = 0;
  readonly #monotonic = performance.now;
  readonly #wall = Date.now;

  constructor() {
    performance.now = () => {
      this.readings++;
      return this.now;
    };
    Date.now = () => {
      this.readings++;
      return 1_700_000_000_000 + this.now;
    };
  }

  [Symbol.dispose](): void {
    performance.now = this.#monotonic;
    Date.now = this.#wall;
  }
}
