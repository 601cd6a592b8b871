/**
 * Helpers for sessions with a call in flight on a connection that may be
 * silent. The session opens a standby connection for such a call.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { assert, assertEquals } from "../assert.ts";
import { type Json, SessionDriver } from "./session_driver.ts";

/** Takes the effects. Returns the ids of the pings on a connection. */
export function pingIds(driver: SessionDriver, connectionId: number): string[] {
  return driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" && effect.connectionId === connectionId
      ? [JSON.parse(effect.text)]
      : []
  ).filter(({ method }) => method === "ping").map(({ id }) => id);
}

export function answerPing(
  driver: SessionDriver,
  id: Json,
  connectionId: number,
): void {
  driver.fromDaemon({ id, result: {} }, connectionId);
}

/**
 * Returns a session whose call was sent 250 ms ago. The daemon has answered the
 * probe before the call, and if it is concurrent, also the probe during the
 * call.
 */
export function startWithCall(
  habit: "concurrent" | "serial",
  config: Partial<SessionConfig> = {},
): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.callTool("long", "write");
  const [before] = pingIds(driver, 1);
  answerPing(driver, before, 1);
  driver.advance(250);
  const [during] = pingIds(driver, 1);
  assert(during !== undefined, "no probe 250 ms after the call");
  if (habit === "concurrent") answerPing(driver, during, 1);
  return driver;
}

/**
 * Opens the standby, and answers its `initialize`. Returns the id of its probe.
 */
export function openStandby(driver: SessionDriver): string {
  driver.open();
  const { id } = driver.sentToDaemon().findLast(({ method }) =>
    method === "initialize"
  );
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.takeEffects();
  driver.fromDaemon({ id, result });
  const sent = driver.sentToDaemon();
  assertEquals(
    sent.map(({ method }) => method),
    ["ping"],
    "only a ping, and no initialized",
  );
  driver.takeEffects();
  return sent[0].id;
}

/** Answers two probes on the standby, 5 s apart. */
export function answerTwiceOnStandby(driver: SessionDriver): void {
  const { connectionId } = driver;
  answerPing(driver, openStandby(driver), connectionId);
  driver.advance(4_999);
  assertEquals(pingIds(driver, connectionId), []);
  driver.advance(1);
  const [second] = pingIds(driver, connectionId);
  assert(second !== undefined, "no second probe 5 s after the first response");
  answerPing(driver, second, connectionId);
}

/** Returns a session with four draining connections and a call on a fifth. */
export function startWithFourDraining(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  for (let n = 1; n <= 4; n++) {
    driver.callTool(n, "write");
    driver.answerProbe();
    driver.advance(10_000);
    answerTwiceOnStandby(driver);
    driver.takeEffects();
  }
  driver.callTool(5, "write");
  driver.answerProbe();
  return driver;
}
