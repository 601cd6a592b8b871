/**
 * Notifications that are dropped: the log tells few of many, and how many.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const NOTE: Json = { method: "notifications/x" };

/** The counts in the log since the last look; 1 for a line without one. */
function counts(scene: Scene): string[] {
  return scene.take().flatMap((effect) => {
    if (effect.type !== "log" || effect.event !== "dropped-notification") {
      return [];
    }
    assert(effect.message.startsWith("Dropped notifications/x: "));
    return [/\((.*)\)$/.exec(effect.message)?.[1] ?? "1"];
  });
}

/** A daemon that is away, and a queue that is full. */
function full(): Scene {
  const scene = new Scene({ queueLimit: 2 });
  scene.start();
  scene.close();
  for (let i = 0; i < 2; i++) scene.client(NOTE);
  scene.take();
  return scene;
}

test("Dropped notifications: 20,000 give five log lines, the last one with the count at the end", () => {
  const scene = full();
  for (let i = 0; i < 20_000; i++) scene.client(NOTE);
  const tens = [10, 100, 1000, 10_000].map((it) =>
    `${it} notifications so far`
  );
  assertEquals(counts(scene), ["1", ...tens]);
  scene.end("signal");
  scene.end("signal");
  assertEquals(counts(scene), ["20000 notifications in all"]);
});

test("Dropped notifications: once the queue is sent, the count is logged and starts anew", () => {
  const scene = full();
  for (let i = 0; i < 3; i++) scene.client(NOTE);
  assertEquals(counts(scene), ["1"]);
  scene.pass(1_000);
  scene.again();
  scene.client(NOTE);
  assertEquals(counts(scene), ["3 notifications in all"]);
  scene.close();
  for (let i = 0; i < 3; i++) scene.client(NOTE);
  assertEquals(counts(scene), ["1"]);
});

test("Dropped notifications: a single one gives one log line", () => {
  const scene = full();
  scene.client(NOTE);
  scene.pass(1_000);
  scene.again();
  scene.client(NOTE);
  assertEquals(counts(scene), ["1"]);
});

test("Dropped notifications: those that exceed the queue timeout are logged in the same way", () => {
  const scene = new Scene({ queueLimit: Infinity });
  scene.start();
  scene.close();
  for (let i = 0; i < 1_000; i++) scene.client(NOTE);
  scene.take();
  scene.pass(100_000);
  assertEquals(counts(scene), [
    "1",
    "10 notifications so far",
    "100 notifications so far",
    "1000 notifications so far",
  ]);
});
