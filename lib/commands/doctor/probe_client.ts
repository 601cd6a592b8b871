/**
 * A client inside this process that tries a whole proxy: what works for it
 * works for others.
 *
 * @module
 */

import { tame } from "../../text/sanitize.ts";
import { atMost } from "../../runtime/timeout.ts";
import type { Config } from "../../config/config.ts";
import type { Host } from "../../runtime/host.ts";
import { jsonIn } from "../../json/spans.ts";
import { Code, dig, isRecord } from "../../protocol/jsonrpc.ts";
import type { Failure, FailureCause } from "../../link/link.ts";
import type {
  Method,
  Params,
  RequestMethod,
} from "../../protocol/mcp_types.ts";
import { dialerOf, run } from "../../proxy/proxy.ts";
import type { Snapshot } from "../../session/snapshot.ts";
import { type Dial, type Socket } from "../../transport/websocket.ts";

/** How long a daemon has to see a connection close, in milliseconds. */
const CLOSING_MS = 250;

/** What the proxy says where the daemon has not answered. */
const OWN: readonly number[] = [
  ...[Code.unavailable, Code.outcomeUnknown, Code.timedOut],
  ...[Code.overloaded, Code.tooLarge],
];

/** What the daemon answered, or why it could not. */
export type Outcome =
  | { readonly kind: "result"; readonly result: unknown; readonly ms: number }
  | {
    readonly kind: "failed";
    /** For people. */
    readonly why: string;
    /** For programs, where the connection has failed for one of the causes that are told apart. */
    readonly cause?: FailureCause | undefined;
    /** The daemon itself has answered, with an error. */
    readonly isAnswered?: true;
  };

/** What the client in us writes for ids. */
export type Spelling = "numbers" | "texts";

/** A proxy of our own, and its client. */
export class Trial {
  readonly #spelling: Spelling;
  readonly #bytes = new TransformStream<Uint8Array, Uint8Array>();
  readonly #stdin = this.#bytes.writable.getWriter();
  readonly #waiting = new Map<unknown, (outcome: Outcome) => void>();
  readonly #code: Promise<number>;
  #ids = 0;
  #failure: Extract<Outcome, { kind: "failed" }> | undefined;
  #rest = "";
  #connections: Snapshot["connections"] = "unknown";
  readonly #known = Promise.withResolvers<void>();
  readonly #answered = new Set<string>();
  #phase: Snapshot["standing"]["phase"] = "dialing";
  #lastError: string | undefined;
  #drop: (() => Promise<void>) | undefined;
  #isDropped = false;
  readonly #back = Promise.withResolvers<void>();
  #signal: (() => void) | undefined;

  /**
   * Starts the proxy.
   *
   * @param start runs it
   */
  constructor(
    host: Host,
    config: Config,
    spelling: Spelling = "numbers",
    start: typeof run = run,
  ) {
    this.#spelling = spelling;
    const decoder = new TextDecoder();
    const own: Host = {
      ...host,
      stdin: () => this.#bytes.readable,
      writeStdout: (bytes) => {
        this.#take(decoder.decode(bytes, { stream: true }));
        return Promise.resolve(bytes.length);
      },
      onSignal: (callback) => this.#signal = callback,
    };
    const alone: Config = {
      ...config,
      // The first failure is the answer, and nothing stands in for the daemon.
      ...{ queueTimeout: Infinity, initializeGrace: Infinity },
      // A daemon that says hello and no more is no daemon; hello has its own limit.
      requestTimeout: 2 * config.handshakeTimeout,
      ...{ cache: "off", status: "off", healthFile: undefined },
    };
    const log: Parameters<typeof run>[3] = ({ failure }) => {
      // What is lost on purpose is to come back.
      if (failure !== undefined && !this.#isDropped) this.#fail(failure);
    };
    const observe = (now: Snapshot): void => {
      this.#connections = now.connections;
      if (now.connections !== "unknown") this.#known.resolve();
      this.#phase = now.standing.phase;
      this.#lastError = now.lastError;
      const isBack = now.reconnects > 0 && this.#phase === "ready";
      if (isBack) this.#back.resolve();
    };
    const dial = dialerOf(alone, host);
    const watched: Dial = (...call) => this.#dial(dial, ...call);
    this.#code = start(alone, "0", own, log, observe, watched);
  }

  /** Dials as every proxy does; what comes is looked at, and the connection can be lost. */
  #dial(
    dial: Dial,
    ...[url, subprotocol, headers, emit]: Parameters<Dial>
  ): Socket {
    let isLost = false;
    const socket = dial(url, subprotocol, headers, (report) => {
      if (isLost) return;
      if (report.type === "frame") this.#look(report.text);
      emit(report);
    });
    this.#drop = async () => {
      isLost = true;
      // A daemon that keeps one client must have seen it go.
      await atMost(CLOSING_MS, socket.close());
      const reason = "doctor has ended it";
      emit({ type: "closed", code: 1006, reason, reached: true });
    };
    return socket;
  }

  #look(text: string): void {
    const message = jsonIn(text);
    if (!isRecord(message) || typeof message.method === "string") return;
    const { id } = message;
    this.#answered.add((id ?? undefined) === undefined ? "null" : typeof id);
  }

  /** Whether an answer has come with an id of that type. */
  saw(type: "number" | "string" | "null"): boolean {
    return this.#answered.has(type);
  }

  /** Ends the connection as an outage would, and says what follows within so many milliseconds. */
  async lose(
    ms: number,
  ): Promise<{ ms: number } | { phase: string; why: string }> {
    this.#isDropped = true;
    const startedAt = performance.now();
    await this.#drop?.();
    // Who waits has the daemon dialed at once.
    void this.ask("tools/list");
    let isBack = false;
    const back = this.#back.promise.then(() => isBack = true);
    await atMost(ms, back);
    if (isBack) return { ms: performance.now() - startedAt };
    return { phase: this.#phase, why: tame(this.#lastError ?? "no answer") };
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

  /** Asks the daemon; without an answer within so many milliseconds it has failed. */
  async ask<Asked extends RequestMethod>(
    method: Asked,
    params?: Params<Asked>,
    ms: number = Infinity,
  ): Promise<Outcome> {
    if (this.#failure !== undefined) return this.#failure;
    const count = this.#ids++;
    const id = this.#spelling === "numbers" ? count : `doctor-${count}`;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const startedAt = performance.now();
    this.#waiting.set(id, (outcome) =>
      resolve(
        outcome.kind === "failed"
          ? outcome
          : { ...outcome, ms: performance.now() - startedAt },
      ));
    await this.tell({ id, method, ...(params !== undefined && { params }) });
    if (ms < Infinity) await atMost(ms, promise);
    if (ms < Infinity && this.#waiting.has(id)) {
      return { kind: "failed", why: `${method} was not answered in time` };
    }
    return await promise;
  }

  /** Writes a message. */
  async tell(
    message: { readonly id?: number | string; readonly method: Method },
  ): Promise<void> {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    await this.#stdin.write(new TextEncoder().encode(`${text}\n`));
  }

  /** Ends the proxy. */
  async end(): Promise<void> {
    await this.#stdin.close();
    // Nobody waits for what is still owed.
    if (this.#waiting.size > 0) {
      this.#signal?.();
      this.#signal?.(); // the second one does not wait
    }
    await this.#code;
  }

  #fail({ reason, cause }: Failure): void {
    const failure = { kind: "failed", why: tame(reason), cause } as const;
    this.#failure = failure;
    for (const settle of this.#waiting.values()) settle(failure);
    this.#waiting.clear();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const message: unknown = JSON.parse(line);
      if (!isRecord(message) || "method" in message) continue;
      const settle = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      const why = dig(message, "error", "message");
      const isOurs = OWN.includes(Number(dig(message, "error", "code")));
      const answered = isOurs ? {} : { isAnswered: true } as const;
      settle?.(
        typeof why === "string"
          ? { kind: "failed", why: tame(why), ...answered }
          : { kind: "result", result: message.result, ms: 0 },
      );
    }
  }
}
