/**
 * The steps of the benchmark. A step starts a program, puts it to work as an
 * MCP client does, and records the figures of some rows.
 *
 * @module
 */

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

/** A program under test. It makes the handshake of MCP when it starts. */
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
  /** When it began to listen, in milliseconds since 1970. */
  readonly listensAt: number;

  private constructor(child: Child) {
    this.child = child;
    const { text } = child.exchange(new Uint8Array(), 1, CALL_LIMIT_MS);
    [this.port, this.listensAt] = text.split(" ").map(Number) as [
      number,
      number,
    ];
  }

  /** Starts a daemon, and waits until it listens. */
  static start(folder: string, port = 0): Daemon {
    return new Daemon(Daemon.spawn(folder, port));
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
  urls: DaemonUrls,
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
  const command: Command = program.command(urls);
  const session = new Child(command, env, channel, `${home}/stderr.log`);
  const wanted = channel === "pipe" ? "pipe" : "socket";
  const kinds = session.stdioKinds();
  if (kinds.some((kind) => kind !== wanted)) {
    session.kill();
    throw new Error(`stdin and stdout are ${kinds}, not ${wanted}`);
  }
  return session;
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

/** Starts a program, makes the handshake, and waits until it is idle. */
function startSession(
  ...args: Parameters<typeof startProgram>
): Session {
  const session = startProgram(...args);
  try {
    initialize(session);
    session.drain(SETTLE_MS);
    return session;
  } catch (error) {
    session.kill();
    throw error;
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

/** Measures a session whose stdin and stdout are pipes. */
function pipeStep(bench: Bench, program: Program): Session {
  const { rows, record } = bench;
  const wants = (...names: RowName[]): boolean =>
    names.some((name) => rows.has(name));
  const from = performance.now();
  const session = startProgram(bench, program, bench.daemon.urls, "pipe");
  try {
    record("start", { value: initialize(session) - from });
    record("idle", { value: session.memoryMiB() });
    session.drain(wants("idle-1s") ? IDLE_MS : SETTLE_MS);
    record("idle-1s", { value: session.memoryMiB() });
    const wantsPeak = wants("peak", "minute");
    if (wantsPeak || wants("p50", "p99")) {
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
    if (wantsPeak || wants("16mb")) {
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
  const { urls } = bench.daemon;
  const session = startSession(bench, program, urls, "socketpair");
  try {
    const { p50, p99 } = measureSequential(session);
    bench.record("p50-socketpair", { value: p50 });
    bench.record("p99-socketpair", { value: p99 });
  } finally {
    session.end();
  }
}

/** Sends calls, a window at a time. Returns the CPU per call, in microseconds. */
function measureWindows(session: Session, calls: number): number {
  const lines = callLines(WINDOW, 1_000_000, "search");
  const cpu = session.cpuMs();
  for (let sent = 0; sent < calls; sent += WINDOW) {
    ask(session, lines, WINDOW, CALL_LIMIT_MS);
  }
  return (session.cpuMs() - cpu) * 1e3 / calls;
}

/** Measures what a call costs while others are open. */
function openStep(bench: Bench, program: Program): void {
  const session = startSession(bench, program, bench.daemon.urls, "pipe");
  const answered = ANSWERED / divisorOf(program);
  const hold = (count: number, first: number): void => {
    const lines = callLines(count, first, "hold");
    session.exchange(lines, 0, MANY_LIMIT_MS);
    // These are answered after the held calls were sent.
    measureWindows(session, WINDOW);
    session.drain(SETTLE_MS);
  };
  try {
    hold(FEW_OPEN, 1);
    // Without these, the code would still get faster from one to the other.
    measureWindows(session, OPEN_WARM_UP / divisorOf(program));
    const few = measureWindows(session, answered);
    bench.record("open-10", { value: few });
    hold(MANY_OPEN - FEW_OPEN, FEW_OPEN + 1);
    const many = measureWindows(session, answered);
    bench.record("open-10000", { value: many });
    bench.record("open-ratio", { value: many / few });
  } finally {
    session.kill();
  }
}

/** Kills a daemon, and starts it again on its port after some time. */
function withOutage(
  bench: Bench,
  daemon: Daemon,
  whileDown: () => void,
  afterReturn: () => void,
): { readonly listensAt: number } {
  daemon.child.kill();
  const from = performance.now();
  whileDown();
  sleep(OUTAGE_MS - (performance.now() - from));
  const returned = Daemon.spawn(bench.folder, daemon.port);
  try {
    afterReturn();
    // The line was written long ago. It is read now, so as not to delay us.
    const { text } = returned.exchange(new Uint8Array(), 1, CALL_LIMIT_MS);
    return { listensAt: Number(text.split(" ")[1]) };
  } finally {
    returned.kill();
  }
}

/** Measures how calls that were queued during an outage are answered. */
function queuedStep(bench: Bench, program: Program): void {
  const daemon = Daemon.start(bench.folder);
  // By default, 1,000 messages may wait.
  const settings = { ALWAYSUP_QUEUE_LIMIT: `${QUEUED}` };
  let session: Session | undefined;
  try {
    session = startSession(bench, program, daemon.urls, "pipe", settings);
    const { exchange, cpuMs } = boundTo(session);
    let [cpu, at] = [0, 0];
    const { listensAt } = withOutage(bench, daemon, () => {
      sleep(SETTLE_MS / 5);
      exchange(callLines(QUEUED, 1, "search"), 0, MANY_LIMIT_MS);
    }, () => {
      cpu = cpuMs();
      at = ask(session!, new Uint8Array(), QUEUED, MANY_LIMIT_MS).at;
      cpu = cpuMs() - cpu;
    });
    const value = performance.timeOrigin + at - listensAt;
    bench.record("queued", { value });
    bench.record("queued-cpu", { value: cpu });
  } finally {
    session?.kill();
    daemon.child.kill();
  }
}

/** Measures how a call that meets a dead daemon is answered. */
function recoveryStep(bench: Bench, program: Program): void {
  const daemon = Daemon.start(bench.folder);
  let session: Session | undefined;
  try {
    session = startSession(bench, program, daemon.urls, "pipe");
    // Only a client that has seen the tools lets the proxy repeat a safe call.
    const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n`;
    ask(session, encoder.encode(list), 1, CALL_LIMIT_MS);
    const { exchange } = boundTo(session);
    let at = 0;
    const { listensAt } = withOutage(bench, daemon, () => {
      exchange(callLines(1, 2, "search"), 0, CALL_LIMIT_MS);
    }, () => {
      at = ask(session!, new Uint8Array(), 1, CALL_LIMIT_MS).at;
    });
    bench.record("recovery", {
      value: performance.timeOrigin + at - listensAt,
    });
  } finally {
    session?.kill();
    daemon.child.kill();
  }
}

/** Returns the functions of a session, for use in closures. */
function boundTo(session: Session): Pick<Session, "exchange" | "cpuMs"> {
  return {
    exchange: (...args) => session.exchange(...args),
    cpuMs: () => session.cpuMs(),
  };
}

/** A step and the rows that it records. */
export interface Step {
  readonly rows: readonly RowName[];
  /** The program must survive the daemon. A floor cannot, a peer may not. */
  readonly isOutage?: true;
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
  { rows: ["open-10", "open-10000", "open-ratio"], run: openStep },
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
      bench.record("minute", { failed: String(error) });
    }
  }
  sleep(60_000);
  for (const { session, bench } of sessions) {
    bench.record("minute", { value: session.memoryMiB() });
    session.end();
  }
}
