/**
 * Tests the stateless version of MCP (2026-07-28). Nothing is replayed, and
 * `server/discover` waits until the daemon answers.
 *
 * @module
 */

import { EMPTY_CACHED_RESULTS } from "../../../../lib/cache/cache.ts";
import { parseCache, serializeCache } from "../../../../lib/cache/format.ts";
import { assert, assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import {
  connectStateless,
  DISCOVER_RESULT,
  reconnectStateless,
  requestStateless,
  STATELESS_META,
  STATELESS_VERSION,
} from "../../../helpers/session/cold_start_driver.ts";
import {
  type Json,
  SessionDriver,
} from "../../../helpers/session/session_driver.ts";

test("Stateless MCP: the client's server/discover serves as the handshake, so the proxy sends none of its own", () => {
  const driver = new SessionDriver();
  driver.open();
  assertEquals(driver.sentToDaemon(), []);
  requestStateless(driver, 1, "server/discover");
  requestStateless(driver, 2, "tools/list");
  assertEquals(driver.sentToDaemon().map(({ id }) => id), [1]);
  driver.fromDaemon({ id: 1, result: DISCOVER_RESULT });
  assertEquals(
    driver.sentExceptProbes().filter(({ id }) => id === 2).length,
    1,
  );
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
});

// Version 2 of the SDK sends a string as id, which some bridges return as null.
for (const id of [{ id: null }, {}]) {
  const error = { code: -32601, message: "Method not found", data: { a: 1 } };

  test(
    `Stateless MCP: an error with ${
      JSON.stringify(id)
    } answers a server/discover that is alone on its connection`,
    () => {
      const driver = new SessionDriver();
      driver.open();
      requestStateless(driver, "probe-1", "server/discover");
      driver.fromDaemon({ ...id, error });
      assertEquals(driver.sentToClient(), [{
        jsonrpc: "2.0",
        id: "probe-1",
        error,
      }]);
      driver.request(0, "initialize", { protocolVersion: "2025-11-25" });
      assertEquals(driver.sentToDaemon().at(-1).id, 0);
    },
  );

  test(
    `Stateless MCP: an error with ${
      JSON.stringify(id)
    } answers no initialize and no second server/discover, and a result of that form answers nothing`,
    () => {
      const initializing = new SessionDriver();
      initializing.open();
      initializing.request(0, "initialize", { protocolVersion: "2025-11-25" });
      initializing.fromDaemon({ ...id, error });
      assertEquals(initializing.sentToClient(), []);
      const second = new SessionDriver();
      second.open();
      requestStateless(second, "probe-1", "server/discover");
      const params = { requestId: "probe-1" };
      second.fromClient({ method: "notifications/cancelled", params });
      requestStateless(second, "probe-2", "server/discover");
      second.fromDaemon({ ...id, error });
      assertEquals(second.sentToClient(), []);
      const result = new SessionDriver();
      result.open();
      requestStateless(result, "probe-1", "server/discover");
      result.fromDaemon({ ...id, result: DISCOVER_RESULT });
      assertEquals(result.sentToClient(), []);
    },
  );
}

test("Stateless MCP: an error response to server/discover completes the handshake, too", () => {
  const driver = new SessionDriver();
  driver.open();
  requestStateless(driver, 1, "server/discover");
  requestStateless(driver, 2, "tools/list");
  driver.fromDaemon({ id: 1, error: { code: -32022, message: "no" } });
  assertEquals(driver.sentToClient()[0].error.code, -32022);
  assertEquals(driver.sentExceptProbes().at(-1).id, 2);
});

test("Stateless MCP: any other first request waits for the proxy's own server/discover", () => {
  const driver = new SessionDriver();
  driver.open();
  requestStateless(driver, 1, "tools/list");
  const [{ id, method, params }] = driver.sentToDaemon();
  assertEquals([method, params._meta], ["server/discover", STATELESS_META]);
  driver.fromDaemon({ id, error: { code: -32601, message: "no" } });
  assertEquals(driver.sentToDaemon().at(-1).id, 1);
});

test("Stateless MCP: probes are server/discover, and lists are not fetched after a reconnect", () => {
  const driver = connectStateless();
  requestStateless(driver, 1, "tools/list");
  driver.fromDaemon({ id: 1, result: { tools: [] } });
  driver.takeEffects();
  driver.advance(5_000);
  const [probe] = driver.sentToDaemon();
  assertEquals([probe.method, probe.params._meta], [
    "server/discover",
    STATELESS_META,
  ]);
  driver.close();
  reconnectStateless(driver);
  const methods = new Set(driver.sentToDaemon().map(({ method }) => method));
  assertEquals([...methods], ["server/discover"]);
});

test("Stateless MCP: server/discover waits through outages, refusals and limits", () => {
  const driver = new SessionDriver({
    requestTimeout: 10_000,
    queueTimeout: 5_000,
  });
  requestStateless(driver, 1, "server/discover");
  driver.open();
  driver.close(1008);
  for (let n = 0; n < 20; n++) {
    driver.advanceToNextDial();
    if (n === 2) requestStateless(driver, 2, "server/discover");
    if (n % 2 === 0) driver.failDial();
    else driver.close(1008);
  }
  assertEquals(driver.sentToClient(), []);
  driver.advanceToNextDial();
  driver.open();
  driver.fromDaemon({ id: 1, result: DISCOVER_RESULT });
  driver.fromDaemon({ id: 2, result: DISCOVER_RESULT });
  assertEquals(driver.sentToClient().map(({ id }) => id), [1, 2]);
});

test("Stateless MCP: server/discover is sent again on each connection, even with --retry never", () => {
  const driver = new SessionDriver({ retry: "never" });
  requestStateless(driver, 1, "server/discover");
  for (let n = 0; n < 5; n++) {
    driver.open();
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
    driver.close();
    driver.advanceToNextDial();
  }
  assertEquals(driver.sentToClient(), []);
});

test("Stateless MCP: server/discover is answered from the cache for its ttlMs, and then waits", () => {
  const driver = connectStateless({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.close();
  driver.takeEffects();
  requestStateless(driver, 1, "server/discover");
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result]), [
    [1, DISCOVER_RESULT],
  ]);
  driver.takeEffects();
  for (let n = 0; n < 12; n++) {
    driver.advanceToNextDial();
    driver.failDial();
  }
  assert(driver.now > 60_000);
  requestStateless(driver, 2, "server/discover");
  assertEquals(driver.sentToClient(), []);
});

test("Stateless MCP: a cached result is used for its ttlMs, and for its protocol version only", () => {
  const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  driver.open();
  requestStateless(driver, 1, "server/discover");
  driver.fromDaemon({ id: 1, result: DISCOVER_RESULT });
  const effect = driver.takeEffects().findLast(({ type }) =>
    type === "save-cache"
  );
  assert(effect?.type === "save-cache");
  const owner = { daemon: "ws://daemon/", key: "k", dialect: "mcp", user: "u" };
  const text = serializeCache(owner, effect.results);
  const read = (ageMs: number): Json => parseCache(text, owner, ageMs);
  assertEquals(read(20_000).discover.remainingMs, 40_000);
  assertEquals(read(60_000).discover, undefined);
  for (
    const [version, count] of [[STATELESS_VERSION, 1], [
      "2027-01-01",
      0,
    ]] as const
  ) {
    const later = new SessionDriver({ cachedResults: read(0) });
    const meta = { ...STATELESS_META };
    meta["io.modelcontextprotocol/protocolVersion"] = version;
    later.request(1, "server/discover", { _meta: meta });
    assertEquals(later.sentToClient().length, count);
  }
});

test("Stateless MCP: a result without a positive ttlMs is not cached", () => {
  for (const ttlMs of [0, -1, "1", undefined]) {
    const driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
    driver.open();
    requestStateless(driver, 1, "server/discover");
    driver.fromDaemon({ id: 1, result: { ...DISCOVER_RESULT, ttlMs } });
    assertEquals(
      driver.takeEffects().some(({ type }) => type === "save-cache"),
      false,
    );
  }
});

test("Stateless MCP: lists are cached separately from the lists of clients that initialize", () => {
  const driver = connectStateless({ cachedResults: EMPTY_CACHED_RESULTS });
  const complete = { resultType: "complete", tools: [] };
  requestStateless(driver, 1, "tools/list");
  driver.fromDaemon({ id: 1, result: complete });
  driver.close();
  driver.takeEffects();
  requestStateless(driver, 2, "tools/list");
  driver.request(3, "tools/list");
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result]), [
    [2, complete],
  ]);
});

test("Stateless MCP: a result that asks for input passes unchanged", () => {
  const driver = connectStateless();
  requestStateless(driver, 1, "tools/call", { name: "write" });
  const result = { resultType: "input_required", requestState: "s" };
  driver.fromDaemon({ id: 1, result });
  assertEquals(driver.sentToClient()[0].result, result);
});

test("Stateless MCP: a client's ping is forwarded to the daemon", () => {
  const driver = new SessionDriver();
  requestStateless(driver, 1, "ping");
  assertEquals(driver.sentToClient(), []);
  driver.open();
  const [{ id }] = driver.sentToDaemon();
  driver.fromDaemon({ id, result: DISCOVER_RESULT });
  assertEquals(driver.sentToDaemon().at(-1).method, "ping");
});

test("server/discover: a request that is cancelled during the handshake delays no other request", () => {
  const driver = new SessionDriver();
  driver.open();
  requestStateless(driver, 1, "server/discover");
  const params = { requestId: 1 };
  driver.fromClient({ method: "notifications/cancelled", params });
  driver.fromDaemon({ id: 1, result: DISCOVER_RESULT });
  requestStateless(driver, 2, "tools/list");
  const probe = driver.sentToDaemon().at(-1);
  assertEquals(probe.method, "server/discover");
  driver.fromDaemon({ id: probe.id, result: DISCOVER_RESULT });
  assertEquals(driver.sentToDaemon().at(-1).id, 2);
});

test("server/discover: if no other request is in flight, a silent connection is lost, and server/discover is sent again on the next one", () => {
  const driver = connectStateless();
  requestStateless(driver, 1, "server/discover");
  driver.advance(9_999);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.open();
  assertEquals(driver.sentToDaemon().map(({ id }) => id), [1]);
  assertEquals(driver.sentToClient(), []);
});

test("server/discover: sent again on the connection that takes over", () => {
  const driver = connectStateless();
  requestStateless(driver, 1, "server/discover");
  requestStateless(driver, 2, "tools/call", { name: "write" });
  driver.advance(10_000);
  driver.open();
  for (let i = 0; i < 3; i++) {
    const { id } = driver.sentToDaemon().at(-1);
    driver.takeEffects();
    driver.fromDaemon({ id, result: {} });
    if (i === 1) driver.advance(5_000);
  }
  const again = driver.sentToDaemon().filter(({ id }) => id === 1);
  assertEquals(again.length, 1);
});
