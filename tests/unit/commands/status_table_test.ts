/**
 * Tests the table of `alwaysup status` in terminals of several widths.
 *
 * @module
 */

import { stripAnsiCode } from "@std/fmt/colors.js";
import type { View } from "../../../lib/commands/command_output.ts";
import { formatTable } from "../../../lib/commands/status_table.ts";
import type { ProxyStatus } from "../../../lib/proxy/status_format.ts";
import { displayWidth } from "../../../lib/text/display_width.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  ENDLESS,
  EVIL,
  NOW,
  proxyStatus,
  READY,
  WAITING,
} from "../../helpers/running_proxies.ts";

const LONG_URL = "wss://daemon.internal.example.org:8079/a/path/to/the/socket";

const PROXIES: readonly ProxyStatus[] = [
  proxyStatus({ client: "editor 1", daemon: "everything 2.0.0" }),
  proxyStatus({
    ...{ pid: 4_194_304, client: "\u7f16\u8f91\u5668 \u{1f680} 1.2.3" },
    ...{ url: LONG_URL, connectionState: WAITING, circuit: "open" },
    ...{ lastError: "nothing listens there", lastErrorAt: NOW - 12_000 },
    ...{ reconnects: 12, pendingRequests: 3 },
  }),
];

function linesOf(
  proxies: readonly ProxyStatus[],
  changes: Partial<View>,
): string[] {
  return formatTable(proxies, { ...ENDLESS, ...changes }).split("\n");
}

const FULL = [
  "PID      CLIENT           DAEMON            URL                                                          STATE                            STARTED  RECONNECTS  PENDING",
  "7        editor 1         everything 2.0.0  ws://127.0.0.1:8079/                                         ready 2 h                        1 h ago  0           0",
  "4194304  \u7f16\u8f91\u5668 \u{1f680} 1.2.3  -                 wss://daemon.internal.example.org:8079/a/path/to/the/socket  waiting, attempt 4, next in 8 s  1 h ago  12          3",
  "         circuit breaker open; last error 12 s ago: nothing listens there",
];

const WIDTHS: [columns: number, lines: string[]][] = [
  [60, [
    "PID      CLIENT        URL                STATE",
    "7        editor 1      ws://127\u2026.1:8079/  ready 2 h",
    "4194304  \u7f16\u8f91\u5668 \u{1f680} 1\u2026  wss://da\u2026e/socket  waiting, attempt \u2026",
    "         circuit breaker open; last error 12 s ago: nothing\u2026",
  ]],
  [80, [
    "PID      CLIENT           DAEMON           URL                STATE",
    "7        editor 1         everything 2.0\u2026  ws://127\u2026.1:8079/  ready 2 h",
    "4194304  \u7f16\u8f91\u5668 \u{1f680} 1.2.3  -                wss://da\u2026e/socket  waiting, attempt \u2026",
    "         circuit breaker open; last error 12 s ago: nothing listens there",
  ]],
  [120, [
    "PID      CLIENT           DAEMON            URL                     STATE                   STARTED  RECONNECTS  PENDING",
    "7        editor 1         everything 2.0.0  ws://127.0.0.1:8079/    ready 2 h               1 h ago  0           0",
    "4194304  \u7f16\u8f91\u5668 \u{1f680} 1.2.3  -                 wss://daemo\u2026the/socket  waiting, attempt 4, n\u2026  1 h ago  12          3",
    "         circuit breaker open; last error 12 s ago: nothing listens there",
  ]],
  [200, FULL],
  [Infinity, FULL],
];

for (const [columns, lines] of WIDTHS) {
  test(`Status table: its lines in a width of ${columns}`, () => {
    const found = linesOf(PROXIES, { columns });
    for (const line of found) assert(displayWidth(line) <= columns, line);
    assertEquals(found, lines);
  });
}

test("Status table: no line is wider than the terminal, whatever its width", () => {
  const states: ProxyStatus["connectionState"][] = [
    ...[READY, WAITING, { phase: "displaced" as const }],
    { phase: "open" },
  ];
  const proxies = states.map((connectionState) =>
    proxyStatus({
      ...{ connectionState, client: "x".repeat(60), daemon: "y".repeat(60) },
      ...{ circuit: "half-open", lastError: "\u5929".repeat(99) },
    })
  );
  for (let columns = 1; columns < 250; columns++) {
    for (const line of linesOf(proxies, { columns })) {
      assert(displayWidth(line) <= columns, `${columns}: ${line}`);
    }
  }
  assert(linesOf(proxies, {}).every((line) => !line.includes("\u2026")));
});

test("Status table: it has the last error only while the daemon is not connected", () => {
  const error = { lastError: "it was closed", lastErrorAt: NOW - 60_000 };
  const noteOf = (changes: Partial<ProxyStatus>): string | undefined =>
    linesOf([proxyStatus({ ...error, ...changes })], {})[2];
  assertEquals(noteOf({ connectionState: READY }), undefined);
  assertEquals(noteOf({ connectionState: { phase: "open" } }), undefined);
  assertEquals(
    noteOf({ connectionState: WAITING }),
    "     last error 1 min ago: it was closed",
  );
  assertEquals(
    noteOf({ connectionState: WAITING, lastErrorAt: undefined }),
    "     last error: it was closed",
  );
  assertEquals(
    noteOf({ connectionState: READY, circuit: "half-open" }),
    "     circuit breaker half-open",
  );
});

test("Status table: control characters of other programs become spaces", () => {
  const [, line, note, ...others] = linesOf([proxyStatus({
    ...{ client: EVIL, daemon: EVIL, url: EVIL, connectionState: WAITING },
    lastError: EVIL,
  })], {});
  assertEquals(others, []);
  assertMatch(`${line}${note}`, /^[\x20-\x7e]*$/);
});

test("Status table: the lines that do not fit the height are counted", () => {
  const found = linesOf([...PROXIES, ...PROXIES], { rows: 5 });
  assertEquals([found.length, found[4]], [5, "\u2026 2 more proxies"]);
});

test("Status table: colors do not change its layout", () => {
  const colored = linesOf(PROXIES, { columns: 80, hasColors: true });
  assert(colored[1]!.includes("\x1b[32mready"), colored[1]);
  assert(colored[2]!.includes("\x1b[33mwaiting"), colored[2]);
  assertEquals(
    colored.map((line) => stripAnsiCode(line).trimEnd()),
    linesOf(PROXIES, { columns: 80 }),
  );
});

test("Status table: without a proxy it is one sentence", () => {
  assertEquals(linesOf([], { columns: 60 }), ["No alwaysup is running."]);
});
