/**
 * The figures that the README and the notes speak of, with real processes: each
 * is measured once and printed beside what it may be.
 *
 *     deno task figures
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { Rig } from "../helpers/mcp_process.ts";
import { Relay } from "../helpers/tcp_relay.ts";
import {
  type Child,
  freePort,
  Proxy,
  startScript,
} from "../helpers/process.ts";
import { print } from "../helpers/print.ts";

function say(what: string, ms: number, most: number): void {
  print(`${what.padEnd(66)} ${ms.toFixed(0).padStart(6)} ms (at most ${most})`);
}

async function exai(): Promise<void> {
  await using daemon = new ExaiProcess();
  await daemon.up("--progress", "60000");
  await using proxy = new Proxy([], { EXAI_WS_PORT: `${daemon.port}` });
  await proxy.initialize();
  let start = performance.now();
  for (let id = 1; id <= 8; id++) await proxy.call(id, "sleep", { ms: 1_000 });
  let last = 0;
  for (let id = 1; id <= 8; id++) {
    last = Math.max(last, (await proxy.answer(id)).at);
  }
  say("exai: eight calls of 1 s at a time", last - start, 2_500);
  await proxy.call("long", "sleep", { ms: 30_000 });
  await daemon.until("execute", 9);
  start = performance.now();
  await proxy.ask("list", "tools/list");
  const { at } = await proxy.answer("list");
  say("exai: tools/list during a call of 30 s", at - start, 100);
  await daemon.kill();
  await proxy.stderr.find((line) => line.includes("Lost the WebSocket daemon"));
  for (const id of ["a", "b", "c"]) await proxy.call(id, "echo", { text: id });
  await daemon.up();
  start = performance.now();
  for (const id of ["a", "b", "c"]) last = (await proxy.answer(id)).at;
  say("exai: three calls that waited, after the restart", last - start, 2_500);
  await proxy.call("block", "block", { ms: 20_000 });
  start = performance.now();
  const { result } = await proxy.answer("block");
  const text = result.content[0].text;
  say(`exai: a tool that blocks the daemon: "${text}"`, 20_000, 21_000);
  const lines = proxy.stderr.dump().split("\n").filter((line) =>
    line.includes("connected to")
  );
  print(`exai: connections of the main link in all: ${lines.length}`);
}

async function limits(): Promise<void> {
  const env = { GLM_STREAM_TIMEOUT: "2", KIMI_STREAM_TIMEOUT: "4" };
  await using rig = new Rig([], env);
  await rig.up("--extra", "glm_chat,kimi_chat");
  await rig.proxy.initialize();
  const start = performance.now();
  await rig.proxy.call(1, "glm_chat", { ms: 60_000 });
  await rig.proxy.call(2, "kimi_chat", { ms: 60_000 });
  say("GLM_STREAM_TIMEOUT=2", (await rig.proxy.answer(1)).at - start, 2_500);
  say("KIMI_STREAM_TIMEOUT=4", (await rig.proxy.answer(2)).at - start, 4_500);
}

async function network(): Promise<void> {
  const port = freePort();
  await using relay = new Relay(port);
  await using rig = new Rig([], {}, relay.port, port);
  await rig.up();
  await rig.proxy.initialize();
  await rig.proxy.call(1, "write", { ms: 60_000 });
  await rig.probedAfter("call write");
  await rig.proxy.ask("through", "tools/list");
  await rig.proxy.answer("through");
  let start = performance.now();
  relay.swallow();
  const { at } = await rig.proxy.answer(1);
  say("a black hole with a call in flight is left after", at - start, 20_000);
  await rig.proxy.call(2, "write");
  await rig.proxy.answer(2);
  start = performance.now();
  relay.swallow();
  await rig.proxy.stderr.find((line) => line.includes("ping in time"));
  say("an idle one after", performance.now() - start, 10_500);
  await rig.proxy.call(3, "write");
  await rig.proxy.answer(3);
  rig.proxy.process.kill("SIGSTOP");
  relay.swallow();
  await delay(9_000);
  start = performance.now();
  rig.proxy.process.kill("SIGCONT");
  await rig.proxy.call(4, "write");
  const { at: awake } = await rig.proxy.answer(4);
  say("awake on another network: the next answer after", awake - start, 2_000);
}

/** From the start of a process to its answer to a first line, and to its end. */
async function opening(
  args: readonly string[],
  env: Record<string, string>,
  line: Record<string, unknown>,
): Promise<{ answered: number; ended: number }> {
  const start = performance.now();
  await using proxy = new Proxy([...args], env);
  await proxy.tell({ jsonrpc: "2.0", id: 0, ...line });
  const { at } = await proxy.answer(0);
  await proxy.end();
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

async function openings(): Promise<void> {
  const rounds = 11;
  const dual = await startDual();
  const cache = await Deno.makeTempFile();
  await Deno.remove(cache);
  const there = ["--url", `ws://127.0.0.1:${dual.port}/`];
  const kept = { ALWAYSUP_CACHE: cache };
  await opening(there, kept, HELLO);
  const found = { up: [], cached: [], probe: [], legacy: [] } as Record<
    string,
    number[]
  >;
  await using daemon = dual.child;
  for (let i = 0; i < rounds; i++) {
    found.up!.push((await opening(there, {}, HELLO)).answered);
    found.legacy!.push((await opening(there, {}, HELLO)).ended);
    const discover = { method: "server/discover", params: { _meta } };
    found.probe!.push((await opening(there, {}, discover)).ended);
  }
  await daemon.signal("SIGKILL");
  for (let i = 0; i < rounds; i++) {
    found.cached!.push((await opening(there, kept, HELLO)).answered);
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
    `a sibling that asks server/discover and ends: ${
      probe.toFixed(0)
    } ms, one ` +
      `that says initialize: ${legacy.toFixed(0)} ms: ratio ` +
      `${(probe / legacy).toFixed(2)} (at most 1.3)`,
  );
}

/** A daemon that serves both eras. */
async function startDual(): Promise<{ port: number; child: Child }> {
  const port = freePort();
  return { port, child: await startScript("dual_era_daemon.ts", `${port}`) };
}

await openings();
await exai();
await limits();
await network();
