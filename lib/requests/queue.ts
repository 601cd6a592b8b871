/**
 * What waits to be written, oldest first.
 *
 * @module
 */

import { type Account, type Entry, type LedgerLimits, tell } from "./entry.ts";
import { inOrder } from "./by_link.ts";
import type { LinkRole } from "../link/link.ts";
import type { Id, Notification, Request } from "../protocol/jsonrpc.ts";
import { Ranked } from "./ranked.ts";
import { isStanding, isSubscription } from "../protocol/methods.ts";

/** How much text may wait unwritten, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;
/** How long a client waits before it is told what for, in milliseconds. */
const TELL_MS = 1_000;

/** What may wait to be written. */
export type Carried = Request | Notification;

/** Which links carry a message. */
export type Place = (message: Carried) => LinkRole;

/** What a client is told while its request waits. */
export interface Telling {
  /** The request. */
  readonly message: Request;
  /** The client's progress token. */
  readonly token: Id;
  /** The progress: so little that the daemon's own is still more. */
  readonly progress: number;
}

/** The messages that wait. */
export class Queue {
  readonly #limits: LedgerLimits;
  readonly #place: Place;
  readonly #accounts = new Set<Account<Carried>>();
  /** What may be written, by the links that carry it, the oldest first. */
  readonly #lanes = new Map<LinkRole, Ranked<Account<Carried>>>();
  #text = 0;
  #requests = 0;
  #transient = 0;
  #subscriptions = 0;

  /** An empty queue. */
  constructor(limits: LedgerLimits, place: Place) {
    this.#limits = limits;
    this.#place = place;
  }

  /** How many requests wait. */
  get requests(): number {
    return this.#requests;
  }

  /** How many of them will be given up one day: a subscription, say, is held for as long as the client wants. */
  get transient(): number {
    return this.#transient;
  }

  /** How many of the requests are subscriptions. */
  get subscriptions(): number {
    return this.#subscriptions;
  }

  /** Whether there is no room for a further message; there is more for those that must not be refused. */
  isFull({ method, text }: Carried): boolean {
    const { size } = this.#accounts;
    const share = isStanding(method) ? 2 : 1;
    return size >= this.#limits.queueLimit * share ||
      // What waits for nothing meets no queue.
      size > 0 && this.#text + text.length > QUEUE_TEXT_LIMIT * share;
  }

  /** Adds a message: what waits again is older than what came since. */
  add(account: Account<Carried>, now: number): void {
    this.#accounts.add(account);
    this.#text += account.message.text.length;
    this.#count(account, 1);
    const isTold = account.token !== undefined &&
      this.#limits.waitProgress === "on";
    account.tellAt = isTold ? now + TELL_MS : Infinity;
    account.isParked = false;
    this.update(account);
  }

  /** Takes a message out. */
  remove(account: Account<Carried>): void {
    this.#accounts.delete(account);
    this.#text -= account.message.text.length;
    this.#count(account, -1);
    this.update(account);
  }

  #count({ message }: Entry, by: 1 | -1): void {
    if (message.kind !== "request") return;
    this.#requests += by;
    if (!isStanding(message.method)) this.#transient += by;
    if (isSubscription(message.method)) this.#subscriptions += by;
  }

  /** It is, or is not, what may be written. */
  update(account: Account<Carried>): void {
    const role = this.#place(account.message);
    const lane = this.#lanes.get(role) ?? new Ranked();
    this.#lanes.set(role, lane);
    const isReady = this.#accounts.has(account) && !account.isParked &&
      account.notBefore === undefined;
    lane.set(account, isReady ? account.order : Infinity);
  }

  /** Everything but what is to wait for a moment, oldest first. */
  all(): Account<Carried>[] {
    return inOrder(this.#accounts)
      .filter(({ notBefore }) => notBefore === undefined);
  }

  /** How much may be written to the links of a role. */
  count(role: LinkRole): number {
    return this.#lanes.get(role)?.size ?? 0;
  }

  /**
   * What may be written now, oldest first. What the caller leaves is passed
   * over; what is behind it is not looked at once the caller has put the role
   * of the links among those that are full.
   */
  *writable(full: ReadonlySet<LinkRole>): Iterable<Entry> {
    const passed: Account<Carried>[] = [];
    try {
      for (;;) {
        const role = this.#next(full);
        if (role === undefined) return;
        const lane = this.#lanes.get(role)!;
        const account = lane.first!;
        yield account;
        if (full.has(role) || lane.first !== account) continue;
        lane.delete(account);
        passed.push(account);
      }
    } finally {
      for (const account of passed) this.update(account);
    }
  }

  /** The role whose first message is the oldest. */
  #next(full: ReadonlySet<LinkRole>): LinkRole | undefined {
    let next: LinkRole | undefined;
    let oldest = Infinity;
    for (const [role, { least }] of this.#lanes) {
      if (least >= oldest || full.has(role)) continue;
      next = role;
      oldest = least;
    }
    return next;
  }
}

/** The clients that are to be told now what their requests wait for, of those for which that may be so. */
export function tellingQueued(
  accounts: Iterable<Account<Carried>>,
  now: number,
): Telling[] {
  const due = [...accounts].filter(({ sentOn, tellAt }) =>
    sentOn === undefined && now >= tellAt
  );
  return [...telling(due, now, ({ waitsSince }) => waitsSince !== undefined)];
}

/** The clients that have given a token for one of these messages, and what they are told now. */
export function* telling(
  accounts: Iterable<Account<Carried>>,
  now: number,
  isWaiting: (account: Entry) => boolean = () => true,
): Iterable<Telling> {
  for (const account of accounts) {
    const { message, token } = account;
    if (token === undefined) continue;
    const progress = tell(account, now);
    if (message.kind !== "request" || progress === undefined) continue;
    if (!isWaiting(account)) continue;
    account.progress = progress;
    yield { message, token, progress };
  }
}
