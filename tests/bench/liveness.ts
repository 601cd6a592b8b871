/**
 * Measures what happens to calls when the daemon is busy, the connection is
 * dead, or the daemon keeps only one connection. Uses real processes. Varies
 * the kind of daemon, the length of the call, and the state of the link. Exits
 * with 1 if the tool itself fails.
 *
 *     deno task liveness [--runs 4] [--kinds a,b] [--durations 1,12]
 *       [--links a,b] [--first 20] [--parallel 24] [--connections VALUE]
 *       [--bin FILE] [--strict] [--logs FOLDER]
 *
 * `--bin` is an executable or an npm package (`.js`) that replaces the source.
 * `--first` is how often the first call of a process is measured; 0 for never.
 * With `--strict`, it also exits with 1 if a promise was broken. `--logs` keeps
 * the stderr of each proxy. `liveness_daemon.ts` and `liveness_run.ts` describe
 * the kinds of daemon. The states of the link:
 *
 * - `living`: nothing happens; two short calls are sent during the long one
 * - `freezing`: during the call, the connection loses all messages in both
 *   directions for ever; new connections work
 * - `idle`: the same after some short calls; then a read-only and an unsafe
 *   call are sent
 *
 * The promises: On a living link, every call is executed once and gets its own
 * result. Nothing unsafe is ever executed twice. A call on a frozen idle
 * connection gets a result or an error within 18 s if the daemon keeps two
 * connections. The capacity check delays the first call of a process by 0.5 s
 * at most.
 *
 * @module
 */

import { pooledMap } from "@std/async/pool.js";
import { parseArgs } from "@std/cli/parse_args.js";
import { measureFirstCalls } from "./first_call.ts";
import {
  DAEMON_KINDS,
  type DaemonKind,
  type LinkState,
  type LivenessRun,
  runLiveness,
  type RunPlan,
  StartSlots,
} from "./liveness_run.ts";
import { reportLiveness } from "./liveness_report.ts";
import { print } from "../helpers/print.ts";
import { proxyCommand } from "../helpers/process.ts";

const LINK_STATES: readonly LinkState[] = ["living", "freezing", "idle"];
/** Few processes start at a time, because each uses a whole core. */
const MAX_PARALLEL_STARTS = 2;

function exitWithUsage(): never {
  print(`Usage: deno task liveness [--kinds ${DAEMON_KINDS.join(",")}] ...`);
  Deno.exit(2);
}

const flags = parseArgs(Deno.args, {
  string: [
    ...["runs", "kinds", "durations", "links", "first", "parallel"],
    ...["connections", "bin", "logs"],
  ],
  boolean: ["strict"],
  unknown: exitWithUsage,
  default: { runs: "4", durations: "1,12,40,130", first: "20", parallel: "24" },
});
const runCount = Number(flags.runs);
const firstCallCount = Number(flags.first);
const kinds: readonly DaemonKind[] = flags.kinds?.split(",") ?? DAEMON_KINDS;
const linkStates: readonly LinkState[] = flags.links?.split(",") ?? LINK_STATES;
const durations: readonly number[] = flags.durations.split(",").map(Number);
if (
  !(runCount >= 0 && firstCallCount >= 0 && Number(flags.parallel) > 0) ||
  !kinds.every((kind) => DAEMON_KINDS.includes(kind)) ||
  !linkStates.every((link) => LINK_STATES.includes(link)) ||
  !durations.every((it) => it > 0)
) {
  exitWithUsage();
}

// This tool measures the source, even if the tests use a built program.
Deno.env.delete("ALWAYSUP_BIN");
// The children exit when this process ends, because their stdin ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(signal, () => Deno.exit(130));
}

/**
 * Returns the command for the measured program, given the command for the
 * source.
 */
function wrap(command: string, args: string[]): [string, string[]] {
  if (flags.bin === undefined) return [command, args];
  const own = args.slice(proxyCommand([])[1].length);
  const path = Deno.realPathSync(flags.bin);
  return /\.m?js$/.test(path) ? ["node", [path, ...own]] : [path, own];
}

/** Returns the plans of all runs, the longest ones first. */
function planRuns(): RunPlan[] {
  const all: RunPlan[] = [];
  for (let number = 0; number < runCount; number++) {
    for (const kind of kinds) {
      for (const linkState of linkStates) {
        for (const seconds of linkState === "idle" ? [0] : durations) {
          all.push({ kind, linkState, ms: seconds * 1_000, number });
        }
      }
    }
  }
  return all.sort((a, b) => b.ms - a.ms);
}

/** Sorts runs by kind, state of the link, and duration. */
function sortRuns(found: readonly LivenessRun[]): LivenessRun[] {
  const key = ({ kind, linkState, ms, number }: LivenessRun): number =>
    ((kinds.indexOf(kind) * 3 + LINK_STATES.indexOf(linkState)) * 1e6 + ms) *
      1e3 + number;
  return found.toSorted((a, b) => key(a) - key(b));
}

/** Returns whether the measured program knows `--connections`. */
async function hasCapacityCheck(): Promise<boolean> {
  const [command, args] = wrap(...proxyCommand(["--help"]));
  const { stdout } = await new Deno.Command(command, { args }).output();
  return new TextDecoder().decode(stdout).includes("--connections");
}

const toolErrors: string[] = [];
if (flags.logs !== undefined) await Deno.mkdir(flags.logs, { recursive: true });

async function runAll(): Promise<LivenessRun[]> {
  const slots = new StartSlots(MAX_PARALLEL_STARTS);
  const chosen = flags.connections === undefined
    ? []
    : ["--connections", flags.connections];
  const all = planRuns();
  const found: LivenessRun[] = [];
  let done = 0;
  const lanes: AsyncIterable<void> = pooledMap(
    Number(flags.parallel),
    all,
    async (plan: RunPlan) => {
      const { kind, linkState, ms, number } = plan;
      const name = `${kind}-${linkState}-${ms / 1_000}-${number}`;
      try {
        const it = await runLiveness(plan, { flags: chosen, wrap }, slots);
        found.push(it);
        if (flags.logs !== undefined) {
          await Deno.writeTextFile(`${flags.logs}/${name}.log`, formatRun(it));
        }
      } catch (error) {
        toolErrors.push(`the tool itself, ${name}: ${(error as Error).stack}`);
      }
      if (++done % 20 === 0) print(`${done} of ${all.length} runs`);
    },
  );
  for await (const _ of lanes);
  return sortRuns(found);
}

/** Returns a run as text: its log, and all other fields as JSON. */
function formatRun({ log, ...rest }: LivenessRun): string {
  return `${log}\n${JSON.stringify(rest, undefined, 1)}\n`;
}

const failures: string[] = [];
if (firstCallCount > 0) {
  const measured = kinds.filter((kind) =>
    kind !== "frozen" && kind !== "stalled"
  );
  failures.push(
    ...await measureFirstCalls(
      measured,
      firstCallCount,
      { wrap },
      await hasCapacityCheck(),
    ),
  );
}
failures.push(...reportLiveness(await runAll(), flags.connections));
for (const line of [...failures, ...toolErrors]) print(`FAILED ${line}`);
const hasFailed = toolErrors.length > 0 || flags.strict && failures.length > 0;
Deno.exit(hasFailed ? 1 : 0);
