/**
 * The main job in a few seconds: a client works through the proxy while its
 * daemon is killed and started again. Exit 0 only if every step really
 * happened.
 *
 *     deno task --quiet demo
 *
 * @module
 */

import { messageOf } from "../lib/text/error_message.ts";
import { print } from "./helpers/print.ts";
import {
  type Answer,
  type Child,
  freePort,
  Proxy,
  startScript,
} from "./helpers/process.ts";

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

/** The text that a call gave. Throws if it failed. */
function textOf({ result, error }: Answer): string {
  must(result !== undefined, `a call ended with: ${error?.message}`);
  return result.content[0].text;
}

async function demo(): Promise<void> {
  const port = freePort();
  const url = `ws://127.0.0.1:${port}/`;
  const startDaemon = (): Promise<Child> =>
    startScript("demo_daemon.ts", `${port}`);
  say("A daemon is started: a small MCP server behind a WebSocket");
  await using first = await startDaemon();
  say(`It listens at ${url} as process ${first.process.pid}`);

  await using proxy = new Proxy(["--url", url]);
  await proxy.initialize();
  say(`A client has started alwaysup as process ${proxy.process.pid}`);
  await proxy.ask("list", "tools/list");
  const { result } = await proxy.answer("list");
  must(result?.tools.length > 0, "the daemon listed no tools");
  say(`It sees ${result.tools.length} tools`);
  await proxy.call("sum", "add", { a: 2, b: 3 });
  say(`It calls one: ${textOf(await proxy.answer("sum"))}`);

  for (const tool of ["read-report", "send-mail"]) {
    await proxy.call(tool, tool);
    await first.stdout.find((line) => line === `called ${tool}`);
  }
  say("Two long calls run: read-report only reads, send-mail acts");
  const killedAt = performance.now();
  await first.signal("SIGKILL");
  say("kill -9 of the daemon");
  const { at, error } = await proxy.answer("send-mail");
  must(error?.code === -31002, `send-mail ended with: ${error?.message}`);
  say(`send-mail has its answer after ${seconds(at - killedAt)}:`);
  say(`  "${error.message.slice(0, 66)}..."`);

  await proxy.call("waiting", "add", { a: 20, b: 22 });
  await proxy.ask("ping", "ping");
  await proxy.answer("ping");
  say("Another call is made; there is no daemon, so it waits");
  await using second = await startDaemon();
  const upAt = performance.now();
  say(`The daemon is started again, as process ${second.process.pid}`);
  const sum = await proxy.answer("waiting");
  const text = textOf(sum);
  must(text.endsWith("= 42"), `20 + 22 gave: ${text}`);
  say(
    `The call that waited is answered after ${seconds(sum.at - upAt)}: ${text}`,
  );
  textOf(await proxy.answer("read-report"));
  say("read-report was repeated by itself, and is answered too");
  const mails = second.stdout.all.filter(({ text }) => /mail/.test(text));
  must(mails.length === 0, "send-mail was called again");
  say("send-mail was not called again");
  await proxy.stderr.find((line) => line.includes("Reconnected to WebSocket"));
  const { code } = await proxy.end();
  must(code === 0, `alwaysup ended with ${code}`);
  say("The client closes; nothing was restarted by hand, and it never noticed");
}

try {
  await demo();
  print("\nEvery step happened.");
  Deno.exit(0);
} catch (error) {
  print(`\nThe demo failed: ${messageOf(error)}`);
  Deno.exit(1);
}
