/**
 * Starts Prometheus, and asks its HTTP API.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import { ChildProcess, freePort } from "../helpers/process.ts";

/** A series of an answer. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** The last value, of an instant query. */
  readonly value?: readonly [at: number, value: string];
  /** All values, of a range query. */
  readonly values?: readonly (readonly [at: number, value: string])[];
}

/** A rule, as Prometheus has loaded it. */
export interface Rule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
}

/** A range of times, in seconds since 1970. */
export interface TimeRange {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** The pause between two looks at a condition that nothing announces. */
const POLL_MS = 100;
/** The time limit of a wait; the longest takes some 8 s. */
const WAIT_LIMIT_MS = 25_000;
/** Ends Prometheus with stdin, even if this process is killed. */
const KEEPER = '"$@" & pid=$!; cat > /dev/null; kill -9 $pid; wait $pid';

/** Waits until a condition has a value. Throws after a time limit. */
export async function waitFor<T>(
  what: string,
  condition: () => Promise<T | undefined>,
): Promise<T> {
  const end = performance.now() + WAIT_LIMIT_MS;
  for (;;) {
    const value = await condition();
    if (value !== undefined) return value;
    if (performance.now() > end) {
      throw new Error(`Waited ${WAIT_LIMIT_MS / 1000} s for ${what}`);
    }
    await delay(POLL_MS);
  }
}

/** Runs promtool. Throws with its output if it finds a fault. */
export async function runPromtool(
  args: readonly string[],
  input: string = "",
): Promise<void> {
  const child = new Deno.Command("promtool", {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // promtool may end before it has read its input.
  const written = writer.write(new TextEncoder().encode(input))
    .then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await written;
  const output = [stdout, stderr].map((it) => new TextDecoder().decode(it))
    .join("").trim();
  // `check metrics` also reports advice by its output alone.
  const isClean = args[1] !== "metrics" || output === "";
  if (code === 0 && isClean) return;
  throw new Error(`promtool ${args.join(" ")} ended with ${code}:\n${output}`);
}

/** Returns Prometheus's version; `undefined` if it or promtool is missing. */
export function findPrometheus(): string | undefined {
  try {
    const [text] = ["prometheus", "promtool"].map((command) => {
      const { stdout, stderr } = new Deno.Command(command, {
        args: ["--version"],
      }).outputSync();
      return new TextDecoder().decode(stdout) +
        new TextDecoder().decode(stderr);
    });
    return /version (\S+)/.exec(text!)?.[1] ?? "unknown";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A running Prometheus that listens on the loopback address only. */
export class PrometheusServer implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #url: string;
  readonly #folder: string;

  private constructor(config: string) {
    this.#folder = Deno.makeTempDirSync({ prefix: "prometheus-" });
    const file = `${this.#folder}/prometheus.yml`;
    Deno.writeTextFileSync(file, config);
    const address = `127.0.0.1:${freePort()}`;
    this.#url = `http://${address}`;
    this.#process = new ChildProcess("sh", [
      ...["-c", KEEPER, "sh", "prometheus", `--config.file=${file}`],
      `--storage.tsdb.path=${this.#folder}/data`,
      `--web.listen-address=${address}`,
      "--log.level=warn",
    ], {});
  }

  /** Starts Prometheus, and waits until it answers. */
  static async start(config: string): Promise<PrometheusServer> {
    const server = new PrometheusServer(config);
    try {
      await waitFor("Prometheus", () => server.#isReady());
    } catch (error) {
      const log = server.#process.stderr.dump();
      await server[Symbol.asyncDispose]();
      throw new Error(`Prometheus does not start:\n${log}`, { cause: error });
    }
    return server;
  }

  async #isReady(): Promise<true | undefined> {
    try {
      const response = await fetch(`${this.#url}/-/ready`);
      await response.body?.cancel();
      return response.ok || undefined;
    } catch {
      return undefined;
    }
  }

  async #ask(path: string, params: Record<string, string> = {}): Promise<
    // deno-lint-ignore no-explicit-any
    any
  > {
    const query = new URLSearchParams(params);
    const response = await fetch(`${this.#url}/api/v1/${path}?${query}`);
    const { status, error, data } = await response.json();
    if (status === "success") return data;
    throw new Error(`${params.query ?? path}: ${error}`);
  }

  /** Returns the series of an expression now. Throws if it is an error. */
  async query(expression: string): Promise<Series[]> {
    const { resultType, result } = await this.#ask("query", {
      query: expression,
    });
    if (resultType === "vector") return result;
    throw new Error(`${expression}: is a ${resultType}`);
  }

  /** Returns the value of an expression that has one series at most. */
  async valueOf(expression: string): Promise<number | undefined> {
    const series = await this.query(expression);
    if (series.length > 1) throw new Error(`${expression}: several series`);
    return series[0] && Number(series[0].value![1]);
  }

  /** Returns the values of an expression in a range, by their times. */
  async queryRange(expression: string, range: TimeRange): Promise<Series[]> {
    const { start, end, step } = range;
    const { result } = await this.#ask("query_range", {
      ...{ query: expression, start: `${start}`, end: `${end}` },
      step: `${step}`,
    });
    return result;
  }

  /** Returns the rules that are loaded. */
  async rules(): Promise<Rule[]> {
    const { groups } = await this.#ask("rules");
    return groups.flatMap(({ rules }: { rules: Rule[] }) => rules);
  }

  /** Returns the type of each metric, as the targets have told it. */
  async metricTypes(): Promise<Map<string, string>> {
    const metadata: Record<string, { type: string }[]> = await this.#ask(
      "metadata",
    );
    return new Map(
      Object.entries(metadata).map(([name, [first]]) => [name, first!.type]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.closeStdin();
    await Deno.remove(this.#folder, { recursive: true });
  }
}
