/**
 * The responses that the exai dialect gives itself, because its daemon does not
 * know the requests.
 *
 * @module
 */

import { negotiateVersion } from "../../protocol/versions.ts";
import {
  buildErrorResponse,
  buildResultResponse,
  ErrorCode,
  getMember,
  isRecord,
  type Request,
} from "../../protocol/jsonrpc.ts";
import type {
  InitializeResult,
  ListResults,
} from "../../protocol/mcp_types.ts";

/** The results that are always empty: the daemon has tools only. */
const EMPTY_RESULTS: Readonly<Record<string, unknown>> = {
  "ping": {},
  "resources/list": { resources: [] },
  "resources/templates/list": { resourceTemplates: [] },
  "prompts/list": { prompts: [] },
} satisfies Omit<ListResults, "tools/list"> & { readonly ping: object };

/**
 * Builds the response to a request that need not reach the daemon; `undefined`
 * if it must.
 */
export function buildLocalResponse(
  { id, method, params }: Request,
  server: { readonly name: string; readonly version: string },
): string | undefined {
  switch (method) {
    case "initialize": {
      const requestedVersion = getMember(params, "protocolVersion");
      return buildResultResponse(
        id,
        {
          protocolVersion: negotiateVersion(requestedVersion),
          capabilities: { tools: { listChanged: true } },
          serverInfo: server,
        } satisfies InitializeResult,
      );
    }
    case "tools/list":
      return undefined;
    case "tools/call": {
      const reason = invalidParamsReason(params);
      if (reason === undefined) return undefined;
      return buildErrorResponse(
        id,
        ErrorCode.invalidParams,
        `Invalid params: ${reason}`,
      );
    }
    default:
      if (Object.hasOwn(EMPTY_RESULTS, method)) {
        return buildResultResponse(id, EMPTY_RESULTS[method]);
      }
      return buildErrorResponse(
        id,
        ErrorCode.methodNotFound,
        `Method not found: the exai daemon has tools only, not ${
          method.slice(0, 80)
        }`,
      );
  }
}

/**
 * Returns why the daemon could not understand a call; `undefined` if it can.
 */
function invalidParamsReason(params: unknown): string | undefined {
  const name = getMember(params, "name");
  if (typeof name !== "string" || name === "") {
    return '"name" must be a string that is not empty (MCP, server/tools)';
  }
  const input = getMember(params, "arguments") ?? undefined;
  if (input === undefined || isRecord(input)) return undefined;
  return '"arguments" must be an object (MCP, server/tools)';
}
