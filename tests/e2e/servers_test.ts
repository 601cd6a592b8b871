/**
 * Servers and bridges that nobody here wrote, killed with SIGKILL while idle,
 * while a call waits and while calls are in flight, before the SDK's clients of
 * both versions.
 *
 * @module
 */

import { Client as Client2 } from "@modelcontextprotocol/client";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { assertEquals, assertMatch } from "../tools/assert.ts";
import { test } from "../tools/limit.ts";
import { ProxyTransport } from "../tools/proxy_transport.ts";
import { Proxy } from "../tools/rig.ts";
import {
  BridgedServer,
  BRIDGES,
  SERVERS,
  type ToolCall,
} from "../tools/servers.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** A client of the SDK's, of one of its versions, and what it did not like. */
function makeClient(version: 1 | 2): { client: Json; trouble: string[] } {
  const Client = version === 1 ? Client1 : Client2;
  const client: Json = new Client({ name: "tests", version: "1" }, {
    capabilities: {},
  });
  const trouble: string[] = [];
  client.onerror = ({ message }: Error) => trouble.push(message);
  return { client, trouble };
}

let turn = 0;
for (const [bridgeName, bridge] of Object.entries(BRIDGES)) {
  for (const [serverName, server] of Object.entries(SERVERS)) {
    // Each server and each bridge meets both.
    const version = turn++ % 2 === 0 ? 1 : 2;
    test(`${serverName} (${server.sdk}) behind ${bridgeName} (child ${bridge.child}), SDK v${version}`, async () => {
      await using daemon = new BridgedServer(bridge, server);
      await daemon.up();
      await using proxy = new Proxy(["--url", daemon.url]);
      const { stderr } = proxy;
      const { client, trouble } = makeClient(version);
      await client.connect(new ProxyTransport(proxy));
      const call = (
        { name, arguments: input }: ToolCall,
      ): Promise<Json> =>
        client.callTool({ name, arguments: daemon.placed(input) });
      const tools = async (): Promise<unknown> =>
        (await client.listTools()).tools;
      const works = async (made = call(server.call)): Promise<void> => {
        assertMatch((await made).content[0].text, server.call.says);
      };
      const first = await tools();
      await works();
      const lost = async (): Promise<void> => {
        const from = stderr.all.length;
        await daemon.kill();
        await stderr.find((line) => line.includes("Lost the"), from);
      };
      const back = async (): Promise<void> => {
        const from = stderr.all.length;
        await daemon.up();
        await stderr.find((line) => line.includes("Reconnected"), from);
        await daemon.says(/initialize\b/);
      };

      // Idle.
      await lost();
      await back();
      assertEquals(await tools(), first);
      await works();

      // Queued.
      await lost();
      const queued = call(server.call);
      await back();
      await works(queued);
      assertEquals(await tools(), first);

      // In flight.
      await daemon.freeze();
      const from = daemon.lines;
      const flying = call(server.call);
      await daemon.says(/tools\/call/, from);
      const outcome = flying.catch((error: Json) => error);
      let unsafe: Promise<Json> | undefined;
      if (server.write !== undefined) {
        const from = daemon.lines;
        unsafe = call(server.write).catch((error: Json) => error);
        await daemon.says(/tools\/call/, from);
      }
      await lost();
      await back();
      if (server.isHinted) await works(outcome);
      else assertEquals((await outcome).code, -31002);
      assertEquals(await tools(), first);
      await works();
      if (server.write !== undefined) {
        const { code, data } = await unsafe;
        assertEquals([code, data.delivered], [-31002, "unknown"]);
        // It was not executed.
        const { content } = await call(server.write);
        assertMatch(content[0].text, server.write.says);
      }
      assertEquals(trouble, []);
      await client.close();
    });
  }
}
