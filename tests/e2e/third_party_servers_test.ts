/**
 * Servers and bridges that nobody here wrote, killed with SIGKILL while idle,
 * while a call waits and while calls are in flight, with the SDK's clients of
 * both versions in front.
 *
 * @module
 */

import { Client as Client2 } from "@modelcontextprotocol/client";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import type { Check } from "../../lib/commands/doctor/check.ts";
import { assertEquals, assertMatch } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import { ProxyTransport } from "../helpers/proxy_transport.ts";
import { execute, Proxy } from "../helpers/process.ts";
import {
  type Bridge,
  BridgedServer,
  BRIDGES,
  type McpServer,
  SERVERS,
  type ToolCall,
} from "../helpers/third_party_servers.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** A version of the SDK's client; the second one can also ask first which era the daemon is of. */
type Version = 1 | 2 | "2, auto";

/** A server behind a bridge, and one of the SDK's clients before the proxy. */
class Scene implements AsyncDisposable {
  readonly client: Json;
  readonly daemon: BridgedServer;
  /** What the client did not like. */
  readonly trouble: string[] = [];
  readonly #proxy: Proxy;
  /** Which lines of the proxy's log and of the bridge are younger than the last loss. */
  #from = 0;
  #said = 0;

  private constructor(daemon: BridgedServer, version: Version, able: Json) {
    const Client = version === 1 ? Client1 : Client2;
    this.client = new Client({ name: "tests", version: "1" }, {
      capabilities: able,
      ...(version === "2, auto" && { versionNegotiation: { mode: "auto" } }),
    });
    this.client.onerror = ({ message }: Error) => this.trouble.push(message);
    this.daemon = daemon;
    // Nothing is set that a user would not set.
    this.#proxy = new Proxy(["--url", daemon.url]);
  }

  static async start(
    bridge: Bridge,
    server: McpServer,
    version: Version,
    able: Json = {},
  ): Promise<Scene> {
    const scene = new Scene(new BridgedServer(bridge, server), version, able);
    await scene.daemon.up();
    await scene.client.connect(new ProxyTransport(scene.#proxy));
    return scene;
  }

  async call({ name, arguments: input }: ToolCall): Promise<Json> {
    const placed = this.daemon.placed(input);
    return await this.client.callTool({ name, arguments: placed });
  }

  /** A call that the server has, but does not answer. */
  async flying(call: ToolCall): Promise<{ outcome: Promise<Json> }> {
    const from = this.daemon.lines;
    const outcome = this.call(call).catch((error: Json) => error);
    await this.daemon.says(/tools\/call/, from);
    return { outcome };
  }

  /** All tools, as the server lists them. */
  async tools(): Promise<Json[]> {
    return (await this.client.listTools()).tools;
  }

  /** Does something to the daemon; waits until the proxy has seen it. */
  async lost(end: () => Promise<void>): Promise<void> {
    const said = this.daemon.lines;
    this.#from = this.#proxy.stderr.all.length;
    await end();
    await this.#logged("Lost the");
    // A bridge that lives goes on with its lines.
    this.#said = Math.min(said, this.daemon.lines);
  }

  /** Starts the daemon; waits until the proxy has greeted it. */
  async back(): Promise<void> {
    await this.daemon.up();
    await this.#logged("Reconnected");
    await this.daemon.says(/\binitialize\b/, this.#said);
    await this.daemon.says(/\bnotifications\/initialized\b/, this.#said);
  }

  /** Waits until the proxy has logged something since the loss. */
  async #logged(text: string): Promise<void> {
    const { stderr } = this.#proxy;
    await stderr.find((line) => line.includes(text), this.#from);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.#proxy[Symbol.asyncDispose]();
    await this.daemon[Symbol.asyncDispose]();
  }
}

const says = (result: Json, call: ToolCall): void =>
  assertMatch(result.content[0].text, call.says);

let turn = 0;
for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  for (const [serverName, server] of Object.entries(SERVERS)) {
    // Each server and each bridge meets both.
    const version = turn++ % 2 === 0 ? 1 : 2;
    const { call, write, sdk } = server;
    // A bridge with one shared child ends with it, whatever the server is.
    const ends = bridge.child === "shared" && serverName !== "time"
      ? ["kill"] as const
      : ["kill", "killServer"] as const;
    test(`Third-party server: ${serverName} (${sdk}) behind ${bridgeName} (child ${bridge.child}), SDK v${version}: idle, queued and in flight`, async () => {
      await using scene = await Scene.start(bridge, server, version);
      const { daemon } = scene;
      const tools = await scene.tools();
      says(await scene.call(call), call);

      for (const end of ends) {
        await scene.lost(() => daemon[end]());
        await scene.back();
        assertEquals(await scene.tools(), tools);
        says(await scene.call(call), call);
      }

      await scene.lost(() => daemon.kill());
      const queued = scene.call(call);
      await scene.back();
      says(await queued, call);
      assertEquals(await scene.tools(), tools);

      await daemon.freeze();
      const safe = await scene.flying(call);
      const unsafe = write && await scene.flying(write);
      await scene.lost(() => daemon.kill());
      await scene.back();
      if (server.isHinted) says(await safe.outcome, call);
      else assertEquals((await safe.outcome).code, -31002);
      assertEquals(await scene.tools(), tools);
      says(await scene.call(call), call);
      if (write !== undefined) {
        const { code, data } = await unsafe!.outcome;
        assertEquals([code, data.delivered], [-31002, "unknown"]);
        // Nobody has executed it, and now somebody does.
        says(await scene.call(write), write);
      }
      assertEquals(scene.trouble, []);
    });
  }
}

for (const version of [1, 2] as const) {
  test(`Third-party server: its requests reach SDK v${version} through a bridge, before and after a restart`, async () => {
    const bridge = BRIDGES["stdio-to-ws"]!;
    const able = { sampling: {} };
    await using scene = await Scene.start(
      bridge,
      SERVERS.everything!,
      version,
      able,
    );
    const schema: Json = CreateMessageRequestSchema;
    scene.client.setRequestHandler(
      version === 1 ? schema : "sampling/createMessage",
      ({ params }: Json) => ({
        model: "m",
        role: "assistant",
        content: {
          type: "text",
          text: `re ${params.messages[0].content.text}`,
        },
      }),
    );
    for (const prompt of ["one", "two"]) {
      const result = await scene.call({
        name: "trigger-sampling-request",
        arguments: { prompt, maxTokens: 9 },
        says: /./,
      });
      assertMatch(result.content[0].text, new RegExp(`re .*${prompt}`));
      await scene.lost(() => scene.daemon.kill());
      await scene.back();
    }
    assertEquals(scene.trouble, []);
  });
}

for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  test(`Third-party server: SDK v2 discovers its era through ${bridgeName}, before and after a restart`, async () => {
    const server = SERVERS.time!;
    await using scene = await Scene.start(bridge, server, "2, auto");
    const tools = await scene.tools();
    await scene.lost(() => scene.daemon.kill());
    await scene.back();
    assertEquals(await scene.tools(), tools);
    says(await scene.call(server.call), server.call);
    assertEquals(scene.trouble, []);
  });
}

test("Third-party server: ids that come back as numbers match their requests, before and after a restart", async () => {
  const bridge = BRIDGES["supergateway 3.4.3"]!;
  await using daemon = new BridgedServer(bridge, SERVERS.everything!);
  await daemon.up();
  await using proxy = new Proxy(["--url", daemon.url]);
  await proxy.ask("0", "initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "e2e", version: "1" },
  });
  const { result } = await proxy.answer("0");
  assertEquals(result.serverInfo.name, "mcp-servers/everything");
  await proxy.tell({ jsonrpc: "2.0", method: "notifications/initialized" });
  for (const id of ["1", "2"]) {
    await proxy.call(id, "get-sum", { a: 2, b: Number(id) });
    const { result } = await proxy.answer(id);
    assertMatch(result.content[0].text, new RegExp(` is ${2 + Number(id)}\\.`));
    await daemon.kill();
    await daemon.up();
  }
});

test("Third-party server: two clients with the same ids each get their responses, through a restart", async () => {
  const bridge = BRIDGES["supergateway 3.4.3"]!;
  await using daemon = new BridgedServer(bridge, SERVERS.everything!);
  await daemon.up();
  await using one = new Proxy(["--url", daemon.url]);
  await using two = new Proxy(["--url", daemon.url]);
  for (const proxy of [one, two]) await proxy.initialize();
  for (let id = 1; id <= 3; id++) {
    const from = [one, two].map(({ stderr }) => stderr.all.length);
    if (id > 1) {
      await daemon.kill();
      for (const [at, { stderr }] of [one, two].entries()) {
        await stderr.find((line) => line.includes("Lost the"), from[at]);
      }
    }
    for (const [at, proxy] of [one, two].entries()) {
      await proxy.call(id, "get-sum", { a: id, b: 10 * at });
    }
    await daemon.up();
    for (const [at, proxy] of [one, two].entries()) {
      const { result } = await proxy.answer(id);
      assertMatch(result.content[0].text, new RegExp(` is ${id + 10 * at}\\.`));
    }
  }
});

/** Asks `doctor`, and holds what it says against what is so. */
async function examine(bridge: Bridge, server: McpServer): Promise<void> {
  await using daemon = new BridgedServer(bridge, server);
  await daemon.up();
  const { dir, url } = daemon;
  const { code, stdout } = await execute(["doctor", "--json", "--url", url], {
    ...{ HOME: dir, USERPROFILE: dir, APPDATA: dir, LOCALAPPDATA: dir },
    ...{ XDG_STATE_HOME: "", XDG_CONFIG_HOME: "", ALWAYSUP_CACHE: "off" },
  });
  assertEquals(code, 0, stdout);
  const checks: Check[] = JSON.parse(stdout).checks;
  const of = (name: string): string =>
    checks.find((check) => check.name === name)!.text;
  assertMatch(of("daemon"), new RegExp(`: ${server.title}$`));
  assertEquals(of("tools"), `${server.tools}`);
  assertMatch(of("probe"), /^\d+\.\d ms/);
  // A second child may be too slow for a trial; but both bridges keep two.
  assertMatch(of("connections"), /keeps several connections|is not known/);
}

for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  test(`doctor: its checks of servers behind ${bridgeName} are right`, async () => {
    const servers = [SERVERS.time!, SERVERS.stock!];
    await Promise.all(servers.map((server) => examine(bridge, server)));
  });
}
