/**
 * A TCP relay in the test's process. It simulates a network that fails while
 * the daemon keeps running.
 *
 * @module
 */

export class TcpRelay implements AsyncDisposable {
  readonly #listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  readonly #targetPort: number;
  readonly #openSides = new Set<Deno.TcpConn>();
  readonly #clientSides = new Set<Deno.TcpConn>();
  readonly #blackholed = new Set<Deno.TcpConn>();
  readonly #accepting: Promise<void>;
  #pipes: Promise<void>[] = [];

  /** Starts a relay to a port of this machine. */
  constructor(to: number) {
    this.#targetPort = to;
    this.#accepting = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /**
   * Drops all data on the existing connections from now on. If one side closes
   * its connection, the other side does not notice.
   */
  blackhole(): void {
    for (const side of this.#openSides) this.#blackholed.add(side);
  }

  /** Closes every connection. */
  closeConnections(): void {
    for (const side of this.#openSides) this.#close(side);
  }

  /**
   * Writes bytes to the connected clients, as if the daemon had sent them. Then
   * closes every connection.
   */
  async writeAndClose(bytes: Uint8Array): Promise<void> {
    for (const side of this.#openSides) {
      if (this.#clientSides.has(side)) await side.write(bytes);
    }
    this.closeConnections();
  }

  async #accept(): Promise<void> {
    for await (const clientSide of this.#listener) {
      this.#openSides.add(clientSide);
      this.#clientSides.add(clientSide);
      this.#pipes.push(this.#relay(clientSide));
    }
  }

  async #relay(clientSide: Deno.TcpConn): Promise<void> {
    let serverSide: Deno.TcpConn;
    try {
      serverSide = await Deno.connect({
        port: this.#targetPort,
        hostname: "127.0.0.1",
      });
    } catch {
      return this.#close(clientSide);
    }
    this.#openSides.add(serverSide);
    const pipe = async (
      from: Deno.TcpConn,
      to: Deno.TcpConn,
    ): Promise<void> => {
      // The data of a connection in the black hole is dropped.
      const sieve = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          if (!this.#blackholed.has(from)) controller.enqueue(chunk);
        },
      });
      await from.readable.pipeThrough(sieve).pipeTo(to.writable)
        .catch(() => {});
      this.#close(from);
      if (!this.#blackholed.has(from)) this.#close(to);
    };
    await Promise.all([
      pipe(clientSide, serverSide),
      pipe(serverSide, clientSide),
    ]);
  }

  #close(side: Deno.TcpConn): void {
    if (!this.#openSides.delete(side)) return;
    try {
      side.close();
    } catch {
      // The end of its streams has already closed the connection.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.closeConnections();
    await this.#accepting;
    await Promise.all(this.#pipes);
  }
}
