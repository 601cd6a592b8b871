/**
 * The interface between the proxy and its connections to the daemon. This
 * folder opens connections, sends and receives frames, and finds out why a dial
 * failed or a connection closed.
 *
 * @module
 */

import type { SocketEvent } from "../events.ts";

/** An event on a connection. */
export type TransportEvent = Exclude<SocketEvent, { type: "backlog" }>;

/** One connection, from the dial to the end. */
export interface TransportConnection {
  /** Sends a text frame; does nothing if the connection is not open. */
  send(text: string): void;
  /** The bytes that were given to {@linkcode send} and are not yet sent. */
  readonly backlog: number;
  /** Closes the connection or abandons its dial; resolves when that is done. */
  close(): Promise<void>;
}

/** Opens connections to one daemon. */
export interface Transport {
  /**
   * Dials the daemon and emits the connection's events. The last event is
   * `closed`, which is emitted exactly once. Never throws.
   *
   * @param subprotocol the WebSocket subprotocol to offer, if any
   */
  dial(
    connectionId: number,
    subprotocol: string | undefined,
    emit: (event: TransportEvent) => void,
  ): TransportConnection;
}
