/**
 * Tracks tasks that continue after the requests that created them were answered
 * (MCP 2025-11-25, tasks): their progress still goes to the client.
 *
 * @module
 */

import type { PendingRequest } from "./entry.ts";
import { getMember, type Id } from "../protocol/jsonrpc.ts";
import type { TaskStatus } from "../protocol/mcp_types.ts";

/** How many tasks are tracked; the oldest are dropped first. */
const MAX_RUNNING_TASKS = 100;

/** The final statuses of a task. */
const FINAL_STATUSES: readonly TaskStatus[] = [
  "completed",
  "failed",
  "cancelled",
];

interface RunningTask {
  readonly id: string;
  readonly connectionId: number;
}

/** The running tasks by progress token. */
export class RunningTasks {
  readonly #byProgressToken = new Map<Id, RunningTask>();

  /**
   * Records the response to a request: it may have created a task, or show that
   * one has ended.
   */
  onResponse(
    { message, progressToken }: PendingRequest,
    result: unknown,
    connectionId: number,
  ): void {
    const id = getMember(result, "task", "taskId");
    const isTaskRequested = getMember(message.params, "task") !== undefined;
    if (
      progressToken !== undefined && isTaskRequested && typeof id === "string"
    ) {
      const [oldest] = this.#byProgressToken.keys();
      if (this.#byProgressToken.size >= MAX_RUNNING_TASKS) {
        this.#byProgressToken.delete(oldest!);
      }
      this.#byProgressToken.set(progressToken, { id, connectionId });
      return;
    }
    const { method } = message;
    if (method === "tasks/get" || method === "tasks/cancel") {
      this.onTaskStatus(result);
    }
    if (method !== "tasks/result") return;
    // `tasks/result` is answered only when the task has ended.
    this.onTaskStatus({
      taskId: getMember(message.params, "taskId"),
      status: "completed",
    });
  }

  /** Records a task status from the daemon. */
  onTaskStatus(state: unknown): void {
    const status = getMember(state, "status");
    if (!FINAL_STATUSES.some((end) => end === status)) return;
    for (const [token, { id }] of this.#byProgressToken) {
      if (id === getMember(state, "taskId")) {
        this.#byProgressToken.delete(token);
      }
    }
  }

  /**
   * Whether a progress value belongs to a task that was created on the same
   * connection.
   */
  matchesProgress(
    token: Id | undefined,
    value: unknown,
    connectionId: number,
  ): boolean {
    const task = token === undefined
      ? undefined
      : this.#byProgressToken.get(token);
    return task?.connectionId === connectionId && typeof value === "number";
  }
}
