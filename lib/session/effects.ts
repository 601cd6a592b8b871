/**
 * Collects the effects of one event, in order. Also removes secrets from the
 * daemon's texts that people read.
 *
 * @module
 */

import {
  createConfigRedactor,
  NO_REDACTION,
  type Redactor,
} from "../config/secrets.ts";
import type { Effect } from "../events.ts";
import { mapStrings, memberSpansOf } from "../json/spans.ts";
import type { Link } from "../link/link.ts";
import {
  buildErrorResponse,
  type ErrorData,
  getMember,
  type Id,
  type Response,
  toSingleLine,
} from "../protocol/jsonrpc.ts";
import type { SessionConfig } from "./session_config.ts";
import type { RequestError } from "./errors.ts";
import { SessionLog } from "./session_log.ts";

/** The longest text of the daemon in a log line or error, in UTF-16 units. */
const MAX_DAEMON_TEXT_CHARS = 400;

/** No effects. The first effect of an event makes a new array. */
const NO_EFFECTS = Object.freeze([]) as readonly Effect[] as Effect[];

/** The effects of the event that is being handled. */
export class Effects {
  #effects: Effect[] = NO_EFFECTS;
  readonly #redact: Redactor;
  /** Adds log lines to the effects. */
  readonly log: SessionLog;

  /** Creates an empty collection; `now` is the time of the event, in ms. */
  constructor(config: SessionConfig, public now: number) {
    this.#redact = createConfigRedactor(config);
    this.log = new SessionLog(
      config.redactedUrl,
      (line) => this.push(line),
      this.#redact,
    );
  }

  /** Adds an effect. */
  push(effect: Effect): void {
    // An empty array would get room for many effects at the first one.
    if (this.#effects.length === 0) this.#effects = [effect];
    else this.#effects.push(effect);
  }

  /** Sends a message to the client as one line. */
  toClient(text: string): void {
    this.push({ type: "send-to-client", text: toSingleLine(text) });
  }

  /** Sends an error response to the client. */
  errorToClient(id: Id, code: number, text: string, data?: ErrorData): void {
    this.toClient(buildErrorResponse(id, code, text, data));
  }

  /** Ends a request with an error of the proxy, and logs that. */
  failRequest({ text, ...failed }: RequestError): void {
    this.toClient(text);
    this.log.requestFailed(failed);
  }

  /**
   * Sends a message, and returns its write number; 0 before `ready`.
   * `requestId` is set if the message is a request of the client.
   */
  toDaemon(
    { connectionId, liveness }: Link,
    text: string,
    requestId?: Id,
  ): number {
    this.push({ type: "send-to-daemon", connectionId, text, requestId });
    return liveness?.assignWriteNumber() ?? 0;
  }

  /** Sends the daemon a message that gets no response. */
  toDaemonOneWay(link: Link, text: string): void {
    link.onOneWaySent(this.toDaemon(link, text));
  }

  /** Closes a connection, or aborts its dial. */
  close(connectionId: number): void {
    this.push({ type: "close", connectionId });
  }

  /** Returns the collected effects, and empties the collection. */
  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = NO_EFFECTS;
    return effects;
  }

  /** Removes secrets from a text of the daemon, and shortens it. */
  shorten(text: string): string {
    return this.#redact(text).slice(0, MAX_DAEMON_TEXT_CHARS);
  }

  /**
   * Removes secrets from an error response, or from a result with `isError`,
   * because people read errors. Returns any other text unchanged.
   */
  redactError(response: Response, text: string): string {
    if (this.#redact === NO_REDACTION) return text;
    if (response.error === undefined) {
      // Fast path: a result without these texts has no `isError: true`, and
      // need not be parsed. An escape may hide the member's name.
      if (!/"isError"\s*:\s*true|\\u/.test(text)) return text;
      // `result` is undefined if its text is not JSON. That text may still
      // contain `isError: true`.
      if (response.result === undefined) return this.#redact(text);
      if (getMember(response.result, "isError") !== true) return text;
    }
    let redacted = text;
    for (
      const { name, value: { start, end } } of memberSpansOf(text).reverse()
    ) {
      if (name === "id" || name === "jsonrpc") continue;
      const value = mapStrings(text.slice(start, end), this.#redact);
      redacted = redacted.slice(0, start) + value + redacted.slice(end);
    }
    return redacted;
  }
}
