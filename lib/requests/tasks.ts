/**
 * The tasks that go on after the requests that made them were answered (MCP
 * 2025-11-25, tasks): their progress is still for the client.
 *
 * @module
 */

import type { Owed } from "./entry.ts";
import { dig, type Id } from "../protocol/jsonrpc.ts";
import type { TaskStatus } from "../protocol/mcp_types.ts";

/** How many are remembered; the oldest are forgotten first. */
const TASK_LIMIT = 100;

/** How a task stands when nothing more comes of it. */
const ENDED: readonly TaskStatus[] = ["completed", "failed", "cancelled"];

interface Task {
  readonly id: string;
  readonly epoch: number;
}

/** The tasks that are under way, by their progress tokens. */
export class Tasks {
  readonly #open = new Map<Id, Task>();

  /** A request was answered on a link: it may have made a task, or show that one has ended. */
  answered(
    { message, token }: Owed,
    result: unknown,
    epoch: number,
  ): void {
    const id = dig(result, "task", "taskId");
    const isMade = dig(message.params, "task") !== undefined;
    if (token !== undefined && isMade && typeof id === "string") {
      const [oldest] = this.#open.keys();
      if (this.#open.size >= TASK_LIMIT) this.#open.delete(oldest!);
      this.#open.set(token, { id, epoch });
      return;
    }
    const { method } = message;
    if (method === "tasks/get" || method === "tasks/cancel") this.heard(result);
    if (method !== "tasks/result") return;
    // It waits for the end.
    this.heard({ taskId: dig(message.params, "taskId"), status: "completed" });
  }

  /** The daemon tells how a task stands. */
  heard(state: unknown): void {
    const status = dig(state, "status");
    if (!ENDED.some((end) => end === status)) return;
    for (const [token, { id }] of this.#open) {
      if (id === dig(state, "taskId")) this.#open.delete(token);
    }
  }

  /** Whether a progress value belongs to a task that was made on the same link. */
  progress(token: Id | undefined, value: unknown, epoch: number): boolean {
    const task = token === undefined ? undefined : this.#open.get(token);
    return task?.epoch === epoch && typeof value === "number";
  }
}
