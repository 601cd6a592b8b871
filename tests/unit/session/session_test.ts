/**
 * The handshake, its replay after a reconnect, and bad input.
 *
 * @module
 */

import { Mcp } from "../../../lib/dialects/mcp/mcp.ts";
import type { Answer, Request } from "../../../lib/protocol/jsonrpc.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { restart } from "../../helpers/session/outage.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import {
  call,
  codes,
  live,
  settled,
} from "../../helpers/session/two_tool_session.ts";

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

const HANDSHAKES: [
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

for (const [what, text, answers, written] of HANDSHAKES) {
  test(`Handshake: the client's initialized is sent, and replayed after a reconnect: ${what}`, () => {
    const scene = new Scene();
    scene.open();
    scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
    scene.daemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities: {} },
    });
    scene.take();
    scene.client(text);
    assertEquals(scene.replies(), answers);
    const texts = () =>
      scene.take().flatMap((it) => it.type === "send" ? [it.text] : []);
    assertEquals(texts(), [written]);
    scene.close();
    scene.untilDial();
    scene.again();
    assertEquals(texts().filter((it) => it.includes("initialized")), [written]);
  });
}

for (const result of ["[]", "true", '"ok"', '""']) {
  test(`Responses: a result that is no object becomes an empty one: ${result}`, () => {
    const scene = settled();
    scene.pass(1_500);
    scene.ask(1, "logging/setLevel", { level: "info" });
    scene.pong();
    scene.daemon(`{"jsonrpc":"2.0","id":1,"result":${result}}`);
    const [reply] = scene.replies();
    assertEquals([reply.result ?? reply.error?.code, reply.id], [{}, 1]);
  });
}

test("Handshake: initialized is sent even with the id of an open request", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  scene.client({ id: 0, method: "notifications/initialized" });
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id: 0, result });
  assertEquals(scene.written().at(-1).method, "notifications/initialized");
});

test("Responses: one without jsonrpc and with another member ends its call", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.daemon('{"id":1,"result":{},"session":"a"}');
  live(scene, 10_000);
  assertEquals(codes(scene).length, 1);
});
