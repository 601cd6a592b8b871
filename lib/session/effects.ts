/**
 * Collects what is to be done about one event, in order. What the daemon says
 * to people is redacted here.
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
import { SessionLog } from "./session_log.ts";

/** The most of a daemon's own text that is shown, in UTF-16 units. */
const MAX_DAEMON_TEXT_CHARS = 400;

/** The effects of one event. */
export class Effects {
  #effects: Effect[] = [];
  readonly #redact: Redactor;
  /** Writes lines to the log. */
  readonly log: SessionLog;

  /** Starts without effects; `now` is the moment of the event. */
  constructor(config: SessionConfig, public now: number) {
    this.#redact = createConfigRedactor(config);
    this.log = new SessionLog(config.redactedUrl, (line) => this.push(line));
  }

  /** Adds an effect. */
  push(effect: Effect): void {
    this.#effects.push(effect);
  }

  /** Sends a line to the client. */
  toClient(text: string): void {
    this.#effects.push({ type: "send-to-client", text: toSingleLine(text) });
  }

  /** Answers a request of the client's with an error. */
  errorToClient(id: Id, code: number, text: string, data?: ErrorData): void {
    this.toClient(buildErrorResponse(id, code, text, data));
  }

  /** Sends a request to the daemon; returns its position on the connection. */
  toDaemon({ connectionId, liveness }: Link, text: string): number {
    this.#effects.push({ type: "send-to-daemon", connectionId, text });
    return liveness?.assignWriteNumber() ?? 0;
  }

  /** Sends a message that gets no response. */
  toDaemonOneWay(link: Link, text: string): void {
    link.onOneWaySent(this.toDaemon(link, text));
  }

  /** Closes a connection, or gives up its dial. */
  close(connectionId: number): void {
    this.#effects.push({ type: "close", connectionId });
  }

  /** Returns the collected effects and starts anew. */
  drain(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** Redacts and shortens a text of the daemon's. */
  shorten(text: string): string {
    return this.#redact(text).slice(0, MAX_DAEMON_TEXT_CHARS);
  }

  /** Redacts an error, including a tool's, because people read errors. */
  redactError(response: Response, text: string): string {
    if (this.#redact === NO_REDACTION) return text;
    if (response.error === undefined) {
      // A result without such text need not be parsed.
      if (!/"isError"\s*:\s*true|\\u/.test(text)) return text;
      // What is not JSON may be an error.
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
