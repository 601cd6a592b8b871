/**
 * Tests what `doctor` reports about the ids in a daemon's responses, and about
 * reconnects.
 *
 * @module
 */

import type { CheckResult } from "../../../../lib/commands/doctor/check.ts";
import {
  idsCheck,
  reconnectCheck,
  type TextIdBehavior,
} from "../../../../lib/commands/doctor/daemon_checks.ts";
import type { ReconnectOutcome } from "../../../../lib/commands/doctor/in_process_client.ts";
import { assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";

/** How a daemon returns ids, and what happens after a lost connection. */
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

const BEHAVIORS: [
  changes: Partial<DaemonBehavior>,
  states: CheckResult["state"][],
  ids: RegExp,
  restart: RegExp,
][] = [
  [
    {},
    ["ok", "ok"],
    /^requests are answered with numbers and with strings as ids$/,
    /^after doctor closed a connection, the next one was ready in 12 ms, .* are answered$/,
  ],
  [
    { numbers: "as text" },
    ["ok", "ok"],
    /^requests are answered .*\nnumber ids come back as strings: this works/,
    /^after doctor closed a conn/,
  ],
  [
    { texts: "as null" },
    ["warn", "ok"],
    /^string ids come back as null: clients that use strings as ids will not work \(/,
    /^after doctor closed a conn/,
  ],
  [
    { texts: "unanswered", numbers: "as text" },
    ["warn", "ok"],
    /^requests with a string as id are not answered: clients that use .*\nnumber ids/,
    /^after doctor closed a conn/,
  ],
  [
    { restart: { kind: "own unanswered" } },
    ["ok", "fail"],
    /^requests are answered with numbers and/,
    /^after a lost connection, the daemon did not answer the proxy's own .*does not reconnect/,
  ],
  [
    { restart: { kind: "second unanswered" }, texts: "unknown" },
    ["ok", "fail"],
    /^number ids are answered on the first connection; string ids cannot be tested/,
    /not answer the first message on a second connection: after a lost connection, /,
  ],
  [
    { restart: { kind: "not reached", why: "it refused" } },
    ["ok", "warn"],
    /^requests are answered with numbers and/,
    /no new one was ready in time \(it refused\)$/,
  ],
];

for (const [changes, states, ids, restart] of BEHAVIORS) {
  test(`Ids and restart checks: report the daemon's behavior: ${JSON.stringify(changes)}`, () => {
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
