/**
 * Tests both eras of MCP with third-party peers: the SDK's second version on
 * both sides, in all of its modes, and the Inspector's CLI.
 *
 * @module
 */

import { Client, type McpSubscription } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { assert, assertEquals } from "../helpers/assert.ts";
import { startNpmProgram } from "../helpers/npm_programs.ts";
import { waitForText } from "../helpers/stream_text.ts";
import { test } from "../helpers/time_limit.ts";
import {
  type ChildProcess,
  freePort,
  proxyCommandForClient,
  startDaemonScript,
} from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const startDualEraDaemon = (
  port: number,
  ...tools: string[]
): Promise<ChildProcess> =>
  startDaemonScript("dual_era_daemon.ts", `${port}`, ...tools);

/** The SDK's transport leaves a timer behind when it is closed. */
const UNSANITIZED = { sanitizeOps: false, sanitizeResources: false };

const MODES = ["legacy", "auto", { pin: "2026-07-28" }] as const;

/**
 * Connects an SDK client through a proxy. `open` resolves once it is connected,
 * `changes` at its first `list_changed`, and `lost` once the proxy logs a loss.
 */
function connect(
  port: number,
  mode: typeof MODES[number],
): {
  client: Client;
  open: Promise<void>;
  changes: Promise<void>;
  lost: Promise<void>;
} {
  const [command, args] = proxyCommandForClient([
    ...["--url", `ws://127.0.0.1:${port}/`, "--cache", "off"],
  ]);
  const transport = new StdioClientTransport({
    command,
    args,
    stderr: "pipe",
  });
  const changes = Promise.withResolvers<void>();
  const client = new Client({ name: "tests", version: "1" }, {
    capabilities: {},
    versionNegotiation: { mode },
  });
  client.setNotificationHandler(
    "notifications/tools/list_changed",
    () => changes.resolve(),
  );
  const lost = waitForText(transport.stderr!, "Lost the");
  const open = client.connect(transport);
  return { client, open, changes: changes.promise, lost };
}

for (const mode of MODES) {
  const name = typeof mode === "string" ? mode : mode.pin;
  test(
    `SDK v2 client: with ${name}, it works through a kill and a restart, and gets list_changed for new tools`,
    async () => {
      const port = freePort();
      const first = await startDualEraDaemon(port);
      const { client, open, changes, lost } = connect(port, mode);
      await open;
      const era = client.getNegotiatedProtocolVersion();
      assertEquals(era === "2026-07-28", mode !== "legacy", `${era}`);
      const { tools } = await client.listTools();
      assertEquals(tools.map(({ name }) => name), ["echo"]);
      let subscription: McpSubscription | undefined;
      if (mode !== "legacy") {
        subscription = await client.listen({ toolsListChanged: true });
      }
      const echo = (text: string): Promise<Json> =>
        client.callTool({ name: "echo", arguments: { text } });
      assertEquals((await echo("one")).content[0].text, "echo: one");
      await first.signal("SIGKILL");
      // A call sent before the loss would have an unknown outcome.
      await lost;
      const waiting = echo("two");
      await using _second = await startDualEraDaemon(port, "more");
      assertEquals((await waiting).content[0].text, "echo: two");
      await changes;
      const again = await client.listTools();
      assertEquals(again.tools.map(({ name }) => name), ["echo", "more"]);
      await subscription?.close();
      await client.close();
    },
    UNSANITIZED,
  );
}

test(
  "SDK v2 client: with auto, a daemon that starts late is not mistaken for one of the older era",
  async () => {
    const port = freePort();
    const { client, open } = connect(port, "auto");
    const isOpen = open.then(() => true);
    using listener = Deno.listen({ port, hostname: "127.0.0.1" });
    // Waits for a dial, and makes it fail.
    (await listener.accept()).close();
    listener.close();
    await using _daemon = await startDualEraDaemon(port);
    assert(await isOpen);
    assertEquals(client.getNegotiatedProtocolVersion(), "2026-07-28");
    await client.close();
  },
  UNSANITIZED,
);

for (const era of ["legacy", "auto", "modern"]) {
  test(`Inspector CLI: it works with --protocol-era ${era}`, async () => {
    const port = freePort();
    await using _daemon = await startDualEraDaemon(port);
    const [command, args] = proxyCommandForClient([
      ...["--url", `ws://127.0.0.1:${port}/`, "--cache", "off"],
    ]);
    await using cli = startNpmProgram("inspector", ...[
      ...["--cli", "--protocol-era", era, command, ...args],
      ...["--method", "tools/call", "--tool-name", "echo"],
      ...["--tool-arg", "text=hi"],
    ]);
    const { code } = await cli.waitForExit();
    assertEquals(code, 0, cli.stderr.dump());
    const { content } = JSON.parse(cli.stdout.dump());
    assertEquals(content[0].text, "echo: hi");
  });
}
