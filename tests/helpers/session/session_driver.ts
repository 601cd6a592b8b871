/**
 * A session under test: the test plays the client, the network, the daemon and
 * the clock.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import type { Dialect } from "../../../lib/dialects/dialect.ts";
import type { Effect, SessionEvent } from "../../../lib/events.ts";
import { diagnoseClose } from "../../../lib/transport/failure_reasons.ts";
import { Mcp } from "../../../lib/dialects/mcp/mcp.ts";
import { Session } from "../../../lib/session/session.ts";
import { isProxyRequestId } from "./proxy_request_ids.ts";

// deno-lint-ignore no-explicit-any
export type Json = any;

/** The defaults of the settings table. The tests' arithmetic relies on them. */
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
  // Most tests need no capacity check: they have one connection at a time.
  connections: "many",
  waitProgress: "on",
  retry: "safe",
  maxMessage: 32 * 1024 * 1024,
  healthFile: undefined,
  initializeGrace: 5_000,
  cachedResults: undefined,
  version: "1",
};

/** No jitter: pauses are exactly those of the backoff table. */
const noJitter = (): number => 0;

export class SessionDriver {
  readonly session: Session;
  now = 0;
  /** The connection id of the latest dial. */
  connectionId = 0;
  /** The moments of all dials. */
  readonly dials: { at: number; subprotocol: string | undefined }[] = [];
  #effects: Effect[] = [];

  constructor(
    config: Partial<SessionConfig> = {},
    random: () => number = noJitter,
    dialect: Dialect = new Mcp(random),
  ) {
    const settings = { ...DEFAULT_CONFIG, ...config };
    this.session = new Session(settings, dialect, random, 0);
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

  /** Lets time pass. The session gets a tick at each of its deadlines. */
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

  /** The machine sleeps for so long, and the clock counts that time. */
  sleep(ms: number): void {
    this.now += ms;
    this.handle({ type: "resumed", monotonicGapMs: ms, suspendedMs: 0 });
  }

  /** Lets time pass until the next dial. */
  advanceToNextDial(): void {
    const { length } = this.dials;
    while (this.dials.length === length) {
      this.advance(Math.max(0, this.session.deadline() - this.now));
    }
  }

  /** The client sends a line. An object becomes a message. */
  fromClient(message: Json): void {
    this.handle({ type: "line", text: serializeMessage(message) });
  }

  request(id: Json, method: string, params?: Json): void {
    this.fromClient({ id, method, ...(params !== undefined && { params }) });
  }

  callTool(id: Json, name: string, _meta?: Json): void {
    this.request(id, "tools/call", { name, ...(_meta && { _meta }) });
  }

  /** Answers the latest probe. Returns whether there was one. */
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

  /** The daemon sends a frame on the latest connection, or on another. */
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

  /** The client closes stdin, or a signal arrives. */
  end(cause: "stdin" | "signal" = "stdin"): void {
    this.handle({ type: "end", cause });
  }

  /** Nothing listens at the daemon's port. */
  failDial(): void {
    const reason = "nothing listens there";
    const { connectionId } = this;
    this.handle({
      type: "closed",
      connectionId,
      code: 0,
      reason,
      isServerReached: false,
    });
  }

  /** From the first dial to a ready link, with an initialized client. */
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

  /**
   * From a dial to a link that is ready again: the replayed `initialize` is
   * answered.
   */
  reconnect(version = "2025-06-18"): void {
    this.open();
    // Its own one: those of former dials may not be taken yet.
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

  /** All effects since the last call. */
  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /**
   * The messages sent to the client since `takeEffects`, without removing them.
   */
  sentToClient(): Json[] {
    return this.#textsOf("send-to-client").map((text) => JSON.parse(text));
  }

  /**
   * The messages sent to the daemon since `takeEffects`, without removing them.
   */
  sentToDaemon(): Json[] {
    return this.#textsOf("send-to-daemon").map((text) => JSON.parse(text));
  }

  /** The same without the proxy's own probes. */
  sentExceptProbes(): Json[] {
    return this.sentToDaemon().filter((message) => !isProbe(message));
  }

  /** The events of the log lines since `takeEffects` that a user would see. */
  logEvents(): string[] {
    return this.#effects.flatMap((effect) =>
      effect.type === "log" && effect.level !== "debug" ? [effect.event] : []
    );
  }

  /** The texts of all log lines since `takeEffects`. */
  logText(): string {
    return this.#textsOf("log").join("\n");
  }

  /** Whether the session has closed a connection since `takeEffects`. */
  isConnectionClosed(connectionId: number): boolean {
    return this.#effects.some((effect) =>
      effect.type === "close" && effect.connectionId === connectionId
    );
  }

  /** The exit code, if the session has ended. */
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

/** Whether a message is a probe of the proxy. */
function isProbe({ id, method }: Json): boolean {
  return /^(ping|server\/discover)$/.test(method) && isProxyRequestId(id);
}

function serializeMessage(message: Json): string {
  if (typeof message === "string") return message;
  return JSON.stringify({ jsonrpc: "2.0", ...message });
}
