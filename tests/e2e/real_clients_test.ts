/**
 * Tests the proxy with third-party peers: the SDK's client, the Inspector's
 * CLI, and the MCP project's reference server behind a WebSocket.
 *
 * @module
 */

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { startNpmProgram } from "../helpers/npm_programs.ts";
import { waitForText } from "../helpers/stream_text.ts";
import { test, withWaitLimit } from "../helpers/time_limit.ts";
import {
  type ChildProcess,
  freePort,
  proxyCommandForClient,
  startDaemonScript,
} from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** The SDK's transport leaves a timer behind when it is closed. */
const UNSANITIZED = { sanitizeOps: false, sanitizeResources: false };

const startEverythingServer = (port: number): Promise<ChildProcess> =>
  startDaemonScript("everything.ts", `${port}`);

test(
  "SDK client: it gets warnings as notifications/message once it has set a level (--log-to-client)",
  async () => {
    const port = freePort();
    await using server = await startEverythingServer(port);
    const [command, args] = proxyCommandForClient([
      ...["--url", `ws://127.0.0.1:${port}/`, "--cache", "off"],
      ...["--log-to-client", "on"],
    ]);
    const transport = new StdioClientTransport({
      command,
      args,
      stderr: "ignore",
    });
    const client = new Client({ name: "tests", version: "1" });
    const { promise: warned, resolve } = Promise.withResolvers<Json>();
    client.setNotificationHandler(
      LoggingMessageNotificationSchema,
      ({ params }: Json) => {
        if (params.logger === "alwaysup") resolve(params);
      },
    );
    await client.connect(transport);
    await client.setLoggingLevel("warning");
    await server.signal("SIGKILL");
    const { level, data } = await withWaitLimit(warned, "a warning");
    assertEquals(level, "warning");
    assertMatch(data, /^Lost the WebSocket daemon at ws:/);
    await client.close();
  },
  UNSANITIZED,
);

test(
  "SDK client: it works through a kill and a restart of the reference server",
  async () => {
    const port = freePort();
    const first = await startEverythingServer(port);
    const [command, args] = proxyCommandForClient([
      ...["--url", `ws://127.0.0.1:${port}/`, "--cache", "off"],
    ]);
    const transport = new StdioClientTransport({
      command,
      args,
      stderr: "pipe",
    });
    const client = new Client({ name: "tests", version: "1" }, {
      capabilities: {},
    });
    const trouble: Error[] = [];
    client.onerror = (error: Error) => trouble.push(error);
    const lost = waitForText(transport.stderr!, "Lost the");
    await client.connect(transport);
    const { tools } = await client.listTools() as { tools: Json[] };
    assert(tools.some(({ name }) => name === "echo"));
    const echo = (message: string): Promise<Json> =>
      client.callTool({ name: "echo", arguments: { message } });
    assertEquals((await echo("one")).content[0].text, "Echo: one");
    await first.signal("SIGKILL");
    // A call sent before the loss would have an unknown outcome.
    await lost;
    const waiting = echo("two");
    await using _second = await startEverythingServer(port);
    assertEquals((await waiting).content[0].text, "Echo: two");
    const progress: number[] = [];
    await client.callTool(
      {
        name: "trigger-long-running-operation",
        arguments: { duration: 1, steps: 3 },
      },
      undefined,
      {
        onprogress: ({ progress: value }: { progress: number }) =>
          progress.push(value),
      },
    );
    // The third value arrives together with the response. The SDK's client
    // forgets the token before it handles the messages that precede the
    // response.
    assertEquals(progress.slice(0, 2), [1, 2]);
    const { resources } = await client.listResources() as { resources: Json[] };
    await client.subscribeResource({ uri: resources[0].uri });
    await client.ping();
    await client.close();
    const strange = trouble.map(({ message }) => message)
      .filter((message) =>
        !/progress notification .*unknown token/.test(message)
      );
    assertEquals(strange, []);
  },
  UNSANITIZED,
);

test("Inspector CLI: it lists and calls tools", async () => {
  const port = freePort();
  await using _daemon = await startEverythingServer(port);
  const [command, args] = proxyCommandForClient([
    ...["--url", `ws://127.0.0.1:${port}/`, "--cache", "off"],
  ]);
  const inspect = async (...rest: string[]): Promise<Json> => {
    await using cli = startNpmProgram(
      "inspector",
      "--cli",
      command,
      ...args,
      ...rest,
    );
    const { code } = await cli.waitForExit();
    assertEquals(code, 0, cli.stderr.dump());
    return JSON.parse(cli.stdout.dump());
  };
  const { tools } = await inspect("--method", "tools/list");
  assert(tools.length > 5);
  const call = ["--method", "tools/call", "--tool-name", "echo"];
  const { content } = await inspect(...call, "--tool-arg", "message=hi");
  assertMatch(content[0].text, /Echo: hi/);
});
