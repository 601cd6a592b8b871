/**
 * Helpers for sessions that know two tools, some time after the handshake, and
 * for invalid responses of daemons.
 *
 * @module
 */

import { assert } from "../assert.ts";
import { type Json, SessionDriver } from "./session_driver.ts";

/** An error without an id, which belongs to no request. */
export const ERROR_WITHOUT_ID: Json = {
  id: null,
  error: { code: -32700, message: "Parse error" },
};

/** The tools. `look` only reads. */
export const LOOK_AND_WRITE: Json[] = [
  { name: "look", annotations: { readOnlyHint: true } },
  { name: "write" },
];

/** Returns a response that is not JSON. */
export function malformedResponse(id: Json): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"x":NaN}}`;
}

/** Returns a session that knows the two tools. */
export function startTwoToolSession(config: Json = {}): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.request("list", "tools/list");
  driver.fromDaemon({ id: "list", result: { tools: LOOK_AND_WRITE } });
  driver.advance(5_000);
  driver.answerProbe();
  driver.takeEffects();
  return driver;
}

/** Sends a call, and answers the probe in front of it. */
export function sendCall(
  driver: SessionDriver,
  id: Json,
  tool: string,
  _meta?: Json,
): void {
  driver.advance(1_500);
  driver.callTool(id, tool, _meta);
  driver.answerProbe();
  assert(
    driver.sentExceptProbes().some((it) => it.id === id),
    "the call was not sent",
  );
  driver.takeEffects();
}

/** Returns a session whose daemon has answered a number id with a string id. */
export function startRetypedIdSession(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(5_000);
  const { id } = driver.sentToDaemon().at(-1);
  driver.fromDaemon({ id: `${id}`, result: {} });
  driver.takeEffects();
  return driver;
}

/** Advances the time, while the daemon answers every ping. */
export function answerPingsFor(driver: SessionDriver, ms: number): void {
  for (let i = 0; i < ms / 250; i++) {
    driver.advance(250);
    driver.answerProbe();
  }
}

/**
 * Reconnects. Answers the proxy's `tools/list` if `answer` is not undefined.
 */
export function reconnectWith(driver: SessionDriver, answer: Json): void {
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect();
  const list = driver.sentToDaemon().findLast(({ method }) =>
    method === "tools/list"
  );
  if (answer !== undefined) driver.fromDaemon({ id: list.id, ...answer });
}

/** Returns the ids and error codes of the responses since `takeEffects`. */
export function responseCodes(driver: SessionDriver): Json[] {
  return driver.sentToClient().filter(({ method }) => method === undefined)
    .map(({ id, error }) => [id, error?.code]);
}
