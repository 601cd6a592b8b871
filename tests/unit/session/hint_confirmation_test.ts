/**
 * A call of a tool with a hint that was in flight on a lost connection: it is
 * written again only if the daemon on the new connection confirms the hint.
 *
 * @module
 */

import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { test } from "../../helpers/no_permissions.ts";

const READ_ONLY = { readOnlyHint: true };

function tools(...names: [name: string, annotations?: Json][]): Json {
  return names.map(([name, annotations]) => ({ name, annotations }));
}

/** A scene whose client knows `look` (read-only), which is in flight when the connection is lost. */
function inFlight(): Scene {
  const scene = new Scene();
  scene.start();
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result: { tools: tools(["look", READ_ONLY]) } });
  scene.call(1, "look");
  scene.close();
  scene.take();
  return scene;
}

/** The daemon is back; gives the id of the proxy's question for its tools. */
function back(scene: Scene): Json {
  scene.untilDial();
  scene.take();
  scene.again();
  const asked = scene.written().filter(({ method }) => method === "tools/list");
  assertEquals(asked.length, 1, "it is asked once");
  assertEquals(calls(scene), []);
  return asked[0].id;
}

/** The ids of the calls that were written since the last look. */
function calls(scene: Scene): Json[] {
  return scene.written().filter(({ method }) => method === "tools/call")
    .map(({ id }) => id);
}

/** The errors that went to the client since the last look. */
function errors(scene: Scene): Json[] {
  return scene.replies().filter(({ error }) => error)
    .map(({ id, error }) => [id, error.code, error.data.delivered]);
}

test("Hint confirmation: a confirmed call is sent again once, and answered", () => {
  const scene = inFlight();
  const id = back(scene);
  scene.daemon({ id, result: { tools: tools(["look", READ_ONLY]) } });
  assertEquals([calls(scene), errors(scene)], [[1], []]);
  scene.daemon({ id: 1, result: { n: 1 } });
  assertEquals(scene.replies().at(-1).result, { n: 1 });
});

const DENIALS: [what: string, listed: Json][] = [
  ["without the hint", tools(["look"])],
  ["with another hint", tools(["look", { destructiveHint: false }])],
  ["no more", tools(["other", READ_ONLY])],
];
for (const [what, listed] of DENIALS) {
  test(`Hint confirmation: the new daemon lists the tool ${what}: the call is not sent again`, () => {
    const scene = inFlight();
    const id = back(scene);
    scene.daemon({ id, result: { tools: listed } });
    assertEquals([calls(scene), errors(scene)], [[], [[1, -31002, "unknown"]]]);
  });
}

test("Hint confirmation: with a list in pages, the call waits for the page with its tool", () => {
  const scene = inFlight();
  let id = back(scene);
  const first = { tools: tools(["other"]), nextCursor: "2" };
  scene.daemon({ id, result: first });
  assertEquals([calls(scene), errors(scene)], [[], []]);
  ({ id } = scene.written().at(-1));
  scene.daemon({ id, result: { tools: tools(["look", READ_ONLY]) } });
  assertEquals(calls(scene), [1]);
});

test("Hint confirmation: a cursor that does not advance ends the list", () => {
  const scene = inFlight();
  let id = back(scene);
  const page = { tools: tools(["other"]), nextCursor: "2" };
  scene.daemon({ id, result: page });
  ({ id } = scene.written().at(-1));
  assertEquals(errors(scene), []);
  scene.daemon({ id, result: page });
  assertEquals(errors(scene), [[1, -31002, "unknown"]]);
});

for (const how of ["says nothing", "refuses to list them"]) {
  test(`Hint confirmation: a daemon that ${how} has 5 s`, () => {
    const scene = inFlight();
    const id = back(scene);
    const { now } = scene;
    const error = { code: -32603, message: "loading" };
    if (how !== "says nothing") scene.daemon({ id, error });
    for (let s = 0; s < 4; s++) {
      scene.pass(1_000);
      // It lives all the same.
      scene.daemon({ method: "notifications/message", params: {} });
    }
    scene.pass(999);
    assertEquals(errors(scene), []);
    scene.pass(1);
    assertEquals([errors(scene), scene.now - now], [
      [[1, -31002, "unknown"]],
      5_000,
    ]);
    assertEquals(calls(scene), []);
  });
}

test("Hint confirmation: a list at the second attempt confirms, too", () => {
  const scene = inFlight();
  const id = back(scene);
  scene.daemon({ id, error: { code: -32603, message: "loading" } });
  scene.take();
  scene.pass(1_000);
  const again = scene.written().find(({ method }) => method === "tools/list");
  scene.daemon({
    id: again.id,
    result: { tools: tools(["look", READ_ONLY]) },
  });
  assertEquals(calls(scene), [1]);
});

test("Hint confirmation: after a lost connection the next one has the rest of the 5 s", () => {
  const scene = inFlight();
  const old = back(scene);
  scene.pass(4_000);
  const { epoch } = scene;
  scene.close();
  scene.pass(1_500);
  assertEquals(errors(scene), [], "nobody is asked meanwhile");
  scene.daemon({ id: old, result: { tools: [] } }, epoch);
  const { length } = scene.dials;
  assertEquals(length, 3);
  scene.take();
  scene.again();
  const { id } = scene.written().find(({ method }) => method === "tools/list")!;
  scene.pass(999);
  assertEquals(errors(scene), []);
  scene.daemon({ id, result: { tools: tools(["look", READ_ONLY]) } });
  assertEquals([calls(scene), errors(scene)], [[1], []]);
});

test("Hint confirmation: daemons that close after the handshake have 5 s in all", () => {
  const scene = inFlight();
  for (let s = 1; s <= 5; s++) {
    back(scene);
    assertEquals(errors(scene), []);
    scene.pass(1_000);
    if (s < 5) scene.close();
  }
  assertEquals(errors(scene), [[1, -31002, "unknown"]]);
});

test("Hint confirmation: other requests do not wait for the list", () => {
  const scene = inFlight();
  scene.call(2, "write");
  scene.ask(3, "resources/read");
  scene.untilDial();
  scene.take();
  scene.again();
  const ids = scene.written().map(({ id }) => id);
  assertEquals(ids.filter((id) => id !== undefined && !isOwnId(id)), [2, 3]);
});

test("Hint confirmation: two calls wait for the same list", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result: { tools: tools(["look", READ_ONLY]) } });
  scene.call(1, "look");
  scene.call(2, "look");
  scene.close();
  scene.take();
  const id = back(scene);
  scene.daemon({ id, result: { tools: tools(["look", READ_ONLY]) } });
  assertEquals([calls(scene), errors(scene)], [[1, 2], []]);
});

test("Hint confirmation: time asleep is no part of the 5 s", () => {
  const scene = inFlight();
  const old = back(scene);
  const { epoch } = scene;
  scene.pass(3_000);
  scene.sleep(60_000);
  scene.pass(900);
  const { id } = scene.sent().findLast(({ method }) => method === "ping")!;
  scene.daemon({ id, result: {} }, epoch);
  assertEquals(errors(scene), []);
  scene.daemon({ id: old, result: { tools: tools(["look", READ_ONLY]) } });
  scene.pong(epoch);
  assertEquals([calls(scene), errors(scene)], [[1], []]);
});

const ENDS: [what: string, config: Json, end: (scene: Scene) => void][] = [
  ["the end of stdin", {}, (scene) => {
    scene.end();
    scene.pass(1_500);
  }],
  ["the queue timeout", { queueTimeout: 3_000 }, (scene) => {
    scene.close();
    for (let dials = scene.dials.length; scene.replies().length === 0;) {
      scene.pass(10);
      if (scene.dials.length > dials) scene.refuse();
      dials = scene.dials.length;
    }
  }],
  ["its own timeout", { requestTimeout: 2_000 }, (scene) => scene.pass(2_000)],
];
for (const [what, config, end] of ENDS) {
  test(`Hint confirmation: the error of an unconfirmed call is not retryable: ${what}`, () => {
    const scene = new Scene(config);
    scene.start();
    scene.ask("list", "tools/list");
    scene.daemon({ id: "list", result: { tools: tools(["look", READ_ONLY]) } });
    scene.call(1, "look");
    scene.close();
    back(scene);
    scene.take();
    end(scene);
    const [{ error }] = scene.replies().filter(({ error }) => error);
    assertEquals([error.data.retryable, error.data.delivered], [
      false,
      "unknown",
    ]);
    if (what === "the end of stdin") assertEquals(error.code, -31002);
  });
}

test("Hint confirmation: the client can cancel the waiting call", () => {
  const scene = inFlight();
  const id = back(scene);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.daemon({ id, result: { tools: tools(["look", READ_ONLY]) } });
  scene.pass(10_000);
  assertEquals([calls(scene), errors(scene)], [[], []]);
});

test("Hint confirmation: the waiting call keeps its own timeout", () => {
  const scene = new Scene({ requestTimeout: 3_000 });
  scene.start();
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result: { tools: tools(["look", READ_ONLY]) } });
  scene.call(1, "look");
  scene.close();
  scene.untilDial();
  scene.again();
  scene.take();
  scene.pass(3_000);
  assertEquals(errors(scene), [[1, -31003, "unknown"]]);
});

test("Hint confirmation: a hint that is only cached permits no repetition", () => {
  const listed = JSON.stringify({ tools: tools(["look", READ_ONLY]) });
  const said = '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}';
  const scene = new Scene({
    remembered: {
      initialize: { "2025-06-18": said },
      lists: { "tools/list": listed },
    },
  });
  scene.refuse();
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  scene.ask("list", "tools/list");
  assertEquals(scene.replies().map(({ id }) => id), ["init", "list"]);
  scene.untilDial();
  scene.take();
  scene.again();
  scene.call(1, "look");
  scene.take();
  scene.close();
  assertEquals(errors(scene), [[1, -31002, "unknown"]]);
});

test("Hint confirmation: --retry always needs none, --retry never asks for none", () => {
  for (const retry of ["always", "never"] as const) {
    const scene = new Scene({ retry });
    scene.start();
    scene.ask("list", "tools/list");
    scene.daemon({ id: "list", result: { tools: tools(["look", READ_ONLY]) } });
    scene.call(1, "look");
    scene.take();
    scene.close();
    scene.untilDial();
    scene.again();
    assertEquals(calls(scene), retry === "always" ? [1] : []);
    assertEquals(errors(scene).length, retry === "always" ? 0 : 1);
  }
});

test("Hint confirmation: a stateless client's list is requested in its version, without a list_changed", () => {
  const scene = new Scene();
  const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  scene.ask("list", "tools/list", { _meta });
  scene.open();
  const [discover] = scene.sent();
  scene.daemon({ id: discover.id, result: {} });
  scene.daemon({ id: "list", result: { tools: tools(["look", READ_ONLY]) } });
  scene.call(1, "look", _meta);
  scene.close();
  scene.untilDial();
  scene.take();
  scene.open();
  const [{ id: opening }] = scene.sent();
  scene.take();
  scene.daemon({ id: opening, result: {} });
  const [{ id, method, params }] = scene.sent();
  assertEquals([method, params._meta[Object.keys(_meta)[0]!]], [
    "tools/list",
    "2026-07-28",
  ]);
  const listed = tools(["look", READ_ONLY], ["new"]);
  scene.daemon({ id, result: { tools: listed } });
  assertEquals([calls(scene), scene.replies()], [[1], []]);
});

test("exai hint confirmation: the call's own connection is asked in later revisions", () => {
  const scene = new ExaiScene();
  const hello = (): void => {
    scene.open();
    const { session_id } = scene.frames().at(-1);
    scene.say({ op: "hello_ack", ok: true, session_id });
  };
  const list = (epoch: number, annotations: Json): void =>
    scene.say({
      op: "list_tools_res",
      tools: [{ name: "look", description: "", inputSchema: {}, annotations }],
    }, epoch);
  hello();
  scene.ask("list", "tools/list");
  list(scene.epoch, READ_ONLY);
  const isHinted = scene.replies().at(-1).result.tools[0].annotations;
  scene.call(1, "look");
  scene.take();
  hello();
  scene.take();
  scene.close();
  scene.untilDial();
  hello();
  const asked = scene.frames().map(({ op }) => op);
  assertEquals([isHinted, asked], [READ_ONLY, ["list_tools"]]);
  list(scene.epoch, READ_ONLY);
  assertEquals(scene.frames().map(({ op }) => op), ["call_tool"]);
});

/** An exai daemon of a later revision takes hello on the link that was dialed last. */
function hello(scene: ExaiScene): void {
  scene.open();
  const { session_id } = scene.frames().findLast(({ op }) => op === "hello")!;
  scene.say({ op: "hello_ack", ok: true, session_id });
}

/** It lists its one tool. */
function list(scene: ExaiScene, annotations: Json = READ_ONLY): void {
  const tool = { name: "look", description: "", inputSchema: {}, annotations };
  scene.say({ op: "list_tools_res", tools: [tool] });
}

test("exai hint confirmation: repeated on the next connection after OVER_CAPACITY", () => {
  const scene = new ExaiScene();
  hello(scene);
  scene.ask("list", "tools/list");
  list(scene);
  scene.call(1, "look");
  hello(scene);
  scene.close();
  scene.untilDial();
  hello(scene);
  list(scene);
  const { request_id } = scene.frames().findLast(({ op }) =>
    op === "call_tool"
  )!;
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
  scene.say({ op: "call_tool_res", request_id, error });
  scene.close();
  scene.pass(1_000);
  hello(scene);
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
  list(scene, {});
  assertEquals(scene.answers(), [[1, -31002]]);
});

test("exai hint confirmation: calls that wait for a list do not block the others", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  hello(scene);
  scene.ask("list", "tools/list");
  list(scene);
  const epochs = [1];
  for (const id of [1, 2, 3, 4]) {
    scene.call(id, "look");
    epochs.push(scene.epoch);
    hello(scene);
  }
  for (const epoch of epochs) scene.close(1006, epoch);
  scene.untilDial();
  const main = scene.epoch;
  hello(scene);
  scene.call("act", "act");
  // Every connection is greeted, and none of them lists its tools.
  const greeted = new Set([main]);
  let acted: Json;
  for (let ms = 0; ms < 12_000; ms += 50) {
    for (const frame of scene.frames()) {
      if (frame.op === "call_tool") acted ??= { ...frame, ms };
      if (frame.op !== "hello" || greeted.has(frame.epoch)) continue;
      greeted.add(frame.epoch);
      const { epoch, session_id } = frame;
      scene.say({ op: "hello_ack", ok: true, session_id }, epoch);
    }
    const { epoch } = scene;
    if (!greeted.has(epoch)) {
      const isOpen = scene.session.snapshot().standing.phase === "ready";
      if (isOpen) { for (let e = main + 1; e <= epoch; e++) scene.open(e); }
    }
    scene.pass(50);
  }
  assertEquals(acted?.name, "act");
});

test("exai hint confirmation: in the first revision, a call of a lost process needs the new one's hint", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask("list", "tools/list");
  list(scene);
  const call = scene.running(1, "look");
  scene.close(1006, call.epoch);
  scene.close(1006, 1);
  scene.untilDial();
  scene.take();
  scene.greet();
  scene.greet();
  scene.health(scene.epoch, "0:00:00", 1_700_000_000);
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
  list(scene, {});
  assertEquals(scene.answers().filter(([id]) => id === 1), [[1, -31002]]);
});

test("Hint confirmation: the error says that the call may have been executed", () => {
  const scene = inFlight();
  const id = back(scene);
  scene.daemon({ id, result: { tools: [] } });
  const [{ error }] = scene.replies().filter(({ error }) => error);
  assertMatch(error.message, /may or may not have been executed.*tools\/list/);
  assertEquals(error.data.retryable, false);
});
