/**
 * Tests how a sleep of the machine is detected.
 *
 * @module
 */

import type { SessionEvent } from "../../../lib/events.ts";
import { SleepDetector } from "../../../lib/proxy/sleep_detector.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import type { Json } from "../../helpers/session/session_driver.ts";

/** The interval at which the proxy checks for a sleep, in milliseconds. */
const SLEEP_CHECK_INTERVAL_MS = 2_000;

test("Sleep detector: detects a sleep of 60 s during an exai call", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.frameFromDaemon(
    { op: "call_tool_ack", request_id: call.request_id, timeout: 67 },
    call.connectionId,
  );
  driver.advance(50_000);
  const at = driver.now;
  const detector = new SleepDetector(at, at);
  // The proxy wakes up for this check even if nothing else is due.
  const due = Math.min(driver.session.deadline(), at + SLEEP_CHECK_INTERVAL_MS);
  assert(detector.detect(at + 60_000, at + 60_000, due) !== undefined);
});

const SLEEPS: [
  what: string,
  now: number,
  wall: number,
  dueAt: number,
  found: Json,
][] = [
  ["in time", 2_000, 2_000, 2_000, undefined],
  ["a busy machine", 4_900, 4_900, 2_000, undefined],
  ["the process was stopped", 60_000, 60_000, 2_000, {
    monotonicGapMs: 60_000,
    suspendedMs: 0,
  }],
  ["the process was stopped, with a deadline soon", 60_000, 60_000, 100, {
    monotonicGapMs: 60_000,
    suspendedMs: 0,
  }],
  ["the monotonic clock stopped", 1_000, 61_000, 2_000, {
    monotonicGapMs: 0,
    suspendedMs: 60_000,
  }],
  ["both", 11_000, 61_000, 1_000, {
    monotonicGapMs: 11_000,
    suspendedMs: 50_000,
  }],
  ["nothing was due", 61_000, 61_000, Infinity, undefined],
  ["the wall clock was set back", 1_000, -61_000, 1_000, undefined],
];

for (const [what, now, wall, dueAt, found] of SLEEPS) {
  test(`Sleep detector: ${what}`, () => {
    const detector = new SleepDetector(0, 0);
    const event: SessionEvent | undefined = found &&
      { type: "resumed", ...found };
    assertEquals(detector.detect(now, wall, dueAt), event);
    assertEquals(detector.detect(now, wall, dueAt), undefined, "once");
  });
}
