/**
 * A client inside this process that tries a whole proxy: what works for it
 * works for others.
 *
 * @module
 */

import type { Config } from "./config.ts";
import type { Host } from "./host.ts";
import { dig, isRecord } from "./jsonrpc.ts";
import { tame } from "./output.ts";
import { run } from "./proxy.ts";
import type { Snapshot } from "./snapshot.ts";
import { atMost } from "./socket.ts";

/** What the daemon answered, or why it could not. */
export type Outcome =
  | { readonly kind: "result"; readonly result: unknown; readonly ms: number }
  | { readonly kind: "failed"; readonly why: string };

/** A proxy of our own, and its client. */
export class Trial {
  readonly #bytes = new TransformStream<Uint8Array, Uint8Array>();
  readonly #stdin = this.#bytes.writable.getWriter();
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  readonly #code: Promise<number>;
  #ids = 0;
  #failure: string | undefined;
  #rest = "";
  #connections: Snapshot["connections"] = "unknown";
  readonly #known = Promise.withResolvers<void>();

  /** Starts the proxy. */
  constructor(config: Config, host: Host) {
    const decoder = new TextDecoder();
    const own: Host = {
      ...host,
      stdin: () => this.#bytes.readable,
      writeStdout: (bytes) => {
        this.#take(decoder.decode(bytes, { stream: true }));
        return Promise.resolve(bytes.length);
      },
      onSignal: () => {},
    };
    const alone: Config = {
      ...config,
      // The first failure is the answer, and nothing stands in for the daemon.
      ...{ queueTimeout: Infinity, initializeGrace: Infinity },
      // A daemon that says hello and no more is no daemon; hello has its own limit.
      requestTimeout: 2 * config.handshakeTimeout,
      ...{ cache: "off", status: "off", healthFile: undefined },
    };
    const log: Parameters<typeof run>[3] = ({ event, level, reason }) => {
      // The same attempt goes on without the subprotocol.
      const isOver = event === "lost" ||
        event === "attempt-failed" && level !== "debug";
      if (isOver) this.#fail(reason!);
    };
    this.#code = run(alone, "0", own, log, ({ connections }) => {
      this.#connections = connections;
      if (connections !== "unknown") this.#known.resolve();
    });
  }

  /** How many connections the daemon keeps, as soon as the proxy knows it, or after so many milliseconds. */
  async connections(ms: number): Promise<Snapshot["connections"]> {
    await atMost(ms, this.#known.promise);
    return this.#connections;
  }

  /** Whether the connection has failed. */
  get isOver(): boolean {
    return this.#failure !== undefined;
  }

  /** Asks the daemon. */
  async ask(method: string, params?: unknown): Promise<Outcome> {
    if (this.#failure !== undefined) {
      return { kind: "failed", why: this.#failure };
    }
    const id = this.#ids++;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const startedAt = performance.now();
    this.#waiting.set(id, (outcome) =>
      resolve(
        outcome.kind === "failed"
          ? outcome
          : { ...outcome, ms: performance.now() - startedAt },
      ));
    await this.tell({ id, method, ...(params !== undefined && { params }) });
    return await promise;
  }

  /** Writes a message. */
  async tell(message: Record<string, unknown>): Promise<void> {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    await this.#stdin.write(new TextEncoder().encode(`${text}\n`));
  }

  /** Ends the proxy. */
  async end(): Promise<void> {
    await this.#stdin.close();
    await this.#code;
  }

  #fail(reason: string): void {
    const why = tame(reason);
    this.#failure = why;
    for (const settle of this.#waiting.values()) {
      settle({ kind: "failed", why });
    }
    this.#waiting.clear();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const message: unknown = JSON.parse(line);
      if (!isRecord(message) || "method" in message) continue;
      const settle = this.#waiting.get(Number(message.id));
      this.#waiting.delete(Number(message.id));
      const why = dig(message, "error", "message");
      settle?.(
        typeof why === "string"
          ? { kind: "failed", why: tame(why) }
          : { kind: "result", result: message.result, ms: 0 },
      );
    }
  }
}
