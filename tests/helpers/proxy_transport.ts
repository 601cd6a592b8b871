/**
 * The proxy as a transport for the SDK's clients of both versions. A test sees
 * every line that the client gets, and the log.
 *
 * @module
 */

import type { ProxyProcess } from "./process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/**
 * An SDK transport: reads lines from the proxy's stdout, writes lines to its
 * stdin.
 */
export class ProxyTransport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: Json) => void;
  readonly #proxy: ProxyProcess;
  #reading: Promise<void> | undefined;

  constructor(proxy: ProxyProcess) {
    this.#proxy = proxy;
  }

  start(): Promise<void> {
    this.#reading = this.#read();
    return Promise.resolve();
  }

  async #read(): Promise<void> {
    const { stdout } = this.#proxy;
    for (let at = 0;; at++) {
      const line = await stdout.waitForLine(() => true, at).catch(() =>
        undefined
      );
      if (line === undefined) return this.onclose?.();
      this.onmessage?.(JSON.parse(line.text));
    }
  }

  async send(message: Json): Promise<void> {
    await this.#proxy.send(message);
  }

  async close(): Promise<void> {
    await this.#proxy.closeStdin();
    await this.#reading;
  }
}
