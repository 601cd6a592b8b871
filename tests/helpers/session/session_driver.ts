/**
 * A session on a stage: the test plays the client, the network, the daemon and
 * the clock.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/context.ts";
import type { Dialect } from "../../../lib/dialects/dialect.ts";
import type { Effect, SessionEvent } from "../../../lib/events.ts";
import { closeReasonOf } from "../../../lib/transport/close_reason.ts";
import { Mcp } from "../../../lib/dialects/mcp/mcp.ts";
import { Session } from "../../../lib/session/session.ts";
import { isOwnId } from "./own_ids.ts";

// deno-lint-ignore no-explicit-any
export type Json = any;

/** The defaults of the settings table, with which the tests' arithmetic is done. */
export const DEFAULTS: SessionConfig = {
  shownUrl: "ws://daemon/",
  secrets: [],
  users: [],
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
  // Nothing is tried in most tests: they have one connection at a time.
  connections: "many",
  waitProgress: "on",
  retry: "safe",
  maxMessage: 32 * 1024 * 1024,
  healthFile: undefined,
  dialect: "mcp",
  initializeGrace: 5_000,
  remembered: undefined,
  version: "1",
};

/** No chance at all: pauses are exactly those of the table. */
const noChance = (): number => 0;

export class Scene {
  readonly session: Session;
  now = 0;
  /** The epoch that was dialed last. */
  epoch = 0;
  /** The moments of all dials. */
  readonly dials: { at: number; subprotocol: string | undefined }[] = [];
  #effects: Effect[] = [];

  constructor(
    config: Partial<SessionConfig> = {},
    random: () => number = noChance,
    dialect: Dialect = new Mcp(random),
  ) {
    const settings = { ...DEFAULTS, ...config };
    this.session = new Session(settings, dialect, random, 0);
    this.do({ type: "tick" });
  }

  do(event: SessionEvent): void {
    for (const effect of this.session.handle(event, this.now)) {
      this.#effects.push(effect);
      if (effect.type !== "dial") continue;
      this.epoch = effect.epoch;
      this.dials.push({ at: this.now, subprotocol: effect.subprotocol });
    }
  }

  /** Lets time pass; the session is woken whenever it wants to be. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let woken = 0; this.session.deadline() <= end; woken++) {
      if (woken > 100_000) throw new Error("It wants to be woken for ever");
      this.now = Math.max(this.now, this.session.deadline());
      this.do({ type: "tick" });
    }
    this.now = end;
  }

  /** The machine sleeps for so long, and our clock counts that. */
  sleep(ms: number): void {
    this.now += ms;
    this.do({ type: "resumed", gap: ms, unseen: 0 });
  }

  /** Lets time pass until the next dial. */
  untilDial(): void {
    const { length } = this.dials;
    while (this.dials.length === length) {
      this.pass(Math.max(0, this.session.deadline() - this.now));
    }
  }

  /** The client writes; an object becomes a message. */
  client(message: Json): void {
    this.do({ type: "line", text: asText(message) });
  }

  ask(id: Json, method: string, params?: Json): void {
    this.client({ id, method, ...(params !== undefined && { params }) });
  }

  call(id: Json, name: string, _meta?: Json): void {
    this.ask(id, "tools/call", { name, ...(_meta && { _meta }) });
  }

  /** Answers the probe that went out last; says whether there was one. */
  pong(epoch: number = this.epoch): boolean {
    const probe = this.#effects.findLast((effect) =>
      effect.type === "send" && effect.epoch === epoch &&
      isProbe(JSON.parse(effect.text))
    );
    if (probe?.type !== "send") return false;
    this.daemon({ id: JSON.parse(probe.text).id, result: {} }, epoch);
    return true;
  }

  open(epoch: number = this.epoch): void {
    this.do({ type: "open", epoch });
  }

  /** The daemon writes on the link that was dialed last, or on another. */
  daemon(message: Json, epoch: number = this.epoch): void {
    this.do({ type: "frame", epoch, text: asText(message) });
  }

  close(code = 1006, epoch: number = this.epoch): void {
    const said = { wasOpen: true, code, reason: "", text: "", error: "" };
    this.do({ type: "closed", epoch, code, ...closeReasonOf(said) });
  }

  /** The client closes stdin, or a signal comes. */
  end(cause: "stdin" | "signal" = "stdin"): void {
    this.do({ type: "end", cause });
  }

  /** Nothing listens at the daemon's port. */
  refuse(): void {
    const reason = "nothing listens there";
    const { epoch } = this;
    this.do({ type: "closed", epoch, code: 0, reason, reached: false });
  }

  /** From the first dial to a link that is ready, with a client that has said hello. */
  start(capabilities: Json = { tools: {} }): void {
    this.open();
    this.ask("init", "initialize", { protocolVersion: "2025-06-18", _n: 1 });
    this.daemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities },
    });
    this.client({ method: "notifications/initialized" });
    this.take();
  }

  /** From a dial to a link that is ready again: the replayed initialize is answered. */
  again(version = "2025-06-18"): void {
    this.open();
    const { id } = this.sent().find(({ method }) => method === "initialize")!;
    this.daemon({ id, result: { protocolVersion: version, capabilities: {} } });
  }

  /** All effects since the last take. */
  take(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** What went to the client since the last take, without taking it. */
  replies(): Json[] {
    return this.#texts("reply").map((text) => JSON.parse(text));
  }

  /** What went to the daemon since the last take, without taking it. */
  sent(): Json[] {
    return this.#texts("send").map((text) => JSON.parse(text));
  }

  /** The same without the probes of the proxy's own. */
  written(): Json[] {
    return this.sent().filter((message) => !isProbe(message));
  }

  /** The kinds of log lines since the last take that a user would see. */
  logged(): string[] {
    return this.#effects.flatMap((effect) =>
      effect.type === "log" && effect.level !== "debug" ? [effect.event] : []
    );
  }

  /** The texts of all log lines since the last take. */
  log(): string {
    return this.#texts("log").join("\n");
  }

  /** Whether a connection was left since the last take. */
  isLeft(epoch: number): boolean {
    return this.#effects.some((effect) =>
      effect.type === "close" && effect.epoch === epoch
    );
  }

  /** The exit code, if the session has ended. */
  exit(): number | undefined {
    const effect = this.#effects.find(({ type }) => type === "exit");
    return effect?.type === "exit" ? effect.code : undefined;
  }

  #texts(type: "reply" | "send" | "log"): string[] {
    return this.#effects.flatMap((effect) => {
      if (effect.type !== type) return [];
      return "text" in effect ? [effect.text] : [effect.message];
    });
  }
}

/** Whether the proxy itself asks for a sign of life. */
function isProbe({ id, method }: Json): boolean {
  return /^(ping|server\/discover)$/.test(method) && isOwnId(id);
}

function asText(message: Json): string {
  if (typeof message === "string") return message;
  return JSON.stringify({ jsonrpc: "2.0", ...message });
}
