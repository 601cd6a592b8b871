/**
 * What waits to be written, oldest first.
 *
 * @module
 */

import {
  type Account,
  type Entry,
  type LedgerLimits,
  tell,
} from "./account.ts";
import type { Id, Notification, Request } from "./jsonrpc.ts";
import { isStanding, isSubscription } from "./safety.ts";

/** How much text may wait unwritten, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;
/** How long a client waits before it is told what for, in milliseconds. */
const TELL_MS = 1_000;

/** What may wait to be written. */
export type Carried = Request | Notification;

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
  #accounts = new Set<Account<Carried>>();
  #text = 0;
  #requests = 0;
  #transient = 0;
  #subscriptions = 0;

  /** An empty queue. */
  constructor(limits: LedgerLimits) {
    this.#limits = limits;
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

  /** Adds a message behind all others. */
  add(account: Account<Carried>, now: number): void {
    this.#accounts.add(account);
    this.#text += account.message.text.length;
    this.#count(account, 1);
    const isTold = account.token !== undefined &&
      this.#limits.waitProgress === "on";
    account.tellAt = isTold ? now + TELL_MS : Infinity;
  }

  /** Takes a message out. */
  remove(account: Entry): void {
    this.#accounts.delete(account);
    this.#text -= account.message.text.length;
    this.#count(account, -1);
  }

  #count({ message }: Entry, by: 1 | -1): void {
    if (message.kind !== "request") return;
    this.#requests += by;
    if (!isStanding(message.method)) this.#transient += by;
    if (isSubscription(message.method)) this.#subscriptions += by;
  }

  /** Brings the messages into the order of all accounts: what waits again is older than what came since. */
  sort(all: IteratorObject<Account<Carried>>): void {
    this.#accounts = new Set(all.filter(({ sentOn }) => sentOn === undefined));
  }

  /** What may be written now. */
  *ready(): Iterable<Entry> {
    for (const account of this.#accounts) {
      if (account.notBefore === undefined) yield account;
    }
  }

  /** The clients that are to be told now what their requests wait for. */
  telling(now: number): Iterable<Telling> {
    const due = this.#accounts.values().filter(({ tellAt }) => now >= tellAt);
    return telling(due, now, ({ waitsSince }) => waitsSince !== undefined);
  }
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
