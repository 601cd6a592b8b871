/**
 * Tests the snapshot of a session: the state of the connection, and the
 * client's name.
 *
 * @module
 */

import {
  clientNameOf,
  type ConnectionState,
} from "../../../lib/session/snapshot.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

test("Snapshot: follows the states of a connection", () => {
  const driver = new SessionDriver();
  const seen = (): ConnectionState => driver.session.snapshot().connectionState;
  assertEquals(seen(), { phase: "dialing", attempt: 1 });
  driver.failDial();
  assertEquals(seen(), { phase: "waiting", attempt: 1, nextAt: 250 });
  driver.advanceToNextDial();
  driver.open();
  assertEquals(seen(), { phase: "open" });
  driver.request("init", "initialize", {
    protocolVersion: "2025-06-18",
    clientInfo: { name: "editor", version: "2" },
  });
  assertEquals(seen(), { phase: "handshaking", attempt: 2 });
  assertEquals(driver.session.snapshot().pendingRequests, 1);
  driver.fromDaemon({ id: "init", result: { protocolVersion: "2025-06-18" } });
  assertEquals(seen(), { phase: "ready", since: 250 });
  const { client, reconnects, lastError } = driver.session.snapshot();
  assertEquals([client, reconnects], ["editor 2", 0]);
  assertEquals(lastError, "nothing listens there");
  driver.handle({ type: "resumed", monotonicGapMs: 0, suspendedMs: 60_000 });
  assertEquals(seen().phase, "checking");
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  assertEquals(seen().phase, "ready");
  assertEquals(driver.session.snapshot().reconnects, 1);
});

const CLIENTS: [params: Json, name: string | undefined][] = [
  [{ clientInfo: { name: "a", version: "1" } }, "a 1"],
  [{ clientInfo: { name: "a", version: 1 } }, "a"],
  [{ _meta: { "io.modelcontextprotocol/clientInfo": { name: "b" } } }, "b"],
  [{ clientInfo: { name: "\x1b[2Ja\n\x07b\u009b" } }, " [2Ja b "],
  [{ clientInfo: { name: "x".repeat(99) } }, `${"x".repeat(60)}...`],
  [{ clientInfo: { name: 7 } }, undefined],
  [{ clientInfo: "a" }, undefined],
  [undefined, undefined],
];

for (const [params, name] of CLIENTS) {
  test(`Snapshot: the name of the client: ${JSON.stringify(params)?.slice(0, 80)}`, () => {
    const request = {
      kind: "request",
      id: "1",
      method: "ping",
      text: "",
    } as const;
    assertEquals(clientNameOf({ ...request, params }), name);
  });
}
