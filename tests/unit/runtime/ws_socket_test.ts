/**
 * Tests the adapter for the WebSocket of the package `ws`, with a fake one. The
 * end-to-end tests with the npm package use the real one.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  type OpenedWebSocket,
  systemErrorCode,
} from "../../../lib/runtime/host.ts";
import {
  hasWsPackage,
  openWsSocket,
  useWsPackage,
  type Ws,
  type WsClass,
  type WsEvents,
} from "../../../lib/runtime/ws_socket.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** A WebSocket and its stream, which record the calls of their methods. */
class FakeWs implements Ws {
  readonly readyState = 1;
  readonly protocol = "mcp";
  readonly bufferedAmount = 7;
  readonly calls: string[] = [];
  readonly args: readonly unknown[];
  readonly #listeners = new Map<string, (...args: Json[]) => void>();

  constructor(...args: unknown[]) {
    this.args = args;
    lastWs = this;
  }

  on<E extends keyof WsEvents>(event: E, listener: WsEvents[E]): void {
    this.#listeners.set(event, listener);
  }

  emit<E extends keyof WsEvents>(
    event: E,
    ...args: Parameters<WsEvents[E]>
  ): void {
    this.#listeners.get(event)!(...args);
  }

  /** Emits the events of an accepted handshake. */
  open(): void {
    const cork = (): void => void this.calls.push("cork");
    const uncork = (): void => void this.calls.push("uncork");
    this.emit("upgrade", { socket: { cork, uncork } });
    this.emit("open");
  }

  send(text: string): void {
    this.calls.push(`send ${text}`);
  }

  close(code: number): void {
    this.calls.push(`close ${code}`);
  }

  terminate(): void {
    this.calls.push("terminate");
  }
}

let lastWs: FakeWs;

/** Opens a WebSocket. `events` has the events of its handlers. */
function openFake(url = "ws://h/"): OpenedWebSocket & {
  readonly ws: FakeWs;
  readonly events: unknown[];
} {
  useWsPackage(() => FakeWs as unknown as WsClass);
  const options = { protocols: ["mcp"], headers: { "X-A": "1" } };
  const opened = openWsSocket(url, options);
  const events: unknown[] = [];
  const { socket } = opened;
  socket.onopen = () => events.push("open");
  socket.onmessage = ({ data }) => events.push(data);
  socket.onerror = ({ error }) => events.push(systemErrorCode(error));
  socket.onclose = ({ code, reason }) => events.push([code, reason]);
  return { ...opened, ws: lastWs, events };
}

test("ws: nothing uses the package until a build has set it", () => {
  assertEquals(hasWsPackage(), false);
});

test("ws: the frames of one turn are written together, in order", async () => {
  const { socket, ws } = openFake();
  ws.open();
  socket.send("a");
  socket.send("b");
  assertEquals(ws.calls, ["cork", "send a", "send b"]);
  await Promise.resolve();
  assertEquals(ws.calls.splice(0).at(-1), "uncork");
  socket.send("c");
  await Promise.resolve();
  assertEquals(ws.calls, ["cork", "send c", "uncork"]);
});

test("ws: text is a string, and a binary frame is bytes", () => {
  const { ws, events } = openFake();
  ws.open();
  const bytes = Buffer.from("\u00e4");
  ws.emit("message", bytes, false);
  ws.emit("message", bytes, true);
  ws.emit("close", 4000, Buffer.from("bye"));
  assertEquals(events, ["open", "\u00e4", bytes, [4000, "bye"]]);
});

test("ws: it has the state of the package's WebSocket, and its options", () => {
  const { socket, ws } = openFake();
  const { readyState, protocol, bufferedAmount } = socket;
  assertEquals([readyState, protocol, bufferedAmount], [1, "mcp", 7]);
  socket.close(1000);
  socket.terminate!();
  assertEquals(ws.calls, ["close 1000", "terminate"]);
  const [url, protocols, { headers, perMessageDeflate, maxPayload }] = ws
    .args as [string, string[], Record<string, unknown>];
  assertEquals([url, protocols], ["ws://h/", ["mcp"]]);
  assertEquals(headers, { "User-Agent": "node", "X-A": "1" });
  assertEquals([perMessageDeflate, maxPayload], [false, 134_217_728]);
});

test("ws: a dial that fails reports the error, or the HTTP status", () => {
  const refused = openFake();
  assertEquals(refused.readDialError(), undefined);
  const error = Object.assign(new Error("no"), {
    code: "X",
    cert: { subjectaltname: "DNS:h" },
  });
  refused.ws.emit("error", error);
  assertEquals(refused.events, ["X"]);
  const info = { message: "no\nDNS:h", errorCode: "X" };
  assertEquals(refused.readDialError(), info);
  const answered = openFake();
  answered.ws.emit("unexpected-response", undefined, { statusCode: 404 });
  assertEquals(answered.ws.calls, ["terminate"]);
  // This error is about the termination. It must not replace the status.
  answered.ws.emit("error", new Error("closed before"));
  const nothing = { message: "", errorCode: "" };
  assertEquals(answered.readDialError(), { ...nothing, status: 404 });
  const odd = openFake();
  odd.ws.emit("unexpected-response", undefined, { statusCode: 101 });
  const message = "no upgrade header";
  assertEquals(odd.readDialError(), { message, errorCode: "" });
});

test("ws: an error ends an open connection at once, and is no dial error", () => {
  const { ws, events, readDialError } = openFake();
  ws.open();
  ws.emit("error", Object.assign(new Error("x"), { code: "WS_ERR_Y" }));
  assertEquals(events, ["open", "WS_ERR_Y"]);
  assertEquals([ws.calls, readDialError()], [["terminate"], undefined]);
});

test("ws: over wss://, the request is sent after the TLS handshake", () => {
  const sent: string[] = [];
  for (const url of ["ws://h/", "wss://h/"]) {
    const [, , options] = openFake(url).ws.args as Json[];
    let isSecure = (): void => {};
    const socket = {
      on: (_: "secureConnect", listener: () => void) => isSecure = listener,
    };
    options.finishRequest({
      on: (_: "socket", listener: (it: typeof socket) => void) =>
        listener(socket),
      end: () => sent.push(url),
    });
    if (url === "wss://h/") assertEquals(sent, ["ws://h/"]);
    isSecure();
  }
  assertEquals(sent, ["ws://h/", "wss://h/"]);
});
