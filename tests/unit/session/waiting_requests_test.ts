/**
 * Tests progress notifications while a request waits, the circuit breaker in a
 * long outage, and the limits of the queue.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import {
  advanceWhileDialsFail,
  closeOversized,
  startDown,
} from "../../helpers/session/outage.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";
import {
  openStandby,
  startWithCall,
} from "../../helpers/session/silent_connection.ts";

test("Wait progress: a client with a progress token is notified of the wait for the daemon", () => {
  const driver = startDown();
  driver.callTool(1, "write", { progressToken: "t" });
  driver.callTool(2, "write");
  advanceWhileDialsFail(driver, 11_500);
  const received = driver.sentToClient();
  assertEquals(received.map(({ params }) => params.progressToken), [
    "t",
    "t",
    "t",
  ]);
  assertEquals(received.map(({ params }) => params.progress), [
    1e-6,
    2e-6,
    3e-6,
  ]);
  assert(received.every(({ params }) => params.total === undefined));
  for (const { params } of received) {
    assertMatch(
      params.message,
      /^Waiting for the daemon \(attempt \d+, (next in \d+ s|under way)\)$/,
    );
  }
  driver.advanceToNextDial();
  driver.reconnect();
  driver.takeEffects();
  for (const progress of [0, 0.1, 1]) {
    const params = { progressToken: "t", progress };
    driver.fromDaemon({ method: "notifications/progress", params });
  }
  driver.fromDaemon({ id: 1, result: {} });
  advanceWhileDialsFail(driver, 20_000);
  const later = driver.sentToClient();
  assertEquals(later.map(({ id, params }) => id ?? params.progress), [
    0,
    0.1,
    1,
    1,
  ]);
});

test("Wait progress: none for an exai call that waits for a free connection", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  for (let id = 1; id <= 4; id++) driver.startCall(id);
  driver.callTool(5, "chat", { progressToken: "t" });
  driver.advance(30_000);
  assertEquals(driver.sentToClient(), []);
});

test("Wait progress: none with --wait-progress off", () => {
  const driver = startDown({ waitProgress: "off" });
  driver.callTool(1, "write", { progressToken: "t" });
  advanceWhileDialsFail(driver, 40_000);
  assertEquals(driver.sentToClient(), []);
});

test("Wait progress: rises above the daemon's own progress", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "tools/list", { _meta: { progressToken: 7 } });
  const params = { progressToken: 7, progress: 3 };
  driver.fromDaemon({ method: "notifications/progress", params });
  driver.close();
  driver.takeEffects();
  advanceWhileDialsFail(driver, 1_200);
  const [{ params: notice }] = driver.sentToClient();
  assertEquals([notice.progressToken, notice.progress], [7, 3.000001]);
});

test("Circuit breaker: after an outage longer than the queue timeout, a call dials at once and waits 20 s", () => {
  const driver = startDown();
  advanceWhileDialsFail(driver, 100_000);
  const { length } = driver.dials;
  driver.takeEffects();
  driver.callTool(1, "write");
  assertEquals(driver.dials.length, length + 1);
  driver.failDial();
  advanceWhileDialsFail(driver, 19_999);
  assertEquals(driver.sentToClient(), []);
  assert(
    driver.dials.length > length + 15,
    "it keeps dialing, because a container may be booting",
  );
  advanceWhileDialsFail(driver, 1);
  const [{ error }] = driver.sentToClient();
  assertEquals([error.code, error.data.delivered], [-31001, "no"]);
  assertMatch(
    error.message,
    /down for 120\.0 s, \d+ attempts, next attempt in/,
  );
});

test("Circuit breaker: an open subscription does not keep a call from dialing at once", () => {
  const driver = startDown();
  driver.request("s", "subscriptions/listen", { notifications: {} });
  // The daemon accepts every dial and closes, so the backoff delay grows.
  while (driver.now < 200_000) {
    driver.advanceToNextDial();
    driver.open();
    driver.close();
  }
  driver.advance(10_000);
  const { length } = driver.dials;
  driver.callTool(1, "write");
  assertEquals(driver.dials.length, length + 1);
});

test("Back-pressure: while the daemon does not read, requests are queued", () => {
  const driver = new SessionDriver({ queueLimit: 1 });
  driver.connect();
  driver.handle({ type: "backlog", connectionId: 1, state: "full" });
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.callTool(2, "write");
  assertEquals(driver.sentToClient().map(({ id, error }) => [id, error.code]), [
    [2, -31004],
  ]);
  assertEquals(driver.sentExceptProbes(), []);
  driver.handle({ type: "backlog", connectionId: 1, state: "drained" });
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1]);
});

test("Queue: requests that wait without a timeout are limited in number, too", () => {
  const driver = startDown({ queueLimit: 5 });
  for (let i = 0; i < 11; i++) driver.request(i, "server/discover");
  assertEquals(driver.sentToClient().map(({ id, error }) => [id, error.code]), [
    [10, -31004],
  ]);
});

test("Circuit breaker: stays closed in a short outage, and without a queue timeout in any outage", () => {
  for (const queueTimeout of [45_000, 5_000]) {
    const driver = startDown({ queueTimeout });
    advanceWhileDialsFail(driver, 4_000);
    driver.takeEffects();
    driver.callTool(1, "write");
    advanceWhileDialsFail(driver, queueTimeout - 1);
    assertEquals(driver.sentToClient(), []);
    advanceWhileDialsFail(driver, 1);
    assertEquals(driver.sentToClient().length, 1);
  }
  const driver = startDown({ queueTimeout: Infinity });
  advanceWhileDialsFail(driver, 1_000_000);
  driver.takeEffects();
  driver.callTool(1, "write");
  advanceWhileDialsFail(driver, 100_000);
  assertEquals(
    driver.sentToClient(),
    [],
    "without a queue timeout, there is no circuit breaker",
  );
});

test("--give-up-after: does not count a sleep", () => {
  const driver = startDown({ giveUpAfter: 60_000 });
  advanceWhileDialsFail(driver, 30_000);
  driver.sleep(3_600_000);
  assertEquals(driver.exitCode(), undefined);
  advanceWhileDialsFail(driver, 31_000);
  assertEquals(driver.exitCode(), 1);
});

test("--give-up-after: does not run while a connection is probed after a sleep", () => {
  const driver = new SessionDriver({ giveUpAfter: 60_000 });
  driver.connect();
  for (let n = 0; n < 30; n++) {
    driver.advance(5_000);
    const id = driver.sentExceptProbes().findLast(({ method }) =>
      method === "ping"
    )?.id;
    driver.takeEffects();
    if (id !== undefined) driver.fromDaemon({ id, result: {} });
  }
  driver.sleep(3_600_000);
  assertEquals(driver.exitCode(), undefined);
});

test("Size limit: a response that is too large for the runtime is not requested again", () => {
  const one = new SessionDriver();
  one.connect();
  one.request(1, "resources/read");
  closeOversized(one);
  const [{ error }] = one.sentToClient();
  assertEquals([error.code, error.data.delivered], [-31005, "yes"]);
  const two = new SessionDriver({ retry: "always" });
  two.connect();
  two.request(1, "resources/read");
  two.request(2, "tools/list");
  closeOversized(two);
  assertEquals(two.sentToClient().map(({ error }) => error.code), [
    -31002,
    -31002,
  ]);
  two.takeEffects();
  two.advanceToNextDial();
  two.reconnect();
  assertEquals(
    two.sentToDaemon().some(({ id }) => id === 1 || id === 2),
    false,
  );
  const exai = new ExaiDriver();
  exai.openAndAcknowledgeHello();
  exai.startCall(1);
  closeOversized(exai);
  assertEquals(exai.responsesToClient(), [[1, -31005]]);
});

test("Back-pressure: a full stdout during a failover loses each connection once", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  openStandby(driver);
  driver.takeEffects();
  driver.handle({ type: "stdout-full" });
  const closed = driver.takeEffects().flatMap((e) =>
    e.type === "close" ? [e.connectionId] : []
  );
  assertEquals(closed, [1, 2]);
  const { length } = driver.dials;
  driver.handle({ type: "stdout-drained" });
  driver.advance(600);
  assertEquals(driver.dials.length, length + 1);
});

test("Queue: a large message on a ready connection is sent, whatever its size", () => {
  const driver = new SessionDriver({ maxMessage: 1024 ** 3 });
  driver.connect();
  driver.callTool(1, "x".repeat(65 * 1024 * 1024));
  assertEquals(driver.sentToClient(), []);
});

test("Queue: a batch of 1,500 requests on a ready connection is sent, despite --queue-limit", () => {
  const driver = new SessionDriver();
  driver.connect();
  const batch = Array.from(
    { length: 1500 },
    (_, id) => ({ jsonrpc: "2.0", id, method: "tools/list" }),
  );
  driver.fromClient(JSON.stringify(batch));
  assertEquals(
    [driver.sentExceptProbes().length, driver.sentToClient().length],
    [1500, 0],
  );
});

test("Circuit breaker: while it is open, a call dials at once", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  for (let i = 0; i < 12; i++) {
    driver.advanceToNextDial();
    driver.open();
    driver.close();
  }
  driver.advance(1_000);
  const { length } = driver.dials;
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.advance(20_000);
  assert(
    driver.dials.length > length,
    JSON.stringify(driver.sentToClient()[0]?.error.message),
  );
});

test("Wait progress: says that a second connection checks the silent one", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  driver.failDial();
  driver.callTool("n", "write", { progressToken: 1 });
  for (let i = 0; i < 3; i++) {
    const n = driver.dials.length;
    driver.advance(500);
    if (driver.dials.length > n) driver.failDial();
  }
  const [{ params }] = driver.sentToClient();
  assertEquals(/silent\. A second connection/.test(params.message), true);
});
