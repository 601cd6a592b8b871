/**
 * An MCP server on a WebSocket that behaves correctly. The path of the URL
 * names the form in which it writes its messages.
 *
 *     deno run -A tests/daemons/forms_daemon.ts PORT [restarted]
 *
 * It reports invalid messages from the proxy on stdout.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import {
  type Frame,
  isResponse,
  type Json,
  type MessageForm,
} from "../helpers/forms/form_helpers.ts";
import { formByKey } from "../helpers/forms/forms.ts";
import { isProxyRequestId } from "../helpers/session/proxy_request_ids.ts";
import { print } from "../helpers/print.ts";
import { exitWithParent } from "../helpers/exit_with_parent.ts";
import { delay } from "../../lib/runtime/timeout.ts";

const [port = "0", start] = Deno.args;
const isRestarted = start === "restarted";

/** The methods that are answered before the client sends `initialized`. */
const EARLY_METHODS = /^(initialize|ping|server\/discover)$/;
const INITIALIZED_METHODS = /^(notifications\/)?initialized$/;
const LIST_CHANGED = { method: "notifications/tools/list_changed" };
const LOG_NOTIFICATION = {
  method: "notifications/message",
  params: { level: "info", data: "talk" },
};

/** The delay of a response that the proxy must wait for, in milliseconds. */
const LATE_RESPONSE_MS = 3_000;

/** The tools. `read` and `steady` are read-only, so they may be repeated. */
const TOOLS = ["read", "steady", "echo", "work", "go", "fail", "change", "ask"]
  .concat("quiet", "pair", "level", "write")
  .map((name) => ({
    name,
    description: `The tool ${name}`,
    inputSchema: { type: "object" },
    ...(/^(read|steady)$/.test(name) &&
      { annotations: { readOnlyHint: true } }),
  }));

/** The tool list after the restart, if the form changes it. */
const TOOLS_AFTER_RESTART = [...TOOLS, { ...TOOLS[2]!, name: "more" }];

function textResult(text: string): Json {
  return { content: [{ type: "text", text }] };
}

class FormConnection {
  readonly #socket: WebSocket;
  readonly #form: MessageForm;
  readonly #key: string;
  readonly #methods = new Map<unknown, string>();
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();
  readonly #pendingRequests = new Map<unknown, (message: Json) => void>();
  readonly #callCounts = new Map<string, number>();
  #probed = Promise.withResolvers<void>();
  #waitingPair: Json[] = [];
  #isInitialized = false;
  #level = "none";
  #lastAnsweredId: Json = 0;

  constructor(socket: WebSocket, key: string) {
    this.#socket = socket;
    this.#key = key;
    this.#form = formByKey(key);
  }

  /** Handles a frame. Reports any error. */
  async receive(text: string): Promise<void> {
    try {
      await this.#handleMessage(text);
    } catch (error) {
      this.#reportError(errorMessageOf(error));
    }
  }

  /** Reports an error to the test, which reads stdout. */
  #reportError(what: string): void {
    print(`wrong ${this.#key}: ${what}`);
  }

  async #handleMessage(text: string): Promise<void> {
    const received = JSON.parse(text);
    this.#checkMessage(received);
    const message = this.#form.bridgeRequest
      ? this.#form.bridgeRequest(received)
      : received;
    if (message === undefined) return;
    const { id, method, params } = message;
    if (method === undefined) return this.#pendingRequests.get(id)?.(message);
    if (id === undefined) {
      if (INITIALIZED_METHODS.test(method)) this.#isInitialized = true;
      return;
    }
    this.#methods.set(id, method);
    if (!this.#isInitialized && !EARLY_METHODS.test(method)) {
      const error = { code: -32002, message: "The server is not initialized" };
      return this.#sendMessages({ id, error });
    }
    if (method === "tools/call") {
      await this.#callTool(id, params);
      this.#lastAnsweredId = id;
      return;
    }
    this.#sendMessages(this.#responseTo(id, method, params));
    if (method === "ping" && isProxyRequestId(id)) {
      this.#probed.resolve();
      this.#probed = Promise.withResolvers();
    }
  }

  /** Reports what a message may not contain, whatever the form is. */
  #checkMessage(message: Json): void {
    const wrong = (what: string): void => this.#reportError(what);
    const { id, method } = message;
    if (message.jsonrpc !== "2.0") wrong('jsonrpc is not "2.0"');
    if (method === undefined || !("id" in message)) return;
    if (INITIALIZED_METHODS.test(method)) {
      wrong(`${method} with id ${JSON.stringify(id)}`);
    }
    if (id === null) wrong(`${method} with id null`);
    const isStringIdOfProxy = typeof id === "string" && /^alwaysup/.test(id);
    if (isStringIdOfProxy) {
      wrong(`${method} with an id of the proxy that is not a whole number`);
    }
  }

  #responseTo(id: Json, method: string, params: Json): Json {
    switch (method) {
      case "initialize": {
        const { protocolVersion } = params;
        const capabilities = { tools: { listChanged: true }, logging: {} };
        const serverInfo = { name: "forms", version: "1" };
        const result = { protocolVersion, capabilities, serverInfo };
        return { id, result };
      }
      case "logging/setLevel":
        this.#level = params.level;
        return { id, result: {} };
      case "ping":
        return { id, result: {} };
      case "tools/list": {
        const { listPage = (tools: Json[]) => ({ tools }), changesTools } =
          this.#form;
        const tools = changesTools && isRestarted ? TOOLS_AFTER_RESTART : TOOLS;
        return { id, result: listPage(tools, params?.cursor, isRestarted) };
      }
      default:
        return { id, error: { code: -32601, message: "Method not found" } };
    }
  }

  async #callTool(
    id: Json,
    { name, arguments: input = {}, _meta }: Json,
  ): Promise<void> {
    const finish = (text: string): void =>
      this.#sendMessages({ id, result: textResult(text) });
    const token = _meta?.progressToken;
    const runs = (this.#callCounts.get(name) ?? 0) + 1;
    this.#callCounts.set(name, runs);
    switch (name) {
      case "echo":
        await this.#sendDecoys({
          id,
          result: textResult(`echo: ${input.text}`),
        });
        return this.#sendMessages(LOG_NOTIFICATION, {
          id,
          result: textResult(`echo: ${input.text}`),
        });
      case "work": {
        const { sent: values, pauseMs } = this.#form.progress ??
          { sent: [1, 2, 3], pauseMs: 0 };
        await this.#sendProgress(token, values, pauseMs);
        await this.#gate(input.key).promise;
        return finish("worked");
      }
      case "steady": {
        // The first daemon never answers. After the restart, the proxy sends
        // the same call again.
        if (!isRestarted) return this.#sendProgress(token, [1, 2, 3], 0);
        await this.#sendProgress(
          token,
          this.#form.progressAfterRestart?.sent ?? [2, 3, 4],
          0,
        );
        await this.#gate(input.key).promise;
        return finish("steady");
      }
      case "go":
        this.#gate(input.key).resolve();
        return finish("gone");
      case "fail": {
        const error = { code: -32050, message: "the daemon's own words" };
        const { raw = error } = this.#form.error ?? {};
        return this.#sendMessages({ id, error: raw });
      }
      case "change":
        return this.#sendMessages(LIST_CHANGED, {
          id,
          result: textResult("changed"),
        });
      case "ask": {
        // The daemon's ids are independent of the client's. The client has used
        // the same number.
        const roots = [
          await this.#requestRoots(1),
          await this.#requestRoots("1"),
        ];
        return finish(roots.join(" "));
      }
      case "quiet":
        await this.#probed.promise;
        return finish("quiet");
      case "pair": {
        this.#waitingPair.push({
          id,
          result: textResult(`pair: ${input.text}`),
        });
        if (this.#waitingPair.length < 2) return;
        const { spoiledCall, spoilsDuringTwoCalls: hasTwoCalls } = this.#form;
        if (spoiledCall && hasTwoCalls) {
          for (const frame of spoiledCall.frames({ id })) {
            this.#sendFrame(frame);
          }
          await delay(LATE_RESPONSE_MS);
        }
        this.#sendMessages(...this.#waitingPair);
        this.#waitingPair = [];
        return;
      }
      case "level":
        return finish(this.#level);
      case "read":
      case "write":
        return await this.#sendSpoiled(
          { id, result: textResult(`${name}: ${runs}`) },
          runs,
        );
      default:
        return this.#sendMessages({
          id,
          error: { code: -32602, message: "No tool" },
        });
    }
  }

  /** Requests the client's roots. Returns the first URI, or `none`. */
  async #requestRoots(id: Json): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<Json>();
    this.#pendingRequests.set(id, resolve);
    this.#sendMessages({ id, method: "roots/list" });
    const { result } = await promise;
    this.#pendingRequests.delete(id);
    return result?.roots?.[0]?.uri ?? "none";
  }

  /** Sends messages that the proxy must not mistake for the response. */
  async #sendDecoys(answer: Json): Promise<void> {
    const { decoys, pauseMs = 0 } = this.#form;
    if (decoys === undefined) return;
    for (
      const frame of decoys({ jsonrpc: "2.0", ...answer }, this.#lastAnsweredId)
    ) {
      this.#sendFrame(frame);
    }
    await delay(pauseMs);
  }

  async #sendSpoiled(answer: Json, runs: number): Promise<void> {
    const { spoiledCall } = this.#form;
    if (spoiledCall === undefined || runs > spoiledCall.spoiledCount) {
      return this.#sendMessages(answer);
    }
    for (const frame of spoiledCall.frames({ jsonrpc: "2.0", ...answer })) {
      this.#sendFrame(frame);
    }
    if (spoiledCall.answerAfterMs === undefined) return;
    await delay(spoiledCall.answerAfterMs);
    this.#sendMessages(answer);
  }

  async #sendProgress(
    progressToken: Json,
    values: Json[],
    pauseMs: number,
  ): Promise<void> {
    const method = "notifications/progress";
    for (const progress of values) {
      if (pauseMs > 0) await delay(pauseMs);
      this.#sendMessages({ method, params: { progressToken, progress } });
    }
  }

  #gate(key: string): PromiseWithResolvers<void> {
    const gate = this.#gates.get(key) ?? Promise.withResolvers<void>();
    this.#gates.set(key, gate);
    return gate;
  }

  /** Sends messages at the same time, in the connection's form. */
  #sendMessages(...messages: Json[]): void {
    const {
      serialize = (it: Json) => JSON.stringify(it),
      frames = (texts) => texts,
    } = this.#form;
    const received = messages.map((it) => ({ jsonrpc: "2.0", ...it }));
    const texts = received.map((message) => {
      const answered = isResponse(message) && this.#methods.get(message.id);
      const method = answered || message.method || "";
      return serialize(message, {
        method,
        isOwn: isProxyRequestId(message.id),
      });
    });
    for (const frame of frames(texts, received)) this.#sendFrame(frame);
  }

  #sendFrame(frame: Frame): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }
}

void exitWithParent();
Deno.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  onListen: (at) => print(`listening on ${at.port}`),
}, (request) => {
  const offered = request.headers.get("sec-websocket-protocol");
  const { socket, response } = Deno.upgradeWebSocket(request, {
    ...(offered && { protocol: offered }),
    idleTimeout: 0,
  });
  const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
  const link = new FormConnection(socket, key);
  socket.onmessage = ({ data }) => void link.receive(data);
  socket.onerror = () => {};
  return response;
});
