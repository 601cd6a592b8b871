/**
 * Tests third-party servers and bridges with SDK clients of both versions. The
 * servers and bridges are killed with SIGKILL while idle, while a call is
 * queued, and while calls are in flight.
 *
 * @module
 */

import { Client as Client2 } from "@modelcontextprotocol/client";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import type { CheckResult } from "../../lib/commands/doctor/check.ts";
import { assertEquals, assertMatch } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import { ProxyTransport } from "../helpers/proxy_transport.ts";
import { ProxyProcess, runToExit } from "../helpers/process.ts";
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

/**
 * A version of the SDK's client. With `auto`, version 2 first finds out which
 * era the daemon supports.
 */
type ClientVersion = 1 | 2 | "2, auto";

/** An SDK client, a proxy, and a server behind a bridge. */
class BridgedClient implements AsyncDisposable {
  readonly client: Json;
  readonly daemon: BridgedServer;
  /** The errors that the client has reported. */
  readonly errors: string[] = [];
  readonly #proxy: ProxyProcess;
  /**
   * The numbers of the proxy's log lines and of the bridge's output lines
   * before the last loss.
   */
  #logLinesBefore = 0;
  #bridgeLinesBefore = 0;

  private constructor(
    daemon: BridgedServer,
    version: ClientVersion,
    capabilities: Json,
  ) {
    const Client = version === 1 ? Client1 : Client2;
    this.client = new Client({ name: "tests", version: "1" }, {
      capabilities,
      ...(version === "2, auto" && { versionNegotiation: { mode: "auto" } }),
    });
    this.client.onerror = ({ message }: Error) => this.errors.push(message);
    this.daemon = daemon;
    // Sets only what a user would set.
    this.#proxy = new ProxyProcess(["--url", daemon.url]);
  }

  static async start(
    bridge: Bridge,
    server: McpServer,
    version: ClientVersion,
    capabilities: Json = {},
  ): Promise<BridgedClient> {
    const bridged = new BridgedClient(
      new BridgedServer(bridge, server),
      version,
      capabilities,
    );
    await bridged.daemon.start();
    await bridged.client.connect(new ProxyTransport(bridged.#proxy));
    return bridged;
  }

  async callTool({ name, arguments: input }: ToolCall): Promise<Json> {
    const placed = this.daemon.withFolder(input);
    return await this.client.callTool({ name, arguments: placed });
  }

  /**
   * Starts a call, and waits until the bridge has received it. The outcome is
   * the result or the error.
   */
  async startCall(call: ToolCall): Promise<{ outcome: Promise<Json> }> {
    const from = this.daemon.lineCount;
    const outcome = this.callTool(call).catch((error: Json) => error);
    await this.daemon.waitForLine(/tools\/call/, from);
    return { outcome };
  }

  async listTools(): Promise<Json[]> {
    return (await this.client.listTools()).tools;
  }

  /** Calls `end`, and waits until the proxy has lost the connection. */
  async endAndWaitForLoss(end: () => Promise<void>): Promise<void> {
    const linesBefore = this.daemon.lineCount;
    this.#logLinesBefore = this.#proxy.stderr.lines.length;
    await end();
    await this.#waitForLog("Lost the");
    // The line count of a killed bridge is 0. A bridge that still runs
    // continues its output.
    this.#bridgeLinesBefore = Math.min(linesBefore, this.daemon.lineCount);
  }

  /**
   * Starts the daemon, and waits until the proxy has completed the handshake.
   */
  async restartAndWait(): Promise<void> {
    await this.daemon.start();
    await this.#waitForLog("Reconnected");
    await this.daemon.waitForLine(/\binitialize\b/, this.#bridgeLinesBefore);
    await this.daemon.waitForLine(
      /\bnotifications\/initialized\b/,
      this.#bridgeLinesBefore,
    );
  }

  /** Waits until the proxy has logged a text since the last loss. */
  async #waitForLog(text: string): Promise<void> {
    const { stderr } = this.#proxy;
    await stderr.waitForLine(
      (line) => line.includes(text),
      this.#logLinesBefore,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.#proxy[Symbol.asyncDispose]();
    await this.daemon[Symbol.asyncDispose]();
  }
}

const assertExpectedText = (result: Json, call: ToolCall): void =>
  assertMatch(result.content[0].text, call.expectedText);

let turn = 0;
for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  for (const [serverName, server] of Object.entries(SERVERS)) {
    // Each server and each bridge runs with both versions.
    const version = turn++ % 2 === 0 ? 1 : 2;
    const { safeCall, unsafeCall, sdk } = server;
    // A bridge with one shared child exits together with the child. One server
    // is enough to test this.
    const ends = bridge.serverProcess === "shared" && serverName !== "time"
      ? ["kill"] as const
      : ["kill", "killServer"] as const;
    test(`Third-party server: ${serverName} (${sdk}) behind ${bridgeName} (child ${bridge.serverProcess}), SDK v${version}: idle, queued and in flight`, async () => {
      await using bridged = await BridgedClient.start(bridge, server, version);
      const { daemon } = bridged;
      const tools = await bridged.listTools();
      assertExpectedText(await bridged.callTool(safeCall), safeCall);

      for (const end of ends) {
        await bridged.endAndWaitForLoss(() => daemon[end]());
        await bridged.restartAndWait();
        assertEquals(await bridged.listTools(), tools);
        assertExpectedText(await bridged.callTool(safeCall), safeCall);
      }

      await bridged.endAndWaitForLoss(() => daemon.kill());
      const queued = bridged.callTool(safeCall);
      await bridged.restartAndWait();
      assertExpectedText(await queued, safeCall);
      assertEquals(await bridged.listTools(), tools);

      await daemon.suspend();
      const safe = await bridged.startCall(safeCall);
      const unsafe = unsafeCall && await bridged.startCall(unsafeCall);
      await bridged.endAndWaitForLoss(() => daemon.kill());
      await bridged.restartAndWait();
      if (server.hasReadOnlyHint) {
        assertExpectedText(await safe.outcome, safeCall);
      } else assertEquals((await safe.outcome).code, -31002);
      assertEquals(await bridged.listTools(), tools);
      assertExpectedText(await bridged.callTool(safeCall), safeCall);
      if (unsafeCall !== undefined) {
        const { code, data } = await unsafe!.outcome;
        assertEquals([code, data.delivered], [-31002, "unknown"]);
        // The lost call was never executed. A new call is executed.
        assertExpectedText(await bridged.callTool(unsafeCall), unsafeCall);
      }
      assertEquals(bridged.errors, []);
    });
  }
}

for (const version of [1, 2] as const) {
  test(`Third-party server: its requests reach SDK v${version} through a bridge, before and after a restart`, async () => {
    const bridge = BRIDGES["stdio-to-ws"]!;
    const capabilities = { sampling: {} };
    await using bridged = await BridgedClient.start(
      bridge,
      SERVERS.everything!,
      version,
      capabilities,
    );
    const schema: Json = CreateMessageRequestSchema;
    bridged.client.setRequestHandler(
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
      const result = await bridged.callTool({
        name: "trigger-sampling-request",
        arguments: { prompt, maxTokens: 9 },
        expectedText: /./,
      });
      assertMatch(result.content[0].text, new RegExp(`re .*${prompt}`));
      await bridged.endAndWaitForLoss(() => bridged.daemon.kill());
      await bridged.restartAndWait();
    }
    assertEquals(bridged.errors, []);
  });
}

for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  test(`Third-party server: SDK v2 finds out the server's era through ${bridgeName}, before and after a restart`, async () => {
    const server = SERVERS.time!;
    await using bridged = await BridgedClient.start(bridge, server, "2, auto");
    const tools = await bridged.listTools();
    await bridged.endAndWaitForLoss(() => bridged.daemon.kill());
    await bridged.restartAndWait();
    assertEquals(await bridged.listTools(), tools);
    assertExpectedText(
      await bridged.callTool(server.safeCall),
      server.safeCall,
    );
    assertEquals(bridged.errors, []);
  });
}

test("Third-party server: ids that come back as numbers match their requests, before and after a restart", async () => {
  const bridge = BRIDGES["supergateway 3.4.3"]!;
  await using daemon = new BridgedServer(bridge, SERVERS.everything!);
  await daemon.start();
  await using proxy = new ProxyProcess(["--url", daemon.url]);
  await proxy.request("0", "initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "e2e", version: "1" },
  });
  const { result } = await proxy.waitForResponse("0");
  assertEquals(result.serverInfo.name, "mcp-servers/everything");
  await proxy.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  for (const id of ["1", "2"]) {
    await proxy.callTool(id, "get-sum", { a: 2, b: Number(id) });
    const { result } = await proxy.waitForResponse(id);
    assertMatch(result.content[0].text, new RegExp(` is ${2 + Number(id)}\\.`));
    await daemon.kill();
    await daemon.start();
  }
});

test("Third-party server: two clients with the same ids each get their responses, through a restart", async () => {
  const bridge = BRIDGES["supergateway 3.4.3"]!;
  await using daemon = new BridgedServer(bridge, SERVERS.everything!);
  await daemon.start();
  await using one = new ProxyProcess(["--url", daemon.url]);
  await using two = new ProxyProcess(["--url", daemon.url]);
  for (const proxy of [one, two]) await proxy.initialize();
  for (let id = 1; id <= 3; id++) {
    const from = [one, two].map(({ stderr }) => stderr.lines.length);
    if (id > 1) {
      await daemon.kill();
      for (const [at, { stderr }] of [one, two].entries()) {
        await stderr.waitForLine((line) => line.includes("Lost the"), from[at]);
      }
    }
    for (const [at, proxy] of [one, two].entries()) {
      await proxy.callTool(id, "get-sum", { a: id, b: 10 * at });
    }
    await daemon.start();
    for (const [at, proxy] of [one, two].entries()) {
      const { result } = await proxy.waitForResponse(id);
      assertMatch(result.content[0].text, new RegExp(` is ${id + 10 * at}\\.`));
    }
  }
});

/** Runs `doctor`, and compares its checks with the known facts. */
async function checkByDoctor(bridge: Bridge, server: McpServer): Promise<void> {
  await using daemon = new BridgedServer(bridge, server);
  await daemon.start();
  const { folder, url } = daemon;
  const { code, stdout } = await runToExit(["doctor", "--json", "--url", url], {
    ...{
      HOME: folder,
      USERPROFILE: folder,
      APPDATA: folder,
      LOCALAPPDATA: folder,
    },
    ...{ XDG_STATE_HOME: "", XDG_CONFIG_HOME: "", ALWAYSUP_CACHE: "off" },
  });
  assertEquals(code, 0, stdout);
  const checks: CheckResult[] = JSON.parse(stdout).checks;
  const of = (name: string): string =>
    checks.find((check) => check.name === name)!.text;
  assertMatch(of("daemon"), new RegExp(`: ${server.title}$`));
  assertEquals(of("tools"), `${server.toolCount}`);
  assertMatch(of("probe"), /^\d+\.\d ms/);
  // A second child may start too slowly for the capacity check. Both bridges
  // keep two connections.
  assertMatch(
    of("connections"),
    /keeps several connections|^it is unknown whether the daemon keeps/,
  );
}

for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  test(`doctor: its checks of servers behind ${bridgeName} are right`, async () => {
    // One after the other, because a second child may have only two seconds to
    // start.
    for (const server of [SERVERS.time!, SERVERS.stock!]) {
      await checkByDoctor(bridge, server);
    }
  });
}
