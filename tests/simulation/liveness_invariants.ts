/**
 * The requests of a liveness simulation's client with their outcomes, and the
 * state of each connection.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import type { IdType } from "./message_habits.ts";
import type { Json } from "../helpers/session/session_driver.ts";

/** How a request can end. `told`: the client got -31002, outcome unknown. */
export type RequestOutcome = "answered" | "told" | "unavailable" | "timed out";

/** A request of the client. Moments are in milliseconds of awake time. */
export interface LivenessRequest {
  readonly id: string | number;
  readonly method: string;
  /** How long the daemon works on the request, in milliseconds. */
  readonly ms: number;
  /** True if the request may be executed twice. */
  readonly isSafe: boolean;
  readonly requestedAt: number;
  readonly token: string | undefined;
  /** How often it was sent, when first, and on which connection last. */
  writeCount: number;
  writtenAt: number | undefined;
  connection: LivenessConnection | undefined;
  executionCount: number;
  cancelledAt: number | undefined;
  responseCount: number;
  answeredAt: number | undefined;
  outcome: RequestOutcome | undefined;
  progress: number;
  /**
   * The moment by which the request must have its response, and how many
   * disturbances there had been when it was set. A later disturbance cancels
   * this deadline.
   */
  deadline: { readonly by: number; readonly disturbances: number } | undefined;
}

/** One direction of a connection. Messages arrive in order. */
export interface NetworkDirection {
  readonly queue: { readonly at: number; readonly run: () => void }[];
  lastAt: number;
  /** True once all messages on the way and all later ones are lost. */
  isDead: boolean;
}

/** A connection. Moments are in milliseconds of awake time. */
export interface LivenessConnection {
  readonly connectionId: number;
  readonly up: NetworkDirection;
  readonly down: NetworkDirection;
  isAccepted: boolean;
  isOpen: boolean;
  /** True once the daemon has closed the connection. */
  isClosedByDaemon: boolean;
  closedByProxyAt: number | undefined;
  /** When the daemon's last message arrived; `undefined` before the first. */
  lastMessageAt: number | undefined;
  /** When the connection was last busy. */
  lastBusyAt: number;
  /** The ids of the proxy's own pending requests, without pings. */
  readonly proxyRequestIds: Set<string | number>;
  readonly pingIds: Set<string | number>;
  hasPonged: boolean;
  lastPingAt: number;
  /** The ids of sent messages that no response has settled yet. */
  unansweredIds: (string | number)[];
  /** When the program last woke up while the connection was open. */
  resumedAt: number | undefined;
  /**
   * True if the proxy must notice that the connection froze: nothing was in
   * flight, it had answered a ping, and the daemon keeps two connections.
   */
  mustBeNoticed: boolean;
}

/** Returns a new connection. */
export function newConnection(
  connectionId: number,
  now: number,
): LivenessConnection {
  const newDirection = (): NetworkDirection => ({
    queue: [],
    lastAt: 0,
    isDead: false,
  });
  return {
    ...{ connectionId, up: newDirection(), down: newDirection() },
    ...{ isAccepted: false, isOpen: false, isClosedByDaemon: false },
    ...{
      closedByProxyAt: undefined,
      lastMessageAt: undefined,
      lastBusyAt: now,
    },
    ...{ proxyRequestIds: new Set<string | number>() },
    ...{ pingIds: new Set<string | number>() },
    ...{ hasPonged: false, lastPingAt: -Infinity, unansweredIds: [] },
    ...{ resumedAt: undefined, mustBeNoticed: false },
  };
}

/** Returns whether a direction of the connection is dead. */
export function isDead({ up, down }: LivenessConnection): boolean {
  return up.isDead || down.isDead;
}

/** Returns whether a request is neither a ping nor the opening request. */
export function isOrdinaryRequest({ method }: LivenessRequest): boolean {
  return !/^(ping|initialize|server\/discover)$/.test(method);
}

/** Returns whether the client no longer waits for a request. */
export function isDone(
  { responseCount, cancelledAt }: LivenessRequest,
): boolean {
  return responseCount > 0 || cancelledAt !== undefined;
}

/**
 * Returns when the client stopped waiting for a request that the daemon has not
 * answered. `undefined` for any other request.
 */
function abandonedAt(
  { answeredAt, cancelledAt, outcome }: LivenessRequest,
): number | undefined {
  return cancelledAt ?? (outcome === "timed out" ? answeredAt : undefined);
}

/** How long an abandoned call still counts as in flight, in milliseconds. */
const ABANDONED_CALL_MS = 60_000;

/** All requests of the client. Each method throws if a promise is broken. */
export class LivenessInvariants {
  readonly #all = new Map<string, LivenessRequest>();
  readonly #idType: IdType;

  constructor(idType: IdType) {
    this.#idType = idType;
  }

  get all(): Iterable<LivenessRequest> {
    return this.#all.values();
  }

  get(id: unknown): LivenessRequest | undefined {
    return this.#all.get(`${id}`);
  }

  recordRequest(
    what: Pick<
      LivenessRequest,
      "method" | "ms" | "isSafe" | "requestedAt" | "token"
    >,
  ): LivenessRequest {
    const number = this.#all.size + 1;
    const id = this.#idType === "numbers"
      ? number
      : this.#idType === "texts"
      ? `${number}`
      : `r${number}`;
    const request: LivenessRequest = {
      ...{ ...what, id, writeCount: 0 },
      ...{ writtenAt: undefined, connection: undefined, executionCount: 0 },
      ...{ cancelledAt: undefined, responseCount: 0, answeredAt: undefined },
      ...{ outcome: undefined, progress: -Infinity, deadline: undefined },
    };
    this.#all.set(`${id}`, request);
    return request;
  }

  /** Returns the ordinary requests on a connection that are not done yet. */
  inFlight(connection: LivenessConnection): LivenessRequest[] {
    return [...this.#all.values()].filter((it) =>
      it.connection === connection && isOrdinaryRequest(it) && !isDone(it)
    );
  }

  /** True if a call was ever sent. A list request is not a call. */
  get hasWrittenCall(): boolean {
    return [...this.#all.values()].some((it) =>
      it.writeCount > 0 && isOrdinaryRequest(it) && it.method !== "tools/list"
    );
  }

  /** Returns when the connection was last busy; `now` while it is busy. */
  lastBusyAt(connection: LivenessConnection, now: number): number {
    let until = connection.proxyRequestIds.size > 0
      ? now
      : connection.lastBusyAt;
    for (const it of this.#all.values()) {
      if (it.connection !== connection || !isOrdinaryRequest(it)) continue;
      const at = abandonedAt(it);
      if (at === undefined && !isDone(it)) return now;
      if (at === undefined || !connection.unansweredIds.includes(it.id)) {
        continue;
      }
      until = Math.max(until, Math.min(now, at + ABANDONED_CALL_MS));
    }
    return until;
  }

  /** Records that the daemon starts to execute a call. */
  recordExecution(id: unknown): void {
    const request = this.get(id);
    assert(request !== undefined, `${id} was executed, but never requested`);
    request.executionCount++;
    const most = request.isSafe ? 2 : 1;
    assert(
      request.executionCount <= most,
      `${id} was executed ${request.executionCount} times`,
    );
  }

  recordWrite(
    request: LivenessRequest,
    connection: LivenessConnection,
    now: number,
  ): void {
    const { id, isSafe } = request;
    assert(!isDone(request), `${id} was sent, but nobody waits for it`);
    // The request that opens the conversation is sent on every connection.
    const most = !isOrdinaryRequest(request) ? Infinity : isSafe ? 2 : 1;
    assert(
      ++request.writeCount <= most,
      `${id} was sent ${request.writeCount} times`,
    );
    request.connection = connection;
    request.writtenAt ??= now;
  }

  recordProgress({ progressToken, progress }: Json): void {
    const request = [...this.#all.values()].find((it) =>
      it.token === progressToken
    );
    assert(
      request !== undefined && !isDone(request),
      "progress for no pending request",
    );
    assert(progress > request.progress, "progress that does not rise");
    request.progress = progress;
  }

  /** Records a response that the client receives. */
  recordResponse(message: Json, now: number): LivenessRequest {
    const request = this.get(message.id);
    assert(request !== undefined, `an unexpected response to ${message.id}`);
    const { id, method } = request;
    assertEquals(message.id, id, "the id changed its type");
    assertEquals(++request.responseCount, 1, `answers to ${id}`);
    assert(request.cancelledAt === undefined, `${id} was cancelled`);
    request.answeredAt = now;
    request.outcome = outcomeOf(message.error?.code);
    if (request.outcome === "answered" && method === "tools/call") {
      assertEquals(message.result.content[0].text, `${id}`);
      const isCountValid = request.isSafe
        ? request.executionCount >= 1
        : request.executionCount === 1;
      assert(
        isCountValid,
        `${id} was answered, but executed ${request.executionCount} times`,
      );
    }
    return request;
  }
}

function outcomeOf(code: number | undefined): RequestOutcome {
  switch (code) {
    case undefined:
      return "answered";
    case -31001:
      return "unavailable";
    case -31002:
      return "told";
    case -31003:
      return "timed out";
    default:
      throw new Error(`an unknown code: ${code}`);
  }
}
