/**
 * Tests when a reader counts as full, and when as drained.
 *
 * @module
 */

import type { SessionEvent } from "../../../lib/events.ts";
import { BackPressure, MAX_UNREAD } from "../../../lib/proxy/back_pressure.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

for (const connectionId of [undefined, 7]) {
  const name = connectionId === undefined ? "stdout" : "a connection";
  const [full, drained]: SessionEvent[] = connectionId === undefined
    ? [{ type: "stdout-full" }, { type: "stdout-drained" }]
    : [
      { type: "backlog", connectionId, state: "full" },
      { type: "backlog", connectionId, state: "drained" },
    ];

  test(`Back-pressure: ${name} is full above the limit, and drained below an eighth of it`, () => {
    const events: SessionEvent[] = [];
    const backPressure = new BackPressure((event) => void events.push(event));
    const reader = { backlog: 0 };
    const steps: [backlog: number, isWaiting: boolean, events: unknown[]][] = [
      [MAX_UNREAD, false, []],
      [MAX_UNREAD + 1, true, [full]],
      [2 * MAX_UNREAD, true, [full]],
      [MAX_UNREAD / 8, true, [full]],
      [MAX_UNREAD / 8 - 1, false, [full, drained]],
      [MAX_UNREAD + 1, true, [full, drained, full]],
    ];
    for (const [backlog, isFull, expected] of steps) {
      reader.backlog = backlog;
      backPressure.check(reader, connectionId);
      backPressure.checkAgain();
      assertEquals(events, expected, `${backlog}`);
      assertEquals(backPressure.hasFullReader, isFull, `${backlog}`);
    }
  });
}
