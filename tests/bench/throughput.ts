/**
 * Measures what the proxy costs. Each figure is the ratio of two medians: the
 * proxy's, and that of a bare forwarder of the same runtime. Both run in turn.
 *
 *     deno task bench [ROUNDS]
 *
 * @module
 */

import {
  FakeWebSocketServer,
  respondToAll,
} from "../helpers/fake_websocket_server.ts";
import {
  ChildProcess,
  INITIALIZE_LINE,
  proxyCommand,
} from "../helpers/process.ts";
import { print } from "../helpers/print.ts";

const ROUNDS = Number(Deno.args[0] ?? 11);
const SEQUENTIAL = 1_000;
const PIPELINED = 20_000;
const STRUCTURED = 40;
/** The records of a structured response: 82 kB of JSON. */
const RECORDS = JSON.stringify(Array.from({ length: 720 }, (_, i) => ({
  path: `src/module-${i}/index.ts`,
  line: i * 7,
  isExported: i % 3 === 0,
  tags: ["a", `b${i}`, null],
  score: i / 7,
})));
/** The unit of the CPU time that Linux reports: 100 ticks per second. */
const TICK_MS = 10;

/** The figures of one round: times in milliseconds, memory in MiB. */
interface RoundFigures {
  start: number;
  p50: number;
  p99: number;
  pipelined: number;
  cpu: number;
  structured: number;
  large: number;
  idle: number;
  after: number;
}

function startProgram(
  which: "forwarder" | "alwaysup",
  url: string,
  stateFolder: string,
): ChildProcess {
  const flags = ["--url", url];
  if (which === "alwaysup") {
    // With the default settings, the cache is on. It gets its own folder.
    const env = { XDG_STATE_HOME: stateFolder };
    return new ChildProcess(...proxyCommand(flags), env);
  }
  const script = `${import.meta.dirname}/../daemons/forwarder.ts`;
  const args = ["run", "--quiet", "--allow-net", script, ...flags];
  return new ChildProcess(Deno.execPath(), args, {});
}

function callLine(id: number, text: string): string {
  return `{"jsonrpc":"2.0","id":${id},"method":"x","params":{"t":"${text}"}}\n`;
}

function toolCallLine(id: number): string {
  const params = `{"name":"search","arguments":{"query":"x"}}`;
  return `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}\n`;
}

/** Answers tool calls with 82 kB of structured content. */
function respond(message: { id?: number; method?: string }): unknown {
  if (message.id === undefined) return undefined;
  if (message.method !== "tools/call") return respondToAll(message);
  return `{"jsonrpc":"2.0","id":${message.id},"result":{"content":[],` +
    `"structuredContent":{"records":${RECORDS}}}}`;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Returns the CPU time that a process has used so far, in milliseconds. */
async function cpuMs(child: ChildProcess): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${child.process.pid}/stat`);
  const [user, system] = stat.slice(stat.lastIndexOf(")")).split(" ")
    .slice(12, 14);
  return (Number(user) + Number(system)) * TICK_MS;
}

async function memoryMiB(child: ChildProcess): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${child.process.pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

async function measureRound(
  which: "forwarder" | "alwaysup",
  url: string,
  stateFolder: string,
): Promise<RoundFigures> {
  const startedAt = performance.now();
  await using child = startProgram(which, url, stateFolder);
  await child.write(INITIALIZE_LINE);
  let seen = 0;
  const answered = async (): Promise<number> =>
    (await child.stdout.waitForLine(() => true, seen++)).at;
  const startMs = await answered() - startedAt;
  await child.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  const idle = await memoryMiB(child);
  const laps: number[] = [];
  for (let id = 1; id <= SEQUENTIAL; id++) {
    const at = performance.now();
    await child.write(callLine(id, "small"));
    laps.push(await answered() - at);
  }
  laps.sort((a, b) => a - b);
  let at = performance.now();
  const cpuBefore = await cpuMs(child);
  await child.write(
    Array.from({ length: PIPELINED }, (_, i) => callLine(i, "small")).join(""),
  );
  for (let i = 1; i < PIPELINED; i++) await answered();
  const pipelined = await answered() - at;
  const cpu = await cpuMs(child) - cpuBefore;
  at = performance.now();
  for (let id = 1; id < STRUCTURED; id++) {
    await child.write(toolCallLine(id));
    await answered();
  }
  await child.write(toolCallLine(STRUCTURED));
  const structured = await answered() - at;
  at = performance.now();
  await child.write(callLine(1, "x".repeat(20_000_000)));
  const large = await answered() - at;
  const after = await memoryMiB(child);
  await child.closeStdin();
  return {
    start: startMs,
    p50: laps[SEQUENTIAL >> 1]!,
    p99: laps[Math.floor(SEQUENTIAL * 0.99)]!,
    pipelined,
    cpu,
    structured,
    large,
    idle,
    after,
  };
}

const ROWS: [name: keyof RoundFigures, label: string][] = [
  ["start", "start to the response to initialize, ms"],
  ["p50", "one call after the other, median, ms"],
  ["p99", "one call after the other, 99th percentile, ms"],
  ["pipelined", `${PIPELINED} calls at once, ms`],
  ["cpu", "CPU for these, ms"],
  ["structured", `${STRUCTURED} structured responses of 82 kB, ms`],
  ["large", "20 MB to the daemon and back, ms"],
  ["idle", "memory when idle, MiB"],
  ["after", "memory after all that, MiB"],
];

await using daemon = new FakeWebSocketServer({ respond });
const stateFolder = await Deno.makeTempDir();
const rounds = {
  forwarder: [] as RoundFigures[],
  alwaysup: [] as RoundFigures[],
};
for (let i = 0; i < ROUNDS; i++) {
  for (const which of ["forwarder", "alwaysup"] as const) {
    rounds[which].push(await measureRound(which, daemon.url, stateFolder));
  }
}
print(`medians of ${ROUNDS} rounds${" ".repeat(25)}forwarder  alwaysup  ratio`);
for (const [name, label] of ROWS) {
  const [bare, ours] = [rounds.forwarder, rounds.alwaysup]
    .map((all) => median(all.map((one) => one[name])));
  print(
    label.padEnd(46) + bare!.toFixed(2).padStart(9) +
      ours!.toFixed(2).padStart(10) + (ours! / bare!).toFixed(2).padStart(7),
  );
}
await Deno.remove(stateFolder, { recursive: true });
