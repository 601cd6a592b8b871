/**
 * Outages of `deno task recovery` in which the daemon's process is killed and
 * started again, with every client at work at the same daemon.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import {
  type Call,
  Client,
  DIAL,
  type Dialect,
  limitMs,
  type Program,
  STRAGGLERS_MS,
} from "./recovery_client.ts";
import { allowedDials, type Finding, newFinding } from "./recovery_report.ts";
import { type Child, freePort, startScript } from "../helpers/process.ts";

const UP_MS = [1_000, 8_000] as const;
const DOWN_MS = [200, 3_000] as const;
/** How long before the kill a call is sent that is then in flight, and how long it would run. */
const IN_FLIGHT_MS = 200;
const WORK_MS = 800;

/** A time for which the daemon listened, in milliseconds of `performance.now()`. */
interface Up {
  readonly from: number;
  to: number;
}

const SCRIPTS = { mcp: "mcp_daemon.ts", exai: "exai_daemon.ts" } as const;

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
  readonly dialsBefore: number;
}

/** A daemon that is killed and started again on its port. */
class Mortal implements AsyncDisposable {
  readonly port = freePort();
  readonly dialect: Dialect;
  readonly journal: string;
  readonly ups: Up[] = [];
  readonly killedAt: number[] = [];
  #startMs = 0;
  #child: Child | undefined;

  constructor(dialect: Dialect, journal: string) {
    this.dialect = dialect;
    this.journal = journal;
  }

  /** Starts it so that it listens after that time, or as soon as it can. */
  async up(afterMs = 0): Promise<void> {
    await delay(Math.max(0, afterMs - this.#startMs));
    const spawnedAt = performance.now();
    this.#child = await startDaemonOf(this.dialect, this.port, this.journal);
    // It says that it listens a little after it does.
    const from = this.#child.stdout.all[0]!.at;
    this.#startMs = from - spawnedAt;
    this.ups.push({ from, to: Infinity });
  }

  async kill(): Promise<void> {
    const at = performance.now();
    this.ups.at(-1)!.to = at;
    this.killedAt.push(at);
    await this.#child!.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }
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
  await using daemon = new Mortal(dialect, journal);
  await using clients = new AsyncDisposableStack();
  await daemon.up();
  const seats: Seat[] = [];
  for (const program of programs) {
    const name = `kill-${dialect}-${program.name}`;
    const client = clients.use(new Client(program, name, dialect, daemon.port));
    await client.open();
    seats.push({
      client,
      finding: newFinding("kill", dialect, program),
      inFlight: new Map(),
      dialsBefore: client.logged,
    });
  }
  for (let i = 0; i < kills; i++) await killOnce(daemon, seats, i, random);
  const end = performance.now();
  await Promise.all(seats.map(async ({ client, finding }) => {
    const until = end + limitMs(finding.program);
    for (const call of client.calls) {
      await client.answered(call, Math.max(0, until - performance.now()));
    }
  }));
  await delay(STRAGGLERS_MS);
  for (const seat of seats) settle(seat, daemon);
  await daemon.kill();
  const counts = executions(dialect, journal);
  for (const seat of seats) await leave(seat, counts);
  return seats.map(({ finding }) => finding);
}

/** One outage: a call in flight at the kill, two while the daemon is down, one when it listens again. */
async function killOnce(
  daemon: Mortal,
  seats: readonly Seat[],
  number: number,
  random: () => number,
): Promise<void> {
  await delay(between(random, UP_MS) - IN_FLIGHT_MS);
  for (const { client, inFlight } of seats) {
    inFlight.set(await client.unsafe(WORK_MS), number);
  }
  await delay(IN_FLIGHT_MS);
  await daemon.kill();
  const downMs = between(random, DOWN_MS);
  const whileDown = async (
    send: (client: Client) => Promise<Call>,
  ): Promise<void> => {
    await delay(random() * downMs);
    for (const { client } of seats) await send(client);
  };
  const restart = async (): Promise<void> => {
    await daemon.up(downMs);
    for (const { client } of seats) await client.echo();
  };
  await Promise.all([
    whileDown((client) => client.echo()),
    whileDown((client) => client.unsafe(0)),
    restart(),
  ]);
}

/** Enters what became of a client's calls. */
function settle(
  { client, finding, inFlight, dialsBefore }: Seat,
  { ups, killedAt }: Mortal,
): void {
  const end = performance.now();
  for (const call of client.calls) {
    const { sentAt, answeredAt } = call;
    const kill = inFlight.get(call);
    if (kill === undefined) {
      const ms = answeredAt && reachable(ups, sentAt, answeredAt);
      // The target of this kind does not depend on it.
      finding.lags.push({ ms, outageMs: 0 });
      continue;
    }
    const [from, to] = [killedAt[kill]!, ups[kill + 1]!.from];
    if (answeredAt === undefined || answeredAt > to) continue;
    if (answeredAt >= from) finding.errorMs.push(answeredAt - from);
  }
  const seen = client.logged - dialsBefore;
  if (seen === 0) finding.problems.push("no log line tells of a dial");
  const waiting = client.calls.filter((call) => !inFlight.has(call));
  const waitedMs = waited(waiting, end);
  const calls = client.calls.length;
  finding.dials.push({
    seen,
    allowed: allowedDials(finding, killedAt.length, calls, waitedMs, 0),
  });
}

/** Ends a client when it knows that the daemon is away, and looks through its answers. */
async function leave(
  { client, finding }: Seat,
  counts: ReadonlyMap<string, number>,
): Promise<void> {
  // The first dial has failed then.
  const seen = client.stderr.all.length;
  await client.stderr.find((line) => DIAL.test(line), seen);
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
