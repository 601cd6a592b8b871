/**
 * A transport without a network: the daemon is an object in the test. It
 * answers at once, while the proxy still sends.
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

/** What a daemon does with a dial. */
export type DialBehavior = "accept" | "refuse" | "hang";

/** A connection as the daemon has it. */
export class MemoryConnection implements TransportConnection {
  readonly #connectionId: number;
  readonly #emit: (event: TransportEvent) => void;
  readonly #daemon: MemoryDaemon;
  #phase: "dialing" | "open" | "closed" = "dialing";
  /** How many bytes the daemon has not read, as the proxy sees it. */
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

  /** Whether it is open. */
  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** The daemon accepts the dial. */
  open(): void {
    this.#phase = "open";
    this.#emit({ type: "open", connectionId: this.#connectionId });
  }

  /** The proxy sends. */
  send(text: string): void {
    if (this.isOpen) this.#daemon.receive(JSON.parse(text), this);
  }

  /** The daemon sends. */
  reply(message: Json): void {
    if (!this.isOpen) return;
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#emit({ type: "frame", connectionId: this.#connectionId, text });
  }

  /** The daemon closes it, refuses it (0), or is killed (1006). */
  end(code: number): void {
    if (this.#phase === "closed") return;
    const isServerReached = this.isOpen;
    this.#phase = "closed";
    this.#emit({
      ...{ type: "closed", connectionId: this.#connectionId, code },
      ...{ reason: `code ${code}`, isServerReached },
    });
  }

  /** The proxy closes it. */
  close(): Promise<void> {
    this.end(1000);
    return Promise.resolve();
  }
}

/** The daemon, and the transport that leads to it. */
export class MemoryDaemon implements Transport {
  /** What it does with the next dials. */
  dialing: DialBehavior = "accept";
  /** Every message that it has received. */
  readonly received: Json[] = [];
  /** Every connection, closed ones too. */
  readonly connections: MemoryConnection[] = [];
  readonly #answer: (message: Json) => Json;
  readonly #changes = new Changes();

  /** @param answer returns the answer to a request; `undefined`: none yet */
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
    if (this.dialing === "accept") connection.open();
    if (this.dialing === "refuse") connection.end(0);
    this.#changes.notify();
    return connection;
  }

  /** The connection that was opened last and is open. */
  get connection(): MemoryConnection {
    return this.connections.findLast(({ isOpen }) => isOpen)!;
  }

  /** Handles a message of the proxy. */
  receive(message: Json, connection: MemoryConnection): void {
    this.received.push(message);
    const answer = message.id !== undefined && this.#answer(message);
    if (answer) connection.reply({ id: message.id, ...answer });
    this.#changes.notify();
  }

  /** Ends every connection; the next dials are refused. */
  kill(code: number = 1006): void {
    this.dialing = "refuse";
    for (const connection of this.connections) connection.end(code);
  }

  /** Resolves as soon as the condition holds. */
  async waitUntil(holds: () => boolean, what: string): Promise<void> {
    await this.#changes.until(holds, what);
  }
}
