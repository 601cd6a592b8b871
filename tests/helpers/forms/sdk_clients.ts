/**
 * Wraps the SDK's clients of both versions in one interface. It sends requests
 * for a test, and records what the client receives.
 *
 * @module
 */

import { Client as ClientTwo } from "@modelcontextprotocol/client";
import { StdioClientTransport as StdioTwo } from "@modelcontextprotocol/client/stdio";
import { Client as ClientOne } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as StdioOne } from "@modelcontextprotocol/sdk/client/stdio.js";
import {
  EmptyResultSchema,
  ListRootsRequestSchema,
  ListToolsResultSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import type { Json, MessageForm } from "./form_helpers.ts";
import { proxyCommandForClient } from "../process.ts";

export type SdkVersion = "v1" | "v2";

/** How long a client waits for a response, in milliseconds. */
export const RESPONSE_TIMEOUT_MS = 30_000;

export interface CallOptions {
  readonly onprogress?: (progress: number) => void;
  /**
   * How long the client waits for the next progress notification or the
   * response, in milliseconds.
   */
  readonly timeout?: number;
}

/** A client of the SDK, and the proxy that the client has started. */
export class SdkClient {
  readonly #client: Json;
  readonly #version: SdkVersion;
  readonly #transport: Json;
  #changed = Promise.withResolvers<void>();
  /** The number of `tools/list_changed` notifications that it received. */
  listChanges = 0;
  /** The errors of the SDK about messages that it did not accept. */
  readonly errors: string[] = [];
  log = "";

  constructor(
    version: SdkVersion,
    flags: string[],
    form: Pick<MessageForm, "fromClient" | "toClient"> = {},
  ) {
    this.#version = version;
    const [command, args] = proxyCommandForClient(flags);
    const env = {
      NO_COLOR: "1",
      ALWAYSUP_CACHE: "off",
      ALWAYSUP_STATUS: "off",
    };
    const server = { command, args, env, stderr: "pipe" } as const;
    const clientInfo = { name: "forms", version: "1" };
    const capabilities = { roots: {} };
    const roots = (): Json => ({ roots: [{ uri: "file:///forms" }] });
    const changed = (): void => {
      this.listChanges++;
      this.#notify();
    };
    if (version === "v1") {
      const stdio = new StdioOne(server);
      const client: Json = new ClientOne(clientInfo, { capabilities });
      client.setRequestHandler(ListRootsRequestSchema, roots);
      client.setNotificationHandler(ToolListChangedNotificationSchema, changed);
      [this.#client, this.#transport] = [
        client,
        transformMessages(stdio, form),
      ];
    } else {
      const stdio = new StdioTwo(server);
      const client: Json = new ClientTwo(clientInfo, { capabilities });
      client.setRequestHandler("roots/list", roots);
      client.setNotificationHandler(
        "notifications/tools/list_changed",
        changed,
      );
      [this.#client, this.#transport] = [
        client,
        transformMessages(stdio, form),
      ];
    }
    this.#client.onerror = (error: Error) => this.errors.push(error.message);
    this.#transport.stderr.on("data", (chunk: Uint8Array) => {
      this.log += new TextDecoder().decode(chunk);
      this.#notify();
    });
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async connect(): Promise<void> {
    await this.#client.connect(this.#transport, {
      timeout: RESPONSE_TIMEOUT_MS,
    });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #request(method: string, params: Json, schema: Json): Promise<Json> {
    const options = { timeout: RESPONSE_TIMEOUT_MS };
    const request = { method, ...(params && { params }) };
    return await (this.#version === "v1"
      ? this.#client.request(request, schema, options)
      : this.#client.request(request, options));
  }

  async ping(): Promise<void> {
    await this.#request("ping", undefined, EmptyResultSchema);
  }

  async setLevel(level: string): Promise<void> {
    await this.#request("logging/setLevel", { level }, EmptyResultSchema);
  }

  /**
   * Returns the names of all tools from all pages. Stops at a repeated cursor
   * and at an empty cursor.
   */
  async toolNames(): Promise<string[]> {
    const names: string[] = [];
    const cursors = new Set<string>();
    let cursor: string | undefined;
    do {
      const params = { ...(cursor !== undefined && { cursor }) };
      const page = await this.#request(
        "tools/list",
        params,
        ListToolsResultSchema,
      );
      names.push(...page.tools.map(({ name }: Json) => name));
      if (cursor !== undefined) cursors.add(cursor);
      cursor = page.nextCursor;
    } while (cursor && !cursors.has(cursor));
    return names;
  }

  async callTool(
    name: string,
    input: Json = {},
    { onprogress, timeout = RESPONSE_TIMEOUT_MS }: CallOptions = {},
  ): Promise<Json> {
    const call = { name, arguments: input };
    const options = {
      timeout,
      ...(onprogress && {
        resetTimeoutOnProgress: true,
        onprogress: ({ progress }: Json) => onprogress(progress),
      }),
    };
    return await (this.#version === "v1"
      ? this.#client.callTool(call, undefined, options)
      : this.#client.callTool(call, options));
  }

  /** Calls a tool. Returns the text of its result. */
  async callForText(
    name: string,
    input?: Json,
    options?: CallOptions,
  ): Promise<string> {
    const { content } = await this.callTool(name, input, options);
    return content.map(({ text }: Json) => text).join("\n");
  }

  /** Waits until `count` notifications of a changed tool list have arrived. */
  async waitForListChanges(count: number): Promise<void> {
    await this.#waitUntil(() => this.listChanges >= count, "list_changed");
  }

  /** Waits until the proxy has noticed the loss of its connection. */
  async waitForDisconnect(): Promise<void> {
    await this.#waitUntil(
      () => this.log.includes("Lost the WebSocket daemon"),
      "the end of the connection",
    );
  }

  async #waitUntil(isSo: () => boolean, what: string): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`Timed out waiting for ${what}`)),
      RESPONSE_TIMEOUT_MS,
    );
    try {
      while (!isSo()) await Promise.race([this.#changed.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Returns a transport that changes the messages that pass through it. */
function transformMessages(
  inner: Json,
  { fromClient, toClient }: Pick<MessageForm, "fromClient" | "toClient">,
): Json {
  if (fromClient === undefined && toClient === undefined) return inner;
  const outer: Json = {
    start: () => inner.start(),
    send: (message: Json) => inner.send(fromClient?.(message) ?? message),
    close: () => inner.close(),
    stderr: inner.stderr,
  };
  inner.onclose = () => outer.onclose?.();
  inner.onerror = (error: Error) => outer.onerror?.(error);
  inner.onmessage = (message: Json) => {
    const transformed = toClient ? toClient(message) : message;
    if (transformed !== undefined) outer.onmessage?.(transformed);
  };
  return outer;
}
