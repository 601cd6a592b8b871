/**
 * A random simulation of reconnecting. The client sends requests in bursts and
 * pauses, and the network fails in one way after another. The proxy must use a
 * daemon at once when it is back, and must not dial too often.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import { assert } from "../helpers/assert.ts";
import { HARMLESS_HABITS, MessageHabits } from "./message_habits.ts";
import { ConcurrentDaemon, type DaemonProtocol } from "./concurrent_daemon.ts";
import { DEFAULT_CONFIG } from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";
import { type AllowedWait, WatchedProxy } from "./watched_proxy.ts";

/** How long the client sends requests, in simulated milliseconds. */
const CLIENT_LIFETIME_MS = 200_000;
const MAX_STEPS = 20_000;
/** How soon the proxy must use a daemon that is back. */
const RECONNECT_WITHIN_MS = 1_500;
/**
 * How soon the proxy must do so after a silence, because a dial that began
 * during the silence may still hang: a minimum, a share of the silence, and a
 * margin.
 */
const AFTER_SILENCE = { leastMs: 3_500, share: 1 / 2, slackMs: 300 } as const;

/**
 * The successive timeouts of dials while a request waits, and the pause between
 * two dials.
 */
const DIAL_TIMEOUTS_MS = [2_000, 2_000, 3_000, 4_000, 6_000, 9_000];
const DIAL_PAUSE_MS = 1_100;

/** The states of the network with the daemon. */
const NETWORK_STATES = [
  ...["up", "refused", "opens and closes", "closes with 1013", "reset"],
  ...["garbage", "silent tcp", "silent websocket", "quick restarts"],
  ...["1008 in a conversation", "unauthorized", "slow start"],
] as const;
type NetworkState = typeof NETWORK_STATES[number];

/** The states, the more frequent ones repeated. */
const WEIGHTED_NETWORK_STATES: readonly NetworkState[] = [
  ...["up", "up", "up", "up", "refused", "refused", "refused"] as const,
  ...["opens and closes", "opens and closes", "closes with 1013"] as const,
  ...["reset", "garbage", "silent tcp", "silent websocket"] as const,
  ...["quick restarts", "quick restarts"] as const,
  ...["1008 in a conversation", "1008 in a conversation"] as const,
  ...NETWORK_STATES,
];

/** A connection, as the network sees it. */
interface ReconnectConnection {
  readonly connectionId: number;
  /** The state of the network when the connection was dialed. */
  readonly networkState: NetworkState;
  readonly isVariant: boolean;
  readonly dialedAt: number;
  /** How long the daemon takes for its first response on the connection. */
  readonly firstResponseMs: number;
  /** True once the daemon has answered on the connection. */
  isAnswered: boolean;
  /** True once the proxy or the daemon has closed the connection. */
  isClosed: boolean;
  /** When the last frame arrives at the daemon. Frames stay in order. */
  lastArrivalAt: number;
  lastResponseAt: number;
}

/** Counts of events, which show how much the simulation covers. */
export type ReconnectTally =
  & Record<"answers" | "faults" | "dials" | "reformattedCount", number>
  & Record<NetworkState, number>;

/** Runs a simulation. Throws if a promise is broken. */
export function runReconnectSimulation(seed: number): ReconnectTally {
  return new ReconnectSimulation(seed).run();
}

class ReconnectSimulation {
  readonly #scheduler: Scheduler;
  readonly #protocol: DaemonProtocol;
  readonly #daemon: ConcurrentDaemon;
  readonly #messageHabits: MessageHabits;
  readonly #proxy: WatchedProxy;
  readonly #connections = new Map<number, ReconnectConnection>();
  readonly #stateCounts = new Map<NetworkState, number>(
    NETWORK_STATES.map((kind) => [kind, 0]),
  );
  /** How long the daemon takes for its first response on a connection. */
  readonly #firstResponseMs: number;
  /**
   * The longest time to the daemon's first response in the slow starts since it
   * came back; 0 if there were none.
   */
  #slowStartMs = 0;
  #networkState: NetworkState = "up";
  /** Selects one of the two variants that some states have. */
  #variant = false;
  /** Since when the daemon can be reached; `undefined` while it cannot. */
  #upSince: number | undefined = 0;
  /**
   * How long the network has been silent since the daemon last gave a first
   * response.
   */
  #silentMs = 0;
  /** When that silence last ended. */
  #silentUntil = 0;
  /** When the daemon gave its first response after such a silence. */
  #firstResponseAt = 0;
  /**
   * The total duration of the dials that the proxy gave up while the daemon
   * started slowly.
   */
  #abandonedDialsMs = 0;
  #stateChangedAt = 0;
  /** The duration of the slowest first response so far. */
  #slowestResponseMs = 0;
  /** The duration of the latest first response. */
  #lastResponseMs = 0;
  /** True once the daemon has answered this process. */
  #hasAnswered = false;

  constructor(seed: number) {
    const scheduler = this.#scheduler = new Scheduler(seed);
    const protocol = this.#protocol = scheduler.pick(
      ["mcp", "mcp", "stateless", "exai"] as const,
    );
    this.#daemon = new ConcurrentDaemon(protocol, scheduler.chance(0.5));
    this.#messageHabits = new MessageHabits(seed, HARMLESS_HABITS);
    this.#firstResponseMs = scheduler.chance(0.15)
      ? 1_000 + scheduler.random() * 3_000
      : 0;
    const config: SessionConfig = {
      ...DEFAULT_CONFIG,
      queueTimeout: scheduler.pick([4_000, 45_000, 45_000]),
    };
    this.#proxy = new WatchedProxy(scheduler, config, protocol, {
      onDial: (connectionId) => this.#dial(connectionId),
      onSend: (connectionId, text) => this.#sendToDaemon(connectionId, text),
      onClose: (connectionId) => this.#closeByProxy(connectionId),
    }, () => this.#allowedWait());
  }

  run(): ReconnectTally {
    const [scheduler, proxy] = [this.#scheduler, this.#proxy];
    this.#changeNetwork();
    proxy.handle({ type: "tick" });
    scheduler.schedule(
      scheduler.random() * scheduler.pick([500, 500, 10_000]),
      () => {
        proxy.openConversation();
        this.#runClient();
      },
    );
    scheduler.schedule(
      CLIENT_LIFETIME_MS,
      () => proxy.handle({ type: "end", cause: "stdin" }),
    );
    for (let step = 0; proxy.exitCode === undefined; step++) {
      assert(step < MAX_STEPS, "the simulation does not end");
      const wake = proxy.deadline();
      if (scheduler.runNext(wake)) continue;
      assert(wake < Infinity, "nothing is left to wait for");
      scheduler.now = Math.max(scheduler.now, wake);
      proxy.handle({ type: "tick" });
    }
    proxy.checkAllAnswered();
    const { answers, errors: faults, dials: { count: dials } } = proxy;
    const phases = Object.fromEntries(this.#stateCounts) as Record<
      NetworkState,
      number
    >;
    const { reformattedCount } = this.#messageHabits;
    return { answers, faults, dials, reformattedCount, ...phases };
  }

  // The client

  /** Sends requests of the client, and repeats that after a random pause. */
  #runClient(): void {
    const [scheduler, proxy] = [this.#scheduler, this.#proxy];
    if (scheduler.now > CLIENT_LIFETIME_MS) return;
    const isListening = this.#protocol === "stateless" && scheduler.chance(0.2);
    if (isListening) proxy.request("subscriptions/listen");
    else {
      const times = scheduler.pick([1, 1, 1, 3, 10]);
      for (let i = 0; i < times; i++) this.#request();
    }
    const most = scheduler.pick([300, 300, 3_000, 3_000, 20_000, 90_000]);
    scheduler.schedule(scheduler.random() * most, () => this.#runClient());
  }

  #request(): void {
    const [scheduler, proxy] = [this.#scheduler, this.#proxy];
    const what = scheduler.pick(
      ["look", "look", "write", "list", "read"] as const,
    );
    if (what === "look" || what === "write") proxy.request("tools/call", what);
    else if (what === "list" || this.#protocol === "exai") {
      proxy.request("tools/list");
    } else proxy.request("resources/read");
  }

  // The network

  /** Puts the network into another random state. */
  #changeNetwork(): void {
    const scheduler = this.#scheduler;
    this.#proxy.checkWaits();
    if (isSilent(this.#networkState, this.#variant)) {
      this.#silentMs += scheduler.now - this.#stateChangedAt;
      this.#silentUntil = scheduler.now;
    }
    this.#stateChangedAt = scheduler.now;
    for (const connection of this.#connections.values()) {
      if (connection.networkState === "opens and closes") {
        this.#closeByDaemon(connection, 1006);
      }
    }
    const kind = this.#networkState = scheduler.pick(WEIGHTED_NETWORK_STATES);
    this.#variant = scheduler.chance(0.5);
    this.#stateCounts.set(kind, this.#stateCounts.get(kind)! + 1);
    this.#proxy.dials.networkChanged(scheduler.now);
    const least = kind === "slow start" ? 10_000 : 200;
    const ms = least + scheduler.random() ** 2 * 19_800;
    this.#setReachable(isUsable(kind));
    if (kind === "slow start") {
      this.#slowStartMs = Math.max(
        this.#slowStartMs,
        1_500 + scheduler.random() * 5_500,
      );
    }
    if (kind === "quick restarts") this.#scheduleRestart();
    if (kind === "1008 in a conversation") {
      scheduler.schedule(scheduler.random() * ms, () => this.#closeWith1008());
    }
    scheduler.schedule(ms, () => this.#changeNetwork());
  }

  /** Records whether the daemon can be reached from now on. */
  #setReachable(isUp: boolean): void {
    const scheduler = this.#scheduler;
    this.#proxy.checkWaits();
    if (isUp === (this.#upSince !== undefined)) return;
    this.#slowStartMs = 0;
    // For the proxy, dials that it gave up are silence, too.
    this.#silentMs += this.#abandonedDialsMs;
    this.#abandonedDialsMs = 0;
    this.#upSince = isUp ? scheduler.now : undefined;
    if (isUp) return this.#daemon.restart(scheduler.now);
    // Connections that hang may stay open.
    const closesAll = scheduler.chance(0.3);
    for (const connection of this.#connections.values()) {
      if (closesAll || isUsable(connection.networkState)) {
        this.#closeByDaemon(connection, 1006);
      }
    }
  }

  /** Takes the daemon away, and brings it back soon. */
  #scheduleRestart(): void {
    const scheduler = this.#scheduler;
    const turnedAt = this.#stateChangedAt;
    const isOver = (): boolean => this.#stateChangedAt !== turnedAt;
    scheduler.schedule(1_000 + scheduler.random() * 5_000, () => {
      if (isOver()) return;
      this.#setReachable(false);
      scheduler.schedule(200 + scheduler.random() * 2_800, () => {
        if (isOver()) return;
        this.#setReachable(true);
        this.#scheduleRestart();
      });
    });
  }

  /**
   * Closes a connection on which the daemon has answered. The daemon keeps
   * running.
   */
  #closeWith1008(): void {
    if (this.#networkState !== "1008 in a conversation") return;
    const connections = [...this.#connections.values()]
      .filter(({ isAnswered, isClosed }) => isAnswered && !isClosed);
    if (connections.length > 0) {
      this.#closeByDaemon(this.#scheduler.pick(connections), 1008);
    }
  }

  /** Returns how long a request may wait now; `undefined` without a limit. */
  #allowedWait(): AllowedWait | undefined {
    const silent = this.#silentMs;
    if (this.#upSince === undefined) return undefined;
    // Before its first response, a daemon has the whole handshake timeout.
    if (silent > 0 && !this.#hasAnswered) return undefined;
    const since = Math.max(this.#upSince, this.#firstResponseAt);
    const { leastMs, share, slackMs } = AFTER_SILENCE;
    const limit = silent > 0
      // A dial may take twice as long as the slowest one that succeeded.
      ? Math.max(
        leastMs,
        silent * share,
        2 * this.#slowestResponseMs + DIAL_PAUSE_MS,
      ) +
        slackMs
      : RECONNECT_WITHIN_MS;
    // A request needs a first response on one connection, with a pool on two.
    const isPooled = this.#protocol === "exai";
    const slowMs = (isPooled ? 2 : 1) * this.#firstResponseMs;
    // If a first response takes more than twice as long as the latest one, the
    // proxy first gives up some dials.
    const startMs = this.#slowStartMs > 0
      ? slowStartLimitMs(this.#slowStartMs, this.#slowestResponseMs, isPooled)
      : this.#firstResponseMs > 2 * this.#lastResponseMs
      ? slowStartLimitMs(this.#firstResponseMs, this.#lastResponseMs, isPooled)
      : 0;
    return { since, limitMs: limit + slowMs + startMs };
  }

  #dial(connectionId: number): void {
    const scheduler = this.#scheduler;
    const isDown = this.#upSince === undefined;
    const networkState = this.#networkState === "quick restarts" && isDown
      ? "refused"
      : this.#networkState;
    const connection: ReconnectConnection = {
      ...{
        connectionId,
        networkState,
        isVariant: this.#variant,
        dialedAt: scheduler.now,
      },
      // This duration hardly varies.
      firstResponseMs:
        (networkState === "slow start"
          ? this.#slowStartMs
          : this.#firstResponseMs) *
        (0.8 + scheduler.random() * 0.2),
      ...{
        isAnswered: false,
        isClosed: false,
        lastArrivalAt: 0,
        lastResponseAt: 0,
      },
    };
    this.#connections.set(connectionId, connection);
    switch (networkState) {
      case "silent tcp":
        return;
      case "refused":
        return this.#failDial(connection, false);
      case "reset":
        return this.#failDial(connection, true);
      case "closes with 1013":
        if (this.#variant) return this.#failDial(connection, true, 503);
        break;
      case "unauthorized":
        if (this.#variant && scheduler.chance(0.5)) {
          return this.#failDial(connection, true, 401);
        }
    }
    this.#schedule(connection, 1 + scheduler.random() * 49, () => {
      this.#proxy.handle({ type: "open", connectionId });
      this.#handleOpen(connection);
    });
  }

  /** Records that the proxy closes a connection. */
  #closeByProxy(connectionId: number): void {
    const connection = this.#connections.get(connectionId);
    if (connection === undefined) return;
    this.#connections.delete(connectionId);
    const { now } = this.#scheduler;
    const isGivenUp = !connection.isClosed && !connection.isAnswered;
    if (isGivenUp && connection.networkState === "slow start") {
      this.#abandonedDialsMs += now - connection.dialedAt;
    }
    // A dial that began during a silence and still hung after it counts as
    // silence, too.
    const hasHung = isGivenUp &&
      isSilent(connection.networkState, connection.isVariant);
    if (hasHung && !isSilent(this.#networkState, this.#variant)) {
      this.#silentMs += now - this.#silentUntil;
      this.#silentUntil = now;
    }
    connection.isClosed = true;
  }

  /**
   * Does what the daemon does once the WebSocket is open. In some states it
   * closes the connection.
   */
  #handleOpen(connection: ReconnectConnection): void {
    const { connectionId, networkState, isVariant } = connection;
    switch (networkState) {
      case "opens and closes":
        if (!isVariant) this.#closeByDaemon(connection, 1006);
        return;
      case "closes with 1013":
        return this.#closeByDaemon(connection, 1013);
      case "garbage":
        return this.#schedule(
          connection,
          1 + this.#scheduler.random() * 49,
          () => {
            const text = "SSH-2.0-OpenSSH_9.6";
            this.#proxy.handle({ type: "frame", connectionId, text });
            if (isVariant) this.#closeByDaemon(connection, 1006);
          },
        );
      case "unauthorized":
        if (this.#protocol !== "exai") this.#closeByDaemon(connection, 1008);
    }
  }

  /** Runs something later, unless the connection is closed by then. */
  #schedule(
    connection: ReconnectConnection,
    ms: number,
    run: () => void,
  ): void {
    this.#scheduler.schedule(ms, () => {
      if (!connection.isClosed) run();
    });
  }

  /** Makes a dial fail. */
  #failDial(
    connection: ReconnectConnection,
    mayHaveReachedServer: boolean,
    status?: number,
  ): void {
    const { connectionId } = connection;
    this.#schedule(connection, 1 + this.#scheduler.random() * 19, () => {
      connection.isClosed = true;
      const reason = status === undefined ? "the dial failed" : "HTTP";
      const closed = { type: "closed", connectionId, code: 0, reason } as const;
      const event = {
        ...closed,
        mayHaveReachedServer,
        ...(status && { status }),
      };
      this.#proxy.handle(event, { refuses: status === 401 });
    });
  }

  /** Closes a connection from the daemon's side: later frames are lost. */
  #closeByDaemon(connection: ReconnectConnection, code: number): void {
    if (connection.isClosed) return;
    connection.isClosed = true;
    const { connectionId, isAnswered } = connection;
    const refuses = code === 1008 && !isAnswered && this.#protocol !== "exai";
    this.#scheduler.schedule(this.#scheduler.random() * 5, () => {
      if (!this.#connections.has(connectionId)) return;
      const reason = `code ${code}`;
      const closed = { type: "closed", connectionId, code, reason } as const;
      this.#proxy.handle({ ...closed, mayHaveReachedServer: true }, {
        refuses,
      });
    });
  }

  // The daemon

  #sendToDaemon(connectionId: number, text: string): void {
    const connection = this.#connections.get(connectionId)!;
    const { networkState } = connection;
    if (
      isSilent(networkState, connection.isVariant) || networkState === "garbage"
    ) return;
    const { now } = this.#scheduler;
    const lag = 1 + this.#scheduler.random() * 20;
    connection.lastArrivalAt = Math.max(connection.lastArrivalAt, now + lag);
    this.#schedule(connection, connection.lastArrivalAt - now, () => {
      if (networkState === "unauthorized") return this.#rejectToken(connection);
      const answer = this.#daemon.respond(text, this.#scheduler.now);
      if (answer !== undefined) this.#sendFromDaemon(connection, answer);
    });
  }

  /** Rejects the token, as an exai daemon does. */
  #rejectToken(connection: ReconnectConnection): void {
    if (this.#protocol !== "exai") return;
    const frame = { op: "hello_ack", ok: false, error: "unauthorized" };
    const text = JSON.stringify(frame);
    this.#proxy.handle({
      type: "frame",
      connectionId: connection.connectionId,
      text,
    }, {
      refuses: true,
    });
    this.#closeByDaemon(connection, 4003);
  }

  #sendFromDaemon(connection: ReconnectConnection, text: string): void {
    const { now, random } = this.#scheduler;
    const isFirst = connection.lastResponseAt === 0;
    const slow = isFirst ? connection.firstResponseMs : 0;
    connection.lastResponseAt = Math.max(
      connection.lastResponseAt,
      now + 1 + random() * 28 + slow,
    );
    this.#schedule(connection, connection.lastResponseAt - now, () => {
      connection.isAnswered = true;
      const frame = this.#messageHabits.formatFrame(JSON.parse(text));
      this.#proxy.handle({
        type: "frame",
        connectionId: connection.connectionId,
        text: frame,
      });
      if (isFirst) {
        this.#lastResponseMs = connection.firstResponseMs;
        this.#slowestResponseMs = Math.max(
          this.#slowestResponseMs,
          connection.firstResponseMs,
        );
      }
      if (connection.networkState === "opens and closes") {
        // The daemon may still execute frames that it receives until then.
        return this.#schedule(
          connection,
          random() * 60,
          () => this.#closeByDaemon(connection, 1006),
        );
      }
      if (!isFirst) return;
      // The silence ends only now, because the waiting requests waited for this
      // response.
      const isEnd = this.#silentMs > 0 ||
        connection.networkState === "slow start";
      if (isEnd) this.#firstResponseAt = this.#scheduler.now;
      this.#hasAnswered = true;
      this.#silentMs = this.#abandonedDialsMs = 0;
    });
  }
}

/** Returns whether a dial hangs if it is made in this state of the network. */
function isSilent(kind: NetworkState, isVariant: boolean): boolean {
  return /^silent/.test(kind) || kind === "garbage" && !isVariant;
}

/** Returns whether a connection works if it is made in this network state. */
function isUsable(kind: NetworkState): boolean {
  return /^(up|quick restarts|1008 in a conversation|slow start)$/.test(kind);
}

/**
 * Returns how long a request waits for a first response that takes `ms`,
 * because the proxy first gives up dials with shorter timeouts.
 */
function slowStartLimitMs(
  ms: number,
  slowestMs: number,
  isPooled: boolean,
): number {
  // The actual timeouts may differ a little, so one that seems long enough may
  // still be too short.
  const early = DIAL_TIMEOUTS_MS.filter((step) => step <= 1.25 * ms)
    .map((step) => Math.min(ms, Math.max(step, 2 * slowestMs)))
    .reduce((sum, step) => sum + step + DIAL_PAUSE_MS, 0);
  return early + ms + (isPooled ? ms + DIAL_PAUSE_MS : 0);
}
