/**
 * Tests displacement: another client takes the connection again and again.
 *
 * @module
 */

import { Backoff, mayMeanDisplacement } from "../../../lib/link/backoff.ts";
import { EMPTY_CACHED_RESULTS } from "../../../lib/cache/cache.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  advanceWhileDialsFail,
  closeAfter,
  receiveForSeconds,
  startDisplaced,
} from "../../helpers/session/outage.ts";
import {
  DEFAULT_CONFIG,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

for (const code of [1000, 1005, 1008, 4000]) {
  test(`Displacement: two losses within 10 s with code ${code}: only a request causes the next dial`, () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.close(code);
    assertEquals(/another client/i.test(driver.logText()), false, "once");
    closeAfter(driver, 200, code);
    assertMatch(driver.logText(), /another client takes the connection/);
    assertEquals(driver.session.snapshot().connectionState, {
      phase: "displaced",
    });
    const { length } = driver.dials;
    driver.advance(3_600_000);
    assertEquals(driver.dials.length, length);
    driver.callTool(1, "write");
    assertEquals(driver.dials.length, length + 1);
    driver.takeEffects();
    driver.reconnect();
    assertEquals(driver.sentToDaemon().at(-1).id, 1);
    driver.fromDaemon({ id: 1, result: {} });
    driver.close(code);
    driver.advance(3_600_000);
    assertEquals(driver.dials.length, length + 1, "still displaced");
  });
}

const OTHERS: [what: string, end: (driver: SessionDriver) => void][] = [
  [
    "closed with 1001 (the daemon goes away)",
    (driver) => closeAfter(driver, 9, 1001),
  ],
  ["closed with 1012 (it restarts)", (driver) => closeAfter(driver, 9, 1012)],
  ["lost without a close frame", (driver) => closeAfter(driver, 9, 1006)],
  ["closed an hour later", (driver) => {
    driver.advanceToNextDial();
    driver.takeEffects();
    driver.reconnect();
    receiveForSeconds(driver, 3_600);
    driver.close(1000);
  }],
  ["closed, and the daemon was away in between", (driver) => {
    driver.advanceToNextDial();
    driver.failDial();
    closeAfter(driver);
  }],
];

for (const [what, end] of OTHERS) {
  test(`Displacement: none if the connection was ${what}`, () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.close(1000);
    end(driver);
    assertEquals(/another client/i.test(driver.logText()), false);
    const { length } = driver.dials;
    driver.advance(31_000);
    assert(driver.dials.length > length);
  });
}

test("Displacement: ends with a connection that lasts for a minute", () => {
  const driver = startDisplaced();
  driver.callTool(1, "write");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.fromDaemon({ id: 1, result: {} });
  receiveForSeconds(driver, 60);
  const { length } = driver.dials;
  driver.close(1000);
  driver.advance(250);
  assertEquals(driver.dials.length, length + 1);
});

test("Displacement: ends if the daemon is away", () => {
  const driver = startDisplaced();
  driver.advance(60_000);
  driver.request(1, "resources/read");
  driver.failDial();
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  const { length } = driver.dials;
  for (let dials = 1; dials <= 5; dials++) {
    driver.advanceToNextDial();
    driver.failDial();
  }
  assertEquals(driver.dials.length, length + 5);
});

for (const method of ["server/discover", "subscriptions/listen"]) {
  test(`Displacement: ${method} makes one dial`, () => {
    const driver = startDisplaced();
    const { length } = driver.dials;
    driver.request("held", method, { notifications: {} });
    driver.advanceToNextDial();
    driver.takeEffects();
    driver.reconnect();
    assertEquals(driver.sentExceptProbes().at(-1).id, "held");
    assertEquals(driver.dials.length, length + 1);
    driver.takeEffects();
    driver.close(1000);
    driver.advance(3_600_000);
    // A pending `server/discover` makes another dial, a subscription none.
    const isRequestedAgain = method === "server/discover";
    assertEquals(driver.dials.length > length + 1, isRequestedAgain);
    assertEquals(/Infinity/.test(driver.logText()), false);
  });
}

test("Displacement: a connection of half a minute does not end it", () => {
  const driver = startDisplaced();
  driver.request(1, "resources/read");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.fromDaemon({ id: 1, result: {} });
  receiveForSeconds(driver, 32);
  driver.close(1000);
  assertEquals(driver.session.snapshot().connectionState, {
    phase: "displaced",
  });
});

test("Displacement: after a refusal, the next dial comes after --backoff-cap", () => {
  const driver = startDisplaced({ giveUpAfter: 100_000 });
  driver.callTool(1, "write");
  driver.advanceToNextDial();
  driver.open();
  driver.close(1008);
  assertEquals(driver.session.snapshot().connectionState.phase, "waiting");
  const { length } = driver.dials;
  driver.advance(31_000);
  assertEquals(driver.dials.length, length + 1);
});

const CAUSES: [what: string, cause: (driver: SessionDriver) => void][] = [
  ["a call in flight", (driver) => driver.callTool(driver.now, "write")],
  [
    "a request in flight",
    (driver) => driver.request(driver.now, "prompts/get"),
  ],
  ["a call beside a second connection of our own", (driver) => {
    const { connectionId } = driver;
    driver.callTool(driver.now, "write");
    driver.advance(10_000);
    driver.open();
    driver.connectionId = connectionId;
  }],
];

for (const [what, cause] of CAUSES) {
  test(`Displacement: none if ${what} may be the cause`, () => {
    const driver = new SessionDriver();
    driver.connect();
    for (let n = 0; n < 3; n++) {
      cause(driver);
      driver.close(1000, driver.connectionId);
      driver.advanceToNextDial();
      driver.takeEffects();
      driver.reconnect();
    }
    assertEquals(/another client/.test(driver.logText()), false);
  });
}

test("Displacement: a request an hour later has the whole queue timeout", () => {
  const driver = startDisplaced();
  driver.advance(3_600_000);
  for (const id of [1, 2]) driver.callTool(id, "write");
  advanceWhileDialsFail(driver, 44_999);
  assertEquals(driver.sentToClient(), []);
  advanceWhileDialsFail(driver, 1);
  assertEquals(driver.sentToClient().map(({ id }) => id), [1, 2]);
});

test("Displacement: a list that is answered from the cache still makes a dial", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  const result = { tools: [{ name: "old" }] };
  driver.request("list", "tools/list");
  driver.fromDaemon({ id: "list", result });
  driver.close(1000);
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  const { id } = driver.sentExceptProbes().at(-1);
  driver.fromDaemon({ id, result });
  driver.close(1000);
  const { length } = driver.dials;
  driver.advance(60_000);
  assertEquals(driver.dials.length, length);
  driver.takeEffects();
  driver.request(1, "tools/list");
  assertEquals(driver.sentToClient()[0].result, result);
  assertEquals(driver.dials.length, length + 1);
});

test("Displacement: none if the proxy's own request may be the cause of the close", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("list", "tools/list");
  driver.fromDaemon({ id: "list", result: { tools: [] } });
  driver.close(1000);
  // Each connection is closed while the proxy's tools/list is pending.
  for (let n = 0; n < 3; n++) closeAfter(driver);
  assertEquals(/another client/.test(driver.logText()), false);
});

test("Displacement: a request in flight makes the next dial, and the log says when", () => {
  const driver = startDisplaced();
  driver.request("d", "server/discover");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.takeEffects();
  driver.close(1000);
  assertMatch(
    driver.logText(),
    /takes the connection\. Reconnecting in 0\.9 s\.$/,
  );
  assertEquals(driver.session.snapshot().connectionState.phase, "waiting");
});

test("Displacement: a sleep makes no dial", () => {
  const driver = startDisplaced();
  const { length } = driver.dials;
  driver.sleep(60_000);
  driver.advance(60_000);
  assertEquals(driver.dials.length, length);
});

/**
 * How long the successive connections lasted in ms, and whether the
 * displacement is recurring after the last one.
 */
const LIVES: [what: string, lastedMs: number[], recurs: boolean][] = [
  ["a single close", [5], false],
  ["a second one after 10 s", [99_999, 10_000], true],
  ["a second one after more than 10 s", [5, 10_001], false],
  ["a third one soon after a late second one", [5, 10_001, 5], true],
  [
    "two soon ones, and one that lasted for less than 60 s",
    [5, 5, 59_999],
    true,
  ],
  ["two soon ones, and one that lasted for 60 s", [5, 5, 60_000], false],
];
for (const [what, lastedMs, recurs] of LIVES) {
  test(`Displacement: ${recurs ? "recurring" : "not recurring"} after ${what}`, () => {
    const backoff = new Backoff(DEFAULT_CONFIG, () => 0);
    // If the displacement is recurring, only a request makes a dial.
    const isRecurring = (): boolean =>
      backoff.scheduleAfter({}, 0).scheduledAt === Infinity;
    for (const ms of lastedMs) backoff.onDisplaced(1e6 + ms, 1e6);
    assertEquals(isRecurring(), recurs);
    backoff.endDisplacement();
    assertEquals(isRecurring(), false);
    backoff.onDisplaced(1, 0);
    assertEquals(isRecurring(), false, "it starts to count again");
  });
}

test("Displacement: only some close codes may mean another client", () => {
  const codes = [0, 1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 3000];
  assertEquals([...codes, 4000, 4003, 4999].filter(mayMeanDisplacement), [
    ...[1000, 1005, 1008, 3000, 4000, 4999],
  ]);
});
