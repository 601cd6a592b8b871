/**
 * Shows the main use in a few seconds: a client works through the proxy while
 * its daemon is killed and restarted. Exits with 0 only if every step succeeds.
 *
 *     deno task --quiet demo
 *
 * @module
 */

import { errorMessageOf } from "../lib/text/error_message.ts";
import { print } from "./helpers/print.ts";
import {
  type ChildProcess,
  freePort,
  ProxyProcess,
  type ReceivedResponse,
  startDaemonScript,
} from "./helpers/process.ts";

const start = performance.now();

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function printStep(what: string): void {
  print(`${seconds(performance.now() - start).padStart(8)}  ${what}`);
}

function requireTrue(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Returns the text that a call returned. Throws if the call failed. */
function textOf({ result, error }: ReceivedResponse): string {
  requireTrue(result !== undefined, `a call ended with: ${error?.message}`);
  return result.content[0].text;
}

async function runDemo(): Promise<void> {
  const port = freePort();
  const url = `ws://127.0.0.1:${port}/`;
  const startDaemon = (): Promise<ChildProcess> =>
    startDaemonScript("demo_daemon.ts", `${port}`);
  printStep("A daemon is started: a small MCP server behind a WebSocket");
  await using first = await startDaemon();
  printStep(`It listens at ${url} as process ${first.process.pid}`);

  await using proxy = new ProxyProcess(["--url", url]);
  await proxy.initialize();
  printStep(`A client has started alwaysup as process ${proxy.process.pid}`);
  await proxy.request("list", "tools/list");
  const { result } = await proxy.waitForResponse("list");
  requireTrue(result?.tools.length > 0, "the daemon listed no tools");
  printStep(`It sees ${result.tools.length} tools`);
  await proxy.callTool("sum", "add", { a: 2, b: 3 });
  printStep(`It calls one: ${textOf(await proxy.waitForResponse("sum"))}`);

  for (const tool of ["read-report", "send-mail"]) {
    await proxy.callTool(tool, tool);
    await first.stdout.waitForLine((line) => line === `called ${tool}`);
  }
  printStep("Two long calls run: read-report only reads, send-mail acts");
  const killedAt = performance.now();
  await first.signal("SIGKILL");
  printStep("kill -9 of the daemon");
  const { at, error } = await proxy.waitForResponse("send-mail");
  requireTrue(
    error?.code === -31002,
    `send-mail ended with: ${error?.message}`,
  );
  printStep(`send-mail has its answer after ${seconds(at - killedAt)}:`);
  printStep(`  "${error.message.slice(0, 66)}..."`);

  await proxy.callTool("waiting", "add", { a: 20, b: 22 });
  await proxy.request("ping", "ping");
  await proxy.waitForResponse("ping");
  printStep("Another call is made; there is no daemon, so it waits");
  await using second = await startDaemon();
  const upAt = performance.now();
  printStep(`The daemon is started again, as process ${second.process.pid}`);
  const sum = await proxy.waitForResponse("waiting");
  const text = textOf(sum);
  requireTrue(text.endsWith("= 42"), `20 + 22 gave: ${text}`);
  printStep(
    `The call that waited is answered after ${seconds(sum.at - upAt)}: ${text}`,
  );
  textOf(await proxy.waitForResponse("read-report"));
  printStep("read-report was repeated by itself, and is answered too");
  const mails = second.stdout.lines.filter(({ text }) => /mail/.test(text));
  requireTrue(mails.length === 0, "send-mail was called again");
  printStep("send-mail was not called again");
  await proxy.stderr.waitForLine((line) =>
    line.includes("Reconnected to WebSocket")
  );
  const { code } = await proxy.closeStdin();
  requireTrue(code === 0, `alwaysup ended with ${code}`);
  printStep(
    "The client closes; nothing was restarted by hand, and it never noticed",
  );
}

try {
  await runDemo();
  print("\nEvery step happened.");
  Deno.exit(0);
} catch (error) {
  print(`\nThe demo failed: ${errorMessageOf(error)}`);
  Deno.exit(1);
}
