/**
 * Prints the results of `deno task liveness` as a table, and checks the
 * promises.
 *
 * @module
 */

import type { CallOutcome } from "../helpers/liveness_processes.ts";
import type { CallRole, LivenessRun } from "./liveness_run.ts";
import { print } from "../helpers/print.ts";

/**
 * How long a call on a frozen connection may wait if the daemon keeps two
 * connections.
 */
const DEAD_CONNECTION_TARGET_MS = 18_000;
/** The kinds that keep one connection, so that a second one does harm. */
const KEEPS_ONE = ["displace", "refuse", "ignore", "newest"];

type OutcomeWithRole = CallOutcome & { readonly role: CallRole };

/**
 * Returns when the proxy noticed that the connection was dead: when the client
 * got an error, or the call was executed again.
 */
function noticedAt(
  callOutcome: OutcomeWithRole,
  frozenAt: number,
): number | undefined {
  if (callOutcome.outcome === "told") return callOutcome.answeredAt;
  return callOutcome.executionsStartedAt.find((at) => at > frozenAt);
}

function sorted(values: readonly (number | undefined)[]): number[] {
  return values.flatMap((value) => value ?? []).sort((a, b) => a - b);
}

/** Returns the median and the maximum, in seconds. */
function medianAndMax(
  values: readonly (number | undefined)[],
): [string, string] {
  const all = sorted(values);
  if (all.length === 0) return ["", ""];
  const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
  return [seconds(all[(all.length - 1) >> 1]!), seconds(all.at(-1)!)];
}

/** Returns the minimum and the maximum, e.g. `1-2`. */
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

function printRow(cells: readonly (string | number)[]): void {
  print(
    cells.map((cell, i) =>
      i < 2 ? `${cell}`.padEnd(WIDTHS[i]!) : `${cell}`.padStart(WIDTHS[i]!)
    ).join(""),
  );
}

/** Returns the outcomes of all calls that have the given role. */
function outcomesWithRole(
  runs: readonly LivenessRun[],
  role: CallRole,
): OutcomeWithRole[] {
  return runs.flatMap(({ outcomes }) =>
    outcomes.filter((it) => it.role === role)
  );
}

function answeredShare(outcomes: readonly OutcomeWithRole[]): string {
  if (outcomes.length === 0) return "";
  const good = outcomes.filter(({ outcome }) => outcome === "answered").length;
  return `${good}/${outcomes.length}`;
}

function printGroup(runs: readonly LivenessRun[], bad: number): void {
  const { kind, linkState, ms } = runs[0]!;
  const main = outcomesWithRole(runs, "main");
  const count = (outcome: CallOutcome["outcome"]): number =>
    main.filter((it) => it.outcome === outcome).length;
  const knows = (what: string): number =>
    runs.filter(({ learnedFacts }) => learnedFacts?.connections === what)
      .length;
  const [many, one] = [knows("many"), knows("one")];
  const notices = (outcome: CallOutcome["outcome"]): (number | undefined)[] =>
    runs.flatMap(({ frozenAt, outcomes }) =>
      frozenAt === undefined ? [] : outcomes
        .filter((it) => it.role === "main" && it.outcome === outcome)
        .map((it) => {
          const at = noticedAt(it, frozenAt);
          return at && at - frozenAt;
        })
    );
  const waited = main.map(({ sentAt, answeredAt }) =>
    answeredAt && answeredAt - sentAt
  );
  const every = runs.flatMap(({ outcomes }) => outcomes);
  const executed = (tool: string): string =>
    range(
      every.filter((it) => it.tool === tool).map(({ executionsStartedAt }) =>
        executionsStartedAt.length
      ),
    );
  printRow([
    ...[kind, linkState, linkState === "idle" ? "" : ms / 1_000, runs.length],
    `${many}/${one}/${runs.length - many - one}`,
    ...[count("answered"), count("told"), count("wrong"), count("waits")],
    ...medianAndMax(notices("told")),
    ...medianAndMax(notices("answered")),
    medianAndMax(waited)[1],
    ...[executed("work"), executed("look"), endedWhileExecuting(every).length],
    ...[
      answeredShare(outcomesWithRole(runs, "second")),
      answeredShare(outcomesWithRole(runs, "after")),
    ],
    ...[range(runs.map(({ connectionCount }) => connectionCount))],
    ...[range(runs.map(({ progressCount }) => progressCount)), bad],
  ]);
}

/** Returns the calls that the proxy ended while the daemon executed them. */
function endedWhileExecuting<F extends CallOutcome>(
  outcomes: readonly F[],
): F[] {
  return outcomes.filter(({ outcome, isStillExecuting }) =>
    (outcome === "told" || outcome === "wrong") && isStillExecuting
  );
}

/** Returns one line for each promise that a run broke. */
function problemsOf(
  run: LivenessRun,
  connections: string | undefined,
): string[] {
  const { kind, linkState, outcomes, learnedFacts } = run;
  const found: string[] = [];
  // A user who sets `many` for such a daemon accepts the consequences.
  const isChosen = connections === "many" && KEEPS_ONE.includes(kind);
  for (const callOutcome of outcomes) {
    const {
      id,
      tool,
      responseCount,
      outcome,
      wrongResponse,
      executionsStartedAt,
      role,
    } = callOutcome;
    const times = executionsStartedAt.length;
    if (responseCount > 1) found.push(`${id}: ${responseCount} answers`);
    if (outcome === "wrong") found.push(`${id}: ${wrongResponse}`);
    if (tool === "work" && times > 1) {
      found.push(`${id}: executed ${times} times`);
    }
    if (outcome === "answered" && times === 0) {
      found.push(`${id}: answered, but not executed`);
    }
    const mustBeAnswered = linkState === "living" || role === "before" ||
      role === "after";
    if (
      mustBeAnswered && !isChosen && (outcome !== "answered" || times !== 1)
    ) {
      found.push(`${id}: ${outcome}, executed ${times} times`);
    }
  }
  if (linkState === "living" && !isChosen) {
    for (const { id } of endedWhileExecuting(outcomes)) {
      found.push(`${id}: ended while the daemon executed it`);
    }
  }
  const keepsTwo = learnedFacts?.connections === "many" && kind !== "frozen" ||
    kind === "concurrent" && connections !== "one";
  if (linkState !== "idle" || !keepsTwo || isChosen) return found;
  for (
    const { id, tool, outcome, sentAt, answeredAt = Infinity, role } of outcomes
  ) {
    if (role !== "main") continue;
    if (tool === "look" && outcome === "told") found.push(`${id}: told`);
    if (answeredAt - sentAt <= DEAD_CONNECTION_TARGET_MS) continue;
    const late = answeredAt === Infinity
      ? "not answered"
      : `answered after ${((answeredAt - sentAt) / 1_000).toFixed(1)} s`;
    found.push(`${id}: ${late}`);
  }
  return found;
}

/** Prints the table. Returns one line for each broken promise. */
export function reportLiveness(
  runs: readonly LivenessRun[],
  connections: string | undefined,
): string[] {
  print(
    'Times in seconds. "told": from the freeze to -31002; "again": from the ' +
      'freeze to the second execution of a read-only call;\n"call": from the ' +
      'call to its answer. "work", "look": executions per call. "ended": ' +
      'although still being executed. "2nd", "after":\nlater calls that ' +
      'were answered. "conns": connections that the daemon saw. ' +
      '"steps": progress notifications.\n',
  );
  printRow(COLUMNS);
  const failures: string[] = [];
  const cells = Map.groupBy(
    runs,
    ({ kind, linkState, ms }) => `${kind} ${linkState} ${ms}`,
  );
  for (const [name, its] of cells) {
    const bad = its.flatMap((run) => {
      const found = problemsOf(run, connections);
      return found.map((it) => `${name} run ${run.number}: ${it}`);
    });
    failures.push(...bad);
    printGroup(its, bad.length);
  }
  const living = runs.filter(({ linkState }) => linkState === "living");
  const all = living.flatMap(({ outcomes }) => outcomes);
  print(
    `\n${runs.length} runs, ${
      runs.flatMap(({ outcomes }) => outcomes).length
    } calls; over a living link ${
      endedWhileExecuting(all).length
    } of ${all.length} calls were ended while the daemon executed them.`,
  );
  return failures;
}
