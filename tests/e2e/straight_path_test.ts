/**
 * Tests that a `tools/call` and its answer pass the functions that
 * CONTRIBUTING.md lists. The test compares the lists with the stack traces of a
 * real call.
 *
 * @module
 */

import { runProxy } from "../../lib/proxy/proxy.ts";
import { LineWriter } from "../../lib/proxy/stdio.ts";
import { denoHost } from "../../lib/runtime/deno.ts";
import { Effects } from "../../lib/session/effects.ts";
import { createWebSocketTransport } from "../../lib/transport/websocket.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import {
  FakeWebSocketServer,
  respondToAll,
} from "../helpers/fake_websocket_server.ts";
import { MemoryClient, memoryConfig } from "../helpers/memory_client.ts";
import { test } from "../helpers/time_limit.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const MAX_FUNCTIONS = 10;
const CALL_ID = "traced";

/** The functions of `lib/` that a call has passed, in each direction. */
const passed = { toDaemon: [] as string[], toClient: [] as string[] };

/** Adds the functions of `lib/` on the stack to `path`, outermost first. */
function recordStack(path: string[], innermost: string[]): void {
  const frame = /at (?:async )?([\w.#]+) \(\S*\/lib\/\S+\)$/;
  const names = (new Error().stack ?? "").split("\n")
    .flatMap((line) => frame.exec(line)?.[1] ?? []).reverse();
  for (const name of [...names, ...innermost]) {
    if (!path.includes(name)) path.push(name);
  }
}

/**
 * Makes a method record its stack if an argument contains the traced call.
 * Disposing of the result restores the method.
 */
function traceMethod(
  prototype: Json,
  method: string,
  path: string[],
): Disposable {
  const original = prototype[method];
  const { name } = prototype.constructor;
  const own = name === "WebSocket" ? [] : [`${name}.${method}`];
  prototype[method] = function (this: unknown, ...args: unknown[]): unknown {
    if (args.some((it) => `${it}`.includes(CALL_ID))) recordStack(path, own);
    return original.apply(this, args);
  };
  return { [Symbol.dispose]: () => void (prototype[method] = original) };
}

/** Returns the names in one of the two lists in CONTRIBUTING.md. */
async function documentedNames(title: string): Promise<string[]> {
  const url = new URL("../../CONTRIBUTING.md", import.meta.url);
  const text = await Deno.readTextFile(url);
  const start = text.indexOf(title);
  assert(start !== -1, `CONTRIBUTING.md does not say "${title}"`);
  const [list] = text.slice(start + title.length).trimStart().split("\n\n");
  return [...list!.matchAll(/^\d+\. `([\w.#]+)`/gm)].map(([, name]) => name!);
}

test("Straight path: a call and its answer pass the functions that CONTRIBUTING.md names, ten at most", async () => {
  Error.stackTraceLimit = 50;
  await using daemon = new FakeWebSocketServer({
    respond: (message: Json) =>
      message.id === CALL_ID ? undefined : respondToAll(message),
  });
  const client = new MemoryClient();
  const host = { ...denoHost(), ...client.host };
  const config = { ...memoryConfig("--connections", "one"), url: daemon.url };
  using _toDaemon = traceMethod(
    Effects.prototype,
    "toDaemon",
    passed.toDaemon,
  );
  using _send = traceMethod(WebSocket.prototype, "send", passed.toDaemon);
  using _toClient = traceMethod(
    Effects.prototype,
    "toClient",
    passed.toClient,
  );
  using _push = traceMethod(LineWriter.prototype, "push", passed.toClient);
  const transport = createWebSocketTransport(config, host);
  const exitCode = runProxy(config, "0", host, () => {}, undefined, transport);
  await client.initialize();
  const call = { id: CALL_ID, method: "tools/call", params: { name: "x" } };
  client.write(call);
  const isCall = (message: Json): boolean => message.id === CALL_ID;
  await daemon.waitUntil(() => daemon.messages.some(isCall), "the call");
  daemon.send({ id: CALL_ID, result: { content: [] } });
  await client.waitForResponse(CALL_ID);
  await client.close();
  assertEquals(await client.waitForExit(exitCode), 0);
  const documented = {
    toDaemon: await documentedNames("A `tools/call` passes these functions:"),
    toClient: await documentedNames("Its answer passes these:"),
  };
  assertEquals(documented, passed);
  for (const names of Object.values(documented)) {
    assert(names.length <= MAX_FUNCTIONS, `${names.length} functions`);
  }
});
