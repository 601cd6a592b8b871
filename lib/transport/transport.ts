/**
 * How the bytes travel: what the proxy knows of a connection to the daemon,
 * whatever carries it.
 *
 * @module
 */

import type { SocketEvent } from "../events.ts";

/** What happens to a connection. */
export type TransportEvent = Exclude<SocketEvent, { type: "backlog" }>;

/** A connection that is being opened or is open. */
export interface TransportConnection {
  /** Sends a frame; does nothing on a connection that is not open. */
  send(text: string): void;
  /** How many bytes were given to {@linkcode send} and have not left. */
  readonly backlog: number;
  /** Starts to close. Resolves when the daemon has seen it, or never will. */
  close(): Promise<void>;
}

/** Makes connections to one daemon. */
export interface Transport {
  /**
   * Opens a connection and reports what happens to it; `closed` comes exactly
   * once and last. Never throws.
   *
   * @param subprotocol the version of the daemon's protocol to ask for
   */
  dial(
    connectionId: number,
    subprotocol: string | undefined,
    emit: (event: TransportEvent) => void,
  ): TransportConnection;
}
