/**
 * Tests the handshake, its replay after a reconnect, and bad input.
 *
 * @module
 */

import { LinkTimers } from "../../../lib/session/link_timers.ts";
import { RequestExpiry } from "../../../lib/session/request_expiry.ts";
import { Sender } from "../../../lib/session/sender.ts";
import { Mcp } from "../../../lib/dialects/mcp/mcp.ts";
import type { Request, Response } from "../../../lib/protocol/jsonrpc.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { loseAndReconnect } from "../../helpers/session/outage.ts";
import { isProxyRequestId } from "../../helpers/session/proxy_request_ids.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  answerPingsFor,
  responseCodes,
  sendCall,
  startTwoToolSession,
} from "../../helpers/session/two_tool_session.ts";

const LISTS = { tools: {}, prompts: {}, resources: { subscribe: true } };

function methods(messages: Json[]): string[] {
  return messages.map(({ method }) => method);
}

test("Handshake: the first dial comes at the start, and nothing is sent before the client sends", () => {
  const driver = new SessionDriver();
  assertEquals(driver.dials, [{ at: 0, subprotocol: "mcp" }]);
  driver.open();
  driver.advance(60_000);
  assertEquals(driver.sentExceptProbes(), []);
});

test("Handshake: the client's own initialize is sent, whether it comes before or after the socket opens", () => {
  const text =
    '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"n":1.0}}';
  for (const isFirst of [true, false]) {
    const driver = new SessionDriver();
    if (isFirst) driver.fromClient(text);
    driver.open();
    if (!isFirst) driver.fromClient(text);
    driver.request(1, "tools/list");
    driver.fromClient({ method: "notifications/initialized" });
    const effects = driver.takeEffects();
    const sent = effects.flatMap((effect) =>
      effect.type === "send-to-daemon" ? [effect.text] : []
    );
    assertEquals(sent, [text], "the rest waits for the response");
    driver.fromDaemon({ id: 0, result: { capabilities: {} } });
    assertEquals(methods(driver.sentExceptProbes()), [
      "notifications/initialized",
      "tools/list",
    ]);
  }
});

test("Handshake: an initialize in flight on a lost connection is sent again under its id, and answered once", () => {
  const driver = new SessionDriver({
    retry: "never",
    initializeGrace: 600_000,
  });
  driver.request(0, "initialize", { protocolVersion: "2025-11-25" });
  for (let i = 0; i < 4; i++) {
    driver.open();
    driver.close();
    driver.advance(5_000);
  }
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [0, 0, 0, 0]);
  driver.open();
  driver.fromDaemon({ id: 0, result: { protocolVersion: "2025-11-25" } });
  assertEquals(driver.sentToClient().map(({ id }) => id), [0]);
});

test("Handshake: an initialize that the daemon rejects can be tried again on the same connection", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(0, "initialize", {});
  driver.fromDaemon({ id: 0, error: { code: -32602, message: "version?" } });
  driver.request(1, "initialize", {});
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(driver.sentToClient().map(({ id, error }) => [id, !error]), [
    [0, false],
    [1, true],
  ]);
  assertEquals(driver.dials.length, 1);
});

test("Handshake: requests of a client without initialize wait for the response to a ping", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(1, "tools/list");
  const [ping] = driver.sentToDaemon();
  assertEquals(ping.method, "ping");
  driver.takeEffects();
  driver.fromDaemon({
    id: ping.id,
    error: { code: -32601, message: "no ping" },
  });
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1]);
});

test("Replay: after a reconnect, initialize, initialized, the log level, subscriptions, open requests and requests for lists are sent", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request("i", "initialize", { protocolVersion: "2025-11-25", keep: 1 });
  driver.fromDaemon({
    id: "i",
    result: { protocolVersion: "2025-06-18", capabilities: LISTS },
  });
  driver.fromClient({ method: "notifications/initialized" });
  const steps: [method: string, params: Json, result: Json][] = [
    ["logging/setLevel", { level: "info" }, {}],
    ["logging/setLevel", { level: "debug" }, {}],
    ["resources/subscribe", { uri: "a:" }, {}],
    ["resources/subscribe", { uri: "b:" }, {}],
    ["resources/unsubscribe", { uri: "a:" }, {}],
    ["tools/list", {}, { tools: [] }],
    ["prompts/list", {}, { prompts: [] }],
  ];
  steps.forEach(([method, params, result], i) => {
    driver.request(i, method, params);
    driver.fromDaemon({ id: i, result });
  });
  driver.request("owed 1", "resources/list");
  driver.close();
  driver.request("owed 2", "tools/call", { name: "x" });
  driver.advance(260);
  driver.takeEffects();
  driver.open();
  const [initialize, ...rest] = driver.sentExceptProbes();
  assertEquals(rest, [], "before anything else");
  assertEquals(initialize.method, "initialize");
  assertEquals(initialize.params, { protocolVersion: "2025-06-18", keep: 1 });
  assert(isProxyRequestId(initialize.id));
  driver.takeEffects();
  driver.fromDaemon({
    id: initialize.id,
    result: { protocolVersion: "2025-06-18" },
  });
  assertEquals(
    driver.sentExceptProbes().map(({ method, params = {}, id }) => [
      method,
      params.level ?? params.uri,
      id === undefined || isProxyRequestId(id) ? "" : id,
    ]),
    [
      ["notifications/initialized", undefined, ""],
      ["logging/setLevel", "debug", ""],
      ["resources/subscribe", "b:", ""],
      ["resources/list", undefined, "owed 1"],
      ["tools/call", undefined, "owed 2"],
      ["tools/list", undefined, ""],
      ["prompts/list", undefined, ""],
    ],
  );
  // The resource may have changed while there was no subscription.
  assertEquals(driver.sentToClient(), [{
    jsonrpc: "2.0",
    method: "notifications/resources/updated",
    params: { uri: "b:" },
  }]);
});

test("Replay: leaves out what the daemon rejected", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "logging/setLevel", { level: "debug" });
  driver.fromDaemon({ id: 1, error: { code: -32602, message: "no" } });
  driver.request(2, "resources/subscribe", { uri: "a:" });
  driver.fromDaemon({ id: 2, error: { code: -32602, message: "no" } });
  loseAndReconnect(driver);
  assertEquals(methods(driver.sentExceptProbes()), [
    "initialize",
    "notifications/initialized",
  ]);
});

test("Replay: its responses are dropped, and an error in them is logged", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "logging/setLevel", { level: "debug" });
  driver.fromDaemon({ id: 1, result: {} });
  loseAndReconnect(driver);
  const replayed = driver.sentExceptProbes().find(({ method }) =>
    method === "logging/setLevel"
  );
  driver.takeEffects();
  driver.fromDaemon({
    id: replayed.id,
    error: { code: 1, message: "not today" },
  });
  assertEquals([driver.sentToClient(), driver.logEvents()], [[], [
    "not-restored",
  ]]);
});

const ANNOUNCED: [declared: string, shown: string][] = [
  ['{"tools":{}}', '{"tools":{"listChanged":true}}'],
  [
    '{"tools":{"listChanged":false, "x":1.0},"logging":{}}',
    '{"tools":{"listChanged":true, "x":1.0},"logging":{}}',
  ],
  ['{"tools":{"listChanged":true}}', '{"tools":{"listChanged":true}}'],
  ['{"logging":{}}', '{"logging":{}}'],
  [
    '{"prompts":{},"resources":{"subscribe":true}}',
    '{"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true}}',
  ],
];

for (const [declared, shown] of ANNOUNCED) {
  test(`Capabilities: the response to initialize declares what the proxy may send: ${declared}`, () => {
    const driver = new SessionDriver();
    driver.open();
    driver.request(0, "initialize", {});
    const answer = (capabilities: string): string =>
      `{"result":{"n":1.0,"capabilities":${capabilities}},"jsonrpc":"2.0","id":0}`;
    driver.fromDaemon(answer(declared));
    const texts = driver.takeEffects().flatMap((effect) =>
      effect.type === "send-to-client" ? [effect.text] : []
    );
    assertEquals(texts, [answer(shown)]);
  });
}

test("Queue: the client's notifications wait for a connection, in order", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  driver.fromClient({ method: "notifications/roots/list_changed" });
  driver.request(1, "x");
  driver.advance(260);
  driver.takeEffects();
  driver.reconnect();
  assertEquals(methods(driver.sentExceptProbes()).slice(-2), [
    "notifications/roots/list_changed",
    "x",
  ]);
});

test("Reconnect: a hundred restarts leave no request pending", () => {
  const driver = new SessionDriver();
  driver.connect();
  for (let i = 0; i < 100; i++) {
    driver.advance(6_000);
    driver.takeEffects();
    const probe = driver.sentExceptProbes().at(-1);
    if (probe) driver.fromDaemon({ id: probe.id, result: {} });
    loseAndReconnect(driver);
    driver.takeEffects();
  }
  assertEquals(driver.session.pendingRequestCount, 0);
  assertEquals(driver.dials.length, 101);
});

const BAD_LINES: [line: string, code: number | undefined, id: Json][] = [
  ["{", undefined, undefined],
  ["hello", undefined, undefined],
  ["5", undefined, undefined],
  ["[]", undefined, undefined],
  ['{"id":1}', -32600, 1],
  ['{"jsonrpc":"2.0","id":1}', -32600, 1],
  ['{"jsonrpc":"2.0","id":"x"}', -32600, "x"],
  ['{"jsonrpc":"2.0","id":0,"method":1}', -32600, 0],
  ['{"jsonrpc":"2.0","id":null,"method":"x"}', -32600, null],
  ['{"jsonrpc":"2.0","id":{},"method":"x"}', undefined, undefined],
];

for (const [line, code, id] of BAD_LINES) {
  test(`Input: an invalid line affects no other message: ${line}`, () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.request("owed", "x");
    driver.takeEffects();
    driver.fromClient(line);
    const [reply] = driver.sentToClient();
    assertEquals([reply?.error.code, reply?.id], [code, id]);
    assertEquals(driver.sentExceptProbes(), []);
    assertEquals(driver.logEvents(), ["invalid-from-client"]);
    driver.fromDaemon({ id: "owed", result: {} });
    assertEquals(driver.sentToClient().at(-1).id, "owed");
  });
}

test("Input: a malformed request with the id of a pending request does not answer that request", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "x");
  driver.fromClient('{"jsonrpc":"2.0","id":1,"method":null}');
  assertEquals(driver.sentToClient(), []);
});

test("Input: the log line about an invalid message has its size and id, but none of its text", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromClient('{"jsonrpc":"2.0","id":1,"secret":"hunter2"}');
  driver.fromDaemon("hunter2 ".repeat(9));
  driver.handle({
    type: "binary",
    connectionId: driver.connectionId,
    bytes: 5,
  });
  driver.handle({
    type: "line-too-long",
    bytes: 99,
    head: "hunter2",
    tail: "",
  });
  assertEquals(driver.logText().includes("hunter2"), false);
  assertMatch(driver.logText(), /43 characters, id 1/);
  assertMatch(driver.logText(), /72 characters/);
  assertMatch(driver.logText(), /binary frame of 5 bytes/);
  assertMatch(driver.logText(), /line of 99 bytes/);
});

test("Input: each message of a batch is forwarded and answered by itself", () => {
  const driver = new SessionDriver();
  driver.connect();
  const element = (id: number): string =>
    `{"jsonrpc":"2.0","id":${id},"method":"x"}`;
  driver.fromClient(`[${element(1)},7,${element(2)}]`);
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1, 2]);
  driver.fromDaemon(
    '[{"jsonrpc":"2.0","id":2,"result":1},{"jsonrpc":"2.0","id":1,"result":1}]',
  );
  assertEquals(driver.sentToClient().map(({ id }) => id), [2, 1]);
});

test("Responses: an invalid response to initialize becomes an error at once", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.fromDaemon('{"id":"init","result":{}}');
  const [{ id, error }] = driver.sentToClient();
  assertEquals([id, error.code], ["init", -32603]);
});

test("Responses: an invalid response becomes an error for its request", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "x");
  driver.request(2, "x");
  driver.fromDaemon('{"id":1,"result":{}}');
  driver.fromDaemon({ id: 2 });
  driver.advance(2_000);
  assertEquals(
    driver.sentToClient().map(({ id, error }) => [id, error.code]),
    [[1, -31002], [2, -31002]],
  );
  assertEquals(
    driver.sentExceptProbes().length,
    2,
    "nothing is sent to the daemon",
  );
  assertEquals(
    new Set(driver.logEvents()),
    new Set(["invalid-from-daemon", "request-failed"]),
  );
});

test("Responses: a response with line breaks reaches the client as one line", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "x");
  driver.fromDaemon(
    '{\r\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": {"t":"a\\nb"}\n}',
  );
  const [reply] = driver.takeEffects().filter(({ type }) =>
    type === "send-to-client"
  );
  assert(reply?.type === "send-to-client" && !/[\r\n]/.test(reply.text));
});

test("Input: empty lines are ignored", () => {
  const driver = new SessionDriver();
  driver.connect();
  for (const line of ["", "  ", "\t"]) driver.fromClient(line);
  assertEquals([driver.logEvents(), driver.sentToClient()], [[], []]);
});

test("Internal errors: an exception fails only its own request", () => {
  class Broken extends Mcp {
    override respondLocally(request: Request): string | undefined {
      const method: string = request.method;
      if (method === "boom") throw new Error("boom");
      return super.respondLocally(request, "down");
    }
    override onResponse(request: Request, answer: Response): string {
      const method: string = request.method;
      if (method === "bang") throw new Error("bang");
      return super.onResponse(request, answer);
    }
  }
  const driver = new SessionDriver({}, () => 0, new Broken(() => 0));
  driver.connect();
  driver.fromClient(
    '[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"boom"},{"jsonrpc":"2.0","id":3,"method":"bang"},{"jsonrpc":"2.0","id":4,"method":"x"}]',
  );
  driver.fromDaemon({ id: 3, result: {} });
  driver.fromDaemon({ id: 4, result: {} });
  assertEquals(
    driver.sentToClient().map(({ id, error }) => [id, error?.code]),
    [[1, undefined], [2, -32603], [3, -32603], [4, undefined]],
  );
  assertEquals(driver.logEvents(), ["bug", "bug"]);
  assertEquals(driver.session.pendingRequestCount, 0);
});

test("Output: every message for the client is one line", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromDaemon('{"jsonrpc":"2.0",\n"id":0,\n"method":"roots/list"}');
  driver.fromDaemon('{"jsonrpc":"2.0",\n"method":"notifications/x"}');
  for (const effect of driver.takeEffects()) {
    if (effect.type === "send-to-client") assert(!effect.text.includes("\n"));
  }
});

test("Handshake: an initialize that times out is not cancelled, and the next one goes on a new connection", () => {
  const driver = new SessionDriver({
    initializeGrace: Infinity,
    requestTimeout: 5_000,
  });
  driver.open();
  driver.request(0, "initialize", {});
  driver.advance(5_000);
  assertEquals(methods(driver.sentExceptProbes()), ["initialize"]);
  const [{ error }] = driver.sentToClient();
  assertEquals([error.code, error.data.delivered], [-31003, "unknown"]);
  driver.request(1, "initialize", {});
  driver.advance(300);
  driver.open();
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(driver.sentToClient().at(-1), {
    jsonrpc: "2.0",
    id: 1,
    result: {},
  });
});

test("Handshake: requests behind an initialize that the daemon rejects are sent after a ping", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(0, "initialize", {});
  driver.request(1, "tools/list");
  driver.fromDaemon({ id: 0, error: { code: -32602, message: "no" } });
  const ping = driver.sentToDaemon().at(-1);
  assertEquals(ping.method, "ping");
  driver.fromDaemon({ id: ping.id, result: {} });
  assertEquals(driver.sentToDaemon().at(-1).method, "tools/list");
});

test("Replay: if the initialize result had no version, the client's version is sent again", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(0, "initialize", { protocolVersion: "x" });
  driver.fromDaemon({ id: 0, result: {} });
  loseAndReconnect(driver);
  assertEquals(driver.sentExceptProbes()[0].params, { protocolVersion: "x" });
});

test("Size limit: --max-message applies to all messages, and each side gets errors for its requests", () => {
  const driver = new SessionDriver({ maxMessage: 1_000 });
  driver.connect();
  const much = "x".repeat(1_000);
  driver.fromDaemon({ method: "notifications/message", params: { much } });
  driver.fromDaemon({ id: 0, method: "roots/list", params: { much } });
  driver.fromClient({ method: "notifications/x", params: { much } });
  assertEquals(driver.sentToClient(), []);
  assertEquals(
    driver.sentExceptProbes().map(({ id, error }) => [id, error.code]),
    [
      [0, -31005],
    ],
  );
  driver.takeEffects();
  driver.fromDaemon({ id: 1, method: "roots/list" });
  const [{ id }] = driver.sentToClient();
  driver.fromClient({ id, result: { much } });
  assertEquals(
    driver.sentExceptProbes().map(({ id, error }) => [id, error.code]),
    [
      [1, -31005],
    ],
  );
});

test("Size limit: a request that is too long is answered if its id can be found", () => {
  const driver = new SessionDriver();
  driver.connect();
  const head = '{"jsonrpc":"2.0","id":7,"method":"x","params":"';
  driver.handle({ type: "line-too-long", bytes: 1e9, head, tail: '"}' });
  assertEquals(driver.sentToClient().map(({ id, error }) => [id, error.code]), [
    [7, -31005],
  ]);
  assertEquals(driver.sentExceptProbes(), []);
});

test("Refusal: ends when a connection opens", () => {
  for (const status of [401, undefined]) {
    const driver = new SessionDriver();
    if (status === undefined) driver.open();
    driver.handle({
      type: "closed",
      connectionId: driver.connectionId,
      code: status === undefined ? 1008 : 0,
      reason: "",
      mayHaveReachedServer: true,
      ...(status !== undefined && { status }),
    });
    driver.request(0, "initialize", {});
    assertEquals(driver.sentToClient()[0].error.data.reason, "refused");
    driver.takeEffects();
    driver.advanceToNextDial();
    driver.open();
    driver.request(1, "initialize", {});
    driver.fromDaemon({ id: 1, result: {} });
    assertEquals(driver.sentToClient(), [{
      jsonrpc: "2.0",
      id: 1,
      result: {},
    }]);
  }
});

test("Internal errors: an exception at a deadline does not cause a busy loop", () => {
  const dialect = new Mcp(() => 0);
  Object.defineProperty(dialect, "subprotocol", {
    get: () => {
      throw new Error("boom");
    },
  });
  const driver = new SessionDriver({}, () => 0, dialect);
  driver.advance(20_000);
  assertEquals(driver.logEvents(), Array(21).fill("bug"));
});

test("Back-pressure: if the client does not read, the connection is closed, and the next dial waits until it reads", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool(1, "write");
  driver.handle({ type: "stdout-full" });
  assertEquals(driver.sentToClient().map(({ id, error }) => [id, error.code]), [
    [1, -31002],
  ]);
  assertMatch(driver.logText(), /the client reads too slowly/);
  driver.advance(60_000);
  assertEquals(driver.dials.length, 1);
  driver.handle({ type: "stdout-drained" });
  assertEquals(driver.dials.length, 2);
});

test("--give-up-after: does not run while the client does not read", () => {
  const driver = new SessionDriver({ giveUpAfter: 5_000 });
  driver.connect();
  driver.handle({ type: "stdout-full" });
  driver.advance(60_000);
  assertEquals(driver.exitCode(), undefined);
  driver.handle({ type: "stdout-drained" });
  driver.advance(4_000);
  assertEquals([driver.exitCode(), driver.dials.length], [undefined, 2]);
});

test("Timeout: an initialize on a ready connection is not cancelled at the daemon", () => {
  const driver = new SessionDriver({ requestTimeout: 3_000 });
  driver.connect();
  driver.request(1, "initialize", {});
  driver.advance(3_000);
  assertEquals(methods(driver.sentToDaemon()), ["ping", "initialize", "ping"]);
  assertEquals(driver.sentToClient()[0].error.code, -31003);
});

test("Ping: the proxy answers a ping that was in flight on a lost connection, even with --retry never", () => {
  const driver = new SessionDriver({ retry: "never" });
  driver.connect();
  driver.request(1, "ping");
  driver.close();
  assertEquals(driver.sentToClient(), [{ jsonrpc: "2.0", id: 1, result: {} }]);
});

test("Secrets: a secret that an MCP daemon sends back reaches neither the client nor the log", () => {
  const error = { code: -32603, message: `${"x".repeat(196)}S3CRET` };
  const driver = new SessionDriver({ secrets: ["S3CRET"] });
  driver.connect();
  driver.request(1, "tools/list");
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  loseAndReconnect(driver);
  const answer = (): string => {
    const { id } = driver.sentExceptProbes().at(-1);
    driver.takeEffects();
    driver.fromDaemon({ id, error });
    return JSON.stringify(driver.takeEffects());
  };
  const listErrorEffects = answer();
  driver.close();
  driver.advanceToNextDial();
  driver.open();
  for (const shownText of [listErrorEffects, answer()]) {
    assertEquals([shownText.includes("S3CR"), shownText.includes("***")], [
      false,
      true,
    ]);
  }
});

const INITIALIZED_FORMS: [
  what: string,
  text: string,
  answers: Json[],
  written: string,
][] = [
  [
    "with id null",
    '{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}',
    [],
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
  ],
  [
    "with an id",
    '{"jsonrpc":"2.0","id":3,"method":"notifications/initialized","params":{}}',
    [{ jsonrpc: "2.0", id: 3, result: {} }],
    '{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}',
  ],
  [
    "by its old name",
    '{"jsonrpc":"2.0","method":"initialized"}',
    [],
    '{"jsonrpc":"2.0","method":"initialized"}',
  ],
  [
    "by its old name, with an id",
    '{"jsonrpc":"2.0","method":"initialized","id":"i"}',
    [{ jsonrpc: "2.0", id: "i", result: {} }],
    '{"jsonrpc":"2.0","method":"initialized"}',
  ],
];

for (const [what, text, answers, written] of INITIALIZED_FORMS) {
  test(`Handshake: the client's initialized is sent, and replayed after a reconnect: ${what}`, () => {
    const driver = new SessionDriver();
    driver.open();
    driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
    driver.fromDaemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities: {} },
    });
    driver.takeEffects();
    driver.fromClient(text);
    assertEquals(driver.sentToClient(), answers);
    const texts = () =>
      driver.takeEffects().flatMap((it) =>
        it.type === "send-to-daemon" ? [it.text] : []
      );
    assertEquals(texts(), [written]);
    driver.close();
    driver.advanceToNextDial();
    driver.reconnect();
    assertEquals(texts().filter((it) => it.includes("initialized")), [written]);
  });
}

for (const result of ["[]", "true", '"ok"', '""']) {
  test(`Responses: a result that is not an object becomes an empty object: ${result}`, () => {
    const driver = startTwoToolSession();
    driver.advance(1_500);
    driver.request(1, "logging/setLevel", { level: "info" });
    driver.answerProbe();
    driver.fromDaemon(`{"jsonrpc":"2.0","id":1,"result":${result}}`);
    const [reply] = driver.sentToClient();
    assertEquals([reply.result ?? reply.error?.code, reply.id], [{}, 1]);
  });
}

test("Handshake: initialized is sent even with the id of an open request", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  driver.fromClient({ id: 0, method: "notifications/initialized" });
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.fromDaemon({ id: 0, result });
  assertEquals(
    driver.sentExceptProbes().at(-1).method,
    "notifications/initialized",
  );
});

test("Responses: a response without jsonrpc and with an unknown member ends its call", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "write");
  driver.fromDaemon('{"id":1,"result":{},"session":"a"}');
  answerPingsFor(driver, 10_000);
  assertEquals(responseCodes(driver).length, 1);
});

test("Session: a message that can be sent at once does not run the timers or the queue", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool(1, "look");
  driver.answerProbe();
  driver.fromDaemon({ id: 1, result: {} });
  let advances = 0;
  const count = (owner: { advance(now: number): void }): () => void => {
    const { advance } = owner;
    owner.advance = function (now): void {
      advances++;
      advance.call(this, now);
    };
    return () => void (owner.advance = advance);
  };
  const restore = [Sender, RequestExpiry, LinkTimers]
    .map(({ prototype }) => count(prototype));
  for (let id = 2; id < 100; id++) {
    driver.callTool(id, "look");
    driver.fromDaemon({ id, result: {} });
  }
  assertEquals(advances, 0);
  driver.advance(10_000);
  assert(advances > 0, "the timers that are due run");
  restore.forEach((it) => it());
});

test("Session: a large response to a call is forwarded without parsing its result", () => {
  const driver = new SessionDriver({ secrets: ["s3cret"] });
  driver.connect();
  driver.callTool(1, "look");
  driver.answerProbe();
  driver.takeEffects();
  const records = Array.from({ length: 5_000 }, (_, n) => ({ n, path: "x" }));
  const result = { content: [], structuredContent: { records } };
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result });
  const { parse } = JSON;
  let longest = 0;
  JSON.parse = (it, ...more): unknown => {
    longest = Math.max(longest, it.length);
    return parse(it, ...more);
  };
  const { connectionId } = driver;
  const effects = driver.session
    .handle({ type: "frame", connectionId, text }, driver.now);
  JSON.parse = parse;
  assertEquals(effects, [{ type: "send-to-client", text }]);
  assert(longest < 1_000, `${longest} characters are parsed at once`);
});
