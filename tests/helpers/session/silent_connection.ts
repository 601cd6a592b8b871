/**
 * A session with a call in flight on a connection that may be silent, and the
 * standby that is opened beside it.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { assert, assertEquals } from "../assert.ts";
import { type Json, SessionDriver } from "./session_driver.ts";

/** The ids of the proxy's pings on a connection since `takeEffects`. */
export function pingIds(driver: SessionDriver, connectionId: number): string[] {
  return driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" && effect.connectionId === connectionId
      ? [JSON.parse(effect.text)]
      : []
  ).filter(({ method }) => method === "ping").map(({ id }) => id);
}

/** The daemon answers a ping. */
export function answerPing(
  driver: SessionDriver,
  id: Json,
  connectionId: number,
): void {
  driver.fromDaemon({ id, result: {} }, connectionId);
}

/**
 * A call has run for 250 ms. The daemon has answered the probe before it. A
 * concurrent daemon has also answered the probe during the call.
 */
export function startCall(
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
  assert(during !== undefined, "250 ms after the call");
  if (habit === "concurrent") answerPing(driver, during, 1);
  return driver;
}

/**
 * The standby opens and answers the first message. Returns the id of its probe.
 */
export function openSecond(driver: SessionDriver): string {
  driver.open();
  const { id } = driver.sentToDaemon().findLast(({ method }) =>
    method === "initialize"
  );
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.takeEffects();
  driver.fromDaemon({ id, result });
  const sent = driver.sentToDaemon();
  assertEquals(sent.map(({ method }) => method), ["ping"], "no initialized");
  driver.takeEffects();
  return sent[0].id;
}

/** The standby answers two probes, 5 s apart. */
export function answerTwiceOnSecond(driver: SessionDriver): void {
  const { connectionId } = driver;
  answerPing(driver, openSecond(driver), connectionId);
  driver.advance(4_999);
  assertEquals(pingIds(driver, connectionId), []);
  driver.advance(1);
  const [second] = pingIds(driver, connectionId);
  assert(second !== undefined, "a second probe, 5 s after the first answer");
  answerPing(driver, second, connectionId);
}

/** Four connections drain, and a call is in flight on the fifth. */
export function startWithFourDraining(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  for (let n = 1; n <= 4; n++) {
    driver.callTool(n, "write");
    driver.answerProbe();
    driver.advance(10_000);
    answerTwiceOnSecond(driver);
    driver.takeEffects();
  }
  driver.callTool(5, "write");
  driver.answerProbe();
  return driver;
}
