/**
 * Responses and errors that do not show which request they belong to.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import {
  again,
  broken,
  call,
  codes,
  live,
  REFUSAL,
  settled,
  TOOLS,
} from "../../helpers/session/two_tool_session.ts";

const UNCLEAR: [what: string, frame: Json][] = [
  ["an error without an id", REFUSAL],
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
    const scene = settled();
    call(scene, 1, "look");
    scene.daemon(frame);
    scene.pass(200);
    assertEquals(scene.written(), []);
    scene.pong();
    scene.pass(1_800);
    scene.pong();
    assertEquals(scene.written().map(({ id }) => id), [1]);
    scene.daemon({ id: 1, result: {} });
    assertEquals(scene.replies().map(({ id, error }) => [id, error]), [[
      1,
      undefined,
    ]]);
  });

  test(`Unclear responses: ${what}, twice: the outcome is unknown`, () => {
    const scene = settled();
    call(scene, 1, "look");
    for (const replies of [0, 1]) {
      scene.daemon(frame);
      for (let i = 0; i < 4; i++) {
        scene.pass(500);
        scene.pong();
      }
      assertEquals(scene.replies().length, replies);
    }
    const [{ id, error }] = scene.replies();
    assertEquals([id, error.code, error.data.delivered], [
      1,
      -31002,
      "unknown",
    ]);
  });

  test(`Unclear responses: ${what}: any other call fails, with the daemon's message`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    scene.pass(1_999);
    scene.pong();
    assertEquals(scene.replies(), []);
    scene.pass(1);
    const [{ id, error }] = scene.replies();
    assertEquals([id, error.code, error.data.delivered], [
      1,
      -31002,
      "unknown",
    ]);
    assertMatch(error.message, /Parse error|Invalid|not JSON/);
    assertEquals(scene.written(), []);
  });

  test(`Unclear responses: ${what}: a proper response within 2 s counts`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    scene.pass(1_000);
    scene.daemon({ id: 1, result: {} });
    scene.pass(5_000);
    assertEquals(scene.replies().map(({ id, error }) => [id, error]), [[
      1,
      undefined,
    ]]);
  });
}

const ELSE: [what: string, before: (scene: Scene) => void][] = [
  ["another request", (scene) => scene.ask(2, "x")],
  [
    "a notification",
    (scene) => scene.client({ method: "notifications/roots/list_changed" }),
  ],
  ["a cancelled request", (scene) => {
    scene.ask(2, "x");
    scene.client({
      method: "notifications/cancelled",
      params: { requestId: 2 },
    });
  }],
  ["one of ours that is never answered", (scene) => scene.pass(250)],
];

for (const [what, before] of ELSE) {
  test(`Unnamed errors: ignored where it may concern something else: ${what}`, () => {
    const scene = settled();
    call(scene, 1, "write");
    before(scene);
    scene.daemon(REFUSAL);
    scene.pass(3_000);
    assertEquals(scene.replies(), []);
    assertEquals(scene.written().filter(({ id }) => id === 1), []);
    assert(scene.logged().includes("unnamed-error"));
  });
}

test("Unnamed errors: a daemon that refuses every call fails each of them", () => {
  const scene = settled();
  for (const id of [1, 2, 3]) {
    call(scene, id, "write");
    scene.daemon(REFUSAL);
    scene.pass(1_500);
    scene.pong();
    scene.pass(500);
    assertEquals(scene.replies().map(({ id }) => id), [id]);
    assertEquals(scene.replies()[0].error.code, -31002);
  }
  scene.take();
  scene.call(1, "write");
  const [{ error }] = scene.replies();
  assertEquals(error.code, -32600, "its answer may still come");
});

/** A call that only reads is to be written once more. */
function refused(): Scene {
  const scene = settled();
  call(scene, 1, "look");
  scene.daemon(REFUSAL);
  scene.pass(1_000);
  scene.pong();
  scene.pass(1_000);
  return scene;
}

test("Unclear responses: on a new connection a call is sent once more only if the tool is listed as repeatable there", () => {
  const scene = refused();
  // It waits for a probe, and the connection ends.
  assertEquals(scene.written().filter(({ id }) => id === 1), []);
  scene.close();
  scene.untilDial();
  scene.again();
  scene.pong();
  assertEquals(scene.written().filter(({ id }) => id === 1), []);
  const list = scene.sent().findLast(({ method }) => method === "tools/list");
  scene.daemon({ id: list.id, result: { tools: [{ name: "look" }] } });
  const [{ id, error }] = scene.replies().filter(({ id }) => id === 1);
  assertEquals([id, error.code, error.data.delivered], [1, -31002, "unknown"]);
});

test("Unclear responses: a call that waits to be sent once more counts as delivered", () => {
  const scene = refused();
  scene.close();
  scene.pass(260);
  while (scene.replies().length === 0) {
    scene.refuse();
    scene.untilDial();
  }
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code, error.data.delivered], [1, -31001, "unknown"]);
});

test("Unnamed results: belong to no request", () => {
  const scene = settled();
  call(scene, 1, "look");
  scene.daemon({ id: null, result: {} });
  scene.pass(3_000);
  assertEquals(scene.logged(), ["unnamed-result"]);
  assertEquals(scene.replies(), []);
  assertEquals(scene.written(), []);
});

test("Progress: reaches the client even where it does not rise, until the request is sent again", () => {
  const scene = settled();
  scene.call(1, "look", { progressToken: "t" });
  scene.pong();
  const progress = (value: Json): Json[] => {
    scene.take();
    const params = { progressToken: "t", progress: value };
    scene.daemon({ method: "notifications/progress", params });
    return scene.replies().map(({ params }) => params.progress);
  };
  assertEquals([5, 5, 3].map(progress), [[5], [5], [3]]);
  assertEquals(progress("6"), [], "no client takes it");
  scene.close();
  scene.untilDial();
  scene.again();
  const list = scene.sent().findLast(({ method }) => method === "tools/list");
  scene.daemon({
    id: list.id,
    result: { tools: [{ name: "look", annotations: { readOnlyHint: true } }] },
  });
  assert(scene.written().some(({ id }) => id === 1));
  assertEquals([3, 5, 6].map(progress), [[], [], [6]]);
});

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
