/**
 * Tracks running tasks (MCP 2025-11-25, tasks). A task continues after the
 * response to the request that created it, and so does its progress. The client
 * must get this progress although the request is no longer pending.
 *
 * @module
 */

import type { PendingRequest } from "./request_state.ts";
import { getMember, type Id, type Response } from "../protocol/jsonrpc.ts";
import type { TaskStatus } from "../protocol/mcp_types.ts";

const MAX_RUNNING_TASKS = 100;

const FINAL_STATUSES: readonly TaskStatus[] = [
  "completed",
  "failed",
  "cancelled",
];

interface RunningTask {
  readonly id: string;
  readonly connectionId: number;
}

/** The running tasks, by the progress token of the request. */
export class RunningTasks {
  readonly #byProgressToken = new Map<Id, RunningTask>();

  /** Records a response that may create a task, or show the end of a task. */
  onResponse(
    { message, progressToken }: PendingRequest,
    response: Response,
    connectionId: number,
  ): void {
    const isTaskRequested = progressToken !== undefined &&
      getMember(message.params, "task") !== undefined;
    const id = isTaskRequested
      ? getMember(response.result, "task", "taskId")
      : undefined;
    if (isTaskRequested && typeof id === "string") {
      const [oldest] = this.#byProgressToken.keys();
      if (this.#byProgressToken.size >= MAX_RUNNING_TASKS) {
        this.#byProgressToken.delete(oldest!);
      }
      this.#byProgressToken.set(progressToken, { id, connectionId });
      return;
    }
    const { method } = message;
    if (method === "tasks/get" || method === "tasks/cancel") {
      this.onTaskStatus(response.result);
    } else if (method === "tasks/result") {
      // The daemon answers `tasks/result` only after the end of the task.
      const taskId = getMember(message.params, "taskId");
      this.onTaskStatus({ taskId, status: "completed" });
    }
  }

  /** Records a task's status from the daemon; drops a task that has ended. */
  onTaskStatus(state: unknown): void {
    const status = getMember(state, "status");
    if (!FINAL_STATUSES.some((end) => end === status)) return;
    const taskId = getMember(state, "taskId");
    for (const [token, { id }] of this.#byProgressToken) {
      if (id === taskId) this.#byProgressToken.delete(token);
    }
  }

  /** Returns true if this is progress of a running task on the connection. */
  matchesProgress(
    token: Id | undefined,
    value: unknown,
    connectionId: number,
  ): boolean {
    return token !== undefined && typeof value === "number" &&
      this.#byProgressToken.get(token)?.connectionId === connectionId;
  }
}
