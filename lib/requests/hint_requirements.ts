/**
 * Tracks which entries wait for a daemon to confirm the hints of their tools.
 *
 * @module
 */

import { requireHint, startHintTimer } from "./entry.ts";
import {
  type AnyPendingEntry,
  EntriesByConnection,
} from "./entries_by_connection.ts";

/**
 * Entries with a hint requirement, by the connection on which the tool list was
 * requested.
 */
export class HintRequirements {
  readonly #requested = new EntriesByConnection();
  readonly #findEntry: (key: string) => AnyPendingEntry | undefined;
  readonly #onChange: (entry: AnyPendingEntry) => void;

  /**
   * Starts without entries.
   *
   * @param findEntry returns the entry of a key
   * @param onChange is called with each entry whose requirement has changed
   */
  constructor(
    findEntry: (key: string) => AnyPendingEntry | undefined,
    onChange: (entry: AnyPendingEntry) => void,
  ) {
    this.#findEntry = findEntry;
    this.#onChange = onChange;
  }

  /**
   * Records that the tool list was requested on a connection to confirm the
   * hint of a request.
   */
  markRequested(key: string, connectionId: number, now: number): void {
    const entry = this.#findEntry(key);
    if (entry === undefined) return;
    this.remove(entry);
    startHintTimer(entry, connectionId, now);
    this.#requested.add(connectionId, entry);
    this.#onChange(entry);
  }

  /**
   * Requires that a daemon confirms the tool's hint before the request is
   * written again.
   */
  add(key: string, now: number): void {
    const entry = this.#findEntry(key);
    if (entry === undefined) return;
    this.remove(entry);
    requireHint(entry, now);
    this.#onChange(entry);
  }

  /**
   * Records that the requested tool list has not decided yet: the entry need
   * not be checked again before {@linkcode onToolList}.
   */
  awaitToolList(key: string): void {
    const entry = this.#findEntry(key);
    if (entry === undefined) return;
    entry.isAwaitingToolList = true;
    this.#onChange(entry);
  }

  /** Records that a tool list arrived on a connection. */
  onToolList(connectionId: number): void {
    for (const entry of this.#requested.entriesOn(connectionId)) {
      entry.isAwaitingToolList = false;
      this.#onChange(entry);
    }
  }

  /**
   * Records that a connection was lost: the list must be requested again on the
   * next one.
   */
  onDisconnect(connectionId: number, now: number): void {
    for (const { key } of this.#requested.sortedEntriesOn(connectionId)) {
      this.add(key, now);
    }
  }

  /** Stops tracking an entry. */
  remove(entry: AnyPendingEntry): void {
    const { hintRequirement } = entry;
    if (hintRequirement?.connectionId !== undefined) {
      this.#requested.delete(hintRequirement.connectionId, entry);
    }
    entry.isAwaitingToolList = false;
  }
}
