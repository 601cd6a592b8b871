/**
 * Which accounts wait for what the daemon on a link says of their tools.
 *
 * @module
 */

import { askHint, needHint } from "./entry.ts";
import { type AnyAccount, ByLink } from "./by_link.ts";

/** Those accounts, by the link on which the daemon is asked. */
export class HintWaits {
  readonly #asked = new ByLink();
  readonly #find: (key: string) => AnyAccount | undefined;
  readonly #changed: (account: AnyAccount) => void;

  /**
   * Nothing waits.
   *
   * @param find gives the account of a key
   * @param changed is told which account waits for something else now
   */
  constructor(
    find: (key: string) => AnyAccount | undefined,
    changed: (account: AnyAccount) => void,
  ) {
    this.#find = find;
    this.#changed = changed;
  }

  /** The daemon is asked on a link whether it confirms the hint of a request. */
  ask(key: string, epoch: number, now: number): void {
    const account = this.#find(key);
    if (account === undefined) return;
    this.forget(account);
    askHint(account, epoch, now);
    this.#asked.add(epoch, account);
    this.#changed(account);
  }

  /** A request is not written again before a daemon confirms its tool's hint. */
  need(key: string, now: number): void {
    const account = this.#find(key);
    if (account === undefined) return;
    this.forget(account);
    needHint(account, now);
    this.#changed(account);
  }

  /** The daemon that is asked has not said it yet: until it says something of its tools nobody needs to look. */
  park(key: string): void {
    const account = this.#find(key);
    if (account === undefined) return;
    account.isParked = true;
    this.#changed(account);
  }

  /** The daemon has said something of its tools on a link. */
  heard(epoch: number): void {
    for (const account of this.#asked.of(epoch)) {
      account.isParked = false;
      this.#changed(account);
    }
  }

  /** A link was lost: the next one is asked anew. */
  lost(epoch: number, now: number): void {
    for (const { key } of this.#asked.inOrder(epoch)) this.need(key, now);
  }

  /** It waits no longer. */
  forget(account: AnyAccount): void {
    const { hint } = account;
    if (hint?.epoch !== undefined) this.#asked.delete(hint.epoch, account);
    account.isParked = false;
  }
}
