/**
 * Tests tasks, whose progress continues after the response to their request.
 *
 * @module
 */

import { RunningTasks } from "../../../lib/requests/running_tasks.ts";
import type { Response } from "../../../lib/protocol/jsonrpc.ts";
import { testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

function responseWith(result: Json): Response {
  return { kind: "response", id: "1", result, error: undefined, text: "" };
}

/**
 * Starts a task whose client has received the progress 1. `progress` sends
 * another value, and returns the messages that the client gets.
 */
function startTask(params: Json = { task: {} }): {
  driver: SessionDriver;
  progress: (value: number) => Json[];
} {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "tools/call", { ...params, _meta: { progressToken: "t" } });
  const progress = (value: number): Json[] => {
    driver.takeEffects();
    const progressParams = { progressToken: "t", progress: value };
    driver.fromDaemon({
      method: "notifications/progress",
      params: progressParams,
    });
    return driver.sentToClient();
  };
  progress(1);
  driver.fromDaemon({
    id: 1,
    result: { task: { taskId: "T", status: "working" } },
  });
  return { driver, progress };
}

test("Tasks: progress goes on after the request was answered", () => {
  const { progress } = startTask();
  assertEquals([1, 2, 2, 3].map((value) => progress(value).length), [
    ...[1, 1, 1, 1],
  ]);
  assertEquals(
    startTask({}).progress(2),
    [],
    "a request without a task has none",
  );
});

const TASK_ENDS: [what: string, end: (driver: SessionDriver) => void][] = [
  ["a final status", (driver) => {
    const params = { taskId: "T", status: "failed" };
    driver.fromDaemon({ method: "notifications/tasks/status", params });
  }],
  ["tasks/get", (driver) => {
    driver.request(2, "tasks/get", { taskId: "T" });
    driver.fromDaemon({ id: 2, result: { taskId: "T", status: "completed" } });
  }],
  ["tasks/result", (driver) => {
    driver.request(2, "tasks/result", { taskId: "T" });
    driver.fromDaemon({ id: 2, result: { content: [] } });
  }],
];

for (const [what, end] of TASK_ENDS) {
  test(`Tasks: progress stops after ${what}`, () => {
    const { driver, progress } = startTask();
    const params = { taskId: "T", status: "working" };
    driver.fromDaemon({ method: "notifications/tasks/status", params });
    assertEquals(progress(2).length, 1);
    end(driver);
    assertEquals(progress(3), []);
  });
}

test("Tasks: progress stops when the daemon is lost", () => {
  const { driver, progress } = startTask();
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect();
  assertEquals(progress(2), []);
});

test("Tasks: progress counts only with the task's connection and token, and with a number", () => {
  const tasks = new RunningTasks();
  const params = '{"task":{},"_meta":{"progressToken":"t"}}';
  const response = responseWith({ task: { taskId: "T" } });
  tasks.onResponse(testEntry(1, "tools/call", params), response, 7);
  assertEquals(
    ([['"t"', 1, 7], ['"t"', 1, 8], ["1", 1, 7], ['"t"', "1", 7]] as const)
      .map(([token, value, connectionId]) =>
        tasks.matchesProgress(token, value, connectionId)
      ),
    [true, false, false, false],
  );
  tasks.onTaskStatus({ taskId: "other", status: "failed" });
  tasks.onTaskStatus({ taskId: "T", status: "working" });
  assertEquals(tasks.matchesProgress('"t"', 1, 7), true);
  tasks.onTaskStatus({ taskId: "T", status: "cancelled" });
  assertEquals(tasks.matchesProgress('"t"', 1, 7), false);
});

test("Tasks: if there are more than a hundred, the oldest one is dropped", () => {
  const tasks = new RunningTasks();
  for (let i = 0; i <= 100; i++) {
    const params = `{"task":{},"_meta":{"progressToken":${i}}}`;
    const response = responseWith({ task: { taskId: `T${i}` } });
    tasks.onResponse(testEntry(i, "tools/call", params), response, 7);
  }
  assertEquals(
    ["0", "1", "100"].map((token) => tasks.matchesProgress(token, 1, 7)),
    [
      ...[false, true, true],
    ],
  );
});
