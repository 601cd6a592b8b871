import { assertEquals, assertThrows } from "../tools/assert.ts";
import { Link, type Traffic } from "../../lib/link.ts";
import { DEFAULTS } from "../tools/scene.ts";
import { test } from "../tools/pure.ts";
import { NONE, WANTED } from "../tools/traffic.ts";

const BUSY: Traffic = { ...NONE, load: "busy" };

test("each step of a handshake has its own deadline", () => {
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
  assertThrows(() => link.opened(0), Error, "dialing");
});

function ready(): Link {
  const link = new Link(DEFAULTS, () => 0, 1, 0);
  link.dial(0);
  link.opened(0);
  link.validated(0);
  return link;
}
