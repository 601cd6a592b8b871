/**
 * Tests that the first dial of a session takes over an early connection.
 *
 * @module
 */

import { dialEarly } from "../../../lib/transport/early_dial.ts";
import type {
  Transport,
  TransportConnection,
  TransportEvent,
} from "../../../lib/transport/transport.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** A transport that records its dials. */
class RecordingTransport implements Transport {
  readonly dials: { connectionId: number; subprotocol: string | undefined }[] =
    [];
  readonly connections: TransportConnection[] = [];
  readonly emits: ((event: TransportEvent) => void)[] = [];

  dial(
    connectionId: number,
    subprotocol: string | undefined,
    emit: (event: TransportEvent) => void,
  ): TransportConnection {
    const close = (): Promise<void> => Promise.resolve();
    const connection = { send: (): void => {}, backlog: 0, close };
    this.dials.push({ connectionId, subprotocol });
    this.connections.push(connection);
    this.emits.push(emit);
    return connection;
  }
}

test("Early dial: the first dial gets the early connection, and all its events in order", async () => {
  const inner = new RecordingTransport();
  const transport = dialEarly(inner, "mcp");
  assertEquals(inner.dials, [{ connectionId: 1, subprotocol: "mcp" }]);
  inner.emits[0]!({ type: "open", connectionId: 1, subprotocol: "mcp" });
  const events: TransportEvent[] = [];
  const connection = transport.dial(1, "mcp", (event) => events.push(event));
  assertEquals(events, [], "no event before the connection is known");
  assertEquals(connection === inner.connections[0], true);
  await Promise.resolve();
  inner.emits[0]!({ type: "frame", connectionId: 1, text: "{}" });
  assertEquals(events.map(({ type }) => type), ["open", "frame"]);
  transport.dial(2, "mcp", () => {});
  transport.dial(1, "mcp", () => {});
  assertEquals(inner.dials.map((it) => it.connectionId), [1, 2, 1]);
});

test("Early dial: a first dial for another subprotocol does not get the early connection", async () => {
  const inner = new RecordingTransport();
  let closed = 0;
  const transport = dialEarly(inner, "mcp");
  inner.connections[0]!.close = () => {
    closed++;
    return Promise.resolve();
  };
  const events: TransportEvent[] = [];
  transport.dial(1, undefined, (event) => events.push(event));
  inner.emits[0]!({ type: "open", connectionId: 1 });
  await Promise.resolve();
  assertEquals([events, closed], [[], 1]);
  assertEquals(inner.dials.map(({ subprotocol }) => subprotocol), [
    "mcp",
    undefined,
  ]);
});
