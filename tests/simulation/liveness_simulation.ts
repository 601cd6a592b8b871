/**
 * A random world for liveness: daemons that are busy in every way or keep one
 * client, connections that freeze, a network that goes and comes back, and a
 * laptop that sleeps. A living call is never ended, and a dead connection is
 * noticed.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { NOTHING } from "../../lib/cache/cache.ts";
import {
  type Habits,
  KEEPING,
  type Keeping,
  SERVING,
  type Serving,
} from "./liveness_daemon.ts";
import { Manners, UNDERSTOOD } from "./message_habits.ts";
import { LivenessRig, type Plan } from "./liveness_session.ts";
import { DEFAULTS } from "../helpers/session/session_driver.ts";
import { Stage } from "./clock_and_random.ts";

/** How long the client asks, in simulated milliseconds, and how long it waits then. */
const LIFE_MS = 250_000;
const TAIL_MS = 400_000;
/** How long calls take. */
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
/** How much later the first call may be for the trial of two connections. */
const TRIAL_MS = 500;

/** What happened, to show that much did. */
export type LivenessTally =
  & LivenessRig["tally"]
  & Record<"answered" | "told" | "waiting" | "dressed", number>
  & Record<Serving | Exclude<Keeping, "many">, number>;

/** Lives through a world. Throws when a promise is broken. */
export function liveLiveness(seed: number): LivenessTally {
  compareFirst(seed);
  const stage = new Stage(seed);
  const rig = new LivenessRig(
    stage,
    plan(stage, new Manners(seed, UNDERSTOOD)),
  );
  play(rig);
  rig.run(LIFE_MS + TAIL_MS);
  rig.settle();
  const all = [...rig.books.all];
  const count = (what: string | undefined): number =>
    all.filter(({ outcome }) => outcome === what).length;
  const [answered, told] = [count("answered"), count("told")];
  const waiting = count(undefined);
  rig.end();
  rig.run(Infinity);
  for (const { id, answers, cancelledAt } of all) {
    assert(answers === 1 || cancelledAt !== undefined, `${id} has no answer`);
  }
  const { serving, keeping } = rig.plan.habits;
  const kinds = [...SERVING, ...KEEPING].map((it) =>
    [it, Number(it === serving || it === keeping)] as const
  );
  const { many: _, ...seen } = Object.fromEntries(kinds);
  return {
    ...rig.tally,
    ...{ answered, told, waiting, dressed: rig.plan.manners.dressed },
    ...seen as Record<Serving | Exclude<Keeping, "many">, number>,
  };
}

/** What the world is made of. */
function plan(stage: Stage, manners: Manners): Plan {
  const habits = daemon(stage);
  const isKnownOne = stage.chance(0.1);
  const one = { "world 1": 86_400_000 };
  const connections = stage.pick(
    habits.keeping === "many"
      ? ["auto", "auto", "many", "many", "one"] as const
      : ["auto", "auto", "auto", "one"] as const,
  );
  const requestTimeout = stage.pick([Infinity, Infinity, Infinity, 30_000]);
  const config: SessionConfig = {
    ...{ ...DEFAULTS, providers: [] },
    idleTimeout: stage.pick([Infinity, 150_000]),
    ...{ connections, requestTimeout },
    remembered: isKnownOne
      ? { ...NOTHING, one }
      : stage.pick([undefined, NOTHING]),
  };
  const lagMs = stage.pick([0.2, 1, 5, 20, 70, 150]);
  return {
    ...{ habits, config, isKnownOne, manners },
    isModern: !isKnownOne && stage.chance(0.15) &&
      // Its clients' first question is a sign of life, too.
      habits.serving !== "never answers pings",
    ...{ lagMs, jitterMs: lagMs * stage.pick([0, 0.1]) },
    dialMs: 2 * lagMs * (1 + stage.random()),
  };
}

/** What the daemon is like. */
function daemon(stage: Stage): Habits {
  const keeping = stage.chance(0.55) ? "many" : stage.pick(KEEPING);
  return {
    serving: stage.pick(SERVING),
    keeping,
    code: keeping === "closes the old one"
      ? stage.pick([1000, 1006])
      : stage.pick([1008, 1013]),
    closesAfter: stage.chance(0.5) ? 0 : stage.random() * 1_500,
    servesMeanwhile: stage.pick(["served", "deaf"]),
    counts: stage.pick(["open", "first frame"]),
    cancelled: stage.pick(["answered", "stopped", "worked on"]),
    latePings: stage.pick(["after", "never"]),
    answersMs: 8_000,
    blocksMs: 10_000,
  };
}

/** The script: what will happen, whatever the proxy does. */
function play(rig: LivenessRig): void {
  const { stage } = rig;
  stage.later(stage.random() * 300, () => rig.hello());
  if (stage.chance(0.9)) rig.act(300, () => rig.ask("tools/list"));
  const asks = 4 + stage.random() * 20;
  const gaps = stage.pick([
    [0, 300, 1_500, 20_000],
    [2_000, 8_000, 30_000],
    [100, 700, 60_000],
  ]);
  const most = stage.pick([1_000, 12_000, 130_000, 130_000]);
  let at = stage.chance(0.5) ? 300 + stage.random() * 1_500 : 12_000;
  for (let i = 0; i < asks && at < LIFE_MS; i++) {
    rig.act(at, () => ask(rig, i, most));
    // What freezes does so around a call, or at any time.
    if (stage.chance(0.15)) freezeLater(rig, at + around(stage));
    at += stage.random() * stage.pick(gaps);
  }
  const moment = (): number => stage.random() * LIFE_MS;
  if (stage.chance(0.3)) freezeLater(rig, moment());
  // A connection that stands still is an exception as soon as it has been silent before that.
  const isPhased = rig.plan.habits.serving === "phases";
  if (!isPhased && stage.chance(0.25)) {
    const ms = 100 + stage.random() ** 2 * 60_000;
    stage.later(moment(), () => rig.cut(ms));
  }
  if (!isPhased && stage.chance(0.3)) {
    const ms = 100 + stage.random() ** 2 * 130_000;
    stage.later(moment(), () => rig.stall(ms));
  }
  if (stage.chance(0.25)) {
    const ms = 3_001 + stage.random() ** 3 * 200_000;
    const network = stage.pick(["stays", "forgets"]);
    stage.later(moment(), () => rig.sleep(ms, network));
  }
}

function around(stage: Stage): number {
  return (stage.random() ** 3) * 6_000 * stage.pick([-1, 1, 1, 4]);
}

function freezeLater(rig: LivenessRig, at: number): void {
  const direction = rig.stage.pick(["both", "both", "up", "down"]);
  rig.stage.later(Math.max(0, at), () => rig.freeze(direction));
}

/** The client asks for something, once or several times. */
function ask(rig: LivenessRig, order: number, most: number): void {
  const { stage } = rig;
  if (stage.chance(0.1)) return void rig.ask("ping");
  if (stage.chance(0.1)) {
    const ms = stage.pick([0, 0, 300, 7_000, 20_000]);
    const { serving } = rig.plan.habits;
    const isAtWork = /^serial|late/.test(serving);
    const method = "notifications/roots/list_changed";
    return rig.notify(method, { ms: isAtWork ? ms : 0 });
  }
  if (stage.chance(0.1)) {
    return void rig.ask(stage.pick(["tools/list", "resources/read"]));
  }
  const times = stage.pick([1, 1, 1, 2, 4]);
  for (let i = 0; i < times; i++) {
    const ms = stage.pick(CALLS_MS.filter((ms) => ms <= most));
    const token = stage.chance(0.5) ? `t${order} ${i}` : undefined;
    const asked = rig.call(stage.pick(["look", "write"]), ms, token);
    if (!stage.chance(0.1)) continue;
    rig.act(stage.random() ** 2 * 20_000, () => rig.cancel(asked));
  }
}

/** The first call of a process comes hardly later for the trial, and what it shows is true. */
function compareFirst(seed: number): void {
  const [auto, many] = [firstAt(seed, "auto"), firstAt(seed, "many")];
  const { habits, lagMs } = auto.plan;
  const keeps = habits.keeping === "many" ? "many" : "one";
  const { connections } = auto.facts;
  // What is silent for too long counts as one, and what is slow is not tried.
  const isSilent = habits.serving === "never answers pings";
  if (lagMs <= 5 && auto.isIdle) {
    assertEquals(connections, isSilent ? "one" : keeps, "learned");
  } else if (keeps === "one") {
    assert(connections !== "many", "it keeps one, and counts as many");
  }
  if (many.firstAt === Infinity) return;
  const ms = auto.firstAt - many.firstAt;
  assert(ms <= TRIAL_MS, `the first call was ${ms} ms later for the trial`);
}

/** The first call of a process, in a world without chance. */
function firstAt(
  seed: number,
  connections: "auto" | "many",
): Pick<LivenessRig, "plan" | "facts"> & {
  /** When it had its answer. */
  readonly firstAt: number;
  /** It came when the daemon had been known for long enough. */
  readonly isIdle: boolean;
} {
  const stage = new Stage(seed);
  // Both of them spell alike.
  const { config, ...rest } = plan(stage, new Manners(seed, UNDERSTOOD));
  const { habits } = rest;
  const rig = new LivenessRig(stage, {
    ...{ ...rest, jitterMs: 0, isKnownOne: false },
    // What closes late is noticed too late by anybody.
    habits: { ...habits, closesAfter: 0, answersMs: 1e9 },
    config: { ...config, connections, remembered: undefined },
  });
  const helloAt = stage.random() * 300;
  const callAt = 300 + stage.random() * 1_500;
  stage.later(helloAt, () => rig.hello());
  stage.later(callAt, () => rig.call("write", 300));
  rig.run(20_000);
  const call = [...rig.books.all].find(({ method }) => method === "tools/call");
  return {
    ...{ plan: rig.plan, facts: rig.facts },
    firstAt: call?.answeredAt ?? Infinity,
    isIdle: callAt > helloAt + 100,
  };
}
