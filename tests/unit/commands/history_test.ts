/**
 * Tests what `alwaysup history` says about outages.
 *
 * @module
 */

import {
  formatHistory,
  formatHistoryAsJson,
  history,
} from "../../../lib/commands/history.ts";
import {
  formatMoment,
  type ProxyStatus,
} from "../../../lib/proxy/status_format.ts";
import type { FailedRequest } from "../../../lib/events.ts";
import type { Host } from "../../../lib/runtime/host.ts";
import {
  EMPTY_HISTORY,
  type History,
  type Outage,
} from "../../../lib/telemetry/history.ts";
import { displayWidth } from "../../../lib/text/display_width.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { runCommand } from "../../helpers/command_run.ts";
import { test } from "../../helpers/time_limit.ts";
import {
  ENDLESS,
  EVIL,
  NOW,
  proxyStatus,
} from "../../helpers/running_proxies.ts";

const FAILED: readonly FailedRequest[] = [
  ...Array.from({ length: 9 }, (): FailedRequest => ({
    ...{ method: "tools/call", name: "write", code: -31001 },
    reason: "unavailable",
  })),
  { method: "tools/list", code: -31002, reason: "connection_lost" },
];

const ENDED: Outage = {
  ...{ lostAt: NOW - 300_000, cause: "aborted", reason: "it was cut" },
  ...{ downMs: 61_400, attempts: 5, repeatedCount: 2 },
  ...{ failedCount: 13, failed: FAILED },
};

const CURRENT: Outage = {
  ...{ lostAt: NOW - 12_000, cause: "closed", reason: "it was closed" },
  ...{ attempts: 1, repeatedCount: 0, failedCount: 0, failed: [] },
};

const at = (moment: number): string => formatMoment(moment);

function withHistory(
  changes: Partial<History>,
  proxy: Partial<ProxyStatus> = {},
): ProxyStatus {
  const history = { ...EMPTY_HISTORY, ...changes };
  return proxyStatus({ daemon: "everything 2.0.0", history, ...proxy });
}

const BOTH = withHistory({
  ...{ outages: [ENDED, CURRENT], outageCount: 2, downSince: NOW - 12_000 },
});

test("History: an outage has its time, its reason, and what it did to requests", () => {
  assertEquals(formatHistory([BOTH], ENDLESS).split("\n"), [
    "editor 1, everything 2.0.0 at ws://127.0.0.1:8079/, pid 7",
    `  ${at(ENDED.lostAt)}  down 1 min 1 s: it was cut`,
    "                       5 attempts; requests: 2 repeated, 13 failed:",
    "                       tools/call write: -31001 unavailable (9 times)",
    "                       tools/list: -31002 connection_lost",
    "                       and 3 more",
    `  ${at(CURRENT.lostAt)}  still down after 12 s: it was closed`,
    "                       1 attempt; requests: 0 repeated, 0 failed",
  ]);
});

test("History: it has a group for each proxy, and says how many outages are not kept", () => {
  const calm = withHistory({}, {
    pid: 8,
    client: undefined,
    daemon: undefined,
  });
  const many = withHistory({ outages: [CURRENT], outageCount: 22 }, { pid: 9 });
  assertEquals(
    formatHistory([BOTH, calm, many], ENDLESS).split("\n").slice(8),
    [
      "",
      "no client yet, ws://127.0.0.1:8079/, pid 8",
      `  no outage since ${at(calm.startedAt)}`,
      "",
      "editor 1, everything 2.0.0 at ws://127.0.0.1:8079/, pid 9",
      "  21 older outages not kept",
      // The status is inconsistent for a moment at most.
      `  ${at(CURRENT.lostAt)}  still down: it was closed`,
      "                       1 attempt; requests: 0 repeated, 0 failed",
    ],
  );
});

test("History: without outages it is one sentence", () => {
  const calm = withHistory({});
  assertEquals(
    formatHistory([calm], ENDLESS),
    `There was no outage: the proxy has run since ${at(1_000)}.`,
  );
  assertEquals(
    formatHistory([calm, { ...calm, startedAt: 9_000 }], ENDLESS),
    `There was no outage: 2 proxies have run, the oldest since ${at(1_000)}.`,
  );
  assertEquals(formatHistory([], ENDLESS), "No alwaysup is running.");
  assertEquals(
    formatHistory([], { ...ENDLESS, problemCount: 1 }),
    "No status file could be read.",
  );
});

test("History: no line is wider than the terminal", () => {
  const long = withHistory({
    outages: [{ ...ENDED, reason: "\u5929\u5730".repeat(60) }],
    outageCount: 1,
  }, { url: `ws://h/${"x".repeat(200)}` });
  for (const columns of [60, 80, 120, 200]) {
    for (const proxies of [[long, BOTH], [withHistory({})]]) {
      const text = formatHistory(proxies, { ...ENDLESS, columns });
      for (const line of text.split("\n")) {
        assert(displayWidth(line) <= columns, line);
      }
    }
  }
});

test("History: control characters of other programs become spaces", () => {
  const request = {
    ...{ method: EVIL, name: EVIL, code: 1 },
    reason: EVIL as FailedRequest["reason"],
  };
  const text = formatHistory([withHistory({
    outages: [{ ...ENDED, reason: EVIL, failed: [request] }],
    outageCount: 1,
  }, { client: EVIL, daemon: EVIL, url: EVIL })], ENDLESS);
  assertMatch(text, /^[\x20-\x7e\n]*$/);
  assertEquals(text.split("\n").length, 5);
});

test("History: as JSON it is an array of the proxies with their outages", () => {
  const [it, ...others] = JSON.parse(formatHistoryAsJson([BOTH]));
  assertEquals(others, []);
  assertEquals(Object.keys(it), [
    ...["pid", "client", "daemon", "url", "dialect", "startedAt", "history"],
  ]);
  assertEquals(it.history, BOTH.history);
  assertEquals(formatHistoryAsJson([]), "[]");
});

test("History: an unknown flag gives exit code 2 and a suggestion, but is not repeated", async () => {
  const unknown = await runCommand(history, ["--jsn"], {} as Host);
  assertEquals([unknown.code, unknown.stdout], [2, ""]);
  assertMatch(unknown.stderr, /^alwaysup history: .*did you mean --json\?$/);
  const secret = await runCommand(history, ["s3cret"], {} as Host);
  assert(!secret.stderr.includes("s3cret"), secret.stderr);
});
