/**
 * Tracks which tools are safe to call twice, according to the hints in the
 * daemon's tool list (`readOnlyHint`, `idempotentHint`; MCP, server/tools).
 *
 * @module
 */

import { nextCursorOf } from "../protocol/methods.ts";
import { isRecord } from "../protocol/jsonrpc.ts";
import type { ToolAnnotations, Unvalidated } from "../protocol/mcp_types.ts";

/** A tool's hint; `unknown` while an incomplete list does not have the tool. */
export type ToolHint = "idempotent" | "not-idempotent" | "unknown";

class ToolList {
  readonly tools = new Map<string, boolean>();
  isRequested = false;
  hasFirstPage = false;
  isComplete = false;
}

/** The hints from the tool lists of all connections. */
export class ToolHints {
  readonly #latestByTool = new Map<string, boolean>();
  readonly #byConnection = new Map<number, ToolList>();

  /** Records a page of the tool list; the first page has no cursor. */
  onToolsPage(
    connectionId: number,
    cursor: string | undefined,
    result: unknown,
  ): void {
    const toolList = this.#toolListOf(connectionId);
    if (cursor === undefined) {
      toolList.tools.clear();
      toolList.hasFirstPage = true;
    }
    const page = isRecord(result) ? result.tools : undefined;
    for (const tool of Array.isArray(page) ? page as unknown[] : []) {
      if (!isRecord(tool) || typeof tool.name !== "string") continue;
      const hints: Unvalidated<ToolAnnotations> = isRecord(tool.annotations)
        ? tool.annotations
        : {};
      const isIdempotentTool = hints.readOnlyHint === true ||
        hints.idempotentHint === true;
      toolList.tools.set(tool.name, isIdempotentTool);
      this.#latestByTool.set(tool.name, isIdempotentTool);
    }
    const isLast = isRecord(result) && nextCursorOf(result) === undefined;
    toolList.isComplete = isLast && toolList.hasFirstPage;
  }

  /** Records that the proxy requests no further page on a connection. */
  onListEnd(connectionId: number): void {
    const toolList = this.#toolListOf(connectionId);
    toolList.isComplete = toolList.hasFirstPage;
  }

  /** Returns true if the latest hint from any connection allows two calls. */
  isIdempotent(tool: string): boolean {
    return this.#latestByTool.get(tool) ?? false;
  }

  /** Returns the hint of a connection's tool list for a tool. */
  hintOf(connectionId: number, tool: string): ToolHint {
    const toolList = this.#byConnection.get(connectionId);
    const isIdempotentTool = toolList?.tools.get(tool);
    if (isIdempotentTool !== undefined) {
      return isIdempotentTool ? "idempotent" : "not-idempotent";
    }
    return toolList?.isComplete ? "not-idempotent" : "unknown";
  }

  /** Records that the tool list was requested on a connection. */
  onListRequested(connectionId: number): void {
    this.#toolListOf(connectionId).isRequested = true;
  }

  /** Returns true if the tool list was requested on a connection. */
  isListRequested(connectionId: number): boolean {
    return this.#byConnection.get(connectionId)?.isRequested ?? false;
  }

  /** Drops the tool list of a connection that ended. */
  onDisconnect(connectionId: number): void {
    this.#byConnection.delete(connectionId);
  }

  #toolListOf(connectionId: number): ToolList {
    const toolList = this.#byConnection.get(connectionId) ?? new ToolList();
    this.#byConnection.set(connectionId, toolList);
    return toolList;
  }
}
