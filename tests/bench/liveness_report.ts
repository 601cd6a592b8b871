/**
 * What `deno task liveness` has found, as a table, and which promises were
 * broken.
 *
 * @module
 */

import type { Fate } from "../helpers/liveness_process.ts";
import type { Role, Run } from "./liveness_run.ts";
import { print } from "../helpers/print.ts";

/** How long a call towards a daemon that keeps two connections waits on a frozen one, at most. */
const TARGET_MS = 18_000;
/** What keeps one connection, so that a second one does harm. */
const KEEPS_ONE = ["displace", "refuse", "ignore", "newest"];

type Told = Fate & { readonly role: Role };

/** When it was known that the connection is dead: the client was told, or the call begun again. */
function noticedAt(fate: Told, frozenAt: number): number | undefined {
  if (fate.outcome === "told") return fate.answeredAt;
  return fate.begins.find((at) => at > frozenAt);
}

function sorted(values: readonly (number | undefined)[]): number[] {
  return values.flatMap((value) => value ?? []).sort((a, b) => a - b);
}

/** The median and the largest, in seconds. */
function spread(values: readonly (number | undefined)[]): [string, string] {
  const all = sorted(values);
  if (all.length === 0) return ["", ""];
  const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
  return [seconds(all[(all.length - 1) >> 1]!), seconds(all.at(-1)!)];
}

/** The least and the most, e.g. `1-2`. */
function range(values: readonly number[]): string {
  const all = sorted(values);
  if (all.length === 0) return "";
  const [least, most] = [all[0]!, all.at(-1)!];
  return least === most ? `${least}` : `${least}-${most}`;
}

const COLUMNS = [
  ...["kind", "link", "call s", "runs", "many/one/?", "answered", "told"],
  ...["other", "waits", "told p50", "max", "again p50", "max", "call max"],
  ...["work", "look", "ended", "2nd", "after", "conns", "steps", "bad"],
];
const WIDTHS = [
  ...[11, 9, 7, 5, 11, 9, 5],
  ...[6, 6, 9, 6, 10, 6, 9],
  ...[5, 5, 6, 7, 6, 6, 6, 4],
];

function row(cells: readonly (string | number)[]): void {
  print(
    cells.map((cell, i) =>
      i < 2 ? `${cell}`.padEnd(WIDTHS[i]!) : `${cell}`.padStart(WIDTHS[i]!)
    ).join(""),
  );
}

/** The calls with a role, of some runs. */
function of(runs: readonly Run[], role: Role): Told[] {
  return runs.flatMap(({ fates }) => fates.filter((it) => it.role === role));
}

function share(fates: readonly Told[]): string {
  if (fates.length === 0) return "";
  const good = fates.filter(({ outcome }) => outcome === "answered").length;
  return `${good}/${fates.length}`;
}

function cell(runs: readonly Run[], bad: number): void {
  const { kind, link, ms } = runs[0]!;
  const main = of(runs, "main");
  const count = (outcome: Fate["outcome"]): number =>
    main.filter((it) => it.outcome === outcome).length;
  const knows = (what: string): number =>
    runs.filter(({ learned }) => learned?.connections === what).length;
  const [many, one] = [knows("many"), knows("one")];
  const notices = (outcome: Fate["outcome"]): (number | undefined)[] =>
    runs.flatMap(({ frozenAt, fates }) =>
      frozenAt === undefined ? [] : fates
        .filter((it) => it.role === "main" && it.outcome === outcome)
        .map((it) => {
          const at = noticedAt(it, frozenAt);
          return at && at - frozenAt;
        })
    );
  const waited = main.map(({ sentAt, answeredAt }) =>
    answeredAt && answeredAt - sentAt
  );
  const every = runs.flatMap(({ fates }) => fates);
  const executed = (tool: string): string =>
    range(
      every.filter((it) => it.tool === tool).map(({ begins }) => begins.length),
    );
  row([
    ...[kind, link, link === "idle" ? "" : ms / 1_000, runs.length],
    `${many}/${one}/${runs.length - many - one}`,
    ...[count("answered"), count("told"), count("wrong"), count("waits")],
    ...spread(notices("told")),
    ...spread(notices("answered")),
    spread(waited)[1],
    ...[executed("work"), executed("look"), ended(every).length],
    ...[share(of(runs, "second")), share(of(runs, "after"))],
    ...[range(runs.map(({ opened }) => opened))],
    ...[range(runs.map(({ progress }) => progress)), bad],
  ]);
}

/** Calls that the proxy ended although the daemon was at them. */
function ended<F extends Fate>(fates: readonly F[]): F[] {
  return fates.filter(({ outcome, isAtIt }) =>
    (outcome === "told" || outcome === "wrong") && isAtIt
  );
}

/** What broke a promise in one run, a line each. */
function problems(run: Run, connections: string | undefined): string[] {
  const { kind, link, fates, learned } = run;
  const found: string[] = [];
  // Whoever says that it keeps two has chosen what follows.
  const isChosen = connections === "many" && KEEPS_ONE.includes(kind);
  for (const fate of fates) {
    const { id, tool, answers, outcome, said, begins, role } = fate;
    const times = begins.length;
    if (answers > 1) found.push(`${id}: ${answers} answers`);
    if (outcome === "wrong") found.push(`${id}: ${said}`);
    if (tool === "work" && times > 1) {
      found.push(`${id}: executed ${times} times`);
    }
    if (outcome === "answered" && times === 0) {
      found.push(`${id}: answered, and not executed`);
    }
    const isWhole = link === "living" || role === "before" || role === "after";
    if (isWhole && !isChosen && (outcome !== "answered" || times !== 1)) {
      found.push(`${id}: ${outcome}, executed ${times} times`);
    }
  }
  if (link === "living" && !isChosen) {
    for (const { id } of ended(fates)) {
      found.push(`${id}: ended although the daemon was at it`);
    }
  }
  const keepsTwo = learned?.connections === "many" && kind !== "frozen" ||
    kind === "concurrent" && connections !== "one";
  if (link !== "idle" || !keepsTwo || isChosen) return found;
  for (
    const { id, tool, outcome, sentAt, answeredAt = Infinity, role } of fates
  ) {
    if (role !== "main") continue;
    if (tool === "look" && outcome === "told") found.push(`${id}: told`);
    if (answeredAt - sentAt <= TARGET_MS) continue;
    const late = answeredAt === Infinity
      ? "not answered"
      : `answered after ${((answeredAt - sentAt) / 1_000).toFixed(1)} s`;
    found.push(`${id}: ${late}`);
  }
  return found;
}

/** Prints the table; gives the promises that were broken, one line each. */
export function report(
  runs: readonly Run[],
  connections: string | undefined,
): string[] {
  print(
    'Times in seconds. "told": from the freeze to -31002; "again": from the ' +
      'freeze to the second execution of what is read-only;\n"call": from the ' +
      'call to its answer. "work", "look": executions per call. "ended": ' +
      'although the daemon was at them. "2nd", "after":\nlater calls that ' +
      'were answered. "conns": connections that the daemon saw. ' +
      '"steps": messages of progress.\n',
  );
  row(COLUMNS);
  const failures: string[] = [];
  const cells = Map.groupBy(
    runs,
    ({ kind, link, ms }) => `${kind} ${link} ${ms}`,
  );
  for (const [name, its] of cells) {
    const bad = its.flatMap((run) => {
      const found = problems(run, connections);
      return found.map((it) => `${name} run ${run.number}: ${it}`);
    });
    failures.push(...bad);
    cell(its, bad.length);
  }
  const living = runs.filter(({ link }) => link === "living");
  const all = living.flatMap(({ fates }) => fates);
  print(
    `\n${runs.length} runs, ${
      runs.flatMap(({ fates }) => fates).length
    } calls; over a living link ${
      ended(all).length
    } of ${all.length} calls were ended although the daemon was at them.`,
  );
  return failures;
}
