/**
 * What the client is answered while the daemon is away: cached results and
 * placeholders.
 *
 * @module
 */

import { merged, NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  appear,
  ask,
  DISCOVERED,
  discovered,
  hello,
  kept,
  learned,
  listening,
  MODERN,
  OLD_LIST,
  page,
  REMEMBERED,
  RESULT,
  TOOLS_RESULT,
  VERSION,
} from "../../helpers/session/cold_start_driver.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

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

const CACHED: Remembered = {
  initialize: { [VERSION]: RESULT },
  lists: { "tools/list": '{"tools":[{"name":"look"}]}' },
};

function names({ lists }: Remembered): string[] {
  const { tools } = JSON.parse(lists["tools/list"] || '{"tools":[]}');
  return tools.map(({ name }: Json) => name);
}

test("Cached lists: a list that opens the connection is answered by the daemon where it is there", () => {
  const lists = { [`${MODERN} tools/list`]: OLD_LIST };
  const scene = new Scene({ remembered: { ...NOTHING, lists } });
  ask(scene, 1, "tools/list");
  scene.open();
  const [{ id, method }] = scene.sent();
  assertEquals(method, "server/discover");
  scene.daemon({ id, result: DISCOVERED });
  assertEquals(scene.sent().at(-1).id, 1);
  scene.daemon({ id: 1, result: { tools: [] } });
  scene.pass(10_000);
  assertEquals(scene.replies().map(({ result }) => result), [{ tools: [] }]);
});

test("Cached initialize: a daemon's other version is what the next start answers", () => {
  const other = { protocolVersion: "2024-11-05", capabilities: {} };
  const first = new Scene({ remembered: CACHED });
  hello(first);
  appear(first, other);
  const scene = new Scene({ remembered: merged(CACHED, learned(first)) });
  assertEquals(hello(scene)[0].result.protocolVersion, "2024-11-05");
});

test("Cached initialize: removed where the daemon rejects the version, and kept after another error", () => {
  for (const code of [-32602, -32603]) {
    const scene = new Scene({ remembered: CACHED });
    hello(scene);
    scene.open();
    const { id } = scene.written().findLast((it) => it.method === "initialize");
    scene.daemon({ id, error: { code, message: "no" } });
    const { initialize } = merged(CACHED, learned(scene));
    assertEquals(VERSION in initialize, code === -32603);
  }
});

test("Cached initialize: a reconnect in the same version keeps it", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.open();
  hello(scene, "2025-11-25");
  scene.daemon({ id: "init", result: JSON.parse(RESULT) });
  const memory = learned(scene);
  for (const version of [VERSION, "2024-11-05"]) {
    scene.close();
    scene.untilDial();
    scene.take();
    appear(scene, { protocolVersion: version, capabilities: {} });
    const { initialize } = merged(memory, learned(scene));
    assertEquals("2025-11-25" in initialize, version === VERSION);
  }
});

test("Cached initialize: a daemon with a newer version is asked in the client's version, and then in the cached one", () => {
  const old = '{"protocolVersion":"2024-11-05","capabilities":{}}';
  const remembered = { ...NOTHING, initialize: { "2025-11-25": old } };
  const scene = new Scene({ remembered });
  hello(scene, "2025-11-25");
  scene.call(1, "write");
  for (const version of ["2025-11-25", "2024-11-05"]) {
    scene.open();
    const { id, params } = scene.written().at(-1);
    assertEquals(params.protocolVersion, version);
    const result = { protocolVersion: version, capabilities: {} };
    scene.daemon({ id, result });
    if (version === "2025-11-25") scene.untilDial();
  }
  assertEquals(scene.written().at(-1).id, 1);
  const { initialize } = merged(remembered, learned(scene));
  const known = JSON.parse(initialize["2025-11-25"]!);
  assertEquals(known.protocolVersion, "2025-11-25");
});

test("Cached initialize: kept for each version that clients request", () => {
  let memory: Remembered = NOTHING;
  for (const version of ["2025-11-25", VERSION]) {
    const scene = new Scene({ remembered: memory });
    scene.open();
    hello(scene, version);
    const result = { protocolVersion: version, capabilities: {} };
    scene.daemon({ id: "init", result });
    memory = merged(memory, learned(scene));
  }
  for (const version of ["2025-11-25", VERSION]) {
    const scene = new Scene({ remembered: memory });
    assertEquals(hello(scene, version)[0].result.protocolVersion, version);
  }
});

test("Placeholder initialize: sent when a timeout below the grace passes", () => {
  for (const config of [{ queueTimeout: 5_000 }, { requestTimeout: 3_000 }]) {
    const scene = new Scene(config);
    hello(scene);
    scene.pass(10_000);
    assertEquals(scene.replies().map(({ error }) => error), [undefined]);
  }
});

test("Placeholder initialize: not sent where the daemon is there, however slow it is", () => {
  const scene = new Scene();
  ask(scene, "d", "server/discover");
  hello(scene);
  scene.open();
  scene.daemon({ id: "d", error: { code: -32601, message: "no" } });
  scene.pass(9_000);
  scene.daemon({ id: "init", result: JSON.parse(RESULT) }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["d", "init"]);
  assertEquals(scene.replies()[1].result.instructions, undefined);
});

test("Cached lists: each page is stored once, whoever requests it", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  page(scene, undefined, "a", "2");
  page(scene, "2", "b", "3");
  page(scene, "2", "b", "3");
  page(scene, "3", "c");
  assertEquals(names(learned(scene)), ["a", "b", "c"]);
});

test("Cached lists: a page that is too large makes the whole list uncacheable", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  page(scene, undefined, "a", "2");
  page(scene, "2", "b", "3", "x".repeat(1_100_000));
  page(scene, "3", "c");
  assertEquals(names(learned(scene)), []);
});

test("Cached lists: ten large pages together are not stored", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  for (let n = 0; n < 10; n++) {
    const next = n < 9 ? `${n + 1}` : undefined;
    const cursor = n === 0 ? undefined : `${n}`;
    page(scene, cursor, `t${n}`, next, "x".repeat(300_000));
  }
  assertEquals(learned(scene).lists, {});
});

test("Size limit: a response that breaks the connection fails only its call; a subscription is reopened", () => {
  const burst = (scene: Scene): void => {
    const reason = "the daemon sent a message larger than can be received here";
    const how = { code: 0, reason, reached: true, oversize: true };
    scene.do({ type: "closed", epoch: scene.epoch, ...how });
  };
  for (const end of [burst, (scene: Scene) => scene.close(1009)]) {
    const scene = listening();
    ask(scene, 1, "tools/call", { name: "big" });
    end(scene);
    const replies = scene.replies().map(({ id, error }) => [id, error.code]);
    assertEquals(replies, [[1, -31005]]);
    const idle = listening();
    end(idle);
    assertEquals(idle.replies(), []);
  }
});

test("Cached results: private ones stay in this process, and time asleep counts", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.open();
  ask(scene, 1, "server/discover");
  const result = { ...DISCOVERED, cacheScope: "private" };
  scene.daemon({ id: 1, result });
  assertEquals(learned(scene), NOTHING);
  scene.close();
  ask(scene, 2, "server/discover");
  assertEquals(scene.replies().at(-1).result, result);
  const later = discovered({ remembered: NOTHING });
  later.do({ type: "resumed", gap: 0, unseen: 8 * 3_600_000 });
  later.close();
  later.take();
  ask(later, 1, "server/discover");
  assertEquals(later.replies(), []);
});

test("Cached lists: an outage shows the newest result for the same request", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  for (const resources of [[{ uri: "a" }], []]) {
    scene.ask(1, "resources/list");
    scene.daemon({ id: 1, result: { resources } });
  }
  page(scene, undefined, "a");
  scene.ask(2, "tools/list", { filter: "b" });
  scene.daemon({ id: 2, result: { tools: [{ name: "b" }] } });
  scene.ask(3, "prompts/list");
  scene.daemon({ id: 3, result: { prompts: [{ name: "p" }] } });
  scene.ask(4, "prompts/list");
  const description = "x".repeat(1_100_000);
  scene.daemon({ id: 4, result: { prompts: [{ name: "p", description }] } });
  scene.close();
  scene.take();
  scene.ask(5, "resources/list");
  scene.ask(6, "tools/list");
  scene.ask(7, "tools/list", { filter: "b" });
  scene.ask(8, "prompts/list");
  const [resources, tools, ...others] = scene.replies();
  assertEquals(resources.result, { resources: [] });
  assertEquals(tools.result.tools[0].name, "a");
  assertEquals(others, []);
});

test("Sleep: postpones the initialize grace and the held end of a subscription", () => {
  const sleep = (scene: Scene): void => {
    scene.now += 60_000;
    scene.do({ type: "resumed", gap: 60_000, unseen: 0 });
  };
  const scene = new Scene();
  hello(scene);
  scene.pass(1_000);
  sleep(scene);
  assertEquals(scene.replies(), []);
  const other = listening();
  other.daemon({ id: 0, result: { resultType: "complete" } });
  sleep(other);
  other.close(1001);
  assertEquals(other.replies(), []);
});

test("Cached lists: a result above --max-message is not served in an outage", () => {
  const scene = new Scene({ remembered: NOTHING, maxMessage: 1_000 });
  scene.start();
  page(scene, undefined, "x".repeat(2_000));
  scene.close();
  scene.take();
  scene.ask(2, "tools/list");
  assertEquals(scene.replies(), []);
});

test("Queue: a full one still takes server/discover", () => {
  const scene = new Scene({ queueLimit: 1 });
  ask(scene, 1, "tools/list");
  ask(scene, 2, "server/discover");
  assertEquals(scene.replies(), []);
});

test("Placeholder initialize: after the first daemon another version is a refusal", () => {
  const scene = new Scene();
  hello(scene);
  scene.pass(5_000);
  appear(scene);
  scene.close();
  scene.untilDial();
  scene.call(2, "write");
  scene.take();
  appear(scene, { protocolVersion: "2024-11-05", capabilities: {} });
  assertEquals(scene.replies()[0].error.data.reason, "refused");
});

test("Placeholder initialize: two requests are both answered", () => {
  const scene = new Scene();
  hello(scene);
  scene.pass(1_000);
  scene.ask("init2", "initialize", { protocolVersion: VERSION });
  scene.pass(9_000);
  assertEquals(scene.replies().map(({ id }) => id), ["init", "init2"]);
});

/** What a daemon says to `server/discover`, as the client and others hear it in the next outage. */
function later(answer: Json): { here: Json[]; elsewhere: Json[] } {
  const known = JSON.stringify({ ...DISCOVERED, instructions: "old" });
  const discover = { asked: MODERN, result: known, forMs: 60_000 };
  const remembered = { ...NOTHING, discover };
  const scene = new Scene({ remembered });
  scene.open();
  ask(scene, 1, "tools/list");
  scene.daemon({ id: scene.sent()[0].id, result: {} });
  ask(scene, 2, "server/discover");
  scene.daemon({ id: 2, ...answer });
  const others = merged(remembered, learned(scene));
  scene.close();
  const heard = (scene: Scene): Json[] => {
    scene.take();
    ask(scene, 3, "server/discover");
    return scene.replies().map(({ result }) => result);
  };
  return {
    here: heard(scene),
    elsewhere: heard(new Scene({ remembered: others })),
  };
}

test("Cached discover: removed by a newer result that must not be cached", () => {
  const over = { here: [], elsewhere: [] };
  assertEquals(later({ result: { ...DISCOVERED, ttlMs: 0 } }), over);
  const { ttlMs: _, ...timeless } = DISCOVERED;
  assertEquals(later({ result: timeless }), over);
  assertEquals(later({ error: { code: -32601, message: "no" } }), over);
  const secret = { ...DISCOVERED, cacheScope: "private" };
  assertEquals(later({ result: secret }), { here: [secret], elsewhere: [] });
  const busy = later({ error: { code: -32603, message: "no" } });
  assertEquals([busy.here.length, busy.elsewhere.length], [1, 1]);
});

test("Cached discover: removed where the daemon answers our own with -32601", () => {
  for (const code of [-32601, -32603]) {
    const discover = {
      asked: MODERN,
      result: JSON.stringify(DISCOVERED),
      forMs: 60_000,
    };
    const remembered = { ...NOTHING, discover };
    const scene = new Scene({ remembered });
    scene.open();
    ask(scene, 1, "server/discover");
    scene.daemon({
      id: scene.sent()[0].id,
      error: { code, message: "no" },
    });
    const { discover: known } = merged(remembered, learned(scene));
    assertEquals(known === undefined, code === -32601);
  }
});

test("Cached results: ttlMs is reduced by the time that has passed", () => {
  const remembered = {
    ...NOTHING,
    lists: {
      [`${MODERN} tools/list`]: OLD_LIST.replace('"ttlMs":0', '"ttlMs":9000'),
    },
    discover: {
      asked: MODERN,
      result: '{"x":1.0,"ttlMs":60000}',
      forMs: 40_000,
    },
  };
  const scene = new Scene({ remembered });
  scene.refuse();
  scene.pass(200.5);
  ask(scene, 1, "server/discover");
  ask(scene, 2, "tools/list");
  const lines = scene.take().flatMap((effect) =>
    effect.type === "reply" ? [effect.text] : []
  );
  assertEquals(lines, [
    '{"jsonrpc":"2.0","id":1,"result":{"x":1.0,"ttlMs":39799}}',
    `{"jsonrpc":"2.0","id":2,"result":${OLD_LIST}}`,
  ]);
});

test("Cached lists: one that turns private is used here, and no longer elsewhere", () => {
  const scene = discovered({ remembered: NOTHING });
  const list = (name: string, cacheScope: string): Remembered | undefined => {
    ask(scene, 1, "tools/list");
    scene.daemon({ id: 1, result: { tools: [{ name }], cacheScope } });
    return kept(scene);
  };
  const key = `${MODERN} tools/list`;
  const first = merged(NOTHING, list("a", "public")!);
  assert(key in first.lists);
  const second = merged(first, list("b", "private")!);
  assertEquals(key in second.lists, false);
  assertEquals(list("c", "private"), undefined, "nobody else need know");
  scene.close();
  scene.take();
  ask(scene, 2, "tools/list");
  assertEquals(scene.replies()[0].result.tools, [{ name: "c" }]);
});

test("Cached lists: pages are joined as they are spelled", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  const page = (params: Json, result: string): void => {
    scene.ask("p", "tools/list", params);
    scene.daemon(`{"jsonrpc":"2.0","id":"p","result":${result}}`);
  };
  page(
    {},
    '{"tools":[{"name":"a","max":18446744073709551615}],"nextCursor":"2"}',
  );
  page({ cursor: "2" }, '{"tools":[ {"name":"b","min":0.0} ],"x":1e2}');
  assertEquals(learned(scene).lists, {
    "tools/list":
      '{"tools":[{"name":"a","max":18446744073709551615},{"name":"b","min":0.0}],"x":1e2}',
  });
});

test("Cached initialize: eight versions are kept, and an update of one adds none", () => {
  let memory: Remembered = NOTHING;
  const hear = (version: string, name: string): void => {
    const scene = new Scene({ remembered: { ...memory, lists: {} } });
    scene.open();
    scene.ask("init", "initialize", { protocolVersion: version });
    // One that is known was answered already, and the daemon is asked underneath.
    const { id } = scene.written()[0];
    const serverInfo = { name };
    const result = { protocolVersion: version, capabilities: {}, serverInfo };
    scene.daemon({ id, result });
    memory = merged(memory, learned(scene));
  };
  for (let n = 0; n < 9; n++) hear(`v${n}`, "old");
  hear("v7", "new");
  assertEquals(Object.keys(memory.initialize).length, 8);
  assertEquals(JSON.parse(memory.initialize.v7!).serverInfo.name, "new");
});

test("Shutdown: waits for an open server/discover as long as a daemon may answer it", () => {
  const scene = new Scene();
  ask(scene, 1, "server/discover");
  scene.end();
  assertEquals(scene.exit(), undefined, "the dial is on its way");
  scene.refuse();
  assertEquals(scene.exit(), 0);
  const other = new Scene();
  other.open();
  ask(other, 1, "server/discover");
  other.end();
  other.daemon({ id: 1, result: DISCOVERED });
  assertEquals(other.replies().map(({ id }) => id), [1]);
  assertEquals(other.exit(), 0);
});
