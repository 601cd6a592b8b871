import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { Link, type Traffic } from "../../../lib/link/link.ts";
import { DEFAULTS } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { NONE, WANTED } from "../../helpers/link_demand.ts";

const BUSY: Traffic = { ...NONE, load: "busy" };

test("Link: each step of a handshake has its own deadline", () => {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(100);
  assertEquals(link.deadline(WANTED), 15_100);
  assertEquals(link.wish(15_100, WANTED), "give up");
  link.opened(100);
  assertEquals(link.deadline(WANTED), Infinity, "nothing was said yet");
  assertEquals(link.isUngreeted, true);
  link.greeted(200);
  assertEquals(link.deadline(WANTED), 15_200);
  assertEquals(link.wish(15_200, WANTED), "give up");
});

test("Link: time spent on finding the reason of a failure does not postpone the next dial", () => {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(100);
  link.lost(350, { reason: "x", agoMs: 240 }, 2);
  assertEquals(link.deadline(NONE), 110 + DEFAULTS.backoffBase);
});

test("Link: an idle one is probed after 5 s of silence and given up 5 s later", () => {
  const link = ready();
  assertEquals(link.wish(4_999, NONE), "nothing");
  assertEquals(link.wish(5_000, NONE), "probe");
  const number = link.liveness!.wrote();
  link.liveness!.probed("1", 5_000, { number });
  assertEquals(link.wish(9_999, NONE), "nothing");
  assertEquals(link.wish(10_000, NONE), "give up");
  link.liveness!.heard(9_999);
  assertEquals(link.deadline(NONE), 14_999);
});

test("Link: one with a call is probed in silence and suspect after 10 s, but not given up", () => {
  const link = ready();
  link.liveness!.called(0);
  assertEquals(link.wish(250, BUSY), "probe");
  link.liveness!.probed("1", 250);
  assertEquals(link.wish(4_999, BUSY), "nothing");
  assertEquals(link.wish(5_000, BUSY), "probe");
  link.liveness!.probed("2", 5_000);
  assertEquals(link.wish(9_999, BUSY), "nothing");
  assertEquals(link.wish(10_000, BUSY), "suspect");
  link.suspect(10_000, 1);
  assertEquals([link.wish(10_000, BUSY), link.isUsable], ["probe", false]);
  link.liveness!.heard(11_000);
  assertEquals([link.deadline(BUSY), link.isUsable], [16_000, true]);
});

test("Link: one that may not fail over keeps its calls for all their time", () => {
  const link = ready();
  link.liveness!.called(0);
  link.liveness!.probed("1", 250);
  const alone = { ...BUSY, mayFailOver: false };
  for (let now = 5_000; now < 60_000; now += 5_000) {
    assertEquals(link.wish(now, alone), "probe");
    link.liveness!.probed(`${now}`, now);
  }
  assertEquals(link.deadline({ ...BUSY, mayProbe: false }), Infinity);
});

test("Link: probed 250 ms after a call that found none in flight, if one is in flight then", () => {
  const link = ready();
  link.liveness!.called(1_000);
  assertEquals(link.deadline(BUSY), 1_250);
  link.liveness!.heard(1_010); // answered at once
  assertEquals(link.deadline(NONE), 6_010);
  link.liveness!.called(1_500);
  assertEquals(link.deadline(BUSY), 1_750);
  link.liveness!.probed("1", 1_750);
  assertEquals(link.deadline(BUSY), 6_500, "5 s of silence");
});

test("Link: not usable while there is evidence that it is dead", () => {
  const link = ready();
  const { liveness } = link;
  liveness!.probed("1", 1, { number: liveness!.wrote() });
  liveness!.ponged("1", 2);
  liveness!.called(3);
  liveness!.probed("2", 250, { number: liveness!.wrote() });
  link.suspect(10_000, 0);
  assertEquals([link.isUsable, link.downSince], [false, 10_000]);
  liveness!.heard(11_000);
  assertEquals(link.isUsable, true);
});

test("Link: after a sleep a ready one must answer a probe within 1 s, and a waiting one dials at once", () => {
  const link = ready();
  link.liveness!.probed("1", 5_000);
  link.resumed(100_000, 94_000, 94_000);
  for (const load of [NONE, BUSY]) {
    assertEquals(link.wish(100_000, load), "probe");
  }
  link.liveness!.probed("2", 100_000);
  assertEquals(link.wish(100_999, NONE), "nothing");
  assertEquals(link.wish(101_000, NONE), "give up");
  assertEquals(link.wish(101_000, BUSY), "suspect");
  assertEquals(link.wish(101_000, { ...BUSY, mayFailOver: false }), "trust");
  link.lost(101_000, { reason: "gone" }, 2);
  link.resumed(200_000, 99_000, 99_000);
  assertEquals(link.wish(200_000, NONE), "dial");
});

test("Link: a transition from the wrong state throws", () => {
  const link = ready();
  assertThrows(() => link.dial(0), Error, "is ready was taken for waiting");
  assertThrows(() => link.opened(0), Error, "dialing");
});

function ready(): Link {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(0);
  link.opened(0);
  link.validated(0);
  return link;
}
