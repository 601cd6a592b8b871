/**
 * The lists of a new daemon, requested and compared after a reconnect.
 *
 * @module
 */

import { NOTHING } from "../../../lib/cache/cache.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  acknowledge,
  appear,
  ask,
  DISCOVERED,
  hello,
  MODERN,
  OLD_LIST,
} from "../../helpers/session/cold_start_driver.ts";
import { restart } from "../../helpers/session/outage.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const LISTS = { tools: {}, prompts: {}, resources: { subscribe: true } };

function methods(messages: Json[]): string[] {
  return messages.map(({ method }) => method);
}

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
