/**
 * A TCP relay inside the test: a network that can be cut while the daemon keeps
 * running.
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

  /** Relays to a port of this machine. */
  constructor(to: number) {
    this.#targetPort = to;
    this.#accepting = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /**
   * From now on nothing passes on the existing connections, not even their
   * ends, and neither side notices.
   */
  blackhole(): void {
    for (const side of this.#openSides) this.#blackholed.add(side);
  }

  /** Cuts every connection. */
  closeConnections(): void {
    for (const side of this.#openSides) this.#close(side);
  }

  /**
   * Writes bytes to the connected clients, as if the daemon had, and cuts every
   * connection.
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
      // A side that was cut sends nothing more.
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
      // Its streams have already closed it.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.closeConnections();
    await this.#accepting;
    await Promise.all(this.#pipes);
  }
}
