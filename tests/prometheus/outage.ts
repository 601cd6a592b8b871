/**
 * A client works through a proxy that Prometheus scrapes, while the daemon is
 * killed and started again.
 *
 * @module
 */

import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import type { ProxyProcess } from "../helpers/process.ts";
import { type PrometheusServer, waitFor } from "./prometheus_server.ts";

/** What happened, as the client saw it. */
export interface OutageRecord {
  /** When the daemon was killed, in seconds since 1970. */
  readonly killedAt: number;
  /** When it listened again, in seconds since 1970. */
  readonly startedAt: number;
  /** How long after the kill the first call was answered, in seconds. */
  readonly downSeconds: number;
  /** How many calls were made. */
  readonly calls: number;
  /** How many of them ended with an unknown outcome. */
  readonly unknownOutcomes: number;
}

/** The pause between two calls, in milliseconds. */
const CALL_INTERVAL_MS = 200;
/** How many scrapes happen before the kill, without a daemon, and after it. */
const SCRAPES = { before: 9, down: 7, after: 8 };

/** The calls that are made in turn: one that only reads, and others. */
const CALLS: readonly (readonly [tool: string, input: object])[] = [
  ["look", { key: "a", ms: 15 }],
  ["echo", { key: "b" }],
  ["write", { key: "c" }],
  ["look", { key: "d", ms: 60 }],
  ["big", { n: 5_000 }],
];

/** Calls tools at a steady rate, whether or not they are answered. */
class Client {
  readonly #ids: number[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #failure: unknown;

  constructor(private readonly proxy: ProxyProcess) {}

  start(): void {
    this.#timer = setInterval(() => {
      const id = 1_000 + this.#ids.length;
      const [tool, input] = CALLS[id % CALLS.length]!;
      this.#ids.push(id);
      this.proxy.callTool(id, tool, { ...input }).catch((error) =>
        this.#failure = error
      );
    }, CALL_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Waits for all answers. Returns the counts of all and of failed calls. */
  async waitForAnswers(): Promise<{ count: number; failed: number }> {
    if (this.#failure !== undefined) throw this.#failure;
    let failed = 0;
    for (const id of this.#ids) {
      const { error } = await this.proxy.waitForResponse(id);
      if (error === undefined) continue;
      if (error.code !== -31002) throw new Error(error.message);
      failed++;
    }
    return { count: this.#ids.length, failed };
  }
}

/** Starts the daemon, and a proxy that serves its metrics. */
export async function startProxy(): Promise<
  { both: ProxyAndDaemon; metricsUrl: string }
> {
  const both = new ProxyAndDaemon(["--metrics", "127.0.0.1:0"]);
  await both.startDaemon();
  await both.proxy.initialize();
  return { both, metricsUrl: await both.proxy.metricsUrl() };
}

/** Waits until so many further scrapes have seen a state of the link. */
async function waitForScrapes(
  server: PrometheusServer,
  state: 0 | 1,
  count: number,
): Promise<void> {
  const since = Date.now() / 1000;
  await waitFor(`${count} scrapes with the link at ${state}`, async () => {
    const end = Date.now() / 1000;
    const range = { start: since, end, step: 0.5 };
    // Of a comparison, `timestamp` would be the time of the evaluation.
    const link = "alwaysup_link_up";
    const seen = `timestamp(${link}) and (${link} == ${state})`;
    const [series] = await server.queryRange(seen, range);
    const times = new Set(series?.values?.map(([, at]) => Number(at)));
    const fresh = [...times].filter((at) => at > since);
    return fresh.length >= count || undefined;
  });
}

/** Runs the outage. All calls are answered when it ends. */
export async function runOutage(
  both: ProxyAndDaemon,
  server: PrometheusServer,
): Promise<OutageRecord> {
  const { proxy } = both;
  const client = new Client(proxy);
  client.start();
  try {
    await waitForScrapes(server, 1, SCRAPES.before);
    await both.startTwoCalls();
    const killedAt = Date.now() / 1000;
    const killed = await both.killDaemon();
    await waitForScrapes(server, 0, SCRAPES.down);
    await both.startDaemon();
    const startedAt = Date.now() / 1000;
    const { error } = await proxy.waitForResponse(1);
    if (error?.code !== -31002) throw new Error("a call that writes is lost");
    // It was in flight at the kill, and only reads: it is repeated.
    const repeated = await proxy.waitForResponse("1");
    if (repeated.error) throw new Error(repeated.error.message);
    const first = await proxy.stderr.waitForLine((text) =>
      text.includes("Reconnected")
    );
    await waitForScrapes(server, 1, SCRAPES.after);
    client.stop();
    const { count, failed } = await client.waitForAnswers();
    return {
      killedAt,
      startedAt,
      downSeconds: (first.at - killed) / 1000,
      calls: count + 2,
      unknownOutcomes: failed + 1,
    };
  } finally {
    client.stop();
  }
}
