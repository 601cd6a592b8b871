/**
 * Tests the responses to the client while the daemon is away: cached results
 * and placeholders.
 *
 * @module
 */

import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
  mergeCachedResults,
} from "../../../lib/cache/cache.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  CACHED_RESULTS,
  connectDaemon,
  connectStateless,
  connectSubscribed,
  DISCOVER_RESULT,
  INITIALIZE_RESULT_TEXT,
  INITIALIZE_VERSION,
  lastSavedCache,
  OLD_LIST,
  requestInitialize,
  requestStateless,
  requestToolPage,
  savedCache,
  STATELESS_VERSION,
  TOOLS_RESULT,
} from "../../helpers/session/cold_start_driver.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import { closeOversized } from "../../helpers/session/outage.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

test("Cached results: initialize is answered at once, with tools.listChanged, and lists once a dial has failed; their text is unchanged", () => {
  const driver = new SessionDriver({ cachedResults: CACHED_RESULTS });
  requestInitialize(driver);
  driver.request(1, "tools/list");
  assertEquals(driver.sentToClient().length, 1);
  driver.failDial();
  const lines = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-client" ? [effect.text] : []
  );
  assertEquals(lines, [
    `{"jsonrpc":"2.0","id":"init","result":${
      INITIALIZE_RESULT_TEXT.replace(
        '"tools":{}',
        '"tools":{"listChanged":true}',
      )
    }}`,
    `{"jsonrpc":"2.0","id":1,"result":${TOOLS_RESULT}}`,
  ]);
});

test("Cached initialize: sent to the daemon when it appears, in the version that the client got", () => {
  for (const same of [true, false]) {
    const driver = new SessionDriver({ cachedResults: CACHED_RESULTS });
    requestInitialize(driver);
    driver.fromClient({ method: "notifications/initialized" });
    driver.failDial();
    driver.request(1, "tools/list");
    driver.callTool(2, "look");
    driver.advanceToNextDial();
    driver.takeEffects();
    connectDaemon(driver);
    const sent = driver.sentExceptProbes();
    assertEquals(sent.map(({ method }) => method), [
      "initialize",
      "notifications/initialized",
      "tools/call",
      "tools/list",
    ]);
    assertEquals(sent[0].params.protocolVersion, INITIALIZE_VERSION);
    const tools = JSON.parse(
      same ? TOOLS_RESULT : '{"tools":[{"name":"new"}]}',
    );
    driver.fromDaemon({ id: sent[3].id, result: tools });
    driver.fromDaemon({ id: 2, result: {} });
    const replies = driver.sentToClient().map(({ id, method }) => id ?? method);
    const changed = "notifications/tools/list_changed";
    assertEquals(replies, same ? [2] : [changed, 2]);
  }
});

test("Cached initialize: not used for another version", () => {
  const driver = new SessionDriver({ cachedResults: CACHED_RESULTS });
  assertEquals(requestInitialize(driver, "2025-11-25"), []);
});

test("Placeholder initialize: sent after the grace, with capabilities that hold for every daemon", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  requestInitialize(driver);
  driver.request(1, "tools/list");
  driver.advance(4_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  const [{ id, result }] = driver.sentToClient();
  assertEquals([id, result.protocolVersion], ["init", INITIALIZE_VERSION]);
  assertEquals(Object.keys(result.capabilities).toSorted(), [
    "logging",
    "prompts",
    "resources",
    "tools",
  ]);
  assertEquals(result.capabilities.tools.listChanged, true);
  assertMatch(result.instructions, /ws:\/\/daemon\/ is not up yet/);
  driver.takeEffects();
  driver.fromClient({ method: "notifications/initialized" });
  connectDaemon(driver);
  assertEquals(
    driver.sentToClient().map(({ method }) => method),
    ["tools", "prompts", "resources"].map((list) =>
      `notifications/${list}/list_changed`
    ),
  );
  const waited = driver.sentExceptProbes().find((it) => it.id === 1);
  assertEquals(waited.method, "tools/list");
});

test("Placeholder initialize: a list method that the daemon lacks then gives an empty list", () => {
  const driver = new SessionDriver();
  requestInitialize(driver);
  driver.advance(5_000);
  connectDaemon(driver);
  driver.takeEffects();
  driver.request(1, "prompts/list");
  driver.request(2, "prompts/get");
  for (const id of [1, 2]) {
    driver.fromDaemon({
      id,
      error: { code: -32601, message: "Method not found" },
    });
  }
  const [list, get] = driver.sentToClient();
  assertEquals(list.result, { prompts: [] });
  assertEquals(get.error.code, -32601);
});

test("Responses: the daemon's -32601 is forwarded if no placeholder was sent", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "prompts/list");
  const error = { code: -32601, message: "Method not found" };
  driver.fromDaemon({ id: 1, error });
  assertEquals(driver.sentToClient()[0].error, error);
});

test("Placeholder initialize: not sent if the daemon answers within the grace", () => {
  const driver = new SessionDriver();
  driver.advance(4_000);
  driver.open();
  requestInitialize(driver);
  driver.advance(4_900);
  driver.fromDaemon({ id: "init", result: JSON.parse(INITIALIZE_RESULT_TEXT) });
  driver.advance(10_000);
  assertEquals(driver.sentToClient().map(({ id }) => id), ["init"]);
});

test("Placeholder initialize: a later response of the daemon completes the handshake, and is not forwarded", () => {
  const driver = new SessionDriver();
  driver.open();
  requestInitialize(driver);
  driver.advance(5_000);
  assertEquals(driver.sentToClient().length, 1);
  driver.callTool(1, "write");
  driver.takeEffects();
  driver.fromDaemon({ id: "init", result: JSON.parse(INITIALIZE_RESULT_TEXT) });
  assertEquals(
    driver.sentToClient().map(({ id }) => id).filter((id) => id),
    [],
  );
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
});

test("Placeholder initialize: a daemon of another version is accepted, and logged", () => {
  const other = { protocolVersion: "2024-11-05", capabilities: {} };
  for (const cachedResults of [undefined, CACHED_RESULTS]) {
    const driver = new SessionDriver({ cachedResults });
    requestInitialize(driver);
    driver.advance(5_000);
    driver.callTool(1, "write");
    driver.takeEffects();
    connectDaemon(driver, other);
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
    assertMatch(
      driver.logText(),
      /speaks MCP 2024-11-05, but the client got/,
    );
  }
});

test("Placeholder initialize: sent at once with a grace of 0", () => {
  const driver = new SessionDriver({ initializeGrace: 0 });
  assertEquals(requestInitialize(driver).map(({ id }) => id), ["init"]);
});

test("Placeholder initialize: not sent after the client has left", () => {
  const driver = new SessionDriver();
  requestInitialize(driver);
  driver.end();
  driver.advance(10_000);
  assertEquals(driver.sentToClient().length, 1, "the error at the end");
});

test("Cached lists: served in an outage, later pages wait", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  driver.request(1, "tools/list");
  driver.fromDaemon({ id: 1, result: JSON.parse(TOOLS_RESULT) });
  driver.close();
  driver.takeEffects();
  driver.request(2, "tools/list");
  driver.request(3, "tools/list", { cursor: "2" });
  driver.request(4, "prompts/list");
  assertEquals(driver.sentToClient().map(({ id }) => id), [2]);
});

test("Cached lists: served after the grace if the dial hangs", () => {
  const driver = new SessionDriver({ cachedResults: CACHED_RESULTS });
  driver.advance(1_000);
  driver.request(1, "tools/list");
  driver.advance(4_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
});

test("Cached lists: a dial that is repeated without the subprotocol does not count as failed", () => {
  const driver = new SessionDriver({ cachedResults: CACHED_RESULTS });
  driver.request(1, "tools/list");
  driver.close(1006);
  assertEquals([driver.dials.length, driver.sentToClient()], [2, []]);
  driver.close(1006);
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
});

test("Cached lists: served for a list in flight on a lost connection, whatever --retry says", () => {
  for (const retry of ["safe", "never"] as const) {
    const cachedResults = { ...CACHED_RESULTS, initialize: {} };
    const driver = new SessionDriver({ cachedResults, retry });
    driver.connect();
    driver.request(1, "tools/list");
    driver.request(2, "tools/list", { cursor: "2" });
    driver.close();
    const [list, ...others] = driver.sentToClient();
    assertEquals([list.id, list.result], [1, JSON.parse(TOOLS_RESULT)]);
    assertEquals(others.length, retry === "safe" ? 0 : 1);
    driver.takeEffects();
    driver.advanceToNextDial();
    driver.reconnect();
    assertEquals(driver.sentExceptProbes().some(({ id }) => id === 1), false);
  }
});

test("Cached lists: served if the daemon refuses the proxy", () => {
  const driver = new SessionDriver({ cachedResults: CACHED_RESULTS });
  driver.request(1, "tools/list");
  driver.request(2, "prompts/list");
  driver.open();
  driver.close(1008);
  const [list, other] = driver.sentToClient();
  assertEquals(list.result, JSON.parse(TOOLS_RESULT));
  assertEquals(other.error.data.reason, "refused");
});

test("Cached lists: after a sleep the connection is probed first, and the list served if it is dead", () => {
  for (const isAlive of [true, false]) {
    const cachedResults = { ...CACHED_RESULTS, initialize: {} };
    const driver = new SessionDriver({ cachedResults });
    driver.connect();
    driver.now += 60_000;
    driver.handle({ type: "resumed", monotonicGapMs: 60_000, suspendedMs: 0 });
    const [{ id }] = driver.sentToDaemon();
    driver.request(1, "tools/list");
    assertEquals(driver.sentToClient(), []);
    if (isAlive) driver.fromDaemon({ id, result: {} });
    if (isAlive) driver.answerProbe();
    driver.advance(1_000);
    assertEquals(driver.sentToDaemon().some(({ id }) => id === 1), isAlive);
    assertEquals(driver.sentToClient().map(({ id }) => id), isAlive ? [] : [1]);
  }
});

test("exai cached lists: the cached tools are served before the daemon is up, and compared once it is up", () => {
  const driver = new ExaiDriver({
    cachedResults: {
      ...EMPTY_CACHED_RESULTS,
      lists: { "tools/list": TOOLS_RESULT },
    },
  });
  driver.request(1, "tools/list");
  driver.failDial();
  assertEquals(driver.sentToClient()[0].result.tools[0].name, "look");
  driver.advanceToNextDial();
  driver.takeEffects();
  assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
    "list_tools",
  ]);
  driver.frameFromDaemon({ op: "list_tools_res", tools: [] });
  assertEquals(
    driver.sentToClient().map(({ method }) => method),
    ["notifications/tools/list_changed"],
  );
});

const CACHED: CachedResults = {
  initialize: { [INITIALIZE_VERSION]: INITIALIZE_RESULT_TEXT },
  lists: { "tools/list": '{"tools":[{"name":"look"}]}' },
};

function names({ lists }: CachedResults): string[] {
  const { tools } = JSON.parse(lists["tools/list"] || '{"tools":[]}');
  return tools.map(({ name }: Json) => name);
}

test("Cached lists: if the daemon is up, it answers a list request that opens the connection", () => {
  const lists = { [`${STATELESS_VERSION} tools/list`]: OLD_LIST };
  const driver = new SessionDriver({
    cachedResults: { ...EMPTY_CACHED_RESULTS, lists },
  });
  requestStateless(driver, 1, "tools/list");
  driver.open();
  const [{ id, method }] = driver.sentToDaemon();
  assertEquals(method, "server/discover");
  driver.fromDaemon({ id, result: DISCOVER_RESULT });
  assertEquals(driver.sentToDaemon().at(-1).id, 1);
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  driver.advance(10_000);
  assertEquals(driver.sentToClient().map(({ result }) => result), [{
    tools: [],
  }]);
});

test("Cached initialize: if the daemon answers with another version, the next start uses that result", () => {
  const other = { protocolVersion: "2024-11-05", capabilities: {} };
  const first = new SessionDriver({ cachedResults: CACHED });
  requestInitialize(first);
  connectDaemon(first, other);
  const driver = new SessionDriver({
    cachedResults: mergeCachedResults(CACHED, lastSavedCache(first)),
  });
  assertEquals(
    requestInitialize(driver)[0].result.protocolVersion,
    "2024-11-05",
  );
});

test("Cached initialize: removed if the daemon rejects the version, and kept after another error", () => {
  for (const code of [-32602, -32603]) {
    const driver = new SessionDriver({ cachedResults: CACHED });
    requestInitialize(driver);
    driver.open();
    const { id } = driver.sentExceptProbes().findLast((it) =>
      it.method === "initialize"
    );
    driver.fromDaemon({ id, error: { code, message: "no" } });
    const { initialize } = mergeCachedResults(CACHED, lastSavedCache(driver));
    assertEquals(INITIALIZE_VERSION in initialize, code === -32603);
  }
});

test("Cached initialize: a reconnect in the same version keeps it", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.open();
  requestInitialize(driver, "2025-11-25");
  driver.fromDaemon({ id: "init", result: JSON.parse(INITIALIZE_RESULT_TEXT) });
  const merged = lastSavedCache(driver);
  for (const version of [INITIALIZE_VERSION, "2024-11-05"]) {
    driver.close();
    driver.advanceToNextDial();
    driver.takeEffects();
    connectDaemon(driver, { protocolVersion: version, capabilities: {} });
    const { initialize } = mergeCachedResults(merged, lastSavedCache(driver));
    assertEquals("2025-11-25" in initialize, version === INITIALIZE_VERSION);
  }
});

test("Cached initialize: a daemon with a newer version gets initialize in the client's version, and then in the cached one", () => {
  const old = '{"protocolVersion":"2024-11-05","capabilities":{}}';
  const cachedResults = {
    ...EMPTY_CACHED_RESULTS,
    initialize: { "2025-11-25": old },
  };
  const driver = new SessionDriver({ cachedResults });
  requestInitialize(driver, "2025-11-25");
  driver.callTool(1, "write");
  for (const version of ["2025-11-25", "2024-11-05"]) {
    driver.open();
    const { id, params } = driver.sentExceptProbes().at(-1);
    assertEquals(params.protocolVersion, version);
    const result = { protocolVersion: version, capabilities: {} };
    driver.fromDaemon({ id, result });
    if (version === "2025-11-25") driver.advanceToNextDial();
  }
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  const { initialize } = mergeCachedResults(
    cachedResults,
    lastSavedCache(driver),
  );
  const known = JSON.parse(initialize["2025-11-25"]!);
  assertEquals(known.protocolVersion, "2025-11-25");
});

test("Cached initialize: kept for each version that clients request", () => {
  let merged: CachedResults = EMPTY_CACHED_RESULTS;
  for (const version of ["2025-11-25", INITIALIZE_VERSION]) {
    const driver = new SessionDriver({ cachedResults: merged });
    driver.open();
    requestInitialize(driver, version);
    const result = { protocolVersion: version, capabilities: {} };
    driver.fromDaemon({ id: "init", result });
    merged = mergeCachedResults(merged, lastSavedCache(driver));
  }
  for (const version of ["2025-11-25", INITIALIZE_VERSION]) {
    const driver = new SessionDriver({ cachedResults: merged });
    assertEquals(
      requestInitialize(driver, version)[0].result.protocolVersion,
      version,
    );
  }
});

test("Placeholder initialize: sent when a timeout below the grace passes", () => {
  for (const config of [{ queueTimeout: 5_000 }, { requestTimeout: 3_000 }]) {
    const driver = new SessionDriver(config);
    requestInitialize(driver);
    driver.advance(10_000);
    assertEquals(driver.sentToClient().map(({ error }) => error), [undefined]);
  }
});

test("Placeholder initialize: not sent if the daemon is connected, however slow it is", () => {
  const driver = new SessionDriver();
  requestStateless(driver, "d", "server/discover");
  requestInitialize(driver);
  driver.open();
  driver.fromDaemon({ id: "d", error: { code: -32601, message: "no" } });
  driver.advance(9_000);
  driver.fromDaemon(
    { id: "init", result: JSON.parse(INITIALIZE_RESULT_TEXT) },
    1,
  );
  assertEquals(driver.sentToClient().map(({ id }) => id), ["d", "init"]);
  assertEquals(driver.sentToClient()[1].result.instructions, undefined);
});

test("Cached lists: each page is stored once, whoever requests it", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  requestToolPage(driver, undefined, "a", "2");
  requestToolPage(driver, "2", "b", "3");
  requestToolPage(driver, "2", "b", "3");
  requestToolPage(driver, "3", "c");
  assertEquals(names(lastSavedCache(driver)), ["a", "b", "c"]);
});

test("Cached lists: a page that is too large makes the whole list uncacheable", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  requestToolPage(driver, undefined, "a", "2");
  requestToolPage(driver, "2", "b", "3", "x".repeat(1_100_000));
  requestToolPage(driver, "3", "c");
  assertEquals(names(lastSavedCache(driver)), []);
});

test("Cached lists: ten large pages together are not stored", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  for (let n = 0; n < 10; n++) {
    const next = n < 9 ? `${n + 1}` : undefined;
    const cursor = n === 0 ? undefined : `${n}`;
    requestToolPage(driver, cursor, `t${n}`, next, "x".repeat(300_000));
  }
  assertEquals(lastSavedCache(driver).lists, {});
});

test("Size limit: a response that breaks the connection fails only its call; a subscription is reopened", () => {
  for (
    const end of [closeOversized, (driver: SessionDriver) => driver.close(1009)]
  ) {
    const driver = connectSubscribed();
    requestStateless(driver, 1, "tools/call", { name: "big" });
    end(driver);
    const replies = driver.sentToClient().map((
      { id, error },
    ) => [id, error.code]);
    assertEquals(replies, [[1, -31005]]);
    const idle = connectSubscribed();
    end(idle);
    assertEquals(idle.sentToClient(), []);
  }
});

test("Cached results: private ones stay in this process, and time asleep counts", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.open();
  requestStateless(driver, 1, "server/discover");
  const result = { ...DISCOVER_RESULT, cacheScope: "private" };
  driver.fromDaemon({ id: 1, result });
  assertEquals(lastSavedCache(driver), EMPTY_CACHED_RESULTS);
  driver.close();
  requestStateless(driver, 2, "server/discover");
  assertEquals(driver.sentToClient().at(-1).result, result);
  const later = connectStateless({ cachedResults: EMPTY_CACHED_RESULTS });
  later.handle({
    type: "resumed",
    monotonicGapMs: 0,
    suspendedMs: 8 * 3_600_000,
  });
  later.close();
  later.takeEffects();
  requestStateless(later, 1, "server/discover");
  assertEquals(later.sentToClient(), []);
});

test("Cached lists: in an outage, the newest result for the same request is served", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  for (const resources of [[{ uri: "a" }], []]) {
    driver.request(1, "resources/list");
    driver.fromDaemon({ id: 1, result: { resources } });
  }
  requestToolPage(driver, undefined, "a");
  driver.request(2, "tools/list", { filter: "b" });
  driver.fromDaemon({ id: 2, result: { tools: [{ name: "b" }] } });
  driver.request(3, "prompts/list");
  driver.fromDaemon({ id: 3, result: { prompts: [{ name: "p" }] } });
  driver.request(4, "prompts/list");
  const description = "x".repeat(1_100_000);
  driver.fromDaemon({
    id: 4,
    result: { prompts: [{ name: "p", description }] },
  });
  driver.close();
  driver.takeEffects();
  driver.request(5, "resources/list");
  driver.request(6, "tools/list");
  driver.request(7, "tools/list", { filter: "b" });
  driver.request(8, "prompts/list");
  const [resources, tools, ...others] = driver.sentToClient();
  assertEquals(resources.result, { resources: [] });
  assertEquals(tools.result.tools[0].name, "a");
  assertEquals(others, []);
});

test("Sleep: postpones the initialize grace and the delayed end of a subscription", () => {
  const sleep = (driver: SessionDriver): void => {
    driver.now += 60_000;
    driver.handle({ type: "resumed", monotonicGapMs: 60_000, suspendedMs: 0 });
  };
  const driver = new SessionDriver();
  requestInitialize(driver);
  driver.advance(1_000);
  sleep(driver);
  assertEquals(driver.sentToClient(), []);
  const other = connectSubscribed();
  other.fromDaemon({ id: 0, result: { resultType: "complete" } });
  sleep(other);
  other.close(1001);
  assertEquals(other.sentToClient(), []);
});

test("Cached lists: a result above --max-message is not served in an outage", () => {
  const driver = new SessionDriver({
    cachedResults: EMPTY_CACHED_RESULTS,
    maxMessage: 1_000,
  });
  driver.connect();
  requestToolPage(driver, undefined, "x".repeat(2_000));
  driver.close();
  driver.takeEffects();
  driver.request(2, "tools/list");
  assertEquals(driver.sentToClient(), []);
});

test("Queue: a full queue still accepts server/discover", () => {
  const driver = new SessionDriver({ queueLimit: 1 });
  requestStateless(driver, 1, "tools/list");
  requestStateless(driver, 2, "server/discover");
  assertEquals(driver.sentToClient(), []);
});

test("Placeholder initialize: once a daemon has answered, another version counts as a refusal", () => {
  const driver = new SessionDriver();
  requestInitialize(driver);
  driver.advance(5_000);
  connectDaemon(driver);
  driver.close();
  driver.advanceToNextDial();
  driver.callTool(2, "write");
  driver.takeEffects();
  connectDaemon(driver, { protocolVersion: "2024-11-05", capabilities: {} });
  assertEquals(driver.sentToClient()[0].error.data.reason, "refused");
});

test("Placeholder initialize: two requests are both answered", () => {
  const driver = new SessionDriver();
  requestInitialize(driver);
  driver.advance(1_000);
  driver.request("init2", "initialize", {
    protocolVersion: INITIALIZE_VERSION,
  });
  driver.advance(9_000);
  assertEquals(driver.sentToClient().map(({ id }) => id), ["init", "init2"]);
});

/**
 * Returns the results of `server/discover` in the next outage, after the daemon
 * has responded with `answer`. `here` is for the same proxy, `elsewhere` for
 * another one with the same cache.
 */
function discoverInNextOutage(
  answer: Json,
): { here: Json[]; elsewhere: Json[] } {
  const known = JSON.stringify({ ...DISCOVER_RESULT, instructions: "old" });
  const discover = {
    requestedVersion: STATELESS_VERSION,
    result: known,
    remainingMs: 60_000,
  };
  const cachedResults = { ...EMPTY_CACHED_RESULTS, discover };
  const driver = new SessionDriver({ cachedResults });
  driver.open();
  requestStateless(driver, 1, "tools/list");
  driver.fromDaemon({ id: driver.sentToDaemon()[0].id, result: {} });
  requestStateless(driver, 2, "server/discover");
  driver.fromDaemon({ id: 2, ...answer });
  const others = mergeCachedResults(cachedResults, lastSavedCache(driver));
  driver.close();
  const discoverOffline = (driver: SessionDriver): Json[] => {
    driver.takeEffects();
    requestStateless(driver, 3, "server/discover");
    return driver.sentToClient().map(({ result }) => result);
  };
  return {
    here: discoverOffline(driver),
    elsewhere: discoverOffline(new SessionDriver({ cachedResults: others })),
  };
}

test("Cached discover: removed by a newer result that must not be cached", () => {
  const over = { here: [], elsewhere: [] };
  assertEquals(
    discoverInNextOutage({ result: { ...DISCOVER_RESULT, ttlMs: 0 } }),
    over,
  );
  const { ttlMs: _, ...timeless } = DISCOVER_RESULT;
  assertEquals(discoverInNextOutage({ result: timeless }), over);
  assertEquals(
    discoverInNextOutage({ error: { code: -32601, message: "no" } }),
    over,
  );
  const secret = { ...DISCOVER_RESULT, cacheScope: "private" };
  assertEquals(discoverInNextOutage({ result: secret }), {
    here: [secret],
    elsewhere: [],
  });
  const busy = discoverInNextOutage({ error: { code: -32603, message: "no" } });
  assertEquals([busy.here.length, busy.elsewhere.length], [1, 1]);
});

test("Cached discover: removed if the daemon answers the proxy's own server/discover with -32601", () => {
  for (const code of [-32601, -32603]) {
    const discover = {
      requestedVersion: STATELESS_VERSION,
      result: JSON.stringify(DISCOVER_RESULT),
      remainingMs: 60_000,
    };
    const cachedResults = { ...EMPTY_CACHED_RESULTS, discover };
    const driver = new SessionDriver({ cachedResults });
    driver.open();
    requestStateless(driver, 1, "server/discover");
    driver.fromDaemon({
      id: driver.sentToDaemon()[0].id,
      error: { code, message: "no" },
    });
    const { discover: known } = mergeCachedResults(
      cachedResults,
      lastSavedCache(driver),
    );
    assertEquals(known === undefined, code === -32601);
  }
});

test("Cached results: ttlMs is reduced by the time that has passed", () => {
  const cachedResults = {
    ...EMPTY_CACHED_RESULTS,
    lists: {
      [`${STATELESS_VERSION} tools/list`]: OLD_LIST.replace(
        '"ttlMs":0',
        '"ttlMs":9000',
      ),
    },
    discover: {
      requestedVersion: STATELESS_VERSION,
      result: '{"x":1.0,"ttlMs":60000}',
      remainingMs: 40_000,
    },
  };
  const driver = new SessionDriver({ cachedResults });
  driver.failDial();
  driver.advance(200.5);
  requestStateless(driver, 1, "server/discover");
  requestStateless(driver, 2, "tools/list");
  const lines = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-client" ? [effect.text] : []
  );
  assertEquals(lines, [
    '{"jsonrpc":"2.0","id":1,"result":{"x":1.0,"ttlMs":39799}}',
    `{"jsonrpc":"2.0","id":2,"result":${OLD_LIST}}`,
  ]);
});

test("Cached lists: a list that becomes private is used in this process, and no longer in others", () => {
  const driver = connectStateless({ cachedResults: EMPTY_CACHED_RESULTS });
  const list = (
    name: string,
    cacheScope: string,
  ): CachedResults | undefined => {
    requestStateless(driver, 1, "tools/list");
    driver.fromDaemon({ id: 1, result: { tools: [{ name }], cacheScope } });
    return savedCache(driver);
  };
  const key = `${STATELESS_VERSION} tools/list`;
  const first = mergeCachedResults(EMPTY_CACHED_RESULTS, list("a", "public")!);
  assert(key in first.lists);
  const second = mergeCachedResults(first, list("b", "private")!);
  assertEquals(key in second.lists, false);
  assertEquals(list("c", "private"), undefined, "nothing new is saved");
  driver.close();
  driver.takeEffects();
  requestStateless(driver, 2, "tools/list");
  assertEquals(driver.sentToClient()[0].result.tools, [{ name: "c" }]);
});

test("Cached lists: pages are joined without changing their text", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.connect();
  const page = (params: Json, result: string): void => {
    driver.request("p", "tools/list", params);
    driver.fromDaemon(`{"jsonrpc":"2.0","id":"p","result":${result}}`);
  };
  page(
    {},
    '{"tools":[{"name":"a","max":18446744073709551615}],"nextCursor":"2"}',
  );
  page({ cursor: "2" }, '{"tools":[ {"name":"b","min":0.0} ],"x":1e2}');
  assertEquals(lastSavedCache(driver).lists, {
    "tools/list":
      '{"tools":[{"name":"a","max":18446744073709551615},{"name":"b","min":0.0}],"x":1e2}',
  });
});

test("Cached initialize: eight versions are kept, and an update of one adds none", () => {
  let merged: CachedResults = EMPTY_CACHED_RESULTS;
  const initializeWith = (version: string, name: string): void => {
    const driver = new SessionDriver({
      cachedResults: { ...merged, lists: {} },
    });
    driver.open();
    driver.request("init", "initialize", { protocolVersion: version });
    // If the cache has answered the client, the daemon gets a request of the
    // proxy with another id.
    const { id } = driver.sentExceptProbes()[0];
    const serverInfo = { name };
    const result = { protocolVersion: version, capabilities: {}, serverInfo };
    driver.fromDaemon({ id, result });
    merged = mergeCachedResults(merged, lastSavedCache(driver));
  };
  for (let n = 0; n < 9; n++) initializeWith(`v${n}`, "old");
  initializeWith("v7", "new");
  assertEquals(Object.keys(merged.initialize).length, 8);
  assertEquals(JSON.parse(merged.initialize.v7!).serverInfo.name, "new");
});

test("Shutdown: waits for a pending server/discover while the daemon may answer it", () => {
  const driver = new SessionDriver();
  requestStateless(driver, 1, "server/discover");
  driver.end();
  assertEquals(driver.exitCode(), undefined, "the dial is in progress");
  driver.failDial();
  assertEquals(driver.exitCode(), 0);
  const other = new SessionDriver();
  other.open();
  requestStateless(other, 1, "server/discover");
  other.end();
  other.fromDaemon({ id: 1, result: DISCOVER_RESULT });
  assertEquals(other.sentToClient().map(({ id }) => id), [1]);
  assertEquals(other.exitCode(), 0);
});
