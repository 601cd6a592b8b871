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
  listening,
  MODERN,
  RESULT,
  VERSION,
} from "../../helpers/session/cold_start_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const REMEMBERED: Remembered = {
  initialize: { [VERSION]: RESULT },
  lists: { "tools/list": '{"tools":[{"name":"look"}]}' },
};
/** What is to be kept, if anything is. */
function learned(scene: Scene): Remembered {
  return kept(scene) ?? NOTHING;
}

/** The client asks for a page of tools, and gets it. */
function page(
  scene: Scene,
  cursor: string | undefined,
  name: string,
  nextCursor?: string,
  description = "",
): void {
  scene.ask("p", "tools/list", cursor === undefined ? {} : { cursor });
  const tools = [{ name, description }];
  scene.daemon({
    id: "p",
    result: { tools, ...(nextCursor && { nextCursor }) },
  });
}

function names({ lists }: Remembered): string[] {
  const { tools } = JSON.parse(lists["tools/list"] || '{"tools":[]}');
  return tools.map(({ name }: Json) => name);
}

const OLD_LIST =
  '{"resultType":"complete","tools":[{"name":"old"}],"ttlMs":0,"cacheScope":"public"}';

test("a list that opens the conversation is the daemon's to answer if it is there", () => {
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

test("who was served from the cache hears of changes when it subscribes", () => {
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

test("what a daemon of another version says is what the next start hears", () => {
  const other = { protocolVersion: "2024-11-05", capabilities: {} };
  const first = new Scene({ remembered: REMEMBERED });
  hello(first);
  appear(first, other);
  const scene = new Scene({ remembered: merged(REMEMBERED, learned(first)) });
  assertEquals(hello(scene)[0].result.protocolVersion, "2024-11-05");
});

test("a daemon that does not take the version any more makes the next start ask anew; one that has trouble does not", () => {
  for (const code of [-32602, -32603]) {
    const scene = new Scene({ remembered: REMEMBERED });
    hello(scene);
    scene.open();
    const { id } = scene.written().findLast((it) => it.method === "initialize");
    scene.daemon({ id, error: { code, message: "no" } });
    const { initialize } = merged(REMEMBERED, learned(scene));
    assertEquals(VERSION in initialize, code === -32603);
  }
});

test("a reconnect takes nothing from what is remembered, whatever version was agreed on", () => {
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

test("a client is not held to an old version that a daemon has outgrown: it is asked the client's own question, and then for what the client was told", () => {
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

test("two clients of different versions are remembered both", () => {
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

test("a discovery that is cancelled while it greets keeps nobody waiting", () => {
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

test("a discovery alone in flight is no call: the silent connection is lost, and the discovery opens the next one", () => {
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

test("a discovery on a silent connection is asked again on the one that takes over", () => {
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

test("limits that are shorter than the grace end it: the client can go on", () => {
  for (const config of [{ queueTimeout: 5_000 }, { requestTimeout: 3_000 }]) {
    const scene = new Scene(config);
    hello(scene);
    scene.pass(10_000);
    assertEquals(scene.replies().map(({ error }) => error), [undefined]);
  }
});

test("a daemon that is there answers initialize itself, however slowly", () => {
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

test("pages are put together once each, whoever asks for them", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  page(scene, undefined, "a", "2");
  page(scene, "2", "b", "3");
  page(scene, "2", "b", "3");
  page(scene, "3", "c");
  assertEquals(names(learned(scene)), ["a", "b", "c"]);
});

test("a page that cannot be kept makes the whole list one that is not known", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  page(scene, undefined, "a", "2");
  page(scene, "2", "b", "3", "x".repeat(1_100_000));
  page(scene, "3", "c");
  assertEquals(names(learned(scene)), []);
});

test("ten large pages are no list that is kept", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  for (let n = 0; n < 10; n++) {
    const next = n < 9 ? `${n + 1}` : undefined;
    const cursor = n === 0 ? undefined : `${n}`;
    page(scene, cursor, `t${n}`, next, "x".repeat(300_000));
  }
  assertEquals(learned(scene).lists, {});
});

test("what broke a socket is opened again if it is a subscription, and the call is told the truth", () => {
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

test("what is private stays in this process, and what is old is old after a sleep", () => {
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

test("an outage shows what the daemon said last, and to the same question", () => {
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

test("a list that was mended is compared when the daemon comes again", () => {
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

test("a sleep ends no grace, and no end of a subscription", () => {
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

test("what was too large for the client is not told to it in an outage", () => {
  const scene = new Scene({ remembered: NOTHING, maxMessage: 1_000 });
  scene.start();
  page(scene, undefined, "x".repeat(2_000));
  scene.close();
  scene.take();
  scene.ask(2, "tools/list");
  assertEquals(scene.replies(), []);
});

test("a full queue takes a discovery", () => {
  const scene = new Scene({ queueLimit: 1 });
  ask(scene, 1, "tools/list");
  ask(scene, 2, "server/discover");
  assertEquals(scene.replies(), []);
});

test("once the daemon has agreed, another version is another daemon", () => {
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

test("an acknowledgement of what was cancelled is nobody's", () => {
  const scene = discovered();
  ask(scene, 0, "subscriptions/listen", { notifications: {} });
  const params = { requestId: 0 };
  scene.client({ method: "notifications/cancelled", params });
  acknowledge(scene);
  assertEquals(scene.replies(), []);
});

test("two initialize requests are answered both", () => {
  const scene = new Scene();
  hello(scene);
  scene.pass(1_000);
  scene.ask("init2", "initialize", { protocolVersion: VERSION });
  scene.pass(9_000);
  assertEquals(scene.replies().map(({ id }) => id), ["init", "init2"]);
});

test("the end of a subscription is told before the program ends", () => {
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

test("a daemon that lacks the method lists nothing, which is a change if the client saw something, and no news the next time", () => {
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

test("a daemon that fails to list is asked again after 1, 2, 4 and 8 s, and then the client is to ask", () => {
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

test("a daemon that lists at the second attempt is compared; one that is lost meanwhile is not asked", () => {
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

test("templates are compared, and their change is one of the resources", () => {
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

test("a discovery that no longer holds is not told again, here or elsewhere", () => {
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

test("a daemon that answers our own server/discover with -32601 is not the one that is remembered", () => {
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

test("what has used up some of its time is told the rest of it", () => {
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

test("a list that turns private is told here and no longer elsewhere", () => {
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

test("pages are put together as they were spelled", () => {
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

test("nine versions are too many to remember, and an update of the eighth is none more", () => {
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

test("a discovery keeps the program from leaving as long as a daemon may answer it", () => {
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
