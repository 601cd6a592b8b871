/**
 * Tests each rule of the delivery contract: a request gets exactly one
 * response, and nothing unsafe is executed twice.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { refuseDial } from "../../helpers/session/outage.ts";
import { isProxyRequestId } from "../../helpers/session/proxy_request_ids.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import { LOOK_AND_WRITE } from "../../helpers/session/two_tool_session.ts";
import { test } from "../../helpers/no_permissions.ts";

/** Returns the ids and codes of all errors sent to the client. */
function errorsToClient(driver: SessionDriver): [id: unknown, code: number][] {
  return driver.sentToClient().filter(({ error }) => error)
    .map(({ id, error }) => [id, error.code]);
}

function methods(messages: Json[]): string[] {
  return messages.map(({ method }) => method);
}

/** Returns a session whose client knows `look` (read-only) and `write`. */
function connectWithTools(config = {}): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.request("list", "tools/list");
  driver.fromDaemon({ id: "list", result: { tools: LOOK_AND_WRITE } });
  driver.takeEffects();
  return driver;
}

/** Answers the proxy's request for the tool list on the latest connection. */
function answerToolList(driver: SessionDriver): void {
  const { id } = driver.sentExceptProbes().find(({ id, method }) =>
    method === "tools/list" && isProxyRequestId(id)
  )!;
  driver.fromDaemon({ id, result: { tools: LOOK_AND_WRITE } });
}

test("Forwarding: the text of a message is unchanged in both directions", () => {
  const driver = new SessionDriver();
  driver.connect();
  const there =
    '{"id":1.0,"jsonrpc":"2.0","method":"x","params":{"n":1e2,"n":12345678901234567890},"extra":"\\u00e9"}';
  const back = '{ "result":{"n":1.50},"jsonrpc":"2.0","id":1, "__proto__":1}';
  driver.fromClient(there);
  driver.fromDaemon(back);
  const texts = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" || effect.type === "send-to-client"
      ? [effect.text]
      : []
  );
  const [probe, ...rest] = texts;
  assertEquals(JSON.parse(probe!).method, "ping");
  assertEquals(rest, [there, back]);
});

test("Queue: requests wait for the next connection, in order", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  for (const id of [1, "1", 0, "0"]) driver.callTool(id, "write");
  driver.advance(260);
  driver.takeEffects();
  driver.reconnect();
  const calls = driver.sentExceptProbes().filter(({ method }) =>
    method === "tools/call"
  );
  assertEquals(calls.map(({ id }) => id), [1, "1", 0, "0"]);
  assertEquals(errorsToClient(driver), []);
});

test("Queue: a request that was never sent fails as unavailable when its queue timeout passes, not before", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  driver.callTool(1, "write");
  while (driver.now < 44_000) {
    driver.advance(100);
    if (driver.session.deadline() < Infinity) driver.failDial();
  }
  assertEquals(errorsToClient(driver), []);
  driver.advance(45_000 - driver.now);
  const [{ error }] = driver.sentToClient();
  assertEquals(error.code, -31001);
  assertEquals(error.data.delivered, "no");
  assertEquals(error.data.retryable, true);
  assert(error.data.attempt > 10);
  assertMatch(
    error.message,
    /ws:\/\/daemon\/.*nothing listens there.*not delivered/,
  );
});

test("Lost connection: a safe request is sent again on the next connection with the same id", () => {
  const driver = connectWithTools();
  driver.request(1, "tools/list");
  driver.callTool(2, "look");
  driver.close();
  driver.advance(260);
  assertEquals(errorsToClient(driver), []);
  driver.takeEffects();
  driver.reconnect();
  answerToolList(driver);
  const [, ...sent] = driver.sentExceptProbes().filter(({ id }) =>
    !isProxyRequestId(id)
  );
  assertEquals(sent.map(({ id }) => id).slice(0, 2), [1, 2]);
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  driver.fromDaemon({ id: 2, result: {} });
  assertEquals(
    driver.sentToClient().filter(({ id }) => id).map(({ id }) => id),
    [
      1,
      2,
    ],
  );
});

test("Lost connection: an unsafe request fails at once with an unknown outcome, and is never sent again", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.takeEffects();
  driver.close();
  const [{ id, error }] = driver.sentToClient();
  assertEquals([id, error.code, error.data.delivered], [1, -31002, "unknown"]);
  assertEquals(error.data.retryable, false);
  assertMatch(error.message, /write.*may or may not have been executed/);
  driver.advance(260);
  driver.takeEffects();
  driver.reconnect();
  assertEquals(
    methods(driver.sentExceptProbes()).includes("tools/call"),
    false,
  );
});

const POLICIES: [retry: "safe" | "always" | "never", resent: unknown[]][] = [
  ["safe", ["look"]],
  ["always", ["look", "write"]],
  ["never", []],
];
for (const [retry, resent] of POLICIES) {
  test(`Lost connection: --retry ${retry} sends again: ${resent.join(" ") || "nothing"}`, () => {
    const driver = connectWithTools({ retry });
    driver.callTool("look", "look");
    driver.callTool("write", "write");
    driver.close();
    assertEquals(
      errorsToClient(driver).map(([id]) => id),
      ["look", "write"].filter((id) => !resent.includes(id)),
    );
    driver.advance(260);
    driver.takeEffects();
    driver.reconnect();
    answerToolList(driver);
    const calls = driver.sentExceptProbes().filter(({ method }) =>
      method === "tools/call"
    );
    assertEquals(calls.map(({ id }) => id), resent);
  });
}

test("Lost connection: after the second loss, a request is not sent a third time", () => {
  const driver = connectWithTools({ retry: "always" });
  driver.callTool(1, "write");
  for (let losses = 1; losses <= 2; losses++) {
    assertEquals(errorsToClient(driver), []);
    driver.close();
    driver.advance(2000);
    if (losses === 1) driver.reconnect();
  }
  assertEquals(errorsToClient(driver), [[1, -31002]]);
  assertMatch(driver.sentToClient().at(-1).error.message, /2 lost connections/);
});

test("Timeout: the request is cancelled at the daemon, fails, and its late response is dropped", () => {
  const driver = connectWithTools({
    requestTimeout: 20_000,
    pingInterval: Infinity,
  });
  driver.callTool(7, "write");
  driver.takeEffects();
  driver.advance(19_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(errorsToClient(driver), [[7, -31003]]);
  const [cancel] = driver.sentExceptProbes();
  assertEquals(cancel.method, "notifications/cancelled");
  assertEquals(cancel.params.requestId, 7);
  driver.takeEffects();
  driver.fromDaemon({ id: 7, result: {} });
  assertEquals(driver.sentToClient(), []);
});

test("Progress: postpones the idle timeout, and reaches the client even if it does not increase", () => {
  const driver = connectWithTools({
    idleTimeout: 10_000,
    pingInterval: Infinity,
  });
  driver.callTool(1, "write", { progressToken: "t" });
  driver.takeEffects();
  const progress = (progressToken: unknown, progress: number): void =>
    driver.fromDaemon({
      method: "notifications/progress",
      params: { progressToken, progress },
    });
  driver.advance(9_000);
  progress("t", 1);
  driver.advance(9_000);
  progress("t", 2);
  progress("t", 2);
  progress("t", 1);
  progress("u", 9);
  assertEquals(
    driver.sentToClient().map(({ params }) => params.progress),
    [1, 2, 2, 1],
  );
  driver.fromDaemon({ id: 1, result: {} });
  driver.takeEffects();
  progress("t", 3);
  assertEquals(driver.sentToClient(), [], "it is answered");
});

test("Progress: a task's progress reaches the client after the response to its request", () => {
  const driver = connectWithTools();
  const _meta = { progressToken: "t" };
  driver.request(1, "tools/call", { name: "write", task: {}, _meta });
  driver.fromDaemon({ id: 1, result: { task: { taskId: "7" } } });
  const progress = (value: number): Json[] => {
    driver.takeEffects();
    driver.fromDaemon({
      method: "notifications/progress",
      params: { progressToken: "t", progress: value },
    });
    return driver.sentToClient().map(({ params }) => params.progress);
  };
  assertEquals(progress(1), [1]);
  driver.request(2, "tasks/result", { taskId: "7" });
  driver.fromDaemon({ id: 2, result: {} });
  assertEquals(progress(2), [], "it has ended");
});

test("Progress: if a safe request is sent again, the client gets no value twice", () => {
  const driver = connectWithTools();
  driver.callTool(1, "look", { progressToken: 0 });
  const progress = (progress: number): void =>
    driver.fromDaemon({
      method: "notifications/progress",
      params: { progressToken: 0, progress },
    });
  progress(5);
  driver.close();
  driver.advance(260);
  driver.reconnect();
  answerToolList(driver);
  driver.takeEffects();
  for (const value of [1, 5, 6]) progress(value);
  assertEquals(driver.sentToClient().map(({ params }) => params.progress), [6]);
});

test("Responses: duplicate, late and unknown responses are dropped", () => {
  const driver = connectWithTools();
  driver.request("7", "tools/list");
  driver.fromDaemon({ id: "7", result: { tools: [] } });
  driver.request(1, "tools/list");
  driver.takeEffects();
  const { connectionId } = driver;
  driver.fromDaemon({ id: "1", result: {} });
  driver.fromDaemon({ id: 99, result: {} });
  driver.fromDaemon({ id: null, error: { code: -32700, message: "?" } });
  assertEquals(driver.sentToClient(), []);
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  assertEquals(driver.sentToClient().length, 1);
  driver.request(2, "tools/list");
  driver.close();
  driver.advance(260);
  driver.takeEffects();
  driver.fromDaemon({ id: 2, result: {} }, connectionId);
  driver.close(1006, connectionId);
  assertEquals(driver.sentToClient(), [], "that connection was closed");
});

test("Duplicate id: a second request under an id in flight is dropped with a log line", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.callTool(1, "write");
  assertEquals(methods(driver.sentExceptProbes()), ["tools/call"]);
  assertEquals(driver.sentToClient(), []);
  assertEquals(driver.logEvents(), ["duplicate-id"]);
});

test("Cancellation: a cancelled request in the queue is neither sent nor answered", () => {
  const driver = connectWithTools();
  driver.close();
  driver.callTool(1, "write");
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.advance(260);
  driver.takeEffects();
  driver.reconnect();
  assertEquals(
    methods(driver.sentExceptProbes()).includes("tools/call"),
    false,
  );
  driver.advance(60_000);
  assertEquals(driver.sentToClient().filter(({ id }) => id === 1), []);
});

test("Cancellation: the daemon is notified if the request is in flight, and its response is dropped", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.takeEffects();
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: "1" },
  });
  assertEquals(driver.sentExceptProbes(), [], "another id");
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  assertEquals(methods(driver.sentExceptProbes()), ["notifications/cancelled"]);
  driver.fromDaemon({ id: 1, result: {} });
  driver.close();
  assertEquals(driver.sentToClient(), []);
});

test("Cancellation: initialize cannot be cancelled", () => {
  const driver = new SessionDriver();
  driver.request(0, "initialize", {});
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 0 },
  });
  driver.open();
  assertEquals(methods(driver.sentExceptProbes()), ["initialize"]);
  driver.fromDaemon({ id: 0, result: {} });
  assertEquals(driver.sentToClient()[0].id, 0);
});

test("Ping: the proxy answers the client's ping during an outage, and forwards it otherwise", () => {
  const driver = connectWithTools();
  driver.request(1, "ping");
  assertEquals(methods(driver.sentExceptProbes()), ["ping"]);
  driver.fromDaemon({ id: 1, result: {} });
  driver.close();
  driver.takeEffects();
  driver.request(2, "ping");
  assertEquals(driver.sentToClient(), [{ jsonrpc: "2.0", id: 2, result: {} }]);
});

test("Queue: when it is full, a request fails at once", () => {
  const driver = connectWithTools({ queueLimit: 2 });
  driver.close();
  for (const id of [1, 2, 3]) driver.callTool(id, "write");
  assertEquals(errorsToClient(driver), [[3, -31004]]);
  driver.fromClient({ method: "notifications/whatever" });
  assertEquals(driver.logEvents().at(-1), "dropped-notification");
});

test("Size limit: a message over --max-message fails only its own request", () => {
  const driver = connectWithTools({ maxMessage: 1000 });
  driver.request(1, "x", { text: "x".repeat(1000) });
  assertEquals(driver.sentExceptProbes(), []);
  driver.callTool(2, "write");
  driver.callTool(3, "write");
  driver.fromDaemon({ id: 2, result: { text: "x".repeat(1000) } });
  driver.fromDaemon({ id: 3, result: {} });
  assertEquals(errorsToClient(driver), [[1, -31005], [2, -31005]]);
  const [before, after] = driver.sentToClient().map(({ error }) => error?.data);
  assertEquals([before.delivered, after.delivered], ["no", "yes"]);
  assertEquals(driver.sentToClient().at(-1), {
    jsonrpc: "2.0",
    id: 3,
    result: {},
  });
});

const REFUSALS: [what: string, end: (driver: SessionDriver) => void][] = [
  ["close code 1008", (driver) => {
    driver.open();
    driver.close(1008);
  }],
  ["HTTP 401", refuseDial],
  ["another protocol version", (driver) => driver.reconnect("2099-01-01")],
];
for (const [what, end] of REFUSALS) {
  test(`Refusal: after ${what}, requests fail at once, and the next dial comes after --backoff-cap`, () => {
    const driver = connectWithTools();
    driver.close();
    driver.callTool(1, "write");
    driver.advance(260);
    driver.takeEffects();
    end(driver);
    driver.callTool(2, "write");
    assertEquals(errorsToClient(driver), [[1, -31001], [2, -31001]]);
    for (const { error } of driver.sentToClient()) {
      assertEquals(error.data.reason, "refused");
      assertEquals(error.data.retryable, false);
    }
    const { length } = driver.dials;
    driver.advance(29_000);
    assertEquals(driver.dials.length, length);
    driver.advance(1_001);
    assertEquals(driver.dials.length, length + 1);
    driver.takeEffects();
    driver.reconnect();
    driver.callTool(3, "write");
    assertEquals(driver.sentExceptProbes().at(-1).params, { name: "write" });
    assertEquals(driver.exitCode(), undefined);
  });
}

test("Liveness: a dead idle connection is lost within 10 s", () => {
  const driver = connectWithTools();
  const { now, connectionId } = driver;
  driver.advance(10_000);
  assertEquals(methods(driver.sentToDaemon()), ["ping"]);
  const close = driver.takeEffects().find(({ type }) => type === "close");
  assertEquals(close, { type: "close", connectionId });
  assertEquals(driver.now - now, 10_000);
});

test("Liveness: any frame answers a probe, even an invalid one", () => {
  const driver = connectWithTools();
  for (
    const frame of ["garbage", '{"jsonrpc":"2.0","method":"notifications/x"}']
  ) {
    driver.advance(5_000);
    driver.fromDaemon(frame);
  }
  driver.advance(4_999);
  assertEquals(
    driver.takeEffects().some(({ type }) => type === "close"),
    false,
  );
});

test("Liveness: a silent connection with a pending request is kept", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  const { connectionId } = driver;
  driver.advance(599_999);
  assertEquals(driver.isConnectionClosed(connectionId), false);
});

test("Shutdown: without pending requests, closes the connection and exits with 0 at once", () => {
  const driver = connectWithTools();
  const { connectionId } = driver;
  driver.end();
  assertEquals(driver.takeEffects(), [
    { type: "close", connectionId },
    { type: "exit", code: 0 },
  ]);
  assertEquals(driver.session.deadline(), Infinity);
});

test("Shutdown: exits with 0 at once during an outage or a dial", () => {
  const down = connectWithTools();
  down.close();
  down.takeEffects();
  down.end();
  assertEquals(down.exitCode(), 0);
  const dialing = new SessionDriver();
  dialing.takeEffects();
  dialing.end();
  assertEquals(dialing.takeEffects().map(({ type }) => type), [
    "close",
    "exit",
  ]);
});

test("Shutdown: pending requests have 1.5 s, and then fail", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.callTool(2, "write");
  driver.end();
  driver.advance(1_000);
  driver.fromDaemon({ id: 2, result: {} });
  driver.advance(499);
  assertEquals(driver.exitCode(), undefined);
  driver.advance(1);
  assertEquals(driver.exitCode(), 0);
  assertEquals(errorsToClient(driver), [[1, -31002]]);
  const queued = new SessionDriver();
  queued.request(1, "initialize", {});
  queued.end();
  queued.advance(1_500);
  assertEquals([errorsToClient(queued), queued.exitCode()], [[[1, -31001]], 0]);
});

test("Shutdown: exits as soon as the last pending request is answered", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.end();
  driver.advance(300);
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(driver.exitCode(), 0);
});

test("Shutdown: exits at once after a second signal", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.end("signal");
  driver.end();
  assertEquals(driver.exitCode(), undefined);
  driver.end("signal");
  assertEquals([errorsToClient(driver), driver.exitCode()], [[[1, -31002]], 0]);
});

test("Shutdown: exits with 0 at once if stdout is broken, even with pending requests", () => {
  const driver = connectWithTools();
  driver.callTool(1, "write");
  driver.handle({ type: "stdout-broken" });
  assertEquals(driver.exitCode(), 0);
});

test("--give-up-after: after this time without a connection, pending requests fail, and the exit code is 1", () => {
  const driver = connectWithTools({ giveUpAfter: 20_000 });
  driver.advance(4_000);
  driver.close();
  driver.advance(15_000);
  driver.callTool(1, "write");
  driver.advance(4_999);
  assertEquals(driver.exitCode(), undefined);
  driver.advance(1);
  assertEquals([errorsToClient(driver), driver.exitCode()], [[[1, -31001]], 1]);
});

test("--give-up-after: does not run while the client has not sent anything", () => {
  const driver = new SessionDriver({ giveUpAfter: 20_000 });
  driver.open();
  driver.advance(60_000);
  assertEquals(driver.exitCode(), undefined);
});

test("Errors: retryable is false if a repetition may do harm", () => {
  const always = connectWithTools({ retry: "always", requestTimeout: 30_000 });
  always.callTool(1, "write");
  always.close();
  always.advance(30_000);
  const never = connectWithTools({ retry: "never" });
  never.callTool(1, "look");
  never.close();
  const data = [always, never].map((driver) =>
    driver.sentToClient()[0].error.data
  );
  assertEquals(data.map(({ delivered, retryable }) => [delivered, retryable]), [
    ["unknown", false],
    ["unknown", true],
  ]);
});
