/**
 * The stage for early starts and for the stateless era: a client that opens in
 * either way, and the daemon that is there at last.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/context.ts";
import { assertEquals } from "../assert.ts";
import { NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import { type Json, Scene } from "./session_driver.ts";

/** A version whose clients say `initialize`, and what a daemon answers. */
export const VERSION = "2025-06-18";
export const RESULT =
  '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"x":1.0}';

/** The client says `initialize`; gives what it is answered at once. */
export function hello(scene: Scene, version: string = VERSION): Json[] {
  scene.ask("init", "initialize", { protocolVersion: version });
  return scene.replies();
}

/** The daemon is there at last and answers the replayed `initialize`. */
export function appear(scene: Scene, result: Json = JSON.parse(RESULT)): void {
  scene.open();
  const { id } = scene.sent().findLast((it) => it.method === "initialize");
  scene.daemon({ id, result });
}

/** What is to be kept since the last look. */
export function kept(scene: Scene): Remembered | undefined {
  const effect = scene.take().findLast(({ type }) => type === "remember");
  return effect?.type === "remember" ? effect.learned : undefined;
}

/** What is to be kept, if anything is. */
export function learned(scene: Scene): Remembered {
  return kept(scene) ?? NOTHING;
}

/** The client requests a page of tools, and gets it. */
export function page(
  scene: Scene,
  cursor: string | undefined,
  name: string,
  nextCursor?: string,
  description: string = "",
): void {
  scene.ask("p", "tools/list", cursor === undefined ? {} : { cursor });
  const tools = [{ name, description }];
  scene.daemon({
    id: "p",
    result: { tools, ...(nextCursor && { nextCursor }) },
  });
}

/** The version that knows no `initialize`, and how its clients name it. */
export const MODERN = "2026-07-28";
export const META = {
  "io.modelcontextprotocol/protocolVersion": MODERN,
  "io.modelcontextprotocol/clientCapabilities": {},
};
export const SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId";
export const DISCOVERED = {
  resultType: "complete",
  supportedVersions: [MODERN],
  capabilities: { tools: {} },
  ttlMs: 60_000,
  cacheScope: "public",
};

/** The client asks something in the stateless era. */
export function ask(scene: Scene, id: Json, method: string, params = {}): void {
  scene.ask(id, method, { ...params, _meta: META });
}

/** A client that has discovered its daemon. */
export function discovered(config: Partial<SessionConfig> = {}): Scene {
  const scene = new Scene(config);
  scene.open();
  ask(scene, "d", "server/discover");
  scene.daemon({ id: "d", result: DISCOVERED });
  scene.take();
  return scene;
}

/** The daemon acknowledges a subscription. */
export function acknowledge(
  scene: Scene,
  id: Json = 0,
  notifications: Json = undefined,
): void {
  const method = "notifications/subscriptions/acknowledged";
  const _meta = { [SUBSCRIPTION]: id };
  scene.daemon({ method, params: { _meta, notifications } });
}

/** A client that has subscribed under id 0. */
export function listening(
  config: Partial<SessionConfig> = {},
  notifications: Json = { toolsListChanged: true },
): Scene {
  const scene = discovered(config);
  ask(scene, 0, "subscriptions/listen", { notifications });
  acknowledge(scene);
  scene.take();
  return scene;
}

/** A list of tools of the stateless era, as it is cached. */
export const OLD_LIST =
  '{"resultType":"complete","tools":[{"name":"old"}],"ttlMs":0,"cacheScope":"public"}';

/** A list of tools, as it is cached. */
export const TOOLS_RESULT = '{"tools":[{"name":"look","size":1.0}]}';

/** What is cached of a daemon: its `initialize` and its tools. */
export const REMEMBERED: Remembered = {
  initialize: { [VERSION]: RESULT },
  lists: { "tools/list": TOOLS_RESULT },
};

/** The next link opens and the daemon answers the probe that opens it. */
export function again(scene: Scene): void {
  scene.untilDial();
  scene.open();
  const { id, method, params } = scene.sent().at(-1);
  assertEquals(method, "server/discover");
  assertEquals(
    params._meta["io.modelcontextprotocol/protocolVersion"],
    MODERN,
  );
  scene.daemon({ id, result: DISCOVERED });
}
