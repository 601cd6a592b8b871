/**
 * Tests liveness with real processes: dead connections, busy daemons, and
 * daemons that keep one client. `deno task liveness` covers more kinds and
 * longer calls, and measures times.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { delay } from "../../lib/runtime/timeout.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import {
  type LivenessOptions,
  LivenessProcesses,
} from "../helpers/liveness_processes.ts";
import { test } from "../helpers/time_limit.ts";

/** Longer than the silence after which a connection becomes suspect (10 s). */
const SLOW_MS = 12_000;
/** Longer than the interval in which calls cause only one probe (1 s). */
const PAST_PROBE_INTERVAL_MS = 1_100;
/**
 * The maximum wait of a call on a dead connection. Without a second connection,
 * the call would wait for the request timeout (600 s).
 */
const MAX_DEAD_WAIT_MS = 15_000;

/**
 * Runs a test with a proxy and a daemon. If it fails, adds the kind and the log
 * to the error.
 */
async function withProcesses(
  options: LivenessOptions,
  run: (processes: LivenessProcesses) => Promise<void>,
): Promise<void> {
  await using processes = await LivenessProcesses.start(options);
  try {
    await processes.initialize();
    await run(processes);
  } catch (error) {
    const log = processes.proxy.stderr.dump();
    throw new Error(`${options.kind}: ${errorMessageOf(error)}\n${log}`);
  }
}

/** Returns a line for each call: `ID OUTCOME EXECUTIONS`. */
function outcomeLines(processes: LivenessProcesses): string[] {
  return processes.outcomes().map(({ id, outcome, executionsStartedAt }) =>
    `${id} ${outcome} ${executionsStartedAt.length}`
  );
}

/**
 * Checks that a slow call and a call sent during it are executed once and
 * answered.
 */
async function checkSlowCall(processes: LivenessProcesses): Promise<void> {
  const call = await processes.sendCall("slow", "work", SLOW_MS);
  await processes.waitForStart(call);
  await delay(2_000);
  await processes.callAndWait("second", "look");
  await processes.proxy.waitForResponse("slow");
  assertEquals(outcomeLines(processes), [
    "slow answered 1",
    "second answered 1",
  ]);
}

/** Checks that no connection is opened while the daemon executes a call. */
async function checkUndisturbed(processes: LivenessProcesses): Promise<void> {
  await checkSlowCall(processes);
  const events = processes.journalEntries().map(({ what }) => what);
  const during = events.slice(events.indexOf("begin work slow"));
  assertEquals(during.filter((what) => what === "open"), []);
  // The first connection, the second one of the capacity check, and a reconnect
  // if the daemon has closed the first one.
  assert(
    processes.connectionCount <= 3,
    `${processes.connectionCount} connections`,
  );
}

/** Checks calls on a connection that died unnoticed while it was idle. */
async function checkHalfOpen(processes: LivenessProcesses): Promise<void> {
  for (const id of ["a", "b", "c"]) await processes.callAndWait(id, "work");
  await delay(PAST_PROBE_INTERVAL_MS);
  processes.relay!.blackhole();
  await processes.sendCalls([["look", "look", 0], ["work", "work", 0]]);
  await Promise.all(
    ["look", "work"].map((id) => processes.proxy.waitForResponse(id)),
  );
  const laterOutcomes = processes.outcomes().slice(3);
  for (const { id, sentAt, answeredAt } of laterOutcomes) {
    const ms = answeredAt! - sentAt;
    assert(ms <= MAX_DEAD_WAIT_MS, `${id} has waited ${ms} ms`);
  }
  assertEquals(outcomeLines(processes).slice(3), [
    "look answered 1",
    "work answered 1",
  ]);
  await processes.callAndWait("after", "work");
}

test("Liveness: slow calls are executed once and answered, whatever else the daemon does, and a dead connection is recognized", async () => {
  await Promise.all([
    withProcesses({ kind: "serial" }, checkSlowCall),
    withProcesses({ kind: "child-sync" }, checkSlowCall),
    withProcesses({ kind: "displace" }, checkUndisturbed),
    withProcesses({ kind: "refuse" }, checkUndisturbed),
    withProcesses({
      kind: "concurrent",
      usesRelay: true,
      flags: ["--connections", "many"],
    }, checkHalfOpen),
  ]);
});

test("Capacity: a daemon that answers only on its newest connection answers the first calls", async () => {
  await withProcesses({ kind: "newest" }, async (processes) => {
    await processes.callAndWait("first", "work");
    await processes.callAndWait("second", "look");
    assertEquals(outcomeLines(processes), [
      "first answered 1",
      "second answered 1",
    ]);
  });
});
