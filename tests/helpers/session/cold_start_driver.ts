/**
 * Helpers for tests of sessions whose client starts before the daemon, or uses
 * the stateless protocol (MCP 2026-07-28, without `initialize`).
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { assertEquals } from "../assert.ts";
import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
} from "../../../lib/cache/cache.ts";
import { type Json, SessionDriver } from "./session_driver.ts";

/** A version whose clients send `initialize`, and a daemon's result. */
export const INITIALIZE_VERSION = "2025-06-18";
export const INITIALIZE_RESULT_TEXT =
  '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"x":1.0}';

/** Sends `initialize` as the client. Returns what the client gets at once. */
export function requestInitialize(
  driver: SessionDriver,
  version: string = INITIALIZE_VERSION,
): Json[] {
  driver.request("init", "initialize", { protocolVersion: version });
  return driver.sentToClient();
}

/** Connects the daemon, which answers the replayed `initialize`. */
export function connectDaemon(
  driver: SessionDriver,
  result: Json = JSON.parse(INITIALIZE_RESULT_TEXT),
): void {
  driver.open();
  const { id } = driver.sentToDaemon().findLast((it) =>
    it.method === "initialize"
  );
  driver.fromDaemon({ id, result });
}

/** Takes the effects. Returns the last saved cache among them, if any. */
export function savedCache(driver: SessionDriver): CachedResults | undefined {
  const effect = driver.takeEffects().findLast(({ type }) =>
    type === "save-cache"
  );
  return effect?.type === "save-cache" ? effect.results : undefined;
}

/** Takes the effects. Returns the last saved cache, or an empty one. */
export function lastSavedCache(driver: SessionDriver): CachedResults {
  return savedCache(driver) ?? EMPTY_CACHED_RESULTS;
}

/** Requests a page of tools as the client, and answers it as the daemon. */
export function requestToolPage(
  driver: SessionDriver,
  cursor: string | undefined,
  name: string,
  nextCursor?: string,
  description: string = "",
): void {
  driver.request("p", "tools/list", cursor === undefined ? {} : { cursor });
  const tools = [{ name, description }];
  driver.fromDaemon({
    id: "p",
    result: { tools, ...(nextCursor && { nextCursor }) },
  });
}

/** The stateless version, and the `_meta` that its clients send. */
export const STATELESS_VERSION = "2026-07-28";
export const STATELESS_META = {
  "io.modelcontextprotocol/protocolVersion": STATELESS_VERSION,
  "io.modelcontextprotocol/clientCapabilities": {},
};
export const SUBSCRIPTION_ID_KEY = "io.modelcontextprotocol/subscriptionId";
export const DISCOVER_RESULT = {
  resultType: "complete",
  supportedVersions: [STATELESS_VERSION],
  capabilities: { tools: {} },
  ttlMs: 60_000,
  cacheScope: "public",
};

/** Sends a stateless request as the client. */
export function requestStateless(
  driver: SessionDriver,
  id: Json,
  method: string,
  params = {},
): void {
  driver.request(id, method, { ...params, _meta: STATELESS_META });
}

/** Returns a session whose client and daemon completed `server/discover`. */
export function connectStateless(
  config: Partial<SessionConfig> = {},
): SessionDriver {
  const driver = new SessionDriver(config);
  driver.open();
  requestStateless(driver, "d", "server/discover");
  driver.fromDaemon({ id: "d", result: DISCOVER_RESULT });
  driver.takeEffects();
  return driver;
}

/** Acknowledges a subscription as the daemon. */
export function acknowledgeSubscription(
  driver: SessionDriver,
  id: Json = 0,
  notifications: Json = undefined,
): void {
  const method = "notifications/subscriptions/acknowledged";
  const _meta = { [SUBSCRIPTION_ID_KEY]: id };
  driver.fromDaemon({ method, params: { _meta, notifications } });
}

/** Returns a stateless session that has a subscription with the id 0. */
export function connectSubscribed(
  config: Partial<SessionConfig> = {},
  notifications: Json = { toolsListChanged: true },
): SessionDriver {
  const driver = connectStateless(config);
  requestStateless(driver, 0, "subscriptions/listen", { notifications });
  acknowledgeSubscription(driver);
  driver.takeEffects();
  return driver;
}

/** A cached tool list in the stateless format. */
export const OLD_LIST =
  '{"resultType":"complete","tools":[{"name":"old"}],"ttlMs":0,"cacheScope":"public"}';

/** A cached tool list. */
export const TOOLS_RESULT = '{"tools":[{"name":"look","size":1.0}]}';

/** The cached results of a daemon: `initialize` and the tool list. */
export const CACHED_RESULTS: CachedResults = {
  initialize: { [INITIALIZE_VERSION]: INITIALIZE_RESULT_TEXT },
  lists: { "tools/list": TOOLS_RESULT },
};

/** Opens the next connection, and answers the opening probe as the daemon. */
export function reconnectStateless(driver: SessionDriver): void {
  driver.advanceToNextDial();
  driver.open();
  const { id, method, params } = driver.sentToDaemon().at(-1);
  assertEquals(method, "server/discover");
  assertEquals(
    params._meta["io.modelcontextprotocol/protocolVersion"],
    STATELESS_VERSION,
  );
  driver.fromDaemon({ id, result: DISCOVER_RESULT });
}
