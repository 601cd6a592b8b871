/**
 * The life of a link, what a new daemon is told, and what bad input does.
 *
 * @module
 */

import { restart } from "../../helpers/session/outage.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import type { Answer, Request } from "../../../lib/protocol/jsonrpc.ts";
import { Mcp } from "../../../lib/dialects/mcp/mcp.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";

const LISTS = { tools: {}, prompts: {}, resources: { subscribe: true } };

function methods(messages: Json[]): string[] {
  return messages.map(({ method }) => method);
}

test("Handshake: the first dial comes at the start, and nothing is sent before the client sends", () => {
  const scene = new Scene();
  assertEquals(scene.dials, [{ at: 0, subprotocol: "mcp" }]);
  scene.open();
  scene.pass(60_000);
  assertEquals(scene.written(), []);
});

test("Handshake: the client's own initialize is sent, whether it comes before or after the socket opens", () => {
  const text =
    '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"n":1.0}}';
  for (const isFirst of [true, false]) {
    const scene = new Scene();
    if (isFirst) scene.client(text);
    scene.open();
    if (!isFirst) scene.client(text);
    scene.ask(1, "tools/list");
    scene.client({ method: "notifications/initialized" });
    const effects = scene.take();
    const sent = effects.flatMap((effect) =>
      effect.type === "send" ? [effect.text] : []
    );
    assertEquals(sent, [text], "the rest waits for the answer");
    scene.daemon({ id: 0, result: { capabilities: {} } });
    assertEquals(methods(scene.written()), [
      "notifications/initialized",
      "tools/list",
    ]);
  }
});

test("Handshake: an initialize in flight on a lost connection is sent again under its id, and answered once", () => {
  const scene = new Scene({ retry: "never", initializeGrace: 600_000 });
  scene.ask(0, "initialize", { protocolVersion: "2025-11-25" });
  for (let i = 0; i < 4; i++) {
    scene.open();
    scene.close();
    scene.pass(5_000);
  }
  assertEquals(scene.written().map(({ id }) => id), [0, 0, 0, 0]);
  scene.open();
  scene.daemon({ id: 0, result: { protocolVersion: "2025-11-25" } });
  assertEquals(scene.replies().map(({ id }) => id), [0]);
});

test("Handshake: an initialize that the daemon rejects can be tried again on the same connection", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(0, "initialize", {});
  scene.daemon({ id: 0, error: { code: -32602, message: "version?" } });
  scene.ask(1, "initialize", {});
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.replies().map(({ id, error }) => [id, !error]), [
    [0, false],
    [1, true],
  ]);
  assertEquals(scene.dials.length, 1);
});

test("Handshake: requests of a client without initialize wait for the response to a ping", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(1, "tools/list");
  const [ping] = scene.sent();
  assertEquals(ping.method, "ping");
  scene.take();
  scene.daemon({ id: ping.id, error: { code: -32601, message: "no ping" } });
  assertEquals(scene.written().map(({ id }) => id), [1]);
});

test("Replay: after a reconnect initialize, initialized, level, subscriptions, open requests and lists are sent", () => {
  const scene = new Scene();
  scene.open();
  scene.ask("i", "initialize", { protocolVersion: "2025-11-25", keep: 1 });
  scene.daemon({
    id: "i",
    result: { protocolVersion: "2025-06-18", capabilities: LISTS },
  });
  scene.client({ method: "notifications/initialized" });
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
    scene.ask(i, method, params);
    scene.daemon({ id: i, result });
  });
  scene.ask("owed 1", "resources/list");
  scene.close();
  scene.ask("owed 2", "tools/call", { name: "x" });
  scene.pass(260);
  scene.take();
  scene.open();
  const [greeting, ...rest] = scene.written();
  assertEquals(rest, [], "before anything else");
  assertEquals(greeting.method, "initialize");
  assertEquals(greeting.params, { protocolVersion: "2025-06-18", keep: 1 });
  assert(isOwnId(greeting.id));
  scene.take();
  scene.daemon({ id: greeting.id, result: { protocolVersion: "2025-06-18" } });
  assertEquals(
    scene.written().map(({ method, params = {}, id }) => [
      method,
      params.level ?? params.uri,
      id === undefined || isOwnId(id) ? "" : id,
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
  // The resource may have changed while nobody was subscribed.
  assertEquals(scene.replies(), [{
    jsonrpc: "2.0",
    method: "notifications/resources/updated",
    params: { uri: "b:" },
  }]);
});

test("Replay: leaves out what the daemon rejected", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "logging/setLevel", { level: "debug" });
  scene.daemon({ id: 1, error: { code: -32602, message: "no" } });
  scene.ask(2, "resources/subscribe", { uri: "a:" });
  scene.daemon({ id: 2, error: { code: -32602, message: "no" } });
  restart(scene);
  assertEquals(methods(scene.written()), [
    "initialize",
    "notifications/initialized",
  ]);
});

test("Replay: its responses are dropped, and an error in them is logged", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "logging/setLevel", { level: "debug" });
  scene.daemon({ id: 1, result: {} });
  restart(scene);
  const replayed = scene.written().find(({ method }) =>
    method === "logging/setLevel"
  );
  scene.take();
  scene.daemon({ id: replayed.id, error: { code: 1, message: "not today" } });
  assertEquals([scene.replies(), scene.logged()], [[], ["not-restored"]]);
});

test("List sync: list_changed is sent for the lists that differ from what the client last saw", () => {
  const scene = new Scene();
  scene.start(LISTS);
  for (const list of ["tools", "prompts", "resources"]) {
    scene.ask(list, `${list}/list`);
    scene.daemon({ id: list, result: { [list]: [{ name: "a" }] } });
  }
  restart(scene);
  const fetches = scene.written().filter(({ method }) => /list$/.test(method));
  assertEquals(fetches.length, 3);
  scene.take();
  for (const { id, method } of fetches) {
    const list = method.split("/")[0];
    const name = list === "prompts" ? "a" : "b";
    scene.daemon({ id, result: { [list]: [{ name }] } });
  }
  assertEquals(methods(scene.replies()), [
    "notifications/tools/list_changed",
    "notifications/resources/list_changed",
  ]);
});

test("List sync: all pages of a list are compared", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "tools/list");
  scene.daemon({ id: 1, result: { tools: [{ name: "a" }], nextCursor: "2" } });
  scene.ask(2, "tools/list", { cursor: "2" });
  scene.daemon({ id: 2, result: { tools: [{ name: "b" }] } });
  restart(scene);
  const fetch = (): Json =>
    scene.written().findLast(({ method }) => method === "tools/list");
  scene.daemon({
    id: fetch().id,
    result: { tools: [{ name: "a" }], nextCursor: "p" },
  });
  assertEquals(fetch().params, { cursor: "p" });
  scene.daemon({ id: fetch().id, result: { tools: [{ name: "c" }] } });
  assertEquals(methods(scene.replies()), ["notifications/tools/list_changed"]);
});

const ANNOUNCED: [told: string, shown: string][] = [
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
for (const [told, shown] of ANNOUNCED) {
  test(`Capabilities: the response to initialize declares what the proxy may send: ${told}`, () => {
    const scene = new Scene();
    scene.open();
    scene.ask(0, "initialize", {});
    const answer = (capabilities: string): string =>
      `{"result":{"n":1.0,"capabilities":${capabilities}},"jsonrpc":"2.0","id":0}`;
    scene.daemon(answer(told));
    const texts = scene.take().flatMap((effect) =>
      effect.type === "reply" ? [effect.text] : []
    );
    assertEquals(texts, [answer(shown)]);
  });
}

test("Server requests: have an id for each connection, and the response goes to the right one", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 0, method: "elicitation/create", params: { n: 1 } });
  const [first] = scene.replies();
  assertEquals(first.params, { n: 1 });
  restart(scene);
  assertEquals(
    scene.replies().map(({ method, params }) => [method, params?.requestId]),
    [],
  );
  scene.take();
  scene.daemon({ id: 0, method: "elicitation/create", params: { n: 2 } });
  const [second] = scene.replies();
  assert(first.id !== second.id);
  scene.take();
  scene.client({ id: first.id, result: { n: "old" } });
  assertEquals(scene.written(), [], "an answer to a daemon that is gone");
  scene.client({ id: second.id, result: { n: "new" } });
  assertEquals(scene.written(), [{
    jsonrpc: "2.0",
    id: 0,
    result: { n: "new" },
  }]);
});

test("Server requests: cancelled at the client when the connection is lost", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 0, method: "sampling/createMessage" });
  const [{ id }] = scene.replies();
  scene.take();
  scene.close();
  const [{ method, params }] = scene.replies();
  assertEquals([method, params.requestId], ["notifications/cancelled", id]);
});

test("Server requests: a cancellation by the daemon reaches the client under the id that it knows", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 0, method: "sampling/createMessage" });
  const [{ id }] = scene.replies();
  scene.take();
  const cancel = (requestId: unknown): void =>
    scene.daemon({ method: "notifications/cancelled", params: { requestId } });
  cancel(0);
  cancel(0);
  cancel("0");
  assertEquals(scene.replies().map(({ params }) => params.requestId), [id]);
});

test("Server requests: the client's progress reaches the daemon with its own token", () => {
  const scene = new Scene();
  scene.start();
  const params = { _meta: { progressToken: 3 } };
  scene.daemon({ id: 0, method: "sampling/createMessage", params });
  const [asked] = scene.replies();
  const { progressToken } = asked.params._meta;
  scene.take();
  scene.client({
    method: "notifications/progress",
    params: { progressToken, progress: 1 },
  });
  assertEquals(scene.written()[0].params, { progressToken: 3, progress: 1 });
});

test("Queue: the client's notifications wait for a connection, in order", () => {
  const scene = new Scene();
  scene.start();
  scene.close();
  scene.client({ method: "notifications/roots/list_changed" });
  scene.ask(1, "x");
  scene.pass(260);
  scene.take();
  scene.again();
  assertEquals(methods(scene.written()).slice(-2), [
    "notifications/roots/list_changed",
    "x",
  ]);
});

test("Log: attempts 1, 5, 10, 20 and so on, and the success", () => {
  const scene = new Scene();
  for (let i = 0; i < 60; i++) {
    scene.refuse();
    scene.untilDial();
  }
  const shown = scene.take().flatMap((effect) =>
    effect.type === "log" && effect.level === "warn"
      ? [Number(/\d+/.exec(effect.message))]
      : []
  );
  assertEquals(shown, [1, 5, 10, 20, 30, 40, 50, 60]);
  scene.start();
  scene.pass(4_000);
  scene.close();
  scene.untilDial();
  scene.refuse();
  scene.untilDial();
  scene.again();
  const [lost, first, opened, again] = scene.log().split("\n");
  assertMatch(
    lost!,
    /^Lost the WebSocket daemon at ws:\/\/daemon\/: the connection was closed without a close frame\. /,
  );
  assertMatch(
    first!,
    /^Attempt 1 .*: nothing listens there\. Next attempt in 0\.5 s\.$/,
  );
  assertMatch(opened!, /is open/);
  assertMatch(
    again!,
    /^Reconnected to WebSocket daemon at ws:\/\/daemon\/ after 2 attempts \(down 0\.8 s\)$/,
  );
});

test("Log: the first success", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(0, "initialize", {});
  scene.daemon({ id: 0, result: {} });
  const last = scene.log().split("\n").at(-1);
  assertEquals(
    last,
    "Successfully connected to WebSocket daemon at ws://daemon/",
  );
});

test("Reconnect: a hundred restarts leave nothing open", () => {
  const scene = new Scene();
  scene.start();
  for (let i = 0; i < 100; i++) {
    scene.pass(6_000);
    scene.take();
    const probe = scene.written().at(-1);
    if (probe) scene.daemon({ id: probe.id, result: {} });
    restart(scene);
    scene.take();
  }
  assertEquals(scene.session.owed, 0);
  assertEquals(scene.dials.length, 101);
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
  test(`Input: a line that is no message has no effect: ${line}`, () => {
    const scene = new Scene();
    scene.start();
    scene.ask("owed", "x");
    scene.take();
    scene.client(line);
    const [reply] = scene.replies();
    assertEquals([reply?.error.code, reply?.id], [code, id]);
    assertEquals(scene.written(), []);
    assertEquals(scene.logged(), ["invalid-from-client"]);
    scene.daemon({ id: "owed", result: {} });
    assertEquals(scene.replies().at(-1).id, "owed");
  });
}

test("Input: a malformed request under an id in flight does not answer the one in flight", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "x");
  scene.client('{"jsonrpc":"2.0","id":1,"method":null}');
  assertEquals(scene.replies(), []);
});

test("Input: a log line about a bad one has sizes and ids, and nothing of its text", () => {
  const scene = new Scene();
  scene.start();
  scene.client('{"jsonrpc":"2.0","id":1,"secret":"hunter2"}');
  scene.daemon("hunter2 ".repeat(9));
  scene.do({ type: "binary", epoch: scene.epoch, bytes: 5 });
  scene.do({ type: "overlong", bytes: 99, head: "hunter2", tail: "" });
  assertEquals(scene.log().includes("hunter2"), false);
  assertMatch(scene.log(), /43 characters, id 1/);
  assertMatch(scene.log(), /72 characters/);
  assertMatch(scene.log(), /binary frame of 5 bytes/);
  assertMatch(scene.log(), /line of 99 bytes/);
});

test("Input: a batch is its elements, and each is answered for itself", () => {
  const scene = new Scene();
  scene.start();
  const element = (id: number): string =>
    `{"jsonrpc":"2.0","id":${id},"method":"x"}`;
  scene.client(`[${element(1)},7,${element(2)}]`);
  assertEquals(scene.written().map(({ id }) => id), [1, 2]);
  scene.daemon(
    '[{"jsonrpc":"2.0","id":2,"result":1},{"jsonrpc":"2.0","id":1,"result":1}]',
  );
  assertEquals(scene.replies().map(({ id }) => id), [2, 1]);
});

test("Responses: one to initialize that is no JSON-RPC becomes an error at once", () => {
  const scene = new Scene();
  scene.open();
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  scene.daemon('{"id":"init","result":{}}');
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code], ["init", -32603]);
});

test("Responses: one that is no JSON-RPC becomes an error for its request", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "x");
  scene.ask(2, "x");
  scene.daemon('{"id":1,"result":{}}');
  scene.daemon({ id: 2 });
  scene.pass(2_000);
  assertEquals(
    scene.replies().map(({ id, error }) => [id, error.code]),
    [[1, -31002], [2, -31002]],
  );
  assertEquals(scene.written().length, 2, "the daemon is told nothing");
  assertEquals(new Set(scene.logged()), new Set(["invalid-from-daemon"]));
});

test("Server requests: a malformed one is answered with an error", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 5, method: 7 });
  assertEquals(scene.replies(), []);
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [5, -32600],
  ]);
});

test("Responses: a pretty-printed one reaches the client as one line", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "x");
  scene.daemon(
    '{\r\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": {"t":"a\\nb"}\n}',
  );
  const [reply] = scene.take().filter(({ type }) => type === "reply");
  assert(reply?.type === "reply" && !/[\r\n]/.test(reply.text));
});

test("Input: empty lines are ignored", () => {
  const scene = new Scene();
  scene.start();
  for (const line of ["", "  ", "\t"]) scene.client(line);
  assertEquals([scene.logged(), scene.replies()], [[], []]);
});

test("Internal errors: one fails only its request", () => {
  class Broken extends Mcp {
    override local(request: Request): string | undefined {
      const method: string = request.method;
      if (method === "boom") throw new Error("boom");
      return super.local(request, "down");
    }
    override answered(request: Request, answer: Answer): string {
      const method: string = request.method;
      if (method === "bang") throw new Error("bang");
      return super.answered(request, answer);
    }
  }
  const scene = new Scene({}, () => 0, new Broken(() => 0));
  scene.start();
  scene.client(
    '[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"boom"},{"jsonrpc":"2.0","id":3,"method":"bang"},{"jsonrpc":"2.0","id":4,"method":"x"}]',
  );
  scene.daemon({ id: 3, result: {} });
  scene.daemon({ id: 4, result: {} });
  assertEquals(
    scene.replies().map(({ id, error }) => [id, error?.code]),
    [[1, undefined], [2, -32603], [3, -32603], [4, undefined]],
  );
  assertEquals(scene.logged(), ["bug", "bug"]);
  assertEquals(scene.session.owed, 0);
});

test("Output: every message for the client is one line", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon('{"jsonrpc":"2.0",\n"id":0,\n"method":"roots/list"}');
  scene.daemon('{"jsonrpc":"2.0",\n"method":"notifications/x"}');
  for (const effect of scene.take()) {
    if (effect.type === "reply") assert(!effect.text.includes("\n"));
  }
});

test("Log: a line has bounded length, whatever a peer sends", () => {
  const scene = new Scene();
  scene.start();
  scene.close();
  scene.pass(260);
  scene.take();
  scene.open();
  const [{ id }] = scene.written();
  const message = `no\n2026-01-01 ERROR forged${"x".repeat(5_000)}`;
  scene.daemon({ id, error: { code: 1, message } });
  const texts = scene.take().flatMap((effect) =>
    effect.type === "log" ? [effect.message] : []
  );
  assert(texts.some((text) => text.includes("forged")));
  for (const text of texts) assert(!text.includes("\n") && text.length < 1_100);
});

test("List sync: a daemon that lists slowly after a restart keeps its connection while there are calls", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "tools/list");
  scene.daemon({ id: 1, result: { tools: [] } });
  restart(scene);
  const { epoch } = scene;
  scene.pass(7_000);
  scene.call(2, "write");
  scene.pass(60_000);
  assertEquals(scene.isLeft(epoch), false);
  assertEquals(scene.replies(), []);
});

test("List sync: a daemon that lists slowly with nothing else to do has a minute", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "tools/list");
  scene.daemon({ id: 1, result: { tools: [] } });
  restart(scene);
  const { epoch } = scene;
  scene.take();
  scene.pass(59_999);
  assertEquals(scene.take(), []);
  scene.pass(5_001);
  assertEquals(scene.isLeft(epoch), true);
});

/** A call was cancelled after 20 s of silence; there was a probe before it, and no evidence that the connection is dead. */
function cancelled(): Scene {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.call(1, "write");
  scene.pong();
  scene.pass(20_000);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  return scene;
}

test("Liveness: a daemon that may still work on a cancelled call keeps the connection for the next one", () => {
  const scene = cancelled();
  scene.pass(12_000);
  assertEquals(scene.isLeft(1), false);
  scene.take();
  scene.call(2, "write");
  assertEquals(scene.written().at(-1).id, 2);
  scene.pass(120_000);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.daemon({ id: 2, result: 1 });
  assertEquals(scene.replies().map(({ id }) => id), [2]);
});

test("Liveness: a connection that is silent for a minute after a cancelled call is lost", () => {
  const scene = cancelled();
  scene.pass(59_999);
  assertEquals(scene.isLeft(1), false);
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: the late response to a cancelled call ends that minute", () => {
  const scene = cancelled();
  scene.daemon({ id: 1, result: 1 });
  scene.pass(9_999);
  assertEquals(scene.isLeft(1), false);
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: traffic after a probe keeps the connection when its last call is cancelled", () => {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.pass(5_000);
  scene.pong();
  scene.call(1, "write"); // its probe is never answered
  scene.pass(6_000);
  scene.daemon({ method: "notifications/message", params: {} });
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  assertEquals(scene.isLeft(1), false);
});

test("Liveness: a silent connection with evidence is lost when its last call is cancelled", () => {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.pass(5_000);
  scene.pong();
  scene.call(1, "write"); // its probe is never answered
  scene.pass(60_000);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: the client's own ping finds a dead idle connection", () => {
  const scene = new Scene({ pingInterval: 3_600_000 });
  scene.start();
  scene.pass(60_000);
  scene.ask(1, "ping");
  scene.pass(3_000);
  scene.ask(2, "ping");
  scene.client({ method: "notifications/cancelled", params: { requestId: 2 } });
  scene.pass(1_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [[
    1,
    {},
  ]]);
  scene.pass(250);
  assertEquals(scene.dials.length, 2);
});

test("Handshake: an initialize that times out is not cancelled, and the next one goes on a new connection", () => {
  const scene = new Scene({ initializeGrace: Infinity, requestTimeout: 5_000 });
  scene.open();
  scene.ask(0, "initialize", {});
  scene.pass(5_000);
  assertEquals(methods(scene.written()), ["initialize"]);
  const [{ error }] = scene.replies();
  assertEquals([error.code, error.data.delivered], [-31003, "unknown"]);
  scene.ask(1, "initialize", {});
  scene.pass(300);
  scene.open();
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.replies().at(-1), { jsonrpc: "2.0", id: 1, result: {} });
});

test("Handshake: requests behind an initialize that the daemon rejects are sent after a ping", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(0, "initialize", {});
  scene.ask(1, "tools/list");
  scene.daemon({ id: 0, error: { code: -32602, message: "no" } });
  const ping = scene.sent().at(-1);
  assertEquals(ping.method, "ping");
  scene.daemon({ id: ping.id, result: {} });
  assertEquals(scene.sent().at(-1).method, "tools/list");
});

test("Replay: an initialize without a version is sent as it was", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(0, "initialize", { protocolVersion: "x" });
  scene.daemon({ id: 0, result: {} });
  restart(scene);
  assertEquals(scene.written()[0].params, { protocolVersion: "x" });
});

test("Size limit: --max-message holds for all messages, and each side gets an error for its requests", () => {
  const scene = new Scene({ maxMessage: 1_000 });
  scene.start();
  const much = "x".repeat(1_000);
  scene.daemon({ method: "notifications/message", params: { much } });
  scene.daemon({ id: 0, method: "roots/list", params: { much } });
  scene.client({ method: "notifications/x", params: { much } });
  assertEquals(scene.replies(), []);
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [0, -31005],
  ]);
  scene.take();
  scene.daemon({ id: 1, method: "roots/list" });
  const [{ id }] = scene.replies();
  scene.client({ id, result: { much } });
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [1, -31005],
  ]);
});

test("Server requests: at most a thousand are open", () => {
  const scene = new Scene();
  scene.start();
  for (let id = 0; id <= 1_000; id++) scene.daemon({ id, method: "ping" });
  assertEquals(scene.replies().length, 1_000);
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [1_000, -31004],
  ]);
});

test("Server requests: an invalid response of the client becomes an error for the daemon", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 9, method: "roots/list" });
  const [{ id }] = scene.replies();
  scene.client({ id, error: "no" });
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [9, -32603],
  ]);
});

test("Size limit: a request that is too long is answered if its id can be found", () => {
  const scene = new Scene();
  scene.start();
  const head = '{"jsonrpc":"2.0","id":7,"method":"x","params":"';
  scene.do({ type: "overlong", bytes: 1e9, head, tail: '"}' });
  assertEquals(scene.replies().map(({ id, error }) => [id, error.code]), [
    [7, -31005],
  ]);
  assertEquals(scene.written(), []);
});

test("Refusal: ends when a connection opens", () => {
  for (const status of [401, undefined]) {
    const scene = new Scene();
    if (status === undefined) scene.open();
    scene.do({
      type: "closed",
      epoch: scene.epoch,
      code: status === undefined ? 1008 : 0,
      reason: "",
      reached: true,
      ...(status !== undefined && { status }),
    });
    scene.ask(0, "initialize", {});
    assertEquals(scene.replies()[0].error.data.reason, "refused");
    scene.take();
    scene.untilDial();
    scene.open();
    scene.ask(1, "initialize", {});
    scene.daemon({ id: 1, result: {} });
    assertEquals(scene.replies(), [{ jsonrpc: "2.0", id: 1, result: {} }]);
  }
});

test("Internal errors: one at a deadline is not repeated in a busy loop", () => {
  const dialect = new Mcp(() => 0);
  Object.defineProperty(dialect, "subprotocol", {
    get: () => {
      throw new Error("boom");
    },
  });
  const scene = new Scene({}, () => 0, dialect);
  scene.pass(20_000);
  assertEquals(scene.logged(), Array(21).fill("bug"));
});

test("Back-pressure: a client that does not read loses the connection, and the next dial waits for it", () => {
  const scene = new Scene();
  scene.start();
  scene.call(1, "write");
  scene.do({ type: "clogged" });
  assertEquals(scene.replies().map(({ id, error }) => [id, error.code]), [
    [1, -31002],
  ]);
  assertMatch(scene.log(), /the client reads too slowly/);
  scene.pass(60_000);
  assertEquals(scene.dials.length, 1);
  scene.do({ type: "drained" });
  assertEquals(scene.dials.length, 2);
});

test("Liveness: with --ping-interval off a client's ping loses no connection", () => {
  const scene = new Scene({ pingInterval: Infinity });
  scene.start();
  scene.ask(1, "ping");
  scene.call(2, "write");
  scene.pass(60_000);
  assertEquals(scene.replies(), []);
});

test("Liveness: a dead connection is lost after a cancelled call, even if the client pings", () => {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.pass(5_000);
  scene.pong();
  scene.call(1, "write");
  scene.pass(60_000);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.ask(2, "ping");
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
});

test("--give-up-after: does not run while the client does not read", () => {
  const scene = new Scene({ giveUpAfter: 5_000 });
  scene.start();
  scene.do({ type: "clogged" });
  scene.pass(60_000);
  assertEquals(scene.exit(), undefined);
  scene.do({ type: "drained" });
  scene.pass(4_000);
  assertEquals([scene.exit(), scene.dials.length], [undefined, 2]);
});

test("Timeout: an initialize on a ready connection is not cancelled at the daemon", () => {
  const scene = new Scene({ requestTimeout: 3_000 });
  scene.start();
  scene.ask(1, "initialize", {});
  scene.pass(3_000);
  assertEquals(methods(scene.sent()), ["ping", "initialize", "ping"]);
  assertEquals(scene.replies()[0].error.code, -31003);
});

test("Ping: one in flight on a lost connection is answered, even with --retry never", () => {
  const scene = new Scene({ retry: "never" });
  scene.start();
  scene.ask(1, "ping");
  scene.close();
  assertEquals(scene.replies(), [{ jsonrpc: "2.0", id: 1, result: {} }]);
});

/** A task of a client that has heard of its progress up to 1, and how it goes on. */
function task(params: Json = { task: {} }): {
  scene: Scene;
  progress: (value: number) => Json[];
} {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "tools/call", { ...params, _meta: { progressToken: "t" } });
  const progress = (value: number): Json[] => {
    scene.take();
    const told = { progressToken: "t", progress: value };
    scene.daemon({ method: "notifications/progress", params: told });
    return scene.replies();
  };
  progress(1);
  scene.daemon({ id: 1, result: { task: { taskId: "T", status: "working" } } });
  return { scene, progress };
}

test("Tasks: progress goes on after the request was answered", () => {
  const { progress } = task();
  assertEquals([1, 2, 2, 3].map((value) => progress(value).length), [
    ...[1, 1, 1, 1],
  ]);
  assertEquals(task({}).progress(2), [], "who asked for no task has none");
});

const TASK_ENDS: [what: string, end: (scene: Scene) => void][] = [
  ["a status", (scene) => {
    const params = { taskId: "T", status: "failed" };
    scene.daemon({ method: "notifications/tasks/status", params });
  }],
  ["tasks/get", (scene) => {
    scene.ask(2, "tasks/get", { taskId: "T" });
    scene.daemon({ id: 2, result: { taskId: "T", status: "completed" } });
  }],
  ["tasks/result", (scene) => {
    scene.ask(2, "tasks/result", { taskId: "T" });
    scene.daemon({ id: 2, result: { content: [] } });
  }],
];
for (const [what, end] of TASK_ENDS) {
  test(`Tasks: progress stops after ${what}`, () => {
    const { scene, progress } = task();
    const params = { taskId: "T", status: "working" };
    scene.daemon({ method: "notifications/tasks/status", params });
    assertEquals(progress(2).length, 1);
    end(scene);
    assertEquals(progress(3), []);
  });
}

test("Tasks: progress stops when the daemon is lost", () => {
  const { scene, progress } = task();
  scene.close();
  scene.untilDial();
  scene.again();
  assertEquals(progress(2), []);
});

test("Secrets: one that an MCP daemon quotes reaches neither client nor log", () => {
  const error = { code: -32603, message: `${"x".repeat(196)}S3CRET` };
  const scene = new Scene({ secrets: ["S3CRET"] });
  scene.start();
  scene.ask(1, "tools/list");
  scene.daemon({ id: 1, result: { tools: [] } });
  restart(scene);
  const answer = (): string => {
    const { id } = scene.written().at(-1);
    scene.take();
    scene.daemon({ id, error });
    return JSON.stringify(scene.take());
  };
  const unlisted = answer();
  scene.close();
  scene.untilDial();
  scene.open();
  for (const said of [unlisted, answer()]) {
    assertEquals([said.includes("S3CR"), said.includes("***")], [false, true]);
  }
});
