/**
 * Combines what looks at every message. It is loaded only if a setting asks for
 * one of its parts.
 *
 * This folder contains what makes a proxy observable: a fold over the events
 * and the effects of a session. The session does not know of it.
 *
 * @module
 */

import type { Redactor } from "../config/secrets.ts";
import type { LogEffect } from "../events.ts";
import { ClientLog } from "./client_log.ts";
import { MessageCounter } from "./message_figures.ts";
import { MessageLog } from "./message_log.ts";
import { MessageObserver, type TelemetrySink } from "./message_observer.ts";

/** Which parts are on. */
export interface TelemetryOptions {
  /** True if the figures of all messages are collected. */
  readonly countsMessages: boolean;
  /** True if the client gets warnings. */
  readonly logsToClient: boolean;
  /** Writes the log line of a message; `undefined` to write none. */
  readonly writeMessageLine: ((entry: LogEffect) => void) | undefined;
  /** Removes secrets from a text. */
  readonly redact: Redactor;
}

/** What looks at every message. */
export interface Telemetry {
  /** Passes each event and its effects to the parts. */
  readonly observer: MessageObserver;
  /** The figures of all messages; `undefined` if they are not collected. */
  readonly counter: MessageCounter | undefined;
  /** The warnings for the client; `undefined` if it gets none. */
  readonly clientLog: ClientLog | undefined;
}

/** Creates the parts that are on. */
export function createTelemetry(
  { countsMessages, logsToClient, writeMessageLine, redact }: TelemetryOptions,
): Telemetry {
  const counter = countsMessages ? new MessageCounter(redact) : undefined;
  const clientLog = logsToClient ? new ClientLog(redact) : undefined;
  const log = writeMessageLine && new MessageLog(writeMessageLine, redact);
  const sinks: TelemetrySink[] = [counter, clientLog, log]
    .filter((sink) => sink !== undefined);
  return { observer: new MessageObserver(sinks), counter, clientLog };
}
