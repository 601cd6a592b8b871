/**
 * Which tools may be called twice, as the daemon says it (`readOnlyHint`,
 * `idempotentHint`; MCP, server/tools).
 *
 * @module
 */

import { nextCursorOf } from "../protocol/lists.ts";
import { isRecord } from "../protocol/jsonrpc.ts";
import type { ToolAnnotations, Unproved } from "../protocol/mcp_types.ts";

/** What the daemon says of a tool on one connection; `unknown` as long as its list has not come. */
export type ToolHint = "idempotent" | "not-idempotent" | "unknown";

/** What was listed on one connection. */
interface ToolList {
  readonly tools: Map<string, boolean>;
  isRequested: boolean;
  hasFirstPage: boolean;
  isComplete: boolean;
}

/** What the daemon has said on the connections of this process. */
export class ToolHints {
  readonly #latestByTool = new Map<string, boolean>();
  readonly #byConnection = new Map<number, ToolList>();

  /** A page of the daemon's tools came on a connection; without a cursor it is the first. */
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
      const hints: Unproved<ToolAnnotations> = isRecord(tool.annotations)
        ? tool.annotations
        : {};
      const isIdempotentTool = hints.readOnlyHint === true ||
        hints.idempotentHint === true;
      toolList.tools.set(tool.name, isIdempotentTool);
      this.#latestByTool.set(tool.name, isIdempotentTool);
    }
    const isLast = isRecord(result) &&
      nextCursorOf(result) === undefined;
    toolList.isComplete = isLast && toolList.hasFirstPage;
  }

  /** No further page of the daemon's tools is asked for on a connection. */
  onListEnd(connectionId: number): void {
    const toolList = this.#toolListOf(connectionId);
    toolList.isComplete = toolList.hasFirstPage;
  }

  /** Whether the daemon said last that calling the tool twice does no more than calling it once. */
  isIdempotent(tool: string): boolean {
    return this.#latestByTool.get(tool) ?? false;
  }

  /** The same as the daemon says it on a connection. */
  hintOf(connectionId: number, tool: string): ToolHint {
    const toolList = this.#byConnection.get(connectionId);
    const isIdempotentTool = toolList?.tools.get(tool);
    if (isIdempotentTool !== undefined) {
      return isIdempotentTool ? "idempotent" : "not-idempotent";
    }
    return toolList?.isComplete ? "not-idempotent" : "unknown";
  }

  /** The daemon is asked for its tools on a connection. */
  onListRequested(connectionId: number): void {
    this.#toolListOf(connectionId).isRequested = true;
  }

  /** Whether the daemon is or was asked for its tools on a connection. */
  isListRequested(connectionId: number): boolean {
    return this.#byConnection.get(connectionId)?.isRequested ?? false;
  }

  /** A connection is over. */
  onDisconnect(connectionId: number): void {
    this.#byConnection.delete(connectionId);
  }

  #toolListOf(connectionId: number): ToolList {
    const tools = new Map<string, boolean>();
    const fresh = {
      tools,
      isRequested: false,
      hasFirstPage: false,
      isComplete: false,
    };
    const toolList = this.#byConnection.get(connectionId) ?? fresh;
    this.#byConnection.set(connectionId, toolList);
    return toolList;
  }
}
