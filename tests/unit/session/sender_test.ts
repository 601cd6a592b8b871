/**
 * Tests hint confirmation: a tool call was in flight on a lost connection. It
 * is sent again only if the tool list of the new connection confirms the tool's
 * hint.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import { isProxyRequestId } from "../../helpers/session/proxy_request_ids.ts";
import { test } from "../../helpers/no_permissions.ts";

const READ_ONLY = { readOnlyHint: true };

function toolList(...names: [name: string, annotations?: Json][]): Json {
  return names.map(([name, annotations]) => ({ name, annotations }));
}

/** A `tools/list` result with one tool: `look` only reads. */
const LISTED = { tools: toolList(["look", READ_ONLY]) };

/** Returns a session whose daemon has listed `look`. */
function connectWithLook(config: Partial<SessionConfig> = {}): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.request("list", "tools/list");
  driver.fromDaemon({ id: "list", result: LISTED });
  return driver;
}

/** Returns a session that has lost its connection during calls to `look`. */
function loseCallInFlight(
  config: Partial<SessionConfig> = {},
  ids: number[] = [1],
): SessionDriver {
  const driver = connectWithLook(config);
  for (const id of ids) driver.callTool(id, "look");
  driver.close();
  driver.takeEffects();
  return driver;
}

/** Reconnects. Returns the id of the proxy's request for the tool list. */
function reconnectAndGetListId(driver: SessionDriver): Json {
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  const listRequests = driver.sentExceptProbes().filter(({ method }) =>
    method === "tools/list"
  );
  assertEquals(listRequests.length, 1, "the list is requested once");
  assertEquals(sentCallIds(driver), []);
  return listRequests[0].id;
}

/** Returns the ids of the calls sent to the daemon since `takeEffects`. */
function sentCallIds(driver: SessionDriver): Json[] {
  return driver.sentExceptProbes().filter(({ method }) =>
    method === "tools/call"
  )
    .map(({ id }) => id);
}

/** Returns the errors sent to the client since `takeEffects`. */
function errorsToClient(driver: SessionDriver): Json[] {
  return driver.sentToClient().filter(({ error }) => error)
    .map(({ id, error }) => [id, error.code, error.data.delivered]);
}

test("Hint confirmation: a confirmed call is sent again once, and answered", () => {
  const driver = loseCallInFlight();
  const id = reconnectAndGetListId(driver);
  driver.fromDaemon({ id, result: LISTED });
  assertEquals([sentCallIds(driver), errorsToClient(driver)], [[1], []]);
  driver.fromDaemon({ id: 1, result: { n: 1 } });
  assertEquals(driver.sentToClient().at(-1).result, { n: 1 });
});

const DENIALS: [what: string, listed: Json][] = [
  ["without the hint", toolList(["look"])],
  ["with another hint", toolList(["look", { destructiveHint: false }])],
  ["no more", toolList(["other", READ_ONLY])],
];
for (const [what, listed] of DENIALS) {
  test(`Hint confirmation: the new daemon lists the tool ${what}: the call is not sent again`, () => {
    const driver = loseCallInFlight();
    const id = reconnectAndGetListId(driver);
    driver.fromDaemon({ id, result: { tools: listed } });
    assertEquals([sentCallIds(driver), errorsToClient(driver)], [[], [[
      1,
      -31002,
      "unknown",
    ]]]);
  });
}

test("Hint confirmation: with a list in pages, the call waits for the page with its tool", () => {
  const driver = loseCallInFlight();
  let id = reconnectAndGetListId(driver);
  const first = { tools: toolList(["other"]), nextCursor: "2" };
  driver.fromDaemon({ id, result: first });
  assertEquals([sentCallIds(driver), errorsToClient(driver)], [[], []]);
  ({ id } = driver.sentExceptProbes().at(-1));
  driver.fromDaemon({ id, result: LISTED });
  assertEquals(sentCallIds(driver), [1]);
});

test("Hint confirmation: a cursor that does not advance ends the list", () => {
  const driver = loseCallInFlight();
  let id = reconnectAndGetListId(driver);
  const page = { tools: toolList(["other"]), nextCursor: "2" };
  driver.fromDaemon({ id, result: page });
  ({ id } = driver.sentExceptProbes().at(-1));
  assertEquals(errorsToClient(driver), []);
  driver.fromDaemon({ id, result: page });
  assertEquals(errorsToClient(driver), [[1, -31002, "unknown"]]);
});

for (const how of ["says nothing", "refuses to list the tools"]) {
  test(`Hint confirmation: a daemon that ${how} has 5 s`, () => {
    const driver = loseCallInFlight();
    const id = reconnectAndGetListId(driver);
    const { now } = driver;
    const error = { code: -32603, message: "loading" };
    if (how !== "says nothing") driver.fromDaemon({ id, error });
    for (let s = 0; s < 4; s++) {
      driver.advance(1_000);
      // This message shows that the daemon is alive.
      driver.fromDaemon({ method: "notifications/message", params: {} });
    }
    driver.advance(999);
    assertEquals(errorsToClient(driver), []);
    driver.advance(1);
    assertEquals([errorsToClient(driver), driver.now - now], [
      [[1, -31002, "unknown"]],
      5_000,
    ]);
    assertEquals(sentCallIds(driver), []);
  });
}

test("Hint confirmation: a list that arrives at the second attempt confirms the hint, too", () => {
  const driver = loseCallInFlight();
  const id = reconnectAndGetListId(driver);
  driver.fromDaemon({ id, error: { code: -32603, message: "loading" } });
  driver.takeEffects();
  driver.advance(1_000);
  const again = driver.sentExceptProbes().find(({ method }) =>
    method === "tools/list"
  );
  driver.fromDaemon({ id: again.id, result: LISTED });
  assertEquals(sentCallIds(driver), [1]);
});

test("Hint confirmation: after a lost connection the next one has the rest of the 5 s", () => {
  const driver = loseCallInFlight();
  const old = reconnectAndGetListId(driver);
  driver.advance(4_000);
  const { connectionId } = driver;
  driver.close();
  driver.advance(1_500);
  assertEquals(errorsToClient(driver), [], "no request fails meanwhile");
  driver.fromDaemon({ id: old, result: { tools: [] } }, connectionId);
  const { length } = driver.dials;
  assertEquals(length, 3);
  driver.takeEffects();
  driver.reconnect();
  const { id } = driver.sentExceptProbes().find(({ method }) =>
    method === "tools/list"
  )!;
  driver.advance(999);
  assertEquals(errorsToClient(driver), []);
  driver.fromDaemon({ id, result: LISTED });
  assertEquals([sentCallIds(driver), errorsToClient(driver)], [[1], []]);
});

test("Hint confirmation: daemons that close after the handshake have 5 s in all", () => {
  const driver = loseCallInFlight();
  for (let s = 1; s <= 5; s++) {
    reconnectAndGetListId(driver);
    assertEquals(errorsToClient(driver), []);
    driver.advance(1_000);
    if (s < 5) driver.close();
  }
  assertEquals(errorsToClient(driver), [[1, -31002, "unknown"]]);
});

test("Hint confirmation: other requests do not wait for the list", () => {
  const driver = loseCallInFlight();
  driver.callTool(2, "write");
  driver.request(3, "resources/read");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  const ids = driver.sentExceptProbes().map(({ id }) => id);
  assertEquals(ids.filter((id) => id !== undefined && !isProxyRequestId(id)), [
    2,
    3,
  ]);
});

test("Hint confirmation: two calls wait for the same list", () => {
  const driver = loseCallInFlight({}, [1, 2]);
  const id = reconnectAndGetListId(driver);
  driver.fromDaemon({ id, result: LISTED });
  assertEquals([sentCallIds(driver), errorsToClient(driver)], [[1, 2], []]);
});

test("Hint confirmation: time asleep does not count towards the 5 s", () => {
  const driver = loseCallInFlight();
  const old = reconnectAndGetListId(driver);
  const { connectionId } = driver;
  driver.advance(3_000);
  driver.sleep(60_000);
  driver.advance(900);
  const { id } = driver.sentToDaemon().findLast(({ method }) =>
    method === "ping"
  )!;
  driver.fromDaemon({ id, result: {} }, connectionId);
  assertEquals(errorsToClient(driver), []);
  driver.fromDaemon({ id: old, result: LISTED });
  driver.answerProbe(connectionId);
  assertEquals([sentCallIds(driver), errorsToClient(driver)], [[1], []]);
});

const ENDS: [
  what: string,
  config: Json,
  end: (driver: SessionDriver) => void,
][] = [
  ["the end of stdin", {}, (driver) => {
    driver.end();
    driver.advance(1_500);
  }],
  ["the queue timeout", { queueTimeout: 3_000 }, (driver) => {
    driver.close();
    for (let dials = driver.dials.length; driver.sentToClient().length === 0;) {
      driver.advance(10);
      if (driver.dials.length > dials) driver.failDial();
      dials = driver.dials.length;
    }
  }],
  [
    "its own timeout",
    { requestTimeout: 2_000 },
    (driver) => driver.advance(2_000),
  ],
];
for (const [what, config, end] of ENDS) {
  test(`Hint confirmation: the error of an unconfirmed call is not retryable: ${what}`, () => {
    const driver = loseCallInFlight(config);
    reconnectAndGetListId(driver);
    driver.takeEffects();
    end(driver);
    const [{ error }] = driver.sentToClient().filter(({ error }) => error);
    assertEquals([error.data.retryable, error.data.delivered], [
      false,
      "unknown",
    ]);
    if (what === "the end of stdin") assertEquals(error.code, -31002);
  });
}

test("Hint confirmation: the client can cancel the waiting call", () => {
  const driver = loseCallInFlight();
  const id = reconnectAndGetListId(driver);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.fromDaemon({ id, result: LISTED });
  driver.advance(10_000);
  assertEquals([sentCallIds(driver), errorsToClient(driver)], [[], []]);
});

test("Hint confirmation: the waiting call keeps its own timeout", () => {
  const driver = loseCallInFlight({ requestTimeout: 3_000 });
  driver.advanceToNextDial();
  driver.reconnect();
  driver.takeEffects();
  driver.advance(3_000);
  assertEquals(errorsToClient(driver), [[1, -31003, "unknown"]]);
});

test("Hint confirmation: a hint that is only cached permits no repetition", () => {
  const listed = JSON.stringify(LISTED);
  const initializeResult =
    '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}';
  const driver = new SessionDriver({
    cachedResults: {
      initialize: { "2025-06-18": initializeResult },
      lists: { "tools/list": listed },
    },
  });
  driver.failDial();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.request("list", "tools/list");
  assertEquals(driver.sentToClient().map(({ id }) => id), ["init", "list"]);
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.callTool(1, "look");
  driver.takeEffects();
  driver.close();
  assertEquals(errorsToClient(driver), [[1, -31002, "unknown"]]);
});

test("Hint confirmation: not needed with --retry always, and not requested with --retry never", () => {
  for (const retry of ["always", "never"] as const) {
    const driver = connectWithLook({ retry });
    driver.callTool(1, "look");
    driver.takeEffects();
    driver.close();
    driver.advanceToNextDial();
    driver.reconnect();
    assertEquals(sentCallIds(driver), retry === "always" ? [1] : []);
    assertEquals(errorsToClient(driver).length, retry === "always" ? 0 : 1);
  }
});

test("Hint confirmation: a stateless client's list is requested in its version, without a list_changed", () => {
  const driver = new SessionDriver();
  const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  driver.request("list", "tools/list", { _meta });
  driver.open();
  const [discover] = driver.sentToDaemon();
  driver.fromDaemon({ id: discover.id, result: {} });
  driver.fromDaemon({ id: "list", result: LISTED });
  driver.callTool(1, "look", _meta);
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.open();
  const [{ id: opening }] = driver.sentToDaemon();
  driver.takeEffects();
  driver.fromDaemon({ id: opening, result: {} });
  const [{ id, method, params }] = driver.sentToDaemon();
  assertEquals([method, params._meta[Object.keys(_meta)[0]!]], [
    "tools/list",
    "2026-07-28",
  ]);
  const listed = toolList(["look", READ_ONLY], ["new"]);
  driver.fromDaemon({ id, result: { tools: listed } });
  assertEquals([sentCallIds(driver), driver.sentToClient()], [[1], []]);
});

/**
 * Acknowledges hello on the latest connection, as later revisions of the exai
 * daemon do.
 */
function acknowledgeExaiHello(driver: ExaiDriver): void {
  driver.open();
  const { session_id } = driver.takeFrames().findLast(({ op }) =>
    op === "hello"
  )!;
  driver.frameFromDaemon({ op: "hello_ack", ok: true, session_id });
}

/** Answers the request for the tool list with one tool, `look`. */
function answerExaiToolList(
  driver: ExaiDriver,
  annotations: Json = READ_ONLY,
): void {
  const tool = { name: "look", description: "", inputSchema: {}, annotations };
  driver.frameFromDaemon({ op: "list_tools_res", tools: [tool] });
}

test("exai hint confirmation: in later revisions the list is requested on the call's own connection", () => {
  const driver = new ExaiDriver();
  acknowledgeExaiHello(driver);
  driver.request("list", "tools/list");
  answerExaiToolList(driver);
  const annotations = driver.sentToClient().at(-1).result.tools[0].annotations;
  driver.callTool(1, "look");
  driver.takeEffects();
  acknowledgeExaiHello(driver);
  driver.takeEffects();
  driver.close();
  driver.advanceToNextDial();
  acknowledgeExaiHello(driver);
  const listRequests = driver.takeFrames().map(({ op }) => op);
  assertEquals([annotations, listRequests], [READ_ONLY, ["list_tools"]]);
  answerExaiToolList(driver);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["call_tool"]);
});

test("exai hint confirmation: repeated on the next connection after OVER_CAPACITY", () => {
  const driver = new ExaiDriver();
  acknowledgeExaiHello(driver);
  driver.request("list", "tools/list");
  answerExaiToolList(driver);
  driver.callTool(1, "look");
  acknowledgeExaiHello(driver);
  driver.close();
  driver.advanceToNextDial();
  acknowledgeExaiHello(driver);
  answerExaiToolList(driver);
  const { request_id } = driver.takeFrames().findLast(({ op }) =>
    op === "call_tool"
  )!;
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
  driver.frameFromDaemon({ op: "call_tool_res", request_id, error });
  driver.close();
  driver.advance(1_000);
  acknowledgeExaiHello(driver);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
  answerExaiToolList(driver, {});
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
});

test("exai hint confirmation: calls that wait for a list do not block the others", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  acknowledgeExaiHello(driver);
  driver.request("list", "tools/list");
  answerExaiToolList(driver);
  const connectionIds = [1];
  for (const id of [1, 2, 3, 4]) {
    driver.callTool(id, "look");
    connectionIds.push(driver.connectionId);
    acknowledgeExaiHello(driver);
  }
  for (const connectionId of connectionIds) driver.close(1006, connectionId);
  driver.advanceToNextDial();
  const main = driver.connectionId;
  acknowledgeExaiHello(driver);
  driver.callTool("act", "act");
  // The daemon acknowledges every hello, but sends no tool list.
  const acknowledged = new Set([main]);
  let acted: Json;
  for (let ms = 0; ms < 12_000; ms += 50) {
    for (const frame of driver.takeFrames()) {
      if (frame.op === "call_tool") acted ??= { ...frame, ms };
      if (frame.op !== "hello" || acknowledged.has(frame.connectionId)) {
        continue;
      }
      acknowledged.add(frame.connectionId);
      const { connectionId, session_id } = frame;
      driver.frameFromDaemon(
        { op: "hello_ack", ok: true, session_id },
        connectionId,
      );
    }
    const { connectionId } = driver;
    if (!acknowledged.has(connectionId)) {
      const isOpen =
        driver.session.snapshot().connectionState.phase === "ready";
      if (isOpen) {
        for (let e = main + 1; e <= connectionId; e++) driver.open(e);
      }
    }
    driver.advance(50);
  }
  assertEquals(acted?.name, "act");
});

test("exai hint confirmation: in the first revision, a call that a daemon process lost needs the hint of the next process", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request("list", "tools/list");
  answerExaiToolList(driver);
  const call = driver.startCall(1, "look");
  driver.loseBothAndReconnect(call);
  driver.returnHealth(driver.connectionId, "0:00:00", 1_700_000_000);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
  answerExaiToolList(driver, {});
  assertEquals(driver.responsesToClient().filter(([id]) => id === 1), [[
    1,
    -31002,
  ]]);
});

test("Hint confirmation: the error says that the call may have been executed", () => {
  const driver = loseCallInFlight();
  const id = reconnectAndGetListId(driver);
  driver.fromDaemon({ id, result: { tools: [] } });
  const [{ error }] = driver.sentToClient().filter(({ error }) => error);
  assertMatch(error.message, /may or may not have been executed.*tools\/list/);
  assertEquals(error.data.retryable, false);
});
