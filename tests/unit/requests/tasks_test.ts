/**
 * Tasks, whose progress goes on after the response to their request.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

/** A task of a client that has heard of its progress up to 1, and how it goes on. */
function task(params: Json = { task: {} }): {
  scene: Scene;
  progress: (value: number) => Json[];
} {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "tools/call", { ...params, _meta: { progressToken: "t" } });
  const progress = (value: number): Json[] => {
    scene.take();
    const told = { progressToken: "t", progress: value };
    scene.daemon({ method: "notifications/progress", params: told });
    return scene.replies();
  };
  progress(1);
  scene.daemon({ id: 1, result: { task: { taskId: "T", status: "working" } } });
  return { scene, progress };
}

test("Tasks: progress goes on after the request was answered", () => {
  const { progress } = task();
  assertEquals([1, 2, 2, 3].map((value) => progress(value).length), [
    ...[1, 1, 1, 1],
  ]);
  assertEquals(task({}).progress(2), [], "who asked for no task has none");
});

const TASK_ENDS: [what: string, end: (scene: Scene) => void][] = [
  ["a status", (scene) => {
    const params = { taskId: "T", status: "failed" };
    scene.daemon({ method: "notifications/tasks/status", params });
  }],
  ["tasks/get", (scene) => {
    scene.ask(2, "tasks/get", { taskId: "T" });
    scene.daemon({ id: 2, result: { taskId: "T", status: "completed" } });
  }],
  ["tasks/result", (scene) => {
    scene.ask(2, "tasks/result", { taskId: "T" });
    scene.daemon({ id: 2, result: { content: [] } });
  }],
];

for (const [what, end] of TASK_ENDS) {
  test(`Tasks: progress stops after ${what}`, () => {
    const { scene, progress } = task();
    const params = { taskId: "T", status: "working" };
    scene.daemon({ method: "notifications/tasks/status", params });
    assertEquals(progress(2).length, 1);
    end(scene);
    assertEquals(progress(3), []);
  });
}

test("Tasks: progress stops when the daemon is lost", () => {
  const { scene, progress } = task();
  scene.close();
  scene.untilDial();
  scene.again();
  assertEquals(progress(2), []);
});
