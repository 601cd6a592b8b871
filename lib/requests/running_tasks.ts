/**
 * The tasks that go on after the requests that made them were answered (MCP
 * 2025-11-25, tasks): their progress is still for the client.
 *
 * @module
 */

import type { PendingRequest } from "./entry.ts";
import { getNested, type Id } from "../protocol/jsonrpc.ts";
import type { TaskStatus } from "../protocol/mcp_types.ts";

/** How many are remembered; the oldest are forgotten first. */
const MAX_RUNNING_TASKS = 100;

/** How a task stands when nothing more comes of it. */
const ENDED: readonly TaskStatus[] = ["completed", "failed", "cancelled"];

interface RunningTask {
  readonly id: string;
  readonly connectionId: number;
}

/** The tasks that are under way, by their progress tokens. */
export class RunningTasks {
  readonly #open = new Map<Id, RunningTask>();

  /** A request was answered on a link: it may have made a task, or show that one has ended. */
  onResponse(
    { message, progressToken }: PendingRequest,
    result: unknown,
    connectionId: number,
  ): void {
    const id = getNested(result, "task", "taskId");
    const isTaskRequested = getNested(message.params, "task") !== undefined;
    if (
      progressToken !== undefined && isTaskRequested && typeof id === "string"
    ) {
      const [oldest] = this.#open.keys();
      if (this.#open.size >= MAX_RUNNING_TASKS) this.#open.delete(oldest!);
      this.#open.set(progressToken, { id, connectionId });
      return;
    }
    const { method } = message;
    if (method === "tasks/get" || method === "tasks/cancel") {
      this.onTaskStatus(result);
    }
    if (method !== "tasks/result") return;
    // It waits for the end.
    this.onTaskStatus({
      taskId: getNested(message.params, "taskId"),
      status: "completed",
    });
  }

  /** The daemon tells how a task stands. */
  onTaskStatus(state: unknown): void {
    const status = getNested(state, "status");
    if (!ENDED.some((end) => end === status)) return;
    for (const [token, { id }] of this.#open) {
      if (id === getNested(state, "taskId")) this.#open.delete(token);
    }
  }

  /** Whether a progress value belongs to a task that was made on the same link. */
  matchesProgress(
    token: Id | undefined,
    value: unknown,
    connectionId: number,
  ): boolean {
    const task = token === undefined ? undefined : this.#open.get(token);
    return task?.connectionId === connectionId && typeof value === "number";
  }
}
