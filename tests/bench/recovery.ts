/**
 * Measures how long calls wait after an outage, with real processes. The lag of
 * a call is the time from the moment that the daemon can be reached to the
 * response. Exits with 1 if a response is missing, duplicate or wrong, if
 * something unsafe was executed twice, or if there were too many dials.
 *
 *     deno task recovery [--rounds 3] [--kills 10] [--kinds a,b]
 *       [--dialect mcp|exai|both] [--bin FILE]... [--seed N] [--strict]
 *       [--lanes 12] [--logs FOLDER]
 *
 * All programs meet the same outages: the source, each given executable or npm
 * package (`.js`), and for mcp also a bridge of some 30 lines. With `--strict`,
 * it also exits with 1 if a response is too late. `--logs` keeps the stderr of
 * each client. The kinds of outage:
 *
 * - `kill`: the daemon is killed (-9) and restarted; it is up for 1 to 8 s and
 *   down for 0.2 to 3 s. The lag of a call is the time for which the daemon
 *   could be reached while the call waited.
 * - `rst`: existing and new connections are reset.
 * - `close`: existing connections are closed with 1001, new ones are refused.
 * - `accept-close`: new connections are accepted and closed.
 * - `garbage`: new connections are accepted and get bytes that are not HTTP;
 *   every second time they get a WebSocket whose frames are not messages. These
 *   connections end with the outage.
 * - `1013`: new connections open as WebSockets and are closed with 1013.
 * - `silent-tcp`: new connections are accepted, and nothing is ever sent on
 *   them, even after the outage.
 * - `silent-ws`: new connections open as WebSockets, and nothing is ever sent
 *   on them.
 * - `syn-drop`: the listening process is suspended and its queue is full, so
 *   that the system drops every SYN.
 *
 * For all kinds except `kill`, the daemon keeps running behind the relay
 * `tests/daemons/faulty_relay.ts`.
 *
 * @module
 */

import { pooledMap } from "@std/async/pool.js";
import { parseArgs } from "@std/cli/parse_args.js";
import { type Fault, FAULTS } from "../helpers/faulty_relay.ts";
import { print } from "../helpers/print.ts";
import type { Dialect, MeasuredProgram } from "./recovery_client.ts";
import { planOutages, runOutages } from "./recovery_outages.ts";
import { runKills, startDaemonFor } from "./recovery_kill.ts";
import {
  printProgress,
  type RecoveryResult,
  reportRecovery,
} from "./recovery_report.ts";
import { freePort } from "../helpers/process.ts";
import { seededRandom } from "../simulation/scheduler.ts";

const KINDS: readonly string[] = ["kill", ...FAULTS];

function exitWithUsage(): never {
  print(`Usage: deno task recovery [--kinds ${KINDS.join(",")}] ...`);
  Deno.exit(2);
}

const flags = parseArgs(Deno.args, {
  string: [
    "rounds",
    "kills",
    "kinds",
    "dialect",
    "bin",
    "seed",
    "lanes",
    "logs",
  ],
  boolean: ["strict"],
  collect: ["bin"],
  unknown: exitWithUsage,
  default: { rounds: "3", kills: "10", dialect: "both", lanes: "12" },
});
const rounds = Number(flags.rounds);
const kills = Number(flags.kills);
const seed = Number(flags.seed ?? Math.floor(Math.random() * 1e6));
const kinds: readonly string[] = flags.kinds?.split(",") ?? KINDS;
const dialects = (["mcp", "exai"] as const).filter((dialect) =>
  flags.dialect === "both" || flags.dialect === dialect
);
if (
  !(rounds > 0 && kills > 0 && Number(flags.lanes) > 0) ||
  !Number.isInteger(seed) || dialects.length === 0 ||
  !kinds.every((kind) => KINDS.includes(kind))
) {
  exitWithUsage();
}

// This tool measures the source, even if the tests use a built program.
Deno.env.delete("ALWAYSUP_BIN");

/** Returns a program from the command line: an executable, or a Node script. */
function programOf(file: string): MeasuredProgram {
  const path = Deno.realPathSync(file);
  const isScript = /\.m?js$/.test(path);
  return {
    name: isScript ? "node" : "binary",
    isAlwaysup: true,
    logFolder: flags.logs,
    command: (args) => isScript ? ["node", [path, ...args]] : [path, args],
  };
}

function programsFor(dialect: Dialect): MeasuredProgram[] {
  const { logs: logFolder } = flags;
  const programs: MeasuredProgram[] = [
    { name: "source", isAlwaysup: true, logFolder },
    ...flags.bin.map(programOf),
  ];
  if (dialect === "exai") return programs;
  const script = `${import.meta.dirname}/../daemons/bridge.ts`;
  const start = ["run", "--quiet", "--allow-net", script];
  return [...programs, {
    name: "bridge",
    isAlwaysup: false,
    logFolder,
    command: (args) => [Deno.execPath(), [...start, ...args]],
  }];
}

/**
 * Returns a random generator for one kind and dialect, so that its outages do
 * not depend on what else runs.
 */
function randomFor(kind: string, dialect: Dialect): () => number {
  const at = KINDS.indexOf(kind) * 2 + (dialect === "mcp" ? 0 : 1);
  return seededRandom(seed * 100 + at);
}

const folder = await Deno.makeTempDir({ prefix: "recovery-" });
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
// The children exit when this process ends, because their stdin ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(signal, () => Deno.exit(130));
}

const toolErrors: string[] = [];

async function runAll(): Promise<RecoveryResult[]> {
  await using cleanup = new AsyncDisposableStack();
  const jobs: (() => Promise<RecoveryResult[]>)[] = [];
  if (kinds.includes("kill")) {
    for (const dialect of dialects) {
      const random = randomFor("kill", dialect);
      const programs = programsFor(dialect);
      const journal = `${folder}/kill-${dialect}`;
      jobs.push(() => runKills(dialect, programs, kills, random, journal));
    }
  }
  for (const dialect of dialects) {
    const port = freePort();
    const journal = `${folder}/${dialect}`;
    cleanup.use(await startDaemonFor(dialect, port, journal));
    for (const kind of FAULTS.filter((it: Fault) => kinds.includes(it))) {
      const outages = planOutages(kind, rounds, randomFor(kind, dialect));
      for (const program of programsFor(dialect)) {
        jobs.push(async () => [
          await runOutages(kind, dialect, program, port, outages),
        ]);
      }
    }
  }
  const results: RecoveryResult[] = [];
  const lanes: AsyncIterable<RecoveryResult[]> = pooledMap(
    Number(flags.lanes),
    jobs,
    async (job: () => Promise<RecoveryResult[]>) => {
      try {
        return await job();
      } catch (error) {
        toolErrors.push(`the tool itself: ${(error as Error).stack}`);
        return [];
      }
    },
  );
  for await (const some of lanes) {
    results.push(...some);
    some.forEach(printProgress);
  }
  return results;
}

if (flags.logs !== undefined) await Deno.mkdir(flags.logs, { recursive: true });
print(`seed ${seed}`);
const failures = [
  ...reportRecovery(await runAll(), flags.strict),
  ...toolErrors,
];
for (const failure of failures) print(`FAILED ${failure}`);
Deno.exit(failures.length === 0 ? 0 : 1);
