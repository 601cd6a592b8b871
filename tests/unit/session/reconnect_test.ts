/**
 * Tests how soon the proxy uses a daemon that is back after each kind of
 * outage, what ends the wait, and what causes no dial.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import {
  advanceWhileDialsFail,
  DIAL_ENDS,
  receiveForSeconds,
  refuseDial,
  startDisplaced,
  startDown,
} from "../../helpers/session/outage.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";

for (const [what, end] of Object.entries(DIAL_ENDS)) {
  // A call that reaches this daemon fails when the connection is lost.
  if (what === "answers initialize and closes") continue;
  test(`Reconnect: a daemon that ${what} for 34 s is used within 1 s when it recovers, and the call is answered`, () => {
    const driver = startDown();
    driver.callTool(1, "write");
    advanceWhileDialsFail(driver, 34_000, end);
    const { length } = driver.dials;
    assert(length < 34_000 / 900 + 5, `${length} dials`);
    const { now } = driver;
    driver.takeEffects();
    driver.advanceToNextDial();
    assert(driver.now - now <= 1_000, `${driver.now - now}`);
    driver.reconnect();
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
    driver.fromDaemon({ id: 1, result: {} });
    assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
  });
}

test("Reconnect: a waiting call dials within 1 s, however often the daemon restarts", () => {
  const driver = startDown();
  for (let round = 1; round <= 20; round++) {
    driver.callTool(round, "write");
    advanceWhileDialsFail(driver, 1_300);
    const { now } = driver;
    driver.takeEffects();
    driver.advanceToNextDial();
    assert(driver.now - now <= 1_000, `round ${round}: ${driver.now - now}`);
    driver.reconnect();
    driver.fromDaemon({ id: round, result: {} });
    assertEquals(driver.sentToClient().at(-1).id, round);
    driver.advance(1_000);
    driver.close();
  }
  assertEquals(driver.sentToClient().filter(({ error }) => error), []);
});

const NON_URGENT_MESSAGES: [
  what: string,
  sendRequest: (driver: SessionDriver) => void,
][] = [
  ["a subscription", (driver) =>
    driver.request("s", "subscriptions/listen", {
      notifications: {},
    })],
  ["server/discover", (driver) => driver.request("d", "server/discover")],
  [
    "a notification",
    (driver) =>
      driver.fromClient({ method: "notifications/roots/list_changed" }),
  ],
];

for (const [what, sendRequest] of NON_URGENT_MESSAGES) {
  test(`Reconnect: ${what} alone causes no dial before the backoff table does`, () => {
    for (const end of Object.values(DIAL_ENDS)) {
      const [idle, held] = [startDown(), startDown()];
      sendRequest(held);
      for (const driver of [idle, held]) {
        advanceWhileDialsFail(driver, 60_000, end);
      }
      assertEquals(
        held.dials.map(({ at }) => at),
        idle.dials.map(({ at }) => at),
      );
    }
  });
}

test("Reconnect: a call beside a subscription dials at once, and the subscription is sent with it", () => {
  const driver = startDown();
  driver.request("s", "subscriptions/listen", { notifications: {} });
  advanceWhileDialsFail(driver, 60_000);
  const { length } = driver.dials;
  driver.callTool(1, "write");
  assertEquals(driver.dials.length, length + 1);
  driver.takeEffects();
  driver.reconnect();
  assertEquals(driver.sentExceptProbes().slice(-2).map(({ id }) => id), [
    "s",
    1,
  ]);
});

test("Queue timeout: limits the sum of all waits of a request that is sent again", () => {
  const driver = startDown();
  driver.request(1, "resources/read");
  advanceWhileDialsFail(driver, 30_000);
  driver.advanceToNextDial();
  const waited = driver.now;
  driver.takeEffects();
  driver.reconnect();
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  receiveForSeconds(driver, 60);
  driver.takeEffects();
  driver.close();
  advanceWhileDialsFail(driver, 45_000 - waited - 1);
  assertEquals(driver.sentToClient(), []);
  advanceWhileDialsFail(driver, 1);
  const [{ error }] = driver.sentToClient();
  assertEquals([error.code, error.data.delivered], [-31001, "unknown"]);
});

test("exai queue timeout: does not run while a call waits for a free connection", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  for (const id of [1, 2, 3, 4, 5]) driver.callTool(id, "chat");
  advanceWhileDialsFail(driver, 10_000);
  driver.advanceToNextDial();
  const waited = driver.now;
  const from = driver.connectionId;
  driver.openAndAcknowledgeHello();
  for (
    let connectionId = from + 1;
    connectionId <= driver.connectionId;
    connectionId++
  ) {
    driver.openAndAcknowledgeHello(connectionId);
  }
  driver.takeEffects();
  driver.advance(100_000);
  const connectionIds = [
    from,
    ...[1, 2, 3, 4].map((n) => driver.connectionId - 4 + n),
  ];
  for (const connectionId of connectionIds) driver.close(1006, connectionId);
  advanceWhileDialsFail(driver, 45_000 - waited - 1);
  assertEquals(driver.responsesToClient().filter(([id]) => id === 5), []);
  advanceWhileDialsFail(driver, 1);
  assertEquals(driver.responsesToClient().filter(([id]) => id === 5), [[
    5,
    -31001,
  ]]);
});

test("exai queue timeout: runs while the main connection is away, even if another call runs", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.close(1006, 1);
  driver.callTool(2, "chat");
  advanceWhileDialsFail(driver, 44_999);
  assertEquals(driver.responsesToClient(), []);
  advanceWhileDialsFail(driver, 1);
  assertEquals(driver.responsesToClient(), [[2, -31001]]);
});

test("Queue timeout: runs while the daemon does not read", () => {
  const driver = new SessionDriver({ pingInterval: Infinity });
  driver.connect();
  driver.handle({ type: "backlog", connectionId: 1, state: "full" });
  driver.callTool(1, "write");
  driver.advance(30_000);
  driver.handle({ type: "backlog", connectionId: 1, state: "drained" });
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  driver.handle({ type: "backlog", connectionId: 1, state: "full" });
  driver.takeEffects();
  driver.callTool(2, "write");
  driver.advance(44_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  const [{ id, error }] = driver.sentToClient();
  assertEquals([id, error.code, error.data.delivered], [2, -31001, "no"]);
  assertMatch(error.message, /not available: it does not read what is sent/);
});

test("Queue timeout: if a connection becomes ready before a late timer fires, the request is sent", () => {
  const driver = startDown();
  driver.callTool(1, "write");
  advanceWhileDialsFail(driver, 44_000);
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.open();
  const { id } = driver.sentExceptProbes().find(({ method }) =>
    method === "initialize"
  )!;
  driver.now = 45_100; // No tick came at 45 s.
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.fromDaemon({ id, result });
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  assertEquals(driver.sentToClient(), []);
});

test("Queue timeout: the outcome of a call that was sent before is unknown", () => {
  const driver = new SessionDriver({ retry: "always", pingInterval: Infinity });
  driver.connect();
  driver.callTool(1, "write");
  driver.close();
  advanceWhileDialsFail(driver, 44_900);
  assertEquals(driver.sentToClient(), []);
  advanceWhileDialsFail(driver, 200);
  const [{ error }] = driver.sentToClient();
  assertEquals([error.code, error.data.delivered], [-31001, "unknown"]);
});

test("exai queue timeout: limits the sum of the waits for the main connection and for one of the pool", () => {
  const driver = new ExaiDriver();
  driver.callTool(1, "chat");
  advanceWhileDialsFail(driver, 30_000);
  driver.advanceToNextDial();
  const { now } = driver;
  driver.takeEffects();
  driver.openAndAcknowledgeHello();
  driver.advance(45_000 - now - 1);
  assertEquals(driver.responsesToClient(), []);
  driver.advance(1);
  assertEquals(driver.responsesToClient(), [[1, -31001]]);
});

for (const code of [1008, 1000, 1011, 4003]) {
  test(`Refusal: close code ${code} after requests were answered is an ordinary loss`, () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.close(code);
    driver.callTool(1, "write");
    assertEquals(driver.sentToClient(), []);
    driver.advance(250);
    driver.takeEffects();
    driver.reconnect();
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
    assertEquals(/token/.test(driver.logText()), false);
  });
}

test("exai refusal: close code 4003 after requests were answered is an ordinary loss", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.close(4003, 1);
  driver.callTool(1, "chat");
  assertEquals(driver.responsesToClient(), []);
  driver.advanceToNextDial();
  driver.openAndAcknowledgeHello();
  assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
    "call_tool",
  ]);
});

/**
 * For each way in which the daemon refuses a dial: a function that starts the
 * session, and one that refuses the latest dial.
 */
const REFUSALS: [
  what: string,
  driver: () => SessionDriver,
  refuse: (s: SessionDriver) => void,
][] = [
  ["mcp, 1008 before the first answer", startDown, (driver) => {
    driver.open();
    driver.close(1008);
  }],
  ["mcp, HTTP 401", startDown, refuseDial],
  ["exai, unauthorized", () => {
    const driver = new ExaiDriver();
    driver.takeEffects();
    return driver;
  }, (driver) => {
    driver.open();
    const no = { op: "hello_ack", ok: false, error: "unauthorized" };
    driver.fromDaemon(JSON.stringify(no));
    if (driver.session.snapshot().connectionState.phase === "handshaking") {
      driver.close(4003);
    }
  }],
];

for (const [what, start, refuse] of REFUSALS) {
  test(`Refusal: ${what}: a request 5 s after the last dial causes a dial, and fails if that is refused`, () => {
    const driver = start();
    if (driver.session.snapshot().connectionState.phase === "waiting") {
      driver.advanceToNextDial();
    }
    refuse(driver);
    driver.takeEffects();
    const { length } = driver.dials;
    const at = driver.dials.at(-1)!.at;
    driver.advance(at + 4_900 - driver.now);
    driver.request(1, "tools/list");
    assertEquals(driver.sentToClient().map(({ error }) => error.data.reason), [
      "refused",
    ]);
    assertEquals(driver.dials.length, length);
    driver.takeEffects();
    driver.advance(100);
    for (const id of [2, 3]) driver.request(id, "tools/list");
    assertEquals([driver.dials.length, driver.sentToClient()], [
      length + 1,
      [],
    ]);
    refuse(driver);
    assertEquals(
      driver.sentToClient().map(({ id, error }) => [id, error.data.reason]),
      [
        [2, "refused"],
        [3, "refused"],
      ],
    );
    driver.takeEffects();
    driver.advance(29_900);
    assertEquals(driver.dials.length, length + 1, "without a request: the cap");
  });
}

test("Refusal: when the token is right again, the next request 5 s later is answered", () => {
  const driver = new ExaiDriver();
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error: "unauthorized" });
  driver.advance(5_000);
  driver.takeEffects();
  driver.request(1, "tools/list");
  assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
    "list_tools",
  ]);
  driver.frameFromDaemon({ op: "list_tools_res", tools: [] });
  assertEquals(driver.sentToClient().at(-1).id, 1);
});

test("exai refusal: the refusal of a call's connection ends when the main connection is accepted again", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.callTool(1, "chat");
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error: "unauthorized" });
  assertEquals(driver.responsesToClient(), [[1, -31001]]);
  driver.close(1006, 1);
  driver.callTool(2, "chat");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.openAndAcknowledgeHello();
  assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
    "call_tool",
  ]);
});

test("Refusal: ends with a dial that fails in another way", () => {
  const driver = startDown();
  driver.advanceToNextDial();
  driver.open();
  driver.close(1008);
  driver.advance(5_000);
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.failDial();
  assertEquals(driver.sentToClient(), []);
  advanceWhileDialsFail(driver, 3_000);
  driver.takeEffects();
  driver.advanceToNextDial();
  driver.reconnect();
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
});

/**
 * Returns a session whose connection answered a probe during a call, and has
 * been silent since. The proxy dials a standby.
 */
function startSuspected(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool("long", "write");
  driver.advance(250);
  const { id } = driver.sentToDaemon().findLast(({ method }) =>
    method === "ping"
  )!;
  driver.fromDaemon({ id, result: {} });
  driver.advance(10_000);
  return driver;
}

test("Refusal: a refused standby does not affect the main connection", () => {
  const driver = startSuspected();
  assertEquals(driver.dials.length, 2);
  driver.callTool("new", "write");
  driver.open();
  driver.close(1008);
  assertEquals(driver.sentToClient(), []);
});

test("Standby: if the daemon closes it, it is dialed less and less often", () => {
  const driver = startSuspected();
  driver.request("waits", "resources/read");
  const start = driver.now;
  let dials = 0;
  for (let { length } = driver.dials; driver.now < start + 40_000;) {
    driver.open();
    driver.close(1000);
    driver.takeEffects();
    while (driver.dials.length === length && driver.now < start + 40_000) {
      driver.advance(50);
    }
    dials += driver.dials.length - length;
    length = driver.dials.length;
  }
  assert(dials <= 8, `${dials}`);
});

test("exai pool: a daemon that accepts no further connection is dialed by the backoff table only", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  driver.openAndAcknowledgeHello();
  driver.startCall(0);
  for (const id of [1, 2, 3]) driver.callTool(id, "chat");
  const start = driver.now;
  const { length } = driver.dials;
  const open = new Set<number>();
  while (driver.now < start + 60_000) {
    for (const effect of driver.takeEffects()) {
      if (effect.type === "dial") open.add(effect.connectionId);
    }
    for (const connectionId of open) {
      driver.open(connectionId);
      driver.close(1008, connectionId);
    }
    open.clear();
    driver.advance(50);
  }
  // Each of three links follows the table: 0.25, 0.5, 1, 2, 4, 8, 16, 30 s.
  const dials = driver.dials.length - length;
  assert(dials > 3 && dials <= 3 * 9, `${dials}`);
});

test("Back-pressure: the log says that the next dial waits for the client to read", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.handle({ type: "stdout-full" });
  assertMatch(
    driver.logText(),
    /Reconnecting when the client has read its output\.$/,
  );
  const { length } = driver.dials;
  driver.advance(60_000);
  assertEquals(driver.dials.length, length);
  driver.handle({ type: "stdout-drained" });
  assertEquals(driver.dials.length, length + 1);
});

test("exai refusal: the dial that tests the refusal goes on while the main connection is dialed again", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.callTool(1, "chat");
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error: "unauthorized" });
  driver.advance(4_900);
  driver.returnHealth(1, "0:01:00");
  driver.advance(100);
  driver.takeEffects();
  driver.callTool(2, "chat");
  const { connectionId } = driver;
  driver.close(1006, 1);
  driver.advanceToNextDial();
  driver.openAndAcknowledgeHello();
  driver.takeEffects();
  assertEquals(
    driver.openAndAcknowledgeHello(connectionId).map(({ op }) => op),
    [
      "call_tool",
    ],
  );
});

test("--give-up-after: does not run during a displacement, and starts with the next request", () => {
  const driver = startDisplaced({ giveUpAfter: 20_000 });
  driver.advance(3_600_000);
  assertEquals(driver.exitCode(), undefined);
  driver.callTool(1, "write");
  assertEquals(driver.exitCode(), undefined);
  advanceWhileDialsFail(driver, 19_999);
  assertEquals(driver.exitCode(), undefined);
  advanceWhileDialsFail(driver, 1);
  assertEquals(driver.exitCode(), 1);
});

test("--give-up-after: starts with the first message of a silent client", () => {
  const driver = new SessionDriver({ giveUpAfter: 20_000 });
  driver.open();
  driver.advance(60_000);
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  assertEquals(driver.exitCode(), undefined);
  driver.fromDaemon({ id: 0, result: {} });
  assertEquals(driver.sentToClient().map(({ id }) => id), [0]);
});

test("Handshake: an initialize after other requests is answered from the cache, and still reaches the daemon", () => {
  const initializeResult =
    '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}';
  const cachedResults = {
    initialize: { "2025-06-18": initializeResult },
    lists: {},
  };
  const driver = new SessionDriver({ cachedResults });
  driver.failDial();
  driver.advanceToNextDial();
  driver.callTool(1, "write");
  driver.open();
  const [{ id }] = driver.sentToDaemon();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  assertEquals(driver.sentToClient().map(({ id }) => id), ["init"]);
  driver.takeEffects();
  driver.fromDaemon({ id, result: {} });
  const [initialize, ...rest] = driver.sentToDaemon();
  assertEquals([initialize.method, rest], ["initialize", []]);
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.fromDaemon({ id: initialize.id, result });
  assertEquals(driver.sentToDaemon().at(-1).id, 1);
});
