/**
 * Which tools may be called twice, as the daemon says it (`readOnlyHint`,
 * `idempotentHint`; MCP, server/tools).
 *
 * @module
 */

import { nextCursor } from "../protocol/lists.ts";
import { isRecord } from "../protocol/jsonrpc.ts";
import type { ToolAnnotations, Unproved } from "../protocol/mcp_types.ts";

/** What the daemon says of a tool on one connection; `unknown` as long as its list has not come. */
export type HintAnswer = "repeatable" | "once" | "unknown";

/** What was listed on one connection. */
interface Listed {
  readonly tools: Map<string, boolean>;
  isRequested: boolean;
  isBegun: boolean;
  isComplete: boolean;
}

/** What the daemon has said on the connections of this process. */
export class Hints {
  readonly #latest = new Map<string, boolean>();
  readonly #byEpoch = new Map<number, Listed>();

  /** A page of the daemon's tools came on a connection; without a cursor it is the first. */
  learn(epoch: number, cursor: string | undefined, result: unknown): void {
    const listed = this.#listed(epoch);
    if (cursor === undefined) {
      listed.tools.clear();
      listed.isBegun = true;
    }
    const page = isRecord(result) ? result.tools : undefined;
    for (const tool of Array.isArray(page) ? page as unknown[] : []) {
      if (!isRecord(tool) || typeof tool.name !== "string") continue;
      const hints: Unproved<ToolAnnotations> = isRecord(tool.annotations)
        ? tool.annotations
        : {};
      const isRepeatable = hints.readOnlyHint === true ||
        hints.idempotentHint === true;
      listed.tools.set(tool.name, isRepeatable);
      this.#latest.set(tool.name, isRepeatable);
    }
    const isLast = isRecord(result) &&
      nextCursor(result) === undefined;
    listed.isComplete = isLast && listed.isBegun;
  }

  /** No further page of the daemon's tools is asked for on a connection. */
  complete(epoch: number): void {
    const listed = this.#listed(epoch);
    listed.isComplete = listed.isBegun;
  }

  /** Whether the daemon said last that calling the tool twice does no more than calling it once. */
  isRepeatable(tool: string): boolean {
    return this.#latest.get(tool) ?? false;
  }

  /** The same as the daemon says it on a connection. */
  answer(epoch: number, tool: string): HintAnswer {
    const listed = this.#byEpoch.get(epoch);
    const isRepeatable = listed?.tools.get(tool);
    if (isRepeatable !== undefined) return isRepeatable ? "repeatable" : "once";
    return listed?.isComplete ? "once" : "unknown";
  }

  /** The daemon is asked for its tools on a connection. */
  requested(epoch: number): void {
    this.#listed(epoch).isRequested = true;
  }

  /** Whether the daemon is or was asked for its tools on a connection. */
  isRequested(epoch: number): boolean {
    return this.#byEpoch.get(epoch)?.isRequested ?? false;
  }

  /** A connection is over. */
  lost(epoch: number): void {
    this.#byEpoch.delete(epoch);
  }

  #listed(epoch: number): Listed {
    const tools = new Map<string, boolean>();
    const fresh = {
      tools,
      isRequested: false,
      isBegun: false,
      isComplete: false,
    };
    const listed = this.#byEpoch.get(epoch) ?? fresh;
    this.#byEpoch.set(epoch, listed);
    return listed;
  }
}
