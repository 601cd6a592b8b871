/**
 * A client that starts before its daemon: what is remembered, what is made up,
 * and what the daemon says when it comes.
 *
 * @module
 */

import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { merged, NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import { fromText, toText } from "../../../lib/cache/format.ts";
import {
  appear,
  hello,
  kept,
  REMEMBERED,
  RESULT,
  TOOLS_RESULT,
  VERSION,
} from "../../helpers/session/cold_start_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const OWNER = { daemon: "ws://daemon/", key: "k", dialect: "mcp", user: "u" };
test("Cached answers: initialize at once with tools.listChanged, lists when no daemon is there, as they are spelled", () => {
  const scene = new Scene({ remembered: REMEMBERED });
  hello(scene);
  scene.ask(1, "tools/list");
  assertEquals(scene.replies().length, 1);
  scene.refuse();
  const lines = scene.take().flatMap((effect) =>
    effect.type === "reply" ? [effect.text] : []
  );
  assertEquals(lines, [
    `{"jsonrpc":"2.0","id":"init","result":${
      RESULT.replace('"tools":{}', '"tools":{"listChanged":true}')
    }}`,
    `{"jsonrpc":"2.0","id":1,"result":${TOOLS_RESULT}}`,
  ]);
});

test("Cached initialize: sent to the daemon when it appears, in the version that the client was told", () => {
  for (const same of [true, false]) {
    const scene = new Scene({ remembered: REMEMBERED });
    hello(scene);
    scene.client({ method: "notifications/initialized" });
    scene.refuse();
    scene.ask(1, "tools/list");
    scene.call(2, "look");
    scene.untilDial();
    scene.take();
    appear(scene);
    const sent = scene.written();
    assertEquals(sent.map(({ method }) => method), [
      "initialize",
      "notifications/initialized",
      "tools/call",
      "tools/list",
    ]);
    assertEquals(sent[0].params.protocolVersion, VERSION);
    const tools = JSON.parse(
      same ? TOOLS_RESULT : '{"tools":[{"name":"new"}]}',
    );
    scene.daemon({ id: sent[3].id, result: tools });
    scene.daemon({ id: 2, result: {} });
    const replies = scene.replies().map(({ id, method }) => id ?? method);
    const changed = "notifications/tools/list_changed";
    assertEquals(replies, same ? [2] : [changed, 2]);
  }
});

test("Cached initialize: not used for another version", () => {
  const scene = new Scene({ remembered: REMEMBERED });
  assertEquals(hello(scene, "2025-11-25"), []);
});

test("Placeholder initialize: sent after the grace, with capabilities that can be kept", () => {
  const scene = new Scene({ remembered: NOTHING });
  hello(scene);
  scene.ask(1, "tools/list");
  scene.pass(4_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  const [{ id, result }] = scene.replies();
  assertEquals([id, result.protocolVersion], ["init", VERSION]);
  assertEquals(Object.keys(result.capabilities).toSorted(), [
    "logging",
    "prompts",
    "resources",
    "tools",
  ]);
  assertEquals(result.capabilities.tools.listChanged, true);
  assertMatch(result.instructions, /ws:\/\/daemon\/ is not up yet/);
  scene.take();
  scene.client({ method: "notifications/initialized" });
  appear(scene);
  assertEquals(
    scene.replies().map(({ method }) => method),
    ["tools", "prompts", "resources"].map((list) =>
      `notifications/${list}/list_changed`
    ),
  );
  const waited = scene.written().find((it) => it.id === 1);
  assertEquals(waited.method, "tools/list");
});

test("Placeholder initialize: a list method that the daemon lacks then gives an empty list", () => {
  const scene = new Scene();
  hello(scene);
  scene.pass(5_000);
  appear(scene);
  scene.take();
  scene.ask(1, "prompts/list");
  scene.ask(2, "prompts/get");
  for (const id of [1, 2]) {
    scene.daemon({ id, error: { code: -32601, message: "Method not found" } });
  }
  const [list, get] = scene.replies();
  assertEquals(list.result, { prompts: [] });
  assertEquals(get.error.code, -32601);
});

test("Responses: a daemon's own -32601 is kept where no placeholder was sent", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "prompts/list");
  const error = { code: -32601, message: "Method not found" };
  scene.daemon({ id: 1, error });
  assertEquals(scene.replies()[0].error, error);
});

test("Placeholder initialize: not sent where the daemon answers within the grace", () => {
  const scene = new Scene();
  scene.pass(4_000);
  scene.open();
  hello(scene);
  scene.pass(4_900);
  scene.daemon({ id: "init", result: JSON.parse(RESULT) });
  scene.pass(10_000);
  assertEquals(scene.replies().map(({ id }) => id), ["init"]);
});

test("Placeholder initialize: a later response of the daemon completes the handshake, and is not forwarded", () => {
  const scene = new Scene();
  scene.open();
  hello(scene);
  scene.pass(5_000);
  assertEquals(scene.replies().length, 1);
  scene.call(1, "write");
  scene.take();
  scene.daemon({ id: "init", result: JSON.parse(RESULT) });
  assertEquals(scene.replies().map(({ id }) => id).filter((id) => id), []);
  assertEquals(scene.written().at(-1).id, 1);
});

test("Placeholder initialize: a daemon of another version is accepted, and logged", () => {
  const other = { protocolVersion: "2024-11-05", capabilities: {} };
  for (const remembered of [undefined, REMEMBERED]) {
    const scene = new Scene({ remembered });
    hello(scene);
    scene.pass(5_000);
    scene.call(1, "write");
    scene.take();
    appear(scene, other);
    assertEquals(scene.written().at(-1).id, 1);
    assertMatch(scene.log(), /speaks MCP 2024-11-05, and the client was told/);
  }
});

test("Placeholder initialize: sent at once with a grace of 0", () => {
  const scene = new Scene({ initializeGrace: 0 });
  assertEquals(hello(scene).map(({ id }) => id), ["init"]);
});

test("Placeholder initialize: not sent after the client has left", () => {
  const scene = new Scene();
  hello(scene);
  scene.end();
  scene.pass(10_000);
  assertEquals(scene.replies().length, 1, "the error at the end");
});

test("Cache: stores initialize and complete lists, and no empty list of tools over a full one", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.open();
  hello(scene);
  scene.daemon({ id: "init", result: JSON.parse(RESULT) });
  assertEquals(kept(scene)?.initialize, {
    [VERSION]: JSON.stringify(JSON.parse(RESULT)),
  });
  const list = (result: Json, cursor?: string): Remembered | undefined => {
    scene.ask("l", "tools/list", cursor === undefined ? {} : { cursor });
    scene.daemon({ id: "l", result });
    return kept(scene);
  };
  const [a, b] = [{ name: "a" }, { name: "b" }];
  assertEquals(list({ tools: [a], nextCursor: "2" }), undefined);
  assertEquals(list({ tools: [b] }, "2")?.lists, {
    "tools/list": '{"tools":[{"name":"a"},{"name":"b"}]}',
  });
  assertEquals(list({ tools: [a] })?.lists, {
    "tools/list": '{"tools":[{"name":"a"}]}',
  });
  assertEquals(list({ tools: [a] }), undefined, "nothing new");
  assertEquals(list({ tools: [] }), undefined);
  assertEquals(list({ tools: "none" }), undefined);
});

test("Cached lists: served in an outage, later pages wait", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  scene.ask(1, "tools/list");
  scene.daemon({ id: 1, result: JSON.parse(TOOLS_RESULT) });
  scene.close();
  scene.take();
  scene.ask(2, "tools/list");
  scene.ask(3, "tools/list", { cursor: "2" });
  scene.ask(4, "prompts/list");
  assertEquals(scene.replies().map(({ id }) => id), [2]);
});

test("Cached lists: served after the grace of a dial that hangs", () => {
  const scene = new Scene({ remembered: REMEMBERED });
  scene.pass(1_000);
  scene.ask(1, "tools/list");
  scene.pass(4_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies().map(({ id }) => id), [1]);
});

test("Cached lists: a dial that is repeated without the subprotocol is no failure", () => {
  const scene = new Scene({ remembered: REMEMBERED });
  scene.ask(1, "tools/list");
  scene.close(1006);
  assertEquals([scene.dials.length, scene.replies()], [2, []]);
  scene.close(1006);
  assertEquals(scene.replies().map(({ id }) => id), [1]);
});

test("Cached lists: served for a list in flight on a lost connection, whatever --retry says", () => {
  for (const retry of ["safe", "never"] as const) {
    const remembered = { ...REMEMBERED, initialize: {} };
    const scene = new Scene({ remembered, retry });
    scene.start();
    scene.ask(1, "tools/list");
    scene.ask(2, "tools/list", { cursor: "2" });
    scene.close();
    const [list, ...others] = scene.replies();
    assertEquals([list.id, list.result], [1, JSON.parse(TOOLS_RESULT)]);
    assertEquals(others.length, retry === "safe" ? 0 : 1);
    scene.take();
    scene.untilDial();
    scene.again();
    assertEquals(scene.written().some(({ id }) => id === 1), false);
  }
});

test("Cached lists: served where the daemon refuses us", () => {
  const scene = new Scene({ remembered: REMEMBERED });
  scene.ask(1, "tools/list");
  scene.ask(2, "prompts/list");
  scene.open();
  scene.close(1008);
  const [list, other] = scene.replies();
  assertEquals(list.result, JSON.parse(TOOLS_RESULT));
  assertEquals(other.error.data.reason, "refused");
});

test("Cached lists: after a sleep the connection is probed first, and the list served if it is dead", () => {
  for (const lives of [true, false]) {
    const remembered = { ...REMEMBERED, initialize: {} };
    const scene = new Scene({ remembered });
    scene.start();
    scene.now += 60_000;
    scene.do({ type: "resumed", gap: 60_000, unseen: 0 });
    const [{ id }] = scene.sent();
    scene.ask(1, "tools/list");
    assertEquals(scene.replies(), []);
    if (lives) scene.daemon({ id, result: {} });
    if (lives) scene.pong();
    scene.pass(1_000);
    assertEquals(scene.sent().some(({ id }) => id === 1), lives);
    assertEquals(scene.replies().map(({ id }) => id), lives ? [] : [1]);
  }
});

test("exai cached lists: the cached tools are served before the daemon is there, and compared then", () => {
  const scene = new ExaiScene({
    dialect: "exai",
    remembered: { ...NOTHING, lists: { "tools/list": TOOLS_RESULT } },
  });
  scene.ask(1, "tools/list");
  scene.refuse();
  assertEquals(scene.replies()[0].result.tools[0].name, "look");
  scene.untilDial();
  scene.take();
  assertEquals(scene.greet().map(({ op }) => op), ["list_tools"]);
  scene.say({ op: "list_tools_res", tools: [] });
  assertEquals(
    scene.replies().map(({ method }) => method),
    ["notifications/tools/list_changed"],
  );
});

test("Cache format: reads what it wrote, as it is spelled", () => {
  assertEquals(fromText(toText(OWNER, REMEMBERED), OWNER), REMEMBERED);
  assertEquals(fromText(toText(OWNER, NOTHING), OWNER), NOTHING);
});

const BROKEN: [what: string, text: string, why: string | Remembered][] = [
  ["no JSON", "{", "it is not JSON"],
  ["nothing", "", "it is not JSON"],
  ["something else", "[1]", "it is of another version"],
  ["another version", '{"alwaysup":2}', "it is of another version"],
  [
    "another daemon's",
    toText({ ...OWNER, daemon: "ws://b/" }, REMEMBERED),
    "it is another daemon's",
  ],
  [
    "another dialect's",
    toText({ ...OWNER, dialect: "exai" }, REMEMBERED),
    "it is another daemon's",
  ],
  ["huge", " ".repeat(9 * 1024 * 1024), "it is too large"],
  [
    "lists that are none",
    toText(OWNER, {
      ...NOTHING,
      lists: { "tools/list": '{"tools":1}', "x/list": "{}" },
    }),
    NOTHING,
  ],
  [
    "an initialize that is none",
    toText(OWNER, { ...NOTHING, initialize: { "1": "{}" } }),
    NOTHING,
  ],
];
for (const [what, text, why] of BROKEN) {
  test(`Cache format: refuses or reduces a bad text: ${what}`, () => {
    assertEquals(fromText(text, OWNER), why);
  });
}

test("Cache: merging keeps what other processes have stored, and removes what is invalid", () => {
  const full = '{"tools":[{"name":"a"}]}';
  const kept: Remembered = {
    initialize: { a: "1", b: "2" },
    lists: { "tools/list": full, "prompts/list": '{"prompts":[1]}' },
  };
  const learned: Remembered = {
    initialize: { b: "", c: "3" },
    lists: { "tools/list": '{"tools":[]}', "prompts/list": '{"prompts":[]}' },
  };
  assertEquals(merged(kept, learned), {
    initialize: { a: "1", c: "3" },
    lists: { "tools/list": full, "prompts/list": '{"prompts":[]}' },
  });
});
