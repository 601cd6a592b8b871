/**
 * Sessions whose daemon is away, and the ways in which dials and connections
 * end.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { SessionDriver } from "./session_driver.ts";

/** Returns a session whose connection has just been lost. */
export function startDown(config: Partial<SessionConfig> = {}): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.close();
  driver.takeEffects();
  return driver;
}

/** The ways in which a dial to a broken daemon ends. */
export const DIAL_ENDS: Readonly<
  Record<string, (driver: SessionDriver) => void>
> = {
  "refuses": (driver) => driver.failDial(),
  "resets": (driver) => {
    const { connectionId } = driver;
    const how = { code: 0, reason: "reset", mayHaveReachedServer: true };
    driver.handle({ type: "closed", connectionId, ...how });
  },
  "opens and closes": (driver) => {
    driver.open();
    driver.close();
  },
  "opens and closes with 1013": (driver) => {
    driver.open();
    driver.close(1013);
  },
  "sends garbage and closes": (driver) => {
    driver.open();
    driver.fromDaemon("garbage");
    driver.close(1002);
  },
  "answers initialize and closes": (driver) => {
    driver.reconnect();
    driver.close();
  },
};

/** Ends a dial as a daemon does that does not accept the token. */
export function refuseDial(driver: SessionDriver): void {
  driver.handle({
    type: "closed",
    connectionId: driver.connectionId,
    code: 0,
    reason: "HTTP 401",
    status: 401,
    mayHaveReachedServer: true,
  });
}

/** Ends the connection, because a message of the daemon is too large. */
export function closeOversized(driver: SessionDriver): void {
  driver.handle({
    type: "closed",
    connectionId: driver.connectionId,
    code: 0,
    reason: "the daemon sent a message that is too large to be received",
    mayHaveReachedServer: true,
    isOversized: true,
  });
}

/** Advances the time, while every dial ends in the given way. */
export function advanceWhileDialsFail(
  driver: SessionDriver,
  ms: number,
  end: (driver: SessionDriver) => void = DIAL_ENDS.refuses!,
): void {
  const until = driver.now + ms;
  for (;;) {
    const at = driver.session.deadline();
    if (at > until) break;
    const { length } = driver.dials;
    driver.advance(Math.max(0, at - driver.now));
    if (driver.dials.length > length) end(driver);
  }
  driver.advance(until - driver.now);
}

/** Advances the time, while the daemon sends a notification every 4 s. */
export function receiveForSeconds(
  driver: SessionDriver,
  seconds: number,
): void {
  const { connectionId } = driver;
  for (let s = 0; s < seconds; s += 4) {
    driver.advance(4_000);
    driver.fromDaemon(
      { method: "notifications/message", params: {} },
      connectionId,
    );
  }
}

/** Loses the connection, and makes the next one ready. */
export function loseAndReconnect(driver: SessionDriver): void {
  driver.close();
  driver.advance(260);
  driver.takeEffects();
  driver.reconnect();
}

/** Makes the next connection ready, and closes it after `ms` with `code`. */
export function closeAfter(
  driver: SessionDriver,
  ms: number = 200,
  code = 1000,
): void {
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.takeEffects();
  driver.advance(ms);
  driver.close(code);
}

/** Returns a session whose connection was closed twice, as if displaced. */
export function startDisplaced(
  config: Partial<SessionConfig> = {},
): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.close(1000);
  closeAfter(driver);
  return driver;
}
