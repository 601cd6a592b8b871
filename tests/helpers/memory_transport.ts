/**
 * A transport without a network. The daemon is an object in the test, and it
 * responds before the proxy's `send` returns.
 *
 * @module
 */

import type {
  Transport,
  TransportConnection,
  TransportEvent,
} from "../../lib/transport/transport.ts";
import { Changes } from "./time_limit.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** How the daemon reacts to a dial. */
export type DialBehavior = "accept" | "refuse" | "hang";

/** One connection between the proxy and the daemon. */
export class MemoryConnection implements TransportConnection {
  readonly #connectionId: number;
  readonly #emit: (event: TransportEvent) => void;
  readonly #daemon: MemoryDaemon;
  #phase: "dialing" | "open" | "closed" = "dialing";
  /** The number of bytes from the proxy that the daemon has not read yet. */
  backlog = 0;

  constructor(
    daemon: MemoryDaemon,
    connectionId: number,
    emit: (event: TransportEvent) => void,
  ) {
    this.#daemon = daemon;
    this.#connectionId = connectionId;
    this.#emit = emit;
  }

  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** Opens the connection: the daemon accepts the dial. */
  open(): void {
    this.#phase = "open";
    this.#emit({ type: "open", connectionId: this.#connectionId });
  }

  /** Delivers a message from the proxy to the daemon. */
  send(text: string): void {
    if (this.isOpen) this.#daemon.receive(JSON.parse(text), this);
  }

  /** Delivers a message from the daemon to the proxy. */
  reply(message: Json): void {
    if (!this.isOpen) return;
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#emit({ type: "frame", connectionId: this.#connectionId, text });
  }

  /** Ends the connection as the daemon. 0 refuses a dial, 1006 is a crash. */
  end(code: number): void {
    if (this.#phase === "closed") return;
    const mayHaveReachedServer = this.isOpen;
    this.#phase = "closed";
    this.#emit({
      ...{ type: "closed", connectionId: this.#connectionId, code },
      ...{ reason: `code ${code}`, mayHaveReachedServer },
    });
  }

  /** Closes the connection for the proxy. */
  close(): Promise<void> {
    this.end(1000);
    return Promise.resolve();
  }
}

/** The daemon, and the transport that connects to it. */
export class MemoryDaemon implements Transport {
  /** How the daemon reacts to the next dials. */
  dialBehavior: DialBehavior = "accept";
  readonly received: Json[] = [];
  /** All connections, including those that have ended. */
  readonly connections: MemoryConnection[] = [];
  readonly #answer: (message: Json) => Json;
  readonly #changes = new Changes();

  /** @param answer returns a response without its id; `undefined` for none */
  constructor(answer: (message: Json) => Json) {
    this.#answer = answer;
  }

  dial(
    connectionId: number,
    _subprotocol: string | undefined,
    emit: (event: TransportEvent) => void,
  ): TransportConnection {
    const connection = new MemoryConnection(this, connectionId, emit);
    this.connections.push(connection);
    if (this.dialBehavior === "accept") connection.open();
    if (this.dialBehavior === "refuse") connection.end(0);
    this.#changes.notify();
    return connection;
  }

  /** The last connection that is open. */
  get connection(): MemoryConnection {
    return this.connections.findLast(({ isOpen }) => isOpen)!;
  }

  /** Handles a message from the proxy. */
  receive(message: Json, connection: MemoryConnection): void {
    this.received.push(message);
    const answer = message.id !== undefined && this.#answer(message);
    if (answer) connection.reply({ id: message.id, ...answer });
    this.#changes.notify();
  }

  /** Ends every connection, and refuses the next dials. */
  kill(code: number = 1006): void {
    this.dialBehavior = "refuse";
    for (const connection of this.connections) connection.end(code);
  }

  /** Waits until a condition is true. */
  async waitUntil(holds: () => boolean, what: string): Promise<void> {
    await this.#changes.until(holds, what);
  }
}
