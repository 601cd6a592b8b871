/**
 * A random simulation of two proxies and one daemon, which keeps only the
 * newest client, or both, or only the oldest. Two clients that displace each
 * other must stop doing so, and neither proxy may dial too often.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import { assert } from "../helpers/assert.ts";
import { HARMLESS_HABITS, MessageHabits } from "./message_habits.ts";
import { isProxyRequestId } from "../helpers/session/proxy_request_ids.ts";
import { ConcurrentDaemon, type DaemonProtocol } from "./concurrent_daemon.ts";
import { DEFAULT_CONFIG } from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";
import {
  type AllowedWait,
  WatchedProxy,
  type WatchedRequest,
} from "./watched_proxy.ts";

/** How long the clients send requests, in simulated milliseconds. */
const CLIENT_LIFETIME_MS = 200_000;
const MAX_STEPS = 20_000;
/** How soon the proxies must use a daemon that is back. */
const RECONNECT_WITHIN_MS = 1_500;
/** How long the other client must be quiet for a request to be checked. */
const UNDISTURBED_MS = 5_000;
/**
 * How soon such a request must be answered. The proxy may be displaced once
 * more, and must then dial again.
 */
const UNDISTURBED_RESPONSE_MS = 3_000;
/**
 * The maximum number of dials of both proxies in a period in which neither
 * client sends requests.
 */
const IDLE_DIAL_LIMIT = { ms: 60_000, dials: 6 } as const;

/** A proxy that was displaced twice within this time must log it. */
const DISPLACED_TWICE_MS = 9_000;

/** Which of two clients the daemon keeps. */
const KEEP_POLICIES = ["newest", "both", "oldest"] as const;
type KeepPolicy = typeof KEEP_POLICIES[number];

/** One of the two proxies. */
interface ProxySide {
  readonly name: "A" | "B";
  readonly proxy: WatchedProxy;
  /** The client's requests that are not checked yet. */
  readonly uncheckedRequests: Set<WatchedRequest>;
  /** True if the proxy has dialed since the daemon came back. */
  hasRedialed: boolean;
  /** When the other proxy last displaced the connection. */
  displacedAt: number;
  /**
   * True once the proxy was displaced twice in a short time: it must log that.
   */
  mustLogDisplacement: boolean;
}

interface SideConnection {
  readonly side: ProxySide;
  readonly connectionId: number;
  isOpen: boolean;
  isAnswered: boolean;
  isClosed: boolean;
  lastArrivalAt: number;
  lastResponseAt: number;
  /** How many list requests of the proxy itself are pending. */
  pendingLists: number;
}

/** Counts of events, which show how much the simulation covers. */
export type TwoProxiesTally =
  & Record<
    "answers" | "faults" | "dials" | "displaced" | "kept out" | "restarts",
    number
  >
  & Record<"calm" | "quiet dials" | "reformattedCount", number>
  & Record<KeepPolicy, number>;

/** Runs a simulation. Throws if a promise is broken. */
export function runTwoProxiesSimulation(seed: number): TwoProxiesTally {
  return new TwoProxiesSimulation(seed).run();
}

class TwoProxiesSimulation {
  readonly #scheduler: Scheduler;
  readonly #protocol: DaemonProtocol;
  readonly #daemon: ConcurrentDaemon;
  readonly #messageHabits: MessageHabits;
  readonly #sides: readonly [ProxySide, ProxySide];
  readonly #keepPolicy: KeepPolicy;
  /**
   * True if the daemon counts connections, so that each client has only one.
   * False if it counts clients.
   */
  readonly #countsConnections: boolean;
  /**
   * True if the daemon decides at the first frame, and false if it decides when
   * a connection opens.
   */
  readonly #decidesAtFirstFrame: boolean;
  /** The code with which the daemon closes the older one or the newcomer. */
  readonly #closeCode: number;
  readonly #connections = new Set<SideConnection>();
  #upSince: number | undefined = 0;
  /** The dials of the last minute, if no client has sent a request since. */
  #idleDials: number[] = [];
  readonly #tally: TwoProxiesTally = {
    ...{ answers: 0, faults: 0, dials: 0, displaced: 0, "kept out": 0 },
    ...{ restarts: 0, calm: 0, "quiet dials": 0, reformattedCount: 0 },
    ...{ newest: 0, both: 0, oldest: 0 },
  };

  constructor(seed: number) {
    const scheduler = this.#scheduler = new Scheduler(seed);
    const protocol = this.#protocol = scheduler.pick(
      ["mcp", "mcp", "stateless", "exai"] as const,
    );
    this.#keepPolicy = scheduler.pick(KEEP_POLICIES);
    this.#tally[this.#keepPolicy]++;
    // An exai client has a connection for each call, so an exai daemon counts
    // clients.
    this.#countsConnections = protocol !== "exai" && scheduler.chance(0.5);
    this.#decidesAtFirstFrame = scheduler.chance(0.5);
    this.#closeCode = this.#keepPolicy === "newest"
      ? scheduler.pick([1000, 1008, 4000])
      : scheduler.pick([1008, 503, 1013]);
    this.#daemon = new ConcurrentDaemon(protocol, scheduler.chance(0.5));
    this.#messageHabits = new MessageHabits(seed, HARMLESS_HABITS);
    this.#sides = [this.#createSide("A"), this.#createSide("B")];
  }

  #createSide(name: "A" | "B"): ProxySide {
    const network = {
      onDial: (connectionId: number) => this.#dial(side, connectionId),
      onSend: (connectionId: number, text: string) =>
        this.#sendToDaemon(side, connectionId, text),
      onClose: (connectionId: number) => {
        const connection = this.#connectionOf(side, connectionId);
        if (connection === undefined) return;
        connection.isClosed = true;
        this.#connections.delete(connection);
      },
    };
    const config: SessionConfig = { ...DEFAULT_CONFIG };
    const proxy: WatchedProxy = new WatchedProxy(
      this.#scheduler,
      config,
      this.#protocol,
      network,
      () => this.#allowedWait(),
      // The daemon must be able to distinguish the requests of both clients.
      name === "A" ? 0 : 1_000_000,
    );
    const side: ProxySide = {
      ...{ name, proxy, uncheckedRequests: new Set<WatchedRequest>() },
      ...{
        hasRedialed: false,
        displacedAt: -Infinity,
        mustLogDisplacement: false,
      },
    };
    return side;
  }

  run(): TwoProxiesTally {
    const scheduler = this.#scheduler;
    for (const { proxy } of this.#sides) proxy.handle({ type: "tick" });
    for (const side of this.#sides) {
      const at = scheduler.random() * scheduler.pick([500, 20_000]);
      scheduler.schedule(at, () => {
        side.proxy.openConversation();
        this.#runClient(side);
      });
      const end = { type: "end", cause: "stdin" } as const;
      scheduler.schedule(CLIENT_LIFETIME_MS, () => side.proxy.handle(end));
    }
    // A daemon restarts often only if it keeps both clients: then both
    // reconnect at once.
    const pause = this.#keepPolicy === "both" ? 40_000 : 150_000;
    this.#scheduleRestart(pause);
    const [a, b] = this.#sides;
    const isOver = (): boolean =>
      [a, b].every(({ proxy }) => proxy.exitCode !== undefined);
    for (let step = 0; !isOver(); step++) {
      assert(step < MAX_STEPS, "the simulation does not end");
      this.#checkUndisturbed();
      const [first, second] = [a, b].map(({ proxy }) => proxy.deadline());
      const wake = Math.min(first!, second!);
      if (scheduler.runNext(wake)) continue;
      assert(wake < Infinity, "nothing is left to wait for");
      scheduler.now = Math.max(scheduler.now, wake);
      (first! <= second! ? a : b).proxy.handle({ type: "tick" });
    }
    const tally = this.#tally;
    for (const { name, proxy, mustLogDisplacement } of this.#sides) {
      proxy.checkAllAnswered();
      const hasLogged = !mustLogDisplacement || proxy.displacedLogLines > 0;
      assert(hasLogged, `${name}'s log does not report another client`);
      tally.answers += proxy.answers;
      tally.faults += proxy.errors;
      tally.dials += proxy.dials.count;
    }
    tally.reformattedCount = this.#messageHabits.reformattedCount;
    return tally;
  }

  // The clients

  #runClient(side: ProxySide): void {
    const scheduler = this.#scheduler;
    if (scheduler.now > CLIENT_LIFETIME_MS) return;
    const times = scheduler.pick([1, 1, 1, 3]);
    for (let i = 0; i < times; i++) this.#request(side);
    const most = scheduler.pick([300, 3_000, 12_000, 60_000, 150_000]);
    scheduler.schedule(scheduler.random() * most, () => this.#runClient(side));
  }

  #request({ proxy, uncheckedRequests }: ProxySide): void {
    const what = this.#scheduler.pick(
      ["look", "write", "list", "list"] as const,
    );
    this.#idleDials = [];
    const it = what === "list"
      ? proxy.request("tools/list")
      : proxy.request("tools/call", what);
    if (it !== undefined) uncheckedRequests.add(it);
  }

  /**
   * Checks that a client's requests are answered while the other client is
   * quiet.
   */
  #checkUndisturbed(): void {
    if (this.#keepPolicy !== "newest") return;
    const { now } = this.#scheduler;
    for (const { name, proxy, uncheckedRequests } of this.#sides) {
      const other = this.#sides.find((it) => it.proxy !== proxy)!.proxy;
      for (const it of uncheckedRequests) {
        const { id, method, requestedAt, answeredAt, errorCode } = it;
        const isEnd = answeredAt === undefined && now >= CLIENT_LIFETIME_MS;
        // The time counts from the daemon's start if the other client was quiet
        // since then.
        const quietMs = requestedAt -
          Math.max(other.lastRequestAt, this.#upSince ?? 0);
        const isCalm = quietMs >= UNDISTURBED_MS && !other.hasPendingRequests &&
          !this.#isDisturbed(other, requestedAt);
        // A call may be lost to a newcomer. A proxy does not dial a daemon that
        // seems to refuse it.
        const isExcused = !isCalm || isEnd || proxy.isRefused ||
          errorCode === -31001 || method === "tools/call";
        if (isExcused) {
          uncheckedRequests.delete(it);
          continue;
        }
        const waited = (answeredAt ?? now) - requestedAt;
        assert(
          waited <= UNDISTURBED_RESPONSE_MS && (errorCode === undefined),
          `${name}'s ${id} (${method}) has waited ${waited} ms (code ` +
            `${errorCode}) although the other client is quiet`,
        );
        if (answeredAt === undefined) continue;
        this.#tally.calm++;
        uncheckedRequests.delete(it);
      }
    }
  }

  /**
   * Returns whether the other client has sent requests since a moment, or the
   * daemon was away since then.
   */
  #isDisturbed(other: WatchedProxy, since: number): boolean {
    return other.lastRequestAt > since || this.#upSince === undefined ||
      this.#upSince > since;
  }

  // The daemon and the network

  #scheduleRestart(ms: number): void {
    const scheduler = this.#scheduler;
    scheduler.schedule(scheduler.random() * ms, () => {
      this.#tally.restarts++;
      this.#checkWaits();
      this.#upSince = undefined;
      for (const connection of this.#connections) {
        this.#closeByDaemon(connection, 1006);
      }
      this.#networkChanged();
      scheduler.schedule(200 + scheduler.random() ** 2 * 20_000, () => {
        this.#checkWaits();
        this.#upSince = scheduler.now;
        for (const side of this.#sides) {
          side.hasRedialed = false;
          // Losses before the restart say nothing about the other client.
          side.displacedAt = -Infinity;
        }
        this.#daemon.restart(scheduler.now);
        this.#networkChanged();
        this.#scheduleRestart(ms);
      });
    });
  }

  #checkWaits(): void {
    for (const { proxy } of this.#sides) proxy.checkWaits();
  }

  #networkChanged(): void {
    // A restart disturbs both clients.
    this.#idleDials = [];
    for (const { proxy } of this.#sides) {
      proxy.dials.networkChanged(this.#scheduler.now);
    }
  }

  #allowedWait(): AllowedWait | undefined {
    const since = this.#upSince;
    if (this.#keepPolicy !== "both" || since === undefined) return undefined;
    return { since, limitMs: RECONNECT_WITHIN_MS };
  }

  #connectionOf(
    side: ProxySide,
    connectionId: number,
  ): SideConnection | undefined {
    for (const connection of this.#connections) {
      if (
        connection.side === side && connection.connectionId === connectionId
      ) {
        return connection;
      }
    }
    return undefined;
  }

  #dial(side: ProxySide, connectionId: number): void {
    this.#checkIdleDials(side);
    const scheduler = this.#scheduler;
    const connection: SideConnection = {
      ...{ side, connectionId },
      ...{ isOpen: false, isAnswered: false, isClosed: false },
      ...{ lastArrivalAt: 0, lastResponseAt: 0, pendingLists: 0 },
    };
    this.#connections.add(connection);
    const isDown = this.#upSince === undefined;
    if (isDown) return this.#failDial(connection, false);
    this.#schedule(connection, 1 + scheduler.random() * 49, () => {
      const isHttp = this.#keepPolicy === "oldest" && this.#closeCode === 503;
      if (isHttp && this.#hasRival(connection)) {
        return this.#failDial(connection, true, 503);
      }
      connection.isOpen = true;
      side.proxy.handle({ type: "open", connectionId });
      if (!this.#decidesAtFirstFrame) this.#admit(connection);
    });
  }

  /** Checks that the proxies stop dialing while both clients are quiet. */
  #checkIdleDials(side: ProxySide): void {
    const { now } = this.#scheduler;
    if (this.#keepPolicy !== "newest") return;
    const isReturn = !side.hasRedialed;
    side.hasRedialed = this.#upSince !== undefined;
    // Before both have sent a request, it is unclear who displaces whom. If the
    // daemon is away, the backoff schedule causes the dials.
    const isUp = this.#upSince !== undefined;
    const isQuiet = this.#sides.every(({ proxy }) =>
      proxy.hasSentRequest && !proxy.hasPendingRequests
    );
    if (!isUp || !isQuiet) return void (this.#idleDials = []);
    // The first dial after a restart displaces nobody yet.
    if (isReturn) return;
    this.#tally["quiet dials"]++;
    const dials = this.#idleDials;
    dials.push(now);
    while (dials[0]! <= now - IDLE_DIAL_LIMIT.ms) dials.shift();
    assert(
      dials.length <= IDLE_DIAL_LIMIT.dials,
      `${dials.length} dials in ${now - dials[0]!} ms in which neither ` +
        `client sent requests, and ${IDLE_DIAL_LIMIT.dials} are allowed in a minute`,
    );
  }

  /** Returns the other connections that the daemon counts as rivals. */
  #rivals(connection: SideConnection): SideConnection[] {
    return [...this.#connections].filter((it) =>
      it !== connection && it.isOpen && !it.isClosed &&
      (this.#countsConnections || it.side !== connection.side)
    );
  }

  #hasRival(connection: SideConnection): boolean {
    return this.#rivals(connection).length > 0;
  }

  /** Admits a newcomer, or rejects it. */
  #admit(connection: SideConnection): void {
    const rivals = this.#rivals(connection);
    if (rivals.length === 0 || this.#keepPolicy === "both") return;
    if (this.#keepPolicy === "oldest") {
      this.#tally["kept out"]++;
      return this.#closeByDaemon(
        connection,
        this.#closeCode === 503 ? 1013 : this.#closeCode,
      );
    }
    this.#tally.displaced++;
    for (const it of rivals) {
      this.#closeByDaemon(it, this.#closeCode, connection.side);
    }
  }

  #schedule(connection: SideConnection, ms: number, run: () => void): void {
    this.#scheduler.schedule(ms, () => {
      if (!connection.isClosed) run();
    });
  }

  #failDial(
    connection: SideConnection,
    mayHaveReachedServer: boolean,
    status?: number,
  ): void {
    connection.isClosed = true;
    const { connectionId, side: { proxy } } = connection;
    this.#scheduler.schedule(1 + this.#scheduler.random() * 19, () => {
      if (!this.#connections.has(connection)) return;
      const reason = "the dial failed";
      const closed = { type: "closed", connectionId, code: 0, reason } as const;
      proxy.handle({
        ...closed,
        mayHaveReachedServer,
        ...(status && { status }),
      });
    });
  }

  /**
   * Closes a connection from the daemon's side.
   *
   * @param by the proxy whose new connection displaces it, if any
   */
  #closeByDaemon(
    connection: SideConnection,
    code: number,
    by?: ProxySide,
  ): void {
    if (connection.isClosed) return;
    connection.isClosed = true;
    const { connectionId, isAnswered, side } = connection;
    const { proxy } = side;
    const reason = by === undefined ? `code ${code}` : "replaced";
    // A close before the first response counts as a refusal, whatever the
    // daemon means by it.
    const refuses = code === 1008 && !isAnswered && this.#protocol !== "exai";
    this.#scheduler.schedule(this.#scheduler.random() * 5, () => {
      if (!this.#connections.has(connection)) return;
      const isTaken = by !== undefined && by !== side && isAnswered &&
        connectionId === proxy.mainConnectionId;
      if (isTaken) {
        const { now } = this.#scheduler;
        // The proxy may blame a request in flight for the close, even one of
        // its own.
        const isClear = !proxy.hasPendingRequests &&
          connection.pendingLists === 0;
        side.mustLogDisplacement ||=
          now - side.displacedAt < DISPLACED_TWICE_MS && isClear;
        if (isClear) side.displacedAt = now;
      }
      const closed = { type: "closed", connectionId, code, reason } as const;
      proxy.handle({ ...closed, mayHaveReachedServer: true }, { refuses });
    });
  }

  #sendToDaemon(side: ProxySide, connectionId: number, text: string): void {
    const connection = this.#connectionOf(side, connectionId)!;
    const { now, random } = this.#scheduler;
    const { id, method } = JSON.parse(text);
    const isOwnList = isProxyRequestId(id) && /\/list$/.test(method);
    if (isOwnList) connection.pendingLists++;
    const isFirst = connection.lastArrivalAt === 0;
    connection.lastArrivalAt = Math.max(
      connection.lastArrivalAt,
      now + 1 + random() * 20,
    );
    this.#schedule(connection, connection.lastArrivalAt - now, () => {
      if (isFirst && this.#decidesAtFirstFrame) this.#admit(connection);
      if (connection.isClosed) return;
      const answer = this.#daemon.respond(text, this.#scheduler.now);
      if (answer !== undefined) {
        this.#sendFromDaemon(connection, answer, isOwnList);
      }
    });
  }

  #sendFromDaemon(
    connection: SideConnection,
    text: string,
    isOwnList: boolean,
  ): void {
    const { now, random } = this.#scheduler;
    connection.lastResponseAt = Math.max(
      connection.lastResponseAt,
      now + 1 + random() * 28,
    );
    this.#schedule(connection, connection.lastResponseAt - now, () => {
      connection.isAnswered = true;
      if (isOwnList) connection.pendingLists--;
      const { connectionId, side: { proxy } } = connection;
      const frame = this.#messageHabits.formatFrame(JSON.parse(text));
      proxy.handle({ type: "frame", connectionId, text: frame });
    });
  }
}
