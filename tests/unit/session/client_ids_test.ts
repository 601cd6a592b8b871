/**
 * Ids that come back as the other JSON type, and ids that are in use twice.
 *
 * @module
 */

import { Ledger } from "../../../lib/requests/tracker.ts";
import { ClientIds } from "../../../lib/session/client_ids.ts";
import { UNLIMITED } from "../../helpers/account.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import {
  DEFAULTS,
  type Json,
  Scene,
} from "../../helpers/session/session_driver.ts";
import { codes, retyping } from "../../helpers/session/two_tool_session.ts";

test("Own ids: whole numbers of 31 bits that the client does not use", () => {
  const scene = new Scene();
  scene.start();
  scene.call(2 ** 30 + 7, "write");
  for (let i = 0; i < 50; i++) {
    scene.pass(5_000);
    scene.pong();
  }
  const own = scene.sent().filter(({ method }) => method === "ping");
  assert(own.length > 10);
  const ids = own.map(({ id }) => id);
  assert(ids.every(isOwnId), `${ids}`);
  assertEquals(new Set(ids).size, ids.length);
  assert(!ids.includes(2 ** 30 + 7));
});

for (const asText of [false, true]) {
  test(`Own ids: a client's request with one that is in flight waits: ${asText ? "as text" : "as number"}`, () => {
    const scene = new Scene();
    scene.start();
    scene.pass(5_000);
    const { id } = scene.sent().at(-1);
    assert(isOwnId(id));
    scene.take();
    const mine = asText ? `${id}` : id;
    scene.ask(mine, "x");
    scene.ask("other", "x");
    assertEquals(scene.written().map(({ id }) => id), ["other"]);
    scene.daemon({ id, result: {} });
    assertEquals(scene.written().map(({ id }) => id), ["other", mine]);
    scene.daemon({ id: mine, result: { right: true } });
    assertEquals(scene.replies().at(-1), {
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
    const scene = new Scene();
    scene.open();
    const initialize = typeof mine === "number" ? 0 : "0";
    scene.ask(initialize, "initialize", { protocolVersion: "2025-06-18" });
    const result = { protocolVersion: "2025-06-18", capabilities: {} };
    scene.daemon({ id: typeof mine === "number" ? "0" : 0, result });
    scene.ask(mine, "x", { _meta: { progressToken: mine } });
    const params = { progressToken: theirs, progress: 1 };
    scene.daemon({ method: "notifications/progress", params });
    scene.daemon({ id: theirs, result: {} });
    scene.daemon({ id: theirs, result: { twice: true } });
    const [hello, progress, answer, ...rest] = scene.replies();
    assertEquals([hello.id, hello.result], [initialize, result]);
    assertEquals(progress.params, { progressToken: mine, progress: 1 });
    assertEquals(answer, { jsonrpc: "2.0", id: mine, result: {} });
    assertEquals(rest, []);
  });
}

test("Id types: a client with ids of both types gets exact matches only", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("2", "x");
  scene.ask(1, "x");
  scene.daemon({ id: "1", result: {} });
  assertEquals(scene.replies(), []);
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.replies().map(({ id }) => id), [1]);
});

test("Twin ids: wait for each other where the daemon confuses types", () => {
  const scene = retyping();
  scene.ask(1, "x");
  scene.ask("1", "x");
  scene.ask(2, "x");
  scene.pong();
  assertEquals(scene.written().map(({ id }) => id), [1, 2]);
  scene.daemon({ id: 1, result: { of: 1 } });
  assertEquals(scene.written().map(({ id }) => id), [1, 2, "1"]);
  scene.daemon({ id: "1", result: { of: "1" } });
  assertEquals(scene.replies().map(({ id, result }) => [id, result.of]), [
    [1, 1],
    ["1", "1"],
  ]);
});

test("Id types: our own probes and replays are recognized under the other type", () => {
  const scene = new Scene();
  scene.start();
  scene.pass(5_000);
  const { id } = scene.sent().at(-1);
  scene.daemon({ id: `${id}`, result: {} });
  scene.pass(9_000);
  assertEquals(scene.isLeft(1), false);
  scene.close();
  scene.untilDial();
  scene.open();
  const replay = scene.sent().findLast(({ method }) => method === "initialize");
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id: `${replay.id}`, result });
  scene.ask("next", "x");
  assertEquals(scene.written().at(-1).id, "next");
});

test("Twin ids: a request that waits for its twin is refused when the twin is cancelled", () => {
  const scene = retyping();
  scene.ask("1", "x");
  scene.ask(1, "x");
  scene.pong();
  scene.client({
    method: "notifications/cancelled",
    params: { requestId: "1" },
  });
  assertEquals(codes(scene), [[1, -32600]]);
  assertEquals(scene.written().filter(({ id }) => id === 1), []);
});

test("Id types: a number that comes back as a string is recognized after a server/discover with a string id", () => {
  const scene = new Scene();
  scene.open();
  scene.ask("server-discover-probe-1", "server/discover", {
    _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" },
  });
  scene.daemon({
    id: "server-discover-probe-1",
    error: { code: -32601, message: "no" },
  });
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  scene.take();
  scene.daemon({
    id: "0",
    result: { protocolVersion: "2025-06-18", capabilities: {} },
  });
  assertEquals(codes(scene), [[0, undefined]]);
});

/** A tracker with requests in flight on connection 7, and the ids of its client. */
function inFlight(...ids: string[]): { ledger: Ledger; clientIds: ClientIds } {
  const ledger = new Ledger(DEFAULTS);
  const clientIds = new ClientIds(ledger);
  for (const id of ids) {
    clientIds.note(id);
    ledger.add(request(id, "x"), UNLIMITED, 0);
    ledger.sent(id, 7, 0);
  }
  return { ledger, clientIds };
}

const RESOLVED: [what: string, ids: string[], id: string, found: Json][] = [
  ["the same id", ["1"], "1", "1"],
  ["the other type of the only one", ["1"], '"1"', "1"],
  ["the other type, while all ids are strings", ['"a"', '"1"'], "1", '"1"'],
  ["no other type, where the client uses both", ["1", '"2"'], '"1"', undefined],
  ["no request that is not in flight", ["1"], "2", undefined],
];
for (const [what, ids, id, found] of RESOLVED) {
  test(`Client ids: ${id} means ${what}`, () => {
    const { clientIds } = inFlight(...ids);
    assertEquals(clientIds.resolve(id, 7), found);
    assertEquals(clientIds.resolve(id, 8), undefined, "another connection");
    assertEquals(clientIds.resolve(undefined, 7), undefined);
  });
}

test("Client ids: an id is open under either type, also for a late response", () => {
  const { ledger, clientIds } = inFlight("1");
  ledger.late.add("2", 7);
  const ids = ["1", '"1"', "2", '"2"', "3"];
  assertEquals(ids.map((id) => clientIds.isOpen(id)), [
    ...[true, true, true, true, false],
  ]);
  clientIds.came('"2"', 7);
  assertEquals(clientIds.isOpen("2"), false, "it came as the other type");
});

test("Client ids: twins matter only once the daemon has changed a type", () => {
  const { ledger, clientIds } = inFlight("1", '"2"');
  ledger.late.add("3", 7);
  const found = (): boolean[] => [
    clientIds.hasTwin('"1"'),
    clientIds.isLate('"3"'),
  ];
  assertEquals(found(), [false, false]);
  clientIds.sawRetyped();
  assertEquals(found(), [true, true]);
  assertEquals([clientIds.hasTwin("1"), clientIds.isLate("3")], [false, true]);
});
