/**
 * How long the first call of a process takes, from the answer to `initialize`:
 * what a proxy tries before it must not cost much.
 *
 * @module
 */

import { changed } from "../helpers/file_change.ts";
import { portOf, startKind, stateIn } from "../helpers/liveness_process.ts";
import type { Cast } from "../helpers/liveness_process.ts";
import { print } from "../helpers/print.ts";
import { Proxy } from "../helpers/process.ts";

/** How much later than without a trial the first call may be answered, in milliseconds. */
const TARGET_MS = 500;

/** How many children of connections are ready at the start. */
const SPARES = 2;

/** What a proxy knows, or is told, of the number of connections. */
interface Mode {
  readonly name: string;
  readonly flags: readonly string[];
  /** Whether it finds what the one before it has kept. */
  readonly isCached: boolean;
}

const TOLD: Mode = {
  name: "many",
  flags: ["--connections", "many"],
  isCached: false,
};
const MODES: readonly Mode[] = [
  { name: "auto", flags: [], isCached: false },
  { name: "auto, cached", flags: [], isCached: true },
];

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!;
}

/**
 * Measures every kind so many times; gives what is beyond the target, a line each.
 *
 * @param hasTrial whether the program knows `--connections`
 */
export async function measureFirst(
  kinds: readonly string[],
  times: number,
  program: Pick<Cast, "flags" | "wrap">,
  hasTrial: boolean,
): Promise<string[]> {
  const modes = hasTrial ? [TOLD, ...MODES] : MODES;
  print(
    "First call of a process, from the answer to initialize, in ms " +
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
    if (!hasTrial) continue;
    const late = Math.max(...found[1]!) - median(found[0]!);
    if (late <= TARGET_MS) continue;
    failures.push(`first call, ${kind}: ${late.toFixed(0)} ms later`);
  }
  return failures;
}

async function measureKind(
  kind: string,
  times: number,
  program: Pick<Cast, "flags" | "wrap">,
  modes: readonly Mode[],
): Promise<number[][]> {
  const folder = await Deno.makeTempDir({ prefix: "liveness-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const journal = `${folder}/journal`;
  const daemon = stack.use(await startKind(kind, journal, false));
  const isPrepared = (): boolean => {
    const lines = Deno.readTextFileSync(journal).split("\n");
    const count = (what: string): number =>
      lines.filter((line) => line.endsWith(` ${what}`)).length;
    return count("spare") >= count("open") + SPARES;
  };
  const kept = `${folder}/kept.json`;
  const url = `ws://127.0.0.1:${portOf(daemon)}/`;
  const once = async (mode: Mode): Promise<number> => {
    const cache = mode.isCached ? kept : `${folder}/cache.json`;
    if (!mode.isCached) await Deno.remove(cache).catch(() => {});
    const flags = ["--url", url, ...program.flags ?? [], ...mode.flags];
    const env = { ...stateIn(folder), ALWAYSUP_CACHE: cache };
    await using proxy = new Proxy(flags, env, program.wrap);
    const { at: from } = await proxy.initialize();
    await proxy.call("first", "look", { id: "first" });
    const { at, result } = await proxy.answer("first");
    if (result?.content?.[0]?.text !== "first") {
      throw new Error(`${kind}: the first call was not answered`);
    }
    await proxy.end();
    if (kind === "child-sync") await changed(journal, isPrepared);
    return at - from;
  };
  const found: number[][] = modes.map(() => []);
  // The cache holds nothing before.
  for (const mode of modes) if (mode.isCached) await once(mode);
  for (let i = 0; i < times; i++) {
    for (const [at, mode] of modes.entries()) found[at]!.push(await once(mode));
  }
  return found;
}
