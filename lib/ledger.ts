/**
 * Who is owed an answer, until when, and may what was asked be sent again.
 *
 * @module
 */

import {
  digId,
  type Id,
  isRecord,
  type Notification,
  type Request,
} from "./jsonrpc.ts";

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

/** How much text may wait unwritten, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;
/** How many lost links a request may have been in flight on before it counts as what kills the daemon. */
export const LOSS_LIMIT = 2;

/** When sent requests may be sent again after their link was lost. */
export type RetryPolicy = "safe" | "always" | "never";

/** A request that is owed an answer, or a notification that waits to be written. */
export type Entry<M extends Request | Notification = Request | Notification> =
  Readonly<Account<M>>;

/** A request whose answer is owed. */
export type Owed = Entry<Request>;

/** Why the ledger closed a request's account. */
export type Expiry = "unavailable" | "total" | "idle";

/** Requests that do the same thing when they are done twice (MCP: they read, or they set what is set already). */
const SAFE_METHODS: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "server/discover",
  "tools/list",
  "prompts/list",
  "prompts/get",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "resources/subscribe",
  "resources/unsubscribe",
  "completion/complete",
  "logging/setLevel",
  "subscriptions/listen",
  "tasks/get",
  "tasks/list",
  "tasks/result",
]);

/**
 * Whether a request does no more when it is executed twice.
 *
 * @param hinted whether the tool of that name is annotated as read-only or idempotent
 */
export function isSafe(
  request: Request,
  hinted: (tool: string) => boolean,
): boolean {
  if (request.method !== "tools/call") return SAFE_METHODS.has(request.method);
  const { params } = request;
  if (!isRecord(params) || typeof params.name !== "string") return false;
  return params.task === undefined && hinted(params.name);
}

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
  /** The last progress value that went to the client (MCP: it must increase with each notification). */
  progress: number;
  /** When it will have waited too long for a link. */
  queuedUntil: number;
  /** When it will have taken too long altogether. */
  readonly totalUntil: number;
  /** When the daemon will have been silent about it for too long. */
  idleUntil: number;
}

/** All that is owed to the client, in the order in which it was asked. */
export class Ledger {
  readonly #limits: LedgerLimits;
  /** Keyed by id; a notification has a key that is no JSON text, so that it can meet no id. */
  readonly #accounts = new Map<string, Account<Request | Notification>>();
  /** Those that wait to be written, oldest first. */
  #queue = new Set<Account<Request | Notification>>();
  readonly #byToken = new Map<Id, Account<Request | Notification>>();
  readonly #inFlight = new Map<number, number>();
  /** The same without pings, which no daemon needs time for. */
  readonly #calls = new Map<number, number>();
  #waitingText = 0;
  #wanted = 0;
  #notifications = 0;
  /** No account falls due before this; exact after every {@linkcode expire}. */
  #earliest = Infinity;

  /** An empty ledger. */
  constructor(limits: LedgerLimits) {
    this.#limits = limits;
  }

  /** How many answers are owed. */
  get owed(): number {
    let sent = 0;
    for (const count of this.#inFlight.values()) sent += count;
    return sent + this.#wanted;
  }

  /** How many messages wait to be written. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Whether a request waits to be written. */
  get isWanting(): boolean {
    return this.#wanted > 0;
  }

  /** Whether a request of this id is in flight on a link. */
  isInFlight(id: Id, epoch: number): boolean {
    return this.#accounts.get(id)?.sentOn === epoch;
  }

  /** Whether the queue takes no further message. */
  isFull(message: Request | Notification): boolean {
    return this.#queue.size >= this.#limits.queueLimit ||
      this.#waitingText + message.text.length > QUEUE_TEXT_LIMIT;
  }

  /** The request of this id whose answer is owed. */
  find(id: Id): Owed | undefined {
    return this.#accounts.get(id) as Owed | undefined;
  }

  /** Opens an account; the caller has checked that there is none under the same id. */
  add(message: Request | Notification, now: number): void {
    const isRequest = message.kind === "request";
    const account: Account<typeof message> = {
      message,
      key: isRequest ? message.id : `notification ${++this.#notifications}`,
      arrived: now,
      token: isRequest ? digId(message, "_meta", "progressToken") : undefined,
      sentOn: undefined,
      isGreeting: false,
      losses: 0,
      progress: -Infinity,
      queuedUntil: now + this.#limits.queueTimeout,
      totalUntil: isRequest ? now + this.#limits.requestTimeout : Infinity,
      idleUntil: Infinity,
    };
    this.#accounts.set(account.key, account);
    if (account.token !== undefined) this.#byToken.set(account.token, account);
    this.#enqueue(account);
    this.#wake(account);
  }

  /** What waits to be written, oldest first. */
  queue(): Iterable<Entry> {
    return this.#queue;
  }

  /** The entry of this key was written; a notification is thereby settled. */
  sent(key: string, epoch: number, now: number): void {
    const account = this.#accounts.get(key);
    if (account === undefined) return;
    if (account.message.kind === "notification") return this.#close(account);
    this.#dequeue(account);
    this.#count(account, epoch, 1);
    account.sentOn = epoch;
    account.idleUntil = now + this.#limits.idleTimeout;
    this.#wake(account);
  }

  /** The same for the request that opens the conversation on a link: it still waits for one that is ready. */
  greeted(key: string, epoch: number, now: number): void {
    const account = this.#accounts.get(key);
    if (account !== undefined) account.isGreeting = true;
    this.sent(key, epoch, now);
  }

  /** How many answers are owed on a link. */
  inFlight(epoch: number): number {
    return this.#inFlight.get(epoch) ?? 0;
  }

  /** Whether an answer is owed on a link that a daemon may need time for. */
  isBusy(epoch: number): boolean {
    return this.#calls.has(epoch);
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

  /** Whether a progress value belongs to a request in flight on a link, and has risen. */
  progress(
    token: Id | undefined,
    value: unknown,
    epoch: number,
    now: number,
  ): boolean {
    if (token === undefined || typeof value !== "number") return false;
    const account = this.#byToken.get(token);
    if (account === undefined || account.sentOn !== epoch) return false;
    account.idleUntil = now + this.#limits.idleTimeout;
    if (!(value > account.progress)) return false;
    account.progress = value;
    return true;
  }

  /** No link is ready any more: the queue's clock begins for everything that waits. */
  wait(now: number): void {
    for (const account of this.#queue) {
      account.queuedUntil = now + this.#limits.queueTimeout;
    }
  }

  /**
   * A link was lost: what may be repeated waits again in its old place, and has
   * the whole queue time again.
   *
   * @returns the requests that are given up, whose accounts are closed
   */
  lost(
    epoch: number,
    now: number,
    mayRepeat: (request: Request) => boolean,
  ): Owed[] {
    const given: Owed[] = [];
    for (const account of this.#accounts.values()) {
      const { message } = account;
      if (account.sentOn !== epoch || message.kind !== "request") continue;
      account.losses++;
      // What opens the conversation opens it on every link, and its queue time goes on.
      if (!account.isGreeting) {
        account.queuedUntil = now + this.#limits.queueTimeout;
        if (account.losses >= LOSS_LIMIT || !mayRepeat(message)) {
          this.#close(account);
          given.push(account as Owed);
          continue;
        }
      }
      this.#count(account, epoch, -1);
      account.sentOn = undefined;
      account.isGreeting = false;
      account.idleUntil = Infinity;
      this.#enqueue(account);
      this.#wake(account);
    }
    // What waits again is older than what came since.
    const all = this.#accounts.values();
    this.#queue = new Set(all.filter(({ sentOn }) => sentOn === undefined));
    return given;
  }

  /** When the next account falls due, or earlier. */
  deadline(): number {
    return this.#earliest;
  }

  /**
   * Closes every account that is due.
   *
   * @param clock the queue's; it stands still while a link is ready
   */
  expire(
    now: number,
    clock: "runs" | "stands",
  ): { entry: Entry; expiry: Expiry }[] {
    if (now < this.#earliest) return [];
    const expired: { entry: Entry; expiry: Expiry }[] = [];
    this.#earliest = Infinity;
    for (const account of this.#accounts.values()) {
      if (clock === "stands" && isQueued(account)) {
        account.queuedUntil = now + this.#limits.queueTimeout;
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

  #close(account: Entry): void {
    this.#accounts.delete(account.key);
    const { token } = account;
    if (token !== undefined && this.#byToken.get(token) === account) {
      this.#byToken.delete(token);
    }
    if (account.sentOn === undefined) this.#dequeue(account);
    else this.#count(account, account.sentOn, -1);
  }

  #enqueue(account: Account<Request | Notification>): void {
    this.#queue.add(account);
    this.#waitingText += account.message.text.length;
    if (account.message.kind === "request") this.#wanted++;
  }

  #dequeue(account: Entry): void {
    this.#queue.delete(account);
    this.#waitingText -= account.message.text.length;
    if (account.message.kind === "request") this.#wanted--;
  }

  #count({ message }: Entry, epoch: number, by: 1 | -1): void {
    const isCall = message.method !== "ping";
    for (const counts of [this.#inFlight, ...(isCall ? [this.#calls] : [])]) {
      const count = (counts.get(epoch) ?? 0) + by;
      if (count === 0) counts.delete(epoch);
      else counts.set(epoch, count);
    }
  }

  #wake(account: Entry): void {
    this.#earliest = Math.min(this.#earliest, dueAt(account));
  }
}

function isQueued(account: Entry): boolean {
  return account.sentOn === undefined || account.isGreeting;
}

function dueAt(account: Entry): number {
  return Math.min(
    account.totalUntil,
    isQueued(account) ? account.queuedUntil : account.idleUntil,
  );
}

function due(account: Entry, now: number): Expiry | undefined {
  if (now >= account.totalUntil) return "total";
  if (isQueued(account)) {
    return now >= account.queuedUntil ? "unavailable" : undefined;
  }
  return now >= account.idleUntil ? "idle" : undefined;
}
