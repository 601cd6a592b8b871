/**
 * Outages of `deno task recovery` in which the daemon's process is killed and
 * started again, with every client at work at the same daemon.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import { type Call, Client, DIAL, type Dialect } from "./recovery_client.ts";
import type { Program } from "./recovery_client.ts";
import { allowedDials, type Finding, newFinding } from "./recovery_report.ts";
import { type Child, freePort, startScript } from "./rig.ts";

const UP_MS = [1_000, 8_000] as const;
const DOWN_MS = [200, 3_000] as const;
/** How long before the kill a call is sent that is then in flight, and how long it would run. */
const IN_FLIGHT_MS = 200;
const WORK_MS = 2_000;
/** How long an answer is waited for after the last start; the proxy gives up after 45 s. */
const LIMIT_MS = 60_000;
const STRAGGLERS_MS = 1_000;

/** A time for which the daemon listened, in milliseconds of `performance.now()`. */
interface Up {
  readonly from: number;
  to: number;
}

const SCRIPTS = { mcp: "daemon.ts", exai: "exai_daemon.ts" } as const;

/** Starts the daemon of a dialect and waits until it listens. */
export async function startDaemonOf(
  dialect: Dialect,
  port: number,
  journal: string,
): Promise<Child> {
  const places = ["--port", `${port}`, "--journal", journal];
  return await startScript(SCRIPTS[dialect], ...places);
}

function between(
  random: () => number,
  [least, most]: readonly [number, number],
): number {
  return least + random() * (most - least);
}

/** How much of a time the daemon could be reached. */
function reachable(ups: readonly Up[], from: number, to: number): number {
  let sum = 0;
  for (const up of ups) {
    sum += Math.max(0, Math.min(up.to, to) - Math.max(up.from, from));
  }
  return sum;
}

/** How long at least one of the calls waited. */
function waited(calls: readonly Call[], end: number): number {
  let [sum, until] = [0, 0];
  for (const { sentAt, answeredAt = end } of calls) {
    sum += Math.max(0, answeredAt - Math.max(sentAt, until));
    until = Math.max(until, answeredAt);
  }
  return sum;
}

/** How often each unsafe call was executed, by its id. */
function executions(dialect: Dialect, journal: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of Deno.readTextFileSync(journal).split("\n")) {
    const key = dialect === "mcp"
      ? /^call write (.+)$/.exec(line)?.[1]
      : line.includes('"execute"')
      ? JSON.parse(line).arguments.key
      : undefined;
    if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** A client of this run and its books. */
interface Seat {
  readonly client: Client;
  readonly finding: Finding;
  /** The calls that were sent just before a kill, by the number of the kill. */
  readonly inFlight: Map<Call, number>;
  dialsBefore: number;
}

/**
 * Kills the daemon so many times; gives what each program did.
 *
 * @param journal a file for what the daemons execute
 */
export async function runKills(
  dialect: Dialect,
  programs: readonly Program[],
  kills: number,
  random: () => number,
  journal: string,
): Promise<Finding[]> {
  await using cleanup = new AsyncDisposableStack();
  const port = freePort();
  const spawnedAt = performance.now();
  let daemon = await startDaemonOf(dialect, port, journal);
  cleanup.defer(() => daemon[Symbol.asyncDispose]());
  const ups: Up[] = [{ from: performance.now(), to: Infinity }];
  const startMs = ups[0]!.from - spawnedAt;
  const seats: Seat[] = [];
  for (const program of programs) {
    const name = `kill-${dialect}-${program.name}`;
    const client = cleanup.use(new Client(program, name, dialect, port));
    const finding = newFinding("kill", dialect, program);
    await client.open();
    const dialsBefore = client.logged;
    seats.push({ client, finding, inFlight: new Map(), dialsBefore });
  }
  const killedAt: number[] = [];
  for (let i = 0; i < kills; i++) {
    await delay(between(random, UP_MS) - IN_FLIGHT_MS);
    for (const { client, inFlight } of seats) {
      inFlight.set(await client.unsafe(WORK_MS), i);
    }
    await delay(IN_FLIGHT_MS);
    ups.at(-1)!.to = performance.now();
    killedAt.push(performance.now());
    await daemon.signal("SIGKILL");
    const downMs = between(random, DOWN_MS);
    const calls = async (send: (client: Client) => Promise<Call>) => {
      await delay(random() * downMs);
      for (const { client } of seats) await send(client);
    };
    const restart = async (): Promise<void> => {
      await delay(Math.max(0, downMs - startMs));
      daemon = await startDaemonOf(dialect, port, journal);
      // The daemon says that it listens a little after it does.
      ups.push({ from: daemon.stdout.all[0]!.at, to: Infinity });
      for (const { client } of seats) await client.echo();
    };
    await Promise.all([
      calls((client) => client.echo()),
      calls((client) => client.unsafe(0)),
      restart(),
    ]);
  }
  const limit = performance.now() + LIMIT_MS;
  await Promise.all(seats.map(async ({ client, finding }) => {
    // What the bridge has not answered by now it has lost.
    const most = finding.program.isOurs ? limit : limit - LIMIT_MS * 0.9;
    for (const call of client.calls) {
      await client.answered(call, Math.max(0, most - performance.now()));
    }
  }));
  await delay(STRAGGLERS_MS);
  for (const seat of seats) settle(seat, ups, killedAt);
  await daemon.signal("SIGKILL");
  const counts = executions(dialect, journal);
  for (const { client, finding } of seats) {
    // That the daemon is away is known when the first dial has failed.
    await client.stderr.find(
      (line) => DIAL.test(line),
      client.stderr.all.length,
    );
    finding.exitMs.push((await client.end()).ms);
    finding.problems.push(...client.problems());
    for (const { id, isUnsafe, mayFail, answeredAt } of client.calls) {
      const count = counts.get(id) ?? 0;
      // What may fail may not have been executed at all.
      const least = mayFail || answeredAt === undefined ? 0 : 1;
      if (!isUnsafe || (count >= least && count <= 1)) continue;
      finding.problems.push(`${id}: executed ${count} times`);
    }
  }
  return seats.map(({ finding }) => finding);
}

/** Enters what became of a client's calls. */
function settle(
  { client, finding, inFlight, dialsBefore }: Seat,
  ups: readonly Up[],
  killedAt: readonly number[],
): void {
  const end = performance.now();
  for (const call of client.calls) {
    const { sentAt, answeredAt } = call;
    const kill = inFlight.get(call);
    if (kill === undefined) {
      const ms = answeredAt && reachable(ups, sentAt, answeredAt);
      // The target of this kind does not depend on it.
      finding.lags.push({ ms, outageMs: 0 });
    } else if (answeredAt !== undefined && answeredAt < ups[kill + 1]!.from) {
      finding.errorMs.push(answeredAt - killedAt[kill]!);
    }
  }
  const waiting = client.calls.filter((call) => !inFlight.has(call));
  const seen = client.logged - dialsBefore;
  if (seen === 0) finding.problems.push("no log line tells of a dial");
  const waitedMs = waited(waiting, end);
  const calls = client.calls.length;
  finding.dials.push({
    seen,
    allowed: allowedDials(finding, killedAt.length, calls, waitedMs, 0),
  });
}
