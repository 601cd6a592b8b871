import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import {
  again,
  broken,
  call,
  codes,
  live,
  REFUSAL,
  retyping,
  settled,
  TOOLS,
} from "../../helpers/session/two_tool_session.ts";

test("Unclear responses: a response quoted inside a broken one answers no request", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.ask(2, "x");
  scene.daemon(
    '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"log:\n' +
      '{"jsonrpc":"2.0","id":2,"result":{"quoted":true}}\nend"}]}}',
  );
  assertEquals(codes(scene), []);
});

test("Unclear responses: a call is not repeated where this connection's list does not say that it may be", () => {
  const scene = settled();
  again(scene, { error: { code: -32603, message: "still loading" } });
  scene.pass(500);
  scene.pong();
  scene.take();
  scene.call(1, "look");
  scene.pong();
  scene.take();
  scene.daemon(broken(1));
  live(scene, 3_000);
  assertEquals(scene.written().filter(({ id }) => id === 1).length, 0);
});

test("Unnamed errors: one that may concern our probe fails no call", () => {
  const scene = settled({ pingInterval: 1_000 });
  call(scene, 1, "write");
  const probe = (): Json =>
    scene.sent().findLast(({ id, method }) => method === "ping" && isOwnId(id));
  while (probe() === undefined) scene.pass(50);
  const first = probe().id;
  scene.daemon(REFUSAL);
  while (probe().id === first && scene.replies().length === 0) scene.pass(50);
  scene.daemon({ id: probe().id, result: {} });
  scene.pass(1_900);
  assertEquals(codes(scene), []);
});

test("Unclear responses: two broken responses with a loss between them leave the call answered or sent once more", () => {
  const scene = settled();
  call(scene, 1, "look");
  scene.daemon(broken(1));
  again(scene, { result: { tools: TOOLS } });
  scene.take();
  scene.daemon(broken(1));
  live(scene, 10_000);
  assertEquals(codes(scene).length + scene.written().length, 1);
});

test("Unclear responses: a broken response belongs to its request, also while a list of ours is open", () => {
  const scene = settled();
  again(scene, undefined); // the daemon takes its time to list
  scene.take();
  scene.call(1, "write");
  scene.pong();
  scene.daemon(broken(1));
  live(scene, 10_000);
  assertEquals(codes(scene), [[1, -31002]]);
});

for (
  const [what, frame] of [
    ["indented", '{\n "jsonrpc": "2.0",\n "id": 1,\n "result": {"x": NaN}\n}'],
    ["byte order mark", "\ufeff" + broken(1)],
  ] as const
) {
  test(`Unclear responses: a broken response fails its call: ${what}`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    live(scene, 10_000);
    assertEquals(codes(scene), [[1, -31002]]);
  });
}

for (const error of ["", false]) {
  test(`Envelope: a message with a method and an empty error is a request or notification: ${JSON.stringify(error)}`, () => {
    const scene = settled();
    call(scene, 0, "write");
    const params = { level: "info", data: "x" };
    scene.daemon({ id: 0, method: "notifications/message", params, error });
    assertEquals(scene.replies().map(({ method }) => method), [
      "notifications/message",
    ]);
  });
}

for (const tool of ["look", "write"]) {
  test(`Unnamed errors: progress shows that the call was not refused: ${tool}`, () => {
    const scene = settled();
    call(scene, 1, tool, { progressToken: 1 });
    scene.daemon(REFUSAL);
    for (let progress = 0; progress < 12; progress++) {
      scene.pass(250);
      scene.pong();
      const params = { progressToken: 1, progress };
      scene.daemon({ method: "notifications/progress", params });
    }
    assertEquals(codes(scene), []);
    assertEquals(scene.written().filter(({ id }) => id === 1).length, 0);
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

test("Envelope: a null member is removed", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.daemon({ id: 1, result: {}, session: null });
  assertEquals(scene.replies(), [{ jsonrpc: "2.0", id: 1, result: {} }]);
});

test("Envelope: a log line in JSON is no response", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.daemon('{"level":"error","id":1,"error":"will retry"}');
  live(scene, 3_000);
  assertEquals(codes(scene), []);
});

test("Unclear responses: an id stays in use until both copies of its request are answered", () => {
  const scene = settled();
  call(scene, 1, "look");
  scene.daemon(broken(1));
  live(scene, 2_500);
  scene.daemon({ id: 1, result: {} });
  scene.take();
  scene.call(1, "write");
  scene.pong();
  scene.daemon({ id: 1, result: { stale: true } });
  assertEquals(scene.replies().filter(({ result }) => result?.stale), []);
});

test("Lists: no list_changed where a client has read only the first page and nothing changed", () => {
  const scene = new Scene();
  scene.start();
  const page = (cursor: Json): Json => ({
    tools: [{ name: cursor ? "b" : "a" }],
    nextCursor: cursor ? "" : "2",
  });
  scene.ask("list", "tools/list");
  scene.pong();
  scene.daemon({ id: "list", result: page(undefined) });
  scene.close();
  scene.untilDial();
  scene.take();
  scene.again();
  for (let i = 0; i < 5; i++) {
    const lists = scene.sent().filter(({ method }) => method === "tools/list");
    assertEquals(scene.replies(), []);
    scene.take();
    for (const { id, params } of lists) {
      scene.daemon({ id, result: page(params?.cursor) });
    }
  }
});

test("Handshake: initialized is sent even with the id of an open request", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  scene.client({ id: 0, method: "notifications/initialized" });
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id: 0, result });
  assertEquals(scene.written().at(-1).method, "notifications/initialized");
});

test("Unnamed errors: a secret with JSON escapes is redacted", () => {
  const scene = new Scene({ secrets: ['to"ken'] });
  scene.start();
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result: { tools: TOOLS } });
  scene.pass(5_000);
  scene.pong();
  call(scene, 1, "write");
  scene.daemon({ error: { code: -32600, why: 'Bearer to"ken' } });
  live(scene, 2_500);
  assertEquals(
    /to\W+ken/.test(JSON.stringify(scene.replies()) + scene.log()),
    false,
  );
});

test("Twin ids: a request that waits for its twin is refused when the twin is cancelled", () => {
  const scene = retyping();
  scene.ask("1", "x");
  scene.ask(1, "x");
  scene.pong();
  scene.client({
    method: "notifications/cancelled",
    params: { requestId: "1" },
  });
  assertEquals(codes(scene), [[1, -32600]]);
  assertEquals(scene.written().filter(({ id }) => id === 1), []);
});

test("Frames: of one with many messages the first 1,000 are read", () => {
  for (const end of ["\n", ""]) {
    const scene = settled();
    const text =
      '{"jsonrpc":"2.0","method":"notifications/message","params":{}}';
    scene.daemon((text + end).repeat(1_001));
    assertEquals(scene.replies().length, 1_000);
    assertEquals(/more than 1,000/.test(scene.log()), true);
  }
});

test("Envelope: empty members of a daemon that writes all of them are ignored", () => {
  for (
    const error of ['""', "false", "0", "{}", "[]", '{"code":0,"message":""}']
  ) {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(`{"jsonrpc":"2.0","id":1,"result":{"a":1},"error":${error}}`);
    scene.daemon(`{"jsonrpc":"2.0","method":"x","result":null,"error":""}`);
    assertEquals(scene.replies(), [
      { jsonrpc: "2.0", id: 1, result: { a: 1 } },
      { jsonrpc: "2.0", method: "x" },
    ]);
  }
});

test("Unnamed errors: one that may concern a response sent during the handshake fails no call", () => {
  const scene = new Scene({ pingInterval: Infinity });
  scene.open();
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  scene.daemon({ id: 7, method: "ping" });
  scene.client({ id: "e1:1", result: {} });
  scene.daemon({
    id: "init",
    result: { protocolVersion: "2025-06-18", capabilities: {} },
  });
  scene.call(1, "write");
  scene.daemon(REFUSAL);
  scene.pass(3_000);
  assertEquals(codes(scene).slice(1), []);
});

const nanOf = (frame: Json): string =>
  JSON.stringify(frame).replace('"NAN"', "NaN");

test("Envelope: a client's request with a wrong jsonrpc and another member gets an error", () => {
  const scene = settled();
  scene.client('{"id":1,"method":"x","_meta":{}}');
  scene.client('{"jsonrpc":"1.0","id":2,"method":"x","sessionId":"a"}');
  assertEquals(codes(scene), [[1, -32600], [2, -32600]]);
});

test("Id types: a number that comes back as a string is recognized after a server/discover with a string id", () => {
  const scene = new Scene();
  scene.open();
  scene.ask("server-discover-probe-1", "server/discover", {
    _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" },
  });
  scene.daemon({
    id: "server-discover-probe-1",
    error: { code: -32601, message: "no" },
  });
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  scene.take();
  scene.daemon({
    id: "0",
    result: { protocolVersion: "2025-06-18", capabilities: {} },
  });
  assertEquals(codes(scene), [[0, undefined]]);
});

test("Frames: of two responses in a line, the second with NaN, each answers its request", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.ask(2, "x");
  scene.daemon(
    '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{"a":NaN}}',
  );
  live(scene, 10_000);
  assertEquals(codes(scene), [[1, undefined], [2, -31002]]);
});

test("Frames: of two responses in a line, the second cut off, each answers its request", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.ask(2, "x");
  scene.daemon(
    '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{"a',
  );
  live(scene, 10_000);
  assertEquals(codes(scene), [[1, undefined], [2, -31002]]);
});

test("Responses: one without jsonrpc and with another member ends its call", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.daemon('{"id":1,"result":{},"session":"a"}');
  live(scene, 10_000);
  assertEquals(codes(scene).length, 1);
});

test("exai frames: a list_tools_res with NaN", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  scene.ask(1, "tools/list");
  scene.take();
  scene.daemon(
    nanOf({
      op: "list_tools_res",
      tools: [{ name: "chat", inputSchema: { default: "NAN" } }],
    }),
  );
  for (let i = 0; i < 60; i++) scene.pass(1000);
  assertEquals(codes(scene).length, 1);
});

test("exai frames: a health_res with NaN", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  scene.ask(1, "tools/list");
  scene.say({
    op: "list_tools_res",
    tools: [{ name: "chat", inputSchema: {} }],
  });
  scene.take();
  for (let i = 0; i < 60; i++) {
    scene.pass(1000);
    for (const f of scene.frames()) {
      if (f.op === "health") {
        scene.daemon(
          nanOf({
            op: "health_res",
            ok: true,
            health: { uptime: 5, load: "NAN" },
          }),
          f.epoch,
        );
      }
    }
  }
  assertEquals(scene.dials.length, 1);
});

test("Envelope: a notification with an empty result is a notification", () => {
  const scene = settled();
  scene.daemon({
    method: "notifications/message",
    params: { level: "info", data: 1 },
    result: {},
  });
  assertEquals(scene.replies().length, 1);
});

test("Lists: an empty cursor with further pages behind it is followed", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("l", "tools/list");
  scene.daemon({ id: "l", result: { tools: [{ name: "a" }], nextCursor: "" } });
  scene.close();
  scene.untilDial();
  scene.take();
  scene.again();
  const page: Json = {
    undefined: { tools: [{ name: "a" }], nextCursor: "" },
    "": { tools: [{ name: "a" }], nextCursor: "x" },
    x: { tools: [{ name: "b" }] },
  };
  for (let i = 0; i < 5; i++) {
    const lists = scene.sent().filter(({ method }) => method === "tools/list");
    assertEquals(scene.replies(), []);
    scene.take();
    for (const { id, params } of lists) {
      scene.daemon({ id, result: page[`${params?.cursor}`] });
    }
  }
});

/** Frames in which a good answer stands beside other text. */
const ANSWERED: [what: string, frame: string][] = [
  [
    "what Node prints of an object, then an answer",
    "{\n  port: 8080,\n  host: 'localhost'\n}\n" +
    '{"jsonrpc":"2.0","id":1,"result":{}}\n',
  ],
  [
    "a log line that opens a brace, then a good answer",
    '{starting "server\n{"jsonrpc":"2.0","id":1,"result":{}}\n',
  ],
  [
    "a log line, then an indented answer",
    'INFO done\n{\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": {}\n}\n',
  ],
  [
    "an indented answer and a log line behind it",
    '{\n "jsonrpc":"2.0",\n "id":1,\n "result":{}\n}\nINFO done',
  ],
];
for (const [what, frame] of ANSWERED) {
  test(`Frames: finds the response: ${what}`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    live(scene, 10_000);
    assertEquals(codes(scene), [[1, undefined]]);
  });
}
