/**
 * Tests the proxy with a real session, over a transport in memory instead of a
 * WebSocket.
 *
 * @module
 */

import { runProxy } from "../../../lib/proxy/proxy.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { MemoryClient, memoryConfig } from "../../helpers/memory_client.ts";
import {
  type DialBehavior,
  MemoryDaemon,
} from "../../helpers/memory_transport.ts";
import { test } from "../../helpers/no_permissions.ts";
import { LOOK_AND_WRITE } from "../../helpers/session/two_tool_session.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** Returns the daemon's response. Without `answersCalls`, a call gets none. */
function answerOf({ method, params }: Json, isOpen: boolean): Json {
  const capabilities = { tools: {}, logging: {} };
  switch (method) {
    case "initialize":
      return {
        result: { protocolVersion: "2025-11-25", capabilities, serverInfo: {} },
      };
    case "tools/list":
      return { result: { tools: LOOK_AND_WRITE } };
    case "tools/call":
      return isOpen && { result: { content: [], did: params.name } };
    default:
      return { result: {} };
  }
}

/** A client, a proxy and a daemon, all in this process. */
class MemorySetup {
  /** True while the daemon answers calls. */
  answersCalls = true;
  readonly daemon = new MemoryDaemon((message) =>
    answerOf(message, this.answersCalls)
  );
  readonly client = new MemoryClient();
  readonly logged: string[] = [];
  readonly #exitCode: Promise<number>;

  constructor(dialing: DialBehavior = "accept") {
    this.daemon.dialBehavior = dialing;
    this.#exitCode = runProxy(
      memoryConfig("--handshake-timeout", "50ms"),
      "0",
      this.client.host,
      ({ event }) => void this.logged.push(event),
      undefined,
      this.daemon,
    );
  }

  call(id: string, name: string): void {
    this.client.write({ id, method: "tools/call", params: { name } });
  }

  /** Returns how often the daemon has received a call. */
  countCalls(id: string): number {
    return this.daemon.received.filter((message) => message.id === id).length;
  }

  /** Waits until the daemon has received all these calls. */
  async waitForCalls(...ids: string[]): Promise<void> {
    const isThere = (): boolean => ids.every((id) => this.countCalls(id) > 0);
    await this.daemon.waitUntil(isThere, `the calls ${ids}`);
  }

  /** Closes stdin, and waits for the end. Returns the exit code. */
  async end(): Promise<number> {
    await this.client.close();
    return await this.waitForEnd();
  }

  /** Waits for the end of the proxy. Returns the exit code. */
  async waitForEnd(): Promise<number> {
    const code = await this.client.waitForExit(this.#exitCode);
    assertEquals(this.daemon.connection, undefined, "a connection is open");
    return code;
  }
}

test("Proxy: initialize, a list and a call over a transport in memory", async () => {
  const setup = new MemorySetup();
  const { client } = setup;
  const { result } = await client.initialize();
  assertEquals(result.protocolVersion, "2025-11-25");
  client.write({ id: 1, method: "tools/list" });
  assertEquals((await client.waitForResponse(1)).result, {
    tools: LOOK_AND_WRITE,
  });
  setup.call("a", "write");
  assertEquals((await client.waitForResponse("a")).result.did, "write");
  assertEquals(await setup.end(), 0);
});

for (const code of [1006, 1001]) {
  test(`Proxy: a daemon that ends with code ${code} during calls and comes back`, async () => {
    const setup = new MemorySetup();
    const { client, daemon } = setup;
    await client.initialize();
    client.write({ id: 1, method: "tools/list" });
    await client.waitForResponse(1);
    setup.answersCalls = false;
    setup.call("unsafe", "write");
    setup.call("safe", "look");
    await setup.waitForCalls("unsafe", "safe");
    daemon.kill(code);
    const { error } = await client.waitForResponse("unsafe");
    assertEquals([error.code, error.data.delivered], [-31002, "unknown"]);
    setup.call("later", "write");
    const dials = daemon.connections.length;
    const isDialed = (): boolean => daemon.connections.length > dials;
    await daemon.waitUntil(isDialed, "a dial that is refused");
    setup.answersCalls = true;
    daemon.dialBehavior = "accept";
    assertEquals((await client.waitForResponse("later")).result.did, "write");
    assertEquals((await client.waitForResponse("safe")).result.did, "look");
    const counts = ["unsafe", "safe", "later"].map((id) =>
      setup.countCalls(id)
    );
    assertEquals(counts, [1, 2, 1]);
    assertEquals(await setup.end(), 0);
  });
}

for (const dialing of ["refuse", "hang"] as const) {
  test(`Proxy: the first dials to a daemon ${dialing === "hang" ? "hang" : "are refused"}`, async () => {
    const setup = new MemorySetup(dialing);
    const { client, daemon } = setup;
    const initialized = client.initialize();
    const isDialedAgain = (): boolean => daemon.connections.length > 1;
    await daemon.waitUntil(isDialedAgain, "a second dial");
    daemon.dialBehavior = "accept";
    assertEquals((await initialized).result.protocolVersion, "2025-11-25");
    assertEquals(await setup.end(), 0);
  });
}

test("Proxy: a daemon that does not read gets nothing more until it reads", async () => {
  const setup = new MemorySetup();
  const { client, daemon } = setup;
  await client.initialize();
  client.write({ id: 1, method: "tools/list" });
  await client.waitForResponse(1);
  const { connection } = daemon;
  connection.backlog = 65 * 1024 * 1024;
  setup.call("a", "write");
  setup.call("b", "write");
  assertEquals((await client.waitForResponse("a")).result.did, "write");
  assertEquals(setup.countCalls("b"), 0);
  connection.backlog = 0;
  assertEquals((await client.waitForResponse("b")).result.did, "write");
  assertEquals(await setup.end(), 0);
});

test("Proxy: stdin is read more slowly while the daemon does not read, but it is read", async () => {
  const setup = new MemorySetup();
  const { client, daemon } = setup;
  await client.initialize();
  client.write({ id: 1, method: "tools/list" });
  await client.waitForResponse(1);
  const { connection } = daemon;
  connection.backlog = 2 * 1024 * 1024;
  let timersSet = client.timersSet;
  setup.call("a", "write");
  await client.waitForResponse("a");
  setup.call("b", "write");
  await client.waitForResponse("b");
  assert(client.timersSet - timersSet >= 2, "stdin was paused");
  connection.backlog = 0;
  setup.call("c", "write");
  await client.waitForResponse("c");
  timersSet = client.timersSet;
  setup.call("d", "write");
  await client.waitForResponse("d");
  assert(client.timersSet - timersSet <= 1, "stdin was not paused");
  connection.backlog = 2 * 1024 * 1024;
  setup.call("e", "write");
  assertEquals(await setup.end(), 0);
});

test("Proxy: while the client does not read, there is no connection", async () => {
  const setup = new MemorySetup();
  const { client, daemon } = setup;
  await client.initialize();
  const resume = client.pauseReading();
  const data = "x".repeat(9 * 1024 * 1024);
  const { connection } = daemon;
  const method = "notifications/message";
  for (let i = 0; i < 8; i++) {
    assert(connection.isOpen);
    connection.reply({ method, params: { level: "info", data } });
  }
  assertEquals(connection.isOpen, false);
  const { length } = daemon.connections;
  setup.call("a", "write");
  resume();
  assertEquals((await client.waitForResponse("a")).result.did, "write");
  assertEquals(daemon.connections.length > length, true);
  assertEquals(client.lines.filter((line) => line.method === method).length, 8);
  assertEquals(await setup.end(), 0);
});

test("Proxy: a call that is in flight at the end of stdin is answered before the exit", async () => {
  const setup = new MemorySetup();
  const { client, daemon } = setup;
  await client.initialize();
  setup.answersCalls = false;
  setup.call("a", "write");
  await setup.waitForCalls("a");
  await client.close();
  daemon.connection.reply({ id: "a", result: { did: "late" } });
  assertEquals(await setup.waitForEnd(), 0);
  assertEquals((await client.waitForResponse("a")).result.did, "late");
});

test("Proxy: the clocks are read once for the lines of a chunk, and the timer is set once", async () => {
  const setup = new MemorySetup();
  const { client } = setup;
  await client.initialize();
  const wallClock = Date.now;
  let looks = 0;
  Date.now = () => {
    looks++;
    return wallClock();
  };
  try {
    const ids = Array.from({ length: 100 }, (_, i) => `p${i}`);
    const timersBefore = client.timersSet;
    client.write(...ids.map((id) => ({ id, method: "prompts/list" })));
    await client.waitForResponse("p99");
    assertEquals(ids.map((id) => setup.countCalls(id)), ids.map(() => 1));
    assert(looks < 10, `${looks} reads of the clock`);
    assert(client.timersSet - timersBefore < 10, `${client.timersSet} timers`);
  } finally {
    Date.now = wallClock;
  }
  assertEquals(await setup.end(), 0);
  assertMatch(setup.logged.join(), /opened/);
});
