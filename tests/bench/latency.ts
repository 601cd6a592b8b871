/**
 * Measures the durations that the documentation cites, with real processes.
 * Most are measured once. Each is printed beside its limit.
 *
 *     deno task figures
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { TcpRelay } from "../helpers/tcp_relay.ts";
import {
  type ChildProcess,
  freePort,
  ProxyProcess,
  startDaemonScript,
} from "../helpers/process.ts";
import { print } from "../helpers/print.ts";

function printFigure(what: string, ms: number, most: number): void {
  print(`${what.padEnd(66)} ${ms.toFixed(0).padStart(6)} ms (at most ${most})`);
}

async function measureExai(): Promise<void> {
  await using daemon = new ExaiProcess();
  await daemon.start("--progress", "60000");
  await using proxy = new ProxyProcess([], { EXAI_WS_PORT: `${daemon.port}` });
  await proxy.initialize();
  let start = performance.now();
  for (let id = 1; id <= 8; id++) {
    await proxy.callTool(id, "sleep", { ms: 1_000 });
  }
  let last = 0;
  for (let id = 1; id <= 8; id++) {
    last = Math.max(last, (await proxy.waitForResponse(id)).at);
  }
  printFigure("exai: eight calls of 1 s at once", last - start, 2_500);
  await proxy.callTool("long", "sleep", { ms: 30_000 });
  await daemon.waitForEntries("execute", 9);
  start = performance.now();
  await proxy.request("list", "tools/list");
  const { at } = await proxy.waitForResponse("list");
  printFigure("exai: tools/list during a call of 30 s", at - start, 100);
  await daemon.kill();
  await proxy.stderr.waitForLine((line) =>
    line.includes("Lost the WebSocket daemon")
  );
  for (const id of ["a", "b", "c"]) {
    await proxy.callTool(id, "echo", { text: id });
  }
  await daemon.start();
  start = performance.now();
  for (const id of ["a", "b", "c"]) last = (await proxy.waitForResponse(id)).at;
  printFigure(
    "exai: three calls that waited, after the restart",
    last - start,
    2_500,
  );
  await proxy.callTool("block", "block", { ms: 20_000 });
  start = performance.now();
  const { result } = await proxy.waitForResponse("block");
  const text = result.content[0].text;
  printFigure(`exai: a tool that blocks the daemon: "${text}"`, 20_000, 21_000);
  const lines = proxy.stderr.dump().split("\n").filter((line) =>
    line.includes("connected to")
  );
  print(`exai: how often the main connection was made: ${lines.length}`);
}

async function measureLimits(): Promise<void> {
  const env = { GLM_STREAM_TIMEOUT: "2", KIMI_STREAM_TIMEOUT: "4" };
  await using processes = new ProxyAndDaemon([], env);
  await processes.startDaemon("--extra", "glm_chat,kimi_chat");
  await processes.proxy.initialize();
  const start = performance.now();
  await processes.proxy.callTool(1, "glm_chat", { ms: 60_000 });
  await processes.proxy.callTool(2, "kimi_chat", { ms: 60_000 });
  printFigure(
    "GLM_STREAM_TIMEOUT=2",
    (await processes.proxy.waitForResponse(1)).at - start,
    2_500,
  );
  printFigure(
    "KIMI_STREAM_TIMEOUT=4",
    (await processes.proxy.waitForResponse(2)).at - start,
    4_500,
  );
}

async function measureNetwork(): Promise<void> {
  const port = freePort();
  await using relay = new TcpRelay(port);
  await using processes = new ProxyAndDaemon([], {}, relay.port, port);
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.proxy.callTool(1, "write", { ms: 60_000 });
  await processes.waitForProbeAfter("call write");
  await processes.proxy.request("through", "tools/list");
  await processes.proxy.waitForResponse("through");
  let start = performance.now();
  relay.blackhole();
  const { at } = await processes.proxy.waitForResponse(1);
  printFigure(
    "black hole with a call in flight: error after",
    at - start,
    20_000,
  );
  await processes.proxy.callTool(2, "write");
  await processes.proxy.waitForResponse(2);
  start = performance.now();
  relay.blackhole();
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("ping in time")
  );
  printFigure(
    "black hole while idle: noticed after",
    performance.now() - start,
    10_500,
  );
  await processes.proxy.callTool(3, "write");
  await processes.proxy.waitForResponse(3);
  processes.proxy.process.kill("SIGSTOP");
  relay.blackhole();
  await delay(9_000);
  start = performance.now();
  processes.proxy.process.kill("SIGCONT");
  await processes.proxy.callTool(4, "write");
  const { at: awake } = await processes.proxy.waitForResponse(4);
  printFigure(
    "after a sleep, on another network: next response after",
    awake - start,
    2_000,
  );
}

/**
 * Returns the time from the start of a process to its first response, and to
 * its exit.
 */
async function measureOpening(
  args: readonly string[],
  env: Record<string, string>,
  line: Record<string, unknown>,
): Promise<{ answered: number; ended: number }> {
  const start = performance.now();
  await using proxy = new ProxyProcess([...args], env);
  await proxy.send({ jsonrpc: "2.0", id: 0, ...line });
  const { at } = await proxy.waitForResponse(0);
  await proxy.closeStdin();
  return { answered: at - start, ended: performance.now() - start };
}

const HELLO = {
  method: "initialize",
  params: {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "figures", version: "1" },
  },
};
const _meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

async function measureOpenings(): Promise<void> {
  const rounds = 11;
  const dual = await startDualEraDaemon();
  const cache = await Deno.makeTempFile();
  await Deno.remove(cache);
  const urlFlags = ["--url", `ws://127.0.0.1:${dual.port}/`];
  const cacheEnv = { ALWAYSUP_CACHE: cache };
  await measureOpening(urlFlags, cacheEnv, HELLO);
  const found = { up: [], cached: [], probe: [], legacy: [] } as Record<
    string,
    number[]
  >;
  await using daemon = dual.child;
  for (let i = 0; i < rounds; i++) {
    found.up!.push((await measureOpening(urlFlags, {}, HELLO)).answered);
    found.legacy!.push((await measureOpening(urlFlags, {}, HELLO)).ended);
    const discover = { method: "server/discover", params: { _meta } };
    found.probe!.push((await measureOpening(urlFlags, {}, discover)).ended);
  }
  await daemon.signal("SIGKILL");
  for (let i = 0; i < rounds; i++) {
    found.cached!.push(
      (await measureOpening(urlFlags, cacheEnv, HELLO)).answered,
    );
  }
  await Deno.remove(cache);
  const [up, cached, probe, legacy] = ["up", "cached", "probe", "legacy"]
    .map((name) => median(found[name]!)) as [number, number, number, number];
  print(
    `initialize from the cache, no daemon: ${cached.toFixed(0)} ms, with a ` +
      `daemon ${up.toFixed(0)} ms: ratio ${
        (cached / up).toFixed(2)
      } (at most 1)`,
  );
  print(
    `a process that gets server/discover and exits: ${
      probe.toFixed(0)
    } ms, one ` +
      `that gets initialize: ${legacy.toFixed(0)} ms: ratio ` +
      `${(probe / legacy).toFixed(2)} (at most 1.3)`,
  );
}

/** Starts a daemon that speaks MCP with `initialize` and without it. */
async function startDualEraDaemon(): Promise<
  { port: number; child: ChildProcess }
> {
  const port = freePort();
  return {
    port,
    child: await startDaemonScript("dual_era_daemon.ts", `${port}`),
  };
}

await measureOpenings();
await measureExai();
await measureLimits();
await measureNetwork();
