/**
 * How a sleep of the machine is found.
 *
 * @module
 */

import type { SessionEvent } from "../../../lib/events.ts";
import { Naps } from "../../../lib/proxy/sleep_detector.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import type { Json } from "../../helpers/session/session_driver.ts";

/** How often the shell looks at its clocks. */
const HEARTBEAT_MS = 2_000;

test("Sleep detector: notices one of 60 s during an exai call", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  scene.say(
    { op: "call_tool_ack", request_id: call.request_id, timeout: 67 },
    call.epoch,
  );
  scene.pass(50_000);
  const at = scene.now;
  const naps = new Naps(at, at);
  // The shell wakes for that at least, whatever is due.
  const due = Math.min(scene.session.deadline(), at + HEARTBEAT_MS);
  assert(naps.look(at + 60_000, at + 60_000, due) !== undefined);
});

const NAPS: [
  what: string,
  now: number,
  wall: number,
  dueAt: number,
  found: Json,
][] = [
  ["in time", 2_000, 2_000, 2_000, undefined],
  ["a busy machine", 4_900, 4_900, 2_000, undefined],
  ["stopped", 60_000, 60_000, 2_000, { gap: 60_000, unseen: 0 }],
  ["stopped, with a deadline soon", 60_000, 60_000, 100, {
    gap: 60_000,
    unseen: 0,
  }],
  ["a clock that stood still", 1_000, 61_000, 2_000, {
    gap: 0,
    unseen: 60_000,
  }],
  ["both", 11_000, 61_000, 1_000, { gap: 11_000, unseen: 50_000 }],
  ["nothing was due", 61_000, 61_000, Infinity, undefined],
  ["the wall's clock was put back", 1_000, -61_000, 1_000, undefined],
];

for (const [what, now, wall, dueAt, found] of NAPS) {
  test(`Sleep detector: ${what}`, () => {
    const naps = new Naps(0, 0);
    const event: SessionEvent | undefined = found &&
      { type: "resumed", ...found };
    assertEquals(naps.look(now, wall, dueAt), event);
    assertEquals(naps.look(now, wall, dueAt), undefined, "once");
  });
}
