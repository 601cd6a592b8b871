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

/** When each event of the demo happened, in milliseconds after its start. */
export interface Timeline {
  /** The daemon listens. */
  readonly daemonUp: number;
  /** The client is initialized. */
  readonly clientReady: number;
  /** `read-report` and `send-mail` run. */
  readonly callsRunning: number;
  /** The daemon is killed. */
  readonly killed: number;
  /** `send-mail` gets its error. */
  readonly mailAnswered: number;
  /** `add` is called without a daemon. */
  readonly addCalled: number;
  /** The daemon listens again. */
  readonly daemonUpAgain: number;
  /** `add` is answered. */
  readonly addAnswered: number;
  /** `read-report` is answered. */
  readonly reportAnswered: number;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function requireTrue(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Returns the text that a call returned. Throws if the call failed. */
function textOf({ result, error }: ReceivedResponse): string {
  requireTrue(result !== undefined, `a call ended with: ${error?.message}`);
  return result.content[0].text;
}

/** Runs the demo and prints each step. Throws if a step fails. */
export async function runDemo(): Promise<Timeline> {
  const start = performance.now();
  const printStep = (what: string): number => {
    const at = performance.now() - start;
    print(`${seconds(at).padStart(8)}  ${what}`);
    return at;
  };
  const port = freePort();
  const url = `ws://127.0.0.1:${port}/`;
  const startDaemon = (): Promise<ChildProcess> =>
    startDaemonScript("demo_daemon.ts", `${port}`);
  printStep("Start a daemon: a small MCP server behind a WebSocket");
  await using first = await startDaemon();
  const daemonUp = printStep(
    `The daemon listens at ${url} (process ${first.process.pid})`,
  );

  await using proxy = new ProxyProcess(["--url", url]);
  await proxy.initialize();
  const clientReady = printStep(
    `An MCP client has started alwaysup (process ${proxy.process.pid})`,
  );
  await proxy.request("list", "tools/list");
  const { result } = await proxy.waitForResponse("list");
  requireTrue(result?.tools.length > 0, "the daemon listed no tools");
  printStep(`The client lists ${result.tools.length} tools`);
  await proxy.callTool("sum", "add", { a: 2, b: 3 });
  const sum = textOf(await proxy.waitForResponse("sum"));
  printStep(`The client calls add: ${sum}`);

  for (const tool of ["read-report", "send-mail"]) {
    await proxy.callTool(tool, tool);
    await first.stdout.waitForLine((line) => line === `called ${tool}`);
  }
  const callsRunning = printStep(
    "Two long calls run: read-report only reads, send-mail has an effect",
  );
  const killed = printStep("Kill the daemon (kill -9)");
  await first.signal("SIGKILL");
  const mail = await proxy.waitForResponse("send-mail");
  const mailAnswered = mail.at - start;
  requireTrue(
    mail.error?.code === -31002,
    `send-mail ended with: ${mail.error?.message}`,
  );
  printStep("send-mail ends with an error, because its outcome is unknown:");
  printStep(`  "${mail.error.message.slice(0, 66)}..."`);

  await proxy.callTool("waiting", "add", { a: 20, b: 22 });
  const addCalled = printStep("The client calls add; the call waits");
  await proxy.stderr.waitForLine((line) => line.includes("Attempt 1 "));
  printStep("alwaysup tries to connect, and tries again");
  await using second = await startDaemon();
  const daemonUpAgain = printStep(
    `The daemon is started again (process ${second.process.pid})`,
  );
  const answer = await proxy.waitForResponse("waiting");
  const text = textOf(answer);
  requireTrue(text.endsWith("= 42"), `20 + 22 gave: ${text}`);
  const addAnswered = answer.at - start;
  const waited = seconds(addAnswered - daemonUpAgain);
  printStep(`The waiting call is answered, ${waited} later: ${text}`);
  const report = await proxy.waitForResponse("read-report");
  textOf(report);
  printStep("alwaysup has repeated read-report, which is answered too");
  const mails = second.stdout.lines.filter(({ text }) => /mail/.test(text));
  requireTrue(mails.length === 0, "send-mail was called again");
  printStep("send-mail was not repeated");
  await proxy.stderr.waitForLine((line) =>
    line.includes("Reconnected to WebSocket")
  );
  const { code } = await proxy.closeStdin();
  requireTrue(code === 0, `alwaysup ended with ${code}`);
  printStep("The client closes. It never had to restart its server.");
  return {
    daemonUp,
    clientReady,
    callsRunning,
    killed,
    mailAnswered,
    addCalled,
    daemonUpAgain,
    addAnswered,
    reportAnswered: report.at - start,
  };
}

if (import.meta.main) {
  try {
    await runDemo();
    print("\nEvery step succeeded.");
    Deno.exit(0);
  } catch (error) {
    print(`\nThe demo failed: ${errorMessageOf(error)}`);
    Deno.exit(1);
  }
}
