/**
 * A client inside this process that uses a whole proxy: what works for it works
 * for other clients.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import { waitAtMost } from "../../runtime/timeout.ts";
import type { Config } from "../../config/config.ts";
import type { Host } from "../../runtime/host.ts";
import { tryParseJson } from "../../json/spans.ts";
import { ErrorCode, getNested, isRecord } from "../../protocol/jsonrpc.ts";
import type { Failure, FailureCause } from "../../link/link.ts";
import type {
  Method,
  Params,
  RequestMethod,
} from "../../protocol/mcp_types.ts";
import { createProxyDialer, runProxy } from "../../proxy/proxy.ts";
import type { Snapshot } from "../../session/snapshot.ts";
import { type Dialer, type Socket } from "../../transport/websocket.ts";

/** How long a daemon has to see a connection close, in milliseconds. */
const CLOSE_WAIT_MS = 250;

/** The error codes of the proxy itself, when the daemon has not answered. */
const PROXY_ERROR_CODES: readonly number[] = [
  ErrorCode.unavailable,
  ErrorCode.outcomeUnknown,
  ErrorCode.timedOut,
  ErrorCode.overloaded,
  ErrorCode.tooLarge,
];

/** The daemon's response, or why there is none. */
export type CallResult =
  | { readonly kind: "result"; readonly result: unknown; readonly ms: number }
  | {
    readonly kind: "failed";
    /** The reason, for people. */
    readonly reason: string;
    /** The cause, for programs, if it is known one. */
    readonly cause?: FailureCause | undefined;
    /** Set if the daemon itself has answered with an error. */
    readonly isFromDaemon?: true;
  };

/** The type of the ids that the in-process client writes. */
export type IdStyle = "numbers" | "texts";

/** A proxy in this process, and its client. */
export class InProcessClient {
  readonly #idStyle: IdStyle;
  readonly #stdinStream = new TransformStream<Uint8Array, Uint8Array>();
  readonly #stdin = this.#stdinStream.writable.getWriter();
  readonly #pending = new Map<unknown, (outcome: CallResult) => void>();
  readonly #exitCode: Promise<number>;
  #nextId = 0;
  #failure: Extract<CallResult, { kind: "failed" }> | undefined;
  #partialLine = "";
  #connections: Snapshot["connections"] = "unknown";
  readonly #capacityKnown = Promise.withResolvers<void>();
  readonly #responseIdTypes = new Set<string>();
  #phase: Snapshot["standing"]["phase"] = "dialing";
  #lastError: string | undefined;
  #dropConnection: (() => Promise<void>) | undefined;
  #isDroppedOnPurpose = false;
  readonly #reconnected = Promise.withResolvers<void>();
  #signal: (() => void) | undefined;

  /**
   * Starts the proxy.
   *
   * @param start runs the proxy
   */
  constructor(
    host: Host,
    config: Config,
    idStyle: IdStyle = "numbers",
    start: typeof runProxy = runProxy,
  ) {
    this.#idStyle = idStyle;
    const decoder = new TextDecoder();
    const inProcessHost: Host = {
      ...host,
      stdin: () => this.#stdinStream.readable,
      writeStdout: (bytes) => {
        this.#handleOutput(decoder.decode(bytes, { stream: true }));
        return Promise.resolve(bytes.length);
      },
      onSignal: (callback) => this.#signal = callback,
    };
    const testConfig: Config = {
      ...config,
      // The first failure is the result, and the cache and placeholders are not
      // used.
      queueTimeout: Infinity,
      initializeGrace: Infinity,
      // A daemon that answers nothing after the handshake fails the check. The
      // handshake has its own timeout.
      requestTimeout: 2 * config.handshakeTimeout,
      cache: "off",
      status: "off",
      healthFile: undefined,
    };
    const log: Parameters<typeof runProxy>[3] = ({ failure }) => {
      // A connection dropped on purpose is no failure.
      if (failure !== undefined && !this.#isDroppedOnPurpose) {
        this.#fail(failure);
      }
    };
    const observe = (snapshot: Snapshot): void => {
      this.#connections = snapshot.connections;
      if (snapshot.connections !== "unknown") this.#capacityKnown.resolve();
      this.#phase = snapshot.standing.phase;
      this.#lastError = snapshot.lastError;
      const isBack = snapshot.reconnects > 0 && this.#phase === "ready";
      if (isBack) this.#reconnected.resolve();
    };
    const dial = createProxyDialer(testConfig, host);
    const observedDialer: Dialer = (...call) => this.#dial(dial, ...call);
    this.#exitCode = start(
      testConfig,
      "0",
      inProcessHost,
      log,
      observe,
      observedDialer,
    );
  }

  /**
   * Dials as every proxy does; records what comes, and makes it possible to
   * drop the connection.
   */
  #dial(
    dial: Dialer,
    ...[url, subprotocol, headers, emit]: Parameters<Dialer>
  ): Socket {
    let isLost = false;
    const socket = dial(url, subprotocol, headers, (report) => {
      if (isLost) return;
      if (report.type === "frame") this.#recordIdType(report.text);
      emit(report);
    });
    this.#dropConnection = async () => {
      isLost = true;
      // A daemon that keeps one client must have seen the close.
      await waitAtMost(CLOSE_WAIT_MS, socket.close());
      const reason = "doctor has ended it";
      emit({ type: "closed", code: 1006, reason, isServerReached: true });
    };
    return socket;
  }

  #recordIdType(text: string): void {
    const message = tryParseJson(text);
    if (!isRecord(message) || typeof message.method === "string") return;
    const { id } = message;
    this.#responseIdTypes.add(
      (id ?? undefined) === undefined ? "null" : typeof id,
    );
  }

  /** True if a response has come with an id of that type. */
  sawResponseId(type: "number" | "string" | "null"): boolean {
    return this.#responseIdTypes.has(type);
  }

  /**
   * Drops the connection as an outage would, and returns what follows within
   * `timeoutMs`.
   */
  async dropAndReconnect(
    timeoutMs: number,
  ): Promise<{ ms: number } | { phase: string; why: string }> {
    this.#isDroppedOnPurpose = true;
    const startedAt = performance.now();
    await this.#dropConnection?.();
    // With a pending request, the proxy dials at once.
    void this.request("tools/list");
    let isBack = false;
    const reconnected = this.#reconnected.promise.then(() => isBack = true);
    await waitAtMost(timeoutMs, reconnected);
    if (isBack) return { ms: performance.now() - startedAt };
    return {
      phase: this.#phase,
      why: sanitizeLine(this.#lastError ?? "no answer"),
    };
  }

  /**
   * Returns how many connections the daemon keeps: as soon as the proxy knows
   * it, or after `timeoutMs`.
   */
  async waitForCapacity(timeoutMs: number): Promise<Snapshot["connections"]> {
    await waitAtMost(timeoutMs, this.#capacityKnown.promise);
    return this.#connections;
  }

  /** True if the connection has failed. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /**
   * Sends a request; the result is a failure if no response comes within `ms`
   * milliseconds.
   */
  async request<M extends RequestMethod>(
    method: M,
    params?: Params<M>,
    ms: number = Infinity,
  ): Promise<CallResult> {
    if (this.#failure !== undefined) return this.#failure;
    const count = this.#nextId++;
    const id = this.#idStyle === "numbers" ? count : `doctor-${count}`;
    const { promise, resolve } = Promise.withResolvers<CallResult>();
    const startedAt = performance.now();
    this.#pending.set(id, (outcome) =>
      resolve(
        outcome.kind === "failed"
          ? outcome
          : { ...outcome, ms: performance.now() - startedAt },
      ));
    await this.send({ id, method, ...(params !== undefined && { params }) });
    if (ms < Infinity) await waitAtMost(ms, promise);
    if (ms < Infinity && this.#pending.has(id)) {
      return { kind: "failed", reason: `${method} was not answered in time` };
    }
    return await promise;
  }

  /** Writes a message. */
  async send(
    message: { readonly id?: number | string; readonly method: Method },
  ): Promise<void> {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    await this.#stdin.write(new TextEncoder().encode(`${text}\n`));
  }

  /** Ends the proxy. */
  async close(): Promise<void> {
    await this.#stdin.close();
    // Nobody waits for the open requests.
    if (this.#pending.size > 0) {
      this.#signal?.();
      this.#signal?.(); // the second one does not wait
    }
    await this.#exitCode;
  }

  #fail({ reason: rawReason, cause }: Failure): void {
    const failure = {
      kind: "failed",
      reason: sanitizeLine(rawReason),
      cause,
    } as const;
    this.#failure = failure;
    for (const complete of this.#pending.values()) complete(failure);
    this.#pending.clear();
  }

  #handleOutput(text: string): void {
    const lines = (this.#partialLine + text).split("\n");
    this.#partialLine = lines.pop()!;
    for (const line of lines) {
      const message: unknown = JSON.parse(line);
      if (!isRecord(message) || "method" in message) continue;
      const complete = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      const why = getNested(message, "error", "message");
      const isProxyError = PROXY_ERROR_CODES.includes(
        Number(getNested(message, "error", "code")),
      );
      const origin = isProxyError ? {} : { isFromDaemon: true } as const;
      complete?.(
        typeof why === "string"
          ? { kind: "failed", reason: sanitizeLine(why), ...origin }
          : { kind: "result", result: message.result, ms: 0 },
      );
    }
  }
}
