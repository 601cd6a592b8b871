/**
 * Runs a complete proxy in this process, and an MCP client for it. The client
 * uses the proxy as other clients do, so that its results hold for them, too.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import { waitAtMost } from "../../runtime/timeout.ts";
import type { Config } from "../../config/config.ts";
import type { Host } from "../../runtime/host.ts";
import type { LogFact } from "../../events.ts";
import { tryParseJson } from "../../json/spans.ts";
import { ErrorCode, getNested, isRecord } from "../../protocol/jsonrpc.ts";
import type { Failure, FailureCause } from "../../link/link.ts";
import {
  META_KEYS,
  type Method,
  type Params,
  type RequestMethod,
} from "../../protocol/mcp_types.ts";
import { runProxy } from "../../proxy/proxy.ts";
import type { Snapshot } from "../../session/snapshot.ts";
import type { Transport, TransportEvent } from "../../transport/transport.ts";
import { createWebSocketTransport } from "../../transport/websocket.ts";

/** How long doctor waits for the daemon to close its side of a connection. */
const CLOSE_WAIT_MS = 250;

/**
 * The error codes that only the proxy uses. The codes of JSON-RPC are not among
 * them, because daemons use those, too.
 */
const PROXY_ERROR_CODES = Object.values<number>(ErrorCode)
  .filter((code) => code > -32_000);

const INITIALIZE_PARAMS = {
  protocolVersion: "2025-11-25",
  capabilities: {},
  clientInfo: { name: "alwaysup doctor", version: "1" },
} satisfies Params<"initialize">;
/** The MCP revision that has no `initialize` request. */
export const STATELESS_VERSION = "2026-07-28";
const STATELESS_META = {
  [META_KEYS.protocolVersion]: STATELESS_VERSION,
  [META_KEYS.clientCapabilities]: {},
  [META_KEYS.clientInfo]: INITIALIZE_PARAMS.clientInfo,
};

/** The daemon's result, or the reason why there is none. */
export type RequestOutcome =
  | { readonly kind: "result"; readonly result: unknown }
  | {
    readonly kind: "failed";
    /** The reason for users, in one line. */
    readonly reason: string;
    /** The reason for programs; `undefined` if it is not a known cause. */
    readonly cause?: FailureCause | undefined;
    /** True if the daemon itself answered with an error. */
    readonly isFromDaemon?: boolean;
  };

/** The outcome of the first WebSocket: `open`, or `closed` with the reason. */
export type OpeningResult = Extract<
  TransportEvent,
  { type: "open" | "closed" }
>;

/** The outcome of a reconnect after doctor dropped the connection. */
export type ReconnectOutcome =
  | { readonly kind: "reconnected"; readonly ms: number }
  /** The daemon answers a client's first message, but not the proxy's own. */
  | { readonly kind: "own unanswered" }
  /** The daemon does not answer the first message on a second connection. */
  | { readonly kind: "second unanswered" }
  /** No new connection was ready in time; `why` is the last error. */
  | { readonly kind: "not reached"; readonly why: string };

/** An unanswered handshake of this length counts as hung, in milliseconds. */
const HUNG_HANDSHAKE_MS = 1_000;

/** An MCP client, and the proxy that it uses, in this process. */
export class InProcessClient {
  /** The types of the ids in the daemon's responses: `typeof`, or `null`. */
  readonly responseIdTypes = new Set<string>();
  readonly #dialect: Config["dialect"];
  readonly #idStyle: "numbers" | "texts";
  readonly #stdinStream = new TransformStream<Uint8Array, Uint8Array>();
  readonly #stdin = this.#stdinStream.writable.getWriter();
  readonly #pending = new Map<unknown, (outcome: RequestOutcome) => void>();
  readonly #exitCode: Promise<number>;
  readonly #opened = Promise.withResolvers<OpeningResult>();
  #nextId = 0;
  #isStateless = false;
  #failure: RequestOutcome | undefined;
  #partialLine = "";
  #snapshot: Snapshot | undefined;
  #onSnapshot = (): void => {};
  #lastClose: OpeningResult | undefined;
  #dropConnection: (() => Promise<void>) | undefined;
  #isDroppedOnPurpose = false;
  #signal: (() => void) | undefined;

  /** Starts the proxy. */
  constructor(
    host: Host,
    config: Config,
    idStyle: "numbers" | "texts" = "numbers",
    start: typeof runProxy = runProxy,
  ) {
    this.#dialect = config.dialect;
    this.#idStyle = idStyle;
    const decoder = new TextDecoder();
    const inProcessHost: Host = {
      ...host,
      readStdin: async (handleChunk) => {
        for await (const chunk of this.#stdinStream.readable) {
          await handleChunk(chunk);
        }
      },
      writeStdout: (bytes) => {
        this.#handleOutput(decoder.decode(bytes, { stream: true }));
        return bytes.length;
      },
      onSignal: (callback) => this.#signal = callback,
    };
    const testConfig: Config = {
      ...config,
      // A check must see the first failure, so no queue timeout and no answer
      // of the proxy itself may hide it.
      queueTimeout: Infinity,
      initializeGrace: Infinity,
      // Limits the requests after the handshake, which has its own timeout.
      requestTimeout: 2 * config.handshakeTimeout,
      cache: "off",
      status: "off",
      metrics: "off",
      logToClient: "off",
      healthFile: undefined,
    };
    this.#exitCode = start(
      testConfig,
      "0",
      inProcessHost,
      ({ fact }) => this.#onFact(fact),
      (takeSnapshot) => {
        this.#snapshot = takeSnapshot();
        this.#onSnapshot();
      },
      this.#observedTransport(config, host),
    );
  }

  /** Resolves once the first WebSocket has opened or failed to open. */
  get opening(): Promise<OpeningResult> {
    return this.#opened.promise;
  }

  /**
   * Returns the transport that every proxy uses, with two additions: it records
   * the events, and its connection can be dropped.
   */
  #observedTransport(config: Config, host: Host): Transport {
    // Doctor has nothing else to do, so it waits longer for the reason why a
    // dial failed.
    const maxDiagnosisMs = config.handshakeTimeout;
    const transport = createWebSocketTransport(config, host, maxDiagnosisMs);
    return {
      dial: (connectionId, subprotocol, emit) => {
        let isLost = false;
        const connection = transport.dial(
          connectionId,
          subprotocol,
          (event) => {
            if (isLost) return;
            this.#record(event);
            emit(event);
          },
        );
        this.#dropConnection = async () => {
          isLost = true;
          // A daemon that keeps one client must see this before the next dial.
          await waitAtMost(CLOSE_WAIT_MS, connection.close());
          const reason = "doctor closed it";
          const closed = { code: 1006, reason, mayHaveReachedServer: true };
          emit({ type: "closed", connectionId, ...closed });
        };
        return connection;
      },
    };
  }

  #record(event: TransportEvent): void {
    if (event.type === "open") this.#opened.resolve(event);
    if (event.type === "closed") this.#lastClose = event;
    if (event.type !== "frame") return;
    const message = tryParseJson(event.text);
    if (!isRecord(message) || typeof message.method === "string") return;
    const { id = null } = message;
    this.responseIdTypes.add(id === null ? "null" : typeof id);
  }

  /**
   * Sends `initialize` and `notifications/initialized`. If the daemon answers
   * `initialize` with an error, sends `server/discover` instead.
   */
  async handshake(timeoutMs?: number): Promise<RequestOutcome> {
    const params = INITIALIZE_PARAMS;
    const first = await this.request("initialize", params, timeoutMs);
    if (first.kind === "result") {
      this.#send({ method: "notifications/initialized" });
      // For exai, the proxy itself answers `initialize`, without the daemon.
      return this.#dialect === "exai" ? this.request("tools/list") : first;
    }
    if (this.#dialect === "exai" || !first.isFromDaemon) return first;
    this.#isStateless = true;
    const other = await this.request("server/discover", undefined, timeoutMs);
    return other.kind === "result" ? other : first;
  }

  /** The method of a request that the daemon answers, not the proxy. */
  get probeMethod(): "tools/list" | "server/discover" | "ping" {
    // The proxy answers an exai ping itself.
    if (this.#dialect === "exai") return "tools/list";
    return this.#isStateless ? "server/discover" : "ping";
  }

  /** Drops the connection as an outage does, and waits for the next one. */
  async dropAndReconnect(timeoutMs: number): Promise<ReconnectOutcome> {
    this.#isDroppedOnPurpose = true;
    const startedAt = performance.now();
    await this.#dropConnection?.();
    // A pending request makes the proxy dial at once.
    void this.request("tools/list");
    // The proxy may give up a handshake before doctor's timeout.
    let handshakingSince: number | undefined;
    let longestHandshakeMs = 0;
    const isBack = ({ connectionState, reconnects }: Snapshot): boolean => {
      const now = performance.now();
      const handshakeMs = now - (handshakingSince ?? now);
      longestHandshakeMs = Math.max(longestHandshakeMs, handshakeMs);
      const { phase } = connectionState;
      handshakingSince = phase === "handshaking"
        ? handshakingSince ?? now
        : undefined;
      return reconnects > 0 && phase === "ready";
    };
    const snapshot = await this.waitFor(isBack, timeoutMs);
    const ms = performance.now() - startedAt;
    if (isBack(snapshot)) return { kind: "reconnected", ms };
    const { lastError = "no answer" } = snapshot;
    // A daemon that refuses the connection closes it sooner.
    return longestHandshakeMs >= HUNG_HANDSHAKE_MS
      ? { kind: "own unanswered" }
      : { kind: "not reached", why: sanitizeLine(lastError) };
  }

  /** Returns the proxy's state once it passes a test, or at the timeout. */
  async waitFor(
    test: (snapshot: Snapshot) => boolean,
    timeoutMs: number,
  ): Promise<Snapshot> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onSnapshot = () => {
      if (test(this.#snapshot!)) resolve();
    };
    this.#onSnapshot();
    await waitAtMost(timeoutMs, promise);
    return this.#snapshot!;
  }

  /** Sends a request. Without `timeoutMs`, only the proxy's timeouts apply. */
  async request<M extends RequestMethod>(
    method: M,
    params?: Params<M>,
    timeoutMs?: number,
  ): Promise<RequestOutcome> {
    if (this.#failure !== undefined) return this.#failure;
    const count = this.#nextId++;
    const id = this.#idStyle === "numbers" ? count : `doctor-${count}`;
    const { promise, resolve } = Promise.withResolvers<RequestOutcome>();
    this.#pending.set(id, resolve);
    const meta = this.#isStateless && { _meta: STATELESS_META };
    this.#send({ id, method, params: meta ? { ...params, ...meta } : params });
    if (timeoutMs === undefined) return await promise;
    const reason = `${method} was not answered in time`;
    return await waitAtMost(timeoutMs, promise) ?? { kind: "failed", reason };
  }

  #send(message: { readonly method: Method; [member: string]: unknown }): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    void this.#stdin.write(new TextEncoder().encode(`${text}\n`));
  }

  /** Closes stdin, and waits until the proxy has exited. */
  async close(): Promise<void> {
    void this.#stdin.close();
    // Nobody needs the pending responses. After one signal, the proxy still
    // waits for them; the second signal ends it at once.
    if (this.#pending.size > 0) {
      this.#signal?.();
      this.#signal?.();
    }
    await this.#exitCode;
  }

  #onFact(fact: LogFact | undefined): void {
    const isFailure = fact?.type === "attempt-failed" ||
      fact?.type === "lost" && fact.cause !== "displaced";
    if (isFailure) this.#fail(fact.failure);
  }

  #fail({ reason: rawReason, cause }: Failure): void {
    // The end of a connection that was dropped on purpose is not a failure.
    if (this.#isDroppedOnPurpose) return;
    const reason = sanitizeLine(rawReason);
    this.#failure = { kind: "failed", reason, cause };
    const closed = { code: 0, reason, mayHaveReachedServer: false };
    this.#opened.resolve(
      this.#lastClose ?? { type: "closed", connectionId: 0, ...closed },
    );
    for (const complete of this.#pending.values()) complete(this.#failure);
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
      const reason = getNested(message, "error", "message");
      const code = Number(getNested(message, "error", "code"));
      const isFromDaemon = !PROXY_ERROR_CODES.includes(code);
      complete?.(
        typeof reason === "string"
          ? { kind: "failed", reason: sanitizeLine(reason), isFromDaemon }
          : { kind: "result", result: message.result },
      );
    }
  }
}
