/**
 * Tests that the names of MCP are type-checked with the types of its SDKs. If a
 * line with `@ts-expect-error` has no error, `deno check` fails.
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
import {
  mayKeepDaemonBusy,
  usesInitialize,
} from "../../../lib/protocol/methods.ts";
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

/** Contains misspelled names. It is only type-checked, and never called. */
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
    // @ts-expect-error The name is `prompts/get`.
    case "prompt/get":
      return 2;
  }
  return [
    method === "initialize",
    // @ts-expect-error The name is `initialize`.
    method === "initialise",
    mayKeepDaemonBusy("ping"),
    // @ts-expect-error The name is `ping`.
    mayKeepDaemonBusy("pinge"),
    buildRequest("1", "tools/list"),
    // @ts-expect-error The name is `tools/list`.
    buildRequest("1", "tool/list"),
    // @ts-expect-error A notification is not a request.
    buildRequest("1", "notifications/cancelled"),
    // @ts-expect-error A cursor is a string.
    buildRequest("1", "tools/list", { cursor: 1 }),
    buildNotification("notifications/resources/updated", { uri: "" }),
    // @ts-expect-error The name is `notifications/resources/updated`.
    buildNotification("notifications/resource/updated", { uri: "" }),
    // @ts-expect-error The name is `uri`.
    buildNotification("notifications/resources/updated", { url: "" }),
    hints.readOnlyHint,
    // @ts-expect-error The name is `readOnlyHint`.
    hints.readonlyHint,
    // @ts-expect-error The name is `tools/list`.
    "tools/List" satisfies Method,
    // @ts-expect-error `notifications/progress` is a notification.
    "notifications/progress" satisfies RequestMethod,
    // @ts-expect-error `ping` is a request.
    "ping" satisfies NotificationMethod,
    "resources" satisfies ServerCapability,
    // @ts-expect-error The name is `resources`.
    "resource" satisfies ServerCapability,
    // @ts-expect-error The name is `cancelled`.
    "canceled" satisfies TaskStatus,
    // @ts-expect-error The code is -32601.
    { methodNotFound: -32600 } satisfies Partial<ErrorCodes>,
    getMember({}, "_meta", "progressToken"),
    // @ts-expect-error The name is `progressToken`.
    getMember({}, "_meta", "progresToken"),
    getMember({}, "capabilities", "tools", "listChanged"),
    // @ts-expect-error The name is `serverInfo`.
    getMember({}, "serverinfo"),
    {
      protocolVersion: "",
      // @ts-expect-error The name is `listChanged`.
      capabilities: { tools: { listChange: true } },
      serverInfo: { name: "", version: "" },
    } satisfies InitializeResult,
  ];
}

/** Checks that the exai dialect's results are MCP results. Never called. */
export function results(found: ToolResult): CallToolResult {
  return { ...found };
}

test("protocol: knows every version that the SDK can initialize with", () => {
  assertEquals(
    SUPPORTED_PROTOCOL_VERSIONS.filter((it) => !usesInitialize(it)),
    [],
  );
});

test("protocol: each name in _meta and each error code has one definition", () => {
  const texts = [
    ...Object.values(META_KEYS),
    ...Object.values(ErrorCode).map(String),
  ];
  assertEquals(new Set(texts).size, texts.length);
});
