import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { Link, type LinkUsage } from "../../../lib/link/link.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { NO_DEMAND, URGENT_DEMAND } from "../../helpers/link_demand.ts";

const BUSY: LinkUsage = { ...NO_DEMAND, load: "busy" };

test("Link: each step of a handshake has its own deadline", () => {
  const link = new Link(DEFAULT_CONFIG, () => 0, 1, 0);
  link.dial(100);
  assertEquals(link.deadline(URGENT_DEMAND), 15_100);
  assertEquals(link.nextAction(15_100, URGENT_DEMAND), "disconnect");
  link.onOpen(100);
  assertEquals(
    link.deadline(URGENT_DEMAND),
    Infinity,
    "nothing was received yet",
  );
  assertEquals(link.isHandshakeUnsent, true);
  link.onHandshakeSent(200);
  assertEquals(link.deadline(URGENT_DEMAND), 15_200);
  assertEquals(link.nextAction(15_200, URGENT_DEMAND), "disconnect");
});

test("Link: time spent on finding the reason of a failure does not postpone the next dial", () => {
  const link = new Link(DEFAULT_CONFIG, () => 0, 1, 0);
  link.dial(100);
  link.onDisconnect(350, { reason: "x", agoMs: 240 }, 2);
  assertEquals(link.deadline(NO_DEMAND), 110 + DEFAULT_CONFIG.backoffBase);
});

test("Link: an idle one is probed after 5 s of silence and given up 5 s later", () => {
  const link = readyLink();
  assertEquals(link.nextAction(4_999, NO_DEMAND), "nothing");
  assertEquals(link.nextAction(5_000, NO_DEMAND), "probe");
  const writeNumber = link.liveness!.assignWriteNumber();
  link.liveness!.onProbeSent("1", 5_000, { writeNumber });
  assertEquals(link.nextAction(9_999, NO_DEMAND), "nothing");
  assertEquals(link.nextAction(10_000, NO_DEMAND), "disconnect");
  link.liveness!.onFrame(9_999);
  assertEquals(link.deadline(NO_DEMAND), 14_999);
});

test("Link: one with a call is probed in silence and suspect after 10 s, but not given up", () => {
  const link = readyLink();
  link.liveness!.onFirstCallSent(0);
  assertEquals(link.nextAction(250, BUSY), "probe");
  link.liveness!.onProbeSent("1", 250);
  assertEquals(link.nextAction(4_999, BUSY), "nothing");
  assertEquals(link.nextAction(5_000, BUSY), "probe");
  link.liveness!.onProbeSent("2", 5_000);
  assertEquals(link.nextAction(9_999, BUSY), "nothing");
  assertEquals(link.nextAction(10_000, BUSY), "suspect");
  link.markSuspect(10_000, 1);
  assertEquals([link.nextAction(10_000, BUSY), link.isUsable], [
    "probe",
    false,
  ]);
  link.liveness!.onFrame(11_000);
  assertEquals([link.deadline(BUSY), link.isUsable], [16_000, true]);
});

test("Link: one that may not fail over keeps its calls for all their time", () => {
  const link = readyLink();
  link.liveness!.onFirstCallSent(0);
  link.liveness!.onProbeSent("1", 250);
  const alone = { ...BUSY, mayFailOver: false };
  for (let now = 5_000; now < 60_000; now += 5_000) {
    assertEquals(link.nextAction(now, alone), "probe");
    link.liveness!.onProbeSent(`${now}`, now);
  }
  assertEquals(link.deadline({ ...BUSY, mayProbe: false }), Infinity);
});

test("Link: probed 250 ms after a call that found none in flight, if one is in flight then", () => {
  const link = readyLink();
  link.liveness!.onFirstCallSent(1_000);
  assertEquals(link.deadline(BUSY), 1_250);
  link.liveness!.onFrame(1_010); // answered at once
  assertEquals(link.deadline(NO_DEMAND), 6_010);
  link.liveness!.onFirstCallSent(1_500);
  assertEquals(link.deadline(BUSY), 1_750);
  link.liveness!.onProbeSent("1", 1_750);
  assertEquals(link.deadline(BUSY), 6_500, "5 s of silence");
});

test("Link: not usable while there is evidence that it is dead", () => {
  const link = readyLink();
  const { liveness } = link;
  liveness!.onProbeSent("1", 1, { writeNumber: liveness!.assignWriteNumber() });
  liveness!.onProbeAnswered("1", 2);
  liveness!.onFirstCallSent(3);
  liveness!.onProbeSent("2", 250, {
    writeNumber: liveness!.assignWriteNumber(),
  });
  link.markSuspect(10_000, 0);
  assertEquals([link.isUsable, link.downSince], [false, 10_000]);
  liveness!.onFrame(11_000);
  assertEquals(link.isUsable, true);
});

test("Link: after a sleep a ready one must answer a probe within 1 s, and a waiting one dials at once", () => {
  const link = readyLink();
  link.liveness!.onProbeSent("1", 5_000);
  link.onResume(100_000, 94_000, 94_000);
  for (const load of [NO_DEMAND, BUSY]) {
    assertEquals(link.nextAction(100_000, load), "probe");
  }
  link.liveness!.onProbeSent("2", 100_000);
  assertEquals(link.nextAction(100_999, NO_DEMAND), "nothing");
  assertEquals(link.nextAction(101_000, NO_DEMAND), "disconnect");
  assertEquals(link.nextAction(101_000, BUSY), "suspect");
  assertEquals(
    link.nextAction(101_000, { ...BUSY, mayFailOver: false }),
    "skip-verification",
  );
  link.onDisconnect(101_000, { reason: "gone" }, 2);
  link.onResume(200_000, 99_000, 99_000);
  assertEquals(link.nextAction(200_000, NO_DEMAND), "dial");
});

test("Link: a transition from the wrong state throws", () => {
  const link = readyLink();
  assertThrows(() => link.dial(0), Error, "is ready, and must be waiting");
  assertThrows(() => link.onOpen(0), Error, "dialing");
});

function readyLink(): Link {
  const link = new Link(DEFAULT_CONFIG, () => 0, 1, 0);
  link.dial(0);
  link.onOpen(0);
  link.becomeReady(0);
  return link;
}
