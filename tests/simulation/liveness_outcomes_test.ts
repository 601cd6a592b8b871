/**
 * Checks the outcome of a call for each kind of daemon and several durations,
 * on a connection that is alive, freezes during the call, or froze before it.
 */

import { assertEquals } from "../helpers/assert.ts";
import { MessageHabits } from "./message_habits.ts";
import type { RequestOutcome } from "./liveness_invariants.ts";
import { type DaemonBehavior, DEFAULT_BEHAVIOR } from "./liveness_daemon.ts";
import { LivenessSession } from "./liveness_session.ts";
import { test } from "../helpers/no_permissions.ts";
import { DEFAULT_CONFIG } from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";

/** The durations of the calls, and how long the client waits for a response. */
const CALLS_MS = [1_000, 12_000, 40_000, 130_000];
const CLIENT_TIMEOUT_MS = 200_000;

/** When the connection freezes. */
type FreezeTime = "never" | "during" | "before";

interface Row extends Partial<DaemonBehavior> {
  readonly connections?: "auto" | "one" | "many";
  /** How long the daemon is suspended in the middle of the call. */
  readonly stallMs?: number;
}

const ROWS: Readonly<Record<string, Row>> = {
  "everything at once": {},
  "one thing at a time per connection": { serving: "serial" },
  "one thing at a time in all": { serving: "serial as a whole" },
  "a call before the pong": { serving: "late pong" },
  "no pong during a call": { serving: "mute during calls" },
  "pongs after a call": {
    serving: "mute during calls",
    latePings: "after",
  },
  "no pong at all": { serving: "never answers pings" },
  "stands still now and then": { serving: "phases" },
  "closes the old one": { secondConnection: "closes the old one" },
  "closes the old one, serial": {
    ...{ secondConnection: "closes the old one", serving: "serial" },
  },
  "refuses the new one": {
    secondConnection: "refuses the new one",
    closeCode: 1008,
  },
  "ignores the new one": { secondConnection: "ignores the new one" },
  "answers the newest only": { secondConnection: "answers the newest only" },
  "--connections many": { connections: "many" },
  "--connections one": { connections: "one" },
  "paused for 100 s": { stallMs: 100_000 },
  "paused for 100 s, serial": { stallMs: 100_000, serving: "serial" },
};

/**
 * One letter for each duration. `A`: the call is answered. `T`: the client gets
 * the error that the outcome is unknown. `w`: the client still waits. The first
 * group is an unsafe call, the second one a call that may be executed twice.
 */
const TABLE = `
daemon                             | lives     | freezes during | froze before
everything at once                 | AAAA AAAA | TTTT AAAA      | AAAA AAAA
one thing at a time per connection | AAAA AAAA | wwww wwww      | AAAA AAAA
one thing at a time in all         | AAAA AAAA | wwww wwww      | AAAA AAAA
a call before the pong             | AAAA AAAA | wwww wwww      | AAAA AAAA
no pong during a call              | AAAA AAAA | wwww wwww      | AAAA AAAA
pongs after a call                 | AAAA AAAA | wwww wwww      | AAAA AAAA
no pong at all                     | AAAA AAAA | wwww wwww      | wwww wwww
stands still now and then          | AAAA AAAA | TTTT AAAA      | AAAA AAAA
closes the old one                 | AAAA AAAA | wwww wwww      | wwww wwww
closes the old one, serial         | AAAA AAAA | wwww wwww      | wwww wwww
refuses the new one                | AAAA AAAA | wwww wwww      | wwww wwww
ignores the new one                | AAAA AAAA | wwww wwww      | wwww wwww
answers the newest only            | AAAA AAAA | wwww wwww      | wwww wwww
--connections many                 | AAAA AAAA | TTTT AAAA      | AAAA AAAA
--connections one                  | AAAA AAAA | wwww wwww      | wwww wwww
paused for 100 s                   | AAAA AAAA | TTTT AAAA      | wAAA wAAA
paused for 100 s, serial           | AAAA AAAA | wwww wwww      | wAAA wAAA
`;

test("Liveness outcomes: the result of a call for each daemon, duration and freeze time", () => {
  const lines = Object.entries(ROWS).map(([name, row]) =>
    [
      name.padEnd(34),
      cell(row, "never").padEnd(9),
      cell(row, "during").padEnd(14),
      cell(row, "before"),
    ].join(" | ")
  );
  const [head] = TABLE.trim().split("\n");
  assertEquals(`\n${[head, ...lines].join("\n")}\n`, TABLE);
});

function cell(row: Row, freezes: FreezeTime): string {
  return (["write", "look"] as const).map((tool) =>
    CALLS_MS.map((ms) => letter(outcome(row, freezes, tool, ms))).join("")
  ).join(" ");
}

function letter(outcome: RequestOutcome | undefined): string {
  switch (outcome) {
    case undefined:
      return "w";
    case "answered":
      return "A";
    case "told":
      return "T";
    case "unavailable":
      return "u";
    case "timed out":
      return "t";
  }
}

/**
 * Returns the outcome of a call that takes `ms` milliseconds. Before it, the
 * same process has executed a call of one second.
 */
function outcome(
  { connections = "auto", stallMs, ...behavior }: Row,
  freezes: FreezeTime,
  tool: "look" | "write",
  ms: number,
): RequestOutcome | undefined {
  const session = new LivenessSession(new Scheduler(1), {
    behavior: { ...DEFAULT_BEHAVIOR, ...behavior },
    config: { ...DEFAULT_CONFIG, idleTimeout: Infinity, connections },
    ...{
      isCachedAsOne: false,
      isStateless: false,
      messageHabits: new MessageHabits(1, []),
    },
    ...{ lagMs: 5, jitterMs: 0, dialMs: 12 },
  });
  session.openConversation();
  session.runUntil(2_000);
  session.request("tools/list");
  session.runUntil(3_000);
  session.callTool("write", 1_000);
  // Idle connections are probed every 5 s. A call within a second after a probe
  // causes no probe of its own.
  session.runUntil(19_000);
  if (freezes === "before") session.freezeConnections();
  session.runUntil(20_500);
  const request = session.callTool(tool, ms);
  // The freeze comes early: a call that is sent again takes as long again, and
  // must end before the client's timeout.
  session.runUntil(20_500 + Math.min(ms / 2, 20_000));
  if (freezes === "during") session.freezeConnections();
  if (stallMs !== undefined) session.suspendDaemon(stallMs);
  session.runUntil(20_500 + CLIENT_TIMEOUT_MS + (stallMs ?? 0));
  session.checkAllAnswered();
  return request.outcome;
}
