/**
 * A random simulation with an MCP daemon. The client sends requests, cancels
 * them and makes errors. The network loses messages. The daemon dies, hangs and
 * sends invalid messages. Every promise of the delivery contract is checked at
 * every step.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import type { SessionConfig } from "../../lib/session/session_config.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import { EMPTY_CACHED_RESULTS } from "../../lib/cache/cache.ts";
import type { Session } from "../../lib/session/session.ts";
import { CheckedSession } from "../helpers/session/checked_session.ts";
import { SHUTDOWN_GRACE_MS } from "../../lib/session/shutdown.ts";
import { DeliveryInvariants, type TrackedRequest } from "./invariants.ts";
import {
  type FormattedMessage,
  MESSAGE_HABITS,
  MessageHabits,
  QUOTED_TEXT,
} from "./message_habits.ts";
import {
  DEFAULT_CONFIG,
  type Json,
} from "../helpers/session/session_driver.ts";
import { isProxyRequestId } from "../helpers/session/proxy_request_ids.ts";
import { Scheduler } from "./scheduler.ts";

/** `--max-message`, in characters: more than a large result has. */
const MAX_MESSAGE = 70_000;
/** How long the client sends requests, in simulated milliseconds. */
const CLIENT_LIFETIME_MS = 120_000;
const REQUEST_COUNT = 90;
const GLM_TIMEOUT_MS = 10_000;
/** How long an abandoned call still counts as in flight. */
const ABANDONED_CALL_MS = 60_000;
/**
 * How long after the dial of a second connection the main one may be dialed
 * without a pause.
 */
const SECOND_DIAL_GRACE_MS = 2_500;
/** The number of steps after which a simulation counts as endless. */
const MAX_STEPS = 20_000;
/**
 * How long a request may wait after the daemon reported that it did not
 * understand: 2 s for a proper response, and 1 s for a probe that may precede
 * the second try.
 */
const NOT_UNDERSTOOD_WAIT_MS = 3_000;
/** The most characters of messages that are joined in one frame. */
const MAX_FRAME_LENGTH = 1_800;

/** A message of the daemon, and the request that it belongs to. */
interface DaemonMessage {
  readonly message: Json;
  /** The client's request that the message answers or reports progress of. */
  readonly request: TrackedRequest | undefined;
  readonly formatted: FormattedMessage;
  /** The cursor of the request, if that is one of the proxy's own. */
  readonly cursor: string | undefined;
  readonly answersProxyRequest: boolean;
}

/** One connection, as the network and the daemon see it. */
interface McpConnection {
  readonly connectionId: number;
  readonly dialedAt: number;
  isOpen: boolean;
  hasInitialize: boolean;
  /** True once the daemon has answered the handshake. */
  isReady: boolean;
  /** The last `readOnlyHint` of `look` that the daemon sent on it. */
  readOnlyHint: boolean | undefined;
  /** True once the daemon's process, or the connection, has ended. */
  isClosed: boolean;
  /**
   * When a daemon that does one thing at a time will have answered the requests
   * of this connection.
   */
  idleAt: number;
  /** When the last message to the daemon arrives. */
  lastArrivalAt: number;
  /** Until when the connection is blocked. */
  blockedUntil: number;
  /** When a call on the connection was last cancelled, or timed out. */
  abandonedAt: number;
  /** True if nothing arrives any more, and neither side notices. */
  isBlackholed: boolean;
  /** When the proxy closed the connection. */
  closedByProxyAt: number | undefined;
  deadAt: number | undefined;
  lastBusyAt: number;
  readonly sentTexts: Set<string>;
  /**
   * The ids of the proxy's own pending requests, without pings. While there are
   * any, a silent connection may be kept.
   */
  readonly proxyRequestKeys: Set<string>;
  /** The ids of all the proxy's own pending requests. */
  readonly proxyRequestIds: Set<unknown>;
  /**
   * The messages that were sent and are not settled: the ids of requests, and
   * `undefined` for the others.
   */
  unansweredKeys: (string | undefined)[];
  /** True once the daemon has received `notifications/initialized` on it. */
  isInitialized: boolean;
  /** The messages that wait to share a frame with later ones. */
  heldMessages: DaemonMessage[];
  readonly serverRequests: Map<string, number>;
  /**
   * How many requests the daemon has sent. Their ids count from 0 on every
   * connection.
   */
  serverRequestCount: number;
}

/** Counts of events, which show how much the simulation covers. */
export interface McpTally {
  answers: number;
  faults: number;
  dials: number;
  losses: number;
  repeats: number;
  sleeps: number;
  blocks: number;
  /** Calls that survived the silence of a daemon that was only busy. */
  survivedSilences: number;
  /** Messages in an unusual form. */
  reformattedCount: number;
  notUnderstood: number;
}

/** Runs a simulation. Throws if a promise is broken. */
export function runMcpSimulation(seed: number): McpTally {
  return new McpSimulation(seed).run();
}

/** The results that an earlier process has cached. */
const CACHED_RESULTS = {
  initialize: {
    "2025-11-25":
      '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}',
  },
  lists: { "tools/list": '{"tools":[{"name":"look"}]}' },
};

class McpSimulation {
  readonly #scheduler: Scheduler;
  readonly #invariants: DeliveryInvariants;
  readonly #config: SessionConfig;
  readonly #session: Session;
  readonly #connections = new Map<number, McpConnection>();
  readonly #serverRequestIds = new Set<unknown>();
  #dials = 0;
  #losses = 0;
  #isDaemonUp = true;
  #hasNegotiated = false;
  #initializeCount = 0;
  #toolCount = 1;
  #lastDial: { at: number; subprotocol: string | undefined } | undefined;
  #exitCode: number | undefined;
  /**
   * How the daemon works: all at once; one thing at a time on a connection;
   * without ever answering a ping; or on connections that block at times.
   */
  readonly #servingMode: "concurrent" | "serial" | "mute" | "blocking";
  /**
   * How many connections the daemon keeps. If `one`, it closes the older ones.
   */
  readonly #capacity: "one" | "many";
  /** When the proxy last dialed while it had a connection. */
  #lastSecondDialAt = -Infinity;
  /** How often the daemon has displaced a connection that the proxy used. */
  #displacedCount = 0;
  /** Until when a tool blocks the whole daemon. */
  #blockedUntil = 0;
  /** What happened while the program slept. */
  #missedEvents: (() => void)[] = [];
  /** What the client would have done while the program slept. */
  #postponedActions: (() => void)[] = [];
  /** True while the daemon declares that `look` is read-only. */
  #hasReadOnlyHint = true;
  #sleeps = 0;
  #blocks = 0;
  #survivedSilences = 0;
  readonly #messageHabits: MessageHabits;
  /** The JSON types of the client's ids and tokens so far. */
  readonly #clientTypes = { ids: new Set<string>(), tokens: new Set<string>() };
  /** True if some ids equal those of the proxy's own requests. */
  readonly #usesProxyIds: boolean;
  /**
   * The id of the client's `initialized`, if it has one, and when it was sent.
   */
  readonly #initialized: { id: unknown; at: number | undefined } = {
    id: undefined,
    at: undefined,
  };
  /**
   * The tools of the last complete list that the client has. `isOld`: the
   * client was notified that they have changed.
   */
  #clientTools: { tools: string; isOld: boolean } | undefined;
  #listedTools: string[] = [];
  #isListOutdated = false;
  #pageCount = 0;
  /** The cursor that the daemon always returns, if it has this habit. */
  readonly #oddCursor: string;
  #notUnderstood = 0;

  constructor(seed: number) {
    this.#scheduler = new Scheduler(seed);
    this.#messageHabits = new MessageHabits(seed, MESSAGE_HABITS);
    this.#usesProxyIds = this.#messageHabits.chance(0.1);
    this.#oddCursor = this.#messageHabits.pick(["", "same"]);
    this.#capacity = this.#scheduler.pick(
      ["many", "many", "many", "one"] as const,
    );
    this.#config = {
      ...DEFAULT_CONFIG,
      connections: this.#scheduler.pick(
        this.#capacity === "many"
          ? ["auto", "auto", "auto", "many", "one"]
          : ["auto", "auto", "auto", "one"],
      ),
      retry: this.#scheduler.pick(
        ["safe", "safe", "safe", "always", "never"] as const,
      ),
      queueTimeout: this.#scheduler.pick([4_000, 45_000]),
      queueLimit: this.#scheduler.pick([5, 1000]),
      idleTimeout: this.#scheduler.pick([8_000, 600_000]),
      requestTimeout: this.#scheduler.pick([1_500, 20_000, Infinity]),
      handshakeTimeout: this.#scheduler.pick([2_000, 15_000]),
      maxMessage: MAX_MESSAGE,
      providers: [{ name: "GLM", total: GLM_TIMEOUT_MS, idle: Infinity }],
      cachedResults: this.#scheduler.pick([
        undefined,
        EMPTY_CACHED_RESULTS,
        CACHED_RESULTS,
      ]),
    };
    this.#servingMode = this.#scheduler.pick([
      ...["concurrent", "concurrent", "concurrent"] as const,
      ...["serial", "mute", "blocking"] as const,
    ]);
    const { random } = this.#scheduler;
    this.#session = new CheckedSession(
      this.#config,
      new Mcp(random),
      random,
      0,
    );
    this.#invariants = new DeliveryInvariants(this.#scheduler, this.#config);
  }

  run(): McpTally {
    this.#scheduleAll();
    this.#handle({ type: "tick" });
    for (let step = 0; this.#exitCode === undefined; step++) {
      assert(step < MAX_STEPS, "the simulation does not end");
      const wake = this.#scheduler.isSuspended
        ? Infinity
        : this.#session.deadline();
      if (this.#scheduler.runNext(wake)) continue;
      assert(wake < Infinity, "nothing is left to wait for");
      this.#scheduler.now = Math.max(this.#scheduler.now, wake);
      this.#handle({ type: "tick" });
    }
    this.#checkEnd();
    const { answers, proxyErrors: faults, repeats } = this.#invariants;
    const [dials, losses] = [this.#dials, this.#losses];
    const [sleeps, blocks] = [this.#sleeps, this.#blocks];
    const survivedSilences = this.#survivedSilences;
    return {
      ...{ answers, faults, dials, losses, repeats },
      ...{ sleeps, blocks, survivedSilences },
      ...{
        reformattedCount: this.#messageHabits.reformattedCount,
        notUnderstood: this.#notUnderstood,
      },
    };
  }

  // The events that do not depend on the proxy.

  #scheduleAll(): void {
    const sendsInitialize = this.#scheduler.chance(0.95);
    if (sendsInitialize) {
      this.#scheduleClient(
        this.#scheduler.random() * 500,
        () => this.#requestInitialize(),
      );
    }
    // Half of the clients work in bursts, so that connections are idle in
    // between.
    const bursts = this.#scheduler.pick([1, 6]);
    for (let i = 0; i < REQUEST_COUNT; i++) {
      const burst = Math.floor(this.#scheduler.random() * bursts) / bursts *
        CLIENT_LIFETIME_MS;
      const within = this.#scheduler.random() *
        (bursts === 1 ? CLIENT_LIFETIME_MS : 3_000);
      this.#scheduleClient(500 + burst + within, () => this.#request(i));
    }
    for (let i = 0; i < 5; i++) {
      this.#scheduleClient(
        this.#scheduler.random() * CLIENT_LIFETIME_MS,
        () => this.#sendInvalid(),
      );
    }
    const crashes = Math.floor(this.#scheduler.random() * 5);
    for (let i = 0; i < crashes; i++) {
      this.#scheduler.schedule(
        this.#scheduler.random() * CLIENT_LIFETIME_MS,
        () => this.#crashDaemon(),
      );
    }
    if (this.#scheduler.chance(0.2)) this.#crashDaemon();
    for (let i = Math.floor(this.#scheduler.random() * 3); i > 0; i--) {
      // A connection that blocks, and was silent before that, would need
      // exceptions to the rules.
      if (this.#servingMode !== "blocking") {
        this.#scheduler.schedule(
          this.#scheduler.random() * CLIENT_LIFETIME_MS,
          () => this.#blockDaemon(),
        );
      }
      this.#scheduler.schedule(
        this.#scheduler.random() * CLIENT_LIFETIME_MS,
        () => this.#suspend(),
      );
    }
    this.#scheduleClient(CLIENT_LIFETIME_MS + 1_000, () => {
      this.#invariants.endedAt = this.#scheduler.awakeMs;
      this.#handle({ type: "end", cause: "stdin" });
    });
  }

  #crashDaemon(): void {
    this.#isDaemonUp = false;
    if (this.#scheduler.chance(0.3)) this.#toolCount++;
    // The daemon restarts as another version.
    if (this.#scheduler.chance(0.2)) {
      this.#hasReadOnlyHint = !this.#hasReadOnlyHint;
    }
    for (const connection of this.#connections.values()) {
      if (connection.isClosed || connection.closedByProxyAt !== undefined) {
        continue;
      }
      connection.isClosed = true;
      if (this.#scheduler.chance(0.85)) this.#closeByDaemon(connection, 1006);
      else this.#blackhole(connection);
    }
    const away = this.#scheduler.random() ** 3 * 60_000;
    this.#scheduler.schedule(away, () => this.#isDaemonUp = true);
  }

  /** Lets a tool block the daemon for a while. */
  #blockDaemon(): void {
    this.#blocks++;
    const ms = this.#scheduler.random() ** 2 * 60_000;
    this.#blockedUntil = Math.max(this.#blockedUntil, this.#scheduler.now + ms);
  }

  /** Suspends the program. It learns only later what happens meanwhile. */
  #suspend(): void {
    if (this.#scheduler.isSuspended) return;
    this.#sleeps++;
    this.#scheduler.suspend();
    const isCut = this.#scheduler.chance(0.3);
    this.#scheduler.schedule(
      3_001 + this.#scheduler.random() ** 3 * 600_000,
      () => {
        const monotonicGapMs = this.#scheduler.resume();
        if (isCut) {
          for (const connection of this.#connections.values()) {
            if (
              !connection.isClosed && connection.closedByProxyAt === undefined
            ) this.#blackhole(connection);
          }
        }
        const missed = this.#missedEvents;
        this.#missedEvents = [];
        this.#handle({ type: "resumed", monotonicGapMs, suspendedMs: 0 });
        for (const run of missed) run();
        const postponed = this.#postponedActions;
        this.#postponedActions = [];
        for (const run of postponed) {
          this.#scheduleClient(
            this.#scheduler.random() * 10,
            run,
          );
        }
      },
    );
  }

  // The client.

  /** Schedules an action of the client, which sleeps when the program does. */
  #scheduleClient(ms: number, run: () => void): void {
    this.#scheduler.schedule(ms, () => {
      if (this.#scheduler.isSuspended) this.#postponedActions.push(run);
      else run();
    });
  }

  #requestInitialize(): void {
    const params = { protocolVersion: "2025-11-25", capabilities: {} };
    const number = this.#initializeCount++;
    const request = this.#invariants.recordRequest(
      this.#messageHabits.idType === "numbers"
        ? 5_000 + number
        : `hello ${number}`,
      "initialize",
      true,
    );
    this.#sendRequest(request, params);
  }

  #request(order: number): void {
    const method = this.#scheduler.pick([
      "tools/call",
      "tools/call",
      "tools/call",
      "tools/list",
      "resources/read",
      "logging/setLevel",
      "ping",
    ]);
    const name = this.#scheduler.pick(["write", "look", "glm_write"]);
    const isSafe = method === "tools/call" ? name === "look" : true;
    const { id, mayBeOvertaken } = this.#newId(order);
    const token = this.#scheduler.chance(0.5)
      ? this.#newToken(order)
      : undefined;
    // A request without params is identified by its id.
    const hasNoMark = method === "tools/list" && this.#scheduler.chance(0.5) &&
      !mayBeOvertaken;
    const params = {
      ...(!hasNoMark && { name }),
      ...(token !== undefined && { _meta: { progressToken: token } }),
      ...(this.#scheduler.chance(0.02) && { much: "x".repeat(MAX_MESSAGE) }),
    };
    const isGlm = method === "tools/call" && name === "glm_write";
    const total = isGlm ? GLM_TIMEOUT_MS : this.#config.requestTimeout;
    const request = this.#invariants.recordRequest(id, method, isSafe, {
      ...{ token, total, hasNoMark, mayBeOvertaken },
    });
    this.#sendRequest(request, params);
    this.#invariants.checkQueue();
    if (this.#scheduler.chance(0.03) && request.answers === 0) {
      this.#sendRequest(request, params);
    }
    if (!this.#scheduler.chance(0.1)) return;
    this.#scheduleClient(this.#scheduler.random() * 5_000, () => {
      if (request.answers === 0) request.cancelledAt ??= this.#scheduler.now;
      this.#abandon(request);
      const cancel = { requestId: id };
      this.#sendFromClient({
        method: "notifications/cancelled",
        params: cancel,
      });
      if (
        request.cancelledAt === undefined || !this.#messageHabits.chance(0.1)
      ) return;
      // A careless client uses the id for another request.
      this.#scheduleClient(this.#messageHabits.pick([0, 50, 2_000]), () => {
        const { mayBeOvertaken } = request;
        const method = "resources/read";
        const again = this.#invariants.recordRequest(id, method, true, {
          mayBeOvertaken,
        });
        this.#sendRequest(again, {});
      });
    });
  }

  /** Returns a new id of one of the client's types. */
  #newId(order: number): { id: unknown; mayBeOvertaken: boolean } {
    const { idType, habits } = this.#messageHabits;
    const number = order + 1;
    const picked = this.#scheduler.pick([
      number - 1,
      String(number),
      -number,
      `\u00e9${order}`,
    ]);
    const as = (id: number): unknown => idType === "texts" ? `${id}` : id;
    if (this.#usesProxyIds && this.#messageHabits.chance(0.2)) {
      const open = [...this.#connections.values()]
        .filter(({ closedByProxyAt }) => closedByProxyAt === undefined)
        .flatMap(({ proxyRequestIds }) => [...proxyRequestIds]);
      const any = 2 ** 30 + this.#messageHabits.pick([order, 2 ** 29 + order]);
      const own = [any, ...open.slice(-3)].map(Number).filter(Number.isFinite);
      const id = as(this.#messageHabits.pick(own));
      const isNew = this.#invariants.get(JSON.stringify(id)) === undefined;
      if (isNew) return { id, mayBeOvertaken: true };
    }
    if (idType === "numbers") {
      const id = this.#messageHabits.pick([number - 1, -number]);
      return { id, mayBeOvertaken: false };
    }
    if (idType === "texts") {
      const id = this.#messageHabits.pick([
        `${number}`,
        `-${number}`,
        `r${number}`,
      ]);
      return { id, mayBeOvertaken: false };
    }
    // If ids change their type, no id may equal another one after that.
    if (!habits.has("retyped ids")) {
      return { id: picked, mayBeOvertaken: false };
    }
    return {
      id: number % 2 === 0 ? number : `${number}`,
      mayBeOvertaken: false,
    };
  }

  #newToken(order: number): unknown {
    const { tokenType, habits } = this.#messageHabits;
    const text = `${order}`;
    switch (tokenType) {
      case "numbers":
        return order;
      case "texts":
        return this.#messageHabits.pick([text, `t${order}`]);
      case "both":
        if (habits.has("retyped tokens")) return order % 2 === 0 ? order : text;
        return `t${order}`;
    }
  }

  /** Records that the client no longer waits for a request. */
  #abandon({ sentOn = 0 }: TrackedRequest): void {
    const connection = this.#connections.get(sentOn);
    if (connection !== undefined) {
      connection.abandonedAt = this.#scheduler.awakeMs;
    }
  }

  #sendRequest(
    { id, method, mark, cursor }: TrackedRequest,
    params: Json,
  ): void {
    const more = {
      ...(mark !== undefined && { mark }),
      ...(cursor !== undefined && { cursor }),
    };
    // A string that cannot be a number does not show the client's type.
    const showsType = (it: unknown): boolean =>
      typeof it === "number" || /^-?\d+$/.test(`${it}`);
    if (showsType(id)) this.#clientTypes.ids.add(typeof id);
    const token = params._meta?.progressToken;
    if (showsType(token)) this.#clientTypes.tokens.add(typeof token);
    this.#sendFromClient({ id, method, params: { ...params, ...more } });
  }

  /** Sends the client's `initialized` in one of its forms. */
  #notifyInitialized(): void {
    this.#initialized.at ??= this.#scheduler.now;
    const { idType } = this.#messageHabits;
    const method = "notifications/initialized";
    const form = this.#messageHabits.chance(0.3)
      ? this.#messageHabits.pick(["with null", "with an id", "old"])
      : "plain";
    switch (form) {
      case "plain":
        return this.#sendFromClient({ method });
      case "with null":
        return this.#sendFromClient({ id: null, method });
      case "old":
        return this.#sendFromClient({ method: "initialized" });
      case "with an id": {
        const id = idType === "numbers" ? 7_000 : "7000";
        this.#initialized.id = id;
        this.#clientTypes.ids.add(typeof id);
        return this.#sendFromClient({ id, method });
      }
    }
  }

  #sendInvalid(): void {
    const text = this.#scheduler.pick([
      "{",
      "[]",
      `{"jsonrpc":"2.0","id":${this.#invalidId()},"method":5}`,
      '{"jsonrpc":"2.0","id":null,"method":"x"}',
      `{"jsonrpc":"2.0","id":${
        this.#messageHabits.idType === "numbers" ? 6_001 : '"nobody asked"'
      },"result":1}`,
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":0,"progress":1}}',
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
    ]);
    this.#handle({ type: "line", text });
  }

  #invalidId(): string {
    return this.#messageHabits.idType === "numbers" ? "6000" : '"bad"';
  }

  #sendFromClient(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#handle({ type: "line", text });
  }

  #receiveAtClient(text: string): void {
    const isClean = !/[\r\n\ufeff]/.test(text) &&
      !["\0", "\x1e"].some((it) => text.includes(it));
    assert(isClean, "a line contains more than one message");
    assert(!text.includes(QUOTED_TEXT), `from a log line: ${text}`);
    const message = JSON.parse(text);
    assertEquals(message.jsonrpc, "2.0");
    for (const [key, value] of Object.entries(message)) {
      const mayBeNull = key === "id" && message.error?.code === -32600;
      assert(value !== null || mayBeNull, `null reaches the client: ${text}`);
    }
    if (message.method === undefined) {
      return this.#handleResponse(message, text);
    }
    if (message.id !== undefined) return this.#handleServerRequest(message);
    if (message.method === "notifications/tools/list_changed") {
      this.#isListOutdated = true;
      if (this.#clientTools !== undefined) this.#clientTools.isOld = true;
    }
    if (message.method !== "notifications/progress") return;
    this.#invariants.recordProgress(message.params);
  }

  #handleResponse(message: Json, text: string): void {
    const key = JSON.stringify(message.id);
    if (key === this.#invalidId() || key === "null") {
      return assertEquals(message.error.code, -32600);
    }
    if (message.id === this.#initialized.id) {
      return assertEquals(message.result, {}, "the client is initialized");
    }
    const request = this.#invariants.get(key);
    assert(
      request !== undefined,
      `a response to ${key}, which was never requested`,
    );
    const responder = this.#invariants.recordResponse(request, message.error);
    this.#checkContent(request, message);
    const connection = this.#connections.get(request.sentOn ?? 0);
    const wasNotUnderstood = connection !== undefined &&
      request.notUnderstoodOn === connection.connectionId;
    if (message.error?.code === -31003) this.#abandon(request);
    request.sentOn = undefined;
    const isEnd = this.#invariants.endedAt !== undefined;
    if (message.error?.code === -31002 && !isEnd && connection !== undefined) {
      // No call may fail only because its connection is slow.
      const isLost = connection.isClosed || connection.isBlackholed ||
        wasNotUnderstood;
      assert(isLost, `${key} failed on a living connection`);
      connection.unansweredKeys = connection.unansweredKeys.filter((it) =>
        it !== key
      );
    }
    if (request.method === "initialize") {
      const isAgreed = message.error === undefined;
      if (!isAgreed) {
        return this.#scheduleClient(1_000, () => this.#requestInitialize());
      }
      this.#hasNegotiated = true;
      return this.#scheduleClient(1, () => this.#notifyInitialized());
    }
    // While the daemon is away, the proxy itself answers pings.
    const isLocal = request.method === "ping" && text.endsWith('"result":{}}');
    if (request.method === "tools/list") {
      this.#handleToolPage(request, message.result);
    }
    if (request.method === "tools/list" && this.#mayBeCached(connection)) {
      return;
    }
    // The proxy may have corrected a malformed error.
    if (
      message.error !== undefined &&
      this.#messageHabits.habits.has("malformed errors")
    ) {
      return;
    }
    if (responder === "proxy" || isLocal || connection === undefined) return;
    assert(
      connection.closedByProxyAt === undefined,
      "a response from a closed connection",
    );
    const plain = text.trim().replace(/^\{ /, "{").replace(/ \}$/, "}");
    assert(connection.sentTexts.has(plain), `the text was changed: ${text}`);
  }

  /** Checks that a response belongs to its request and was not changed. */
  #checkContent(
    { key, mark, hasReusedId }: TrackedRequest,
    { result, error }: Json,
  ): void {
    if (result?.mark !== undefined) assertEquals(result.mark, mark, key);
    if (error === undefined) return;
    assert(
      Number.isInteger(error.code),
      `${key}: ${error.code} is not an error code of the proxy`,
    );
    assertEquals(typeof error.message, "string", key);
    assert(error.code !== -32600 || hasReusedId, `${key} was refused`);
    if (error.code >= -32000 || error.code === -32600) return;
    const quotedMark = /no: (mark \d+|undefined)/.exec(error.message);
    assertEquals(quotedMark?.[1], `${mark}`, `the daemon's message for ${key}`);
  }

  /** Records a page of tools, and requests the next one. */
  #handleToolPage({ cursor }: TrackedRequest, result: Json): void {
    if (result === undefined) return;
    if (cursor === undefined) {
      this.#listedTools = [];
      this.#isListOutdated = false;
    }
    this.#listedTools.push(
      ...result.tools.map((it: Json) => JSON.stringify(it)),
    );
    const { nextCursor: next } = result;
    if (next === undefined || next === cursor) {
      this.#clientTools = {
        tools: canonicalSet(this.#listedTools),
        isOld: this.#isListOutdated,
      };
      return;
    }
    // Until the client has all pages, it knows no complete list.
    this.#clientTools = undefined;
    if (this.#messageHabits.idType === "both") return;
    const number = 8_000 + this.#pageCount++;
    const id = this.#messageHabits.idType === "numbers" ? number : `${number}`;
    this.#scheduleClient(1, () => {
      const method = "tools/list";
      const request = this.#invariants.recordRequest(id, method, true, {
        cursor: next,
      });
      this.#sendRequest(request, {});
    });
  }

  /** Returns whether a list can come from the cache: the daemon is away. */
  #mayBeCached(connection: McpConnection | undefined): boolean {
    return this.#config.cachedResults !== undefined &&
      (connection === undefined || connection.closedByProxyAt !== undefined);
  }

  /** Receives a request of the daemon at the client, which may answer it. */
  #handleServerRequest({ id, params }: Json): void {
    assert(!this.#serverRequestIds.has(id), "a request's id was used before");
    this.#serverRequestIds.add(id);
    if (this.#scheduler.chance(0.3)) return;
    this.#scheduleClient(this.#scheduler.random() * 3_000, () => {
      this.#sendFromClient({ id, result: { mark: params.mark } });
      if (this.#scheduler.chance(0.1)) {
        this.#sendFromClient({ id, result: { mark: "twice" } });
      }
    });
  }

  // The network.

  #dial(connectionId: number, subprotocol: string | undefined): void {
    this.#dials++;
    const last = this.#lastDial;
    const isSecond = [...this.#connections.values()]
      .some(({ isOpen, closedByProxyAt }) =>
        isOpen && closedByProxyAt === undefined
      );
    // The dial without the subprotocol may follow at once. Any other dial
    // follows after a pause.
    if (last !== undefined && !(last.subprotocol && !subprotocol)) {
      const pause = this.#scheduler.now - last.at;
      // If the proxy's own second connection displaced the main one, the next
      // dial is immediate.
      const followsSecondDial =
        this.#scheduler.now - this.#lastSecondDialAt <= SECOND_DIAL_GRACE_MS;
      const isAllowed = isSecond || followsSecondDial || pause >= 250;
      assert(isAllowed, `dialed again after ${pause}`);
    }
    if (isSecond) this.#lastSecondDialAt = this.#scheduler.now;
    else this.#lastDial = { at: this.#scheduler.now, subprotocol };
    const connection: McpConnection = {
      connectionId,
      dialedAt: this.#scheduler.now,
      isOpen: false,
      hasInitialize: false,
      isReady: false,
      readOnlyHint: undefined,
      isClosed: false,
      idleAt: 0,
      lastArrivalAt: 0,
      blockedUntil: 0,
      abandonedAt: -Infinity,
      isBlackholed: false,
      closedByProxyAt: undefined,
      deadAt: undefined,
      lastBusyAt: this.#scheduler.awakeMs,
      sentTexts: new Set(),
      proxyRequestKeys: new Set(),
      proxyRequestIds: new Set(),
      unansweredKeys: [],
      isInitialized: false,
      heldMessages: [],
      serverRequests: new Map(),
      serverRequestCount: 0,
    };
    assert(
      !this.#connections.has(connectionId),
      "a connectionId was used before",
    );
    this.#connections.set(connectionId, connection);
    if (!this.#isDaemonUp) return this.#closeByDaemon(connection, 0, false);
    if (this.#scheduler.chance(0.03)) return; // the packets are lost
    if (this.#scheduler.chance(0.05)) {
      return this.#closeByDaemon(connection, 0, true);
    }
    const blocked = Math.max(0, this.#blockedUntil - this.#scheduler.now);
    this.#scheduler.schedule(blocked + this.#scheduler.random() * 50, () => {
      if (connection.closedByProxyAt !== undefined || connection.isClosed) {
        return;
      }
      connection.isOpen = true;
      this.#handle({ type: "open", connectionId });
      if (this.#capacity === "one") this.#displaceOthers(connection);
      if (this.#scheduler.chance(0.1)) this.#closeByDaemon(connection, 1006);
    });
  }

  /** Closes the older connections of a daemon that keeps one. */
  #displaceOthers(by: McpConnection): void {
    for (const connection of this.#connections.values()) {
      const isOld = connection !== by && connection.isOpen &&
        !connection.isClosed;
      if (!isOld || connection.closedByProxyAt !== undefined) continue;
      assertEquals(
        ++this.#displacedCount,
        1,
        "the proxy displaced its own connection again",
      );
      const calls = [...this.#invariants.inFlight(connection.connectionId)].map(
        (
          { method },
        ) => method,
      )
        .filter((it) => !/^(initialize|ping|tools\/list)$/.test(it));
      assertEquals(
        calls,
        [],
        "calls in flight when the proxy displaced its own connection",
      );
      this.#closeByDaemon(connection, this.#scheduler.pick([1000, 1006]));
    }
  }

  #closeByDaemon(
    connection: McpConnection,
    code: number,
    mayHaveReachedServer = true,
  ): void {
    this.#scheduler.schedule(this.#scheduler.random() * 20, () => {
      if (connection.isBlackholed) return;
      connection.isClosed = true;
      const { connectionId } = connection;
      const reason = `code ${code}`;
      this.#handle({
        type: "closed",
        connectionId,
        code,
        reason,
        mayHaveReachedServer,
      });
    });
  }

  #blackhole(connection: McpConnection): void {
    connection.isBlackholed = true;
    connection.deadAt ??= this.#scheduler.awakeMs;
  }

  #closeByProxy(connectionId: number): void {
    const connection = this.#connections.get(connectionId);
    assert(
      connection !== undefined,
      "the proxy closed a connection that it never dialed",
    );
    if (connection.closedByProxyAt !== undefined) return;
    connection.closedByProxyAt = this.#scheduler.now;
    this.#invariants.recordDisconnect(connectionId);
    this.#losses++;
    const { deadAt } = connection;
    // A dead idle connection may be kept for 5 s of silence, and 5 s for a
    // probe.
    if (deadAt === undefined || !connection.isReady) return;
    const idle = this.#scheduler.awakeMs -
      Math.max(deadAt, connection.lastBusyAt);
    assert(idle <= 10_001, `a dead connection was kept for ${idle} ms`);
  }

  // The daemon.

  #sendToDaemon(connectionId: number, text: string): void {
    const connection = this.#connections.get(connectionId)!;
    assert(
      connection.isOpen && connection.closedByProxyAt === undefined,
      "sent on a connection that is not open",
    );
    const message = JSON.parse(text);
    const key = JSON.stringify(message.id);
    const request = this.#invariants.requestOf(message);
    connection.lastBusyAt = this.#scheduler.awakeMs;
    const isProbe = message.method === "ping";
    const answersProxyRequest = request === undefined &&
      isProxyRequestId(message.id);
    if (answersProxyRequest && !isProbe) connection.proxyRequestKeys.add(key);
    if (answersProxyRequest) connection.proxyRequestIds.add(message.id);
    const { method } = message;
    connection.unansweredKeys.push(method && key);
    if (method !== undefined && request !== undefined) {
      this.#invariants.recordWrite(request, connection.connectionId);
      const needsHint = request.isSafe && method === "tools/call" &&
        this.#config.retry === "safe";
      if (needsHint && request.writeCount > 1) {
        assert(
          connection.readOnlyHint === true,
          `${key} was sent again without a hint`,
        );
      }
    }
    if (message.method === undefined) {
      const mark = connection.serverRequests.get(key);
      assert(
        mark !== undefined,
        "a response to a request that this daemon never sent",
      );
      // The proxy answers requests on a second connection itself.
      const answeredMark = message.error === undefined
        ? message.result.mark
        : mark;
      assertEquals(answeredMark, mark, "the response to another request");
      connection.serverRequests.delete(key);
    }
    this.#scheduleArrival(connection, message);
  }

  /** Lets a message arrive at the daemon. Messages stay in order. */
  #scheduleArrival(connection: McpConnection, message: Json): void {
    const { now, random } = this.#scheduler;
    const at = Math.max(
      ...[
        now,
        this.#blockedUntil,
        connection.blockedUntil,
        connection.lastArrivalAt,
      ],
    );
    connection.lastArrivalAt = at + random() * 20;
    const land = (): void => {
      if (connection.isClosed || connection.isBlackholed) return;
      const until = Math.max(this.#blockedUntil, connection.blockedUntil);
      const blocked = until - this.#scheduler.now;
      if (blocked > 0) this.#scheduler.schedule(blocked, land);
      else this.#receiveAtDaemon(connection, message);
    };
    this.#scheduler.schedule(connection.lastArrivalAt - now, land);
  }

  #receiveAtDaemon(connection: McpConnection, message: Json): void {
    if (/^(notifications.)?initialized$/.test(message.method)) {
      connection.isInitialized = true;
      assert(!("id" in message), "initialized must not have an id");
    }
    if (this.#scheduler.chance(0.005)) return this.#blackhole(connection);
    if (this.#scheduler.chance(0.01)) {
      return this.#closeByDaemon(connection, 1001);
    }
    if (this.#scheduler.chance(0.001)) {
      return this.#closeByDaemon(connection, 1008);
    }
    if (this.#scheduler.chance(0.02)) {
      const { connectionId } = connection;
      this.#handle({ type: "frame", connectionId, text: "garbage" });
      this.#handle({ type: "binary", connectionId, bytes: 3 });
    }
    const { id, method, params } = message;
    if (id === undefined || method === undefined) return;
    if (method === "initialize") connection.hasInitialize = true;
    const request = this.#invariants.requestOf(message);
    const { at: initializedAt = Infinity } = this.#initialized;
    const isDialedLater = connection.dialedAt > initializedAt &&
      request !== undefined;
    const mustBeInitialized = isDialedLater &&
      !/^(initialize|ping)$/.test(method);
    assert(
      !mustBeInitialized || connection.isInitialized,
      `${method} before initialized`,
    );
    // A client that has never initialized may send anything.
    const maySend = connection.hasInitialize || !this.#hasNegotiated ||
      method === "ping";
    assert(maySend, `${method} before initialize`);
    if (method === "tools/call") {
      const isOnce = !request!.isSafe && this.#config.retry !== "always";
      assertEquals(
        ++request!.executionCount > 1 && isOnce,
        false,
        "executed twice",
      );
    }
    if (this.#scheduler.chance(0.05)) this.#sendServerRequest(connection);
    // A daemon that does not answer a request, but answers a later ping, would
    // count as concurrent. So a serial daemon answers all requests.
    const mayForget = method !== "ping" && this.#servingMode !== "serial";
    if (mayForget && this.#scheduler.chance(0.03)) return;
    if (method === "ping" && this.#servingMode === "mute") return;
    if (this.#scheduler.chance(0.002)) return this.#sendOversize(connection);
    if (
      this.#messageHabits.habits.has("logging") &&
      this.#messageHabits.chance(0.05)
    ) {
      const text = this.#messageHabits.logLine(id);
      this.#handle({
        type: "frame",
        connectionId: connection.connectionId,
        text,
      });
    }
    if (request !== undefined && this.#isNotUnderstood(connection, request)) {
      return;
    }
    const isLong = method === "tools/call" && this.#scheduler.chance(0.2);
    if (isLong && this.#servingMode === "blocking") {
      this.#blockConnection(connection);
    }
    const work = this.#scheduler.random() * (isLong ? 40_000 : 400);
    const start = this.#servingMode === "serial"
      ? Math.max(connection.idleAt, this.#scheduler.now)
      : this.#scheduler.now;
    connection.idleAt = start + work;
    const lag = connection.idleAt - this.#scheduler.now;
    const token = params?._meta?.progressToken;
    for (let n = 1; token !== undefined && n <= 3; n++) {
      const falling = this.#messageHabits.applies("falling progress")
        ? 3 - n
        : n;
      const progress = this.#scheduler.chance(0.2) ? 1 : falling;
      const text = {
        method: "notifications/progress",
        params: { progressToken: token, progress },
      };
      this.#sendFromDaemon(connection, lag * n / 4, text, { request });
    }
    const answer = this.#responseTo(message);
    const about = {
      request,
      ...(request === undefined &&
        { answersProxyRequest: true, cursor: params?.cursor }),
    };
    this.#sendFromDaemon(connection, lag, answer, about);
    const isTwice = this.#scheduler.chance(0.05) && !this.#usesProxyIds;
    if (!isTwice) return;
    this.#scheduler.schedule(lag + 50, () => {
      // By then, another request may have the id of a cancelled one.
      if (request?.cancelledAt === undefined) {
        this.#sendFromDaemon(connection, 0, answer, about);
      }
    });
  }

  /**
   * Returns whether the daemon does not understand a request. If so, it reports
   * that or sends something unreadable.
   */
  #isNotUnderstood(
    connection: McpConnection,
    request: TrackedRequest,
  ): boolean {
    const { method, id, key } = request;
    const mayBe = !/^(initialize|ping)$/.test(method) &&
      this.#servingMode !== "serial" && this.#messageHabits.chance(0.2);
    if (!mayBe) return false;
    const isBroken = this.#messageHabits.applies("broken answers");
    if (!isBroken && !this.#messageHabits.applies("nameless errors")) {
      return false;
    }
    const error = {
      code: this.#messageHabits.pick([-32700, -32600]),
      message: `no: ${request.mark}`,
    };
    const head = `{"jsonrpc":"2.0","id":${key},"result":{`;
    const text = isBroken
      ? head + this.#messageHabits.pick(['"n":NaN}}', '"n":0.1', '"a":"b', ""])
      : JSON.stringify({ jsonrpc: "2.0", id: null, error });
    const sendNow = (): void => {
      if (this.#scheduler.isSuspended) {
        return void this.#missedEvents.push(sendNow);
      }
      const blocked = connection.blockedUntil - this.#scheduler.now;
      if (blocked > 0) return this.#scheduler.schedule(blocked, sendNow);
      if (
        connection.isClosed || connection.isBlackholed ||
        connection.closedByProxyAt !== undefined
      ) return;
      this.#notUnderstood++;
      const isSole = connection.unansweredKeys.length === 1 &&
        connection.unansweredKeys[0] === key;
      const isOpen = request.answers === 0 &&
        request.sentOn === connection.connectionId &&
        request.cancelledAt === undefined;
      // The proxy's own requests may be settled before it decides.
      const mayBeAssigned = isBroken ||
        connection.unansweredKeys.every((it) =>
          it === key || it !== undefined && isProxyRequestId(JSON.parse(it))
        );
      if (mayBeAssigned) request.notUnderstoodOn = connection.connectionId;
      connection.lastBusyAt = this.#scheduler.awakeMs;
      const { answers, proxyErrors: faults } = this.#invariants;
      this.#handle({
        type: "frame",
        connectionId: connection.connectionId,
        text,
      });
      assertEquals(
        [answers, faults],
        [this.#invariants.answers, this.#invariants.proxyErrors],
        `the proxy answered ${JSON.stringify(id)} at once`,
      );
      if (isSole && isOpen) this.#expectRetryOrResponse(connection, request);
    };
    this.#scheduler.schedule(this.#scheduler.random() * 400, sendNow);
    return true;
  }

  /** Checks that a request is soon sent again or answered. */
  #expectRetryOrResponse(
    connection: McpConnection,
    request: TrackedRequest,
  ): void {
    const { writeCount } = request;
    const { awakeMs } = this.#scheduler;
    const ms = NOT_UNDERSTOOD_WAIT_MS + 1;
    this.#scheduler.schedule(ms, () => {
      // If the daemon answers no probe, the second try may have to wait until
      // the connection is given up.
      const isOver = connection.isClosed || connection.isBlackholed ||
        connection.closedByProxyAt !== undefined ||
        this.#servingMode === "mute";
      const isOpen = request.answers === 0 && request.cancelledAt === undefined;
      const hasSlept = this.#scheduler.awakeMs - awakeMs < ms;
      const isBlocked = connection.blockedUntil > this.#scheduler.now - ms;
      if (isOver || !isOpen || hasSlept || isBlocked) return;
      assert(
        request.writeCount > writeCount,
        `${request.key} was neither sent again nor answered`,
      );
    });
  }

  /** Blocks a connection for a while during a call. */
  #blockConnection(connection: McpConnection): void {
    this.#scheduler.schedule(this.#scheduler.random() * 3_000, () => {
      const { now } = this.#scheduler;
      if (connection.blockedUntil + 1_000 > now) return;
      connection.blockedUntil = now + this.#scheduler.random() * 10_000;
    });
  }

  /** Ends a connection by a response that is too large to be received. */
  #sendOversize(connection: McpConnection): void {
    this.#scheduler.schedule(10, () => {
      if (
        connection.isClosed || connection.isBlackholed ||
        connection.closedByProxyAt !== undefined
      ) return;
      connection.isClosed = true;
      for (
        const request of this.#invariants.inFlight(connection.connectionId)
      ) {
        if (request.method === "initialize" || request.method === "ping") {
          continue;
        }
        // A request that was not understood may be waiting for its second try.
        const isAgain = request.notUnderstoodOn === connection.connectionId;
        request.oversizedResponse = isAgain ? "maybe" : "yes";
      }
      const { connectionId } = connection;
      const reason =
        "the daemon sent a message that is too large to be received";
      const how = {
        code: 0,
        reason,
        mayHaveReachedServer: true,
        isOversized: true,
      };
      this.#handle({ type: "closed", connectionId, ...how });
    });
  }

  #responseTo({ id, method, params }: Json): Json {
    if (this.#scheduler.chance(0.03)) {
      const message = `no: ${params?.mark}`;
      const error = this.#messageHabits.applies("malformed errors")
        ? this.#messageHabits.malformedError(message)
        : { code: -32602, message };
      return { id, error };
    }
    switch (method) {
      case "initialize":
        return {
          id,
          result: {
            protocolVersion: "2025-11-25",
            capabilities: { tools: {} },
          },
        };
      case "tools/list": {
        const tools = Array.from({ length: this.#toolCount }, (_, i) => ({
          name: i === 0 ? "look" : `tool ${i}`,
          annotations: { readOnlyHint: i === 0 && this.#hasReadOnlyHint },
        }));
        // The daemon repeats the cursor, so that the next page is the same one.
        const nextCursor = this.#messageHabits.habits.has("odd cursors")
          ? this.#oddCursor
          : undefined;
        const result = {
          tools,
          ...(nextCursor !== undefined && { nextCursor }),
        };
        return { id, result };
      }
      default:
        if (
          method === "logging/setLevel" &&
          this.#messageHabits.applies("null members")
        ) {
          return { id, result: null };
        }
        return {
          id,
          result: { n: this.#scheduler.random(), mark: params?.mark },
          ...(this.#scheduler.chance(0.02) &&
            { much: "x".repeat(MAX_MESSAGE) }),
        };
    }
  }

  #sendServerRequest(connection: McpConnection): void {
    const id = connection.serverRequestCount++;
    const mark = this.#scheduler.random();
    connection.serverRequests.set(JSON.stringify(id), mark);
    this.#sendFromDaemon(connection, 10, {
      id,
      method: "roots/list",
      params: { mark },
    });
  }

  #sendFromDaemon(
    connection: McpConnection,
    ms: number,
    message: Json,
    about: Partial<DaemonMessage> = {},
  ): void {
    const isPretty = this.#scheduler.chance(0.05);
    const daemonMessage = {
      ...{
        message,
        request: undefined,
        cursor: undefined,
        answersProxyRequest: false,
      },
      ...about,
    };
    const sendNow = (): void => {
      if (this.#scheduler.isSuspended) {
        return void this.#missedEvents.push(sendNow);
      }
      const blocked = connection.blockedUntil - this.#scheduler.now;
      if (blocked > 0) return this.#scheduler.schedule(blocked, sendNow);
      if (isPretty && message.result !== null) {
        this.#flush(connection);
        const text = JSON.stringify({ jsonrpc: "2.0", ...message });
        const pretty = text.replace(/^\{/, "{\r\n").replace(/\}$/, "\n}");
        const formatted = {
          text: pretty,
          acceptedTexts: [text],
          isRetyped: false,
        };
        return this.#deliver(connection, [{ ...daemonMessage, formatted }]);
      }
      const formatted = this.#messageHabits.formatMessage(message);
      const length = connection.heldMessages.reduce(
        (sum, it) => sum + it.formatted.text.length,
        0,
      );
      if (length + formatted.text.length > MAX_FRAME_LENGTH) {
        this.#flush(connection);
      }
      connection.heldMessages.push({ ...daemonMessage, formatted });
      const { joinDelayMs } = this.#messageHabits;
      if (joinDelayMs === 0 || connection.heldMessages.length > 3) {
        return this.#flush(connection);
      }
      this.#scheduler.schedule(joinDelayMs, () => this.#flush(connection));
    };
    this.#scheduler.schedule(ms, sendNow);
  }

  /** Sends the waiting messages in one frame. */
  #flush(connection: McpConnection): void {
    if (this.#scheduler.isSuspended) {
      return void this.#missedEvents.push(() => this.#flush(connection));
    }
    const blocked = connection.blockedUntil - this.#scheduler.now;
    if (blocked > 0) {
      return this.#scheduler.schedule(blocked, () => this.#flush(connection));
    }
    const { heldMessages } = connection;
    connection.heldMessages = [];
    if (heldMessages.length > 0) this.#deliver(connection, heldMessages);
  }

  #deliver(connection: McpConnection, all: readonly DaemonMessage[]): void {
    if (
      connection.isClosed || connection.isBlackholed ||
      connection.closedByProxyAt !== undefined
    ) return;
    const { connectionId } = connection;
    const expectedMessages = all.flatMap(({ request, ...daemonMessage }) =>
      request !== undefined &&
        this.#mustReachClient(connection, request, daemonMessage)
        ? [{ request, before: request.progressCount, ...daemonMessage }]
        : []
    );
    // A second response to the same request has no effect.
    const fresh = all.filter(({ message }) =>
      connection.proxyRequestIds.has(message.id)
    );
    const progressBefore = new Map(
      all.flatMap(({ request }) =>
        request === undefined ? [] : [[request, request.progressCount] as const]
      ),
    );
    for (
      const {
        message,
        request,
        formatted,
        answersProxyRequest,
      } of all
    ) {
      for (const text of formatted.acceptedTexts) {
        connection.sentTexts.add(text);
      }
      const key = JSON.stringify(message.id);
      if (answersProxyRequest) {
        connection.proxyRequestKeys.delete(key);
        connection.proxyRequestIds.delete(message.id);
      }
      const isUnderstood = this.#isUnambiguous(message, formatted);
      // A response that may belong to several requests settles none.
      if (
        message.method === undefined && (answersProxyRequest || isUnderstood)
      ) {
        removeAnswered(connection, key);
      }
      // An `initialize` result of the daemon completes the handshake, even if
      // the client got its response from elsewhere.
      const isInitializeResult = request?.method === "initialize" &&
        message.result !== undefined;
      if (answersProxyRequest || isInitializeResult) connection.isReady = true;
      if (request?.sentOn === connectionId && isUnderstood) {
        if (this.#scheduler.awakeMs - request.lastActivityAt > 12_000) {
          this.#survivedSilences++;
        }
        this.#invariants.recordActivity(request);
        connection.lastBusyAt = this.#scheduler.awakeMs;
      }
      const [tool] = message.result?.tools ?? [];
      if (tool !== undefined) {
        connection.readOnlyHint = tool.annotations.readOnlyHint;
      }
    }
    const allAreResponses = all.every(({ message }) =>
      message.method === undefined
    );
    const texts = all.map(({ formatted }) => formatted.text);
    const isPretty = /[\r\n]/.test(texts.join(""));
    const [{ message: { id } }] = all as [DaemonMessage];
    const text = isPretty
      ? texts.join("")
      : this.#messageHabits.joinIntoFrame(texts, {
        allAreResponses,
        id,
      });
    this.#handle({ type: "frame", connectionId, text });
    for (const [request, before] of progressBefore) {
      // The proxy does not read messages that are too large. So it may have
      // seen fewer types of ids and tokens than the simulation, and forward
      // more progress.
      if (request.progressCount > before) {
        this.#invariants.recordActivity(request);
      }
    }
    for (const { request, message, before } of expectedMessages) {
      if (request.answers > 0) continue;
      const isAnswer = message.method === undefined;
      const hasArrived = !isAnswer && request.progressCount > before;
      assert(
        hasArrived,
        `the client got nothing about ${request.key}: ${JSON.stringify(text)}`,
      );
    }
    for (const daemonMessage of fresh) {
      this.#checkListChange(connection, daemonMessage);
    }
  }

  /** Returns whether a message must reach the client at once. */
  #mustReachClient(
    connection: McpConnection,
    request: TrackedRequest,
    { message, formatted }: Omit<DaemonMessage, "request">,
  ): boolean {
    if (this.#invariants.get(request.key) !== request) return false;
    const isOpen = request.answers === 0 && request.cancelledAt === undefined;
    if (!isOpen || request.sentOn !== connection.connectionId) return false;
    if (!this.#isUnambiguous(message, formatted)) return false;
    if (message.method === undefined) return true;
    const { progress } = message.params;
    return request.writeCount <= 1 || progress > request.highestProgress;
  }

  /** Returns whether it is clear to which request a message belongs. */
  #isUnambiguous({ method }: Json, { isRetyped }: FormattedMessage): boolean {
    const { ids, tokens } = this.#clientTypes;
    const { size } = method === undefined ? ids : tokens;
    return !isRetyped || size === 1;
  }

  /** Checks that the client was notified if a new daemon has other tools. */
  #checkListChange(
    connection: McpConnection,
    { message, answersProxyRequest, cursor }: DaemonMessage,
  ): void {
    const tools = message.result?.tools;
    if (
      !answersProxyRequest || tools === undefined ||
      connection.closedByProxyAt !== undefined
    ) return;
    const { nextCursor: next } = message.result;
    if (next !== undefined && next !== cursor) return;
    const found = canonicalSet(tools.map((it: Json) => JSON.stringify(it)));
    const clientTools = this.#clientTools;
    if (
      clientTools === undefined || clientTools.isOld ||
      clientTools.tools === found
    ) return;
    throw new Error(`The client was not notified of ${found}`);
  }

  // The proxy.

  #handle(event: SessionEvent): void {
    if (this.#scheduler.isSuspended) {
      return void this.#missedEvents.push(() => this.#handle(event));
    }
    const effects = this.#session.handle(event, this.#scheduler.now);
    const { phase } = this.#session.snapshot().connectionState;
    this.#invariants.setUsable(phase === "ready");
    for (const connection of this.#connections.values()) {
      if (
        connection.closedByProxyAt === undefined && this.#isBusy(connection)
      ) {
        connection.lastBusyAt = this.#scheduler.awakeMs;
      }
    }
    for (const effect of effects) this.#perform(effect);
  }

  #isBusy(connection: McpConnection): boolean {
    if (connection.deadAt === undefined) return false;
    if (connection.proxyRequestKeys.size > 0) return true;
    // While a request waits, the proxy may first check a second connection.
    if (this.#invariants.hasQueuedRequests) return true;
    // The daemon may still be working on an abandoned call.
    if (this.#scheduler.awakeMs < connection.abandonedAt + ABANDONED_CALL_MS) {
      return true;
    }
    return this.#invariants.hasInFlight(connection.connectionId);
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dial(effect.connectionId, effect.subprotocol);
      case "send-to-daemon":
        return this.#sendToDaemon(effect.connectionId, effect.text);
      case "close":
        return this.#closeByProxy(effect.connectionId);
      case "send-to-client":
        return this.#receiveAtClient(effect.text);
      case "log":
        return assert(effect.event !== "bug", effect.message);
      case "exit":
        this.#exitCode = effect.code;
    }
  }

  #checkEnd(): void {
    assertEquals(this.#exitCode, 0);
    assertEquals(this.#session.pendingRequestCount, 0);
    const late = this.#scheduler.awakeMs - this.#invariants.endedAt!;
    assert(late <= SHUTDOWN_GRACE_MS + 1, `exited ${late} ms after the end`);
    this.#invariants.checkAllAnswered();
    for (const connection of this.#connections.values()) {
      if (
        connection.closedByProxyAt !== undefined ||
        connection.deadAt === undefined
      ) continue;
      if (!connection.isReady) continue;
      const idle = this.#scheduler.awakeMs -
        Math.max(connection.deadAt, connection.lastBusyAt);
      assert(idle <= 10_001, `a dead connection was never closed: ${idle} ms`);
    }
  }
}

/** Joins the items in a canonical order. */
function canonicalSet(items: readonly string[]): string {
  return [...new Set(items)].toSorted().join();
}

/**
 * Removes what a response settles: its request, and the notifications sent
 * before it.
 */
function removeAnswered(connection: McpConnection, key: string): void {
  const at = connection.unansweredKeys.lastIndexOf(key);
  if (at < 0) return;
  connection.unansweredKeys = connection.unansweredKeys.filter((it, index) =>
    it !== key && (it !== undefined || index > at)
  );
}
