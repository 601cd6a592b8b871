/**
 * Tests the outcome of an exai call that loses its connection. On the next
 * connection, the proxy finds out whether the daemon's process is the same.
 *
 * @module
 */

import type { SessionConfig } from "../../../../lib/session/session_config.ts";
import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

/** Starts a call, and loses all connections after `ageMs`. */
function startCallAndLoseConnections(
  ageMs = 10_000,
  config: Partial<SessionConfig> = {},
): { driver: ExaiDriver; call: Json } {
  const driver = new ExaiDriver(config);
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.advance(ageMs);
  driver.close(1006, call.connectionId);
  driver.close(1006, 1);
  driver.takeEffects();
  return { driver, call };
}

/**
 * Reconnects the main link and then a pool link. Returns the frames that the
 * session sends on the pool link.
 */
function reconnectBoth(driver: ExaiDriver): Json[] {
  driver.advanceToNextDial();
  driver.takeEffects();
  assertEquals(
    driver.openAndAcknowledgeHello(),
    [],
    "nothing is requested on the main link",
  );
  return driver.openAndAcknowledgeHello();
}

test("exai outcome: if the process is the same, the same request is sent again and polled until its result arrives", () => {
  const { driver, call } = startCallAndLoseConnections();
  assertEquals(reconnectBoth(driver).map(({ op }) => op), ["health"]);
  const { connectionId } = driver;
  driver.returnHealth(connectionId, "0:00:11");
  const { connectionId: _, ...again } = driver.takeFrames()[0];
  const { connectionId: __, ...first } = call;
  assertEquals(again, first);
  const note = "duplicate request; still processing";
  const { request_id } = call;
  for (const pause of [1_000, 2_000, 4_000, 5_000, 5_000]) {
    driver.frameFromDaemon({ op: "progress", request_id, note });
    driver.advance(pause - 1);
    assertEquals(
      driver.takeFrames().filter(({ op }) => op === "call_tool"),
      [],
    );
    driver.advance(1);
    const polls = driver.takeFrames().filter(({ op }) => op === "call_tool");
    assertEquals(polls.map(({ request_id }) => request_id), [request_id]);
  }
  driver.returnResult({ request_id, connectionId }, "done at last");
  assertEquals(driver.responsesToClient(), [[1, "done at last"]]);
});

test("exai outcome: with another process, nothing is sent and the outcome is unknown", () => {
  for (const uptime of ["0:00:09", "0:00:00"]) {
    const { driver } = startCallAndLoseConnections();
    reconnectBoth(driver);
    driver.returnHealth(driver.connectionId, uptime);
    assertEquals(driver.takeFrames(), []);
    assertEquals(
      driver.responsesToClient(),
      [],
      "takeFrames has removed the responses",
    );
  }
  const { driver } = startCallAndLoseConnections();
  reconnectBoth(driver);
  driver.returnHealth(driver.connectionId, "0:00:02");
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
});

test("exai outcome: with another process, a call is executed again if --retry is always", () => {
  const { driver, call } = startCallAndLoseConnections(10_000, {
    retry: "always",
  });
  reconnectBoth(driver);
  driver.returnHealth(driver.connectionId, "0:00:02");
  const [again] = driver.takeFrames();
  assertEquals(again.name, call.name);
  assert(again.request_id !== call.request_id);
  driver.returnResult(again, "new");
  assertEquals(driver.responsesToClient(), [[1, "new"]]);
});

const UNKNOWN_OUTCOMES: [what: string, frame: Json][] = [
  ["no health op", { op: "error", message: "Unknown op: health" }],
  ["a bare error", { error: { code: "INVALID_REQUEST", message: "no" } }],
  ["an uptime in an unknown form", {
    op: "health_res",
    ok: true,
    health: { uptime_human: "ages" },
  }],
  ["a health_res without health", { op: "health_res", ok: true }],
  ["not ok", {
    op: "health_res",
    ok: false,
    health: { uptime_human: "9:00:00" },
  }],
];

for (const [what, frame] of UNKNOWN_OUTCOMES) {
  test(`exai outcome: unknown if the daemon does not identify its process: ${what}`, () => {
    const { driver } = startCallAndLoseConnections();
    reconnectBoth(driver);
    driver.frameFromDaemon(frame);
    assertEquals(driver.responsesToClient(), [[1, -31002]]);
    assertEquals(driver.takeFrames(), []);
  });
}

test("exai outcome: unknown at once if the daemon has no health op", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello(1, "editor-80000000-1");
  driver.callTool(1, "chat");
  driver.openAndAcknowledgeHello(2, "editor-80000000-2");
  driver.close(1006, 2);
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
});

for (const timeout of [undefined, 67, 300]) {
  test(`exai outcome: after 'still processing', the call is polled up to the daemon's limit plus the grace: ${timeout}`, () => {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const { request_id } = driver.startCall(1);
    driver.frameFromDaemon({ op: "call_tool_ack", request_id, timeout });
    driver.advance(10_000);
    driver.close(1006, 2);
    driver.advanceToNextDial();
    assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
      "health",
    ]);
    driver.returnHealth(driver.connectionId, "0:00:11");
    const note = "duplicate request; still processing";
    while (driver.sentToClient().length === 0) {
      const poll = driver.takeFrames().find(({ op }) => op === "call_tool");
      if (poll) {
        driver.frameFromDaemon(
          { op: "progress", request_id, note },
          poll.connectionId,
        );
      }
      driver.advance(500);
    }
    assertEquals(driver.responsesToClient(), [[1, -31003]]);
    const late = driver.now - ((timeout ?? 67) + 120) * 1000;
    assert(late >= 0 && late < 1_000, `${late}`);
    assertEquals(driver.sentToClient()[0].error.data.delivered, "unknown");
  });
}

test("exai outcome: unknown after the queue timeout if the daemon does not return", () => {
  const { driver } = startCallAndLoseConnections();
  for (let dials = 0; driver.sentToClient().length === 0; driver.advance(500)) {
    if (driver.dials.length > dials) driver.failDial();
    dials = driver.dials.length;
  }
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
  assert(driver.now >= 55_000 && driver.now < 57_000, `${driver.now}`);
});

test("exai outcome: refused dials in between do not mean that it is another process", () => {
  const { driver, call } = startCallAndLoseConnections();
  for (let i = 0; i < 5; i++) {
    driver.advanceToNextDial();
    driver.failDial();
  }
  driver.takeEffects();
  assertEquals(reconnectBoth(driver).map(({ op }) => op), ["health"]);
  driver.returnHealth(driver.connectionId, "1 day, 0:00:01");
  assertEquals(driver.takeFrames()[0].request_id, call.request_id);
});

test("exai outcome: a different start time on the daemon's clock means that it is another process, whatever its uptime", () => {
  for (const [startUnixS, isSame] of [[1_000, true], [1_005, false]] as const) {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    driver.advance(5_000);
    driver.returnHealth(1, "0:01:40", 1_100); // so it started at 1000 Unix s
    const call = driver.startCall(1);
    driver.advance(1_000);
    driver.close(1006, call.connectionId);
    driver.close(1006, 1);
    driver.takeEffects();
    reconnectBoth(driver);
    driver.returnHealth(driver.connectionId, "1:00:00", startUnixS + 3_600);
    const sent = driver.takeFrames().map(({ op }) => op);
    assertEquals(sent, isSame ? ["call_tool"] : []);
  }
});

test("exai outcome: a lost call is sent before the queued calls, and does not delay them", () => {
  const { driver, call } = startCallAndLoseConnections();
  driver.callTool(2, "second");
  driver.callTool(3, "third");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.openAndAcknowledgeHello();
  const third = driver.connectionId;
  const frames = driver.openAndAcknowledgeHello(third - 2);
  assertEquals(frames.map(({ op }) => op), ["health"]);
  const named = [third - 1, third].flatMap((connectionId) =>
    driver.openAndAcknowledgeHello(connectionId)
  );
  assertEquals(named.map(({ name }) => name), ["second", "third"]);
  driver.returnHealth(third - 2, "0:01:00");
  assertEquals(driver.takeFrames()[0].request_id, call.request_id);
});

test("exai outcome: a call that is cancelled while it waits for its outcome is not polled", () => {
  const { driver } = startCallAndLoseConnections(1_000, {
    pingInterval: Infinity,
  });
  const params = { requestId: 1 };
  driver.fromClient({ method: "notifications/cancelled", params });
  driver.advanceToNextDial();
  driver.takeEffects();
  assertEquals(driver.openAndAcknowledgeHello(), []);
  driver.advance(60_000);
  assertEquals(driver.dials.length, 3);
  assertEquals(driver.responsesToClient(), []);
});

test("exai outcome: unknown after a second lost connection", () => {
  const { driver } = startCallAndLoseConnections();
  reconnectBoth(driver);
  driver.returnHealth(driver.connectionId, "1:00:00");
  assertEquals(driver.takeFrames().map(({ op }) => op), ["call_tool"]);
  driver.close();
  const [reply] = driver.sentToClient();
  assertEquals(reply.error.code, -31002);
  assertMatch(reply.error.message, /2 lost connections/);
});

test("exai outcome: at the end of stdin, a call that waits for its outcome fails with an unknown outcome", () => {
  const { driver } = startCallAndLoseConnections();
  driver.end();
  driver.advance(1_500);
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
});

test("exai outcome: unknown at once if the daemon now refuses the token", () => {
  const { driver } = startCallAndLoseConnections();
  driver.advanceToNextDial();
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error: "unauthorized" });
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
});

test("exai outcome: the stored result of a blocking call older than 187 s is fetched", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1); // the daemon sends neither progress nor ack
  driver.advance(190_000);
  driver.loseBothAndReconnect(call);
  driver.returnHealth(driver.connectionId, "0:10:00");
  const [poll] = driver.takeFrames();
  driver.advance(5); // a round trip
  driver.returnResult(poll, "cached");
  assertEquals(driver.responsesToClient(), [[1, "cached"]]);
});

for (const pingInterval of [5_000, Infinity]) {
  test(`exai outcome: if health is never answered, the call ends after its own limit (ping ${pingInterval})`, () => {
    const driver = new ExaiDriver({ pingInterval });
    driver.openAndAcknowledgeHello();
    const call = driver.startCall(1);
    driver.advance(1_000);
    driver.close(1006, call.connectionId); // the main connection stays open
    const replies: Json[] = [];
    while (driver.now < 3_600_000) {
      for (const effect of driver.takeEffects()) {
        if (effect.type === "send-to-client") {
          replies.push(JSON.parse(effect.text));
        }
        if (effect.type === "send-to-daemon" && effect.connectionId === 1) {
          driver.returnHealth(1, "1:00:00");
        }
        if (effect.type !== "dial") continue;
        driver.open(effect.connectionId);
        driver.frameFromDaemon(
          { op: "hello_ack", ok: true, session_id: "theirs" },
          effect.connectionId,
        );
      }
      driver.advance(250);
    }
    assertEquals(replies.length, 1);
  });
}

test("exai outcome: a call that is executed again has the limit of its new ack", () => {
  const driver = new ExaiDriver({ retry: "always" });
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.frameFromDaemon({
    op: "call_tool_ack",
    request_id: call.request_id,
    timeout: 67,
  });
  driver.advance(180_000);
  driver.loseBothAndReconnect(call);
  driver.returnHealth(driver.connectionId, "0:00:01");
  const [{ request_id }] = driver.takeFrames();
  driver.advance(70_000);
  driver.frameFromDaemon({ op: "call_tool_ack", request_id, timeout: 67 });
  driver.advance(186_000);
  assertEquals(driver.sentToClient(), []);
});

test("exai outcome: the progress of a call that is executed again keeps rising", () => {
  const driver = new ExaiDriver({ retry: "always" });
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1, "chat", { progressToken: "t" });
  for (let t = 0; t < 3; t++) {
    driver.frameFromDaemon({ op: "progress", request_id: call.request_id, t });
  }
  driver.advance(10_000);
  driver.loseBothAndReconnect(call);
  driver.returnHealth(driver.connectionId, "0:00:01");
  const [{ request_id }] = driver.takeFrames();
  driver.frameFromDaemon({ op: "progress", request_id, t: 9 });
  assertEquals(driver.sentToClient().map(({ params }) => params.progress), [4]);
});

test("exai outcome: a poll that gets OVER_CAPACITY was not executed, so the call is sent again with a new id", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.loseBothAndReconnect(call);
  driver.advance(1_000);
  driver.returnHealth(driver.connectionId, "1:00:00");
  const [{ request_id }] = driver.takeFrames();
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
  driver.frameFromDaemon({ op: "call_tool_res", request_id, error });
  driver.advance(1_000);
  const again = driver.takeFrames().filter(({ op }: Json) => op === "call_tool")
    .at(
      -1,
    );
  assert(again.request_id !== request_id);
});
