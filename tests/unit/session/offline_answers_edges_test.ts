/**
 * Early starts and the stateless era on the edge: found by an attack, each of
 * them once wrong.
 *
 * @module
 */

import { merged, NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import {
  acknowledge,
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
  RESULT,
  VERSION,
} from "../../helpers/session/cold_start_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

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

test("List sync: a client that was served from the cache gets list_changed when it subscribes", () => {
  const lists = { [`${MODERN} tools/list`]: OLD_LIST };
  const discover = {
    asked: MODERN,
    result: JSON.stringify(DISCOVERED),
    forMs: 60_000,
  };
  const scene = new Scene({ remembered: { ...NOTHING, lists, discover } });
  ask(scene, 1, "server/discover");
  scene.refuse();
  ask(scene, 2, "tools/list");
  scene.untilDial();
  scene.open();
  const notifications = { toolsListChanged: true };
  ask(scene, 3, "subscriptions/listen", { notifications });
  const probe = scene.sent().find(({ method }) => method === "server/discover");
  scene.daemon({ id: probe.id, result: DISCOVERED });
  acknowledge(scene, 3);
  assertEquals(
    scene.replies().slice(2).map(({ method }) => method),
    [
      "notifications/subscriptions/acknowledged",
      "notifications/tools/list_changed",
    ],
  );
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

test("server/discover: one that is cancelled during the handshake delays nobody", () => {
  const scene = new Scene();
  scene.open();
  ask(scene, 1, "server/discover");
  const params = { requestId: 1 };
  scene.client({ method: "notifications/cancelled", params });
  scene.daemon({ id: 1, result: DISCOVERED });
  ask(scene, 2, "tools/list");
  const probe = scene.sent().at(-1);
  assertEquals(probe.method, "server/discover");
  scene.daemon({ id: probe.id, result: DISCOVERED });
  assertEquals(scene.sent().at(-1).id, 2);
});

test("server/discover: alone in flight it is no call: the silent connection is lost, and it opens the next one", () => {
  const scene = discovered();
  ask(scene, 1, "server/discover");
  scene.pass(9_999);
  assertEquals(scene.isLeft(1), false);
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
  scene.untilDial();
  scene.take();
  scene.open();
  assertEquals(scene.sent().map(({ id }) => id), [1]);
  assertEquals(scene.replies(), []);
});

test("server/discover: sent again on the connection that takes over", () => {
  const scene = discovered();
  ask(scene, 1, "server/discover");
  ask(scene, 2, "tools/call", { name: "write" });
  scene.pass(10_000);
  scene.open();
  for (let i = 0; i < 3; i++) {
    const { id } = scene.sent().at(-1);
    scene.take();
    scene.daemon({ id, result: {} });
    if (i === 1) scene.pass(5_000);
  }
  const again = scene.sent().filter(({ id }) => id === 1);
  assertEquals(again.length, 1);
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

test("List sync: a list that was made empty for a missing method is compared after a reconnect", () => {
  const scene = new Scene();
  hello(scene);
  scene.pass(5_000);
  scene.client({ method: "notifications/initialized" });
  appear(scene);
  scene.ask(1, "prompts/list");
  scene.daemon({ id: 1, error: { code: -32601, message: "no" } });
  scene.close();
  scene.untilDial();
  scene.take();
  scene.again();
  assert(scene.written().some(({ method }) => method === "prompts/list"));
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

test("Subscriptions: the acknowledgement of a cancelled one is dropped", () => {
  const scene = discovered();
  ask(scene, 0, "subscriptions/listen", { notifications: {} });
  const params = { requestId: 0 };
  scene.client({ method: "notifications/cancelled", params });
  acknowledge(scene);
  assertEquals(scene.replies(), []);
});

test("Placeholder initialize: two requests are both answered", () => {
  const scene = new Scene();
  hello(scene);
  scene.pass(1_000);
  scene.ask("init2", "initialize", { protocolVersion: VERSION });
  scene.pass(9_000);
  assertEquals(scene.replies().map(({ id }) => id), ["init", "init2"]);
});

test("Subscriptions: a held end reaches the client before the exit", () => {
  const scene = listening();
  const result = { resultType: "complete" };
  scene.daemon({ id: 0, result });
  scene.end();
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [
    [0, result],
  ]);
});

/** A client that has seen something listed, and whose daemon is a new one. */
function replaced(
  method: string,
  result: Json,
): { scene: Scene; asked: () => Json } {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  scene.ask("l", method);
  scene.daemon({ id: "l", result });
  scene.close();
  scene.untilDial();
  scene.again();
  const asked = (): Json =>
    scene.written().findLast((it) => it.method === method);
  return { scene, asked };
}

/** The lists that the client has heard of. */
function changes(scene: Scene): string[] {
  return scene.replies().flatMap(({ method }) =>
    method?.endsWith("list_changed") ? [method.split("/")[1]] : []
  );
}

test("List sync: a missing method is an empty list: one list_changed, and none the next time", () => {
  const { scene, asked } = replaced("prompts/list", {
    prompts: [{ name: "p" }],
  });
  const error = { code: -32601, message: "Method not found" };
  scene.daemon({ id: asked().id, error });
  assertEquals(changes(scene), ["prompts"]);
  scene.ask(1, "prompts/list");
  scene.daemon({ id: 1, error });
  scene.close();
  scene.untilDial();
  scene.take();
  scene.ask(2, "prompts/list");
  scene.again();
  scene.daemon({ id: asked().id, error });
  assertEquals(changes(scene), []);
});

test("List sync: a list that fails is requested again after 1, 2, 4 and 8 s, and then list_changed is sent", () => {
  const { scene, asked } = replaced("tools/list", { tools: [{ name: "a" }] });
  const error = { code: -32603, message: "loading" };
  for (const pause of [1_000, 2_000, 4_000, 8_000]) {
    scene.daemon({ id: asked().id, error });
    scene.take();
    scene.pass(pause - 1);
    assertEquals(asked(), undefined);
    scene.pass(1);
    assertEquals(changes(scene), []);
  }
  scene.daemon({ id: asked().id, error });
  assertEquals(changes(scene), ["tools"]);
});

test("List sync: a list at the second attempt is compared; a lost connection ends the attempts", () => {
  const error = { code: -32603, message: "loading" };
  for (const name of ["a", "b"]) {
    const { scene, asked } = replaced("tools/list", { tools: [{ name: "a" }] });
    scene.daemon({ id: asked().id, error });
    scene.pass(1_000);
    scene.daemon({ id: asked().id, result: { tools: [{ name }] } });
    scene.pass(60_000);
    assertEquals(changes(scene), name === "a" ? [] : ["tools"]);
  }
  const { scene, asked } = replaced("tools/list", { tools: [{ name: "a" }] });
  scene.daemon({ id: asked().id, error });
  scene.close();
  scene.take();
  scene.pass(60_000);
  assertEquals(asked(), undefined);
});

test("List sync: changed resource templates give a list_changed for resources", () => {
  for (const uriTemplate of ["old://{x}", "new://{x}"]) {
    const { scene, asked } = replaced("resources/templates/list", {
      resourceTemplates: [{ uriTemplate: "old://{x}" }],
    });
    const result = { resourceTemplates: [{ uriTemplate }] };
    scene.daemon({ id: asked().id, result });
    assertEquals(
      changes(scene),
      uriTemplate.startsWith("old") ? [] : ["resources"],
    );
  }
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
