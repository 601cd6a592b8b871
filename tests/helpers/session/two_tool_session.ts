/**
 * A session with two tools, long after its handshake, and what a daemon may say
 * instead of an answer.
 *
 * @module
 */

import { assert } from "../assert.ts";
import { type Json, Scene } from "./session_driver.ts";

/** An error that names no request. */
export const REFUSAL: Json = {
  id: null,
  error: { code: -32700, message: "Parse error" },
};

/** The tools: `look` only reads. */
export const TOOLS: Json[] = [
  { name: "look", annotations: { readOnlyHint: true } },
  { name: "write" },
];

/** An answer that is no JSON. */
export function broken(id: Json): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"x":NaN}}`;
}

/** Such a session. */
export function settled(config: Json = {}): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result: { tools: TOOLS } });
  scene.pass(5_000);
  scene.pong();
  scene.take();
  return scene;
}

/** Writes a call, whose leading probe is answered. */
export function call(scene: Scene, id: Json, tool: string, _meta?: Json): void {
  scene.pass(1_500);
  scene.call(id, tool, _meta);
  scene.pong();
  assert(scene.written().some((it) => it.id === id), "it was not written");
  scene.take();
}

/** A session whose daemon has answered a number with a text. */
export function retyping(): Scene {
  const scene = new Scene();
  scene.start();
  scene.pass(5_000);
  const { id } = scene.sent().at(-1);
  scene.daemon({ id: `${id}`, result: {} });
  scene.take();
  return scene;
}

/** Lets time pass while the daemon answers every ping. */
export function live(scene: Scene, ms: number): void {
  for (let i = 0; i < ms / 250; i++) {
    scene.pass(250);
    scene.pong();
  }
}

/** A new connection, on which the request for the tools may be answered. */
export function again(scene: Scene, answer: Json): void {
  scene.close();
  scene.untilDial();
  scene.again();
  const list = scene.sent().findLast(({ method }) => method === "tools/list");
  if (answer !== undefined) scene.daemon({ id: list.id, ...answer });
}

/** The responses to the client since the last look: ids and error codes. */
export function codes(scene: Scene): Json[] {
  return scene.replies().filter(({ method }) => method === undefined)
    .map(({ id, error }) => [id, error?.code]);
}
