import { assert, assertEquals, assertThrows } from "../tools/assert.ts";
import {
  backoff,
  isLogged,
  Link,
  type Loss,
  type Traffic,
} from "../../lib/link.ts";
import { DEFAULTS } from "../tools/scene.ts";
import { test } from "../tools/pure.ts";

const NONE: Traffic = {
  isWanted: false,
  load: "idle",
  mayDoubt: true,
};
const WANTED: Traffic = { ...NONE, isWanted: true };
const BUSY: Traffic = { ...NONE, load: "busy" };

const CHANCE = [() => 0, () => 0.999999];

test("backoff: 0.25 s doubled up to 30 s", () => {
  const pauses = Array.from(
    { length: 10 },
    (_, i) => backoff(i + 1, DEFAULTS, () => 0),
  );
  assertEquals(pauses, [
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

test("backoff: chance adds up to a tenth and takes nothing away", () => {
  for (let n = 1; n < 2000; n += 7) {
    const [least, most] = CHANCE.map((random) => backoff(n, DEFAULTS, random));
    assert(least! > 0 && most! >= least! && most! <= least! * 1.1);
    assert(most! <= 33_000);
  }
});

test("isLogged: attempts 1, 5, 20, 50 and every 10th", () => {
  const logged = Array.from({ length: 71 }, (_, n) => n).slice(1).filter(
    isLogged,
  );
  assertEquals(logged, [1, 5, 10, 20, 30, 40, 50, 60, 70]);
});

/** A link on which the test makes every dial end in the same way, and the moments of the dials. */
function dials(
  count: number,
  wanted: boolean,
  end: "refused" | "accepts and closes" | "validates and closes",
): number[] {
  let epoch = 1;
  const link = new Link(DEFAULTS, () => 0, epoch, 0);
  const moments: number[] = [];
  let now = 0;
  for (let i = 0; i < count; i++) {
    now = Math.max(now, link.deadline(wanted ? WANTED : NONE));
    assertEquals(link.wish(now, wanted ? WANTED : NONE), "dial");
    link.dial(now);
    moments.push(now);
    if (end !== "refused") link.opened();
    if (end === "validates and closes") link.validated(now);
    link.lost(now, { reason: end }, ++epoch);
  }
  return moments;
}

function pauses(moments: number[]): number[] {
  return moments.slice(1).map((moment, i) => moment - moments[i]!);
}

const SLOW = [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000];

test("dials follow the table while nobody waits", () => {
  assertEquals(pauses(dials(10, false, "refused")), SLOW);
});

test("while a request waits, the pause is at most a second", () => {
  const found = pauses(dials(20, true, "refused"));
  assertEquals(found.slice(0, 3), [250, 500, 1000]);
  assert(found.every((pause) => pause <= 1000), `${found}`);
});

test("dials on demand do not advance the table", () => {
  // 1750 ms of table, then a request waits for 20 s, then nobody does.
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  let now = 0;
  const fail = (wanted: boolean): void => {
    now = Math.max(now, link.deadline(wanted ? WANTED : NONE));
    link.dial(now);
    link.lost(now, { reason: "refused" }, link.epoch + 1);
  };
  for (let i = 0; i < 5; i++) fail(false);
  assertEquals(now, 3750);
  const next = link.deadline(NONE);
  assertEquals(next, 7750);
  while (link.deadline(WANTED) < next) fail(true);
  assertEquals(link.deadline(NONE), next);
  fail(false);
  assertEquals(link.deadline(NONE) - next, 8000);
});

for (const end of ["accepts and closes", "validates and closes"] as const) {
  test(`a daemon that ${end} gains nothing by being wanted`, () => {
    assertEquals(pauses(dials(10, true, end)), SLOW);
  });
}

test("losses are forgiven after 5 s of validated time, not before", () => {
  for (const [upMs, expected] of [[4999, 8000], [5000, 250]] as const) {
    const link = new Link(DEFAULTS, () => 0, 1, 0);
    let now = 0;
    for (let i = 0; i < 5; i++) {
      now = link.deadline(NONE) === -Infinity ? 0 : link.deadline(NONE);
      link.dial(now);
      link.lost(now, { reason: "refused" }, link.epoch + 1);
    }
    now = link.deadline(NONE);
    link.dial(now);
    link.opened();
    link.validated(now);
    now += upMs;
    link.lost(now, { reason: "gone" }, link.epoch + 1);
    assertEquals(link.deadline(NONE) - now, expected, `up for ${upMs}`);
  }
});

test("a refusal is tried again at the cap only, also on demand", () => {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(0);
  link.lost(10, { reason: "HTTP 401", refused: true }, 2);
  assertEquals(link.refusal, "HTTP 401");
  assertEquals(link.deadline(WANTED), 30_010);
  link.dial(30_010);
  link.lost(30_010, { reason: "gone" }, 3);
  assertEquals(link.refusal, undefined, "another failure is not a refusal");
});

test("a dial that failed behind TCP is repeated at once without the subprotocol, once", () => {
  const failed: Loss = { reason: "HTTP 400", subprotocol: true };
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  assertEquals(link.offersSubprotocol, true);
  link.dial(0);
  link.lost(5, failed, 2);
  assertEquals(link.offersSubprotocol, false);
  assertEquals(link.wish(5, NONE), "dial");
  link.dial(5);
  assertEquals(link.attempt, 1, "it is the same attempt");
  link.lost(9, failed, 3);
  assertEquals(
    link.offersSubprotocol,
    true,
    "the next attempt offers it again",
  );
  assertEquals(link.deadline(NONE), 259);
});

test("the choice of subprotocol that worked is kept", () => {
  for (const isOffered of [true, false]) {
    const link = new Link(DEFAULTS, () => 0, 1, 0);
    link.dial(0);
    if (!isOffered) {
      link.lost(0, { reason: "", subprotocol: true }, 2);
      link.dial(0);
    }
    link.opened();
    for (let epoch = 3; epoch < 6; epoch++) {
      link.lost(1e6 * epoch, { reason: "", subprotocol: true }, epoch);
      assertEquals(link.offersSubprotocol, isOffered);
      assert(link.deadline(NONE) > 1e6 * epoch, "no dial at once");
      link.dial(2e6 * epoch);
    }
  }
});

test("each step of a handshake has its own deadline", () => {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(100);
  assertEquals(link.deadline(WANTED), 15_100);
  assertEquals(link.wish(15_100, WANTED), "give up");
  link.opened();
  assertEquals(link.deadline(WANTED), Infinity, "nothing was said yet");
  assertEquals(link.isUngreeted, true);
  link.greeted(200);
  assertEquals(link.deadline(WANTED), 15_200);
  assertEquals(link.wish(15_200, WANTED), "give up");
});

test("an idle link is probed after 5 s of silence and given up 5 s later", () => {
  const link = ready();
  assertEquals(link.wish(4_999, NONE), "nothing");
  assertEquals(link.wish(5_000, NONE), "probe");
  link.pulse!.probed(5_000, "busy");
  assertEquals(link.wish(9_999, NONE), "nothing");
  assertEquals(link.wish(10_000, NONE), "give up");
  link.pulse!.heard(9_999);
  assertEquals(link.deadline(NONE), 14_999);
});

test("a link on which an answer is owed is doubted after 10 s of silence, but not given up", () => {
  const link = ready();
  assertEquals(link.wish(4_999, BUSY), "nothing");
  assertEquals(link.wish(5_000, BUSY), "probe");
  link.pulse!.probed(5_000, "busy");
  assertEquals(link.wish(9_999, BUSY), "nothing");
  assertEquals(link.wish(10_000, BUSY), "doubt");
  link.doubted(10_000, "silence");
  assertEquals([link.deadline(BUSY), link.isGood], [Infinity, true]);
  link.pulse!.heard(11_000);
  assertEquals(link.deadline(BUSY), 16_000);
});

test("250 ms after a call a link is probed, until that was tried once", () => {
  const link = ready();
  link.pulse!.called(1_000);
  assertEquals(link.deadline(BUSY), 1_250);
  link.pulse!.heard(1_010); // answered at once
  link.pulse!.called(1_500);
  assertEquals(link.deadline(BUSY), 1_750);
  link.pulse!.probed(1_750, "busy");
  assertEquals(link.deadline(BUSY), 11_010, "silence counts, not the trial");
  assertEquals(link.deadline(NONE), 11_010, "not even when nothing runs");
  link.pulse!.heard(1_800);
  link.pulse!.called(2_000);
  assertEquals(link.deadline(BUSY), 6_800);
});

test("a link that has answered a probe during a call is not used while it is doubted", () => {
  const link = ready();
  link.pulse!.overtook();
  link.doubted(10_000, "silence");
  assertEquals([link.isGood, link.downSince], [false, 10_000]);
  link.pulse!.heard(11_000);
  assertEquals(link.isGood, true);
});

test("a link that may not be doubted has all the time that its calls have", () => {
  const link = ready();
  assertEquals(link.deadline({ ...BUSY, mayDoubt: false }), Infinity);
});

test("after a sleep a ready link shows within a second that it lives, and a waiting one is dialed", () => {
  const link = ready();
  link.pulse!.probed(5_000, "busy");
  link.resumed(100_000, 94_000, 94_000);
  for (const load of [NONE, BUSY]) {
    assertEquals(link.wish(100_000, load), "probe");
  }
  link.pulse!.probed(100_000, "busy");
  assertEquals(link.wish(100_999, NONE), "nothing");
  assertEquals(link.wish(101_000, NONE), "give up");
  assertEquals(link.wish(101_000, BUSY), "doubt");
  link.lost(101_000, { reason: "gone" }, 2);
  link.resumed(200_000, 99_000, 99_000);
  assertEquals(link.wish(200_000, NONE), "dial");
});

test("a transition names the state it leaves", () => {
  const link = ready();
  assertThrows(() => link.dial(0), Error, "is ready was taken for waiting");
  assertThrows(() => link.opened(), Error, "dialing");
});

function ready(): Link {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(0);
  link.opened();
  link.validated(0);
  return link;
}
