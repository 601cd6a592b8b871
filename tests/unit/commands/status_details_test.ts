/**
 * Tests what `alwaysup status --verbose` says about a proxy.
 *
 * @module
 */

import { formatDetails } from "../../../lib/commands/status_details.ts";
import {
  formatMoment,
  type ProxyStatus,
} from "../../../lib/proxy/status_format.ts";
import {
  EMPTY_HISTORY,
  type History,
  type Outage,
} from "../../../lib/telemetry/history.ts";
import { displayWidth } from "../../../lib/text/display_width.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/time_limit.ts";
import {
  ENDLESS,
  EVIL,
  NOW,
  proxyStatus,
  WAITING,
} from "../../helpers/running_proxies.ts";

const OUTAGES: Outage[] = [1, 2, 3, 4].map((count) => ({
  ...{ lostAt: NOW - 100_000 + count * 10_000, cause: "closed" },
  ...{ reason: `reason ${count}`, attempts: count, repeatedCount: 0 },
  ...{ failedCount: 0, failed: [], ...(count < 4 && { downMs: 1_234 }) },
}));

const PROXY: ProxyStatus = proxyStatus({
  ...{ daemon: "everything 2.0.0", connectionState: WAITING },
  ...{ circuit: "open", reconnects: 3, pendingRequests: 2, queuedMessages: 1 },
  ...{ lastError: "nothing listens there", lastErrorAt: NOW - 12_000 },
  ...{ connections: "one", metricsUrl: "http://127.0.0.1:9/metrics" },
  history: {
    ...{ outages: OUTAGES, outageCount: 4, downMs: 3_702 },
    ...{ downSince: NOW - 60_000, dialAttempts: 10 },
    reconnects: { timeout: 1, closed: 2 },
    ...{ repeatedCount: 5, unknownOutcomes: 1, circuitOpenings: 1 },
    failedRequests: { connection_lost: 1, unavailable: 13 },
  },
});

/** Returns the times in the text as they are in local time. */
const at = (agoMs: number): string => formatMoment(NOW - agoMs);

test("Status details: they name everything that is known of a proxy", () => {
  assertEquals(formatDetails([PROXY], ENDLESS).split("\n"), [
    "pid                7",
    "version            1",
    "runtime            deno 2",
    "client             editor 1",
    "daemon             everything 2.0.0",
    "url                ws://127.0.0.1:8079/",
    "dialect            mcp",
    "state              waiting, attempt 4, next in 8 s",
    `started            ${formatMoment(1_000)} (1 h ago)`,
    "pending requests   2",
    "queued messages    1",
    "circuit breaker    open, opened 1 time",
    "outages            4",
    "downtime           1 min 4 s",
    "attempts           10",
    "reconnects         3 (closed 2, timeout 1)",
    "requests repeated  5",
    "requests failed    14 (unavailable 13, connection_lost 1)",
    "outcome unknown    1",
    "connections kept   one for each client",
    `last error         ${at(12_000)} (12 s ago): nothing listens there`,
    "metrics            http://127.0.0.1:9/metrics",
    `newest outages     ${at(80_000)} down 1.2 s: reason 2`,
    `                   ${at(70_000)} down 1.2 s: reason 3`,
    `                   ${at(60_000)} still down after 1 min: reason 4`,
  ]);
});

test("Status details: they say what is not known, and what there is none of", () => {
  const text = formatDetails(
    [proxyStatus({ client: undefined })],
    ENDLESS,
  );
  assertMatch(text, /^client +not known\ndaemon +not known$/m);
  assertMatch(text, /^circuit breaker +closed$/m);
  assertMatch(text, /^reconnects +0$/m);
  assertMatch(text, /^requests failed +0$/m);
  assertMatch(text, /^connections kept +not known\nlast error +none$/m);
  assert(!/metrics|newest/.test(text), text);
});

test("Status details: the last error stays after the daemon is back", () => {
  const text = formatDetails(
    [proxyStatus({ lastError: "it was closed", lastErrorAt: NOW - 120_000 })],
    ENDLESS,
  );
  assert(
    text.includes(`last error         ${at(120_000)} (2 min ago): it was`),
  );
});

test("Status details: they are wrapped at the width of the terminal", () => {
  const url = "ws://a-long-host-name.example.org:8079/some/path/of/a/daemon";
  for (const columns of [60, 80, 120, 200]) {
    const client = "\u5929\u5730".repeat(20);
    const proxy = { ...PROXY, url, client, lastError: "why ".repeat(50) };
    const lines = formatDetails([proxy], { ...ENDLESS, columns }).split("\n");
    for (const line of lines) assert(displayWidth(line) <= columns, line);
    assertEquals(lines.join("").replaceAll(" ", "").includes(url), true);
  }
});

test("Status details: an empty line is between two proxies; the height is kept", () => {
  const text = formatDetails([PROXY, PROXY], ENDLESS);
  assertEquals(text.split("\n\n").length, 2);
  const lines = formatDetails([PROXY, PROXY], { ...ENDLESS, rows: 24 })
    .split("\n");
  assertEquals([lines.length, lines[23]], [24, "\u2026 1 more proxy"]);
  const one = formatDetails([PROXY], { ...ENDLESS, rows: 24 }).split("\n");
  assertEquals([one.length, one[23]], [24, "\u2026 2 more lines"]);
});

test("Status details: control characters of other programs become spaces", () => {
  const outages = [{ ...OUTAGES[0]!, reason: EVIL }];
  const text = formatDetails([proxyStatus({
    ...{ client: EVIL, daemon: EVIL, url: EVIL, lastError: EVIL },
    ...{ version: EVIL, runtime: EVIL, dialect: EVIL, metricsUrl: EVIL },
    history: {
      ...{ ...EMPTY_HISTORY, outages, outageCount: 1 },
      failedRequests: { [EVIL]: 1 } as History["failedRequests"],
    },
  })], ENDLESS);
  assertMatch(text, /^[\x20-\x7e\n]*$/);
  assertEquals(text.split("\n").every((line) => /^[a-z]/.test(line)), true);
});
