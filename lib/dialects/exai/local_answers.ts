/**
 * What the exai dialect answers by itself, because its daemon knows no such
 * thing.
 *
 * @module
 */

import { agree } from "../../protocol/versions.ts";
import {
  Code,
  dig,
  failure,
  isRecord,
  type Request,
  success,
} from "../../protocol/jsonrpc.ts";
import type {
  InitializeResult,
  ListResults,
} from "../../protocol/mcp_types.ts";

/** The lists that are empty: the daemon has tools only. */
const EMPTY: Readonly<Record<string, unknown>> = {
  "ping": {},
  "resources/list": { resources: [] },
  "resources/templates/list": { resourceTemplates: [] },
  "prompts/list": { prompts: [] },
} satisfies Omit<ListResults, "tools/list"> & { readonly ping: object };

/** The answer to a request that the daemon need not see; `undefined` for one that it must. */
export function localAnswer(
  { id, method, params }: Request,
  server: { readonly name: string; readonly version: string },
): string | undefined {
  switch (method) {
    case "initialize": {
      const asked = dig(params, "protocolVersion");
      return success(
        id,
        {
          protocolVersion: agree(asked),
          capabilities: { tools: { listChanged: true } },
          serverInfo: server,
        } satisfies InitializeResult,
      );
    }
    case "tools/list":
      return undefined;
    case "tools/call": {
      const fault = faultOf(params);
      if (fault === undefined) return undefined;
      return failure(id, Code.invalidParams, `Invalid params: ${fault}`);
    }
    default:
      if (Object.hasOwn(EMPTY, method)) return success(id, EMPTY[method]);
      return failure(
        id,
        Code.methodNotFound,
        `Method not found: the exai daemon has tools only, not ${
          method.slice(0, 80)
        }`,
      );
  }
}

/** What keeps the daemon from understanding a call. */
function faultOf(params: unknown): string | undefined {
  const name = dig(params, "name");
  if (typeof name !== "string" || name === "") {
    return '"name" must be a string that is not empty (MCP, server/tools)';
  }
  const input = dig(params, "arguments") ?? undefined;
  if (input === undefined || isRecord(input)) return undefined;
  return '"arguments" must be an object (MCP, server/tools)';
}
