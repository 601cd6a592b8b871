/**
 * Tests how long a dial may hang while a request waits, and when a dial does
 * not offer the subprotocol.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { HandshakeHistory } from "../../../lib/link/backoff.ts";
import { type DisconnectCause, Link } from "../../../lib/link/link.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  newLink,
  NO_DEMAND,
  URGENT_DEMAND,
} from "../../helpers/link_demand.ts";

const PHASES = ["dialing", "handshaking"] as const;

/**
 * Returns a history with one handshake for each argument. Both phases of the
 * handshake took this time, in milliseconds.
 */
function historyOf(...ms: number[]): HandshakeHistory {
  const handshakes = new HandshakeHistory(15_000);
  for (const took of ms) {
    for (const step of PHASES) handshakes.onPhaseCompleted(step, took);
  }
  return handshakes;
}

test("Handshake limit: the whole --handshake-timeout for a daemon that has never answered", () => {
  const handshakes = new HandshakeHistory(15_000);
  for (const step of PHASES) {
    assertEquals(handshakes.urgentTimeoutMs(step, 0), 15_000);
  }
  handshakes.onPhaseCompleted("dialing", 5);
  for (const step of PHASES) {
    assertEquals(handshakes.urgentTimeoutMs(step, 0), 15_000);
  }
});

const LIMITS: [what: string, took: number[], hungMs: number, ms: number][] = [
  ["2 s for one that answers fast", [5], 0, 2_000],
  ["2 s until dials have hung for 4 s", [5], 3_999, 2_000],
  ["3 s once dials have hung for 4 s", [5], 4_000, 3_000],
  [
    "half of the time that dials have hung, minus the next pause",
    [5],
    10_000,
    4_600,
  ],
  ["the full limit at the end", [5], 60_000, 15_000],
  ["twice the time of a slow daemon", [3_000], 0, 6_000],
  ["no more than the full limit", [9_000], 0, 15_000],
  ["twice the time of the last handshake", [5, 4_000], 0, 8_000],
  [
    "2 s for a daemon that was slow once, and is fast again",
    [9_000, 5],
    0,
    2_000,
  ],
];
for (const [what, took, hungMs, ms] of LIMITS) {
  test(`Handshake limit: ${what}`, () => {
    for (const step of PHASES) {
      assertEquals(
        historyOf(...took).urgentTimeoutMs(step, hungMs),
        ms,
      );
    }
  });
}

test("Handshake limit: never above a shorter --handshake-timeout", () => {
  const handshakes = new HandshakeHistory(500);
  for (const step of PHASES) {
    handshakes.onPhaseCompleted(step, 400);
    assertEquals(handshakes.urgentTimeoutMs(step, 0), 500);
  }
});

/** Returns a link whose daemon has answered, and whose connection was lost. */
function lostLink(random = 0): Link {
  const link = newLink(() => random);
  link.dial(0);
  link.onOpen(1);
  link.onHandshakeSent(1);
  link.becomeReady(2);
  link.onDisconnect(10_000, { reason: "gone" }, 2);
  return link;
}

for (const step of PHASES) {
  test(`Handshake limit: after a silence the next dial comes within 3.5 s, or half of the silence: ${step}`, () => {
    for (const random of [0, 0.999]) {
      const link = lostLink(random);
      let now = 10_000;
      const begun: number[] = [];
      while (now < 100_000) {
        now = link.deadline(URGENT_DEMAND);
        assertEquals(link.nextAction(now, URGENT_DEMAND), "dial");
        begun.push(now);
        link.dial(now);
        if (step === "handshaking") {
          link.onOpen(now);
          link.onHandshakeSent(now);
        }
        now = link.deadline(URGENT_DEMAND);
        assertEquals(link.nextAction(now, URGENT_DEMAND), "disconnect");
        link.onDisconnect(
          now,
          { reason: "silence", isHung: true },
          link.connectionId + 1,
        );
      }
      // At worst, the daemon becomes reachable just after a dial has begun.
      const [first] = begun;
      for (const [i, at] of begun.slice(0, -1).entries()) {
        const [lag, hungMs] = [begun[i + 1]! - at, at - first!];
        if (lag > 15_000) continue; // --handshake-timeout limits it.
        assert(lag <= Math.max(3_500, hungMs / 2), `${lag} of ${hungMs}`);
      }
      assert(begun.length >= 9, `${begun}`);
    }
  });
}

test("Handshake limit: the full limit without a waiting request, the short one as soon as a request waits", () => {
  const link = lostLink();
  link.dial(20_000);
  assertEquals(link.deadline(NO_DEMAND), 35_000);
  assertEquals(link.deadline(URGENT_DEMAND), 22_000);
  assertEquals(link.nextAction(27_000, NO_DEMAND), "nothing");
  assertEquals(link.nextAction(27_000, URGENT_DEMAND), "disconnect");
});

test("Handshake limit: a dial that fails in another way ends the silence", () => {
  const link = lostLink();
  const dial = (now: number, loss: DisconnectCause): void => {
    link.dial(now);
    link.onDisconnect(now, loss, link.connectionId + 1);
  };
  const silent = { reason: "silence", isHung: true };
  for (const at of [20_000, 30_000, 40_000]) dial(at, silent);
  link.dial(41_000);
  assertEquals(link.deadline(URGENT_DEMAND) - 41_000, 10_100);
  link.onDisconnect(42_000, { reason: "refused" }, link.connectionId + 1);
  link.dial(43_000);
  assertEquals(link.deadline(URGENT_DEMAND) - 43_000, 2_000);
});

test("Handshake limit: a dial without a waiting request does not count as silence", () => {
  const silent = { reason: "silence", isHung: true };
  for (const endedAt of [35_000, 34_900]) {
    const link = lostLink();
    link.dial(20_000);
    link.onDisconnect(endedAt, silent, 3);
    link.dial(endedAt + 250);
    assertEquals(link.deadline(URGENT_DEMAND), endedAt + 2_250);
    link.onDisconnect(endedAt + 2_250, silent, 4);
    link.dial(endedAt + 4_500);
    assertEquals(link.deadline(URGENT_DEMAND), endedAt + 7_500, "now it grows");
  }
});

test("Handshake limit: time asleep does not count as silence", () => {
  const link = lostLink();
  link.dial(20_000);
  link.onDisconnect(
    22_000,
    { reason: "silence", isHung: true },
    link.connectionId + 1,
  );
  link.dial(22_500);
  link.onResume(60_000, 37_000, 37_000);
  link.onDisconnect(
    60_000,
    { reason: "silence", isHung: true },
    link.connectionId + 1,
  );
  link.dial(60_250);
  assertEquals(link.deadline(URGENT_DEMAND) - 60_250, 2_000);
});

/** A failed handshake: the daemon may have rejected the subprotocol. */
const FAILED: DisconnectCause = { reason: "HTTP 400", mayBeSubprotocol: true };

test("Subprotocol: a failed handshake is repeated one time, immediately and without the subprotocol", () => {
  const link = newLink();
  const found: [at: number, isOffered: boolean][] = [];
  for (let now = 0, i = 0; i < 6; i++) {
    now = Math.max(now, link.deadline(NO_DEMAND));
    found.push([now, link.offersSubprotocol]);
    link.dial(now);
    if (i < 2) assertEquals(link.attemptCount, 1, "it is the same attempt");
    link.onDisconnect(now, FAILED, link.connectionId + 1);
  }
  assertEquals(found, [
    [0, true],
    [0, false],
    [250, true],
    [750, false],
    [1_750, true],
    [3_750, false],
  ]);
});

test("Subprotocol: all links share the repeat, and the choice that has worked", () => {
  const handshakes = new HandshakeHistory(15_000);
  const links = [1, 2].map((connectionId) =>
    new Link(DEFAULT_CONFIG, () => 0, connectionId, 0, "main", handshakes)
  );
  const [first, second] = links as [Link, Link];
  first.dial(0);
  first.onDisconnect(5, FAILED, 3);
  assertEquals(first.deadline(NO_DEMAND), 5);
  assertEquals(second.offersSubprotocol, false);
  second.dial(5);
  second.onOpen(5);
  second.becomeReady(5);
  assertEquals(first.offersSubprotocol, false);
  first.dial(6);
  first.onDisconnect(6, FAILED, 4);
  assertEquals(first.offersSubprotocol, false, "a dial has worked without it");
  assertEquals(first.deadline(NO_DEMAND) > 6, true);
});

test("Subprotocol: a failure that the offer cannot cause leads to no repeat", () => {
  for (
    const loss of [
      { reason: "nothing listens" },
      { ...FAILED, isRefused: true },
      { reason: "silence", isHung: true },
    ]
  ) {
    const link = newLink();
    link.dial(0);
    link.onDisconnect(5, loss, 2);
    assertEquals(link.offersSubprotocol, true);
    assert(link.deadline(NO_DEMAND) > 5);
  }
});

test("Subprotocol: the choice is kept after a first response, and not after a mere open", () => {
  for (const isOffered of [true, false]) {
    for (const isAnswered of [true, false]) {
      const link = newLink();
      link.dial(0);
      if (!isOffered) {
        link.onDisconnect(0, FAILED, 2);
        link.dial(0);
      }
      link.onOpen(0);
      if (isAnswered) link.becomeReady(0);
      for (let connectionId = 3; connectionId < 6; connectionId++) {
        link.onDisconnect(1e6 * connectionId, FAILED, connectionId);
        if (isAnswered) assertEquals(link.offersSubprotocol, isOffered);
        assert(
          link.deadline(NO_DEMAND) > 1e6 * connectionId ||
            (!isAnswered && isOffered),
          "no dial at once",
        );
        link.dial(2e6 * connectionId);
      }
      if (!isAnswered && !isOffered) assertEquals(link.offersSubprotocol, true);
    }
  }
});
