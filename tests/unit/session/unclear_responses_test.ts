/**
 * Tests responses and errors that do not show which request they belong to.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { isProxyRequestId } from "../../helpers/session/proxy_request_ids.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  codes,
  ERROR_WITHOUT_ID,
  LOOK_AND_WRITE,
  malformedResponse,
  reconnectWith,
  sendCall,
  startTwoToolSession,
  stayConnected,
} from "../../helpers/session/two_tool_session.ts";

const UNCLEAR: [what: string, frame: Json][] = [
  ["an error without an id", ERROR_WITHOUT_ID],
  ["an error with no id at all", {
    error: { code: -32600, message: "Invalid" },
  }],
  [
    "an answer that breaks off",
    '{"jsonrpc":"2.0","id":1,"result":{"content":[{"te',
  ],
  ["an answer with NaN", '{"jsonrpc":"2.0","id":1,"result":{"x":NaN}}'],
];

for (const [what, frame] of UNCLEAR) {
  test(`Unclear responses: ${what}: a read-only call is sent once more`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "look");
    driver.fromDaemon(frame);
    driver.advance(200);
    assertEquals(driver.sentExceptProbes(), []);
    driver.answerProbe();
    driver.advance(1_800);
    driver.answerProbe();
    assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1]);
    driver.fromDaemon({ id: 1, result: {} });
    assertEquals(driver.sentToClient().map(({ id, error }) => [id, error]), [[
      1,
      undefined,
    ]]);
  });

  test(`Unclear responses: ${what}, twice: the outcome is unknown`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "look");
    for (const replies of [0, 1]) {
      driver.fromDaemon(frame);
      for (let i = 0; i < 4; i++) {
        driver.advance(500);
        driver.answerProbe();
      }
      assertEquals(driver.sentToClient().length, replies);
    }
    const [{ id, error }] = driver.sentToClient();
    assertEquals([id, error.code, error.data.delivered], [
      1,
      -31002,
      "unknown",
    ]);
  });

  test(`Unclear responses: ${what}: any other call fails, with the daemon's message`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "write");
    driver.fromDaemon(frame);
    driver.advance(1_999);
    driver.answerProbe();
    assertEquals(driver.sentToClient(), []);
    driver.advance(1);
    const [{ id, error }] = driver.sentToClient();
    assertEquals([id, error.code, error.data.delivered], [
      1,
      -31002,
      "unknown",
    ]);
    assertMatch(error.message, /Parse error|Invalid|not JSON/);
    assertEquals(driver.sentExceptProbes(), []);
  });

  test(`Unclear responses: ${what}: a proper response within 2 s counts`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "write");
    driver.fromDaemon(frame);
    driver.advance(1_000);
    driver.fromDaemon({ id: 1, result: {} });
    driver.advance(5_000);
    assertEquals(driver.sentToClient().map(({ id, error }) => [id, error]), [[
      1,
      undefined,
    ]]);
  });
}

const ELSE: [what: string, before: (driver: SessionDriver) => void][] = [
  ["another request", (driver) => driver.request(2, "x")],
  [
    "a notification",
    (driver) =>
      driver.fromClient({ method: "notifications/roots/list_changed" }),
  ],
  ["a cancelled request", (driver) => {
    driver.request(2, "x");
    driver.fromClient({
      method: "notifications/cancelled",
      params: { requestId: 2 },
    });
  }],
  ["one of ours that is never answered", (driver) => driver.advance(250)],
];

for (const [what, before] of ELSE) {
  test(`Unnamed errors: ignored where it may concern something else: ${what}`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "write");
    before(driver);
    driver.fromDaemon(ERROR_WITHOUT_ID);
    driver.advance(3_000);
    assertEquals(driver.sentToClient(), []);
    assertEquals(driver.sentExceptProbes().filter(({ id }) => id === 1), []);
    assert(driver.logEvents().includes("unnamed-error"));
  });
}

test("Unnamed errors: a daemon that refuses every call fails each of them", () => {
  const driver = startTwoToolSession();
  for (const id of [1, 2, 3]) {
    sendCall(driver, id, "write");
    driver.fromDaemon(ERROR_WITHOUT_ID);
    driver.advance(1_500);
    driver.answerProbe();
    driver.advance(500);
    assertEquals(driver.sentToClient().map(({ id }) => id), [id]);
    assertEquals(driver.sentToClient()[0].error.code, -31002);
  }
  driver.takeEffects();
  driver.callTool(1, "write");
  const [{ error }] = driver.sentToClient();
  assertEquals(error.code, -32600, "its response may still arrive");
});

/**
 * Returns a session that will send a read-only call once more, because the
 * daemon sent an error without an id.
 */
function startNotUnderstood(): SessionDriver {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon(ERROR_WITHOUT_ID);
  driver.advance(1_000);
  driver.answerProbe();
  driver.advance(1_000);
  return driver;
}

test("Unclear responses: on a new connection a call is sent once more only if the tool is listed as repeatable there", () => {
  const driver = startNotUnderstood();
  // The call waits for the answer to a probe. Then the connection is lost.
  assertEquals(driver.sentExceptProbes().filter(({ id }) => id === 1), []);
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect();
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().filter(({ id }) => id === 1), []);
  const list = driver.sentToDaemon().findLast(({ method }) =>
    method === "tools/list"
  );
  driver.fromDaemon({ id: list.id, result: { tools: [{ name: "look" }] } });
  const [{ id, error }] = driver.sentToClient().filter(({ id }) => id === 1);
  assertEquals([id, error.code, error.data.delivered], [1, -31002, "unknown"]);
});

test("Unclear responses: a call that waits to be sent once more counts as delivered", () => {
  const driver = startNotUnderstood();
  driver.close();
  driver.advance(260);
  while (driver.sentToClient().length === 0) {
    driver.failDial();
    driver.advanceToNextDial();
  }
  const [{ id, error }] = driver.sentToClient();
  assertEquals([id, error.code, error.data.delivered], [1, -31001, "unknown"]);
});

test("Unnamed results: belong to no request", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon({ id: null, result: {} });
  driver.advance(3_000);
  assertEquals(driver.logEvents(), ["unnamed-result"]);
  assertEquals(driver.sentToClient(), []);
  assertEquals(driver.sentExceptProbes(), []);
});

test("Progress: reaches the client even where it does not rise, until the request is sent again", () => {
  const driver = startTwoToolSession();
  driver.callTool(1, "look", { progressToken: "t" });
  driver.answerProbe();
  const progress = (value: Json): Json[] => {
    driver.takeEffects();
    const params = { progressToken: "t", progress: value };
    driver.fromDaemon({ method: "notifications/progress", params });
    return driver.sentToClient().map(({ params }) => params.progress);
  };
  assertEquals([5, 5, 3].map(progress), [[5], [5], [3]]);
  assertEquals(progress("6"), [], "no client accepts it");
  reconnectWith(driver, { result: { tools: [LOOK_AND_WRITE[0]] } });
  assert(driver.sentExceptProbes().some(({ id }) => id === 1));
  assertEquals([3, 5, 6].map(progress), [[], [], [6]]);
});

test("Unclear responses: a response quoted inside a broken one answers no request", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "write");
  driver.request(2, "x");
  driver.fromDaemon(
    '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"log:\n' +
      '{"jsonrpc":"2.0","id":2,"result":{"quoted":true}}\nend"}]}}',
  );
  assertEquals(codes(driver), []);
});

test("Unclear responses: a call is not repeated where this connection's list does not say that it may be", () => {
  const driver = startTwoToolSession();
  reconnectWith(driver, { error: { code: -32603, message: "still loading" } });
  driver.advance(500);
  driver.answerProbe();
  driver.takeEffects();
  driver.callTool(1, "look");
  driver.answerProbe();
  driver.takeEffects();
  driver.fromDaemon(malformedResponse(1));
  stayConnected(driver, 3_000);
  assertEquals(
    driver.sentExceptProbes().filter(({ id }) => id === 1).length,
    0,
  );
});

test("Unnamed errors: one that may concern our probe fails no call", () => {
  const driver = startTwoToolSession({ pingInterval: 1_000 });
  sendCall(driver, 1, "write");
  const probe = (): Json =>
    driver.sentToDaemon().findLast(({ id, method }) =>
      method === "ping" && isProxyRequestId(id)
    );
  while (probe() === undefined) driver.advance(50);
  const first = probe().id;
  driver.fromDaemon(ERROR_WITHOUT_ID);
  while (probe().id === first && driver.sentToClient().length === 0) {
    driver.advance(50);
  }
  driver.fromDaemon({ id: probe().id, result: {} });
  driver.advance(1_900);
  assertEquals(codes(driver), []);
});

test("Unclear responses: two broken responses with a loss between them leave the call answered or sent once more", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon(malformedResponse(1));
  reconnectWith(driver, { result: { tools: LOOK_AND_WRITE } });
  driver.takeEffects();
  driver.fromDaemon(malformedResponse(1));
  stayConnected(driver, 10_000);
  assertEquals(codes(driver).length + driver.sentExceptProbes().length, 1);
});

test("Unclear responses: a broken response belongs to its request, also while a list of ours is open", () => {
  const driver = startTwoToolSession();
  reconnectWith(driver, undefined); // The tool list has not arrived yet.
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.fromDaemon(malformedResponse(1));
  stayConnected(driver, 10_000);
  assertEquals(codes(driver), [[1, -31002]]);
});

for (
  const [what, frame] of [
    ["indented", '{\n "jsonrpc": "2.0",\n "id": 1,\n "result": {"x": NaN}\n}'],
    ["byte order mark", "\ufeff" + malformedResponse(1)],
  ] as const
) {
  test(`Unclear responses: a broken response fails its call: ${what}`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "write");
    driver.fromDaemon(frame);
    stayConnected(driver, 10_000);
    assertEquals(codes(driver), [[1, -31002]]);
  });
}

for (const tool of ["look", "write"]) {
  test(`Unnamed errors: progress shows that the call was not refused: ${tool}`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, tool, { progressToken: 1 });
    driver.fromDaemon(ERROR_WITHOUT_ID);
    for (let progress = 0; progress < 12; progress++) {
      driver.advance(250);
      driver.answerProbe();
      const params = { progressToken: 1, progress };
      driver.fromDaemon({ method: "notifications/progress", params });
    }
    assertEquals(codes(driver), []);
    assertEquals(
      driver.sentExceptProbes().filter(({ id }) => id === 1).length,
      0,
    );
  });
}

test("Unclear responses: an id stays in use until both copies of its request are answered", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon(malformedResponse(1));
  stayConnected(driver, 2_500);
  driver.fromDaemon({ id: 1, result: {} });
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.fromDaemon({ id: 1, result: { stale: true } });
  assertEquals(driver.sentToClient().filter(({ result }) => result?.stale), []);
});

test("Unnamed errors: a secret with JSON escapes is redacted", () => {
  const driver = startTwoToolSession({ secrets: ['to"ken'] });
  sendCall(driver, 1, "write");
  driver.fromDaemon({ error: { code: -32600, why: 'Bearer to"ken' } });
  stayConnected(driver, 2_500);
  assertEquals(
    /to\W+ken/.test(JSON.stringify(driver.sentToClient()) + driver.logText()),
    false,
  );
});

test("Unnamed errors: one that may concern a response sent during the handshake fails no call", () => {
  const driver = new SessionDriver({ pingInterval: Infinity });
  driver.open();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.fromDaemon({ id: 7, method: "ping" });
  driver.fromClient({ id: "e1:1", result: {} });
  driver.fromDaemon({
    id: "init",
    result: { protocolVersion: "2025-06-18", capabilities: {} },
  });
  driver.callTool(1, "write");
  driver.fromDaemon(ERROR_WITHOUT_ID);
  driver.advance(3_000);
  assertEquals(codes(driver).slice(1), []);
});
