/**
 * Compares our names for MCP with its SDKs by the types: if a line is expected
 * to be an error and is none, `deno check` fails.
 *
 * @module
 */

import { SUPPORTED_PROTOCOL_VERSIONS } from "@modelcontextprotocol/client";
import type { ToolResult } from "../../../lib/dialects/exai/frames.ts";
import {
  buildNotification,
  buildRequest,
  ErrorCode,
  getMember,
} from "../../../lib/protocol/jsonrpc.ts";
import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { mayTakeLong, usesInitialize } from "../../../lib/protocol/methods.ts";
import type {
  CallToolResult,
  ErrorCodes,
  InitializeResult,
  Method,
  NotificationMethod,
  RequestMethod,
  ServerCapability,
  TaskStatus,
  ToolAnnotations,
  Unvalidated,
} from "../../../lib/protocol/mcp_types.ts";
import { META_KEYS } from "../../../lib/protocol/mcp_types.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** Never called: it only has to compile. */
export function misspelled(
  { method }: Request,
  hints: Unvalidated<ToolAnnotations>,
): unknown {
  switch (method) {
    case "tools/call":
    case "server/discover":
    case "subscriptions/listen":
    case "tasks/result":
      return 1;
    // @ts-expect-error It is prompts/get.
    case "prompt/get":
      return 2;
  }
  return [
    method === "initialize",
    // @ts-expect-error It is initialize.
    method === "initialise",
    mayTakeLong("ping"),
    // @ts-expect-error It is ping.
    mayTakeLong("pinge"),
    buildRequest("1", "tools/list"),
    // @ts-expect-error It is tools/list.
    buildRequest("1", "tool/list"),
    // @ts-expect-error A notification is no request.
    buildRequest("1", "notifications/cancelled"),
    // @ts-expect-error A cursor is a text.
    buildRequest("1", "tools/list", { cursor: 1 }),
    buildNotification("notifications/resources/updated", { uri: "" }),
    // @ts-expect-error It is notifications/resources/updated.
    buildNotification("notifications/resource/updated", { uri: "" }),
    // @ts-expect-error It is uri.
    buildNotification("notifications/resources/updated", { url: "" }),
    hints.readOnlyHint,
    // @ts-expect-error It is readOnlyHint.
    hints.readonlyHint,
    // @ts-expect-error It is tools/list.
    "tools/List" satisfies Method,
    // @ts-expect-error It is a notification.
    "notifications/progress" satisfies RequestMethod,
    // @ts-expect-error It is a request.
    "ping" satisfies NotificationMethod,
    "resources" satisfies ServerCapability,
    // @ts-expect-error It is resources.
    "resource" satisfies ServerCapability,
    // @ts-expect-error It is cancelled.
    "canceled" satisfies TaskStatus,
    // @ts-expect-error It is -32601.
    { methodNotFound: -32600 } satisfies Partial<ErrorCodes>,
    getMember({}, "_meta", "progressToken"),
    // @ts-expect-error It is progressToken.
    getMember({}, "_meta", "progresToken"),
    getMember({}, "capabilities", "tools", "listChanged"),
    // @ts-expect-error It is serverInfo.
    getMember({}, "serverinfo"),
    {
      protocolVersion: "",
      // @ts-expect-error It is listChanged.
      capabilities: { tools: { listChange: true } },
      serverInfo: { name: "", version: "" },
    } satisfies InitializeResult,
  ];
}

/** Never called, too: the exai dialect's results must be MCP results. */
export function results(found: ToolResult): CallToolResult {
  return { ...found };
}

test("protocol: every version that the SDK's initialize knows is known", () => {
  assertEquals(
    SUPPORTED_PROTOCOL_VERSIONS.filter((it) => !usesInitialize(it)),
    [],
  );
});

test("protocol: of the names in _meta and the codes there is one text each", () => {
  const texts = [
    ...Object.values(META_KEYS),
    ...Object.values(ErrorCode).map(String),
  ];
  assertEquals(new Set(texts).size, texts.length);
});
