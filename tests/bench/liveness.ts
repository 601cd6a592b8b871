/**
 * Dead, busy, or only one at a time: what becomes of calls, with real processes,
 * by the daemon's kind, the length of the call, and what happens to the
 * connection. Ends with 1 if the tool itself fails.
 *
 *     deno task liveness [--runs 4] [--kinds a,b] [--durations 1,12] [--links a,b]
 *       [--first 20] [--parallel 24] [--connections VALUE] [--bin FILE] [--strict]
 *       [--logs FOLDER]
 *
 * `--bin` is an executable or an npm package (`.js`) instead of the source.
 * `--first` is how often the first call of a process is measured; 0: not at all.
 * `--strict` ends with 1 also if a promise was broken. `--logs` keeps what each
 * proxy wrote to stderr. `liveness_process.ts` and `liveness_run.ts` have the
 * kinds of daemon. The links:
 *
 * - `living`: nothing happens; two short calls come during the long one
 * - `freezing`: during the call the connection goes silent in both directions
 *   for ever; new connections work
 * - `idle`: the same after some short calls; then a read-only and an unsafe call
 *   come
 *
 * The promises: over a living link every call is executed once and answered with
 * its own result; nothing unsafe is ever executed twice; a call on an idle
 * connection that is frozen is answered or told within 18 s where the daemon keeps
 * two connections; the first call of a process is at most 0.5 s later than
 * without the trial.
 *
 * @module
 */

import { pooledMap } from "@std/async/pool.js";
import { parseArgs } from "@std/cli/parse_args.js";
import { measureFirst } from "./first_call.ts";
import {
  type Kind,
  KINDS,
  type Link,
  live,
  type Plan,
  type Run,
  Slots,
} from "./liveness_run.ts";
import { report } from "./liveness_report.ts";
import { print } from "../helpers/print.ts";
import { proxyCommand } from "../helpers/process.ts";

const LINKS: readonly Link[] = ["living", "freezing", "idle"];
/** A start takes all that a core has. */
const STARTING = 2;

function usage(): never {
  print(`Say deno task liveness [--kinds ${KINDS.join(",")}] ...`);
  Deno.exit(2);
}

const flags = parseArgs(Deno.args, {
  string: [
    ...["runs", "kinds", "durations", "links", "first", "parallel"],
    ...["connections", "bin", "logs"],
  ],
  boolean: ["strict"],
  unknown: usage,
  default: { runs: "4", durations: "1,12,40,130", first: "20", parallel: "24" },
});
const runs = Number(flags.runs);
const first = Number(flags.first);
const kinds: readonly Kind[] = flags.kinds?.split(",") ?? KINDS;
const links: readonly Link[] = flags.links?.split(",") ?? LINKS;
const durations: readonly number[] = flags.durations.split(",").map(Number);
if (
  !(runs >= 0 && first >= 0 && Number(flags.parallel) > 0) ||
  !kinds.every((kind) => KINDS.includes(kind)) ||
  !links.every((link) => LINKS.includes(link)) ||
  !durations.every((it) => it > 0)
) {
  usage();
}

// The source is the source, whatever the tests are told.
Deno.env.delete("ALWAYSUP_BIN");
// Every child ends when its stdin does.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(signal, () => Deno.exit(130));
}

/** The program under test: what starts it, given the command of the source. */
function wrap(command: string, args: string[]): [string, string[]] {
  if (flags.bin === undefined) return [command, args];
  const own = args.slice(proxyCommand([])[1].length);
  const path = Deno.realPathSync(flags.bin);
  return /\.m?js$/.test(path) ? ["node", [path, ...own]] : [path, own];
}

/** Every run, the longest ones first. */
function plans(): Plan[] {
  const all: Plan[] = [];
  for (let number = 0; number < runs; number++) {
    for (const kind of kinds) {
      for (const link of links) {
        for (const seconds of link === "idle" ? [0] : durations) {
          all.push({ kind, link, ms: seconds * 1_000, number });
        }
      }
    }
  }
  return all.sort((a, b) => b.ms - a.ms);
}

/** Puts the runs of a cell side by side, in the order of the kinds. */
function inOrder(found: readonly Run[]): Run[] {
  const key = ({ kind, link, ms, number }: Run): number =>
    ((kinds.indexOf(kind) * 3 + LINKS.indexOf(link)) * 1e6 + ms) * 1e3 + number;
  return found.toSorted((a, b) => key(a) - key(b));
}

/** Whether the program under test knows `--connections`. */
async function hasTrial(): Promise<boolean> {
  const [command, args] = wrap(...proxyCommand(["--help"]));
  const { stdout } = await new Deno.Command(command, { args }).output();
  return new TextDecoder().decode(stdout).includes("--connections");
}

const broken: string[] = [];
if (flags.logs !== undefined) await Deno.mkdir(flags.logs, { recursive: true });

async function run(): Promise<Run[]> {
  const slots = new Slots(STARTING);
  const chosen = flags.connections === undefined
    ? []
    : ["--connections", flags.connections];
  const all = plans();
  const found: Run[] = [];
  let done = 0;
  const lanes: AsyncIterable<void> = pooledMap(
    Number(flags.parallel),
    all,
    async (plan: Plan) => {
      const { kind, link, ms, number } = plan;
      const name = `${kind}-${link}-${ms / 1_000}-${number}`;
      try {
        const it = await live(plan, { flags: chosen, wrap }, slots);
        found.push(it);
        if (flags.logs !== undefined) {
          await Deno.writeTextFile(`${flags.logs}/${name}.log`, noted(it));
        }
      } catch (error) {
        broken.push(`the tool itself, ${name}: ${(error as Error).stack}`);
      }
      if (++done % 20 === 0) print(`${done} of ${all.length} runs`);
    },
  );
  for await (const _ of lanes);
  return inOrder(found);
}

/** What is kept of a run. */
function noted({ log, ...rest }: Run): string {
  return `${log}\n${JSON.stringify(rest, undefined, 1)}\n`;
}

const failures: string[] = [];
if (first > 0) {
  const measured = kinds.filter((kind) =>
    kind !== "frozen" && kind !== "stalled"
  );
  failures.push(
    ...await measureFirst(measured, first, { wrap }, await hasTrial()),
  );
}
failures.push(...report(await run(), flags.connections));
for (const line of [...failures, ...broken]) print(`FAILED ${line}`);
const isBad = broken.length > 0 || flags.strict && failures.length > 0;
Deno.exit(isBad ? 1 : 0);
