/**
 * An MCP server on a WebSocket that does what it should, and writes its
 * messages in the form that the path of the URL names.
 *
 *     deno run -A tests/daemons/forms_daemon.ts PORT [restarted]
 *
 * It tells on stdout what the proxy must not do to it.
 *
 * @module
 */

import { messageOf } from "../../lib/text/error_message.ts";
import {
  type Form,
  type Frame,
  isAnswer,
  type Json,
} from "../helpers/forms/transformations.ts";
import { formOf } from "../helpers/forms/forms.ts";
import { isOwnId } from "../helpers/session/own_ids.ts";
import { print } from "../helpers/print.ts";
import { endWithStarter } from "../helpers/parent_exit.ts";
import { delay } from "../helpers/async.ts";

const [port = "0", start] = Deno.args;
const isRestarted = start === "restarted";

/** Before the client has said that it is initialized, nothing else is answered. */
const EARLY = /^(initialize|ping|server\/discover)$/;
const NOTICE = /^(notifications\/)?initialized$/;
const LIST_CHANGED = { method: "notifications/tools/list_changed" };
const TALK = {
  method: "notifications/message",
  params: { level: "info", data: "talk" },
};

/** So late comes an answer that the proxy must have waited for, in milliseconds. */
const LATE_MS = 3_000;

/** The tools; `read` and `steady` may be called twice. */
const TOOLS = ["read", "steady", "echo", "work", "go", "fail", "change", "ask"]
  .concat("quiet", "pair", "level", "write")
  .map((name) => ({
    name,
    description: `The tool ${name}`,
    inputSchema: { type: "object" },
    ...(/^(read|steady)$/.test(name) &&
      { annotations: { readOnlyHint: true } }),
  }));

/** What a list is after the restart, where it changes. */
const OTHER = [...TOOLS, { ...TOOLS[2]!, name: "more" }];

function said(text: string): Json {
  return { content: [{ type: "text", text }] };
}

/** One connection. */
class Link {
  readonly #socket: WebSocket;
  readonly #form: Form;
  readonly #key: string;
  readonly #methods = new Map<unknown, string>();
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();
  readonly #answers = new Map<unknown, (message: Json) => void>();
  readonly #runs = new Map<string, number>();
  #probed = Promise.withResolvers<void>();
  #pair: Json[] = [];
  #isInitialized = false;
  #level = "none";
  #closed: Json = 0;

  constructor(socket: WebSocket, key: string) {
    this.#socket = socket;
    this.#key = key;
    this.#form = formOf(key);
  }

  /** Takes a frame, whatever is wrong with it. */
  async hear(text: string): Promise<void> {
    try {
      await this.#take(text);
    } catch (error) {
      this.#complain(messageOf(error));
    }
  }

  /** Tells the test that something is wrong. */
  #complain(what: string): void {
    print(`wrong ${this.#key}: ${what}`);
  }

  async #take(text: string): Promise<void> {
    const whole = JSON.parse(text);
    this.#inspect(whole);
    const message = this.#form.take ? this.#form.take(whole) : whole;
    if (message === undefined) return;
    const { id, method, params } = message;
    if (method === undefined) return this.#answers.get(id)?.(message);
    if (id === undefined) {
      if (NOTICE.test(method)) this.#isInitialized = true;
      return;
    }
    this.#methods.set(id, method);
    if (!this.#isInitialized && !EARLY.test(method)) {
      const error = { code: -32002, message: "The server is not initialized" };
      return this.#say({ id, error });
    }
    if (method === "tools/call") {
      await this.#call(id, params);
      this.#closed = id;
      return;
    }
    this.#say(this.#answer(id, method, params));
    if (method === "ping" && isOwnId(id)) {
      this.#probed.resolve();
      this.#probed = Promise.withResolvers();
    }
  }

  /** What holds for every form. */
  #inspect(message: Json): void {
    const wrong = (what: string): void => this.#complain(what);
    const { id, method } = message;
    if (message.jsonrpc !== "2.0") wrong("no version");
    if (method === undefined || !("id" in message)) return;
    if (NOTICE.test(method)) wrong(`${method} with id ${JSON.stringify(id)}`);
    if (id === null) wrong(`${method} with id null`);
    const isOurs = typeof id === "string" && /^alwaysup/.test(id);
    if (isOurs) wrong(`${method} with an own id that is no whole number`);
  }

  #answer(id: Json, method: string, params: Json): Json {
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
        const { page = (tools: Json[]) => ({ tools }), isChanged } = this.#form;
        const tools = isChanged && isRestarted ? OTHER : TOOLS;
        return { id, result: page(tools, params?.cursor, isRestarted) };
      }
      default:
        return { id, error: { code: -32601, message: "Method not found" } };
    }
  }

  async #call(
    id: Json,
    { name, arguments: input = {}, _meta }: Json,
  ): Promise<void> {
    const finish = (text: string): void =>
      this.#say({ id, result: said(text) });
    const token = _meta?.progressToken;
    const runs = (this.#runs.get(name) ?? 0) + 1;
    this.#runs.set(name, runs);
    switch (name) {
      case "echo":
        await this.#mislead({ id, result: said(`echo: ${input.text}`) });
        return this.#say(TALK, { id, result: said(`echo: ${input.text}`) });
      case "work": {
        const { said: values, pauseMs } = this.#form.progress ??
          { said: [1, 2, 3], pauseMs: 0 };
        await this.#report(token, values, pauseMs);
        await this.#gate(input.key).promise;
        return finish("worked");
      }
      case "steady": {
        // The first daemon never answers; what it was asked is asked again.
        if (!isRestarted) return this.#report(token, [1, 2, 3], 0);
        await this.#report(token, this.#form.again?.said ?? [2, 3, 4], 0);
        await this.#gate(input.key).promise;
        return finish("steady");
      }
      case "go":
        this.#gate(input.key).resolve();
        return finish("gone");
      case "fail": {
        const error = { code: -32050, message: "the daemon's own words" };
        const { is = error } = this.#form.error ?? {};
        return this.#say({ id, error: is });
      }
      case "change":
        return this.#say(LIST_CHANGED, { id, result: said("changed") });
      case "ask": {
        // Its ids are its own: the client has used the number, too.
        const roots = [await this.#ask(1), await this.#ask("1")];
        return finish(roots.join(" "));
      }
      case "quiet":
        await this.#probed.promise;
        return finish("quiet");
      case "pair": {
        this.#pair.push({ id, result: said(`pair: ${input.text}`) });
        if (this.#pair.length < 2) return;
        const { spoiled, isOfTwo } = this.#form;
        if (spoiled && isOfTwo) {
          for (const frame of spoiled.frames({ id })) this.#send(frame);
          await delay(LATE_MS);
        }
        this.#say(...this.#pair);
        this.#pair = [];
        return;
      }
      case "level":
        return finish(this.#level);
      case "read":
      case "write":
        return await this.#spoil(
          { id, result: said(`${name}: ${runs}`) },
          runs,
        );
      default:
        return this.#say({ id, error: { code: -32602, message: "No tool" } });
    }
  }

  /** Asks the client for its roots. */
  async #ask(id: Json): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<Json>();
    this.#answers.set(id, resolve);
    this.#say({ id, method: "roots/list" });
    const { result } = await promise;
    this.#answers.delete(id);
    return result?.roots?.[0]?.uri ?? "none";
  }

  /** Sends what must not be taken for the answer. */
  async #mislead(answer: Json): Promise<void> {
    const { decoys, pauseMs = 0 } = this.#form;
    if (decoys === undefined) return;
    for (const frame of decoys({ jsonrpc: "2.0", ...answer }, this.#closed)) {
      this.#send(frame);
    }
    await delay(pauseMs);
  }

  async #spoil(answer: Json, runs: number): Promise<void> {
    const { spoiled } = this.#form;
    if (spoiled === undefined || runs > spoiled.times) return this.#say(answer);
    for (const frame of spoiled.frames({ jsonrpc: "2.0", ...answer })) {
      this.#send(frame);
    }
    if (spoiled.answerAfterMs === undefined) return;
    await delay(spoiled.answerAfterMs);
    this.#say(answer);
  }

  async #report(
    progressToken: Json,
    values: Json[],
    pauseMs: number,
  ): Promise<void> {
    const method = "notifications/progress";
    for (const progress of values) {
      if (pauseMs > 0) await delay(pauseMs);
      this.#say({ method, params: { progressToken, progress } });
    }
  }

  #gate(key: string): PromiseWithResolvers<void> {
    const gate = this.#gates.get(key) ?? Promise.withResolvers<void>();
    this.#gates.set(key, gate);
    return gate;
  }

  /** Says messages at the same time, in the form. */
  #say(...messages: Json[]): void {
    const {
      write = (it: Json) => JSON.stringify(it),
      frames = (texts) => texts,
    } = this.#form;
    const whole = messages.map((it) => ({ jsonrpc: "2.0", ...it }));
    const texts = whole.map((message) => {
      const answered = isAnswer(message) && this.#methods.get(message.id);
      const method = answered || message.method || "";
      return write(message, { method, isOwn: isOwnId(message.id) });
    });
    for (const frame of frames(texts, whole)) this.#send(frame);
  }

  #send(frame: Frame): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }
}

void endWithStarter();
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
  const link = new Link(socket, key);
  socket.onmessage = ({ data }) => void link.hear(data);
  socket.onerror = () => {};
  return response;
});
