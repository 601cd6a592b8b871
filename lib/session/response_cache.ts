/**
 * What a session keeps of a daemon's results for the next process, if caching
 * is on.
 *
 * @module
 */

import { DaemonCache } from "../cache/cache.ts";
import { createRedactor } from "../config/secrets.ts";
import { getMember, type Request, type Response } from "../protocol/jsonrpc.ts";
import { type SessionBase, SessionPart } from "./session_part.ts";

/** The cache of a session; without caching it is empty and stores nothing. */
export class ResponseCache extends SessionPart {
  readonly #cache: DaemonCache | undefined;

  /** Starts with the results that were loaded. */
  constructor(base: SessionBase) {
    super(base);
    const { cachedResults, secrets } = this.config;
    this.#cache = cachedResults &&
      new DaemonCache(cachedResults, this.now, createRedactor(secrets));
  }

  /** Returns the cached result of a request, if it is not too large. */
  lookUp(request: Request): string | undefined {
    const result = this.#cache?.lookup(request, this.now);
    return result !== undefined && result.length <= this.config.maxMessage
      ? result
      : undefined;
  }

  /** Stores a response, if it is of a kind that is cached. */
  store(request: Pick<Request, "method" | "params">, response: Response): void {
    if (this.#cache === undefined) return;
    const isChanged = this.#cache.store(request, response, this.now);
    if (this.#cache.takeWithheld()) {
      this.effects.log.responseNotCached(request.method);
    }
    if (isChanged) this.#save();
  }

  /** Removes an `initialize` result that is out of date. */
  evictInitialize({ params }: Request): void {
    this.#cache?.evictInitialize(getMember(params, "protocolVersion"));
    this.#save();
  }

  /** Whether the daemon is known to keep one connection for a client. */
  get hasCapacityOne(): boolean {
    const { daemonName = "" } = this.dialect;
    return this.#cache?.hasCapacityOne(daemonName, this.now) ?? false;
  }

  /** Stores that the daemon keeps one connection for a client. */
  storeCapacityOne(): void {
    this.#cache?.storeCapacityOne(this.dialect.daemonName ?? "", this.now);
    this.#save();
  }

  /** Shortens all lifetimes by what the session's clock did not count. */
  onSuspended(ms: number): void {
    this.#cache?.shortenBy(ms);
  }

  #save(): void {
    const results = this.#cache?.resultsToSave(this.now);
    if (results !== undefined) {
      this.effects.push({ type: "save-cache", results });
    }
  }
}
