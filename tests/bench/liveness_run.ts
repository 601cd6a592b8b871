/**
 * The runs of `deno task liveness`. Each has one proxy and one daemon, and
 * records the outcomes of the calls.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import {
  type CallOutcome,
  type LearnedFacts,
  type LivenessOptions,
  LivenessProcesses,
  type SentCall,
  type Tool,
} from "../helpers/liveness_processes.ts";

/**
 * The kinds of daemon. `liveness_daemon.ts` describes what each does, except
 * for two. `frozen` is a `concurrent` daemon that is suspended. `stalled` is a
 * `child-sync` daemon whose child is suspended for a moment when a call
 * arrives, so that it reads a probe and the call at once.
 */
export const DAEMON_KINDS = [
  ...["concurrent", "frozen", "serial", "mute", "child-sync"] as const,
  ...["stalled", "whole"] as const,
  ...["displace", "refuse", "ignore", "newest"] as const,
] as const;

export type DaemonKind = typeof DAEMON_KINDS[number];

/** When the connection freezes: never, during a call, or while it is idle. */
export type LinkState = "living" | "freezing" | "idle";

/** The plan of one run. */
export interface RunPlan {
  readonly kind: DaemonKind;
  readonly linkState: LinkState;
  /** How long the daemon works on the call, in milliseconds. */
  readonly ms: number;
  /** The number of the run among those with the same parameters. */
  readonly number: number;
}

/** What a call is for; its id begins with this word. */
export type CallRole = "before" | "main" | "second" | "after";

/** A run and what happened in it. */
export interface LivenessRun extends RunPlan {
  readonly outcomes: readonly (CallOutcome & { readonly role: CallRole })[];
  /** When the link froze, in milliseconds since 1970. */
  readonly frozenAt: number | undefined;
  readonly learnedFacts: LearnedFacts | undefined;
  /** How many connections the daemon accepted. */
  readonly connectionCount: number;
  /** How many progress notifications the client received. */
  readonly progressCount: number;
  readonly log: string;
}

/** How much longer than its call a run waits for responses, in milliseconds. */
const RESPONSE_MARGIN_MS = 60_000;
/**
 * How long to wait for the end of a call on a frozen connection:
 * `MIN_DECISION_MS`, or the length of the call plus `EXTRA_DECISION_MS` if that
 * is longer.
 */
const MIN_DECISION_MS = 45_000;
const EXTRA_DECISION_MS = 25_000;
/** When a second call is sent after the freeze: the standby is open by then. */
const SECOND_CALL_MS = 14_000;
/** How long an idle run keeps the daemon suspended after it sent the calls. */
const SUSPEND_MS = 12_000;
/**
 * The time from the freeze of an idle link to the calls. The runs use these
 * values in turn.
 */
const IDLE_BEFORE_CALLS_MS = [50, 2_000, 6_000, 9_000];
/** How long a stalled child is suspended. The runs use these in turn. */
const CHILD_SUSPEND_MS = [400, 600, 200, 2_000];
/** Longer than the minimum interval of the probes that precede a call. */
const PROBE_PAUSE_MS = 1_100;
/** How long the proxy may take to write its status. */
const STATUS_LAG_MS = 1_200;

/** Limits how many runs start at a time. */
export class StartSlots {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** Starts with `free` slots. */
  constructor(free: number) {
    this.#free = free;
  }

  /** Waits for a slot. Returns a function that frees the slot. */
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

/** Carries out one run. */
export async function runLiveness(
  plan: RunPlan,
  program: Pick<LivenessOptions, "flags" | "wrap">,
  slots: StartSlots,
): Promise<LivenessRun> {
  const { kind, linkState, number } = plan;
  const release = await slots.take();
  try {
    await using processes = await LivenessProcesses.start({
      ...program,
      kind: kind === "frozen"
        ? "concurrent"
        : kind === "stalled"
        ? "child-sync"
        : kind,
      isRude: number % 4 >= 2,
      usesRelay: linkState !== "living",
    });
    await processes.initialize();
    const frozenAt = linkState === "living"
      ? await runLiving(processes, plan, release)
      : linkState === "freezing"
      ? await runFreezing(processes, plan, release)
      : await runIdle(processes, plan, release);
    await delay(STATUS_LAG_MS);
    const { connectionCount, progressCount } = processes;
    const learnedFacts = processes.learnedFacts();
    // The outcomes are read now: at its exit the proxy answers everything.
    const outcomes = processes.outcomes().map((callOutcome) => ({
      ...callOutcome,
      role: callOutcome.id.split("-")[0] as CallRole,
    }));
    await processes.proxy.closeStdin();
    const log = processes.proxy.stderr.dump();
    return {
      ...plan,
      outcomes,
      frozenAt,
      learnedFacts,
      connectionCount,
      progressCount,
      log,
    };
  } finally {
    release();
  }
}

/** Returns the tool of the main call: runs use the two tools in turn. */
function toolOf({ number }: RunPlan): Tool {
  return number % 2 === 0 ? "work" : "look";
}

/** Sends the main call, and waits until the daemon has begun to execute it. */
async function startMainCall(
  processes: LivenessProcesses,
  plan: RunPlan,
): Promise<SentCall> {
  const { kind, ms, number } = plan;
  let stall: Promise<void> | undefined;
  if (kind === "stalled") {
    await processes.callAndWait("before-look", "look");
    await delay(PROBE_PAUSE_MS);
    stall = processes.suspendFirstChild(
      CHILD_SUSPEND_MS[number % CHILD_SUSPEND_MS.length]!,
    );
  }
  const main = await processes.sendCall("main", toolOf(plan), ms);
  await stall;
  await processes.waitForStart(main);
  return main;
}

async function runLiving(
  processes: LivenessProcesses,
  plan: RunPlan,
  release: () => void,
): Promise<undefined> {
  const { kind, ms } = plan;
  const main = await startMainCall(processes, plan);
  const beganAt = performance.now();
  release();
  const until = (at: number): Promise<void> =>
    delay(Math.max(0, beganAt + at - performance.now()));
  const resumed = kind === "frozen"
    ? suspendDaemon(processes, until, ms)
    : undefined;
  await until(ms * 0.3);
  const secondCalls = await processes.sendCalls([
    ["second-look", "look", 10],
    ["second-work", "work", 10],
  ]);
  await resumed;
  await waitForAll(processes, [main, ...secondCalls], ms + RESPONSE_MARGIN_MS);
}

/**
 * Suspends the daemon's process soon after a call has begun, until the call
 * would have ended.
 */
async function suspendDaemon(
  processes: LivenessProcesses,
  until: (at: number) => Promise<void>,
  ms: number,
): Promise<void> {
  await until(Math.min(300, ms / 4));
  await processes.signalDaemon("SIGSTOP");
  await until(ms);
  await processes.signalDaemon("SIGCONT");
}

async function runFreezing(
  processes: LivenessProcesses,
  plan: RunPlan,
  release: () => void,
): Promise<number> {
  const { kind, ms, number } = plan;
  const main = await startMainCall(processes, plan);
  release();
  // The freeze comes before the first probe during the call, or after it.
  await delay(number % 4 < 2 ? 100 : Math.min(1_000, ms / 2));
  processes.relay!.blackhole();
  const frozenAt = Date.now();
  const beganAt = performance.now();
  const until = (at: number): Promise<void> =>
    delay(Math.max(0, beganAt + at - performance.now()));
  const resumed = kind === "frozen"
    ? suspendDaemon(processes, until, ms)
    : undefined;
  const maxMs = Math.max(MIN_DECISION_MS, ms + EXTRA_DECISION_MS);
  const decided = processes.waitForResponse(main, maxMs);
  const secondCalls: SentCall[] = [];
  if (ms > 10_000) {
    await until(SECOND_CALL_MS);
    secondCalls.push(await processes.sendCall("second-look", "look", 10));
  }
  await resumed;
  const hasResponse = await decided;
  await waitForAll(
    processes,
    secondCalls,
    hasResponse ? MIN_DECISION_MS : 1_000,
  );
  if (hasResponse) await callAfterwards(processes);
  return frozenAt;
}

async function runIdle(
  processes: LivenessProcesses,
  plan: RunPlan,
  release: () => void,
): Promise<number> {
  const { kind, number } = plan;
  await processes.callAndWait("before-look", "look", 5);
  await processes.callAndWait("before-work", "work", 20);
  release();
  await delay(300 * (number % 5));
  await processes.callAndWait("before-last", "look", 1);
  await delay(50 + 400 * (number % 3));
  processes.relay!.blackhole();
  const frozenAt = Date.now();
  if (kind === "frozen") await processes.signalDaemon("SIGSTOP");
  await delay(IDLE_BEFORE_CALLS_MS[number % IDLE_BEFORE_CALLS_MS.length]!);
  const calls = await processes.sendCalls([
    ["main-look", "look", 10],
    ["main-work", "work", 10],
  ]);
  if (kind === "frozen") {
    await delay(SUSPEND_MS);
    await processes.signalDaemon("SIGCONT");
  }
  if (await waitForAll(processes, calls, MIN_DECISION_MS)) {
    await callAfterwards(processes);
  }
  return frozenAt;
}

/**
 * Waits for responses, at most `maxMs` milliseconds. Returns whether all
 * arrived.
 */
async function waitForAll(
  processes: LivenessProcesses,
  calls: readonly SentCall[],
  maxMs: number,
): Promise<boolean> {
  const came = await Promise.all(
    calls.map((call) => processes.waitForResponse(call, maxMs)),
  );
  return came.every((it) => it);
}

/** Sends one more call after all the others have ended. */
async function callAfterwards(processes: LivenessProcesses): Promise<void> {
  const call = await processes.sendCall("after-look", "look", 10);
  await processes.waitForResponse(call, MIN_DECISION_MS);
}
