/**
 * What the ledger knows of one message, and when it falls due.
 *
 * @module
 */

import type { Limits } from "./timeouts.ts";
import {
  digId,
  type Id,
  type Notification,
  type Request,
} from "../protocol/jsonrpc.ts";

/** The settings that bound what is owed; durations in milliseconds, `Infinity` for no limit. */
export interface LedgerLimits {
  /** How long a request may wait while no link is ready, over all outages. */
  readonly queueTimeout: number;
  /** How many messages may wait. */
  readonly queueLimit: number;
  /** Whether a client that asked for progress is told what its request waits for. */
  readonly waitProgress: "on" | "off";
}

/** The time between two tellings of what a request waits for, in milliseconds. */
const TELL_MS = 5_000;
/** How much each of them adds to the progress. */
const TELL_STEP = 1e-6;

/** A request that is owed an answer, or a notification that waits to be written. */
export type Entry<M extends Request | Notification = Request | Notification> =
  Readonly<Account<M>>;

/** A request whose answer is owed. */
export type Owed = Entry<Request>;

/** Why the ledger closed a request's account. */
export type Expiry =
  | "unavailable"
  | "unconfirmed"
  | "total"
  | "daemon"
  | "idle";

/** A hint that must be confirmed before each time that the request is written again. */
export interface HintWait {
  /** The epoch of the link on which the daemon is asked for its tools; `undefined` while none is asked. */
  readonly epoch: number | undefined;
  /** When it is too late; infinite while no daemon is asked. */
  readonly until: number;
  /** How much time there is in all, but for the question that is open, in milliseconds. */
  readonly leftMs: number;
}

/** How long daemons have in all to list their tools, in milliseconds. */
const HINT_MS = 5_000;

/** What the ledger knows of one message. */
export interface Account<M extends Request | Notification> {
  /** The message. */
  readonly message: M;
  /** The id; for a notification something that is no JSON text, so that it can meet no id. */
  readonly key: string;
  /** Its place in the order of all that came. */
  readonly order: number;
  /** When it came, without the time that the program slept since. */
  arrived: number;
  /** The progress token that the client gave. */
  readonly token: Id | undefined;
  /** The epoch of the link it was written to; `undefined` while it waits. */
  sentOn: number | undefined;
  /** It opened the conversation on that link, which is not ready before the answer. */
  isGreeting: boolean;
  /** How long it may take. */
  readonly limits: Limits;
  /** When it was written last. */
  sentAt: number;
  /** Its place in the order of what was written on that link. */
  number: number;
  /** How often it was written, since a daemon last had no room for it. */
  writes: number;
  /** How many links were lost while it was in flight. */
  losses: number;
  /** It waits, but not to be done: what became of it is to be asked. */
  isHeld: boolean;
  /** It may be written again only if the daemon's list of tools confirms its tool's hint; `undefined` where no hint is needed. */
  hint: HintWait | undefined;
  /** The daemon is at its list of tools, and nothing new has come of that. */
  isParked: boolean;
  /** When it may be written again, if not now. */
  notBefore: number | undefined;
  /** The last progress value that went to the client (MCP: it must increase with each notification). */
  progress: number;
  /** When the daemon last said that it is at it, and the progress value if it gave one. */
  said: { readonly at: number; readonly value: number | undefined } | undefined;
  /** When the client is to be told what it waits for. */
  tellAt: number;
  /** How often the client was told that. */
  tellings: number;
  /** How much longer it may wait for a link, in milliseconds, but for the wait that goes on. */
  queueLeft: number;
  /** Since when it waits for a link that is ready; `undefined` while it does not. */
  waitsSince: number | undefined;
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

/** The account of a message that has just come, and may wait for a link for so many milliseconds in all. */
export function open<M extends Request | Notification>(
  message: M,
  key: string,
  order: number,
  limits: Limits,
  now: number,
  queueMs: number,
): Account<M> {
  return {
    message,
    key,
    order,
    arrived: now,
    token: message.kind === "request"
      ? digId(message, "_meta", "progressToken")
      : undefined,
    limits,
    sentAt: now,
    number: 0,
    sentOn: undefined,
    isGreeting: false,
    writes: 0,
    losses: 0,
    isHeld: false,
    hint: undefined,
    isParked: false,
    notBefore: undefined,
    progress: -Infinity,
    said: undefined,
    tellAt: Infinity,
    tellings: 0,
    queueLeft: queueMs,
    waitsSince: undefined,
    totalUntil: now + (limits.total?.ms ?? Infinity),
    daemonUntil: Infinity,
    daemonLimit: undefined,
    refusedSince: undefined,
    idleUntil: Infinity,
  };
}

/** Every moment that it waits for comes so much later. */
export function shift(
  account: Account<Request | Notification>,
  ms: number,
): void {
  account.arrived += ms;
  if (account.said !== undefined) {
    account.said = { ...account.said, at: account.said.at + ms };
  }
  if (account.waitsSince !== undefined) account.waitsSince += ms;
  account.totalUntil += ms;
  account.daemonUntil += ms;
  account.idleUntil += ms;
  account.tellAt += ms;
  if (account.hint !== undefined) {
    account.hint = { ...account.hint, until: account.hint.until + ms };
  }
  if (account.notBefore !== undefined) account.notBefore += ms;
  if (account.refusedSince !== undefined) account.refusedSince += ms;
}

/** The progress with which the client is told once more what its request waits for; `undefined` where no value would rise. */
export function tell(
  account: Account<Request | Notification>,
  now: number,
): number | undefined {
  account.tellAt = now + TELL_MS;
  // So little that the daemon's own is still more.
  const told = Math.max(0, account.said?.value ?? 0);
  const progress = told + ++account.tellings * TELL_STEP;
  return progress > account.progress ? progress : undefined;
}

/** Whether it is to be written to a link that is ready. */
export function isQueued(account: Entry): boolean {
  return account.sentOn === undefined || account.isGreeting;
}

/** A wait for a link begins, if none goes on: what it may wait is the sum of all its waits. */
export function startWait(
  account: Account<Request | Notification>,
  now: number,
): void {
  account.waitsSince ??= now;
}

/** The wait is over. */
export function endWait(
  account: Account<Request | Notification>,
  now: number,
): void {
  if (account.waitsSince === undefined) return;
  account.queueLeft -= now - account.waitsSince;
  account.waitsSince = undefined;
}

/** It must not be written again before a daemon confirms its tool's hint, and none is asked. */
export function needHint(
  account: Account<Request | Notification>,
  now: number,
): void {
  const { until, leftMs } = account.hint ??
    { until: Infinity, leftMs: HINT_MS };
  const isAsked = until < Infinity;
  account.hint = {
    epoch: undefined,
    until: Infinity,
    leftMs: isAsked ? Math.max(0, until - now) : leftMs,
  };
}

/** The daemon on a link is asked for it. */
export function askHint(
  account: Account<Request | Notification>,
  epoch: number,
  now: number,
): void {
  needHint(account, now);
  const { leftMs } = account.hint!;
  account.hint = { epoch, until: now + leftMs, leftMs };
}

/** When it will have waited too long for a link. */
function queuedUntil({ waitsSince, queueLeft }: Entry): number {
  return waitsSince === undefined ? Infinity : waitsSince + queueLeft;
}

/** When it falls due, or may be written. */
export function dueAt(account: Entry): number {
  return Math.min(
    account.totalUntil,
    account.daemonUntil,
    account.notBefore ?? Infinity,
    account.hint?.until ?? Infinity,
    isQueued(account) ? queuedUntil(account) : account.idleUntil,
    account.sentOn === undefined ? account.tellAt : Infinity,
  );
}

/** Why it is due, if it is. */
export function due(account: Entry, now: number): Expiry | undefined {
  if (now >= account.totalUntil) return "total";
  if (now >= account.daemonUntil) return "daemon";
  if (account.hint !== undefined && now >= account.hint.until) {
    return "unconfirmed";
  }
  if (isQueued(account)) {
    return now >= queuedUntil(account) ? "unavailable" : undefined;
  }
  return now >= account.idleUntil ? "idle" : undefined;
}
