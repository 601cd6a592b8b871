import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { Link, type LinkUsage } from "../../../lib/link/link.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  newLink,
  NO_DEMAND,
  URGENT_DEMAND,
} from "../../helpers/link_demand.ts";

const BUSY: LinkUsage = { ...NO_DEMAND, load: "busy" };

test("Link: each step of a handshake has its own deadline", () => {
  const link = newLink();
  link.dial(100);
  assertEquals(link.deadline(URGENT_DEMAND), 15_100);
  assertEquals(link.nextAction(15_100, URGENT_DEMAND), "disconnect");
  link.onOpen(100);
  assertEquals(
    link.deadline(URGENT_DEMAND),
    Infinity,
    "the opening message was not sent yet",
  );
  assertEquals(link.isHandshakeUnsent, true);
  link.onHandshakeSent(200);
  assertEquals(link.deadline(URGENT_DEMAND), 15_200);
  assertEquals(link.nextAction(15_200, URGENT_DEMAND), "disconnect");
});

test("Link: time spent on finding the reason of a failure does not postpone the next dial", () => {
  const link = newLink();
  link.dial(100);
  link.onDisconnect(350, { reason: "x", agoMs: 240 }, 2);
  assertEquals(link.deadline(NO_DEMAND), 110 + DEFAULT_CONFIG.backoffBase);
});

test("Link: an idle link is probed after 5 s of silence, and disconnected 5 s later", () => {
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

test("Link: a silent link with a call is probed, and suspect after 10 s, but not disconnected", () => {
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

test("Link: a link that may not fail over keeps its calls, however long it is silent", () => {
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

test("Link: probed 250 ms after the first call, if a call is in flight then", () => {
  const link = readyLink();
  link.liveness!.onFirstCallSent(1_000);
  assertEquals(link.deadline(BUSY), 1_250);
  link.liveness!.onFrame(1_010); // The response arrives.
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

test("Link: after a sleep, a ready link must answer a probe within 1 s, and a waiting link dials at once", () => {
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

test("Link: the backlog and the one-way messages are dropped with the connection", () => {
  const link = readyLink();
  link.onBacklog("full");
  link.onOneWaySent(1);
  assertEquals([link.isBacklogged, link.hasDaemonReadAllOneWay], [true, false]);
  link.onDisconnect(1, { reason: "gone" }, 2);
  assertEquals([link.isBacklogged, link.hasDaemonReadAllOneWay], [false, true]);
  // Late events of a connection that has ended change nothing.
  link.onBacklog("full");
  link.onOneWaySent(3);
  link.onAnswered(9);
  link.dial(2);
  assertEquals([link.isBacklogged, link.hasDaemonReadAllOneWay], [false, true]);
  link.onOneWaySent(1);
  assertEquals(link.hasDaemonReadAllOneWay, false);
  link.onBacklog("full");
  link.onBacklog("drained");
  assertEquals(link.isBacklogged, false);
});

const ONE_WAY: [what: string, events: string, isReceived: boolean][] = [
  ["nothing was sent", "", true],
  ["nothing is answered", "wrote 1", false],
  ["it was written before the connection was ready", "wrote 0", false],
  [
    "it was written before the connection was ready, and something is answered",
    "wrote 0, answered 1",
    true,
  ],
  ["a later request is answered", "wrote 1, answered 2", true],
  ["an earlier request is answered", "wrote 2, answered 1", false],
  [
    "an earlier request is answered after a later one",
    "wrote 2, answered 3, answered 1",
    true,
  ],
  ["something was sent since", "wrote 1, answered 2, wrote 3", false],
];
for (const [what, events, isReceived] of ONE_WAY) {
  test(`One-way messages: ${isReceived ? "" : "perhaps not "}received if ${what}`, () => {
    const link = readyLink();
    for (const event of events.split(", ")) {
      const [name, place] = event.split(" ");
      if (name === "wrote") link.onOneWaySent(Number(place));
      if (name === "answered") link.onAnswered(Number(place));
    }
    assertEquals(link.hasDaemonReadAllOneWay, isReceived);
  });
}

test("Link: a link with only abandoned calls is disconnected when it counts as dead", () => {
  const link = readyLink();
  const liveness = link.liveness!;
  const abandoned = { ...BUSY, hasOnlyAbandonedCalls: true };
  const probe = (
    id: string,
    now: number,
    wasSentWithoutCalls = false,
  ): void => {
    const writeNumber = liveness.assignWriteNumber();
    liveness.onProbeSent(id, now, {
      wasSentWithoutCalls,
      writeNumber,
    });
  };
  probe("1", 0);
  liveness.onProbeAnswered("1", 1);
  liveness.assignWriteNumber(); // The call gets this number.
  probe("3", 100);
  assertEquals(link.deadline(abandoned), 5_001, "a probe in silence");
  liveness.onFrame(150);
  probe("4", 200, true);
  assertEquals(link.deadline(abandoned), 5_150, "a probe in silence");
  probe("5", 5_150);
  assertEquals(
    link.deadline(abandoned),
    5_200,
    "counted from the probe that was sent without calls",
  );
  assertEquals(link.nextAction(5_199, abandoned), "nothing");
  assertEquals(link.nextAction(5_200, abandoned), "disconnect");
  assertEquals(link.deadline(BUSY) > 5_200, true, "somebody waits for a call");
  liveness.onFrame(5_190);
  assertEquals(link.deadline(abandoned), 10_190);
});

type StateName =
  | "waiting"
  | "refused"
  | "displaced"
  | "dialing"
  | "unsent"
  | "handshaking"
  | "ready"
  | "suspect";

/** For each state, a function that returns a link in it. */
const STATES: Record<StateName, () => Link> = {
  waiting: () => newLink(),
  refused: () => {
    const link = STATES.dialing();
    link.onDisconnect(0, { reason: "HTTP 401", isRefused: true }, 2);
    return link;
  },
  displaced: () => {
    const link = readyLink();
    for (let id = 2; id < 4; id++) {
      link.onDisconnect(9, { reason: "1000", displaced: "likely" }, id);
      if (id === 3) break;
      link.dial(9);
      link.onOpen(9);
      link.becomeReady(9);
    }
    return link;
  },
  dialing: () => {
    const link = STATES.waiting();
    link.dial(0);
    return link;
  },
  unsent: () => {
    const link = STATES.dialing();
    link.onOpen(0);
    return link;
  },
  handshaking: () => {
    const link = STATES.unsent();
    link.onHandshakeSent(0);
    return link;
  },
  ready: () => readyLink(),
  suspect: () => {
    const link = readyLink();
    link.markSuspect(0, 0);
    return link;
  },
};

function stateOf(link: Link): StateName {
  if (link.isHandshakeUnsent) return "unsent";
  if (link.phase === "waiting") {
    if (link.isDisplaced) return "displaced";
    return link.refusal === undefined ? "waiting" : "refused";
  }
  return link.liveness?.isUnderSuspicion ? "suspect" : link.phase;
}

/**
 * Each event, and the next state for each state in which it is allowed. In the
 * other states, it is ignored, or throws an error that names the state and the
 * event.
 */
const TRANSITIONS: [
  event: string,
  act: (link: Link) => void,
  next: Partial<Record<StateName, StateName>>,
  otherwise: "error" | "ignored",
][] = [
  ["dial", (link) => link.dial(9), {
    waiting: "dialing",
    refused: "dialing",
    displaced: "dialing",
  }, "error"],
  ["open", (link) => link.onOpen(9), { dialing: "unsent" }, "error"],
  ["send the handshake", (link) => link.onHandshakeSent(9), {
    unsent: "handshaking",
    handshaking: "handshaking",
  }, "error"],
  ["repeat the handshake", (link) => link.resetHandshake(9), {
    unsent: "unsent",
    handshaking: "unsent",
  }, "error"],
  ["become ready", (link) => link.becomeReady(9), {
    unsent: "ready",
    handshaking: "ready",
  }, "error"],
  ["become suspect", (link) => link.markSuspect(9, 0), {
    ready: "suspect",
  }, "error"],
  ["disconnect", (link) => link.onDisconnect(9, { reason: "x" }, 9), {
    dialing: "waiting",
    unsent: "waiting",
    handshaking: "waiting",
    ready: "waiting",
    suspect: "waiting",
  }, "error"],
  ["resume", (link) => link.onResume(9, 9, 9), {
    suspect: "ready",
  }, "ignored"],
  ["dial for a request", (link) => link.scheduleDialForRequest(9), {
    displaced: "waiting",
  }, "ignored"],
  ["redial after a refusal", (link) => link.tryRedialAfterRefusal(6_000), {
    displaced: "waiting",
  }, "ignored"],
];

for (const [event, act, next, otherwise] of TRANSITIONS) {
  for (const name of Object.keys(STATES) as StateName[]) {
    const isError = next[name] === undefined && otherwise === "error";
    const outcome = isError ? "an error" : next[name] ?? name;
    test(`Link states: ${name}: to ${event}: ${outcome}`, () => {
      const link = STATES[name]();
      assertEquals(stateOf(link), name);
      if (isError) {
        const isAgain = name === "suspect" && event === "become suspect";
        const state = isAgain ? "suspect" : link.phase;
        const message = `that is ${state} cannot ${event}`;
        assertThrows(() => act(link), Error, message);
      } else act(link);
      assertEquals(stateOf(link), isError ? name : outcome);
    });
  }
}

function readyLink(): Link {
  const link = newLink();
  link.dial(0);
  link.onOpen(0);
  link.becomeReady(0);
  return link;
}
