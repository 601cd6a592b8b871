/**
 * Takes the names and types of MCP from its SDKs, so that `deno check` finds
 * misspelled names. The program contains no SDK code. If Deno cannot resolve
 * the SDKs, the types are `any`. Then misspelled names compile, too, and `deno
 * check` fails, because the test of this file requires that they do not.
 *
 * @module
 */

import type * as Modern from "npm:@modelcontextprotocol/client@2.4.0";
import type * as Spec from "npm:@modelcontextprotocol/sdk@1.32.2/spec.types";

/** The requests of every revision, in both directions. */
export type McpRequest =
  | Spec.ClientRequest
  | Spec.ServerRequest
  | Modern.DiscoverRequest
  | Modern.SubscriptionsListenRequest;

/** The notifications of every revision, in both directions. */
export type McpNotification =
  | Spec.ClientNotification
  | Spec.ServerNotification
  | Modern.SubscriptionsAcknowledgedNotification;

/** The method of a request. */
export type RequestMethod = McpRequest["method"];

/** The method of a notification. */
export type NotificationMethod = McpNotification["method"];

/**
 * A method that MCP does not define. TypeScript cannot exclude a few strings
 * from `string`. So this type requires a space, which no MCP name has. Then it
 * is a type error to compare a method with a misspelled name.
 */
export type OtherMethod = `${string} ${string}`;

/** The method of any message. `initialized` is an old name. */
export type Method =
  | RequestMethod
  | NotificationMethod
  | "initialized"
  | OtherMethod;

/** The parameters of a method. */
export type Params<Method extends RequestMethod | NotificationMethod> = Extract<
  McpRequest | McpNotification,
  { readonly method: Method }
>["params"];

/** A value that may have the members of a type. They were not validated. */
export type Unvalidated<T> = { readonly [Name in keyof T]?: unknown };

/** The member names of a type or union, without index signatures. */
export type MemberNameOf<T> = T extends unknown ? keyof {
    [Name in keyof T as string extends Name ? never : Name]: T[Name];
  }
  : never;

/** The name of a member of parameters or results that this program reads. */
export type MemberName =
  | MemberNameOf<NonNullable<McpRequest["params"]>>
  | MemberNameOf<NonNullable<McpNotification["params"]>>
  | MemberNameOf<Params<"subscriptions/listen">["notifications"]>
  | MemberNameOf<
    Spec.ClientResult | Spec.ServerResult | Modern.DiscoverResult
  >
  | MemberNameOf<NonNullable<Spec.RequestParams["_meta"]>>
  | MemberNameOf<Spec.Implementation>
  | MemberNameOf<Spec.ServerCapabilities>
  | MemberNameOf<Spec.Task>
  | MemberNameOf<NonNullable<Spec.ServerCapabilities["tools"]>>
  | typeof META_KEYS[keyof typeof META_KEYS]
  // Cacheable results (MCP 2026-07-28), for which the SDK has no types.
  | "ttlMs"
  | "cacheScope";

/** A capability of a server. */
export type ServerCapability = keyof Spec.ServerCapabilities;

/** The result of `initialize`. */
export type InitializeResult = Spec.InitializeResult;

/** The result of `tools/call`. */
export type CallToolResult = Spec.CallToolResult;

/** The daemon's hints about a tool. */
export type ToolAnnotations = Spec.ToolAnnotations;

/** The status of a task. */
export type TaskStatus = Spec.TaskStatus;

/** The results of the list requests. */
export type ListResults = {
  "tools/list": Spec.ListToolsResult;
  "prompts/list": Spec.ListPromptsResult;
  "resources/list": Spec.ListResourcesResult;
  "resources/templates/list": Spec.ListResourceTemplatesResult;
};

/** An id in MCP: a string or a number. */
export type RequestId = Spec.RequestId;

/** The JSON-RPC error codes, by the names that this program uses. */
export type ErrorCodes = {
  readonly parseError: typeof Spec.PARSE_ERROR;
  readonly invalidRequest: typeof Spec.INVALID_REQUEST;
  readonly methodNotFound: typeof Spec.METHOD_NOT_FOUND;
  readonly invalidParams: typeof Spec.INVALID_PARAMS;
  readonly internal: typeof Spec.INTERNAL_ERROR;
};

/** The WebSocket subprotocol of MCP daemons (RFC 6455 section 1.9). */
export const MCP_SUBPROTOCOL = "mcp";

/** The member names in `_meta` that MCP 2026-07-28 defines. */
export const META_KEYS = {
  protocolVersion: "io.modelcontextprotocol/protocolVersion",
  clientCapabilities: "io.modelcontextprotocol/clientCapabilities",
  clientInfo: "io.modelcontextprotocol/clientInfo",
  subscriptionId: "io.modelcontextprotocol/subscriptionId",
  logLevel: "io.modelcontextprotocol/logLevel",
} as const satisfies {
  readonly protocolVersion: typeof Modern.PROTOCOL_VERSION_META_KEY;
  readonly clientCapabilities: typeof Modern.CLIENT_CAPABILITIES_META_KEY;
  readonly clientInfo: typeof Modern.CLIENT_INFO_META_KEY;
  readonly subscriptionId: typeof Modern.SUBSCRIPTION_ID_META_KEY;
  readonly logLevel: typeof Modern.LOG_LEVEL_META_KEY;
};
