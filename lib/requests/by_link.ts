/**
 * Which accounts belong to which link, and how many of them are calls.
 *
 * @module
 */

import type { Account } from "./entry.ts";
import type { Notification, Request } from "../protocol/jsonrpc.ts";
import { isCall } from "../protocol/methods.ts";

/** An account of any message. */
export type AnyAccount = Account<Request | Notification>;

/** The accounts by the epochs of links. */
export class ByLink {
  readonly #accounts = new Map<number, Set<AnyAccount>>();
  /** How many of them are calls, which a daemon may need time for. */
  readonly #calls = new Map<number, number>();

  /** How many there are. */
  get size(): number {
    let size = 0;
    for (const accounts of this.#accounts.values()) size += accounts.size;
    return size;
  }

  /** An account belongs to a link. */
  add(epoch: number, account: AnyAccount): void {
    const accounts = this.#accounts.get(epoch) ?? new Set();
    if (accounts.has(account)) return;
    this.#accounts.set(epoch, accounts.add(account));
    if (isCall(account.message.method)) this.#count(epoch, 1);
  }

  /** It does no longer. */
  delete(epoch: number, account: AnyAccount): void {
    const accounts = this.#accounts.get(epoch);
    if (accounts?.delete(account) !== true) return;
    if (accounts.size === 0) this.#accounts.delete(epoch);
    if (isCall(account.message.method)) this.#count(epoch, -1);
  }

  /** How many belong to a link. */
  count(epoch: number): number {
    return this.#accounts.get(epoch)?.size ?? 0;
  }

  /** Whether a call is among them. */
  hasCall(epoch: number): boolean {
    return this.#calls.has(epoch);
  }

  /** The places of the calls in the order of what was written on the link. */
  *numbers(epoch: number): Iterable<number> {
    if (!this.hasCall(epoch)) return;
    for (const { message, number } of this.of(epoch)) {
      if (isCall(message.method)) yield number;
    }
  }

  /** Those of a link, in the order in which they were added. */
  of(epoch: number): Iterable<AnyAccount> {
    return this.#accounts.get(epoch) ?? [];
  }

  /** Those of a link, the oldest first. */
  inOrder(epoch: number): AnyAccount[] {
    return inOrder(this.of(epoch));
  }

  #count(epoch: number, by: 1 | -1): void {
    const count = (this.#calls.get(epoch) ?? 0) + by;
    if (count === 0) this.#calls.delete(epoch);
    else this.#calls.set(epoch, count);
  }
}

/** Accounts in the order in which their messages came. */
export function inOrder(accounts: Iterable<AnyAccount>): AnyAccount[] {
  return [...accounts].sort((a, b) => a.order - b.order);
}
