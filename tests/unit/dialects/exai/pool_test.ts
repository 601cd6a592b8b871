/**
 * Tests the connections of the exai dialect: the main connection, and the pool,
 * in which each running call has its own connection.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../../helpers/session/exai_driver.ts";

test("exai pool: repeated losses of the main connection do not extend the wait for a pool connection", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  let main = driver.connectionId;
  driver.openAndAcknowledgeHello(main);
  driver.callTool(1, "chat");
  let answeredAt = 0;
  for (let i = 0; i < 10 && answeredAt === 0; i++) {
    for (let s = 0; s < 20 && answeredAt === 0; s++) {
      // The daemon refuses each pool connection: it has too many sessions.
      if (driver.connectionId !== main) {
        driver.open();
        driver.close(1000);
      }
      driver.advance(1_000);
      if (driver.responsesToClient().length > 0) answeredAt = driver.now;
    }
    driver.close(1006, main);
    driver.advanceToNextDial();
    main = driver.connectionId;
    driver.openAndAcknowledgeHello(main);
  }
  // The queue timeout of 45 s. A new main connection does not restart it.
  assert(answeredAt >= 45_000 && answeredAt <= 67_000, `${answeredAt}`);
});

test("exai pool: a refused token is tried again for a call 5 s later, and every call fails with the reason", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  let { length } = driver.dials;
  const refuse = (): void => {
    if (driver.dials.length === length) return;
    length = driver.dials.length;
    driver.open();
    driver.frameFromDaemon({
      op: "hello_ack",
      ok: false,
      error: "unauthorized",
    });
  };
  driver.callTool(0, "chat");
  refuse();
  for (let i = 1; i <= 20; i++) {
    driver.advance(1_000);
    driver.frameFromDaemon({ op: "health_res", ok: true }, 1);
    driver.callTool(i, "chat");
    refuse();
    assertEquals(driver.sentToClient().length, i + 1);
  }
  const [, ...moments] = driver.dials.map(({ at }) => at);
  assertEquals(moments, [0, 5_000, 10_000, 15_000, 20_000]);
  for (const { error } of driver.sentToClient()) {
    assertMatch(error.message, /rejects the token .*next attempt in \d+\.\d s/);
    assert(error.data.retryAfterMs >= 10_000);
  }
});

test("exai pool: while one dial checks whether the daemon still refuses the token, there is no other dial", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.callTool(0, "chat");
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error: "unauthorized" });
  driver.advance(4_900);
  driver.frameFromDaemon({ op: "health_res", ok: true }, 1);
  driver.advance(100);
  driver.takeEffects();
  for (const id of [1, 2, 3]) driver.callTool(id, "chat");
  assertEquals([driver.dials.length, driver.sentToClient()], [3, []]);
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error: "unauthorized" });
  assertEquals(driver.responsesToClient(), [[1, -31001], [2, -31001], [
    3,
    -31001,
  ]]);
  driver.advance(5_000);
  driver.takeEffects();
  driver.callTool(4, "chat");
  assertEquals(
    driver.openAndAcknowledgeHello().map(({ op }) => op),
    ["call_tool"],
    "the token is accepted",
  );
});

test("exai pool: after a sleep a connection is probed when its call ends, and used again", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.handle({ type: "resumed", monotonicGapMs: 60_000, suspendedMs: 0 });
  driver.frameFromDaemon({ op: "health_res", ok: true }, 1);
  driver.takeEffects();
  driver.advance(30_000);
  driver.frameFromDaemon({ op: "health_res", ok: true }, 1);
  driver.takeEffects();
  driver.returnResult(call, "slow");
  assertEquals(driver.responsesToClient(), [[1, "slow"]]);
  driver.callTool(2, "chat");
  const frames = driver.takeFrames().filter(({ connectionId }) =>
    connectionId === 2
  );
  assertEquals(frames.map(({ op }) => op), ["health"]);
  driver.frameFromDaemon({ op: "health_res", ok: true }, 2);
  const [next] = driver.takeFrames();
  assertEquals([next.op, next.connectionId], ["call_tool", 2]);
});

test("exai main connection: after a sleep during a probe, a new probe is sent and the connection is kept", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.advance(5_000);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["health"]);
  driver.handle({ type: "resumed", monotonicGapMs: 0, suspendedMs: 60_000 });
  assertEquals(driver.takeFrames(), []);
  driver.frameFromDaemon({ op: "health_res", ok: true }, 1);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["health"]);
  driver.advance(900);
  driver.frameFromDaemon({ op: "health_res", ok: true }, 1);
  driver.takeEffects();
  driver.advance(4_000);
  assertEquals(driver.takeEffects(), []);
});

test("exai main connection: after a sleep, the connection is closed if the earlier probe stays unanswered", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.advance(5_000);
  driver.handle({ type: "resumed", monotonicGapMs: 0, suspendedMs: 60_000 });
  driver.takeEffects();
  driver.advance(1_000);
  assert(driver.takeEffects().some(({ type }) => type === "close"));
});

test("exai shutdown: a call that waits for a free connection fails as not delivered", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  for (let i = 1; i <= 4; i++) driver.startCall(i);
  driver.callTool(5, "chat");
  driver.end();
  driver.takeEffects();
  driver.advance(1_500);
  const { error } = driver.sentToClient().find(({ id }) => id === 5);
  assertMatch(
    error.message,
    /stopped while tools\/call "chat" waited in the queue/,
  );
  assertEquals([error.code, error.data.delivered], [-31001, "no"]);
});

test("exai shutdown: a call that waits to be sent again fails with an unknown outcome", () => {
  const driver = new ExaiDriver({ retry: "always" });
  /**
   * Opens a connection to a daemon of a later revision, which takes our session
   * id. It has no `health`, so the proxy cannot find out the outcome of a call.
   */
  const completeHandshake = (): void => {
    driver.open();
    const { session_id } = driver.takeFrames().at(-1);
    driver.frameFromDaemon({ op: "hello_ack", ok: true, session_id });
  };
  completeHandshake();
  for (const id of [1, 2]) {
    driver.callTool(id, "chat");
    completeHandshake();
  }
  driver.close(1006, 2);
  driver.end();
  driver.takeEffects();
  driver.advance(1_500);
  const { error } = driver.sentToClient().find(({ id }) => id === 1);
  assertMatch(error.message, /waited in the queue: it was not answered/);
  assertEquals(error.data.delivered, "unknown");
});

test("exai pool: when a cancel closes the only connection, the next call gets a new one", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.callTool(2, "chat");
  driver.open(3);
  driver.close(1008, 3);
  while (driver.now < 178_000) {
    for (const effect of driver.takeEffects()) {
      if (effect.type === "send-to-daemon" && effect.connectionId === 1) {
        driver.returnHealth(1, "1:00:00");
      }
      if (effect.type !== "dial") continue;
      driver.open(effect.connectionId);
      driver.close(1008, effect.connectionId);
    }
    driver.advance(250);
  }
  const { length } = driver.dials;
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.takeEffects();
  driver.advance(2_000);
  // Without a new dial, call 2 would have failed with -31001 by now.
  assertEquals(driver.sentToClient(), []);
  assert(driver.dials.length > length, "no link was dialed for call 2");
});

for (const how of ["close", "cancel"]) {
  test(`exai pool: after a refusal, a waiting call fails as soon as the last connection closes (${how})`, () => {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const one = driver.startCall(1);
    driver.close(1006, 1);
    driver.advanceToNextDial();
    driver.open();
    driver.frameFromDaemon({
      op: "hello_ack",
      ok: false,
      error: "unauthorized",
    });
    driver.callTool(2, "chat");
    driver.takeEffects();
    if (how === "close") driver.close(1006, one.connectionId);
    else {driver.fromClient({
        method: "notifications/cancelled",
        params: { requestId: 1 },
      });}
    assert(driver.responsesToClient().some(([id]) => id === 2));
  });
}

test("exai pool: the queue timeout of a call includes the waits for the main connection and for a pool connection", () => {
  const driver = new ExaiDriver();
  driver.callTool(1, "chat");
  while (driver.now < 43_000) {
    driver.failDial();
    driver.advanceToNextDial();
  }
  const { now } = driver;
  driver.takeEffects();
  driver.openAndAcknowledgeHello(); // the session now dials a pool link
  driver.advance(45_000 - now - 1);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(
    driver.sentToClient().map(({ id, error }) => [id, error?.code]),
    [[1, -31001]],
  );
});

test("exai pool: a call does not wait behind a dead idle connection while another can be opened", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const one = driver.startCall(1);
  const two = driver.startCall(2);
  driver.returnResult(one, "x");
  driver.returnResult(two, "y");
  driver.advance(5_000); // a probe is sent on each of the 3 links
  driver.returnHealth(1, "1:00:00");
  driver.returnHealth(3, "1:00:00"); // link 2 does not answer its probe
  driver.callTool(5, "long");
  const { length } = driver.dials;
  driver.callTool(6, "parked");
  driver.advance(15_000);
  assert(driver.dials.length > length, "no link was opened for it");
});

test("exai main connection: if it is silent during a list request, the list is requested on a standby", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request(1, "tools/list");
  driver.advance(10_000);
  assertEquals(driver.connectionId, 2);
  driver.takeEffects();
  assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
    "health",
  ]);
  driver.returnHealth(2, "1:00:00");
  driver.advance(5_000);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["health"]);
  driver.returnHealth(2, "1:00:00");
  assertEquals(driver.isConnectionClosed(1), true);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
  driver.frameFromDaemon({ op: "list_tools_res", tools: [] });
  assertEquals(driver.responsesToClient(), [[1, { tools: [] }]]);
});

test("exai pool: a call that waits for the first connection of the pool gets wait progress", () => {
  const driver = new ExaiDriver({
    queueTimeout: 10_000,
    pingInterval: Infinity,
  });
  driver.openAndAcknowledgeHello();
  driver.advance(3_600_000);
  driver.callTool(1, "chat", { progressToken: 7 });
  driver.takeEffects();
  driver.advance(1_500);
  const [{ params }] = driver.sentToClient();
  assertEquals(params.message, "Waiting for the daemon (attempt 1, under way)");
  driver.advance(10_000);
  const { error } = driver.sentToClient().at(-1);
  assertMatch(
    error.message,
    /in time \(the limit is \d\.\d s because a request waits\) \(down for 10\.0 s, 4 attempts/,
  );
});

test("exai pool: eight calls run four at a time, the others in order as connections become free", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  for (let id = 1; id <= 8; id++) driver.callTool(id, `tool${id}`);
  assertEquals(driver.dials.length, 5);
  const calls = [2, 3, 4, 5].flatMap((connectionId) =>
    driver.openAndAcknowledgeHello(connectionId)
  );
  assertEquals(calls.map(({ name }) => name), [
    ...["tool1", "tool2", "tool3", "tool4"],
  ]);
  driver.takeEffects();
  driver.returnResult(calls[2], "third");
  assertEquals(driver.responsesToClient(), [[3, "third"]]);
  assertEquals(
    driver.takeFrames().map(({ connectionId, name }) => [connectionId, name]),
    [[4, "tool5"]],
  );
});

test("exai main connection: tools/list and probes do not wait behind a call", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.request(2, "tools/list");
  assertEquals(driver.takeFrames(), [{ connectionId: 1, op: "list_tools" }]);
});

test("exai main connection: a list waits for the response to a probe, as one frame is in flight at a time", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.advance(5_000);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["health"]);
  driver.request(1, "tools/list");
  assertEquals(driver.takeFrames(), []);
  driver.frameFromDaemon({
    error: { code: "INVALID_REQUEST", message: "no health" },
  });
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
});

test("exai pool: a call that waits for a free connection may exceed the queue timeout, but not its own limit", () => {
  const driver = new ExaiDriver({ requestTimeout: 100_000 });
  driver.openAndAcknowledgeHello();
  for (let id = 1; id <= 5; id++) driver.callTool(id, "chat");
  for (const connectionId of [2, 3, 4, 5]) {
    driver.openAndAcknowledgeHello(connectionId);
  }
  driver.advance(99_000);
  assertEquals(driver.responsesToClient(), []);
  driver.advance(1_000);
  assertEquals(
    driver.responsesToClient(),
    [1, 2, 3, 4, 5].map((id) => [id, -31003]),
  );
});

test("exai pool: a connection is closed after a minute without a call", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.advance(100_000);
  driver.returnResult(call, "late");
  driver.takeEffects();
  driver.advance(59_999);
  assertEquals(driver.takeEffects(), []);
  driver.advance(1);
  assertEquals(
    driver.takeEffects().filter(({ type }) => type === "close"),
    [{ type: "close", connectionId: 2 }],
  );
  driver.advance(600_000);
  assertEquals([driver.takeEffects(), driver.session.deadline()], [
    [],
    Infinity,
  ]);
});

test("exai pool: a connection whose call timed out or was cancelled is not used again", () => {
  for (const isCancelled of [true, false]) {
    const driver = new ExaiDriver({ requestTimeout: 10_000 });
    driver.openAndAcknowledgeHello();
    driver.startCall(1);
    if (isCancelled) {
      const params = { requestId: 1 };
      driver.fromClient({ method: "notifications/cancelled", params });
    } else {
      driver.advance(10_000);
    }
    const closed = driver.takeEffects().filter(({ type }) => type === "close");
    assertEquals(closed, [{ type: "close", connectionId: 2 }]);
    const next = driver.startCall(2);
    assertEquals(next.connectionId, 3);
    driver.returnResult(next, "good");
    assertEquals(driver.responsesToClient(), [[2, "good"]]);
  }
});

test("exai pool: a full pool does not count as a lost daemon", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.callTool(2, "chat");
  for (let i = 0; i < 3; i++) {
    driver.open();
    driver.close(1008);
    driver.advanceToNextDial();
  }
  assertEquals(driver.logEvents(), ["pool-attempt-failed"]);
  driver.returnResult(call, "first");
  assertEquals(driver.takeFrames().at(-1)?.name, "chat");
  driver.request(3, "tools/list");
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
});

test("exai pool: a call that gets no connection fails with the reason after the queue timeout", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  driver.openAndAcknowledgeHello();
  driver.callTool(1, "chat");
  while (driver.sentToClient().length === 0 && driver.now < 100_000) {
    driver.open();
    driver.close(1008);
    driver.advance(1_000);
  }
  assert(driver.now >= 45_000 && driver.now < 46_000);
  const [{ error }] = driver.sentToClient();
  assertEquals([error.code, error.data.delivered], [-31001, "no"]);
  assertMatch(error.message, /MAX_CONNECTIONS/);
  driver.takeEffects();
  driver.advance(1_000);
  assertEquals(driver.takeEffects(), [], "no call needs the pool any more");
});
