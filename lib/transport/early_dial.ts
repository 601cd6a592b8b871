/**
 * Dials the daemon before the rest of the program is loaded.
 *
 * @module
 */

import { FIRST_CONNECTION_ID } from "../link/link_set.ts";
import type { Transport, TransportEvent } from "./transport.ts";

/**
 * Dials at once, and returns a transport whose first dial takes over that
 * connection. The opening handshake then runs while the program is loaded.
 *
 * @param subprotocol the subprotocol that the first dial will ask for, if any
 */
export function dialEarly(
  transport: Transport,
  subprotocol: string | undefined,
): Transport {
  const early: TransportEvent[] = [];
  let emit = (event: TransportEvent): void => void early.push(event);
  const connection = transport.dial(
    FIRST_CONNECTION_ID,
    subprotocol,
    (event) => emit(event),
  );
  let isFirst = true;
  return {
    dial: (connectionId, wanted, emitToOwner) => {
      const wasFirst = isFirst;
      isFirst = false;
      const isSame = connectionId === FIRST_CONNECTION_ID &&
        wanted === subprotocol;
      if (wasFirst && !isSame) void connection.close();
      if (!wasFirst || !isSame) {
        return transport.dial(connectionId, wanted, emitToOwner);
      }
      emit = emitToOwner;
      // The caller expects no event before it has the connection.
      queueMicrotask(() => early.splice(0).forEach(emitToOwner));
      return connection;
    },
  };
}
