/**
 * Drives a session in a test. The test supplies all events: those of the
 * client, the network, the daemon and the clock.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import type { Dialect } from "../../../lib/dialects/dialect.ts";
import type { Effect, SessionEvent } from "../../../lib/events.ts";
import { diagnoseClose } from "../../../lib/transport/failure_reasons.ts";
import { Mcp } from "../../../lib/dialects/mcp/mcp.ts";
import type { Session } from "../../../lib/session/session.ts";
import { CheckedSession } from "./checked_session.ts";
import { isProxyRequestId } from "./proxy_request_ids.ts";

// deno-lint-ignore no-explicit-any
export type Json = any;

/** The program's defaults, except for `connections`. Tests rely on them. */
export const DEFAULT_CONFIG: SessionConfig = {
  redactedUrl: "ws://daemon/",
  secrets: [],
  urlUsers: [],
  backoffBase: 250,
  backoffCap: 30_000,
  giveUpAfter: Infinity,
  handshakeTimeout: 15_000,
  pingInterval: 5_000,
  pingTimeout: 5_000,
  queueTimeout: 45_000,
  queueLimit: 1000,
  requestTimeout: Infinity,
  idleTimeout: 600_000,
  providers: [
    { name: "GLM", total: 300_000, idle: Infinity },
    { name: "KIMI", total: 600_000, idle: Infinity },
  ],
  // Most tests have one connection at a time, and need no capacity check.
  connections: "many",
  waitProgress: "on",
  retry: "safe",
  maxMessage: 32 * 1024 * 1024,
  healthFile: undefined,
  initializeGrace: 5_000,
  cachedResults: undefined,
  version: "1",
};

/** Without jitter, the delays are exactly those of the backoff schedule. */
const noJitter = (): number => 0;

export class SessionDriver {
  readonly session: Session;
  now = 0;
  /** The id of the latest dialed connection. */
  connectionId = 0;
  /** All dials with their times. */
  readonly dials: { at: number; subprotocol: string | undefined }[] = [];
  #effects: Effect[] = [];

  constructor(
    config: Partial<SessionConfig> = {},
    random: () => number = noJitter,
    dialect: Dialect = new Mcp(random),
  ) {
    const settings = { ...DEFAULT_CONFIG, ...config };
    this.session = new CheckedSession(settings, dialect, random, 0);
    this.handle({ type: "tick" });
  }

  handle(event: SessionEvent): void {
    for (const effect of this.session.handle(event, this.now)) {
      this.#effects.push(effect);
      if (effect.type !== "dial") continue;
      this.connectionId = effect.connectionId;
      this.dials.push({ at: this.now, subprotocol: effect.subprotocol });
    }
  }

  /** Advances the time. The session gets a tick at each of its deadlines. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let wakeups = 0; this.session.deadline() <= end; wakeups++) {
      if (wakeups > 100_000) {
        throw new Error("The session's deadline is always due");
      }
      this.now = Math.max(this.now, this.session.deadline());
      this.handle({ type: "tick" });
    }
    this.now = end;
  }

  /** Lets the machine sleep. The clock continues during the sleep. */
  sleep(ms: number): void {
    this.now += ms;
    this.handle({ type: "resumed", monotonicGapMs: ms, suspendedMs: 0 });
  }

  /** Advances the time until the next dial. */
  advanceToNextDial(): void {
    const { length } = this.dials;
    while (this.dials.length === length) {
      this.advance(Math.max(0, this.session.deadline() - this.now));
    }
  }

  /** Sends a line as the client. An object is sent as a JSON-RPC message. */
  fromClient(message: Json): void {
    this.handle({ type: "line", text: serializeMessage(message) });
  }

  request(id: Json, method: string, params?: Json): void {
    this.fromClient({ id, method, ...(params !== undefined && { params }) });
  }

  callTool(id: Json, name: string, _meta?: Json): void {
    this.request(id, "tools/call", { name, ...(_meta && { _meta }) });
  }

  /** Answers the latest probe. Returns false if there was none. */
  answerProbe(connectionId: number = this.connectionId): boolean {
    const probe = this.#effects.findLast((effect) =>
      effect.type === "send-to-daemon" &&
      effect.connectionId === connectionId &&
      isProbe(JSON.parse(effect.text))
    );
    if (probe?.type !== "send-to-daemon") return false;
    this.fromDaemon(
      { id: JSON.parse(probe.text).id, result: {} },
      connectionId,
    );
    return true;
  }

  open(connectionId: number = this.connectionId): void {
    this.handle({ type: "open", connectionId });
  }

  /** Sends a frame as the daemon. An object becomes a JSON-RPC message. */
  fromDaemon(message: Json, connectionId: number = this.connectionId): void {
    this.handle({
      type: "frame",
      connectionId,
      text: serializeMessage(message),
    });
  }

  close(code = 1006, connectionId: number = this.connectionId): void {
    const closed = {
      wasOpen: true,
      code,
      reason: "",
      message: "",
      errorCode: "",
    };
    this.handle({
      type: "closed",
      connectionId,
      code,
      ...diagnoseClose(closed),
    });
  }

  /** Ends the session: the client closes stdin, or a signal arrives. */
  end(cause: "stdin" | "signal" = "stdin"): void {
    this.handle({ type: "end", cause });
  }

  /** Fails the latest dial, because nothing listens at the daemon's port. */
  failDial(): void {
    const reason = "nothing listens there";
    const { connectionId } = this;
    this.handle({
      type: "closed",
      connectionId,
      code: 0,
      reason,
      mayHaveReachedServer: false,
    });
  }

  /** Makes the first connection ready, and initializes the client. */
  connect(capabilities: Json = { tools: {} }): void {
    this.open();
    this.request("init", "initialize", {
      protocolVersion: "2025-06-18",
      _n: 1,
    });
    this.fromDaemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities },
    });
    this.fromClient({ method: "notifications/initialized" });
    this.takeEffects();
  }

  /** Makes the latest connection ready: answers the replayed `initialize`. */
  reconnect(version = "2025-06-18"): void {
    this.open();
    // The effects may still include `initialize` requests of earlier dials.
    const { id } = this.#effects.flatMap((effect) =>
      effect.type === "send-to-daemon" &&
        effect.connectionId === this.connectionId
        ? [JSON.parse(effect.text)]
        : []
    ).find(({ method }) => method === "initialize")!;
    this.fromDaemon({
      id,
      result: { protocolVersion: version, capabilities: {} },
    });
  }

  /** Returns and removes all effects since the last call. */
  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** Returns the messages to the client since `takeEffects`, and keeps them. */
  sentToClient(): Json[] {
    return this.#textsOf("send-to-client").map((text) => JSON.parse(text));
  }

  /** Returns the messages to the daemon since `takeEffects`, and keeps them. */
  sentToDaemon(): Json[] {
    return this.#textsOf("send-to-daemon").map((text) => JSON.parse(text));
  }

  /** Returns `sentToDaemon`, without the proxy's own probes. */
  sentExceptProbes(): Json[] {
    return this.sentToDaemon().filter((message) => !isProbe(message));
  }

  /** Returns the log events since `takeEffects`, except for debug events. */
  logEvents(): string[] {
    return this.#effects.flatMap((effect) =>
      effect.type === "log" && effect.level !== "debug" ? [effect.event] : []
    );
  }

  /** Returns the log messages since `takeEffects`, joined with `\n`. */
  logText(): string {
    return this.#textsOf("log").join("\n");
  }

  /** Returns whether the session closed a connection since `takeEffects`. */
  isConnectionClosed(connectionId: number): boolean {
    return this.#effects.some((effect) =>
      effect.type === "close" && effect.connectionId === connectionId
    );
  }

  /** Returns the exit code if the session has ended. */
  exitCode(): number | undefined {
    const effect = this.#effects.find(({ type }) => type === "exit");
    return effect?.type === "exit" ? effect.code : undefined;
  }

  #textsOf(type: "send-to-client" | "send-to-daemon" | "log"): string[] {
    return this.#effects.flatMap((effect) => {
      if (effect.type !== type) return [];
      return "text" in effect ? [effect.text] : [effect.message];
    });
  }
}

/** Returns whether a message is a probe of the proxy. */
function isProbe({ id, method }: Json): boolean {
  return /^(ping|server\/discover)$/.test(method) && isProxyRequestId(id);
}

function serializeMessage(message: Json): string {
  if (typeof message === "string") return message;
  return JSON.stringify({ jsonrpc: "2.0", ...message });
}
