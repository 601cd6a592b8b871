/**
 * What the ledger knows of one message, and when it falls due.
 *
 * @module
 */

import type { Id, Notification, Request } from "./jsonrpc.ts";

/** The settings that bound what is owed; durations in milliseconds, `Infinity` for no limit. */
export interface LedgerLimits {
  /** How long a request may wait while no link is ready. */
  readonly queueTimeout: number;
  /** How many messages may wait. */
  readonly queueLimit: number;
  /** How long an answer may take, with the time in the queue. */
  readonly requestTimeout: number;
  /** How long a written request may stay without an answer or progress. */
  readonly idleTimeout: number;
}

/** A request that is owed an answer, or a notification that waits to be written. */
export type Entry<M extends Request | Notification = Request | Notification> =
  Readonly<Account<M>>;

/** A request whose answer is owed. */
export type Owed = Entry<Request>;

/** Why the ledger closed a request's account. */
export type Expiry = "unavailable" | "total" | "daemon" | "idle";

/** What the ledger knows of one message. */
export interface Account<M extends Request | Notification> {
  /** The message. */
  readonly message: M;
  /** The id; for a notification something that is no JSON text, so that it can meet no id. */
  readonly key: string;
  /** When it came. */
  readonly arrived: number;
  /** The progress token that the client gave. */
  readonly token: Id | undefined;
  /** The epoch of the link it was written to; `undefined` while it waits. */
  sentOn: number | undefined;
  /** It opened the conversation on that link, which is not ready before the answer. */
  isGreeting: boolean;
  /** How many links were lost while it was in flight. */
  losses: number;
  /** It waits, but not to be done: what became of it is to be asked. */
  isHeld: boolean;
  /** When it may be written again, if not now. */
  notBefore: number | undefined;
  /** The last progress value that went to the client (MCP: it must increase with each notification). */
  progress: number;
  /** When it will have waited too long for a link. */
  queuedUntil: number;
  /** When it will have taken too long altogether. */
  totalUntil: number;
  /** The same by what the daemon itself allows, if nothing else limits it. */
  daemonUntil: number;
  /** How long that is from where the daemon said it. */
  daemonLimit: number | undefined;
  /** Since when the daemon has had no room for it. */
  refusedSince: number | undefined;
  /** When the daemon will have been silent about it for too long. */
  idleUntil: number;
}

/** Whether it waits for a link that is ready. */
export function isQueued(account: Entry): boolean {
  return account.sentOn === undefined || account.isGreeting;
}

/** When it falls due, or may be written. */
export function dueAt(account: Entry): number {
  return Math.min(
    account.totalUntil,
    account.daemonUntil,
    account.notBefore ?? Infinity,
    isQueued(account) ? account.queuedUntil : account.idleUntil,
  );
}

/** Why it is due, if it is. */
export function due(account: Entry, now: number): Expiry | undefined {
  if (now >= account.totalUntil) return "total";
  if (now >= account.daemonUntil) return "daemon";
  if (isQueued(account)) {
    return now >= account.queuedUntil ? "unavailable" : undefined;
  }
  return now >= account.idleUntil ? "idle" : undefined;
}
