/**
 * Tests the set of links, and the role of each link.
 *
 * @module
 */

import type { Link, LinkRole } from "../../../lib/link/link.ts";
import { LinkSet } from "../../../lib/link/link_set.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";

function links(): LinkSet {
  return new LinkSet(DEFAULT_CONFIG, () => 0, 0);
}

/** Makes a link ready, and returns it. */
function ready(link: Link): Link {
  link.dial(0);
  link.onOpen(0);
  link.onHandshakeSent(0);
  link.becomeReady(0);
  return link;
}

test("Link set: starts with the main link, and every connection has a new number", () => {
  const set = links();
  const pool = set.add("pool", 0);
  assertEquals([set.main.connectionId, pool.connectionId], [1, 2]);
  pool.dial(0);
  set.disconnect(pool, { reason: "x" }, 1);
  assertEquals([pool.connectionId, set.get(2), set.get(3) === pool], [
    ...[3, undefined, true],
  ]);
  assertEquals([set.get(undefined), set.get(99)], [undefined, undefined]);
});

test("Link set: a link that was removed cannot be lost", () => {
  const set = links();
  const pool = set.add("pool", 0);
  set.remove(pool);
  assertEquals(set.has(pool), false);
  assertThrows(
    () => set.disconnect(pool, { reason: "x" }, 1),
    Error,
    "not in the set",
  );
});

test("Link set: a standby that is promoted becomes the main link, and the old one drains", () => {
  const set = links();
  const standby = ready(set.add("standby", 0));
  const capacityLink = set.add("capacity-check", 0);
  assertEquals([set.standby, set.capacityCheck], [standby, capacityLink]);
  const old = set.main;
  set.promote(standby);
  assertEquals([set.main, old.role, set.drainingCount], [
    standby,
    "draining",
    1,
  ]);
  assertEquals([set.standby, set.isMainUsable], [undefined, true]);
});

test("Link set: links may be removed while the set is iterated", () => {
  const set = links();
  for (let i = 0; i < 3; i++) set.add("pool", 0);
  let seen = 0;
  for (const link of set) {
    seen++;
    if (link.role === "pool") set.remove(link);
  }
  assertEquals([seen, [...set].length], [4, 1]);
});

test("Link set: finds a usable link that has a given role and passes a test", () => {
  const set = links();
  const [first, second] = [set.add("pool", 0), set.add("pool", 0)];
  assertEquals(set.hasUsable("pool"), false);
  ready(second);
  ready(set.main);
  assertEquals(set.findUsable("pool", () => true), second);
  assertEquals(set.findUsable("pool", (link) => link === first), undefined);
  assertEquals(set.findUsable("main", () => true), set.main);
});

/**
 * The role of a request, and a function that prepares the links. It returns the
 * link that the request then waits for; `undefined` if there is none.
 */
const BLOCKING: [
  what: string,
  role: LinkRole,
  prepare: (set: LinkSet) => Link | undefined,
][] = [
  ["the main link, if nothing is ready", "pool", (set) => {
    set.add("pool", 0);
    return set.main;
  }],
  ["the standby, if there is one", "main", (set) => set.add("standby", 0)],
  ["none, if a pool link is ready", "pool", (set) => {
    ready(set.main);
    ready(set.add("pool", 0));
    return undefined;
  }],
  ["the pool link that is refused", "pool", (set) => {
    ready(set.main);
    const failed = set.add("pool", 0);
    failed.dial(0);
    set.disconnect(failed, { reason: "x" }, 1);
    const refused = set.add("pool", 0);
    refused.dial(0);
    set.disconnect(refused, { reason: "HTTP 401", isRefused: true }, 1);
    return refused;
  }],
  ["the pool link that has failed", "pool", (set) => {
    ready(set.main);
    set.add("pool", 0);
    const failed = set.add("pool", 0);
    failed.dial(0);
    set.disconnect(failed, { reason: "x" }, 1);
    return failed;
  }],
];
for (const [what, role, prepare] of BLOCKING) {
  test(`Link set: requests of the ${role} role wait for ${what}`, () => {
    const set = links();
    const expected = prepare(set);
    assertEquals(set.blockingLink(role)?.connectionId, expected?.connectionId);
  });
}

test("Link set: no outage is counted while an open connection waits for the client's first message, nor while the link is ready", () => {
  const set = links();
  assertEquals([set.downSince, set.disconnectedSince], [0, 0]);
  set.main.dial(1);
  set.main.onOpen(1);
  assertEquals(
    set.downSince,
    Infinity,
    "the client must send the first request",
  );
  set.main.onHandshakeSent(2);
  set.main.becomeReady(3);
  assertEquals(set.downSince, Infinity);
  set.disconnect(set.main, { reason: "x" }, 9);
  assertEquals([set.downSince, set.disconnectedSince], [9, 9]);
});

test("Link set: a suspect link is not usable, but still connected", () => {
  const set = links();
  ready(set.main);
  const { liveness } = set.main;
  liveness!.onFirstCallSent(0);
  set.main.markSuspect(10_000, 0);
  assertEquals([set.isMainUsable, set.downSince, set.disconnectedSince], [
    ...[false, 10_000, Infinity],
  ]);
});
