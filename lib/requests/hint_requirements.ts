/**
 * Which accounts wait for what the daemon on a link says of their tools.
 *
 * @module
 */

import { requireHint, startHintTimer } from "./entry.ts";
import {
  type AnyPendingEntry,
  EntriesByConnection,
} from "./entries_by_connection.ts";

/** Those accounts, by the link on which the daemon is asked. */
export class HintRequirements {
  readonly #requested = new EntriesByConnection();
  readonly #findEntry: (key: string) => AnyPendingEntry | undefined;
  readonly #onChange: (entry: AnyPendingEntry) => void;

  /**
   * Nothing waits.
   *
   * @param findEntry gives the account of a key
   * @param onChange is told which account waits for something else now
   */
  constructor(
    findEntry: (key: string) => AnyPendingEntry | undefined,
    onChange: (entry: AnyPendingEntry) => void,
  ) {
    this.#findEntry = findEntry;
    this.#onChange = onChange;
  }

  /** The daemon is asked on a link whether it confirms the hint of a request. */
  markRequested(key: string, connectionId: number, now: number): void {
    const entry = this.#findEntry(key);
    if (entry === undefined) return;
    this.remove(entry);
    startHintTimer(entry, connectionId, now);
    this.#requested.add(connectionId, entry);
    this.#onChange(entry);
  }

  /** A request is not written again before a daemon confirms its tool's hint. */
  add(key: string, now: number): void {
    const entry = this.#findEntry(key);
    if (entry === undefined) return;
    this.remove(entry);
    requireHint(entry, now);
    this.#onChange(entry);
  }

  /** The daemon that is asked has not said it yet: until it says something of its tools nobody needs to look. */
  awaitToolList(key: string): void {
    const entry = this.#findEntry(key);
    if (entry === undefined) return;
    entry.isAwaitingToolList = true;
    this.#onChange(entry);
  }

  /** The daemon has said something of its tools on a link. */
  onToolList(connectionId: number): void {
    for (const entry of this.#requested.entriesOn(connectionId)) {
      entry.isAwaitingToolList = false;
      this.#onChange(entry);
    }
  }

  /** A link was lost: the next one is asked anew. */
  onDisconnect(connectionId: number, now: number): void {
    for (const { key } of this.#requested.sortedEntriesOn(connectionId)) {
      this.add(key, now);
    }
  }

  /** It waits no longer. */
  remove(entry: AnyPendingEntry): void {
    const { hintRequirement } = entry;
    if (hintRequirement?.connectionId !== undefined) {
      this.#requested.delete(hintRequirement.connectionId, entry);
    }
    entry.isAwaitingToolList = false;
  }
}
