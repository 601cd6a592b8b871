/**
 * Tests when the next dial is due: the backoff table, how a waiting request
 * changes it, and when it restarts.
 *
 * @module
 */

import { Backoff } from "../../../lib/link/backoff.ts";
import {
  type DisconnectCause,
  Link,
  type LinkUsage,
} from "../../../lib/link/link.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import {
  failDial,
  newLink,
  NO_DEMAND,
  URGENT_DEMAND,
} from "../../helpers/link_demand.ts";
import { test } from "../../helpers/no_permissions.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";

/** Returns the pauses after each of `count` failures in a row. */
function pausesAfterFailures(count: number, random: () => number): number[] {
  const backoff = new Backoff(DEFAULT_CONFIG, random);
  return Array.from(
    { length: count },
    () => backoff.scheduleAfter({}, 0).scheduledAt,
  );
}

test("Backoff: the pause doubles from 0.25 s to 30 s", () => {
  assertEquals(pausesAfterFailures(10, () => 0), [
    250,
    500,
    1000,
    2000,
    4000,
    8000,
    16000,
    30000,
    30000,
    30000,
  ]);
});

test("Backoff: jitter adds at most a tenth, and subtracts nothing", () => {
  const [least, most] = [() => 0, () => 0.999999].map((it) =>
    pausesAfterFailures(2000, it)
  );
  for (const [n, ms] of most!.entries()) {
    assert(least![n]! > 0 && ms >= least![n]! && ms <= least![n]! * 1.1);
    assert(ms <= 33_000);
  }
});

/** The ends of a dial, with the time from its beginning in milliseconds. */
const ENDS = {
  "refused": { ms: 0, loss: { reason: "refused" } },
  "reset": { ms: 0, loss: { reason: "reset", mayBeSubprotocol: false } },
  "opened and closed": { ms: 10, loss: { reason: "1013" } },
  "lost when it was ready": { ms: 20, loss: { reason: "gone" } },
} as const;

/** Returns the moments of `count` dials that all end in the same way. */
function simulateDials(
  count: number,
  usage: LinkUsage,
  end: keyof typeof ENDS,
  random = (): number => 0,
): number[] {
  const link = newLink(random);
  const moments: number[] = [];
  let now = 0;
  for (let i = 0; i < count; i++) {
    now = Math.max(now, link.deadline(usage));
    assertEquals(link.nextAction(now, usage), "dial");
    link.dial(now);
    moments.push(now);
    if (ENDS[end].ms > 0) link.onOpen(now);
    if (ENDS[end].ms > 10) link.becomeReady(now);
    now += ENDS[end].ms;
    link.onDisconnect(now, ENDS[end].loss, link.connectionId + 1);
  }
  return moments;
}

/** Returns the pauses between dials that take `ms` each. */
function pausesBetween(moments: number[], ms = 0): number[] {
  return moments.slice(1).map((moment, i) => moment - moments[i]! - ms);
}

const TABLE = [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000];

for (const end of Object.keys(ENDS) as (keyof typeof ENDS)[]) {
  const { ms } = ENDS[end];
  test(`Backoff: without a waiting request dials follow the table: ${end}`, () => {
    assertEquals(pausesBetween(simulateDials(10, NO_DEMAND, end), ms), TABLE);
  });

  test(`Backoff: with a waiting request the pause is at most 0.9 s: ${end}`, () => {
    const found = pausesBetween(simulateDials(40, URGENT_DEMAND, end), ms);
    assertEquals(found.slice(0, 2), [250, 500]);
    assertEquals([...new Set(found.slice(2))], [900]);
    const late = pausesBetween(
      simulateDials(40, URGENT_DEMAND, end, () => 0.999),
      ms,
    );
    assert(Math.max(...late) <= 990, `${Math.max(...late)}`);
    assert(Math.min(...late.slice(2)) >= 989, `${Math.min(...late.slice(2))}`);
  });
}

test("Backoff: a base or a cap below 0.9 s also applies with a waiting request", () => {
  const limits = { ...DEFAULT_CONFIG, backoffBase: 50, backoffCap: 400 };
  const link = newLink(() => 0, limits);
  const moments: number[] = [];
  for (let now = 0, i = 0; i < 8; i++) {
    now = failDial(link, now, URGENT_DEMAND);
    moments.push(now);
  }
  assertEquals(pausesBetween(moments), [50, 100, 200, 400, 400, 400, 400]);
});

test("Backoff: a request that comes during a long pause dials at once", () => {
  const link = newLink();
  let now = 0;
  for (let i = 0; i < 9; i++) now = failDial(link, now, NO_DEMAND);
  assertEquals(link.deadline(NO_DEMAND), now + 30_000);
  assertEquals(link.nextAction(now + 900, NO_DEMAND), "nothing");
  assertEquals(link.nextAction(now + 900, URGENT_DEMAND), "dial");
});

test("Backoff: dials on demand do not advance the table", () => {
  // Until 3750 ms, no request waits. Then one waits, and at the end none.
  const link = newLink();
  let now = 0;
  for (let i = 0; i < 5; i++) now = failDial(link, now, NO_DEMAND);
  assertEquals([now, link.deadline(NO_DEMAND)], [3_750, 7_750]);
  for (let i = 0; i < 3; i++) now = failDial(link, now, URGENT_DEMAND);
  assertEquals([now, link.deadline(NO_DEMAND)], [6_450, 7_750]);
  now = failDial(link, now, URGENT_DEMAND);
  assertEquals(now, 7_350);
  assertEquals(
    link.deadline(NO_DEMAND),
    8_250,
    "moved to the time of the next dial on demand",
  );
  failDial(link, now, NO_DEMAND);
  assertEquals(
    link.deadline(NO_DEMAND),
    8_250 + 8_000,
    "now the backoff table continues",
  );
});

test("Backoff: a scheduled dial that is due during a dial on demand moves behind it", () => {
  const link = newLink();
  let now = 0;
  for (let i = 0; i < 4; i++) now = failDial(link, now, NO_DEMAND);
  assertEquals([now, link.deadline(NO_DEMAND)], [1_750, 3_750]);
  link.dial(2_650);
  link.onDisconnect(
    9_000,
    { reason: "reset by the daemon" },
    link.connectionId + 1,
  );
  assertEquals([link.deadline(NO_DEMAND), link.deadline(URGENT_DEMAND)], [
    9_900,
    9_900,
  ]);
});

/** Returns a link that is ready after five failures, and the current time. */
function readyAfterFailures(usage: LinkUsage): { link: Link; now: number } {
  const link = newLink();
  let now = 0;
  for (let i = 0; i < 5; i++) now = failDial(link, now, usage);
  now = Math.max(now, link.deadline(usage));
  link.dial(now);
  link.onOpen(now);
  link.becomeReady(now);
  return { link, now };
}

const RESTARTS: [what: string, upMs: number, isUsed: boolean, next: number][] =
  [
    ["ready for less than 5 s", 4_999, false, 8_000],
    ["ready for 5 s", 5_000, false, 250],
    ["a request was answered", 10, true, 250],
  ];

for (const [what, upMs, isUsed, next] of RESTARTS) {
  test(`Backoff: the table ${next === 250 ? "starts anew" : "goes on"}: ${what}`, () => {
    const { link, now } = readyAfterFailures(NO_DEMAND);
    if (isUsed) link.onResponse();
    link.onDisconnect(now + upMs, { reason: "gone" }, link.connectionId + 1);
    assertEquals(link.deadline(NO_DEMAND) - now - upMs, next);
  });
}

test("Backoff: a connection on demand that is lost at once does not change the table", () => {
  const { link, now } = readyAfterFailures(URGENT_DEMAND);
  const scheduledAt = 2_550 + 2_000;
  assertEquals(now, 3_450);
  link.onDisconnect(now, { reason: "gone" }, link.connectionId + 1);
  assertEquals(link.deadline(URGENT_DEMAND), now + 900);
  assertEquals(link.deadline(NO_DEMAND), Math.max(scheduledAt, now + 900));
});

test("Backoff: after a refusal the next dial comes at the cap, also with a waiting request", () => {
  for (const [random, ms] of [[0, 30_000], [1, 33_000]] as const) {
    const link = newLink(() => random);
    link.dial(0);
    link.onDisconnect(10, { reason: "HTTP 401", isRefused: true }, 2);
    assertEquals(link.refusal, "HTTP 401");
    for (const usage of [NO_DEMAND, URGENT_DEMAND]) {
      assertEquals(link.deadline(usage), 10 + ms);
    }
  }
});

test("Backoff: a request at least 5 s after a refused dial makes one dial", () => {
  const refused: DisconnectCause = { reason: "HTTP 401", isRefused: true };
  const link = newLink();
  link.dial(0);
  link.onDisconnect(10, refused, 2);
  assertEquals(link.tryRedialAfterRefusal(4_999), false);
  assertEquals(link.deadline(URGENT_DEMAND), 30_010);
  assertEquals(link.tryRedialAfterRefusal(5_000), true);
  assertEquals(link.nextAction(5_000, NO_DEMAND), "dial");
  link.dial(5_000);
  assertEquals(
    link.tryRedialAfterRefusal(5_001),
    true,
    "its outcome is awaited",
  );
  link.onDisconnect(5_010, refused, 3);
  assertEquals(link.tryRedialAfterRefusal(9_999), false);
  assertEquals(link.deadline(NO_DEMAND), 35_010);
  link.dial(35_010);
  link.onDisconnect(35_010, { reason: "gone" }, 4);
  assertEquals(link.refusal, undefined, "another failure is not a refusal");
  assertEquals(link.deadline(URGENT_DEMAND), 35_260);
});
