/**
 * Measures how long the first call of a process takes, from the response to
 * `initialize`. The proxy checks the daemon's capacity before that call, which
 * must cost little.
 *
 * @module
 */

import { waitForFileChange } from "../helpers/file_change.ts";
import {
  portOf,
  startLivenessDaemon,
  stateEnv,
} from "../helpers/liveness_processes.ts";
import type { LivenessOptions } from "../helpers/liveness_processes.ts";
import { print } from "../helpers/print.ts";
import { ProxyProcess } from "../helpers/process.ts";

/**
 * How much the capacity check may delay the response to the first call, in
 * milliseconds.
 */
const MAX_DELAY_MS = 500;

/** How many spare child processes the daemon keeps ready. */
const SPARE_PROCESSES = 2;

/** What a proxy knows about the daemon's capacity at its start. */
interface CapacityMode {
  readonly name: string;
  readonly flags: readonly string[];
  /** True if the proxy reads the cache that an earlier one has written. */
  readonly isCached: boolean;
}

const CONFIGURED: CapacityMode = {
  name: "many",
  flags: ["--connections", "many"],
  isCached: false,
};
const MEASURED_MODES: readonly CapacityMode[] = [
  { name: "auto", flags: [], isCached: false },
  { name: "auto, cached", flags: [], isCached: true },
];

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!;
}

/**
 * Measures each kind of daemon `times` times. Returns one line for each kind
 * whose delay is too long.
 *
 * @param hasCapacityCheck whether the program knows `--connections`
 */
export async function measureFirstCalls(
  kinds: readonly string[],
  times: number,
  program: Pick<LivenessOptions, "flags" | "wrap">,
  hasCapacityCheck: boolean,
): Promise<string[]> {
  const modes = hasCapacityCheck
    ? [CONFIGURED, ...MEASURED_MODES]
    : MEASURED_MODES;
  print(
    "First call of a process, from the response to initialize, in ms " +
      `(p50 max), ${times} times each`,
  );
  const cells = modes.map(({ name }) => name.padStart(16));
  print(`${"kind".padEnd(12)}${cells.join("")}`);
  const failures: string[] = [];
  for (const kind of kinds) {
    const found = await measureKind(kind, times, program, modes);
    const row = found.map((all) =>
      `${median(all).toFixed(0)} ${Math.max(...all).toFixed(0)}`.padStart(16)
    );
    print(`${kind.padEnd(12)}${row.join("")}`);
    if (!hasCapacityCheck) continue;
    const late = Math.max(...found[1]!) - median(found[0]!);
    if (late <= MAX_DELAY_MS) continue;
    failures.push(`first call, ${kind}: delayed by ${late.toFixed(0)} ms`);
  }
  return failures;
}

async function measureKind(
  kind: string,
  times: number,
  program: Pick<LivenessOptions, "flags" | "wrap">,
  modes: readonly CapacityMode[],
): Promise<number[][]> {
  const folder = await Deno.makeTempDir({ prefix: "liveness-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const journal = `${folder}/journal`;
  const daemon = stack.use(await startLivenessDaemon(kind, journal, false));
  const isPrepared = (): boolean => {
    const lines = Deno.readTextFileSync(journal).split("\n");
    const count = (what: string): number =>
      lines.filter((line) => line.endsWith(` ${what}`)).length;
    return count("spare") >= count("open") + SPARE_PROCESSES;
  };
  const kept = `${folder}/kept.json`;
  const url = `ws://127.0.0.1:${portOf(daemon)}/`;
  const once = async (mode: CapacityMode): Promise<number> => {
    const cache = mode.isCached ? kept : `${folder}/cache.json`;
    if (!mode.isCached) await Deno.remove(cache).catch(() => {});
    const flags = ["--url", url, ...program.flags ?? [], ...mode.flags];
    const env = { ...stateEnv(folder), ALWAYSUP_CACHE: cache };
    await using proxy = new ProxyProcess(flags, env, program.wrap);
    const { at: from } = await proxy.initialize();
    await proxy.callTool("first", "look", { id: "first" });
    const { at, result } = await proxy.waitForResponse("first");
    if (result?.content?.[0]?.text !== "first") {
      throw new Error(`${kind}: the first call was not answered`);
    }
    await proxy.closeStdin();
    if (kind === "child-sync") await waitForFileChange(journal, isPrepared);
    return at - from;
  };
  const found: number[][] = modes.map(() => []);
  // This run fills the cache.
  for (const mode of modes) if (mode.isCached) await once(mode);
  for (let i = 0; i < times; i++) {
    for (const [at, mode] of modes.entries()) found[at]!.push(await once(mode));
  }
  return found;
}
