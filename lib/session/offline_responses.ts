/**
 * Answers requests from the cache while the main link is unusable. An
 * `initialize` that is not cached gets a placeholder. Cached results of
 * `initialize` and `server/discover` are sent at once. A cached list is sent at
 * once if the daemon is known to be down, and otherwise after
 * `--initialize-grace`. The placeholder is always sent after that time.
 *
 * @module
 */

import { parseCachedResult } from "../cache/cache.ts";
import {
  buildRawResultResponse,
  ErrorCode,
  getMember,
  type Request,
  type Response,
  toResultResponse,
} from "../protocol/jsonrpc.ts";
import {
  listKindOf,
  negotiateVersion,
  toEmptyListResponse,
} from "../protocol/methods.ts";
import type { InitializeResult } from "../protocol/mcp_types.ts";
import { DeadlineMap, type ExpiringValue } from "../requests/deadlines.ts";
import type { ListSync } from "./list_sync.ts";
import type { ResponseCache } from "./response_cache.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

interface GraceTimer extends ExpiringValue {
  readonly request: Request;
}

/** Answers requests from the cache or with a placeholder. */
export class OfflineResponses extends SessionPart {
  readonly #graceTimers = new DeadlineMap<GraceTimer>();
  /** True from a placeholder response until the daemon is connected. */
  #isPlaceholderActive = false;
  #wasPlaceholderUsed = false;

  /** Creates a part for which no request waits yet. */
  constructor(
    base: SharedObjects,
    private readonly cache: ResponseCache,
    private readonly listSync: ListSync,
  ) {
    super(base);
  }

  /**
   * Answers a new request from the cache, or starts its grace time if it may be
   * answered locally later. Returns whether it was answered.
   */
  tryRespond(request: Request): boolean {
    const result = this.cache.lookUp(request);
    const isInitialize = request.method === "initialize";
    if (isInitialize && result === undefined) this.#startGrace(request);
    if (result === undefined) return false;
    if (isInitialize) {
      this.#respondToInitialize(request, result, "cached");
      return true;
    }
    // A cached result of `server/discover` is still fresh: the cache returns it
    // only within its lifetime (`ttlMs`).
    const isFresh = request.method === "server/discover";
    if (!isFresh && !this.availability.isKnownDown) {
      this.#startGrace(request);
      return false;
    }
    this.#respondFromCache(request, result);
    return true;
  }

  #startGrace(request: Request): void {
    const { initializeGrace } = this.config;
    if (initializeGrace === Infinity) return;
    const { total } = this.timeouts.timeoutsOf(request);
    const ms = Math.min(
      initializeGrace,
      this.circuit.queueTimeoutMs,
      total?.ms ?? Infinity,
    );
    this.#graceTimers.set(request.id, { request, until: this.now + ms });
  }

  #respondFromCache(request: Request, result: string): void {
    const listKind = listKindOf(request.method);
    if (listKind !== undefined) {
      this.listSync.onCachedPage(listKind, parseCachedResult(result));
    }
    this.dialect.onCachedResponse?.(request);
    this.tracker.close(request.id);
    this.effects.toClient(buildRawResultResponse(request.id, result));
  }

  /** Answers pending requests from the cache, unless the daemon may be up. */
  respondToPending(connectionId: number): void {
    if (!this.availability.isKnownDown) return;
    const pending = [
      ...this.tracker.undelayedEntries(),
      ...this.tracker.inFlightOn(connectionId),
    ];
    for (const { message } of pending) {
      if (message.kind === "request") this.#tryRespondFromCache(message);
    }
  }

  /** Answers a request from the cache, unless it is an `initialize`. */
  #tryRespondFromCache(request: Request): void {
    if (request.method === "initialize") return;
    const result = this.cache.lookUp(request);
    if (result !== undefined) this.#respondFromCache(request, result);
  }

  /** Returns when the first grace time is over. */
  deadline(): number {
    // A request that is no longer pending was answered, cancelled or failed.
    this.#graceTimers.dropEarliestWhile((id, { request }) =>
      this.tracker.find(id)?.message !== request
    );
    return this.#graceTimers.earliest;
  }

  /** Answers, without the daemon, the requests whose grace time is over. */
  advance(): void {
    for (const [id, { request }] of this.#graceTimers.takeDue(this.now)) {
      const entry = this.tracker.find(id);
      if (entry?.message !== request) continue;
      if (request.method === "initialize") {
        if (this.links.main.phase !== "ready") {
          this.#respondWithPlaceholder(request);
        }
        continue;
      }
      const isWaiting = entry.sentOnConnectionId === undefined &&
        !this.links.isMainUsable;
      if (isWaiting) this.#tryRespondFromCache(request);
    }
  }

  /** Moves every deadline by `ms`, because the program slept. */
  postpone(ms: number): void {
    this.#graceTimers.postpone(ms);
  }

  #respondWithPlaceholder(request: Request): void {
    const requestedVersion = getMember(request.params, "protocolVersion");
    const result = {
      protocolVersion: negotiateVersion(requestedVersion),
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true },
        logging: {},
      },
      serverInfo: { name: "alwaysup", version: this.config.version },
      instructions:
        `The daemon at ${this.config.redactedUrl} is not up yet. Its ` +
        "tools appear when it is up; calls made before that wait for it.",
    } satisfies InitializeResult;
    this.#respondToInitialize(request, JSON.stringify(result), "placeholder");
  }

  /** Answers `initialize`; the handshake with the daemon takes place later. */
  #respondToInitialize(
    request: Request,
    result: string,
    source: "cached" | "placeholder",
  ): void {
    const connectionId = this.tracker.find(request.id)?.sentOnConnectionId;
    this.effects.log.initializedLocally(source);
    const response = toResultResponse(
      request.id,
      parseCachedResult(result),
      result,
    );
    const text = this.dialect.handshake
      .onLocalInitialize?.(request, response, source, connectionId);
    this.#isPlaceholderActive = source === "placeholder";
    this.#wasPlaceholderUsed = source === "placeholder";
    this.tracker.close(request.id);
    this.effects.toClient(text ?? response.text);
  }

  /** Marks the placeholder as replaced; returns whether one was active. */
  takePlaceholderFlag(): boolean {
    const wasActive = this.#isPlaceholderActive;
    this.#isPlaceholderActive = false;
    return wasActive;
  }

  /**
   * Replaces the error "method not found" for a list by an empty list, if a
   * placeholder was used. Returns any other response unchanged.
   */
  replaceMissingMethodError(request: Request, response: Response): Response {
    const isMethodMissing = this.#wasPlaceholderUsed &&
      response.error?.code === ErrorCode.methodNotFound;
    const listKind = isMethodMissing ? listKindOf(request.method) : undefined;
    return listKind === undefined
      ? response
      : toEmptyListResponse(request.id, listKind);
  }
}
