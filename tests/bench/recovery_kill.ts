/**
 * Outages of `deno task recovery` in which the daemon's process is killed and
 * restarted. All clients use the same daemon.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import {
  DIAL_LOG_LINE,
  type Dialect,
  LATE_RESPONSE_MS,
  type MeasuredProgram,
  type RecoveryCall,
  RecoveryClient,
  responseTimeoutMs,
} from "./recovery_client.ts";
import {
  allowedDials,
  newResult,
  type RecoveryResult,
} from "./recovery_report.ts";
import {
  type ChildProcess,
  freePort,
  startDaemonScript,
} from "../helpers/process.ts";

const UP_MS = [1_000, 8_000] as const;
const DOWN_MS = [200, 3_000] as const;
/**
 * How long before the kill a call is sent, and how long the daemon would work
 * on it.
 */
const IN_FLIGHT_MS = 200;
const WORK_MS = 800;

/**
 * A period in which the daemon listened, in milliseconds of
 * `performance.now()`.
 */
interface Uptime {
  readonly from: number;
  to: number;
}

const SCRIPTS = { mcp: "mcp_daemon.ts", exai: "exai_daemon.ts" } as const;

/** Starts the daemon of a dialect, and waits until it listens. */
export async function startDaemonFor(
  dialect: Dialect,
  port: number,
  journal: string,
): Promise<ChildProcess> {
  const places = ["--port", `${port}`, "--journal", journal];
  return await startDaemonScript(SCRIPTS[dialect], ...places);
}

function randomBetween(
  random: () => number,
  [least, most]: readonly [number, number],
): number {
  return least + random() * (most - least);
}

/** Returns how long the daemon could be reached within a period. */
function reachableMs(ups: readonly Uptime[], from: number, to: number): number {
  let sum = 0;
  for (const up of ups) {
    sum += Math.max(0, Math.min(up.to, to) - Math.max(up.from, from));
  }
  return sum;
}

/** Returns how long at least one of the calls waited. */
function totalWaitMs(calls: readonly RecoveryCall[], end: number): number {
  let [sum, until] = [0, 0];
  for (const { sentAt, answeredAt = end } of calls) {
    sum += Math.max(0, answeredAt - Math.max(sentAt, until));
    until = Math.max(until, answeredAt);
  }
  return sum;
}

/** Returns how often each unsafe call was executed, by its key. */
function executionCounts(
  dialect: Dialect,
  journal: string,
): Map<string, number> {
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

/** A client of this run, with its results. */
interface ClientState {
  readonly client: RecoveryClient;
  readonly result: RecoveryResult;
  /** The calls in flight at a kill, each with the number of that kill. */
  readonly inFlight: Map<RecoveryCall, number>;
  readonly dialsBefore: number;
}

/** A daemon that can be killed and restarted on its port. */
class KillableDaemon implements AsyncDisposable {
  readonly port = freePort();
  readonly dialect: Dialect;
  readonly journal: string;
  readonly uptimes: Uptime[] = [];
  readonly killedAt: number[] = [];
  #startMs = 0;
  #child: ChildProcess | undefined;

  constructor(dialect: Dialect, journal: string) {
    this.dialect = dialect;
    this.journal = journal;
  }

  /** Starts the daemon so that it listens in `afterMs`, or soon after that. */
  async startAfter(afterMs = 0): Promise<void> {
    await delay(Math.max(0, afterMs - this.#startMs));
    const spawnedAt = performance.now();
    this.#child = await startDaemonFor(this.dialect, this.port, this.journal);
    // The daemon listens a little before it reports that.
    const from = this.#child.stdout.lines[0]!.at;
    this.#startMs = from - spawnedAt;
    this.uptimes.push({ from, to: Infinity });
  }

  async kill(): Promise<void> {
    const at = performance.now();
    this.uptimes.at(-1)!.to = at;
    this.killedAt.push(at);
    await this.#child!.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }
}

/**
 * Kills the daemon `kills` times. Returns one result for each program.
 *
 * @param journal the file in which the daemons record what they execute
 */
export async function runKills(
  dialect: Dialect,
  programs: readonly MeasuredProgram[],
  kills: number,
  random: () => number,
  journal: string,
): Promise<RecoveryResult[]> {
  await using daemon = new KillableDaemon(dialect, journal);
  await using clients = new AsyncDisposableStack();
  await daemon.startAfter();
  const clientStates: ClientState[] = [];
  for (const program of programs) {
    const name = `kill-${dialect}-${program.name}`;
    const client = clients.use(
      new RecoveryClient(program, name, dialect, daemon.port),
    );
    await client.connect();
    clientStates.push({
      client,
      result: newResult("kill", dialect, program),
      inFlight: new Map(),
      dialsBefore: client.loggedDials,
    });
  }
  for (let i = 0; i < kills; i++) {
    await killOnce(daemon, clientStates, i, random);
  }
  const end = performance.now();
  await Promise.all(clientStates.map(async ({ client, result }) => {
    const until = end + responseTimeoutMs(result.program);
    for (const call of client.calls) {
      await client.waitAtMost(call, Math.max(0, until - performance.now()));
    }
  }));
  await delay(LATE_RESPONSE_MS);
  for (const clientState of clientStates) recordLags(clientState, daemon);
  await daemon.kill();
  const counts = executionCounts(dialect, journal);
  for (const clientState of clientStates) {
    await endAndCheck(clientState, counts);
  }
  return clientStates.map(({ result }) => result);
}

/**
 * Carries out one outage. A call is in flight at the kill, two are sent while
 * the daemon is down, and one when it listens again.
 */
async function killOnce(
  daemon: KillableDaemon,
  clientStates: readonly ClientState[],
  number: number,
  random: () => number,
): Promise<void> {
  await delay(randomBetween(random, UP_MS) - IN_FLIGHT_MS);
  for (const { client, inFlight } of clientStates) {
    inFlight.set(await client.callUnsafe(WORK_MS), number);
  }
  await delay(IN_FLIGHT_MS);
  await daemon.kill();
  const downMs = randomBetween(random, DOWN_MS);
  const whileDown = async (
    send: (client: RecoveryClient) => Promise<RecoveryCall>,
  ): Promise<void> => {
    await delay(random() * downMs);
    for (const { client } of clientStates) await send(client);
  };
  const restart = async (): Promise<void> => {
    await daemon.startAfter(downMs);
    for (const { client } of clientStates) await client.callEcho();
  };
  await Promise.all([
    whileDown((client) => client.callEcho()),
    whileDown((client) => client.callUnsafe(0)),
    restart(),
  ]);
}

/** Records the lags of a client's calls. */
function recordLags(
  { client, result, inFlight, dialsBefore }: ClientState,
  { uptimes, killedAt }: KillableDaemon,
): void {
  const end = performance.now();
  for (const call of client.calls) {
    const { sentAt, answeredAt } = call;
    const kill = inFlight.get(call);
    if (kill === undefined) {
      const ms = answeredAt && reachableMs(uptimes, sentAt, answeredAt);
      // For kills, the target does not depend on the length of the outage.
      result.lags.push({ ms, outageMs: 0 });
      continue;
    }
    const [from, to] = [killedAt[kill]!, uptimes[kill + 1]!.from];
    if (answeredAt === undefined || answeredAt > to) continue;
    if (answeredAt >= from) result.errorMs.push(answeredAt - from);
  }
  const seen = client.loggedDials - dialsBefore;
  if (seen === 0) result.problems.push("no log line reports a dial");
  const waiting = client.calls.filter((call) => !inFlight.has(call));
  const waitedMs = totalWaitMs(waiting, end);
  const calls = client.calls.length;
  result.dials.push({
    seen,
    allowed: allowedDials(result, killedAt.length, calls, waitedMs, 0),
  });
}

/**
 * Ends a client once it has noticed that the daemon is down, and checks its
 * responses.
 */
async function endAndCheck(
  { client, result }: ClientState,
  counts: ReadonlyMap<string, number>,
): Promise<void> {
  // Once the log reports a dial, the first dial to the dead daemon has failed.
  const seen = client.stderr.lines.length;
  await client.stderr.waitForLine((line) => DIAL_LOG_LINE.test(line), seen);
  result.exitMs.push((await client.closeStdin()).ms);
  result.problems.push(...client.problems());
  for (const { id, isUnsafe, mayFail, answeredAt } of client.calls) {
    const count = counts.get(id) ?? 0;
    // A call that may fail was perhaps never executed.
    const least = mayFail || answeredAt === undefined ? 0 : 1;
    if (!isUnsafe || (count >= least && count <= 1)) continue;
    result.problems.push(`${id}: executed ${count} times`);
  }
}
