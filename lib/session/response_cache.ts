/**
 * Caches the daemon's results for this session and for later processes, if
 * caching is on.
 *
 * @module
 */

import { DaemonCache } from "../cache/cache.ts";
import { createRedactor } from "../config/secrets.ts";
import { getMember, type Request, type Response } from "../protocol/jsonrpc.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** The cache of a session. If caching is off, it stays empty. */
export class ResponseCache extends SessionPart {
  readonly #cache: DaemonCache | undefined;

  /** Creates a cache with the results from the cache file. */
  constructor(base: SharedObjects) {
    super(base);
    const { cachedResults, secrets } = this.config;
    this.#cache = cachedResults &&
      new DaemonCache(cachedResults, this.now, createRedactor(secrets));
  }

  /** Returns the cached result as JSON, unless it is over the size limit. */
  lookUp(request: Request): string | undefined {
    const result = this.#cache?.lookup(request, this.now);
    return result !== undefined && result.length <= this.config.maxMessage
      ? result
      : undefined;
  }

  /** Stores a response, if responses to this method are cached. */
  store(request: Pick<Request, "method" | "params">, response: Response): void {
    if (this.#cache === undefined) return;
    const isChanged = this.#cache.store(request, response, this.now);
    if (this.#cache.takeWithheldFlag()) {
      this.effects.log.responseNotCached(request.method);
    }
    if (isChanged) this.#save();
  }

  /** Removes an `initialize` result that the daemon no longer returns. */
  evictInitialize({ params }: Request): void {
    this.#cache?.evictInitialize(getMember(params, "protocolVersion"));
    this.#save();
  }

  /** True if the daemon is known to keep only one connection per client. */
  get keepsOneConnection(): boolean {
    const { daemonName = "" } = this.dialect;
    return this.#cache?.keepsOneConnection(daemonName, this.now) ?? false;
  }

  /** Stores that the daemon keeps only one connection per client. */
  recordOneConnection(): void {
    this.#cache?.recordOneConnection(
      this.dialect.daemonName ?? "",
      this.now,
    );
    this.#save();
  }

  /** Shortens all lifetimes by a sleep that the clock did not count. */
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
