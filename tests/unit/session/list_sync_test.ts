/**
 * Tests how the lists of a new daemon are requested and compared after a
 * reconnect.
 *
 * @module
 */

import { EMPTY_CACHED_RESULTS } from "../../../lib/cache/cache.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  acknowledgeSubscription,
  connectDaemon,
  DISCOVER_RESULT,
  OLD_LIST,
  requestInitialize,
  requestStateless,
  STATELESS_VERSION,
} from "../../helpers/session/cold_start_driver.ts";
import { loseAndReconnect } from "../../helpers/session/outage.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

const LISTS = { tools: {}, prompts: {}, resources: { subscribe: true } };

function methods(messages: Json[]): string[] {
  return messages.map(({ method }) => method);
}

test("List sync: list_changed is sent for the lists that differ from what the client last saw", () => {
  const driver = new SessionDriver();
  driver.connect(LISTS);
  for (const list of ["tools", "prompts", "resources"]) {
    driver.request(list, `${list}/list`);
    driver.fromDaemon({ id: list, result: { [list]: [{ name: "a" }] } });
  }
  loseAndReconnect(driver);
  const fetches = driver.sentExceptProbes().filter(({ method }) =>
    /list$/.test(method)
  );
  assertEquals(fetches.length, 3);
  driver.takeEffects();
  for (const { id, method } of fetches) {
    const list = method.split("/")[0];
    const name = list === "prompts" ? "a" : "b";
    driver.fromDaemon({ id, result: { [list]: [{ name }] } });
  }
  assertEquals(methods(driver.sentToClient()), [
    "notifications/tools/list_changed",
    "notifications/resources/list_changed",
  ]);
});

test("List sync: all pages of a list are compared", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "tools/list");
  driver.fromDaemon({
    id: 1,
    result: { tools: [{ name: "a" }], nextCursor: "2" },
  });
  driver.request(2, "tools/list", { cursor: "2" });
  driver.fromDaemon({ id: 2, result: { tools: [{ name: "b" }] } });
  loseAndReconnect(driver);
  const fetch = (): Json =>
    driver.sentExceptProbes().findLast(({ method }) => method === "tools/list");
  driver.fromDaemon({
    id: fetch().id,
    result: { tools: [{ name: "a" }], nextCursor: "p" },
  });
  assertEquals(fetch().params, { cursor: "p" });
  driver.fromDaemon({ id: fetch().id, result: { tools: [{ name: "c" }] } });
  assertEquals(methods(driver.sentToClient()), [
    "notifications/tools/list_changed",
  ]);
});

test("List sync: a daemon that lists slowly after a restart keeps its connection while there are calls", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "tools/list");
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  loseAndReconnect(driver);
  const { connectionId } = driver;
  driver.advance(7_000);
  driver.callTool(2, "write");
  driver.advance(60_000);
  assertEquals(driver.isConnectionClosed(connectionId), false);
  assertEquals(driver.sentToClient(), []);
});

test("List sync: a daemon without calls has a minute to return a list after a restart", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "tools/list");
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  loseAndReconnect(driver);
  const { connectionId } = driver;
  driver.takeEffects();
  driver.advance(59_999);
  assertEquals(driver.takeEffects(), []);
  driver.advance(5_001);
  assertEquals(driver.isConnectionClosed(connectionId), true);
});

test("List sync: a client that was served from the cache gets list_changed when it subscribes", () => {
  const lists = { [`${STATELESS_VERSION} tools/list`]: OLD_LIST };
  const discover = {
    requestedVersion: STATELESS_VERSION,
    result: JSON.stringify(DISCOVER_RESULT),
    remainingMs: 60_000,
  };
  const driver = new SessionDriver({
    cachedResults: { ...EMPTY_CACHED_RESULTS, lists, discover },
  });
  requestStateless(driver, 1, "server/discover");
  driver.failDial();
  requestStateless(driver, 2, "tools/list");
  driver.advanceToNextDial();
  driver.open();
  const notifications = { toolsListChanged: true };
  requestStateless(driver, 3, "subscriptions/listen", { notifications });
  const probe = driver.sentToDaemon().find(({ method }) =>
    method === "server/discover"
  );
  driver.fromDaemon({ id: probe.id, result: DISCOVER_RESULT });
  acknowledgeSubscription(driver, 3);
  assertEquals(
    driver.sentToClient().slice(2).map(({ method }) => method),
    [
      "notifications/subscriptions/acknowledged",
      "notifications/tools/list_changed",
    ],
  );
});

test("List sync: an empty list that replaced the error for a missing method is compared after a reconnect", () => {
  const driver = new SessionDriver();
  requestInitialize(driver);
  driver.advance(5_000);
  driver.fromClient({ method: "notifications/initialized" });
  connectDaemon(driver);
  driver.request(1, "prompts/list");
  driver.fromDaemon({ id: 1, error: { code: -32601, message: "no" } });
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  assert(
    driver.sentExceptProbes().some(({ method }) => method === "prompts/list"),
  );
});

/**
 * Returns a session whose client has seen a list, after a reconnect.
 * `listRequest` returns the proxy's latest request for the list.
 */
function reconnectToNewDaemon(
  method: string,
  result: Json,
): { driver: SessionDriver; listRequest: () => Json } {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  driver.request("l", method);
  driver.fromDaemon({ id: "l", result });
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect();
  const listRequest = (): Json =>
    driver.sentExceptProbes().findLast((it) => it.method === method);
  return { driver, listRequest };
}

/** Returns the lists for which the client got a `list_changed`. */
function listChanges(driver: SessionDriver): string[] {
  return driver.sentToClient().flatMap(({ method }) =>
    method?.endsWith("list_changed") ? [method.split("/")[1]] : []
  );
}

test("List sync: a missing method is an empty list: one list_changed, and none the next time", () => {
  const { driver, listRequest } = reconnectToNewDaemon("prompts/list", {
    prompts: [{ name: "p" }],
  });
  const error = { code: -32601, message: "Method not found" };
  driver.fromDaemon({ id: listRequest().id, error });
  assertEquals(listChanges(driver), ["prompts"]);
  driver.request(1, "prompts/list");
  driver.fromDaemon({ id: 1, error });
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.request(2, "prompts/list");
  driver.reconnect();
  driver.fromDaemon({ id: listRequest().id, error });
  assertEquals(listChanges(driver), []);
});

test("List sync: a list that fails is requested again after 1, 2, 4 and 8 s, and then list_changed is sent", () => {
  const { driver, listRequest } = reconnectToNewDaemon("tools/list", {
    tools: [{ name: "a" }],
  });
  const error = { code: -32603, message: "loading" };
  for (const pause of [1_000, 2_000, 4_000, 8_000]) {
    driver.fromDaemon({ id: listRequest().id, error });
    driver.takeEffects();
    driver.advance(pause - 1);
    assertEquals(listRequest(), undefined);
    driver.advance(1);
    assertEquals(listChanges(driver), []);
  }
  driver.fromDaemon({ id: listRequest().id, error });
  assertEquals(listChanges(driver), ["tools"]);
});

test("List sync: a list that arrives at the second attempt is compared; a lost connection ends the attempts", () => {
  const error = { code: -32603, message: "loading" };
  for (const name of ["a", "b"]) {
    const { driver, listRequest } = reconnectToNewDaemon("tools/list", {
      tools: [{ name: "a" }],
    });
    driver.fromDaemon({ id: listRequest().id, error });
    driver.advance(1_000);
    driver.fromDaemon({ id: listRequest().id, result: { tools: [{ name }] } });
    driver.advance(60_000);
    assertEquals(listChanges(driver), name === "a" ? [] : ["tools"]);
  }
  const { driver, listRequest } = reconnectToNewDaemon("tools/list", {
    tools: [{ name: "a" }],
  });
  driver.fromDaemon({ id: listRequest().id, error });
  driver.close();
  driver.takeEffects();
  driver.advance(60_000);
  assertEquals(listRequest(), undefined);
});

test("List sync: changed resource templates give a list_changed for resources", () => {
  for (const uriTemplate of ["old://{x}", "new://{x}"]) {
    const { driver, listRequest } = reconnectToNewDaemon(
      "resources/templates/list",
      {
        resourceTemplates: [{ uriTemplate: "old://{x}" }],
      },
    );
    const result = { resourceTemplates: [{ uriTemplate }] };
    driver.fromDaemon({ id: listRequest().id, result });
    assertEquals(
      listChanges(driver),
      uriTemplate.startsWith("old") ? [] : ["resources"],
    );
  }
});

test("Lists: no list_changed if the client has read only the first page and nothing has changed", () => {
  const driver = new SessionDriver();
  driver.connect();
  const page = (cursor: Json): Json => ({
    tools: [{ name: cursor ? "b" : "a" }],
    nextCursor: cursor ? "" : "2",
  });
  driver.request("list", "tools/list");
  driver.answerProbe();
  driver.fromDaemon({ id: "list", result: page(undefined) });
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  for (let i = 0; i < 5; i++) {
    const lists = driver.sentToDaemon().filter(({ method }) =>
      method === "tools/list"
    );
    assertEquals(driver.sentToClient(), []);
    driver.takeEffects();
    for (const { id, params } of lists) {
      driver.fromDaemon({ id, result: page(params?.cursor) });
    }
  }
});

test("Lists: an empty cursor with further pages behind it is followed", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("l", "tools/list");
  driver.fromDaemon({
    id: "l",
    result: { tools: [{ name: "a" }], nextCursor: "" },
  });
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  const page: Json = {
    undefined: { tools: [{ name: "a" }], nextCursor: "" },
    "": { tools: [{ name: "a" }], nextCursor: "x" },
    x: { tools: [{ name: "b" }] },
  };
  for (let i = 0; i < 5; i++) {
    const lists = driver.sentToDaemon().filter(({ method }) =>
      method === "tools/list"
    );
    assertEquals(driver.sentToClient(), []);
    driver.takeEffects();
    for (const { id, params } of lists) {
      driver.fromDaemon({ id, result: page[`${params?.cursor}`] });
    }
  }
});
