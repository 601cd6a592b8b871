/**
 * Who is owed an answer, until when, and may what was asked be sent again.
 *
 * @module
 */

import {
  type Account,
  due,
  dueAt,
  endWait,
  type Entry,
  type Expiry,
  type LedgerLimits,
  open,
  type Owed,
  shift,
} from "./entry.ts";
import { ByLink, inOrder } from "./by_link.ts";
import { HintWaits } from "./hint_waits.ts";
import {
  type Place,
  Queue,
  type Telling,
  telling,
  tellingQueued,
} from "./queue.ts";
import type { Limits } from "./timeouts.ts";
import type { Id, Notification, Request } from "../protocol/jsonrpc.ts";
import { LateAnswers } from "./late_responses.ts";
import type { LinkRole } from "../link/link.ts";
import { Ranked } from "./ranked.ts";
import { isCall, isStanding, isSubscription } from "../protocol/methods.ts";
import { type HasLink, updateWait, Waits } from "./waits.ts";

/** What becomes of a request whose link was lost: it is written again, at once or when the daemon confirms the tool's hint, given up, or asked about for so many milliseconds. */
export type Rescue =
  | "again"
  | "confirm"
  | "give up"
  | { readonly kind: "ask"; readonly limitMs: number };

/** How many lost links a request may have been in flight on before it counts as what kills the daemon. */
export const LOSS_LIMIT = 2;

/** All that is owed to the client, in the order in which it was asked. */
export class Ledger {
  readonly #limits: LedgerLimits;
  /** Keyed by id; a notification has a key that is no JSON text, so that it can meet no id. */
  readonly #accounts = new Map<string, Account<Request | Notification>>();
  readonly #queue: Queue;
  readonly #byToken = new Map<Id, Account<Request | Notification>>();
  readonly #inFlight = new ByLink();
  #count = 0;
  #subscriptions = 0;
  /** The requests that nobody waits for any more, and whose answers may still come. */
  readonly late: LateAnswers = new LateAnswers();
  /** The requests that wait for what a daemon says of their tools. */
  readonly hints: HintWaits;
  readonly #waits = new Waits();
  /** When each account falls due, or earlier. */
  readonly #alarms = new Ranked<Account<Request | Notification>>();

  /** An empty ledger; `place` says which links carry a message. */
  constructor(limits: LedgerLimits, place: Place = () => "main") {
    this.#limits = limits;
    this.#queue = new Queue(limits, place);
    this.hints = new HintWaits((key) => this.#accounts.get(key), (account) => {
      this.#queue.update(account);
      this.#wake(account);
    });
  }

  /** How many answers are owed. */
  get owed(): number {
    return this.#inFlight.size + this.#queue.requests;
  }

  /** How many answers are worth waiting for: none to a subscription, and from a daemon that is away none to a request that is held. */
  due(daemon: "there" | "away"): number {
    const { requests, transient, subscriptions } = this.#queue;
    const held = daemon === "away" ? requests - transient - subscriptions : 0;
    return this.owed - this.#subscriptions - held;
  }

  /** What is held for as long as the client wants waits again in its old place, because another link carries what comes. */
  move(epoch: number, now: number): void {
    for (const account of this.#inFlight.inOrder(epoch)) {
      if (isStanding(account.message.method)) this.#unsend(account, now);
    }
  }

  /** Whether a request waits to be written that will be given up one day. */
  get isWanting(): boolean {
    return this.#queue.transient > 0;
  }

  /** Whether a request waits to be written that an answer completes: any but a subscription. */
  get wantsAnswer(): boolean {
    return this.#queue.requests > this.#queue.subscriptions;
  }

  /** Whether a request of this id is in flight on a link. */
  isInFlight(id: Id, epoch: number): boolean {
    return this.#accounts.get(id)?.sentOn === epoch;
  }

  /** Whether the queue takes no further message. */
  isFull(message: Request | Notification): boolean {
    return this.#queue.isFull(message);
  }

  /** The request of this id whose answer is owed. */
  find(id: Id): Owed | undefined {
    return this.#accounts.get(id) as Owed | undefined;
  }

  /** Opens an account, which may wait for a link for so many milliseconds in all; the caller has checked that there is none under the same id. */
  add(
    message: Request | Notification,
    limits: Limits,
    now: number,
    queueMs: number = this.#limits.queueTimeout,
  ): void {
    const isHeld = isStanding(message.method);
    const order = ++this.#count;
    const key = message.kind === "request"
      ? message.id
      : `notification ${order}`;
    const most = isHeld ? Infinity : queueMs;
    const account = open(message, key, order, limits, now, most);
    this.#accounts.set(account.key, account);
    this.#subscriptions += isSubscribing(message) ? 1 : 0;
    if (account.token !== undefined) this.#byToken.set(account.token, account);
    this.#queue.add(account, now);
    this.#waits.add(account);
    this.#wake(account);
  }

  /** What waits to be written and for no moment, oldest first. */
  queue(): readonly Entry[] {
    return this.#queue.all();
  }

  /** What may be written now, oldest first, to links of the roles that are not full. */
  writable(full: ReadonlySet<LinkRole>): Iterable<Entry> {
    return this.#queue.writable(full);
  }

  /** How much may be written to the links of a role. */
  waiting(role: LinkRole): number {
    return this.#queue.count(role);
  }

  /** The entry of this key was written, and `number` is its place on the link; a notification is thereby settled. */
  sent(key: string, epoch: number, now: number, number = 0): void {
    const account = this.#accounts.get(key);
    if (account === undefined) return;
    if (account.message.kind === "notification") return this.#close(account);
    this.#queue.remove(account);
    this.#inFlight.add(epoch, account);
    // What opens the conversation still waits for a link that is ready.
    if (!account.isGreeting) endWait(account, now);
    // The next connection would have to confirm it again.
    if (account.hint !== undefined) this.hints.need(account.key, now);
    account.sentOn = epoch;
    account.sentAt = now;
    account.writes++;
    account.number = number;
    account.idleUntil = now + account.limits.idle.ms;
    this.#wake(account);
  }

  /** The same for the request that opens the conversation on a link. */
  greeted(key: string, epoch: number, now: number): void {
    const account = this.#accounts.get(key);
    if (account !== undefined) account.isGreeting = true;
    this.sent(key, epoch, now);
  }

  /** How many answers are owed on a link. */
  inFlight(epoch: number): number {
    return this.#inFlight.count(epoch);
  }

  /** Whether a call is in flight on a link. */
  hasCall(epoch: number): boolean {
    return this.#inFlight.hasCall(epoch);
  }

  /** Whether the daemon may be working on a call there, also on one that nobody waits for any more. */
  isBusy(epoch: number): boolean {
    return this.#inFlight.hasCall(epoch) || this.late.isWorking(epoch);
  }

  /** The place of the last of those calls; 0 for none. */
  lastCall(epoch: number): number {
    let last = this.late.last(epoch);
    for (const number of this.#inFlight.numbers(epoch)) {
      last = Math.max(last, number);
    }
    return last;
  }

  /**
   * The daemon has answered a probe on a link.
   *
   * @param number the probe's place in the order of what was written
   * @returns whether a call that was written before the probe is in flight
   */
  overtaken(epoch: number, number: number): boolean {
    this.late.overtaken(epoch, number);
    for (const call of this.#inFlight.numbers(epoch)) {
      if (call < number) return true;
    }
    return false;
  }

  /** The requests that are in flight on a link, in the order in which they were written. */
  sentOn(epoch: number): Iterable<Owed> {
    return this.#inFlight.of(epoch) as Iterable<Owed>;
  }

  /** Closes the account of an answer that came on a link; `undefined` where none is owed there. */
  settle(id: Id, epoch: number): Owed | undefined {
    return this.isInFlight(id, epoch) ? this.cancel(id) : undefined;
  }

  /** Closes the account of a request that the client no longer wants. */
  cancel(id: Id): Owed | undefined {
    const account = this.find(id);
    if (account !== undefined) this.#close(account);
    return account;
  }

  /**
   * No one waits any more for a request that was written to a link, but its
   * answer may still come there.
   *
   * @param overtakenTo the place of the latest probe there that was answered
   */
  awaitLateAnswer(
    { message, number }: Pick<Owed, "message" | "number">,
    epoch: number,
    overtakenTo: number,
    now: number,
  ): void {
    const { id, method } = message;
    this.late.add(id, epoch);
    const isWork = isCall(method) && number > overtakenTo;
    if (isWork) this.late.works(id, epoch, number, now);
  }

  /** The daemon is at a request that is in flight on a link. */
  working(id: Id, epoch: number, now: number): void {
    if (!this.isInFlight(id, epoch)) return;
    const account = this.#accounts.get(id)!;
    account.idleUntil = now + account.limits.idle.ms;
    account.said = { at: now, value: account.said?.value };
  }

  /** The daemon says how long a request may take from now on; that counts where nothing else limits it. */
  limit(id: Id, ms: number, now: number): void {
    const account = this.#accounts.get(id);
    if (account === undefined) return;
    // It has begun with it.
    account.refusedSince = undefined;
    if (account.totalUntil < Infinity) return;
    account.daemonUntil = now + ms;
    account.daemonLimit = ms;
    this.#wake(account);
  }

  /** A request in flight on a link waits again in its old place, to be asked about when the pause is over, and for so long at most if nothing else limits it. */
  askLater(
    id: Id,
    epoch: number,
    now: number,
    { pauseMs, limitMs }: {
      readonly pauseMs: number;
      readonly limitMs: number;
    },
  ): void {
    if (!this.isInFlight(id, epoch)) return;
    const account = this.#accounts.get(id)!;
    account.isHeld = true;
    if (Math.min(account.totalUntil, account.daemonUntil) === Infinity) {
      this.limit(id, limitMs, now);
    }
    this.#postpone(account, now, now + pauseMs);
  }

  /** The same, to be written anew: the daemon has no room for it; `over` where that has lasted as long as an answer may. */
  tryLater(
    id: Id,
    epoch: number,
    now: number,
    pauseMs: number,
  ): "waits" | "over" {
    if (!this.isInFlight(id, epoch)) return "waits";
    const account = this.#accounts.get(id)!;
    account.refusedSince ??= now;
    account.isHeld = false;
    account.writes = 0;
    account.daemonUntil = Infinity;
    const until = now + pauseMs;
    this.#postpone(account, now, until);
    const end = account.refusedSince + account.limits.idle.ms;
    return account.totalUntil === Infinity && now >= end ? "over" : "waits";
  }

  /** A request in flight on a link is written again, in its old place. */
  repeat(id: Id, now: number): void {
    const account = this.#accounts.get(id);
    if (account !== undefined) this.#postpone(account, now, now);
  }

  #postpone(
    account: Account<Request | Notification>,
    now: number,
    until: number,
  ): void {
    this.#unsend(account, now);
    account.notBefore = until;
    this.#queue.update(account);
    this.#wake(account);
  }

  /** What was to be asked about a request is known: it is written as if it never had been. */
  release(id: Id): void {
    const account = this.#accounts.get(id);
    if (account === undefined) return;
    account.isHeld = false;
    account.daemonUntil = Infinity;
  }

  /** Whether a progress value belongs to a request in flight on a link, and has risen, which only matters once it was written again. */
  progress(
    token: Id | undefined,
    value: unknown,
    epoch: number,
    now: number,
  ): boolean {
    if (token === undefined || typeof value !== "number") return false;
    const account = this.#byToken.get(token);
    if (account === undefined || account.sentOn !== epoch) return false;
    account.idleUntil = now + account.limits.idle.ms;
    account.said = { at: now, value };
    if (account.writes > 1 && !(value > account.progress)) return false;
    account.progress = Math.max(account.progress, value);
    return true;
  }

  /** The waits of all that is in the queue begin or end, as it has a link that is ready or none. */
  updateWaits(now: number, hasLink: HasLink): void {
    this.#waits.take();
    for (const account of this.#accounts.values()) {
      if (updateWait(account, now, hasLink)) this.#wake(account);
    }
  }

  /** Whether something has come into the queue since. */
  get hasNewWaits(): boolean {
    return this.#waits.hasNew;
  }

  /** The waits of what has come into the queue since begin or end. */
  updateNewWaits(now: number, hasLink: HasLink): void {
    for (const account of this.#waits.take()) {
      const isOpen = this.#accounts.get(account.key) === account;
      if (isOpen && updateWait(account, now, hasLink)) this.#wake(account);
    }
  }

  /**
   * A link was lost: what may be repeated waits again in its old place.
   *
   * @returns the requests that are given up, whose accounts are closed
   */
  lost(
    epoch: number,
    now: number,
    rescue: (request: Request) => Rescue,
  ): Owed[] {
    this.late.lost(epoch);
    const given: Owed[] = [];
    this.hints.lost(epoch, now);
    for (const account of this.#inFlight.inOrder(epoch)) {
      const message = account.message as Request;
      account.losses++;
      // What opens the conversation opens it on every link.
      if (!account.isGreeting) {
        const isHarmless = account.losses < LOSS_LIMIT ||
          isStanding(message.method);
        const chance = isHarmless ? rescue(message) : "give up";
        if (chance === "give up") {
          this.#close(account);
          given.push(account as Owed);
          continue;
        }
        account.isHeld = typeof chance === "object";
        if (chance === "confirm") this.hints.need(account.key, now);
        if (typeof chance === "object" && account.totalUntil === Infinity) {
          account.daemonUntil = now + chance.limitMs;
          account.daemonLimit ??= chance.limitMs;
        }
      }
      this.#unsend(account, now);
    }
    return given;
  }

  #unsend(account: Account<Request | Notification>, now: number): void {
    this.#inFlight.delete(account.sentOn!, account);
    account.sentOn = undefined;
    account.isGreeting = false;
    account.idleUntil = Infinity;
    this.#queue.add(account, now);
    this.#waits.add(account);
    this.#wake(account);
  }

  /** The clients that are to be told now what their requests wait for; {@linkcode expire} must follow. */
  telling(now: number): Iterable<Telling> {
    const due = inOrder(this.#alarms.take(now));
    const told = tellingQueued(due, now);
    for (const account of due) this.#wake(account);
    return told;
  }

  /** The clients whose calls are in flight on a link that is under suspicion, and who are to be told so. */
  suspecting(epoch: number, now: number): Iterable<Telling> {
    if (this.#limits.waitProgress === "off") return [];
    return telling(this.#inFlight.inOrder(epoch), now);
  }

  /** Every moment that is awaited comes so much later: the program slept. */
  shift(ms: number): void {
    this.late.shift(ms);
    for (const account of this.#accounts.values()) shift(account, ms);
    this.#alarms.shift(ms);
  }

  /** When the next account falls due, or earlier. */
  deadline(): number {
    return Math.min(this.#alarms.least, this.late.deadline());
  }

  /** Closes every account that is due. */
  expire(now: number): { entry: Entry; expiry: Expiry }[] {
    this.late.advance(now);
    const expired: { entry: Entry; expiry: Expiry }[] = [];
    for (const account of inOrder(this.#alarms.take(now))) {
      if (account.notBefore !== undefined && now >= account.notBefore) {
        account.notBefore = undefined;
        this.#queue.update(account);
      }
      const expiry = due(account, now);
      if (expiry === undefined) {
        this.#wake(account);
      } else {
        this.#close(account);
        expired.push({ entry: account, expiry });
      }
    }
    return expired;
  }

  /** Closes every account, because the program ends. */
  drain(): Entry[] {
    const entries = [...this.#accounts.values()];
    for (const account of entries) this.#close(account);
    return entries;
  }

  #close(account: Account<Request | Notification>): void {
    this.#accounts.delete(account.key);
    this.#alarms.delete(account);
    this.hints.forget(account);
    this.#subscriptions -= isSubscribing(account.message) ? 1 : 0;
    const { token } = account;
    if (token !== undefined && this.#byToken.get(token) === account) {
      this.#byToken.delete(token);
    }
    if (account.sentOn === undefined) this.#queue.remove(account);
    else this.#inFlight.delete(account.sentOn, account);
  }

  #wake(account: Account<Request | Notification>): void {
    this.#alarms.set(account, dueAt(account));
  }
}

function isSubscribing({ kind, method }: Request | Notification): boolean {
  return kind === "request" && isSubscription(method);
}
