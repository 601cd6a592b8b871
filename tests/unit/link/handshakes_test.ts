/**
 * How long a dial may stay silent while a request waits, and when the
 * subprotocol is left out.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { Handshakes } from "../../../lib/link/handshakes.ts";
import { Link, type Loss } from "../../../lib/link/link.ts";
import { DEFAULTS } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { NONE, WANTED } from "../../helpers/link_demand.ts";

const STEPS = ["opening", "first answer"] as const;

/** What is known of a daemon whose steps have taken so many milliseconds. */
function known(...ms: number[]): Handshakes {
  const handshakes = new Handshakes(15_000);
  for (const took of ms) {
    for (const step of STEPS) handshakes.succeeded(step, took);
  }
  return handshakes;
}

test("Handshake limit: the whole --handshake-timeout for a daemon that has never answered", () => {
  const handshakes = new Handshakes(15_000);
  for (const step of STEPS) assertEquals(handshakes.limit(step, 0), 15_000);
  handshakes.succeeded("opening", 5);
  for (const step of STEPS) assertEquals(handshakes.limit(step, 0), 15_000);
});

const LIMITS: [what: string, took: number[], silentMs: number, ms: number][] = [
  ["2 s for one that answers fast", [5], 0, 2_000],
  ["2 s as long as it is silent for 4 s", [5], 3_999, 2_000],
  ["then 3 s", [5], 4_000, 3_000],
  ["half of the time of silence, less the pause", [5], 10_000, 4_600],
  ["the whole limit in the end", [5], 60_000, 15_000],
  ["twice what a slow one needs", [3_000], 0, 6_000],
  ["no more than the whole limit", [9_000], 0, 15_000],
  ["twice what it needed last", [5, 4_000], 0, 8_000],
  ["one that was slow once, and is fast again", [9_000, 5], 0, 2_000],
];
for (const [what, took, silentMs, ms] of LIMITS) {
  test(`Handshake limit: ${what}`, () => {
    for (const step of STEPS) {
      assertEquals(known(...took).limit(step, silentMs), ms);
    }
  });
}

test("Handshake limit: never above a shorter --handshake-timeout", () => {
  const handshakes = new Handshakes(500);
  for (const step of STEPS) {
    handshakes.succeeded(step, 400);
    assertEquals(handshakes.limit(step, 0), 500);
  }
});

/** A link whose daemon has answered, and is lost. */
function lost(random = 0): Link {
  const link = new Link(DEFAULTS, () => random, 1, 0);
  link.dial(0);
  link.opened(1);
  link.greeted(1);
  link.validated(2);
  link.lost(10_000, { reason: "gone" }, 2);
  return link;
}

for (const step of STEPS) {
  test(`Handshake limit: after a silence the next dial comes within 3.5 s, or half of the silence: ${step}`, () => {
    for (const random of [0, 0.999]) {
      const link = lost(random);
      let now = 10_000;
      const begun: number[] = [];
      while (now < 100_000) {
        now = link.deadline(WANTED);
        assertEquals(link.wish(now, WANTED), "dial");
        begun.push(now);
        link.dial(now);
        if (step === "first answer") {
          link.opened(now);
          link.greeted(now);
        }
        now = link.deadline(WANTED);
        assertEquals(link.wish(now, WANTED), "give up");
        link.lost(now, { reason: "silence", isHung: true }, link.epoch + 1);
      }
      // The worst: it can be reached just after a dial has begun.
      const [first] = begun;
      for (const [i, at] of begun.slice(0, -1).entries()) {
        const [lag, silentMs] = [begun[i + 1]! - at, at - first!];
        if (lag > 15_000) continue; // bounded by --handshake-timeout
        assert(lag <= Math.max(3_500, silentMs / 2), `${lag} of ${silentMs}`);
      }
      assert(begun.length >= 9, `${begun}`);
    }
  });
}

test("Handshake limit: the whole limit without a waiting request, the short one as soon as there is one", () => {
  const link = lost();
  link.dial(20_000);
  assertEquals(link.deadline(NONE), 35_000);
  assertEquals(link.deadline(WANTED), 22_000);
  assertEquals(link.wish(27_000, NONE), "nothing");
  assertEquals(link.wish(27_000, WANTED), "give up");
});

test("Handshake limit: a dial that fails in another way ends the silence", () => {
  const link = lost();
  const dial = (now: number, loss: Loss): void => {
    link.dial(now);
    link.lost(now, loss, link.epoch + 1);
  };
  const silent = { reason: "silence", isHung: true };
  for (const at of [20_000, 30_000, 40_000]) dial(at, silent);
  link.dial(41_000);
  assertEquals(link.deadline(WANTED) - 41_000, 10_100);
  link.lost(42_000, { reason: "refused" }, link.epoch + 1);
  link.dial(43_000);
  assertEquals(link.deadline(WANTED) - 43_000, 2_000);
});

test("Handshake limit: a dial without a waiting request does not count as silence", () => {
  const silent = { reason: "silence", isHung: true };
  for (const endedAt of [35_000, 34_900]) {
    const link = lost();
    link.dial(20_000);
    link.lost(endedAt, silent, 3);
    link.dial(endedAt + 250);
    assertEquals(link.deadline(WANTED), endedAt + 2_250);
    link.lost(endedAt + 2_250, silent, 4);
    link.dial(endedAt + 4_500);
    assertEquals(link.deadline(WANTED), endedAt + 7_500, "now it grows");
  }
});

test("Handshake limit: time asleep is no silence", () => {
  const link = lost();
  link.dial(20_000);
  link.lost(22_000, { reason: "silence", isHung: true }, link.epoch + 1);
  link.dial(22_500);
  link.resumed(60_000, 37_000, 37_000);
  link.lost(60_000, { reason: "silence", isHung: true }, link.epoch + 1);
  link.dial(60_250);
  assertEquals(link.deadline(WANTED) - 60_250, 2_000);
});

/** A dial whose handshake has failed. */
const FAILED: Loss = { reason: "HTTP 400", subprotocol: true };

test("Subprotocol: a failed handshake is repeated once, at once and without it", () => {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  const found: [at: number, isOffered: boolean][] = [];
  for (let now = 0, i = 0; i < 6; i++) {
    now = Math.max(now, link.deadline(NONE));
    found.push([now, link.offersSubprotocol]);
    link.dial(now);
    if (i < 2) assertEquals(link.attempt, 1, "it is the same attempt");
    link.lost(now, FAILED, link.epoch + 1);
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
  const handshakes = new Handshakes(15_000);
  const links = [1, 2].map((epoch) =>
    new Link(DEFAULTS, () => 0, epoch, 0, "main", handshakes)
  );
  const [first, second] = links as [Link, Link];
  first.dial(0);
  first.lost(5, FAILED, 3);
  assertEquals(first.deadline(NONE), 5);
  assertEquals(second.offersSubprotocol, false);
  second.dial(5);
  second.opened(5);
  second.validated(5);
  assertEquals(first.offersSubprotocol, false);
  first.dial(6);
  first.lost(6, FAILED, 4);
  assertEquals(first.offersSubprotocol, false, "it has worked without");
  assertEquals(first.deadline(NONE) > 6, true);
});

test("Subprotocol: a failure that the offer cannot cause leads to no repeat", () => {
  for (
    const loss of [
      { reason: "nothing listens" },
      { ...FAILED, refused: true },
      { reason: "silence", isHung: true },
    ]
  ) {
    const link = new Link(DEFAULTS, () => 0, 1, 0);
    link.dial(0);
    link.lost(5, loss, 2);
    assertEquals(link.offersSubprotocol, true);
    assert(link.deadline(NONE) > 5);
  }
});

test("Subprotocol: the choice is kept after a first response, and not after a mere open", () => {
  for (const isOffered of [true, false]) {
    for (const isAnswered of [true, false]) {
      const link = new Link(DEFAULTS, () => 0, 1, 0);
      link.dial(0);
      if (!isOffered) {
        link.lost(0, FAILED, 2);
        link.dial(0);
      }
      link.opened(0);
      if (isAnswered) link.validated(0);
      for (let epoch = 3; epoch < 6; epoch++) {
        link.lost(1e6 * epoch, FAILED, epoch);
        if (isAnswered) assertEquals(link.offersSubprotocol, isOffered);
        assert(
          link.deadline(NONE) > 1e6 * epoch || (!isAnswered && isOffered),
          "no dial at once",
        );
        link.dial(2e6 * epoch);
      }
      if (!isAnswered && !isOffered) assertEquals(link.offersSubprotocol, true);
    }
  }
});
