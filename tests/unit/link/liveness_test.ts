/**
 * Tests when a connection is probed, and when its silence has consequences.
 *
 * @module
 */

import { Liveness } from "../../../lib/link/liveness.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/assert.ts";
import { NO_DEMAND } from "../../helpers/link_demand.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  answerPing,
  answerTwiceOnStandby,
  pingIds,
  startWithCall,
} from "../../helpers/session/silent_connection.ts";

/**
 * Returns a session whose call was cancelled after 20 s of silence. The daemon
 * has answered the probe before the call, but none during it. So there is no
 * evidence that the connection is dead.
 */
function startWithCancelledCall(): SessionDriver {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.advance(20_000);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  return driver;
}

test("Liveness: while the daemon may still work on a cancelled call, the connection is kept for the next call", () => {
  const driver = startWithCancelledCall();
  driver.advance(12_000);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.takeEffects();
  driver.callTool(2, "write");
  assertEquals(driver.sentExceptProbes().at(-1).id, 2);
  driver.advance(120_000);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  driver.fromDaemon({ id: 2, result: 1 });
  assertEquals(driver.sentToClient().map(({ id }) => id), [2]);
});

test("Liveness: a connection that is silent for a minute after a cancelled call is lost", () => {
  const driver = startWithCancelledCall();
  driver.advance(59_999);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: after the late response to a cancelled call, the connection is lost like an idle one", () => {
  const driver = startWithCancelledCall();
  driver.fromDaemon({ id: 1, result: 1 });
  driver.advance(9_999);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: traffic after a probe keeps the connection when its last call is cancelled", () => {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.advance(5_000);
  driver.answerProbe();
  driver.callTool(1, "write"); // The probe before the call gets no answer.
  driver.advance(6_000);
  driver.fromDaemon({ method: "notifications/message", params: {} });
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  assertEquals(driver.isConnectionClosed(1), false);
});

test("Liveness: a silent connection that is proved dead is lost when its last call is cancelled", () => {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.advance(5_000);
  driver.answerProbe();
  driver.callTool(1, "write"); // The probe before the call gets no answer.
  driver.advance(60_000);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: the client's own ping finds a dead idle connection", () => {
  const driver = new SessionDriver({ pingInterval: 3_600_000 });
  driver.connect();
  driver.advance(60_000);
  driver.request(1, "ping");
  driver.advance(3_000);
  driver.request(2, "ping");
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 2 },
  });
  driver.advance(1_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result]), [[
    1,
    {},
  ]]);
  driver.advance(250);
  assertEquals(driver.dials.length, 2);
});

test("Liveness: with --ping-interval off, no connection is lost because of a client's ping", () => {
  const driver = new SessionDriver({ pingInterval: Infinity });
  driver.connect();
  driver.request(1, "ping");
  driver.callTool(2, "write");
  driver.advance(60_000);
  assertEquals(driver.sentToClient(), []);
});

test("Liveness: a dead connection is lost after a cancelled call, even if the client pings", () => {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.advance(5_000);
  driver.answerProbe();
  driver.callTool(1, "write");
  driver.advance(60_000);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.request(2, "ping");
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: a pong after the response does not show that the daemon answers during calls", () => {
  const driver = startWithCall("serial");
  driver.fromDaemon({ id: "long", result: 1 });
  assertEquals(driver.session.snapshot().answersDuringCalls, undefined);
  driver.callTool(2, "write");
  driver.advance(2_000);
  driver.fromDaemon({ id: 2, result: 1 });
  assertEquals(driver.session.snapshot().answersDuringCalls, false);
});

test("Liveness: a pong during a call shows that the daemon answers during calls", () => {
  const driver = startWithCall("concurrent");
  assertEquals(driver.session.snapshot().answersDuringCalls, true);
});

test("Liveness: with probes off no connection is suspect", () => {
  const driver = new SessionDriver({ pingInterval: Infinity });
  driver.connect();
  driver.callTool(1, "write");
  driver.advance(599_999);
  assertEquals([driver.dials.length, driver.sentToDaemon().length], [1, 1]);
});

test("exai liveness: a connection with a call is neither probed nor suspect", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.advance(180_000);
  assertEquals(driver.takeFrames(), []);
  assertEquals(driver.dials.length, 2);
});

/** Returns a session whose connection is idle and has answered a probe. */
function connectAndAnswerProbe(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(5_000);
  answerPing(driver, pingIds(driver, 1)[0], 1);
  return driver;
}

function writtenIds(driver: SessionDriver): Json[] {
  return driver.sentToDaemon().map(({ id, method }) =>
    method === "ping" ? "ping" : id
  );
}

test("Leading probe: a call waits for its pong, and later requests wait behind it", () => {
  const driver = connectAndAnswerProbe();
  driver.callTool(1, "write");
  driver.request(2, "tools/list");
  assertEquals(writtenIds(driver), ["ping"]);
  driver.answerProbe();
  assertEquals(writtenIds(driver), ["ping", 1, 2]);
});

test("Leading probe: does not delay the call where the daemon has never answered one", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(1_000);
  driver.callTool(1, "write");
  assertEquals(writtenIds(driver), ["ping", 1]);
});

test("Leading probe: left out just after a handshake", () => {
  const driver = connectAndAnswerProbe();
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.advance(99);
  driver.callTool(1, "write");
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
});

test("Leading probe: a call that comes while one is unanswered waits for that one", () => {
  const driver = connectAndAnswerProbe();
  driver.callTool(1, "write");
  driver.advance(300);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.callTool(2, "write");
  assertEquals(writtenIds(driver), ["ping"]);
  driver.advance(4_700);
  assertEquals(driver.dials.length, 2, "the first probe's time counts");
});

test("Leading probe: at most one a second, and none while other calls are in flight", () => {
  const driver = connectAndAnswerProbe();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.advance(200);
  driver.fromDaemon({ id: 1, result: 1 });
  driver.callTool(2, "write");
  driver.callTool(3, "write");
  assertEquals(writtenIds(driver), ["ping", 1, 2, 3]);
  driver.fromDaemon({ id: 2, result: 1 });
  driver.fromDaemon({ id: 3, result: 1 });
  driver.advance(800);
  driver.callTool(4, "write");
  assertEquals(writtenIds(driver).slice(4), ["ping"]);
});

test("Leading probe: none for a client's ping or subscription", () => {
  const driver = connectAndAnswerProbe();
  driver.request(1, "ping");
  driver.request(2, "subscriptions/listen");
  const ids = driver.sentToDaemon().map(({ id }) => id);
  assertEquals(ids, [1, 2]);
});

test("Leading probe: a burst that would fill the queue does not wait for the answer", () => {
  const driver = connectAndAnswerProbe();
  const batch = Array.from(
    { length: 1500 },
    (_, id) => ({ jsonrpc: "2.0", id, method: "tools/list" }),
  );
  driver.fromClient(JSON.stringify(batch));
  driver.answerProbe();
  assertEquals(
    [driver.sentExceptProbes().length, driver.sentToClient().length],
    [1500, 0],
  );
});

test("Liveness: a connection is probed during each call that starts while no other is in flight", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("l", "tools/list");
  driver.advance(5);
  driver.fromDaemon({ id: "l", result: { tools: [] } });
  driver.advance(500);
  driver.takeEffects();
  driver.callTool("long", "write");
  // The daemon answers every ping at once.
  for (let ms = 0; ms <= 300; ms++) {
    const id = pingIds(driver, 1).at(-1);
    if (id !== undefined) driver.fromDaemon({ id, result: {} });
    driver.advance(1);
  }
  driver.advance(10_000); // The connection is silent.
  answerTwiceOnStandby(driver);
  assert(driver.isConnectionClosed(1), "within 20 s");
});

test("Liveness: after a cancelled call, the idle connection may be silent for 10 s", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool("long", "write");
  driver.advance(300);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: "long" },
  });
  driver.advance(7_000);
  assertEquals(driver.isConnectionClosed(1), false);
});

const LIMITS = { pingInterval: 5_000, pingTimeout: 5_000 };

type Act = (liveness: Liveness) => unknown;

/** For each state of verification and suspicion, a function that reaches it. */
const STATES: Record<string, Act> = {
  "verified, none": () => {},
  "unprobed, none": (it) => it.onResume(0, 0),
  "probed, none": (it) => {
    it.onResume(0, 0);
    it.onProbeSent("sleep", 0);
  },
  "deferred, none": (it) => {
    it.onResume(0, 0);
    it.deferProbe(0, "no-call");
  },
  "verified, suspect": (it) => it.markSuspect(0, 1),
  "verified, waived": (it) => {
    it.markSuspect(0, 1);
    it.waiveSuspicion(0);
  },
  "probed, suspect": (it) => {
    it.onResume(0, 0);
    it.onProbeSent("sleep", 0);
    it.markSuspect(0, 1);
  },
  "deferred, suspect": (it) => {
    it.onResume(0, 0);
    it.deferProbe(0, "no-call");
    it.markSuspect(0, 1);
  },
};

/** Derives the names of both states from the public properties. */
function stateOf(liveness: Liveness): string {
  const { isUnverified, isProbeDeferred, isUnderSuspicion } = liveness;
  // An unprobed connection that is not suspect is probed at once.
  const isDue = liveness.nextAction(0, NO_DEMAND) === "probe";
  const verification = !isUnverified
    ? "verified"
    : isProbeDeferred
    ? "deferred"
    : isDue
    ? "unprobed"
    : "probed";
  // A verified connection is usable while the suspicion is waived.
  const suspicion = !isUnderSuspicion
    ? "none"
    : liveness.isUsable
    ? "waived"
    : "suspect";
  return `${verification}, ${suspicion}`;
}

/**
 * Each event, and the next state for each state that it changes. `-` means that
 * the event throws an error that contains the name of the event.
 */
const TRANSITIONS: [event: string, act: Act, next: Record<string, string>][] = [
  ["a frame", (it) => it.onFrame(0), {
    "verified, suspect": "verified, none",
    "verified, waived": "verified, none",
    "probed, suspect": "verified, none",
    "deferred, suspect": "verified, none",
  }],
  ["the answer to a probe", (it) => {
    it.onProbeSent("answered", 0);
    it.onProbeAnswered("answered", 0);
  }, {
    "unprobed, none": "verified, none",
    "probed, none": "verified, none",
    "deferred, none": "verified, none",
    "verified, suspect": "verified, none",
    "verified, waived": "verified, none",
    "probed, suspect": "verified, none",
    "deferred, suspect": "verified, none",
  }],
  ["an unknown answer", (it) => it.onProbeAnswered("unknown", 0), {}],
  ["a probe is sent", (it) => it.onProbeSent("sent", 0), {
    "unprobed, none": "probed, none",
    "deferred, none": "probed, none",
    "deferred, suspect": "probed, suspect",
  }],
  ["defer its probe", (it) => it.deferProbe(0, "call"), {
    "verified, none": "-",
    "unprobed, none": "deferred, none",
    "probed, none": "deferred, none",
    "verified, suspect": "-",
    "verified, waived": "-",
    "probed, suspect": "deferred, suspect",
  }],
  ["the check is skipped", (it) => it.endVerification(), {
    "unprobed, none": "verified, none",
    "probed, none": "verified, none",
    "deferred, none": "verified, none",
    "probed, suspect": "verified, suspect",
    "deferred, suspect": "verified, suspect",
  }],
  ["become suspect", (it) => it.markSuspect(0, 1), {
    "verified, none": "verified, suspect",
    "unprobed, none": "unprobed, suspect",
    "probed, none": "probed, suspect",
    "deferred, none": "deferred, suspect",
    "verified, suspect": "-",
    "verified, waived": "-",
    "probed, suspect": "-",
    "deferred, suspect": "-",
  }],
  ["suspicion is waived", (it) => it.waiveSuspicion(0), {
    "unprobed, none": "verified, none",
    "probed, none": "verified, none",
    "deferred, none": "verified, none",
    "verified, suspect": "verified, waived",
    "probed, suspect": "verified, waived",
    "deferred, suspect": "verified, waived",
  }],
  ["it is replaced", (it) => it.onReplaced(0), {
    "unprobed, none": "verified, none",
    "probed, none": "verified, none",
    "deferred, none": "verified, none",
    "verified, suspect": "verified, none",
    "verified, waived": "verified, none",
    "probed, suspect": "verified, none",
    "deferred, suspect": "verified, none",
  }],
  ["a sleep", (it) => it.onResume(0, 0), {
    "verified, none": "unprobed, none",
    "probed, none": "unprobed, none",
    "deferred, none": "unprobed, none",
    "verified, suspect": "unprobed, none",
    "verified, waived": "unprobed, none",
    "probed, suspect": "unprobed, none",
    "deferred, suspect": "unprobed, none",
  }],
];

for (const [event, act, next] of TRANSITIONS) {
  for (const [name, reach] of Object.entries(STATES)) {
    const expected = next[name] ?? name;
    test(`Liveness states: ${name}: ${event}: ${expected === "-" ? "an error" : expected}`, () => {
      const liveness = new Liveness(LIMITS, 0);
      reach(liveness);
      assertEquals(stateOf(liveness), name);
      if (expected === "-") {
        const isSuspicion = event === "become suspect";
        const state = name.split(", ")[isSuspicion ? 1 : 0]!;
        const message = `that is ${state} cannot ${event}`;
        assertThrows(() => act(liveness), Error, message);
        assertEquals(stateOf(liveness), name, "nothing has changed");
        return;
      }
      act(liveness);
      // A suspect connection is never due for a probe, so `stateOf` cannot
      // distinguish these two states.
      const found = expected.replace("unprobed, suspect", "probed, suspect");
      assertEquals(stateOf(liveness), found);
    });
  }
}

const DELAY_ENDS: [event: string, act: Act, isOver: boolean][] = [
  ["another call", (it) => it.delayCall(0, 1), false],
  ["suspicion", (it) => it.markSuspect(0, 1), false],
  ["the time before its end", (it) => it.endCallDelayIfDue(249), false],
  ["its end", (it) => it.endCallDelayIfDue(250), true],
  ["a frame", (it) => it.onFrame(0), true],
  ["the call is gone", (it) => it.cancelCallDelay(), true],
  ["it is not needed", (it) => it.endCallDelay(0), true],
  ["suspicion is waived", (it) => it.waiveSuspicion(0), true],
  ["it is replaced", (it) => it.onReplaced(0), true],
  ["a sleep", (it) => it.onResume(0, 0), true],
];
for (const [event, act, isOver] of DELAY_ENDS) {
  test(`Call delay: ${isOver ? "ends" : "goes on"}: ${event}`, () => {
    const liveness = new Liveness(LIMITS, 0);
    act(liveness);
    assertEquals(
      liveness.areCallsWaiting,
      event === "another call",
      "without a delay it changes nothing",
    );
    const delayed = new Liveness(LIMITS, 0);
    delayed.delayCall(0, 250);
    act(delayed);
    assertEquals(delayed.areCallsWaiting, !isOver);
    if (!isOver) assertEquals(delayed.deadline(NO_DEMAND) <= 250, true);
  });
}

test("Liveness: with probes off, a connection needs no verification after a sleep", () => {
  const liveness = new Liveness({ ...LIMITS, pingInterval: Infinity }, 0);
  liveness.onResume(0, 0);
  assertEquals([liveness.isUnverified, liveness.deadline(NO_DEMAND)], [
    false,
    Infinity,
  ]);
});

test("Liveness: only the last 64 unanswered probes count", () => {
  const liveness = new Liveness(LIMITS, 0);
  const probe = (id: string, now: number): void => {
    liveness.onProbeSent(id, now, {
      writeNumber: liveness.assignWriteNumber(),
    });
  };
  for (let i = 0; i < 65; i++) probe(`${i}`, i);
  assertEquals(liveness.deadline(NO_DEMAND), 5_001);
  assertEquals(liveness.onProbeAnswered("0", 70), undefined);
  assertEquals(liveness.onProbeAnswered("3", 70), 4);
  assertEquals(liveness.onProbeAnswered("2", 70), undefined, "overtaken");
  assertEquals(liveness.hasUnansweredProbeAfter(64, 1_064), true);
  assertEquals(liveness.hasUnansweredProbeAfter(65, 1_064), false);
  assertEquals(liveness.deadline(NO_DEMAND), 5_070, "a frame has arrived");
  for (let i = 65; i < 140; i++) probe(`${i}`, i + 10);
  assertEquals(liveness.deadline(NO_DEMAND), 5_086);
});
