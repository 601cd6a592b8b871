/**
 * A TCP relay inside the test: a network that can be cut while the daemon lives
 * on.
 *
 * @module
 */

export class Relay implements AsyncDisposable {
  readonly #listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  readonly #to: number;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #near = new Set<Deno.TcpConn>();
  readonly #swallowed = new Set<Deno.TcpConn>();
  readonly #done: Promise<void>;
  #pipes: Promise<void>[] = [];

  /** Relays to a port of this machine. */
  constructor(to: number) {
    this.#to = to;
    this.#done = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** From now on nothing passes on the connections that there are, their ends neither, and nobody hears of it. */
  swallow(): void {
    for (const side of this.#open) this.#swallowed.add(side);
  }

  /** Cuts every connection. */
  cut(): void {
    for (const side of this.#open) this.#end(side);
  }

  /** Writes bytes to those who have connected, as if the daemon had, and cuts every connection. */
  async end(bytes: Uint8Array): Promise<void> {
    for (const side of this.#open) {
      if (this.#near.has(side)) await side.write(bytes);
    }
    this.cut();
  }

  async #accept(): Promise<void> {
    for await (const near of this.#listener) {
      this.#open.add(near);
      this.#near.add(near);
      this.#pipes.push(this.#join(near));
    }
  }

  async #join(near: Deno.TcpConn): Promise<void> {
    let far: Deno.TcpConn;
    try {
      far = await Deno.connect({ port: this.#to, hostname: "127.0.0.1" });
    } catch {
      return this.#end(near);
    }
    this.#open.add(far);
    const pipe = async (
      from: Deno.TcpConn,
      to: Deno.TcpConn,
    ): Promise<void> => {
      // A side that was cut has nothing more to say.
      const sieve = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          if (!this.#swallowed.has(from)) controller.enqueue(chunk);
        },
      });
      await from.readable.pipeThrough(sieve).pipeTo(to.writable)
        .catch(() => {});
      this.#end(from);
      if (!this.#swallowed.has(from)) this.#end(to);
    };
    await Promise.all([pipe(near, far), pipe(far, near)]);
  }

  #end(side: Deno.TcpConn): void {
    if (!this.#open.delete(side)) return;
    try {
      side.close();
    } catch {
      // Its streams have closed it.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    await this.#done;
    await Promise.all(this.#pipes);
  }
}
