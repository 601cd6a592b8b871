/**
 * Tests what `doctor` reports about the number of connections that a daemon
 * keeps for a client.
 *
 * @module
 */

import {
  connectionsCheck,
  type ConnectionsFinding,
  proxyConnectionsCheck,
} from "../../../../lib/commands/doctor/connections_checks.ts";
import { assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { proxyStatus, WAITING } from "../../../helpers/running_proxies.ts";

const KNOWN: [known: ConnectionsFinding, state: string, says: RegExp][] = [
  [
    { from: "setting", connections: "one" },
    "ok",
    /^the daemon keeps one connection for a client, because --connections is set/,
  ],
  [
    { from: "setting", connections: "many" },
    "ok",
    /^the daemon keeps several connections for a client, because --connections is set/,
  ],
  [
    { from: "cache", connections: "one", validForMs: 3 * 86_400_000 },
    "ok",
    /^the daemon keeps one connection for a client, according to the cache \(valid for another 3 d\)/,
  ],
  [
    { from: "capacity-check", connections: "one" },
    "ok",
    /^one connection for a client is assumed: doctor opened a second one, and the daemon did not answer on both at the same time$/m,
  ],
  [
    { from: "capacity-check", connections: "many" },
    "ok",
    /^the daemon keeps several connections for a client: doctor opened two, and both were answered$/m,
  ],
  [
    { from: "capacity-check", connections: "unknown" },
    "skip",
    /^it is unknown whether .*: doctor did not test a second one \(the daemon's first answer took more than 150 ms, or probes are off\)$/m,
  ],
  [
    { from: "capacity-check", connections: "unknown", problem: "it closed" },
    "skip",
    / doctor did not test a second one \(it closed\)$/m,
  ],
];

for (const [known, state, says] of KNOWN) {
  test(`Connections check: reports the finding: ${JSON.stringify(known)}`, () => {
    const check = connectionsCheck(known);
    assertEquals([check.name, check.state], ["connections", state]);
    assertMatch(check.text, says);
    assertMatch(
      check.text,
      /\nit is unknown whether the daemon answers during calls: doctor calls no tool/,
    );
    assertEquals(check.data, { ...known, answersDuringCalls: null });
  });
}

test("Connections check: an exai daemon has a connection for each call", () => {
  const known: ConnectionsFinding = { from: "dialect", connections: "many" };
  const words = "each call has a connection of its own: the dialect is exai";
  assertEquals(connectionsCheck(known).text, words);
  const exai = proxyStatus({ dialect: "exai" });
  assertEquals(proxyConnectionsCheck([exai], "auto").text, words);
});

test("Connections check: reports the findings of running proxies", () => {
  const ignorant = proxyConnectionsCheck([proxyStatus()], "auto");
  assertEquals(ignorant.state, "skip");
  assertMatch(
    ignorant.text,
    /^it is unknown .*; one is assumed\nit is unknown whether .* calls: /,
  );
  const standing = WAITING;
  const proxies = [
    proxyStatus({
      pid: 1,
      connectionState: standing,
      connections: "many",
      answersDuringCalls: true,
    }),
    proxyStatus({ pid: 2 }),
    proxyStatus({ pid: 3, connections: "one" }),
  ];
  const { state, text, data } = proxyConnectionsCheck(proxies, "auto");
  assertEquals(state, "ok");
  assertEquals(text.split("\n"), [
    "the daemon keeps one connection for a client, says proxy 3",
    "it answers during calls, says proxy 1",
  ]);
  assertEquals(data, {
    ...{ from: "proxy", pid: 3, connections: "one", answersDuringCalls: true },
  });
  const slow = proxyStatus({ connections: "many", answersDuringCalls: false });
  const set = proxyConnectionsCheck([slow], "many");
  assertMatch(set.text, /it does not answer during calls, says proxy 7$/m);
  assertMatch(set.text, /\ndoctor itself runs with --connections many$/);
  assertEquals(set.data?.set, "many");
});
