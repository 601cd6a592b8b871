/**
 * Tests the proxy's own requests to an MCP daemon: their ids, and how responses
 * complete them.
 *
 * @module
 */

import { OwnRequests } from "../../../../lib/dialects/mcp/own_requests.ts";
import { MAX_UNANSWERED_PROBES } from "../../../../lib/link/liveness.ts";
import { assert, assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";

const LIST = { kind: "list", list: "tools", cursor: undefined } as const;

/** Creates the requests. Their ids count up from 2^30. */
const newRequests = (isClientId = (_: string): boolean => false): OwnRequests =>
  new OwnRequests(() => 0, isClientId);

test("MCP own requests: an id is never an id of the client, and is never used twice", () => {
  const taken = [`${2 ** 30}`, `${2 ** 30 + 2}`];
  const requests = newRequests((id) => taken.includes(id));
  const ids = [1, 2, 3].map(() => Number(requests.add(1, LIST)));
  assertEquals(ids, [2 ** 30 + 1, 2 ** 30 + 3, 2 ** 30 + 4]);
});

test("MCP own requests: a response completes its request once, only on its connection, with an id of either type", () => {
  const requests = newRequests();
  const id = requests.add(1, LIST);
  const adopted = '"init"';
  requests.adopt(adopted, 1, { kind: "initialize" });
  assertEquals(requests.complete(id, 2), undefined);
  assertEquals(requests.complete(undefined, 1), undefined);
  assertEquals(requests.complete("5", 1), undefined);
  assertEquals(requests.pendingIds(1), [id, adopted]);
  assertEquals(requests.complete(`"${id}"`, 1)?.id, id);
  assertEquals(requests.complete(id, 1), undefined);
  assertEquals(requests.complete(adopted, 1)?.purpose.kind, "initialize");
  assertEquals(requests.pendingIds(1), []);
});

test("MCP own requests: an answered probe replaces the earlier probes on its connection; late responses to them are still recognized", () => {
  const requests = newRequests();
  const list = requests.add(1, LIST);
  const [first, second, third] = [1, 2, 3].map(() => requests.addProbe(1));
  const other = requests.addProbe(2);
  requests.complete(second, 1);
  assertEquals(requests.pendingIds(1), [list, third!]);
  assertEquals(requests.pendingIds(2), [other]);
  assertEquals(requests.complete(first, 1)?.purpose.kind, "probe");
});

test("MCP own requests: the number of unanswered probes per connection is limited", () => {
  const requests = newRequests();
  const other = requests.addProbe(2);
  const oldest = requests.addProbe(1);
  for (let n = 0; n < MAX_UNANSWERED_PROBES; n++) requests.addProbe(1);
  assertEquals(requests.pendingIds(1).length, MAX_UNANSWERED_PROBES);
  assertEquals(requests.find(oldest), undefined);
  assert(requests.find(other) !== undefined);
});

test("MCP own requests: probes do not count as pending work, and a closed connection drops its requests", () => {
  const requests = newRequests();
  requests.addProbe(1);
  assertEquals(requests.hasPending(1), false);
  requests.add(1, LIST);
  const other = requests.add(2, LIST);
  assertEquals(requests.hasPending(1), true);
  requests.onDisconnect(1);
  assertEquals([requests.hasPending(1), requests.hasPending(2)], [false, true]);
  assertEquals([requests.pendingIds(1), requests.pendingIds(2)], [[], [other]]);
});
