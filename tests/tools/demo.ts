/**
 * The main job in half a minute: a client works through the proxy while its
 * daemon is killed and started again. Exit 0 only if every step really
 * happened.
 *
 *     deno task demo
 *
 * @module
 */

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { deadline } from "@std/async/deadline.js";
import { Child, freePort, proxyCommand } from "./rig.ts";
import { print } from "./ws_transport.ts";

/** No step may take longer. */
const STEP_MS = 15_000;

// deno-lint-ignore no-explicit-any
type Json = any;

const start = performance.now();

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function say(what: string): void {
  print(`${seconds(performance.now() - start).padStart(8)}  ${what}`);
}

function must(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

async function startDaemon(port: number): Promise<Child> {
  const script = `${import.meta.dirname}/everything.ts`;
  const args = ["run", "--quiet", "-A", script, `${port}`];
  const daemon = new Child(Deno.execPath(), args, {});
  await daemon.stdout.find((line) => line.startsWith("listening"));
  return daemon;
}

async function demo(): Promise<void> {
  const port = freePort();
  const url = `ws://127.0.0.1:${port}/`;
  say("The daemon is started: the MCP reference server, behind a WebSocket");
  await using first = await startDaemon(port);
  say(`It listens at ${url} as process ${first.process.pid}`);

  const [command, args] = proxyCommand(["--url", url, "--cache", "off"]);
  const transport = new StdioClientTransport({ command, args, stderr: "pipe" });
  const log: string[] = [];
  transport.stderr?.on("data", (data: Uint8Array) => {
    log.push(new TextDecoder().decode(data));
  });
  const client = new Client({ name: "demo", version: "1" }, {
    capabilities: { sampling: {} },
  });
  // The daemon asks the client's model something, which thinks for ever.
  const asked = Promise.withResolvers<void>();
  client.setRequestHandler(CreateMessageRequestSchema, () => {
    asked.resolve();
    return new Promise(() => {});
  });
  const within = <T>(promise: Promise<T>): Promise<T> =>
    deadline(promise, STEP_MS);
  const add = async (a: number, b: number): Promise<string> => {
    const { content } = await client.callTool({
      name: "get-sum",
      arguments: { a, b },
    }) as Json;
    return content[0].text;
  };

  await within(client.connect(transport));
  const proxyPid = transport.pid;
  say(`A client has started alwaysup as process ${proxyPid} and said hello`);
  const { tools } = await within(client.listTools()) as Json;
  must(tools.length > 0, "the daemon listed no tools");
  say(`It sees ${tools.length} tools`);
  const sum = await within(add(2, 3));
  must(/\b5\b/.test(sum), `2 + 3 gave: ${sum}`);
  say(`It calls one: ${sum}`);

  const reading = client.callTool({
    name: "trigger-long-running-operation",
    arguments: { duration: 2, steps: 2 },
  }) as Promise<Json>;
  const acting = client.callTool({
    name: "trigger-sampling-request",
    arguments: { prompt: "How are you?" },
  }).then(() => undefined, (error: Json) => error);
  await within(asked.promise);
  say("Two long calls run: one only reads, the other one acts");
  const killedAt = performance.now();
  await first.signal("SIGKILL");
  say("kill -9 of the daemon");
  const error = await within(acting) as Json;
  const afterMs = performance.now() - killedAt;
  must(error?.code === -31002, `the acting call ended with: ${error?.message}`);
  say(
    `The acting call has its answer after ${
      seconds(afterMs)
    }, and will not be repeated:`,
  );
  say(`  "${error.message.slice(0, 66)}..."`);

  const queued = add(20, 22);
  await within(client.ping());
  say("Another call is made; there is no daemon, so it waits");
  await using second = await startDaemon(port);
  const upAt = performance.now();
  say(`The daemon is started again, as process ${second.process.pid}`);
  const answer = await within(queued);
  const recovery = performance.now() - upAt;
  must(/\b42\b/.test(answer), `20 + 22 gave: ${answer}`);
  say(`The call that waited is answered after ${seconds(recovery)}: ${answer}`);
  const { content: [done] } = await within(reading);
  must(/completed/i.test(done.text), `the reading call gave: ${done.text}`);
  say("The reading call was repeated by itself, and is answered too");
  must(transport.pid === proxyPid, "the proxy is another process");
  must(
    log.join("").includes("Reconnected to WebSocket daemon"),
    "the proxy did not say that it reconnected",
  );
  await within(client.close());
  say("The client closes; nothing was restarted by hand, and it never noticed");
}

try {
  await demo();
  print("\nEvery step happened.");
  Deno.exit(0);
} catch (error) {
  print(`\nThe demo failed: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
