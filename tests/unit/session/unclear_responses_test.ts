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
  answerPingsFor,
  ERROR_WITHOUT_ID,
  LOOK_AND_WRITE,
  malformedResponse,
  reconnectWith,
  responseCodes,
  sendCall,
  startTwoToolSession,
} from "../../helpers/session/two_tool_session.ts";

const UNCLEAR: [what: string, frame: Json][] = [
  ["an error with a null id", ERROR_WITHOUT_ID],
  ["an error without an id", {
    error: { code: -32600, message: "Invalid" },
  }],
  [
    "a truncated response",
    '{"jsonrpc":"2.0","id":1,"result":{"content":[{"te',
  ],
  ["a response with NaN", '{"jsonrpc":"2.0","id":1,"result":{"x":NaN}}'],
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

const OTHER_CANDIDATES: [
  what: string,
  before: (driver: SessionDriver) => void,
][] = [
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
  [
    "a request of the proxy that is never answered",
    (driver) => driver.advance(250),
  ],
];

for (const [what, before] of OTHER_CANDIDATES) {
  test(`Errors without an id: ignored if they may refer to something else: ${what}`, () => {
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

test("Errors without an id: each of several calls fails if the daemon rejects all of them", () => {
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
function startUnclearCall(): SessionDriver {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon(ERROR_WITHOUT_ID);
  driver.advance(1_000);
  driver.answerProbe();
  driver.advance(1_000);
  return driver;
}

test("Unclear responses: on a new connection a call is sent once more only if the tool is listed as repeatable there", () => {
  const driver = startUnclearCall();
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
  const driver = startUnclearCall();
  driver.close();
  driver.advance(260);
  while (driver.sentToClient().length === 0) {
    driver.failDial();
    driver.advanceToNextDial();
  }
  const [{ id, error }] = driver.sentToClient();
  assertEquals([id, error.code, error.data.delivered], [1, -31001, "unknown"]);
});

test("Results without an id: change nothing", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon({ id: null, result: {} });
  driver.advance(3_000);
  assertEquals(driver.logEvents(), ["unnamed-result"]);
  assertEquals(driver.sentToClient(), []);
  assertEquals(driver.sentExceptProbes(), []);
});

test("Progress: reaches the client even if it does not increase, until the request is sent again", () => {
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
  assertEquals(responseCodes(driver), []);
});

test("Unclear responses: a call is not repeated if the tool list of its connection does not allow it", () => {
  const driver = startTwoToolSession();
  reconnectWith(driver, { error: { code: -32603, message: "still loading" } });
  driver.advance(500);
  driver.answerProbe();
  driver.takeEffects();
  driver.callTool(1, "look");
  driver.answerProbe();
  driver.takeEffects();
  driver.fromDaemon(malformedResponse(1));
  answerPingsFor(driver, 3_000);
  assertEquals(
    driver.sentExceptProbes().filter(({ id }) => id === 1).length,
    0,
  );
});

test("Errors without an id: an error that may refer to the proxy's probe fails no call", () => {
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
  assertEquals(responseCodes(driver), []);
});

test("Unclear responses: after two broken responses with a lost connection between them, the call is answered or sent once more", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon(malformedResponse(1));
  reconnectWith(driver, { result: { tools: LOOK_AND_WRITE } });
  driver.takeEffects();
  driver.fromDaemon(malformedResponse(1));
  answerPingsFor(driver, 10_000);
  assertEquals(
    responseCodes(driver).length + driver.sentExceptProbes().length,
    1,
  );
});

test("Unclear responses: a broken response is assigned to its request, even while the proxy's tools/list is pending", () => {
  const driver = startTwoToolSession();
  reconnectWith(driver, undefined); // The tool list has not arrived yet.
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.fromDaemon(malformedResponse(1));
  answerPingsFor(driver, 10_000);
  assertEquals(responseCodes(driver), [[1, -31002]]);
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
    answerPingsFor(driver, 10_000);
    assertEquals(responseCodes(driver), [[1, -31002]]);
  });
}

for (const tool of ["look", "write"]) {
  test(`Errors without an id: progress shows that the error does not refer to the call: ${tool}`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, tool, { progressToken: 1 });
    driver.fromDaemon(ERROR_WITHOUT_ID);
    for (let progress = 0; progress < 12; progress++) {
      driver.advance(250);
      driver.answerProbe();
      const params = { progressToken: 1, progress };
      driver.fromDaemon({ method: "notifications/progress", params });
    }
    assertEquals(responseCodes(driver), []);
    assertEquals(
      driver.sentExceptProbes().filter(({ id }) => id === 1).length,
      0,
    );
  });
}

test("Unclear responses: an id stays in use until the daemon has answered both writes of its request", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "look");
  driver.fromDaemon(malformedResponse(1));
  answerPingsFor(driver, 2_500);
  driver.fromDaemon({ id: 1, result: {} });
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.fromDaemon({ id: 1, result: { stale: true } });
  assertEquals(driver.sentToClient().filter(({ result }) => result?.stale), []);
});

test("Errors without an id: a secret with JSON escapes is redacted", () => {
  const driver = startTwoToolSession({ secrets: ['to"ken'] });
  sendCall(driver, 1, "write");
  driver.fromDaemon({ error: { code: -32600, why: 'Bearer to"ken' } });
  answerPingsFor(driver, 2_500);
  assertEquals(
    /to\W+ken/.test(JSON.stringify(driver.sentToClient()) + driver.logText()),
    false,
  );
});

test("Errors without an id: an error that may refer to a response sent during the handshake fails no call", () => {
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
  assertEquals(responseCodes(driver).slice(1), []);
});
