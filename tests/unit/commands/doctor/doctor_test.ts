/**
 * What `alwaysup doctor` says of proxies that run, of how many connections a
 * daemon keeps, and of what it does to ids and after a lost connection.
 *
 * @module
 */

import type { Check } from "../../../../lib/commands/doctor/check.ts";
import {
  NOW,
  proxy,
  READY,
  TARGET,
  WAITING,
} from "../../../helpers/running_proxies.ts";
import {
  type Known,
  knownCheck,
  proxiesCheck,
} from "../../../../lib/commands/doctor/connections_check.ts";
import {
  type Habits,
  idsCheck,
  restartCheck,
} from "../../../../lib/commands/doctor/habits_check.ts";
import {
  besideCheck,
  proxiesAt,
  runningCheck,
  unseenCheck,
} from "../../../../lib/commands/doctor/running_check.ts";
import type { Running } from "../../../../lib/proxy/status_format.ts";
import type { Standing } from "../../../../lib/session/snapshot.ts";
import { assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";

const PLACES: [url: string, isThere: boolean][] = [
  ["ws://127.0.0.1:8079/", true],
  ["ws://localhost:8079/", true],
  ["ws://[::1]:8079/", true],
  ["ws://127.0.0.1:8079/?***", true],
  ["ws://127.0.0.1:8079/a", false],
  ["ws://127.0.0.1:80790/", false],
  ["ws://127.0.0.1/", false],
  ["ws://127.0.0.10:8079/", false],
  ["wss://127.0.0.1:8079/", false],
  ["ws://h:8079/", false],
];
for (const [url, isThere] of PLACES) {
  test(`Running proxies: one at ${url} ${isThere ? "has" : "does not have"} the daemon of the configuration`, () => {
    assertEquals(proxiesAt([proxy({ url })], TARGET).length, isThere ? 1 : 0);
  });
}

const STATES: [
  changes: Partial<Running>,
  state: string,
  says: RegExp,
  advice?: RegExp,
][] = [
  [{}, "ok", /^proxy 7 \(editor 1\): ready 2 h$/m],
  [{ client: undefined }, "ok", /^proxy 7: ready 2 h$/m],
  [{ standing: { phase: "open" } }, "ok", /has not spoken$/m],
  [
    { lastError: "a\nok    b" },
    "ok",
    /^its last error: a ok {4}b$/m,
  ],
  [
    { standing: { phase: "checking", since: 0 } },
    "warn",
    /silent, being checked$/m,
    /^ask again/,
  ],
  [
    { standing: { phase: "displaced" } },
    "warn",
    /another client has the connection/,
    /^stop the other client, or give each client a daemon of its own$/,
  ],
  [
    { standing: { phase: "dialing", attempt: 1 } },
    "warn",
    /dialing, attempt 1$/m,
    /^ask again/,
  ],
  [
    { standing: { phase: "greeting", attempt: 3 } },
    "fail",
    /greeting, attempt 3$/m,
    /^look at the daemon's own log$/,
  ],
  [
    { standing: WAITING, lastError: "x", lastErrorCause: "nobody there" },
    "fail",
    /waiting, attempt 4, next in 8 s\nits last error: x$/m,
    /^start the daemon; .*; --connect looks closer/,
  ],
  [
    { standing: WAITING, lastError: "x", lastErrorCause: "refused" },
    "fail",
    /last error: x$/m,
    /^give the proxy the daemon's own token/,
  ],
  [
    { standing: WAITING, lastError: "x", lastErrorCause: "token refused" },
    "fail",
    /last error: x$/m,
    /^give the proxy the daemon's own token/,
  ],
  [
    { standing: WAITING, lastError: "x", lastErrorCause: "policy violation" },
    "fail",
    /last error: x$/m,
    /^give the proxy the daemon's own token/,
  ],
  [
    { standing: WAITING, lastError: "x", lastErrorCause: "other dialect" },
    "fail",
    /last error: x$/m,
    /^look at the daemon's own log; --connect/,
  ],
  [
    // The daemon's own words decide nothing.
    { standing: WAITING, lastError: "it refuses, nothing listens, code 1008" },
    "fail",
    /nothing listens/,
    /^look at the daemon's own log; --connect/,
  ],
  [
    { standing: WAITING },
    "fail",
    /waiting/,
    /^look at the daemon's own log; --connect/,
  ],
  [
    { url: "ws://localhost:8079/", standing: READY },
    "ok",
    /^proxy 7 \(editor 1\) at ws:\/\/localhost:8079\/: ready/,
  ],
  [
    { dialect: "exai" },
    "fail",
    /^proxy 7 \(editor 1\), dialect exai: ready/,
    /^say --dialect exai/,
  ],
];
for (const [changes, state, says, advice] of STATES) {
  test(`Running check: reports a proxy: ${JSON.stringify(changes)}`, () => {
    const proxies = [proxy(changes)];
    const check = runningCheck(proxies, TARGET, NOW);
    assertEquals([check.name, check.state], ["running", state]);
    assertMatch(check.text, says);
    assertMatch(check.text, /\nnothing was opened to the daemon: .*--connect/);
    if (advice === undefined) assertEquals(check.advice, undefined);
    else assertMatch(check.advice!, advice);
    // The cause is for doctor itself.
    const { lastErrorCause: _, ...shown } = proxies[0]!;
    assertEquals(check.data, { proxies: [shown] });
  });
}

test("Running check: names all proxies; its state is that of the worst one of the dialect", () => {
  const proxies = [
    proxy(),
    proxy({ pid: 8, client: undefined, standing: { phase: "displaced" } }),
    proxy({ pid: 9, dialect: "exai", standing: WAITING }),
  ];
  const { state, text, advice } = runningCheck(proxies, TARGET, NOW);
  assertEquals(state, "warn");
  assertMatch(text, /^proxy 7 .*\nproxy 8: .*\nproxy 9 .*, dialect exai: wait/);
  assertMatch(advice!, /^stop the other client/);
  const waiting = [proxy(), proxy({ pid: 8, standing: WAITING })];
  const found = runningCheck(waiting, TARGET, NOW);
  // Another one has a session that a connection could displace.
  const words = "look at the daemon's own log";
  assertEquals([found.state, found.advice], ["fail", words]);
});

test("Running check: warns that doctor connects beside a proxy where --connect is given", () => {
  const { state, text } = besideCheck([proxy()], TARGET, NOW);
  assertEquals(state, "warn");
  assertMatch(text, /^proxy 7 .*\ndoctor connects, too \(--connect\)/);
});

test("Running check: fails, and says why, where the status files cannot be read", () => {
  const { state, text } = unseenCheck(["/x cannot be read (a\nb)"]);
  assertEquals(state, "fail");
  assertMatch(text, /nothing was opened to the daemon\n\/x .*\(a b\)$/);
});

const KNOWN: [known: Known, state: string, says: RegExp][] = [
  [
    { from: "setting", connections: "one" },
    "ok",
    /^the daemon keeps one connection for a client, because --connections is set/,
  ],
  [
    { from: "setting", connections: "many" },
    "ok",
    /^the daemon keeps several connections for a client, because --connections is set/,
  ],
  [
    { from: "cache", connections: "one", forMs: 3 * 86_400_000 },
    "ok",
    /^the daemon keeps one connection for a client, says the cache \(for 3 d more\)/,
  ],
  [
    { from: "trial", connections: "one" },
    "ok",
    /^the daemon counts as keeping one connection for a client: a second one was tried, and not both were answered$/m,
  ],
  [
    { from: "trial", connections: "many" },
    "ok",
    /^the daemon keeps several connections for a client: two were tried$/m,
  ],
  [
    { from: "trial", connections: "unknown" },
    "skip",
    /^whether .* is not known: a second one was not tried \(its first answer took more than 150 ms, or probes are off\)$/m,
  ],
  [
    { from: "trial", connections: "unknown", trouble: "it closed" },
    "skip",
    / a second one was not tried \(it closed\)$/m,
  ],
];
for (const [known, state, says] of KNOWN) {
  test(`Connections check: reports what is known: ${JSON.stringify(known)}`, () => {
    const check = knownCheck(known);
    assertEquals([check.name, check.state], ["connections", state]);
    assertMatch(check.text, says);
    assertMatch(
      check.text,
      /\nwhether it answers during calls cannot be tried/,
    );
    assertEquals(check.data, { ...known, answersDuringCalls: null });
  });
}

test("Connections check: an exai daemon has a connection for each call", () => {
  const known: Known = { from: "dialect", connections: "many" };
  const words = "each call has a connection of its own: the dialect is exai";
  assertEquals(knownCheck(known).text, words);
  const exai = proxy({ dialect: "exai" });
  assertEquals(proxiesCheck([exai], "auto").text, words);
});

test("Connections check: reports what running proxies know", () => {
  const ignorant = proxiesCheck([proxy()], "auto");
  assertEquals(ignorant.state, "skip");
  assertMatch(
    ignorant.text,
    /not known; it counts as one\nwhether .* calls is/,
  );
  const standing = WAITING;
  const proxies = [
    proxy({ pid: 1, standing, connections: "many", answersDuringCalls: true }),
    proxy({ pid: 2 }),
    proxy({ pid: 3, connections: "one" }),
  ];
  const { state, text, data } = proxiesCheck(proxies, "auto");
  assertEquals(state, "ok");
  assertEquals(text.split("\n"), [
    "the daemon keeps one connection for a client, says proxy 3",
    "it answers during calls, says proxy 1",
  ]);
  assertEquals(data, {
    ...{ from: "proxy", pid: 3, connections: "one", answersDuringCalls: true },
  });
  const slow = proxy({ connections: "many", answersDuringCalls: false });
  const set = proxiesCheck([slow], "many");
  assertMatch(set.text, /it does not answer during calls, says proxy 7$/m);
  assertMatch(set.text, /\nhere, --connections many is set$/);
  assertEquals(set.data?.set, "many");
});

const FINE: Habits = {
  numbers: "as sent",
  texts: "as sent",
  restart: { kind: "reconnected", ms: 12.3 },
};
const HABITS: [
  changes: Partial<Habits>,
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
    const checks = [idsCheck(habits), restartCheck(habits)];
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
