/**
 * Tasks, whose progress goes on after the response to their request.
 *
 * @module
 */

import { Tasks } from "../../../lib/requests/tasks.ts";
import { account } from "../../helpers/account.ts";
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

test("Tasks: progress counts only on the connection, with the token and with a number", () => {
  const tasks = new Tasks();
  const params = '{"task":{},"_meta":{"progressToken":"t"}}';
  const result = { task: { taskId: "T" } };
  tasks.answered(account(1, "tools/call", params), result, 7);
  assertEquals(
    ([['"t"', 1, 7], ['"t"', 1, 8], ["1", 1, 7], ['"t"', "1", 7]] as const)
      .map(([token, value, epoch]) => tasks.progress(token, value, epoch)),
    [true, false, false, false],
  );
  tasks.heard({ taskId: "other", status: "failed" });
  tasks.heard({ taskId: "T", status: "working" });
  assertEquals(tasks.progress('"t"', 1, 7), true);
  tasks.heard({ taskId: "T", status: "cancelled" });
  assertEquals(tasks.progress('"t"', 1, 7), false);
});

test("Tasks: of more than a hundred the oldest is forgotten", () => {
  const tasks = new Tasks();
  for (let i = 0; i <= 100; i++) {
    const params = `{"task":{},"_meta":{"progressToken":${i}}}`;
    const result = { task: { taskId: `T${i}` } };
    tasks.answered(account(i, "tools/call", params), result, 7);
  }
  assertEquals(["0", "1", "100"].map((token) => tasks.progress(token, 1, 7)), [
    ...[false, true, true],
  ]);
});
