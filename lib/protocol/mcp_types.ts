/**
 * The names and shapes of MCP as its SDKs have them, so that `deno check` finds
 * a method, a capability or an error code that is misspelled here. The imports
 * are of types only: nothing of an SDK is in the program. Where Deno does not
 * find them, they are `any` and fit everything; the lines in the test of this
 * file that must not fit show it.
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
 * A method that MCP does not know. TypeScript has no type for every text but a
 * few; this one overlaps with no name of MCP's, so that it is an error to
 * compare a method with a misspelled name.
 */
export type OtherMethod = `${string} ${string}`;

/** The method of any message; `initialized` is an old name. */
export type Method =
  | RequestMethod
  | NotificationMethod
  | "initialized"
  | OtherMethod;

/** What goes with a method. */
export type Params<Method extends RequestMethod | NotificationMethod> = Extract<
  McpRequest | McpNotification,
  { readonly method: Method }
>["params"];

/** A value of a peer's whose members nobody has looked at; their names are those of the type. */
export type Unproved<T> = { readonly [Name in keyof T]?: unknown };

/** The names of a type's members, without those that may be any text. */
export type NameIn<T> = keyof {
  [Name in keyof T as string extends Name ? never : Name]: T[Name];
};

/** A capability of a server. */
export type ServerCapability = keyof Spec.ServerCapabilities;

/** The result of `initialize`. */
export type InitializeResult = Spec.InitializeResult;

/** The result of `tools/call`. */
export type CallToolResult = Spec.CallToolResult;

/** What a daemon says of a tool. */
export type ToolAnnotations = Spec.ToolAnnotations;

/** How a task stands. */
export type TaskStatus = Spec.TaskStatus;

/** What the results of the requests for lists have. */
export type ListResults = {
  "tools/list": Spec.ListToolsResult;
  "prompts/list": Spec.ListPromptsResult;
  "resources/list": Spec.ListResourcesResult;
  "resources/templates/list": Spec.ListResourceTemplatesResult;
};

/** An id as MCP has it. */
export type RequestId = Spec.RequestId;

/** The codes of JSON-RPC's errors, by the names that they have here. */
export interface ErrorCodes {
  /** The text is no JSON. */
  readonly parseError: typeof Spec.PARSE_ERROR;
  /** The JSON is no request. */
  readonly invalidRequest: typeof Spec.INVALID_REQUEST;
  /** There is no such method. */
  readonly methodNotFound: typeof Spec.METHOD_NOT_FOUND;
  /** The method does not take these parameters. */
  readonly invalidParams: typeof Spec.INVALID_PARAMS;
  /** Something is wrong with the one who was asked. */
  readonly internal: typeof Spec.INTERNAL_ERROR;
}

/** The names in `_meta` that the revision of 2026-07-28 has. */
export const META = {
  protocolVersion: "io.modelcontextprotocol/protocolVersion",
  clientCapabilities: "io.modelcontextprotocol/clientCapabilities",
  clientInfo: "io.modelcontextprotocol/clientInfo",
  subscriptionId: "io.modelcontextprotocol/subscriptionId",
} as const satisfies {
  readonly protocolVersion: typeof Modern.PROTOCOL_VERSION_META_KEY;
  readonly clientCapabilities: typeof Modern.CLIENT_CAPABILITIES_META_KEY;
  readonly clientInfo: typeof Modern.CLIENT_INFO_META_KEY;
  readonly subscriptionId: typeof Modern.SUBSCRIPTION_ID_META_KEY;
};
