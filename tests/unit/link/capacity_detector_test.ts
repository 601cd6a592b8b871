/**
 * Tests how the proxy detects how many connections a daemon keeps per client.
 *
 * @module
 */

import { CapacityDetector } from "../../../lib/link/capacity_detector.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** Returns a detector whose check began at 1 s, after a handshake of 50 ms. */
function startCheck(): CapacityDetector {
  const capacity = new CapacityDetector("auto");
  capacity.startCheck(50, 1_000);
  return capacity;
}

test("Capacity: a setting is known from the start, and nothing overwrites it", () => {
  for (const setting of ["one", "many"] as const) {
    const capacity = new CapacityDetector(setting);
    capacity.record(setting === "one" ? "many" : "one");
    capacity.onSecondConnectionOpening(0);
    assertEquals(capacity.onMainConnectionClosed(true, 1), false);
    assertEquals([capacity.connectionCapacity, capacity.isUnknown], [
      setting,
      false,
    ]);
  }
});

test("Capacity: a check leaves its last 100 ms to the main connection", () => {
  const capacity = startCheck();
  assertEquals([capacity.connectionCapacity, capacity.isUnknown], [
    "unknown",
    false,
  ]);
  assertEquals([capacity.deadline(), capacity.isChecking], [1_300, true]);
  assertEquals(capacity.advance(1_299), undefined);
  assertEquals(capacity.advance(1_300), { kind: "close-second" });
  assertEquals([capacity.deadline(), capacity.isChecking], [1_400, true]);
  capacity.abandonCheck();
  assertEquals([capacity.connectionCapacity, capacity.deadline()], [
    "one",
    Infinity,
  ]);
});

test("Capacity: a check keeps its full time if both connections answer soon", () => {
  const capacity = startCheck();
  capacity.onSecondReady("main");
  capacity.onProbeAnswered("main", "main");
  capacity.onProbeAnswered("second", "x");
  assertEquals(capacity.deadline(), 1_400);
});

test("Capacity: a check is extended once", () => {
  const capacity = startCheck();
  assertEquals(capacity.advance(1_500), undefined);
  assertEquals([capacity.deadline(), capacity.isChecking], [1_600, true]);
  assertEquals(capacity.advance(1_800), { kind: "close-second" });
  assertEquals(capacity.deadline(), 1_700);
  const late = startCheck();
  late.advance(1_350); // A timer may be 50 ms late.
  assertEquals(late.advance(1_451), undefined);
  assertEquals([late.deadline(), late.isChecking], [1_551, true]);
});

test("Capacity: abandoning a check that does not run changes nothing", () => {
  const capacity = new CapacityDetector("auto");
  capacity.abandonCheck();
  assertEquals(capacity.connectionCapacity, "unknown");
  capacity.record("many");
  capacity.abandonCheck();
  assertEquals(capacity.connectionCapacity, "many");
});

/**
 * The events of a check, the step that the last event returns, and the capacity
 * after it. `other` answers an earlier probe, and `late` is a timeout.
 */
const CHECKS: [
  what: string,
  events: string,
  step: unknown,
  capacity: string,
][] = [
  ["nothing has happened", "", undefined, "unknown"],
  ["only the main one has answered", "ready, main", undefined, "unknown"],
  ["only the second has answered", "ready, second", undefined, "unknown"],
  ["another probe is answered", "ready, second, other", undefined, "unknown"],
  [
    "both have answered",
    "ready, second, main",
    { kind: "close-second" },
    "unknown",
  ],
  ["the second one is lost", "lost", { kind: "close-second" }, "unknown"],
  ["the time is over", "late", { kind: "close-second" }, "unknown"],
  [
    "both have answered, and then the main one",
    "ready, main, second, main",
    { kind: "conclude", capacity: "many", isProven: false },
    "many",
  ],
  [
    "both have answered, and then the second one",
    "ready, main, second, second, other",
    undefined,
    "unknown",
  ],
  [
    "the second one is lost, and the main one answers",
    "ready, lost, main",
    { kind: "conclude", capacity: "one", isProven: true },
    "one",
  ],
  [
    "the second one is too late, and the main one answers",
    "ready, late, main",
    { kind: "conclude", capacity: "one", isProven: false },
    "one",
  ],
  [
    "nothing is answered in time",
    "late, late",
    { kind: "conclude", capacity: "one", isProven: false },
    "one",
  ],
  [
    "the second one is lost, and nothing is answered",
    "lost, late",
    { kind: "conclude", capacity: "one", isProven: false },
    "one",
  ],
  [
    "no probe is answered",
    "ready, late, late",
    { kind: "drop-main" },
    "one",
  ],
  [
    "only the second one has answered",
    "ready, second, late, late",
    { kind: "drop-main" },
    "one, displaced",
  ],
  [
    "both have answered, and then none",
    "ready, second, main, late",
    { kind: "drop-main" },
    "one",
  ],
  ["it is abandoned", "ready, abandoned", undefined, "one"],
  [
    "the time is over, and the check is abandoned",
    "late, abandoned",
    undefined,
    "one",
  ],
];
for (const [what, events, step, expected] of CHECKS) {
  test(`Capacity check: the next step if ${what}`, () => {
    const capacity = startCheck();
    let last: unknown;
    let probe = 0;
    for (const event of events.split(", ")) {
      last = undefined;
      if (event === "ready") capacity.onSecondReady(`${probe}`);
      if (event === "main") last = capacity.onProbeAnswered("main", `${probe}`);
      if (event === "other") last = capacity.onProbeAnswered("main", "x");
      if (event === "second") last = capacity.onProbeAnswered("second", "y");
      if (event === "lost") last = capacity.onSecondLost();
      if (event === "late") last = capacity.advance(capacity.deadline());
      if (event === "abandoned") capacity.abandonCheck();
      if ((last as { kind?: string })?.kind === "close-second") {
        capacity.setMainProbe(`${++probe}`);
      }
    }
    assertEquals(last, step);
    const isDisplaced = capacity.onMainConnectionReady(1_401);
    const found = capacity.connectionCapacity +
      (isDisplaced ? ", displaced" : "");
    assertEquals(found, expected);
  });
}

const STATES: Record<string, () => CapacityDetector> = {
  "unknown": () => new CapacityDetector("auto"),
  "both-connections": startCheck,
  "main-only": () => {
    const capacity = startCheck();
    capacity.onSecondLost();
    return capacity;
  },
  "known": () => {
    const capacity = new CapacityDetector("auto");
    capacity.record("many");
    return capacity;
  },
  "configured": () => new CapacityDetector("many"),
  "displaced": () => {
    const capacity = new CapacityDetector("auto");
    capacity.onSecondConnectionOpening(1_000);
    capacity.onMainConnectionClosed(true, 1_000);
    return capacity;
  },
};

/** Returns the public properties, which show whether a state has changed. */
function stateOf(capacity: CapacityDetector): unknown {
  return [
    capacity.connectionCapacity,
    capacity.isUnknown,
    capacity.isChecking,
    capacity.deadline(),
  ];
}

/**
 * Each event, the states that have a row for it in the table of
 * `capacity_detector.ts`, and whether the event is ignored or throws in the
 * other states. In both cases, the state does not change.
 */
const EVENTS: [
  event: string,
  act: (capacity: CapacityDetector) => unknown,
  states: string[],
  otherwise: "ignored" | "error",
][] = [
  ["start", (it) => it.startCheck(1, 1), ["unknown"], "error"],
  ["lose", (it) => it.onSecondLost(), ["both-connections"], "error"],
  ["ready", (it) => it.onSecondReady("x"), ["both-connections"], "ignored"],
  [
    "probe",
    (it) => it.setMainProbe("x"),
    ["both-connections", "main-only"],
    "ignored",
  ],
  [
    "answer",
    (it) => it.onProbeAnswered("main", "x"),
    ["both-connections", "main-only"],
    "ignored",
  ],
  [
    "time",
    (it) => it.advance(9_999),
    ["both-connections", "main-only"],
    "ignored",
  ],
  [
    "abandon",
    (it) => it.abandonCheck(),
    ["both-connections", "main-only"],
    "ignored",
  ],
  [
    "main closed",
    (it) => it.onMainConnectionClosed(true, 0),
    [],
    "ignored", // None of the states has a recent second connection.
  ],
  [
    "main ready",
    (it) => it.onMainConnectionReady(1_000),
    ["displaced"],
    "ignored",
  ],
  ["daemon down", (it) => it.onDaemonDown(), ["displaced"], "ignored"],
];
for (const [event, act, states, otherwise] of EVENTS) {
  for (const [name, make] of Object.entries(STATES)) {
    if (states.includes(name)) continue;
    test(`Capacity states: ${name}: ${event} is ${otherwise === "error" ? "an error" : "ignored"}`, () => {
      const capacity = make();
      const before = stateOf(capacity);
      if (otherwise === "error") {
        assertThrows(() => act(capacity), Error, name);
      } else assertEquals(act(capacity) || undefined, undefined);
      assertEquals(stateOf(capacity), before);
    });
  }
}

const LOSSES: [what: string, lostAt: number, isDisplaced: boolean][] = [
  ["2 s after the second opened", 2_000, true],
  ["later", 2_001, false],
];
for (const [what, lostAt, isDisplaced] of LOSSES) {
  test(`Capacity: a main connection that is closed ${what} is ${isDisplaced ? "" : "not "}displaced`, () => {
    const capacity = new CapacityDetector("auto");
    capacity.record("many");
    capacity.onSecondConnectionOpening(0);
    assertEquals(capacity.onMainConnectionClosed(true, lostAt), isDisplaced);
    assertEquals(capacity.connectionCapacity, isDisplaced ? "one" : "many");
    assertEquals(
      capacity.onMainConnectionClosed(true, 0),
      false,
      "the second counts once",
    );
  });
}

test("Capacity: a second connection that is lost displaces nothing", () => {
  const capacity = new CapacityDetector("auto");
  capacity.onSecondConnectionOpening(0);
  capacity.onSecondConnectionClosed();
  assertEquals(capacity.onMainConnectionClosed(true, 1), false);
  assertEquals(capacity.isUnknown, true);
});

const CONFIRMED: [
  what: string,
  isClean: boolean,
  isChecking: boolean,
  readyMs: number,
  isCached: boolean,
][] = [
  ["after a close frame, within 1 s", true, false, 1_000, true],
  ["after more than 1 s", true, false, 1_001, false],
  ["after a cut without a close frame", false, false, 1, false],
  ["after a cut during a check", false, true, 1, true],
];
for (const [what, isClean, isChecking, readyMs, isCached] of CONFIRMED) {
  test(`Capacity: a reconnect ${what} shows a capacity of one that is ${isCached ? "" : "not "}cached`, () => {
    const capacity = isChecking ? startCheck() : new CapacityDetector("auto");
    capacity.onSecondConnectionOpening(1_000);
    assertEquals(capacity.onMainConnectionClosed(isClean, 1_500), true);
    assertEquals(capacity.onMainConnectionReady(1_500 + readyMs), isCached);
    assertEquals(capacity.connectionCapacity, "one");
    assertEquals(capacity.onMainConnectionReady(1_501), false, "once");
  });
}

test("Capacity: a displacement is not evidence if the daemon was down", () => {
  for (const before of ["many", "one"] as const) {
    const capacity = new CapacityDetector("auto");
    if (before === "many") capacity.record("many");
    capacity.onSecondConnectionOpening(0);
    assertEquals(capacity.onMainConnectionClosed(true, 0), true);
    capacity.onDaemonDown();
    assertEquals(capacity.connectionCapacity, before);
    assertEquals(capacity.onMainConnectionReady(1), false);
  }
});
