/**
 * A session with a call in flight on a connection that may be silent, and the
 * standby that is opened beside it.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/context.ts";
import { assert, assertEquals } from "../assert.ts";
import { type Json, Scene } from "./session_driver.ts";

/** The ids of the proxy's own pings on a connection since the last look. */
export function pings(scene: Scene, epoch: number): string[] {
  return scene.take().flatMap((effect) =>
    effect.type === "send" && effect.epoch === epoch
      ? [JSON.parse(effect.text)]
      : []
  ).filter(({ method }) => method === "ping").map(({ id }) => id);
}

/** The daemon answers a ping. */
export function pong(scene: Scene, id: Json, epoch: number): void {
  scene.daemon({ id, result: {} }, epoch);
}

/**
 * A call has run for 250 ms. The daemon has answered the probe before it; a
 * concurrent one also the probe during the call.
 */
export function calling(
  habit: "concurrent" | "serial",
  config: Partial<SessionConfig> = {},
): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.call("long", "write");
  const [before] = pings(scene, 1);
  pong(scene, before, 1);
  scene.pass(250);
  const [during] = pings(scene, 1);
  assert(during !== undefined, "250 ms after the call");
  if (habit === "concurrent") pong(scene, during, 1);
  return scene;
}

/** The standby opens and answers the first message; gives the id of its probe. */
export function greeted(scene: Scene): string {
  scene.open();
  const { id } = scene.sent().findLast(({ method }) => method === "initialize");
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.take();
  scene.daemon({ id, result });
  const said = scene.sent();
  assertEquals(said.map(({ method }) => method), ["ping"], "no initialized");
  scene.take();
  return said[0].id;
}

/** The standby answers two probes, 5 s apart. */
export function answering(scene: Scene): void {
  const { epoch } = scene;
  pong(scene, greeted(scene), epoch);
  scene.pass(4_999);
  assertEquals(pings(scene, epoch), []);
  scene.pass(1);
  const [second] = pings(scene, epoch);
  assert(second !== undefined, "a second probe, 5 s after the first answer");
  pong(scene, second, epoch);
}

/** Four connections drain, and a call is in flight on the fifth. */
export function draining(): Scene {
  const scene = new Scene();
  scene.start();
  for (let n = 1; n <= 4; n++) {
    scene.call(n, "write");
    scene.pong();
    scene.pass(10_000);
    answering(scene);
    scene.take();
  }
  scene.call(5, "write");
  scene.pong();
  return scene;
}
