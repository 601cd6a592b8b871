/**
 * Tests ids that the daemon returns as the other JSON type, and ids that two
 * requests use at the same time.
 *
 * @module
 */

import { RequestTracker } from "../../../lib/requests/tracker.ts";
import { ClientIds } from "../../../lib/session/client_ids.ts";
import { UNLIMITED } from "../../helpers/test_entry.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { isProxyRequestId } from "../../helpers/session/proxy_request_ids.ts";
import {
  DEFAULT_CONFIG,
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  responseCodes,
  startRetypedIdSession,
} from "../../helpers/session/two_tool_session.ts";

test("Own ids: the proxy uses whole numbers of 31 bits that the client does not use", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool(2 ** 30 + 7, "write");
  for (let i = 0; i < 50; i++) {
    driver.advance(5_000);
    driver.answerProbe();
  }
  const own = driver.sentToDaemon().filter(({ method }) => method === "ping");
  assert(own.length > 10);
  const ids = own.map(({ id }) => id);
  assert(ids.every(isProxyRequestId), `${ids}`);
  assertEquals(new Set(ids).size, ids.length);
  assert(!ids.includes(2 ** 30 + 7));
});

for (const asText of [false, true]) {
  test(`Own ids: a client's request waits if its id is that of a probe in flight: ${asText ? "as text" : "as number"}`, () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.advance(5_000);
    const { id } = driver.sentToDaemon().at(-1);
    assert(isProxyRequestId(id));
    driver.takeEffects();
    const mine = asText ? `${id}` : id;
    driver.request(mine, "x");
    driver.request("other", "x");
    assertEquals(driver.sentExceptProbes().map(({ id }) => id), ["other"]);
    driver.fromDaemon({ id, result: {} });
    assertEquals(driver.sentExceptProbes().map(({ id }) => id), [
      "other",
      mine,
    ]);
    driver.fromDaemon({ id: mine, result: { right: true } });
    assertEquals(driver.sentToClient().at(-1), {
      jsonrpc: "2.0",
      id: mine,
      result: { right: true },
    });
  });
}

const RETYPED: [what: string, mine: Json, theirs: Json][] = [
  ["a text for a number", 7, "7"],
  ["a double's text for a number", 7, "7.0"],
  ["a number for a text", "7", 7],
];

for (const [what, mine, theirs] of RETYPED) {
  test(`Id types: a response and progress are recognized under the other type: ${what}`, () => {
    const driver = new SessionDriver();
    driver.open();
    const initialize = typeof mine === "number" ? 0 : "0";
    driver.request(initialize, "initialize", { protocolVersion: "2025-06-18" });
    const result = { protocolVersion: "2025-06-18", capabilities: {} };
    driver.fromDaemon({ id: typeof mine === "number" ? "0" : 0, result });
    driver.request(mine, "x", { _meta: { progressToken: mine } });
    const params = { progressToken: theirs, progress: 1 };
    driver.fromDaemon({ method: "notifications/progress", params });
    driver.fromDaemon({ id: theirs, result: {} });
    driver.fromDaemon({ id: theirs, result: { twice: true } });
    const [initialized, progress, answer, ...rest] = driver.sentToClient();
    assertEquals([initialized.id, initialized.result], [initialize, result]);
    assertEquals(progress.params, { progressToken: mine, progress: 1 });
    assertEquals(answer, { jsonrpc: "2.0", id: mine, result: {} });
    assertEquals(rest, []);
  });
}

test("Id types: a client with ids of both types gets exact matches only", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("2", "x");
  driver.request(1, "x");
  driver.fromDaemon({ id: "1", result: {} });
  assertEquals(driver.sentToClient(), []);
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
});

test("Confusable ids: a request waits for another one whose id differs only in its type, if the daemon confuses types", () => {
  const driver = startRetypedIdSession();
  driver.request(1, "x");
  driver.request("1", "x");
  driver.request(2, "x");
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1, 2]);
  driver.fromDaemon({ id: 1, result: { of: 1 } });
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1, 2, "1"]);
  driver.fromDaemon({ id: "1", result: { of: "1" } });
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result.of]), [
    [1, 1],
    ["1", "1"],
  ]);
});

test("Id types: responses to the proxy's own probes and replays are recognized under the other type", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(5_000);
  const { id } = driver.sentToDaemon().at(-1);
  driver.fromDaemon({ id: `${id}`, result: {} });
  driver.advance(9_000);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.close();
  driver.advanceToNextDial();
  driver.open();
  const replay = driver.sentToDaemon().findLast(({ method }) =>
    method === "initialize"
  );
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.fromDaemon({ id: `${replay.id}`, result });
  driver.request("next", "x");
  assertEquals(driver.sentExceptProbes().at(-1).id, "next");
});

test("Confusable ids: a request that waits for a confusable one fails if that one is cancelled", () => {
  const driver = startRetypedIdSession();
  driver.request("1", "x");
  driver.request(1, "x");
  driver.answerProbe();
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: "1" },
  });
  assertEquals(responseCodes(driver), [[1, -32600]]);
  assertEquals(driver.sentExceptProbes().filter(({ id }) => id === 1), []);
});

test("Id types: a number that comes back as a string is recognized after a server/discover with a string id", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request("server-discover-probe-1", "server/discover", {
    _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" },
  });
  driver.fromDaemon({
    id: "server-discover-probe-1",
    error: { code: -32601, message: "no" },
  });
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  driver.takeEffects();
  driver.fromDaemon({
    id: "0",
    result: { protocolVersion: "2025-06-18", capabilities: {} },
  });
  assertEquals(responseCodes(driver), [[0, undefined]]);
});

/**
 * Returns a tracker with requests in flight on connection 7, and the
 * `ClientIds` of the tracker.
 */
function inFlight(
  ...ids: string[]
): { tracker: RequestTracker; clientIds: ClientIds } {
  const tracker = new RequestTracker(DEFAULT_CONFIG, () => "main", () => true);
  const clientIds = new ClientIds(tracker);
  for (const id of ids) {
    clientIds.observe(id);
    tracker.markSent(tracker.open(request(id, "x"), UNLIMITED, 0), 7, 0);
  }
  return { tracker, clientIds };
}

const RESOLVED: [what: string, ids: string[], id: string, found: Json][] = [
  ["the same id", ["1"], "1", "1"],
  ["the other type of the only one", ["1"], '"1"', "1"],
  ["the other type, while all ids are strings", ['"a"', '"1"'], "1", '"1"'],
  ["nothing, if the client uses both types", ["1", '"2"'], '"1"', undefined],
  ["nothing, if that request is not in flight", ["1"], "2", undefined],
];
for (const [what, ids, id, found] of RESOLVED) {
  test(`Client ids: ${id} finds ${what}`, () => {
    const { clientIds } = inFlight(...ids);
    assertEquals(clientIds.findInFlight(id, 7)?.key, found);
    assertEquals(
      clientIds.findInFlight(id, 8),
      undefined,
      "another connection",
    );
    assertEquals(clientIds.findInFlight(undefined, 7), undefined);
  });
}

test("Client ids: an id is in use under both types, also while a late response is expected", () => {
  const { tracker, clientIds } = inFlight("1");
  tracker.lateResponses.add("2", 7);
  const ids = ["1", '"1"', "2", '"2"', "3"];
  assertEquals(ids.map((id) => clientIds.isInUse(id)), [
    ...[true, true, true, true, false],
  ]);
  clientIds.onLateResponse('"2"', 7);
  assertEquals(clientIds.isInUse("2"), false, "it came as the other type");
});

test("Client ids: ids of different types are confusable only once the daemon has changed a type", () => {
  const { tracker, clientIds } = inFlight("1", '"2"');
  tracker.lateResponses.add("3", 7);
  const found = (): boolean[] => [
    clientIds.mayBeConfusedWithInFlight('"1"'),
    clientIds.mayGetLateResponse('"3"'),
  ];
  assertEquals(found(), [false, false]);
  clientIds.recordRetypedId();
  assertEquals(found(), [true, true]);
  assertEquals([
    clientIds.mayBeConfusedWithInFlight("1"),
    clientIds.mayGetLateResponse("3"),
  ], [false, true]);
});
