/**
 * A session whose daemon is away, and how its dials and connections end.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/context.ts";
import { Scene } from "./session_driver.ts";

/** A session whose daemon has just gone. */
export function down(config: Partial<SessionConfig> = {}): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.close();
  scene.take();
  return scene;
}

/** How a dial of a daemon that does not work ends. */
export const DIAL_ENDS: Readonly<Record<string, (scene: Scene) => void>> = {
  "refuses": (scene) => scene.refuse(),
  "resets": (scene) => {
    const { epoch } = scene;
    const how = { code: 0, reason: "reset", reached: true };
    scene.do({ type: "closed", epoch, ...how });
  },
  "opens and closes": (scene) => {
    scene.open();
    scene.close();
  },
  "opens and closes with 1013": (scene) => {
    scene.open();
    scene.close(1013);
  },
  "sends garbage and closes": (scene) => {
    scene.open();
    scene.daemon("garbage");
    scene.close(1002);
  },
  "answers initialize and closes": (scene) => {
    scene.again();
    scene.close();
  },
};

/** Lets time pass while every dial ends like this. */
export function pass(
  scene: Scene,
  ms: number,
  end: (scene: Scene) => void = DIAL_ENDS.refuses!,
): void {
  const until = scene.now + ms;
  for (let { length } = scene.dials; scene.now < until;) {
    scene.pass(Math.min(10, until - scene.now));
    if (scene.dials.length > length) end(scene);
    length = scene.dials.length;
  }
}

/** The connection lives for so many seconds. */
export function live(scene: Scene, seconds: number): void {
  const { epoch } = scene;
  for (let s = 0; s < seconds; s += 4) {
    scene.pass(4_000);
    scene.daemon({ method: "notifications/message", params: {} }, epoch);
  }
}

/** Loses the connection, and makes the next one ready. */
export function restart(scene: Scene): void {
  scene.close();
  scene.pass(260);
  scene.take();
  scene.again();
}

/** The next connection works for so long, and is closed with this code. */
export function taken(scene: Scene, ms: number = 200, code = 1000): void {
  scene.untilDial();
  scene.take();
  scene.again();
  scene.take();
  scene.pass(ms);
  scene.close(code);
}

/** A session whose connection was closed twice, as by another client. */
export function displaced(config: Partial<SessionConfig> = {}): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.close(1000);
  taken(scene);
  return scene;
}
