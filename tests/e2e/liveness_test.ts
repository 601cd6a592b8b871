/**
 * Dead, busy, or only one at a time, with real processes. `deno task liveness`
 * has more kinds, longer calls and the figures.
 *
 * @module
 */

import { messageOf } from "../../lib/text/error_message.ts";
import { delay } from "@std/async/delay.js";
import { assert, assertEquals } from "../helpers/assert.ts";
import { type Cast, LiveScene } from "../helpers/liveness_process.ts";
import { test } from "../helpers/time_limit.ts";

/** Longer than silence is taken for life. */
const SLOW_MS = 12_000;
/** A probe before a call goes out at most so often. */
const LEAD_MS = 1_100;
/** How long a call may wait on a connection that is dead. Without a second connection it would be 600 s. */
const DEAD_MS = 15_000;

/** Plays a scene; gives an error its name. */
async function play(
  cast: Cast,
  act: (scene: LiveScene) => Promise<void>,
): Promise<void> {
  await using scene = await LiveScene.start(cast);
  try {
    await scene.open();
    await act(scene);
  } catch (error) {
    const log = scene.proxy.stderr.dump();
    throw new Error(`${cast.kind}: ${messageOf(error)}\n${log}`);
  }
}

/** What has become of the calls: `ID outcome executions`. */
function outcomes(scene: LiveScene): string[] {
  return scene.fates().map(({ id, outcome, begins }) =>
    `${id} ${outcome} ${begins.length}`
  );
}

/** A slow call is executed once and answered, and so is one that comes meanwhile. */
async function slow(scene: LiveScene): Promise<void> {
  const call = await scene.call("slow", "work", SLOW_MS);
  await scene.begun(call);
  await delay(2_000);
  await scene.did("second", "look");
  await scene.proxy.answer("slow");
  assertEquals(outcomes(scene), ["slow answered 1", "second answered 1"]);
}

/** Nobody dials while the daemon is at a call. */
async function undisturbed(scene: LiveScene): Promise<void> {
  await slow(scene);
  const events = scene.events().map(({ what }) => what);
  const during = events.slice(events.indexOf("begin work slow"));
  assertEquals(during.filter((what) => what === "open"), []);
  // The first, the second that was tried, and the first again.
  assert(scene.opened <= 3, `${scene.opened} connections`);
}

/** The connection dies while nothing is in flight on it, and nobody hears of it. */
async function halfOpen(scene: LiveScene): Promise<void> {
  for (const id of ["a", "b", "c"]) await scene.did(id, "work");
  await delay(LEAD_MS);
  scene.relay!.swallow();
  await scene.write([["look", "look", 0], ["work", "work", 0]]);
  await Promise.all(["look", "work"].map((id) => scene.proxy.answer(id)));
  const fates = scene.fates().slice(3);
  for (const { id, sentAt, answeredAt } of fates) {
    const ms = answeredAt! - sentAt;
    assert(ms <= DEAD_MS, `${id} has waited ${ms} ms`);
  }
  assertEquals(outcomes(scene).slice(3), [
    "look answered 1",
    "work answered 1",
  ]);
  await scene.did("after", "work");
}

test("Liveness: slow calls are executed once and answered, whatever else the daemon does, and a dead connection is recognized", async () => {
  await Promise.all([
    play({ kind: "serial" }, slow),
    play({ kind: "child-sync" }, slow),
    play({ kind: "displace" }, undisturbed),
    play({ kind: "refuse" }, undisturbed),
    play({
      kind: "concurrent",
      isRelayed: true,
      flags: ["--connections", "many"],
    }, halfOpen),
  ]);
});

test("Capacity: a daemon that answers on the newest connection only answers the first call", async () => {
  await play({ kind: "newest" }, async (scene) => {
    await scene.did("first", "work");
    await scene.did("second", "look");
    assertEquals(outcomes(scene), ["first answered 1", "second answered 1"]);
  });
});
