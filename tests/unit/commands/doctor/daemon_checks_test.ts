/**
 * What `doctor` reports about a daemon's treatment of ids, and about
 * reconnects.
 *
 * @module
 */

import type { Check } from "../../../../lib/commands/doctor/check.ts";
import {
  idsCheck,
  reconnectCheck,
  type TextIdBehavior,
} from "../../../../lib/commands/doctor/daemon_checks.ts";
import type { ReconnectOutcome } from "../../../../lib/commands/doctor/in_process_client.ts";
import { assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";

/** How a daemon treats ids, and a lost connection. */
interface DaemonBehavior {
  readonly numbers: "as sent" | "as text";
  readonly texts: TextIdBehavior;
  readonly restart: ReconnectOutcome;
}

const FINE: DaemonBehavior = {
  numbers: "as sent",
  texts: "as sent",
  restart: { kind: "reconnected", ms: 12.3 },
};

const HABITS: [
  changes: Partial<DaemonBehavior>,
  states: Check["state"][],
  ids: RegExp,
  restart: RegExp,
][] = [
  [
    {},
    ["ok", "ok"],
    /^numbers and texts are answered$/,
    /^a connection that doctor ended was replaced in 12 ms, .* are answered$/,
  ],
  [
    { numbers: "as text" },
    ["ok", "ok"],
    /are answered\nnumbers come back as texts: it works/,
    /^a conn/,
  ],
  [
    { texts: "as null" },
    ["warn", "ok"],
    /^texts come back as null: clients with text ids will not work through it \(/,
    /^a conn/,
  ],
  [
    { texts: "unanswered", numbers: "as text" },
    ["warn", "ok"],
    /^requests with a text for an id are not answered: clients with .*\nnumbers/,
    /^a conn/,
  ],
  [
    { restart: { kind: "own unanswered" } },
    ["ok", "fail"],
    /^numbers and/,
    /^after a lost connection it did not answer the proxy's own .*does not reconnect/,
  ],
  [
    { restart: { kind: "second unanswered" }, texts: "unknown" },
    ["ok", "fail"],
    /^numbers are answered on the first connection; texts cannot be judged/,
    /nobody's first message on another connection: after a lost connection /,
  ],
  [
    { restart: { kind: "not reached", why: "it refused" } },
    ["ok", "warn"],
    /^numbers and/,
    /was not replaced in time \(it refused\)$/,
  ],
];

for (const [changes, states, ids, restart] of HABITS) {
  test(`Ids and restart checks: report what was tried: ${JSON.stringify(changes)}`, () => {
    const habits = { ...FINE, ...changes };
    const checks = [
      idsCheck(habits.numbers, habits.texts),
      reconnectCheck(habits.restart),
    ];
    assertEquals(checks.map(({ name }) => name), ["ids", "restart"]);
    assertEquals(checks.map(({ state }) => state), states);
    assertMatch(checks[0]!.text, ids);
    assertMatch(checks[1]!.text, restart);
    for (const { state, advice } of checks) {
      assertEquals(advice !== undefined, state !== "ok");
    }
    const data = { numbers: habits.numbers, texts: habits.texts };
    assertEquals(checks[0]!.data, data);
    assertEquals(checks[1]!.data, { ...habits.restart });
  });
}
