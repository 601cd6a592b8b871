/**
 * What the rooms of a session share: its books, and the list of what is to be
 * done.
 *
 * @module
 */

import { type Listing } from "../protocol/lists.ts";
import { Asked } from "../requests/server_requests.ts";
import { Awaited, type Until } from "../requests/awaited.ts";
import {
  Capacity,
  type ConnectionsSetting,
  type Keeps,
} from "../link/capacity.ts";
import { Catalog } from "./known_lists.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { Drops } from "./dropped_notifications.ts";
import type { Effect } from "../events.ts";
import * as fault from "./errors.ts";
import type { Fate, Outage } from "./errors.ts";
import type { Entry, LedgerLimits } from "../requests/entry.ts";
import {
  type Answer,
  type Id,
  type Notification,
  oneLine,
  type Request,
} from "../protocol/jsonrpc.ts";
import { Hints } from "../requests/tool_hints.ts";
import { IdTypes } from "../protocol/id_types.ts";
import { Ledger, type Rescue } from "../requests/tracker.ts";
import type { Link, LinkLimits, Traffic } from "../link/link.ts";
import { Links } from "../link/link_set.ts";
import { ClientIds } from "./client_ids.ts";
import { Memory, type Remembered } from "../cache/cache.ts";
import type { HasLink } from "../requests/waits.ts";
import * as report from "./log_messages.ts";
import { type Hide, hider, hiderOf } from "../config/secrets.ts";
import { Tasks } from "../requests/tasks.ts";
import { OneWay } from "../requests/one_way.ts";
import { isSafe, isStanding, type RetryPolicy } from "../protocol/methods.ts";
import {
  type DeadlineConfig,
  type Limit,
  type Limits,
  limitsOf,
} from "../requests/timeouts.ts";

/** The settings that a session follows; durations in milliseconds, `Infinity` for no limit. */
export interface SessionConfig
  extends LinkLimits, LedgerLimits, DeadlineConfig {
  /** The daemon's URL as it may be shown: without secrets. */
  readonly shownUrl: string;
  /** What is taken out of the daemon's words before they are shown, and out of what is kept. */
  readonly secrets: readonly string[];
  /** What is taken out of its words only. */
  readonly users: readonly string[];
  /** How long to go on without a link. */
  readonly giveUpAfter: number;
  /** Which requests may be written a second time. */
  readonly retry: RetryPolicy;
  /** The largest message, either way, in UTF-16 units of its text. */
  readonly maxMessage: number;
  /** How the daemon speaks. */
  readonly dialect: string;
  /** How long an `initialize` waits for the daemon before the client is told that it is not there, in milliseconds. */
  readonly initializeGrace: number;
  /** What is remembered of the daemon; `undefined` where nothing may be. */
  readonly remembered: Remembered | undefined;
  /** This program's version. */
  readonly version: string;
  /** How many connections the daemon keeps for a client, if that is set. */
  readonly connections: ConnectionsSetting;
  /** A file in which the daemon says that it lives, if there is one. */
  readonly healthFile: string | undefined;
}

/** How long a request may wait for a daemon that has been away for longer than one usually may: a container needs 10 to 15 s to boot. */
const CIRCUIT_MS = 20_000;

/** How much of what a daemon says about itself is shown, in UTF-16 units. */
const WORDS_LIMIT = 400;

/** A request that can be answered without the daemon, if that does not come. */
export interface Grace extends Until {
  /** The request. */
  readonly request: Request;
}

/** The end of a subscription that waits to be told. */
export interface Ending extends Until {
  /** The request. */
  readonly message: Request;
  /** The epoch of the link that it is in flight on. */
  readonly epoch: number;
  /** How the daemon said it. */
  readonly words: Answer | Notification;
}

/** A request whose answer could not be understood, and that waits for a proper one. */
export interface Unclear extends Until {
  /** The request. */
  readonly message: Request;
  /** The epoch of the link that it was written to. */
  readonly epoch: number;
  /** Its place in the order of what was written there. */
  readonly number: number;
  /** What came instead of an answer. */
  readonly words: string;
  /** The proxy's own requests that could be meant as well. */
  readonly others: readonly Id[];
}

/** The books of a session. */
export class Desk {
  /** The settings. */
  readonly config: SessionConfig;
  /** How the daemon speaks. */
  readonly dialect: Dialect;
  /** What is owed to the client. */
  readonly ledger: Ledger;
  /** The links to the daemon. */
  readonly links: Links;
  /** What the client was told of the daemon's lists. */
  readonly catalog: Catalog = new Catalog();
  /** What the log says of notifications that are dropped. */
  readonly drops: Drops = new Drops();
  /** Which tools may be called twice. */
  readonly hints: Hints = new Hints();
  /** What the client owes to the daemon. */
  readonly asked: Asked = new Asked();
  /** Which request an id of the daemon's means. */
  readonly ids: ClientIds;
  /** The JSON types of its progress tokens. */
  readonly tokens: IdTypes = new IdTypes();
  /** What was written that no answer comes to. */
  readonly oneWay: OneWay = new OneWay();
  /** The requests whose answers could not be understood. */
  readonly unclear: Awaited<Unclear> = new Awaited();
  /** Those that were written once more because of that. */
  readonly repeated: WeakSet<Request> = new WeakSet();
  /** How many connections the daemon keeps for a client. */
  readonly capacity: Capacity;
  /** Whether a request was written that is neither the client's opening nor a list. */
  hasCalled = false;
  /** Whether the daemon has answered a probe on any connection. */
  answersProbes = false;
  /** Whether the daemon answers a probe while it is at a call; `undefined` as long as no call has shown it. */
  answersDuringCalls: boolean | undefined;
  /** The epochs of connections on which the daemon does not read. */
  readonly unread: Set<number> = new Set();
  /** How often the daemon became usable. */
  connections = 0;
  /** What the client calls itself, as soon as it has said so. */
  client: string | undefined;
  /** What is remembered of the daemon; `undefined` where nothing may be. */
  readonly memory: Memory | undefined;
  /** Takes secrets out of the daemon's words. */
  readonly hide: Hide;
  /** The requests that wait for the daemon although they can be answered without it, and for how long. */
  readonly graces: Awaited<Grace> = new Awaited();
  /** The ends of subscriptions that came just now: a daemon that is going away says the same. */
  readonly endings: Awaited<Ending> = new Awaited();
  /** What the daemon has failed to list for a comparison, how often, and when it is asked again. */
  readonly unlisted: Map<Listing, Until & { readonly failures: number }> =
    new Map();
  /** What goes on after its request was answered. */
  readonly tasks: Tasks = new Tasks();
  /** The client was told something made up, and has not heard better since. */
  isMadeUp = false;
  /** It was at the beginning. */
  wasMadeUp = false;
  #effects: Effect[] = [];
  /** Whether messages had a link at the last update of the waits. */
  #hasMain = false;
  #hasPool = false;

  /** Empty books, and one link that wants to be dialed. */
  constructor(
    config: SessionConfig,
    dialect: Dialect,
    random: () => number,
    now: number,
  ) {
    this.config = config;
    this.dialect = dialect;
    this.ledger = new Ledger(config, (message) => dialect.place(message));
    this.ids = new ClientIds(this.ledger);
    this.capacity = new Capacity(config.connections);
    const { remembered } = config;
    this.hide = hiderOf(config);
    this.memory = remembered &&
      new Memory(remembered, now, hider(config.secrets));
    this.links = new Links(config, random, now);
    dialect.useClientIds(this.ids);
  }

  /** The daemon's own words, not all of them, and without a secret that it quotes. */
  words(text: string): string {
    return this.hide(text).slice(0, WORDS_LIMIT);
  }

  /** Says in the log that the daemon, in whose words, is not where the old one was. */
  regret(trouble: string): void {
    this.do(report.notRestored(this.words(trouble)));
  }

  /** Puts an effect on the list, if there is one. */
  do(effect: Effect | undefined): void {
    if (effect !== undefined) this.#effects.push(effect);
  }

  /** Puts a line for the client on the list. */
  reply(text: string): void {
    this.do({ type: "reply", text: oneLine(text) });
  }

  /** The daemon can be used: for the first time, or again. */
  connected(
    again: { readonly attempt: number; readonly downMs: number },
  ): void {
    const isAgain = this.connections++ > 0;
    const { shownUrl } = this.config;
    this.do(report.connected(shownUrl, isAgain ? again : undefined));
  }

  /** Puts a request for the daemon on the list; gives its place in the order of what was written on the link. */
  send({ epoch, liveness }: Link, text: string): number {
    this.do({ type: "send", epoch, text });
    return liveness?.wrote() ?? 0;
  }

  /** The same for what no answer comes to: a notification, or an answer. */
  tell(link: Link, text: string): number {
    const place = this.send(link, text);
    this.oneWay.wrote(link.epoch, place);
    return place;
  }

  /** Whether a link seems to be dead, and nobody waits for the calls on it any more, so that nothing is risked. */
  isDeadWithoutCallers({ epoch, liveness }: Link, now: number): boolean {
    const { ledger } = this;
    const isAbandoned = !ledger.hasCall(epoch) && ledger.isBusy(epoch);
    return isAbandoned && liveness !== undefined &&
      liveness.seemsDead(ledger.lastCall(epoch), now);
  }

  /** How many connections the daemon keeps; for exai calls have connections of their own. */
  get keeps(): Keeps | "unknown" {
    return this.dialect.poolSize > 0 ? "many" : this.capacity.keeps;
  }

  /** It keeps one, which is remembered for the next time. */
  rememberOne(now: number): void {
    const { memory } = this;
    if (memory === undefined) return;
    memory.learnOne(this.dialect.server ?? "", now);
    this.do({ type: "remember", learned: memory.learned(now) });
  }

  /** Does something; a bug of ours in it is logged, and costs no more than what `mend` says. */
  guard(run: () => void, mend: () => void = () => {}): void {
    try {
      run();
    } catch (error) {
      this.do(report.bug(error));
      mend();
    }
  }

  /** The list so far, which begins anew. */
  take(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** The first of the moments that something here waits for. */
  deadline(): number {
    let at = Infinity;
    for (const { until } of this.unlisted.values()) at = Math.min(at, until);
    for (const { earliest } of [this.graces, this.endings, this.unclear]) {
      at = Math.min(at, earliest);
    }
    return at;
  }

  /** Every moment comes so much later: the program slept. */
  shift(ms: number): void {
    for (const it of this.unlisted.values()) it.until += ms;
    for (const it of [this.graces, this.endings, this.unclear]) it.shift(ms);
  }

  /** The daemon's tools, or a page of them, came on a link. */
  learnTools(link: Link, cursor: string | undefined, result: unknown): void {
    this.hints.learn(link.epoch, cursor, result);
    this.ledger.hints.heard(link.epoch);
  }

  /** What a link is wanted for and busy with. */
  traffic(link: Link): Traffic {
    const { role } = link;
    const { isWanted, isUrgent } = this.#demand(link);
    return {
      isWanted,
      isUrgent,
      load: this.#load(link),
      // Where calls have connections of their own, the daemon need not answer on them.
      mayProbe: role !== "pool",
      mayFailOver: role === "main" && this.keeps === "many",
    };
  }

  #demand(link: Link): Pick<Traffic, "isWanted" | "isUrgent"> {
    switch (link.role) {
      case "pool": {
        const isWanted = this.links.isUp && this.ledger.waiting("pool") > 0;
        // A daemon that takes no further connection is not dialed on demand.
        return { isWanted, isUrgent: isWanted && !this.links.hasReady("pool") };
      }
      case "main": {
        // What is held would else wait for another request for ever.
        const isWanted = link.isDisplaced
          ? this.ledger.wantsAnswer
          : this.ledger.isWanting;
        return { isWanted, isUrgent: isWanted };
      }
      default: {
        const isWanted = this.ledger.isWanting;
        return { isWanted, isUrgent: isWanted && !this.links.isUp };
      }
    }
  }

  #load({ epoch, liveness, role }: Link): Traffic["load"] {
    // After a sleep nothing is risked for calls that nobody waits for.
    const isBusy = role === "draining" || liveness?.isStale === true
      ? this.ledger.hasCall(epoch)
      : this.ledger.isBusy(epoch);
    if (isBusy) return "busy";
    if (this.dialect.poolSize > 0) {
      for (const other of this.links) {
        if (this.ledger.hasCall(other.epoch)) return "elsewhere";
      }
    }
    return this.dialect.isAsking(epoch) ? "restoring" : "idle";
  }

  /** How long a message may take. */
  limitsOf(message: Request | Notification): Limits {
    return limitsOf(message, this.config);
  }

  /** How long a request that comes now may wait for a link, in milliseconds. */
  patience(now: number): number {
    const { queueTimeout } = this.config;
    return this.isOpen(now) ? Math.min(queueTimeout, CIRCUIT_MS) : queueTimeout;
  }

  /** Whether the daemon has been away for longer than a request may wait. */
  isOpen(now: number): boolean {
    return now - this.links.downSince > this.config.queueTimeout;
  }

  /** Whether the daemon is known to be away: a dial has failed, or what was ready is lost and not open again. */
  get isAway(): boolean {
    const { phase, attempt } = this.links.main;
    const failures = phase === "waiting" ? attempt : attempt - 1;
    return (phase === "waiting" || phase === "dialing") &&
      (this.connections > 0 || failures > 0);
  }

  /** How many answers are owed that are worth waiting for at the end: a subscription has none, and what is held none from a daemon that is away. */
  get due(): number {
    return this.ledger.due(this.isAway ? "away" : "there");
  }

  /** Whether a message only waits for its turn: the daemon is there, and nothing was lost. */
  isTurn(message: Request | Notification): boolean {
    const missing = this.links.missing(this.dialect.place(message));
    return this.links.isUp && missing?.lastFailure === undefined;
  }

  /** The link on which the daemon refuses us, if that is why a message waits; a second connection is refused for itself alone. */
  refusing(message: Request | Notification): Link | undefined {
    const missing = this.links.missing(this.dialect.place(message));
    const isRefused = missing?.refusal !== undefined &&
      missing.role !== "standby";
    return isRefused ? missing : undefined;
  }

  /** What becomes of a request in flight when its link is lost. */
  rescue(request: Request, now: number): Rescue {
    const limitMs = this.dialect.askingMs(request, now);
    if (limitMs !== undefined) return { kind: "ask", limitMs };
    if (!this.mayRepeat(request)) return "give up";
    return this.needsHint(request) ? "confirm" : "again";
  }

  /** Whether a request may be written a second time only because the daemon says so of its tool. */
  needsHint({ method }: Request): boolean {
    return this.config.retry === "safe" && method === "tools/call";
  }

  /** The waits of what is in the queue begin or end: it waits while no link is ready for it. */
  updateWaits(now: number): void {
    const { isUp, main } = this.links;
    const hasMain = isUp && !this.unread.has(main.epoch);
    // Without a main link there is no further one of the pool.
    const hasPool = isUp && this.dialect.poolSize > 0 &&
      this.links.ready("pool", ({ epoch }) => !this.unread.has(epoch)) !==
        undefined;
    const isSame = hasMain === this.#hasMain && hasPool === this.#hasPool;
    if (isSame && !this.ledger.hasNewWaits) return;
    const hasLink: HasLink = (message) =>
      this.dialect.place(message) === "pool" ? hasPool : hasMain;
    this.#hasMain = hasMain;
    this.#hasPool = hasPool;
    if (isSame) this.ledger.updateNewWaits(now, hasLink);
    else this.ledger.updateWaits(now, hasLink);
  }

  /** Whether a request may be written a second time. */
  mayRepeat(request: Request): boolean {
    if (isStanding(request.method)) return true;
    const { retry } = this.config;
    return retry === "safe" ? this.#isSafe(request) : retry === "always";
  }

  /** What became of a request; by default it has only just come. */
  fate(
    request: Request,
    entry: fault.History = fault.NEW,
  ): Fate {
    const isUnconfirmed = entry.hint !== undefined &&
      entry.sentOn === undefined;
    return {
      request,
      isSafe: this.#isSafe(request) && !isUnconfirmed,
      isUnconfirmed,
      isSent: entry.sentOn !== undefined || entry.isHeld,
      wasSent: entry.writes > 0,
      losses: entry.losses,
    };
  }

  #isSafe(request: Request): boolean {
    return isSafe(request, (tool) => this.hints.isRepeatable(tool));
  }

  /** The error for a request that no link came for in time. */
  unserved(
    request: Request,
    entry: Omit<Entry, "message">,
    now: number,
  ): string {
    const fate = this.fate(request, entry);
    if (entry.isHeld) return fault.outcomeUnknown(fate, "connection_lost");
    const missing = this.links.missing(this.dialect.place(request));
    return fault.unavailable(
      fate,
      this.outage(missing ?? this.links.main, now),
    );
  }

  /** The error for a request whose `limit` has passed. */
  timedOut(
    request: Request,
    entry: Omit<Entry, "message">,
    limit: Limit,
    now: number,
  ): string {
    const { arrived, said } = entry;
    return fault.timedOut(
      this.fate(request, entry),
      limit,
      now - arrived,
      said && { agoMs: now - said.at, value: said.value },
    );
  }

  /** What is known of a link that is down. */
  outage(link: Link, now: number): Outage {
    const until = link.deadline(this.traffic(link));
    const isWaiting = link.phase === "waiting";
    return {
      url: this.config.shownUrl,
      isUnread: this.unread.has(link.epoch),
      lastFailure: this.links.main.liveness?.isSuspect
        ? report.silence("ready")
        : link.lastFailure,
      refusal: link.refusal,
      attempt: link.attempt,
      downMs: now - link.downSince,
      retryAfterMs: isWaiting ? Math.max(0, until - now) : undefined,
    };
  }
}
