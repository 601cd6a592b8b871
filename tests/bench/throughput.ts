/**
 * Measures what the proxy costs: time, CPU and memory of each form of the
 * program, as ratios to a bare forwarder of the same runtime, and other
 * bridges for comparison. It builds the forms first. Linux x64 only.
 *
 *     deno task bench [--rounds N] [--rows NAME,NAME] [--columns NAME,NAME]
 *                     [--minute] [--markdown] [--json FILE]
 *
 * All programs run in turn in each round, so that they meet the same machine.
 *
 * @module
 */

import { DIST, ROOT, VERSION } from "../../.ci/build/bundle.ts";
import { errorMessageOf } from "../../lib/text/error_message.ts";
import { print } from "../helpers/print.ts";
import {
  buildPrograms,
  listPrograms,
  type Program,
  selectPrograms,
} from "./throughput/programs.ts";
import {
  markdownReport,
  type Measured,
  noteLines,
  textReport,
} from "./throughput/report.ts";
import {
  HTTP_ROUNDS,
  type RowName,
  ROWS,
  selectRows,
} from "./throughput/rows.ts";
import {
  type Bench,
  Daemon,
  type Figure,
  minuteStep,
  type Step,
  STEPS,
  warmUp,
} from "./throughput/steps.ts";

/** Writes a line to stderr, so that stdout has the results only. */
function printProgress(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** What the command line says. */
interface Options {
  readonly rounds: number;
  readonly rows: ReadonlySet<RowName>;
  readonly columns: readonly string[] | undefined;
  readonly json: string | undefined;
  readonly isMarkdown: boolean;
}

function parseOptions(args: readonly string[]): Options {
  const values = new Map<string, string>();
  const known = /^--(rounds|rows|columns|json|minute|markdown)$/;
  for (let i = 0; i < args.length; i++) {
    const [flag, next] = [args[i]!, args[i + 1]];
    if (!known.test(flag)) throw new Error(`${flag}: unknown option`);
    if (flag === "--minute" || flag === "--markdown") {
      values.set(flag, "");
    } else if (next === undefined) {
      throw new Error(`${flag} needs a value`);
    } else {
      values.set(flag, next);
      i++;
    }
  }
  const rounds = Number(values.get("--rounds") ?? 7);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds ${values.get("--rounds")}: must be 1 or more`);
  }
  const rows = selectRows(values.get("--rows")?.split(","));
  if (values.has("--minute")) rows.add("minute");
  return {
    rounds,
    rows,
    columns: values.get("--columns")?.split(","),
    json: values.get("--json"),
    isMarkdown: values.has("--markdown"),
  };
}

/** The figures, while they are collected. */
class Collected {
  readonly results = new Map<string, Map<RowName, Figure[]>>();

  constructor(programs: readonly Program[]) {
    for (const { name } of programs) this.results.set(name, new Map());
  }

  add(program: Program, row: RowName, figure: Figure): void {
    const rows = this.results.get(program.name)!;
    rows.set(row, [...rows.get(row) ?? [], figure]);
  }

  /** Returns whether a program has shown that it cannot do a row. */
  cannot(program: Program, row: RowName): boolean {
    const figures = this.results.get(program.name)!.get(row) ?? [];
    return figures.some((figure) => "no" in figure);
  }
}

/** Runs one step of one program. Each wanted row gets one figure. */
function runStep(
  step: Step,
  program: Program,
  bench: Omit<Bench, "record">,
  collected: Collected,
): void {
  const wanted = step.rows.filter((row) => bench.rows.has(row));
  if (wanted.length === 0) return;
  if (step.isOutage && program.role === "floor") return;
  if (wanted.every((row) => collected.cannot(program, row))) return;
  const missing = new Set(wanted);
  const record = (row: RowName, figure: Figure): void => {
    if (missing.delete(row)) collected.add(program, row, figure);
  };
  try {
    step.run({ ...bench, record }, program);
  } catch (error) {
    const reason = errorMessageOf(error);
    const isInability = step.isOutage && program.role === "peer";
    for (const row of missing) {
      const figure = isInability ? { no: reason } : { failed: reason };
      collected.add(program, row, figure);
    }
  }
}

/** Returns the machine and the versions. */
function describeMachine(): Record<string, unknown> {
  const cpu = /model name\s*: (.*)/.exec(
    Deno.readTextFileSync("/proc/cpuinfo"),
  );
  return {
    cpu: cpu?.[1] ?? "unknown",
    cores: navigator.hardwareConcurrency,
    system: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    alwaysup: VERSION,
    deno: Deno.version.deno,
    load: Deno.loadavg().map((it) => Number(it.toFixed(2))),
  };
}

async function main(): Promise<void> {
  const options = parseOptions(Deno.args);
  const folder = await Deno.makeTempDir({ prefix: "bench-" });
  const startedAt = new Date();
  const programs = selectPrograms(listPrograms(folder), options.columns);
  await buildPrograms(programs, folder);
  const machine = describeMachine();
  const collected = new Collected(programs);
  const daemon = Daemon.start(folder);
  const bench = { daemon, rows: options.rows, folder };
  try {
    const [first] = programs.filter(({ usesHttp }) => !usesHttp);
    if (first !== undefined) warmUp({ ...bench, record: () => {} }, first);
    for (let round = 1; round <= options.rounds; round++) {
      // Every other round goes backwards, so that nobody is always the last.
      const order = round % 2 === 1 ? programs : programs.toReversed();
      for (const step of STEPS) {
        for (const program of order) {
          const httpRounds = step.isSlowWithHttp ? 1 : HTTP_ROUNDS;
          if (program.usesHttp && round > httpRounds) continue;
          runStep(step, program, bench, collected);
        }
      }
      const seconds = (Date.now() - startedAt.getTime()) / 1e3;
      printProgress(
        `round ${round} of ${options.rounds}, ${seconds.toFixed()} s`,
      );
    }
    if (options.rows.has("minute")) {
      minuteStep(programs, (program) => ({
        ...bench,
        record: (row, figure) => collected.add(program, row, figure),
      }));
    }
  } finally {
    daemon.child.kill();
    await Deno.remove(folder, { recursive: true });
  }
  const rows = ROWS.filter(({ name }) => options.rows.has(name));
  const measured: Measured = { programs, rows, results: collected.results };
  if (options.json !== undefined) {
    await writeJson(options.json, measured, machine, startedAt, folder);
  }
  print(JSON.stringify(machine));
  print(`medians of ${options.rounds} rounds, with the quartiles\n`);
  print((options.isMarkdown ? markdownReport : textReport)(measured));
  const notes = noteLines(measured);
  if (notes.length > 0) print(`\n${notes.join("\n")}`);
}

/** Writes all single figures. */
async function writeJson(
  file: string,
  { programs, rows, results }: Measured,
  machine: Record<string, unknown>,
  startedAt: Date,
  folder: string,
): Promise<void> {
  const figures = Object.fromEntries(
    programs.map(({ name }) => [
      name,
      Object.fromEntries(
        rows.map((row) => [
          row.name,
          (results.get(name)?.get(row.name) ?? [])
            .map((it) => "value" in it ? it.value : it),
        ]),
      ),
    ]),
  );
  // The paths of this machine are of no use to others.
  const command = (program: Program): string =>
    program.command({ webSocket: "WS_URL", http: "HTTP_URL" }).join(" ")
      .replaceAll(DIST, "dist/").replaceAll(ROOT, "")
      .replaceAll(`${folder}/`, "")
      .replaceAll(Deno.execPath(), "deno");
  const text = JSON.stringify(
    {
      date: startedAt.toISOString(),
      seconds: (Date.now() - startedAt.getTime()) / 1e3,
      command: ["deno task bench", ...Deno.args].join(" "),
      machine,
      programs: programs.map((program) => ({
        name: program.name,
        label: program.label,
        floor: program.floor,
        command: command(program),
      })),
      rows,
      figures,
    },
    null,
    2,
  );
  await Deno.writeTextFile(file, `${text}\n`);
}

try {
  await main();
} catch (error) {
  printProgress(`bench: ${errorMessageOf(error)}`);
  Deno.exit(1);
}
