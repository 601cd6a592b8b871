/**
 * The steps of the benchmark. A step starts a program, puts it to work as an
 * MCP client does, and records the figures of some rows.
 *
 * @module
 */

import { errorMessageOf } from "../../../lib/text/error_message.ts";
import { INITIALIZE_LINE } from "../../helpers/process.ts";
import { Child, type Output } from "./child.ts";
import { type Channel, sleep } from "./libc.ts";
import {
  type Command,
  daemonCommand,
  type DaemonUrls,
  type Program,
} from "./programs.ts";
import {
  ANSWERED,
  BURST,
  FEW_OPEN,
  HTTP_DIVISOR,
  MANY_OPEN,
  OPEN_WARM_UP,
  OUTAGE_MS,
  QUEUED,
  REPEATED,
  REPORTS,
  type RowName,
  SEQUENTIAL,
  WARM_UP,
  WINDOW,
} from "./rows.ts";

/** The time limit of a call or a start. */
const CALL_LIMIT_MS = 10_000;
/** The time limit of many calls. */
const MANY_LIMIT_MS = 60_000;
/** A pause after which a program has nothing left to do. */
const SETTLE_MS = 250;
const IDLE_MS = 1_000;
/** How long a program has to notice that its connection is closed. */
const NOTICE_MS = 50;

/** A figure, or why there is none. `no`: the program cannot do it. */
export type Figure =
  | { readonly value: number }
  | { readonly no: string }
  | { readonly failed: string };

/** What the steps need. */
export interface Bench {
  /** The daemon that lives as long as the benchmark. */
  readonly daemon: Daemon;
  /** The wanted rows. */
  readonly rows: ReadonlySet<RowName>;
  /** A folder for the programs' files. */
  readonly folder: string;
  readonly record: (row: RowName, figure: Figure) => void;
}

/** A program under test. */
type Session = Child;

const encoder = new TextEncoder();

function callLine(id: number, tool: string, text = "x"): string {
  const params = `{"name":"${tool}","arguments":{"query":"${text}"}}`;
  return `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}\n`;
}

/** Returns the lines of calls with the ids from `first` on. */
function callLines(
  count: number,
  first: number,
  tool: string,
): Uint8Array<ArrayBuffer> {
  const ids = Array.from({ length: count }, (_, i) => first + i);
  return encoder.encode(ids.map((id) => callLine(id, tool)).join(""));
}

/** Returns how often a text occurs in another. */
function occurrences(text: string, part: string): number {
  let count = 0;
  for (
    let at = text.indexOf(part);
    at !== -1;
    at = text.indexOf(part, at + 1)
  ) {
    count++;
  }
  return count;
}

/**
 * Sends lines, and waits for as many results. Lines that are no answers do not
 * count. Throws if an answer is an error.
 */
function ask(
  session: Session,
  input: Uint8Array<ArrayBuffer>,
  count: number,
  limitMs: number,
): Output {
  let output = session.exchange(input, count, limitMs);
  let results = 0;
  for (;;) {
    const { text } = output;
    results += occurrences(text, `"result":`);
    const error = text.indexOf(`"error":`);
    if (error !== -1) {
      const [line] = text.slice(error).split("\n");
      throw new Error(`an answer is an error: ${line!.slice(0, 200)}`);
    }
    if (results >= count) return output;
    output = session.exchange(new Uint8Array(), count - results, limitMs);
  }
}

/** The daemon of the benchmark. */
export class Daemon {
  readonly child: Child;
  readonly port: number;

  private constructor(child: Child) {
    this.child = child;
    const { text } = child.exchange(new Uint8Array(), 1, CALL_LIMIT_MS);
    this.port = Number(text.split(" ")[0]);
  }

  /** Starts a daemon, and waits until it listens. */
  static start(folder: string): Daemon {
    return new Daemon(Daemon.spawn(folder, 0));
  }

  /** Starts a daemon. Its process prints a line when it listens. */
  static spawn(folder: string, port: number): Child {
    const env = Deno.env.toObject();
    return new Child(daemonCommand(port), env, "pipe", `${folder}/daemon.log`);
  }

  /** Its addresses. */
  get urls(): DaemonUrls {
    const host = `127.0.0.1:${this.port}`;
    return { webSocket: `ws://${host}/`, http: `http://${host}/mcp` };
  }
}

/** Starts a program without any handshake. */
function startProgram(
  bench: Bench,
  program: Program,
  channel: Channel,
  settings: Record<string, string> = {},
): Session {
  // Each program has its own home, so that none finds the files of another.
  const home = `${bench.folder}/home-${program.name}`;
  Deno.mkdirSync(home, { recursive: true });
  const env = {
    PATH: Deno.env.get("PATH") ?? "",
    DENO_DIR: Deno.env.get("DENO_DIR") ?? "",
    HOME: home,
    XDG_STATE_HOME: `${home}/state`,
    NO_COLOR: "1",
    ...settings,
  };
  const command: Command = program.command(bench.daemon.urls);
  const session = new Child(command, env, channel, `${home}/stderr.log`);
  const wanted = channel === "pipe" ? "pipe" : "socket";
  try {
    const kinds = session.stdioKinds();
    if (kinds.every((kind) => kind === wanted)) return session;
    throw new Error(`stdin and stdout are ${kinds}, not ${wanted}`);
  } catch (error) {
    session.kill();
    throw error;
  }
}

/** Makes the handshake of MCP. Returns the time of the answer. */
function initialize(session: Session): number {
  const { at } = ask(
    session,
    encoder.encode(INITIALIZE_LINE),
    1,
    CALL_LIMIT_MS,
  );
  const line = `{"jsonrpc":"2.0","method":"notifications/initialized"}\n`;
  session.exchange(encoder.encode(line), 0, CALL_LIMIT_MS);
  return at;
}

/**
 * Starts a program, makes the handshake, waits until it is idle, and uses it.
 * The program is killed in the end.
 */
function withSession(
  args: Parameters<typeof startProgram>,
  use: (session: Session) => void,
): void {
  const session = startProgram(...args);
  try {
    initialize(session);
    session.drain(SETTLE_MS);
    use(session);
  } finally {
    session.kill();
  }
}

/** Measures calls, one after the other. Returns p50 and p99 in microseconds. */
function measureSequential(session: Session): { p50: number; p99: number } {
  const laps: number[] = [];
  for (let id = 1; id <= WARM_UP + SEQUENTIAL; id++) {
    const line = encoder.encode(callLine(id, "search"));
    const from = performance.now();
    const { at } = ask(session, line, 1, CALL_LIMIT_MS);
    if (id > WARM_UP) laps.push((at - from) * 1e3);
  }
  laps.sort((a, b) => a - b);
  return {
    p50: laps[SEQUENTIAL >> 1]!,
    p99: laps[Math.floor(SEQUENTIAL * 0.99)]!,
  };
}

/** Sends a text and gets one of the same length. Returns the milliseconds. */
function measureEcho(session: Session, bytes: number): number {
  const line = encoder.encode(callLine(1, "echo", "x".repeat(bytes)));
  const from = performance.now();
  const output = ask(session, line, 1, MANY_LIMIT_MS);
  if (output.bytes < bytes) {
    throw new Error(`${output.bytes} of ${bytes} bytes came back`);
  }
  return output.at - from;
}

/** How many times fewer calls a program gets. */
function divisorOf({ usesHttp }: Program): number {
  return usesHttp ? HTTP_DIVISOR : 1;
}

/** Sends many calls at once, and records time and CPU. */
function measureBurst(bench: Bench, program: Program, session: Session): void {
  const scale = divisorOf(program);
  const count = BURST / scale;
  const lines = callLines(count, 1, "search");
  const daemonCpu = bench.daemon.child.cpuMs();
  const cpu = session.cpuMs();
  const from = performance.now();
  const { at } = ask(session, lines, count, MANY_LIMIT_MS);
  const { record } = bench;
  record("burst", { value: (at - from) * scale });
  record("burst-cpu", { value: (session.cpuMs() - cpu) * scale });
  const daemonMs = bench.daemon.child.cpuMs() - daemonCpu;
  record("burst-daemon", { value: daemonMs * scale });
}

/** Rows that are measured after the sequential calls, or by them. */
const AFTER_SEQUENTIAL = [
  ...["p50", "p99", "burst", "burst-cpu", "burst-daemon"] as const,
  ...["peak-burst", "structured", "1mb", "16mb"] as const,
];

/** Measures a session whose stdin and stdout are pipes. */
function pipeStep(bench: Bench, program: Program): Session {
  const { rows, record } = bench;
  const wants = (...names: RowName[]): boolean =>
    names.some((name) => rows.has(name));
  const from = performance.now();
  const session = startProgram(bench, program, "pipe");
  try {
    record("start", { value: initialize(session) - from });
    record("idle", { value: session.memoryMiB() });
    session.drain(wants("idle-1s") ? IDLE_MS : SETTLE_MS);
    record("idle-1s", { value: session.memoryMiB() });
    const wantsPeak = wants("peak", "minute");
    if (wantsPeak || wants(...AFTER_SEQUENTIAL)) {
      const { p50, p99 } = measureSequential(session);
      record("p50", { value: p50 });
      record("p99", { value: p99 });
    }
    if (
      wantsPeak || wants("burst", "burst-cpu", "burst-daemon", "peak-burst")
    ) {
      measureBurst(bench, program, session);
      record("peak-burst", { value: session.peakMiB() });
    }
    if (wantsPeak || wants("structured")) {
      const start = performance.now();
      for (let id = 1; id <= REPORTS; id++) {
        const line = encoder.encode(callLine(id, "report"));
        ask(session, line, 1, CALL_LIMIT_MS);
      }
      record("structured", { value: performance.now() - start });
    }
    if (wantsPeak || wants("1mb")) {
      record("1mb", { value: measureEcho(session, 1_000_000) });
    }
    if (program.usesHttp) {
      record("16mb", { no: "its line buffer ends at 10 MiB" });
    } else if (wantsPeak || wants("16mb")) {
      record("16mb", { value: measureEcho(session, 16_000_000) });
    }
    record("peak", { value: session.peakMiB() });
    return session;
  } catch (error) {
    session.kill();
    throw error;
  }
}

/** Measures calls over socketpairs, as from a client that runs on Node. */
function socketpairStep(bench: Bench, program: Program): void {
  withSession([bench, program, "socketpair"], (session) => {
    const { p50, p99 } = measureSequential(session);
    bench.record("p50-socketpair", { value: p50 });
    bench.record("p99-socketpair", { value: p99 });
  });
}

/** Sends calls, a window at a time. Returns the CPU per call, in microseconds. */
function measureWindows(session: Session, calls: number): number {
  const lines = callLines(WINDOW, 1_000_000, "search");
  const cpu = session.cpuMs();
  for (let sent = 0; sent < calls; sent += WINDOW) {
    ask(session, lines, WINDOW, MANY_LIMIT_MS);
  }
  return (session.cpuMs() - cpu) * 1e3 / calls;
}

/**
 * Measures what a call costs while others are open. All programs do the same
 * work before: of the calls that are sent at once, only the answers differ.
 */
function measureOpen(bench: Bench, program: Program, open: number): number {
  const divisor = divisorOf(program);
  let cost = 0;
  withSession([bench, program, "pipe"], (session) => {
    const hold = callLines(FEW_OPEN, 1, "hold");
    session.exchange(hold, 0, CALL_LIMIT_MS);
    measureWindows(session, OPEN_WARM_UP / divisor);
    const others = MANY_OPEN - FEW_OPEN;
    const [tool, answers] = open === FEW_OPEN
      ? ["search", others] as const
      : ["hold", 0] as const;
    const lines = callLines(others, FEW_OPEN + 1, tool);
    ask(session, lines, answers, MANY_LIMIT_MS);
    // These are answered after all others were sent.
    measureWindows(session, WINDOW);
    session.drain(SETTLE_MS);
    const costs = Array.from(
      { length: REPEATED },
      () => measureWindows(session, ANSWERED / divisor),
    );
    costs.sort((a, b) => a - b);
    cost = costs[REPEATED >> 1]!;
  });
  return cost;
}

/** Compares what a call costs while few and while many others are open. */
function openStep(bench: Bench, program: Program): void {
  const few = measureOpen(bench, program, FEW_OPEN);
  bench.record("open-10", { value: few });
  const many = measureOpen(bench, program, MANY_OPEN);
  bench.record("open-10000", { value: many });
  bench.record("open-ratio", { value: many / few });
}

/** What is done in an outage. */
interface Outage {
  readonly whileDown: () => void;
  /** The daemon is starting when this is called. */
  readonly afterReturn: () => void;
}

/**
 * Kills the daemon, and starts it again on its port after some time. Returns
 * when it listened again, in milliseconds since 1970.
 */
function makeOutage({ daemon, folder }: Bench, outage: Outage): number {
  daemon.child.kill();
  const from = performance.now();
  outage.whileDown();
  sleep(OUTAGE_MS - (performance.now() - from));
  const returned = Daemon.spawn(folder, daemon.port);
  try {
    outage.afterReturn();
    // The line was written long ago. To wait for it earlier would delay us.
    const { text } = returned.exchange(new Uint8Array(), 1, CALL_LIMIT_MS);
    return Number(text.split(" ")[1]);
  } finally {
    returned.kill();
  }
}

/** Starts a daemon of its own for a step, which gets it in its `bench`. */
function withDaemon(bench: Bench, use: (bench: Bench) => void): void {
  const daemon = Daemon.start(bench.folder);
  try {
    use({ ...bench, daemon });
  } finally {
    daemon.child.kill();
  }
}

/** Measures how calls that were queued during an outage are answered. */
function queuedStep(bench: Bench, program: Program): void {
  // By default, 1,000 messages may wait.
  const settings = { ALWAYSUP_QUEUE_LIMIT: `${QUEUED}` };
  withDaemon(bench, (bench) => {
    withSession([bench, program, "pipe", settings], (session) => {
      let [cpu, at] = [0, 0];
      const listensAt = makeOutage(bench, {
        whileDown: () => {
          // The program must have noticed that the daemon is gone.
          sleep(NOTICE_MS);
          const lines = callLines(QUEUED, 1, "search");
          session.exchange(lines, 0, MANY_LIMIT_MS);
        },
        afterReturn: () => {
          cpu = session.cpuMs();
          at = ask(session, new Uint8Array(), QUEUED, MANY_LIMIT_MS).at;
          cpu = session.cpuMs() - cpu;
        },
      });
      const value = performance.timeOrigin + at - listensAt;
      bench.record("queued", { value });
      bench.record("queued-cpu", { value: cpu });
    });
  });
}

/** Measures how a call that meets a dead daemon is answered. */
function recoveryStep(bench: Bench, program: Program): void {
  withDaemon(bench, (bench) => {
    withSession([bench, program, "pipe"], (session) => {
      // Only a client that has seen the tools lets the proxy repeat a safe call.
      const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n`;
      ask(session, encoder.encode(list), 1, CALL_LIMIT_MS);
      let at = 0;
      const listensAt = makeOutage(bench, {
        whileDown: () => {
          session.exchange(callLines(1, 2, "search"), 0, CALL_LIMIT_MS);
        },
        afterReturn: () => {
          at = ask(session, new Uint8Array(), 1, CALL_LIMIT_MS).at;
        },
      });
      const value = performance.timeOrigin + at - listensAt;
      bench.record("recovery", { value });
    });
  });
}

/** Keeps the daemon busy until its code is compiled. */
export function warmUp(bench: Bench, program: Program): void {
  const lines = callLines(BURST, 1, "search");
  withSession([bench, program, "pipe"], (session) => {
    for (let i = 0; i < 20; i++) ask(session, lines, BURST, MANY_LIMIT_MS);
    measureEcho(session, 16_000_000);
  });
}

/** A step and the rows that it records. */
export interface Step {
  readonly rows: readonly RowName[];
  /** The program must survive the daemon. A floor cannot, a peer may not. */
  readonly isOutage?: true;
  /** Takes so long with a bridge to HTTP that one round must do. */
  readonly isSlowWithHttp?: true;
  readonly run: (bench: Bench, program: Program) => void;
}

/** Every step. */
export const STEPS: readonly Step[] = [
  {
    rows: [
      ...["start", "idle", "idle-1s", "p50", "p99", "burst"] as const,
      ...["burst-cpu", "burst-daemon", "peak-burst"] as const,
      ...["structured", "1mb", "16mb", "peak"] as const,
    ],
    run: (bench, program): void => pipeStep(bench, program).end(),
  },
  { rows: ["p50-socketpair", "p99-socketpair"], run: socketpairStep },
  {
    rows: ["open-10", "open-10000", "open-ratio"],
    isSlowWithHttp: true,
    run: openStep,
  },
  { rows: ["queued", "queued-cpu"], isOutage: true, run: queuedStep },
  { rows: ["recovery"], isOutage: true, run: recoveryStep },
];

/**
 * Puts all programs to work, lets them rest for a minute at the same time, and
 * records their memory.
 */
export function minuteStep(
  programs: readonly Program[],
  benchOf: (program: Program) => Bench,
): void {
  const sessions: { session: Session; bench: Bench }[] = [];
  for (const program of programs) {
    const bench = benchOf(program);
    const silent = { ...bench, record: () => {} };
    try {
      sessions.push({ session: pipeStep(silent, program), bench });
    } catch (error) {
      bench.record("minute", { failed: errorMessageOf(error) });
    }
  }
  sleep(60_000);
  for (const { session, bench } of sessions) {
    bench.record("minute", { value: session.memoryMiB() });
    session.end();
  }
}
