/**
 * A random simulation of liveness. Daemons serve calls in every mode, and some
 * keep only one connection. Connections freeze, the network goes down and comes
 * back, and the laptop sleeps. No call on a living connection may be ended, and
 * dead connections must be noticed.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { EMPTY_CACHED_RESULTS } from "../../lib/cache/cache.ts";
import {
  type DaemonBehavior,
  SECOND_CONNECTION_POLICIES,
  type SecondConnectionPolicy,
  SERVING_MODES,
  type ServingMode,
} from "./liveness_daemon.ts";
import { HARMLESS_HABITS, MessageHabits } from "./message_habits.ts";
import { LivenessSession, type SessionPlan } from "./liveness_session.ts";
import { DEFAULT_CONFIG } from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";

/**
 * How long the client sends requests, and how long it then waits, in simulated
 * milliseconds.
 */
const CLIENT_LIFETIME_MS = 250_000;
const FINAL_WAIT_MS = 400_000;
/** The durations of calls, in milliseconds. */
const CALLS_MS = [
  0,
  20,
  300,
  300,
  1_000,
  1_000,
  12_000,
  12_000,
  40_000,
  130_000,
];
/** The longest delay of the first call by the capacity check. */
const MAX_CAPACITY_CHECK_MS = 500;

/** Counts of events, which show how much the simulation covers. */
export type LivenessTally =
  & LivenessSession["tally"]
  & Record<"answered" | "told" | "waiting" | "reformattedCount", number>
  & Record<ServingMode | Exclude<SecondConnectionPolicy, "many">, number>;

/** Runs a simulation. Throws if a promise is broken. */
export function runLivenessSimulation(seed: number): LivenessTally {
  checkFirstCallDelay(seed);
  const scheduler = new Scheduler(seed);
  const session = new LivenessSession(
    scheduler,
    randomPlan(scheduler, new MessageHabits(seed, HARMLESS_HABITS)),
  );
  scheduleAll(session);
  session.runUntil(CLIENT_LIFETIME_MS + FINAL_WAIT_MS);
  session.checkAllAnswered();
  const all = [...session.invariants.all];
  const count = (what: string | undefined): number =>
    all.filter(({ outcome }) => outcome === what).length;
  const [answered, told] = [count("answered"), count("told")];
  const waiting = count(undefined);
  session.end();
  session.runUntil(Infinity);
  for (const { id, responseCount, cancelledAt } of all) {
    assert(
      responseCount === 1 || cancelledAt !== undefined,
      `${id} has no response`,
    );
  }
  const { serving, secondConnection } = session.plan.behavior;
  const kinds = [...SERVING_MODES, ...SECOND_CONNECTION_POLICIES].map((it) =>
    [it, Number(it === serving || it === secondConnection)] as const
  );
  const { many: _, ...seen } = Object.fromEntries(kinds);
  return {
    ...session.tally,
    ...{
      answered,
      told,
      waiting,
      reformattedCount: session.plan.messageHabits.reformattedCount,
    },
    ...seen as Record<
      ServingMode | Exclude<SecondConnectionPolicy, "many">,
      number
    >,
  };
}

function randomPlan(
  scheduler: Scheduler,
  messageHabits: MessageHabits,
): SessionPlan {
  const behavior = randomBehavior(scheduler);
  const isCachedAsOne = scheduler.chance(0.1);
  const one = { "world 1": 86_400_000 };
  const connections = scheduler.pick(
    behavior.secondConnection === "many"
      ? ["auto", "auto", "many", "many", "one"] as const
      : ["auto", "auto", "auto", "one"] as const,
  );
  const requestTimeout = scheduler.pick([Infinity, Infinity, Infinity, 30_000]);
  const config: SessionConfig = {
    ...{ ...DEFAULT_CONFIG, providers: [] },
    idleTimeout: scheduler.pick([Infinity, 150_000]),
    ...{ connections, requestTimeout },
    cachedResults: isCachedAsOne
      ? { ...EMPTY_CACHED_RESULTS, oneConnectionDaemons: one }
      : scheduler.pick([undefined, EMPTY_CACHED_RESULTS]),
  };
  const lagMs = scheduler.pick([0.2, 1, 5, 20, 70, 150]);
  return {
    ...{ behavior, config, isCachedAsOne, messageHabits },
    isStateless: !isCachedAsOne && scheduler.chance(0.15) &&
      // The first request of a stateless client is a probe, too.
      behavior.serving !== "never answers pings",
    ...{ lagMs, jitterMs: lagMs * scheduler.pick([0, 0.1]) },
    dialMs: 2 * lagMs * (1 + scheduler.random()),
  };
}

function randomBehavior(scheduler: Scheduler): DaemonBehavior {
  const secondConnection = scheduler.chance(0.55)
    ? "many"
    : scheduler.pick(SECOND_CONNECTION_POLICIES);
  return {
    serving: scheduler.pick(SERVING_MODES),
    secondConnection,
    closeCode: secondConnection === "closes the old one"
      ? scheduler.pick([1000, 1006])
      : scheduler.pick([1008, 1013]),
    closeDelayMs: scheduler.chance(0.5) ? 0 : scheduler.random() * 1_500,
    untilClosed: scheduler.pick(["served", "deaf"]),
    countsFrom: scheduler.pick(["open", "first frame"]),
    onCancel: scheduler.pick(["answered", "stopped", "worked on"]),
    latePings: scheduler.pick(["after", "never"]),
    maxRespondingMs: 8_000,
    maxBlockingMs: 10_000,
  };
}

/** Schedules all events that do not depend on the proxy. */
function scheduleAll(session: LivenessSession): void {
  const { scheduler } = session;
  scheduler.schedule(
    scheduler.random() * 300,
    () => session.openConversation(),
  );
  if (scheduler.chance(0.9)) {
    session.scheduleClient(300, () => session.request("tools/list"));
  }
  const requestCount = 4 + scheduler.random() * 20;
  const gaps = scheduler.pick([
    [0, 300, 1_500, 20_000],
    [2_000, 8_000, 30_000],
    [100, 700, 60_000],
  ]);
  const most = scheduler.pick([1_000, 12_000, 130_000, 130_000]);
  let at = scheduler.chance(0.5) ? 300 + scheduler.random() * 1_500 : 12_000;
  for (let i = 0; i < requestCount && at < CLIENT_LIFETIME_MS; i++) {
    session.scheduleClient(at, () => sendRandomRequests(session, i, most));
    // Connections freeze around a call, or at any time.
    if (scheduler.chance(0.15)) {
      scheduleFreeze(session, at + randomOffset(scheduler));
    }
    at += scheduler.random() * scheduler.pick(gaps);
  }
  const moment = (): number => scheduler.random() * CLIENT_LIFETIME_MS;
  if (scheduler.chance(0.3)) scheduleFreeze(session, moment());
  // A connection that blocks, and was silent before that, would need exceptions
  // to the rules.
  const isPhased = session.plan.behavior.serving === "phases";
  if (!isPhased && scheduler.chance(0.25)) {
    const ms = 100 + scheduler.random() ** 2 * 60_000;
    scheduler.schedule(moment(), () => session.cutNetwork(ms));
  }
  if (!isPhased && scheduler.chance(0.3)) {
    const ms = 100 + scheduler.random() ** 2 * 130_000;
    scheduler.schedule(moment(), () => session.suspendDaemon(ms));
  }
  if (scheduler.chance(0.25)) {
    const ms = 3_001 + scheduler.random() ** 3 * 200_000;
    const network = scheduler.pick(["stays", "forgets"]);
    scheduler.schedule(moment(), () => session.suspendProxy(ms, network));
  }
}

function randomOffset(scheduler: Scheduler): number {
  return (scheduler.random() ** 3) * 6_000 * scheduler.pick([-1, 1, 1, 4]);
}

function scheduleFreeze(session: LivenessSession, at: number): void {
  const direction = session.scheduler.pick(["both", "both", "up", "down"]);
  session.scheduler.schedule(
    Math.max(0, at),
    () => session.freezeConnections(direction),
  );
}

/** Sends one request of the client, or several. */
function sendRandomRequests(
  session: LivenessSession,
  order: number,
  most: number,
): void {
  const { scheduler } = session;
  if (scheduler.chance(0.1)) return void session.request("ping");
  if (scheduler.chance(0.1)) {
    const ms = scheduler.pick([0, 0, 300, 7_000, 20_000]);
    const { serving } = session.plan.behavior;
    const isSerial = /^serial|late/.test(serving);
    const method = "notifications/roots/list_changed";
    return session.notify(method, { ms: isSerial ? ms : 0 });
  }
  if (scheduler.chance(0.1)) {
    return void session.request(
      scheduler.pick(["tools/list", "resources/read"]),
    );
  }
  const times = scheduler.pick([1, 1, 1, 2, 4]);
  for (let i = 0; i < times; i++) {
    const ms = scheduler.pick(CALLS_MS.filter((ms) => ms <= most));
    const token = scheduler.chance(0.5) ? `t${order} ${i}` : undefined;
    const request = session.callTool(
      scheduler.pick(["look", "write"]),
      ms,
      token,
    );
    if (!scheduler.chance(0.1)) continue;
    session.scheduleClient(
      scheduler.random() ** 2 * 20_000,
      () => session.cancel(request),
    );
  }
}

/**
 * Checks that the capacity check hardly delays the first call, and finds the
 * right capacity.
 */
function checkFirstCallDelay(seed: number): void {
  const [auto, many] = [
    measureFirstCall(seed, "auto"),
    measureFirstCall(seed, "many"),
  ];
  const { behavior, lagMs } = auto.plan;
  const actualCapacity = behavior.secondConnection === "many" ? "many" : "one";
  const { connections } = auto.snapshot;
  // A daemon that never answers pings counts as keeping one connection. A slow
  // daemon is not checked.
  const isSilent = behavior.serving === "never answers pings";
  if (lagMs <= 5 && auto.isIdle) {
    assertEquals(
      connections,
      isSilent ? "one" : actualCapacity,
      "the learned capacity",
    );
  } else if (actualCapacity === "one") {
    assert(
      connections !== "many",
      "the daemon keeps one connection, but counts as `many`",
    );
  }
  if (many.firstAt === Infinity) return;
  const ms = auto.firstAt - many.firstAt;
  assert(
    ms <= MAX_CAPACITY_CHECK_MS,
    `the first call was ${ms} ms later because of the capacity check`,
  );
}

/** Measures the first call of a process, in a simulation without jitter. */
function measureFirstCall(
  seed: number,
  connections: "auto" | "many",
): Pick<LivenessSession, "plan" | "snapshot"> & {
  /** When the call got its response; `Infinity` if it got none. */
  readonly firstAt: number;
  /** True if the call was sent at least 100 ms after `initialize`. */
  readonly isIdle: boolean;
} {
  const scheduler = new Scheduler(seed);
  // Equal seeds give both measurements the same habits.
  const { config, ...rest } = randomPlan(
    scheduler,
    new MessageHabits(seed, HARMLESS_HABITS),
  );
  const { behavior } = rest;
  const session = new LivenessSession(scheduler, {
    ...{ ...rest, jitterMs: 0, isCachedAsOne: false },
    // With a delay, any proxy would notice the close too late.
    behavior: { ...behavior, closeDelayMs: 0, maxRespondingMs: 1e9 },
    config: { ...config, connections, cachedResults: undefined },
  });
  const initializeAt = scheduler.random() * 300;
  const callAt = 300 + scheduler.random() * 1_500;
  scheduler.schedule(initializeAt, () => session.openConversation());
  scheduler.schedule(callAt, () => session.callTool("write", 300));
  session.runUntil(20_000);
  const call = [...session.invariants.all].find(({ method }) =>
    method === "tools/call"
  );
  return {
    ...{ plan: session.plan, snapshot: session.snapshot },
    firstAt: call?.answeredAt ?? Infinity,
    isIdle: callAt > initializeAt + 100,
  };
}
