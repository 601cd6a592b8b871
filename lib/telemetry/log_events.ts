/**
 * The closed set of log events, and the fields of a line in JSON.
 *
 * @module
 */

import type { LogEventName, LogFact } from "../events.ts";

/** What each log event reports. The documentation lists this table. */
export const LOG_EVENTS: Readonly<Record<LogEventName, string>> = {
  // The connection to the daemon.
  "opened": "a WebSocket to the daemon is open; nothing was sent yet",
  "connected": "the daemon is connected for the first time",
  "reconnected": "the daemon is connected again",
  "lost": "the connection to the daemon was lost",
  "displaced": "the connection was lost, and another client seems to have it",
  "attempt-failed": "an attempt to connect failed",
  "circuit": "the circuit breaker changed its state",
  "resumed": "the machine or the program slept, and runs again",
  "suspected": "the connection is silent, and a second one is opened",
  "standby-failed": "the second connection ended without a result",
  "busy": "the connection is silent; new messages use a second one",
  "capacity-determined": "whether the daemon keeps several connections",
  "keeps-one": "the daemon keeps only one connection for a client",
  "pool-connected": "another connection for calls is open (exai)",
  "pool-lost": "a further connection with calls was lost",
  "pool-attempt-failed": "another connection for calls did not open (exai)",
  "retired": "a connection that is no longer needed was closed",
  "unread": "the daemon does not read, and new messages are queued",
  "health-file": "the state of the daemon's health file (exai)",
  "gave-up": "the program ends, because the daemon was away for too long",
  // Requests and other messages.
  "message": "a message was received or sent",
  "request-failed": "a request ended with an error of alwaysup",
  "request-repeated": "a request was sent again after a lost connection",
  "duplicate-id": "a request was dropped, because its id is in use",
  "dropped-notification": "a notification was dropped",
  "overlong-line": "a line of the client was too long to be read",
  "framed-input": "the client frames its messages with headers",
  "invalid-from-client": "the client sent an invalid message",
  "invalid-from-daemon": "the daemon sent an invalid message",
  "stray-from-client": "a message of the client refers to nothing pending",
  "stray-from-daemon": "a message of the daemon refers to nothing pending",
  "unnamed-error": "the daemon sent an error without the id of a request",
  "unnamed-result": "the daemon sent a result without the id of a request",
  "binary-frame": "a binary frame of the daemon was dropped",
  // The client's session.
  "initialized-locally": "initialize was answered without the daemon",
  "list-changed": "the daemon's tools, prompts or resources have changed",
  "not-restored": "a part of the client's session was not restored",
  "withheld": "a result was not cached, because it contains a secret",
  // The program itself.
  "bad-setting": "a setting or a line of the .env file is not used",
  "cache": "the cache file is not used or not written",
  "status-file": "the status file is not written",
  "log-file": "the log file is not written or not renamed",
  "metrics": "where the metrics are served, or why they are not",
  "broken-stdout": "stdout is closed, so the client is gone",
  "bug": "a bug of alwaysup; please report it",
};

/** The fields of a line in JSON; durations are in milliseconds. */
export type LogFields = Readonly<
  Record<string, string | number | undefined>
>;

/** Returns the fields that a fact adds to a line in JSON. */
export function fieldsOf(fact: LogFact): LogFields {
  switch (fact.type) {
    case "connected": {
      const { attempts, downMs } = fact;
      return { attempts, downMs: Math.round(downMs) };
    }
    case "lost": {
      const { cause, failure: { reason }, failedRequests, readyMs } = fact;
      return { cause, reason, failedRequests, readyMs: Math.round(readyMs) };
    }
    case "attempt-failed":
      return { attempt: fact.attempt, reason: fact.failure.reason };
    case "request-failed": {
      const { method, name, code, reason } = fact.request;
      return { method, ...(name !== undefined && { name }), code, reason };
    }
    case "request-repeated": {
      const { method, name } = fact;
      return { method, ...(name !== undefined && { name }) };
    }
    case "circuit":
      return { state: fact.state };
    case "message": {
      const { type: _, ...fields } = fact;
      return fields;
    }
    case "resumed":
      return {};
  }
}
