/**
 * Tracks tasks that continue after the requests that created them were answered
 * (MCP 2025-11-25, tasks): their progress still goes to the client.
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

/** The running tasks by progress token. */
export class RunningTasks {
  readonly #byProgressToken = new Map<Id, RunningTask>();

  /** Records a response: it may create a task, or show that one has ended. */
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
      // It is answered only when the task has ended.
      const taskId = getMember(message.params, "taskId");
      this.onTaskStatus({ taskId, status: "completed" });
    }
  }

  /** Records a task status from the daemon. */
  onTaskStatus(state: unknown): void {
    const status = getMember(state, "status");
    if (!FINAL_STATUSES.some((end) => end === status)) return;
    const taskId = getMember(state, "taskId");
    for (const [token, { id }] of this.#byProgressToken) {
      if (id === taskId) this.#byProgressToken.delete(token);
    }
  }

  /** Whether a progress value belongs to a task of the same connection. */
  matchesProgress(
    token: Id | undefined,
    value: unknown,
    connectionId: number,
  ): boolean {
    return token !== undefined && typeof value === "number" &&
      this.#byProgressToken.get(token)?.connectionId === connectionId;
  }
}
