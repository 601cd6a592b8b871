/**
 * Counts how often a real proxy wakes up while it passes on calls.
 *
 * @module
 */

import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { ProxyProcess } from "../helpers/process.ts";

/**
 * The name of how often the main thread has nothing to do and waits. On a busy
 * machine that is rare, because the next message is there before.
 */
const WAITS = "process, call: waits of the main thread";
/**
 * The name of how often the system switches from the main thread to another
 * one: all waits, and all interruptions. A busy machine has fewer waits and
 * more interruptions.
 */
const SWITCHES = "process, call: switches from the main thread";
/** How many calls come first, and how many are measured. */
const [WARM_UP_CALLS, CALLS] = [100, 300];
/** How many processes are measured. The least count is used. */
const PROCESSES = 5;

/** Returns the counts per call. The calls follow one another. Linux only. */
export async function wakeUpCosts(): Promise<Record<string, number>> {
  const counts: Switches[] = [];
  for (let i = 0; i < PROCESSES; i++) counts.push(await switchesPerCall());
  return {
    [WAITS]: Math.min(...counts.map(({ waits }) => waits)),
    [SWITCHES]: Math.min(...counts.map(({ all }) => all)),
  };
}

/** How often a thread has waited, and how often it was switched from. */
interface Switches {
  readonly waits: number;
  readonly all: number;
}

async function switchesPerCall(): Promise<Switches> {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess(["--url", daemon.url]);
  await proxy.initialize();
  let id = 1;
  const call = async (): Promise<void> => {
    const { length } = proxy.stdout.lines;
    await proxy.callTool(id++, "echo", { message: "small" });
    await proxy.stdout.waitForLine(() => true, length);
  };
  for (let i = 0; i < WARM_UP_CALLS; i++) await call();
  const before = await switchesOf(proxy.process.pid);
  for (let i = 0; i < CALLS; i++) await call();
  const after = await switchesOf(proxy.process.pid);
  await proxy.closeStdin();
  return {
    waits: (after.waits - before.waits) / CALLS,
    all: (after.all - before.all) / CALLS,
  };
}

/** Returns the counts of the main thread of a process since its start. */
async function switchesOf(pid: number): Promise<Switches> {
  const path = `/proc/${pid}/task/${pid}/status`;
  const text = await Deno.readTextFile(path);
  const countOf = (kind: string): number =>
    Number(
      new RegExp(`^${kind}_ctxt_switches:\\s*(\\d+)$`, "m").exec(text)![1],
    );
  const waits = countOf("voluntary");
  return { waits, all: waits + countOf("nonvoluntary") };
}
