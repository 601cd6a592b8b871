/**
 * Tests what `doctor` reports about running proxies.
 *
 * @module
 */

import {
  proxiesOfDaemon,
  runningCheck,
  unreadableProxiesCheck,
} from "../../../../lib/commands/doctor/running_checks.ts";
import type { ProxyStatus } from "../../../../lib/proxy/status_format.ts";
import { assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import {
  NOW,
  proxyStatus,
  READY,
  TARGET,
  WAITING,
} from "../../../helpers/running_proxies.ts";

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
  test(`Running proxies: a proxy at ${url} ${isThere ? "uses" : "does not use"} the daemon of the configuration`, () => {
    assertEquals(
      proxiesOfDaemon([proxyStatus({ url })], TARGET).length,
      isThere ? 1 : 0,
    );
  });
}

const STATES: [
  changes: Partial<ProxyStatus>,
  state: string,
  says: RegExp,
  advice?: RegExp,
][] = [
  [{}, "ok", /^proxy 7 \(editor 1\): ready 2 h$/m],
  [{ client: undefined }, "ok", /^proxy 7: ready 2 h$/m],
  [
    { connectionState: { phase: "open" } },
    "ok",
    /open, waiting for the client's first message$/m,
  ],
  [
    { lastError: "a\nok    b" },
    "ok",
    /^its last error: a ok {4}b$/m,
  ],
  [
    { connectionState: { phase: "checking", since: 0 } },
    "warn",
    /silent, being checked$/m,
    /^run doctor again/,
  ],
  [
    { connectionState: { phase: "displaced" } },
    "warn",
    /another client has the connection/,
    /^stop the other client, or give each client a daemon of its own$/,
  ],
  [
    { connectionState: { phase: "dialing", attempt: 1 } },
    "warn",
    /dialing, attempt 1$/m,
    /^run doctor again/,
  ],
  [
    { connectionState: { phase: "handshaking", attempt: 3 } },
    "fail",
    /handshaking, attempt 3$/m,
    /^look at the daemon's own log$/,
  ],
  [
    {
      connectionState: WAITING,
      lastError: "x",
      lastErrorCause: "nobody there",
    },
    "fail",
    /waiting, attempt 4, next in 8 s\nits last error: x$/m,
    /^start the daemon; .*; --connect checks more/,
  ],
  [
    { connectionState: WAITING, lastError: "x", lastErrorCause: "refused" },
    "fail",
    /last error: x$/m,
    /^give the proxy the daemon's own token/,
  ],
  [
    {
      connectionState: WAITING,
      lastError: "x",
      lastErrorCause: "token refused",
    },
    "fail",
    /last error: x$/m,
    /^give the proxy the daemon's own token/,
  ],
  [
    {
      connectionState: WAITING,
      lastError: "x",
      lastErrorCause: "policy violation",
    },
    "fail",
    /last error: x$/m,
    /^give the proxy the daemon's own token/,
  ],
  [
    {
      connectionState: WAITING,
      lastError: "x",
      lastErrorCause: "other dialect",
    },
    "fail",
    /last error: x$/m,
    /^look at the daemon's own log; --connect/,
  ],
  [
    // The text of the error does not change the advice.
    {
      connectionState: WAITING,
      lastError: "it refuses, nothing listens, code 1008",
    },
    "fail",
    /nothing listens/,
    /^look at the daemon's own log; --connect/,
  ],
  [
    { connectionState: WAITING },
    "fail",
    /waiting/,
    /^look at the daemon's own log; --connect/,
  ],
  [
    { url: "ws://localhost:8079/", connectionState: READY },
    "ok",
    /^proxy 7 \(editor 1\) at ws:\/\/localhost:8079\/: ready/,
  ],
  [
    { dialect: "exai" },
    "fail",
    /^proxy 7 \(editor 1\), dialect exai: ready/,
    /^use --dialect exai/,
  ],
];

for (const [changes, state, says, advice] of STATES) {
  test(`Running check: reports a proxy: ${JSON.stringify(changes)}`, () => {
    const proxies = [proxyStatus(changes)];
    const check = runningCheck(proxies, TARGET, NOW, "read");
    assertEquals([check.name, check.state], ["running", state]);
    assertMatch(check.text, says);
    assertMatch(
      check.text,
      /\ndoctor opened no connection to the daemon: .*--connect/,
    );
    if (advice === undefined) assertEquals(check.advice, undefined);
    else assertMatch(check.advice!, advice);
    // Only `doctor` itself uses the cause, so its output leaves the cause out.
    const { lastErrorCause: _, ...shown } = proxies[0]!;
    assertEquals(check.data, { proxies: [shown] });
  });
}

test("Running check: names all proxies, and has the worst state among the proxies with the configured dialect", () => {
  const proxies = [
    proxyStatus(),
    proxyStatus({
      pid: 8,
      client: undefined,
      connectionState: { phase: "displaced" },
    }),
    proxyStatus({ pid: 9, dialect: "exai", connectionState: WAITING }),
  ];
  const { state, text, advice } = runningCheck(proxies, TARGET, NOW, "read");
  assertEquals(state, "warn");
  assertMatch(text, /^proxy 7 .*\nproxy 8: .*\nproxy 9 .*, dialect exai: wait/);
  assertMatch(advice!, /^stop the other client/);
  const waiting = [
    proxyStatus(),
    proxyStatus({ pid: 8, connectionState: WAITING }),
  ];
  const found = runningCheck(waiting, TARGET, NOW, "read");
  // The other proxy has a session, which the connection of `--connect` could
  // displace. So the advice does not name `--connect`.
  const words = "look at the daemon's own log";
  assertEquals([found.state, found.advice], ["fail", words]);
});

test("Running check: warns with --connect that doctor opens another connection besides that of a proxy", () => {
  const { state, text } = runningCheck([proxyStatus()], TARGET, NOW, "connect");
  assertEquals(state, "warn");
  assertMatch(text, /^proxy 7 .*\ndoctor also connects \(--connect\)/);
});

test("Running check: fails with the reason if the status files cannot be read", () => {
  const { state, text } = unreadableProxiesCheck(["/x cannot be read (a\nb)"]);
  assertEquals(state, "fail");
  assertMatch(
    text,
    /so doctor opened no connection to the daemon\n\/x .*\(a b\)$/,
  );
});
