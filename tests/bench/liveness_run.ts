/**
 * The runs of `deno task liveness`: one proxy and one daemon each, and what
 * became of the calls.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import {
  type Call,
  type Cast,
  type Fate,
  type Learned,
  LiveScene,
  type Tool,
} from "../helpers/liveness_process.ts";

/**
 * The ways of the daemon; what each does is in `liveness_process.ts`. `frozen` is
 * a concurrent one that is stopped, and `stalled` a `child-sync` one whose child
 * gets no time for a moment when a call comes, so that it reads a probe and the
 * call at once.
 */
export const KINDS = [
  ...["concurrent", "frozen", "serial", "mute", "child-sync"] as const,
  ...["stalled", "whole"] as const,
  ...["displace", "refuse", "ignore", "newest"] as const,
] as const;

/** One of them. */
export type Kind = typeof KINDS[number];

/** What happens to the connection: nothing; it freezes during a call; it freezes while nothing is in flight. */
export type Link = "living" | "freezing" | "idle";

/** One run as it is planned. */
export interface Plan {
  readonly kind: Kind;
  readonly link: Link;
  /** How long the daemon is at the call, in milliseconds. */
  readonly ms: number;
  /** Which of the runs of its cell. */
  readonly number: number;
}

/** What a call was for. */
export type Role = "before" | "main" | "second" | "after";

/** What happened in a run. */
export interface Run extends Plan {
  readonly fates: readonly (Fate & { readonly role: Role })[];
  /** When the link froze, in milliseconds since 1970. */
  readonly frozenAt: number | undefined;
  readonly learned: Learned | undefined;
  /** How many connections the daemon saw. */
  readonly opened: number;
  /** How often the client heard of progress. */
  readonly progress: number;
  readonly log: string;
}

/** How much time there is beyond that of the call itself, in milliseconds. */
const SLACK_MS = 60_000;
/** How long a decision about a frozen connection is waited for at least, and beyond the call's time. */
const LEAST_MS = 45_000;
const BEYOND_MS = 25_000;
/** When a second call comes, after the freeze: a standby would be there. */
const SECOND_MS = 14_000;
/** How long a process that is stopped while nothing is in flight is stopped. */
const STOP_MS = 12_000;
/** How long after the freeze of an idle link the calls come, by the number of the run. */
const QUIET_MS = [50, 2_000, 6_000, 9_000];
/** How long a child that is stalled gets no time, by the number of the run. */
const STALL_MS = [400, 600, 200, 2_000];
/** A leading probe goes out at most so often. */
const PAUSE_MS = 1_100;
/** How long what the proxy says of itself may lag behind. */
const LAG_MS = 1_200;

/** Lets so many start at a time. */
export class Slots {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** So many are free. */
  constructor(free: number) {
    this.#free = free;
  }

  /** Waits for a slot; gives what sets it free, once. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }
}

/** Lives through one run. */
export async function live(
  plan: Plan,
  program: Pick<Cast, "flags" | "wrap">,
  slots: Slots,
): Promise<Run> {
  const { kind, link, number } = plan;
  const release = await slots.take();
  try {
    await using scene = await LiveScene.start({
      ...program,
      kind: kind === "frozen"
        ? "concurrent"
        : kind === "stalled"
        ? "child-sync"
        : kind,
      isRude: number % 4 >= 2,
      isRelayed: link !== "living",
    });
    await scene.open();
    const frozenAt = link === "living"
      ? await living(scene, plan, release)
      : link === "freezing"
      ? await freezing(scene, plan, release)
      : await idle(scene, plan, release);
    await delay(LAG_MS);
    const { opened, progress } = scene;
    const learned = scene.learned();
    // At its end the proxy answers whatever waits.
    const fates = scene.fates().map((fate) => ({
      ...fate,
      role: fate.id.split("-")[0] as Role,
    }));
    await scene.proxy.end();
    const log = scene.proxy.stderr.dump();
    return { ...plan, fates, frozenAt, learned, opened, progress, log };
  } finally {
    release();
  }
}

/** Every second run has a call of the other kind. */
function toolOf({ number }: Plan): Tool {
  return number % 2 === 0 ? "work" : "look";
}

/** Writes the call; gives it when the daemon has begun with it. */
async function begin(scene: LiveScene, plan: Plan): Promise<Call> {
  const { kind, ms, number } = plan;
  let stall: Promise<void> | undefined;
  if (kind === "stalled") {
    await scene.did("before-look", "look");
    await delay(PAUSE_MS);
    stall = scene.stall(STALL_MS[number % STALL_MS.length]!);
  }
  const main = await scene.call("main", toolOf(plan), ms);
  await stall;
  await scene.begun(main);
  return main;
}

async function living(
  scene: LiveScene,
  plan: Plan,
  release: () => void,
): Promise<undefined> {
  const { kind, ms } = plan;
  const main = await begin(scene, plan);
  const beganAt = performance.now();
  release();
  const until = (at: number): Promise<void> =>
    delay(Math.max(0, beganAt + at - performance.now()));
  const thaw = kind === "frozen" ? stopped(scene, until, ms) : undefined;
  await until(ms * 0.3);
  const seconds = await scene.write([
    ["second-look", "look", 10],
    ["second-work", "work", 10],
  ]);
  await thaw;
  await all(scene, [main, ...seconds], ms + SLACK_MS);
}

/** Stops the daemon soon after a call has begun, until it would have ended. */
async function stopped(
  scene: LiveScene,
  until: (at: number) => Promise<void>,
  ms: number,
): Promise<void> {
  await until(Math.min(300, ms / 4));
  await scene.freeze("SIGSTOP");
  await until(ms);
  await scene.freeze("SIGCONT");
}

async function freezing(
  scene: LiveScene,
  plan: Plan,
  release: () => void,
): Promise<number> {
  const { kind, ms, number } = plan;
  const main = await begin(scene, plan);
  release();
  // Before the first probe during the call, or after it.
  await delay(number % 4 < 2 ? 100 : Math.min(1_000, ms / 2));
  scene.relay!.swallow();
  const frozenAt = Date.now();
  const beganAt = performance.now();
  const until = (at: number): Promise<void> =>
    delay(Math.max(0, beganAt + at - performance.now()));
  const thaw = kind === "frozen" ? stopped(scene, until, ms) : undefined;
  const mostMs = Math.max(LEAST_MS, ms + BEYOND_MS);
  const decided = scene.answered(main, mostMs);
  const seconds: Call[] = [];
  if (ms > 10_000) {
    await until(SECOND_MS);
    seconds.push(await scene.call("second-look", "look", 10));
  }
  await thaw;
  const isDecided = await decided;
  await all(scene, seconds, isDecided ? LEAST_MS : 1_000);
  if (isDecided) await after(scene);
  return frozenAt;
}

async function idle(
  scene: LiveScene,
  plan: Plan,
  release: () => void,
): Promise<number> {
  const { kind, number } = plan;
  await scene.did("before-look", "look", 5);
  await scene.did("before-work", "work", 20);
  release();
  await delay(300 * (number % 5));
  await scene.did("before-last", "look", 1);
  await delay(50 + 400 * (number % 3));
  scene.relay!.swallow();
  const frozenAt = Date.now();
  if (kind === "frozen") await scene.freeze("SIGSTOP");
  await delay(QUIET_MS[number % QUIET_MS.length]!);
  const calls = await scene.write([
    ["main-look", "look", 10],
    ["main-work", "work", 10],
  ]);
  if (kind === "frozen") {
    await delay(STOP_MS);
    await scene.freeze("SIGCONT");
  }
  if (await all(scene, calls, LEAST_MS)) await after(scene);
  return frozenAt;
}

/** Waits for answers, at most so many milliseconds; gives whether all came. */
async function all(
  scene: LiveScene,
  calls: readonly Call[],
  mostMs: number,
): Promise<boolean> {
  const came = await Promise.all(
    calls.map((call) => scene.answered(call, mostMs)),
  );
  return came.every((it) => it);
}

/** Whoever was told goes on. */
async function after(scene: LiveScene): Promise<void> {
  const call = await scene.call("after-look", "look", 10);
  await scene.answered(call, LEAST_MS);
}
