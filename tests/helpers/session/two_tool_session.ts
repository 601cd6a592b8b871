/**
 * A session with two tools, long after its handshake, and what a daemon may
 * send instead of a response.
 *
 * @module
 */

import { assert } from "../assert.ts";
import { type Json, SessionDriver } from "./session_driver.ts";

/** An error that names no request. */
export const ERROR_WITHOUT_ID: Json = {
  id: null,
  error: { code: -32700, message: "Parse error" },
};

/** The tools: `look` only reads. */
export const LOOK_AND_WRITE: Json[] = [
  { name: "look", annotations: { readOnlyHint: true } },
  { name: "write" },
];

/** A response that is not JSON. */
export function malformedResponse(id: Json): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"x":NaN}}`;
}

/** A session with these tools. */
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

/** Sends a call whose leading probe is answered. */
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
    "it was not sent",
  );
  driver.takeEffects();
}

/** A session whose daemon has answered a number id with a string id. */
export function startRetypedIdSession(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(5_000);
  const { id } = driver.sentToDaemon().at(-1);
  driver.fromDaemon({ id: `${id}`, result: {} });
  driver.takeEffects();
  return driver;
}

/** Lets time pass while the daemon answers every ping. */
export function stayConnected(driver: SessionDriver, ms: number): void {
  for (let i = 0; i < ms / 250; i++) {
    driver.advance(250);
    driver.answerProbe();
  }
}

/** A new connection on which the request for the tools may be answered. */
export function reconnectWith(driver: SessionDriver, answer: Json): void {
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect();
  const list = driver.sentToDaemon().findLast(({ method }) =>
    method === "tools/list"
  );
  if (answer !== undefined) driver.fromDaemon({ id: list.id, ...answer });
}

/**
 * The ids and error codes of the responses to the client since `takeEffects`.
 */
export function codes(driver: SessionDriver): Json[] {
  return driver.sentToClient().filter(({ method }) => method === undefined)
    .map(({ id, error }) => [id, error?.code]);
}
