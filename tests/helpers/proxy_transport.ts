/**
 * Connects the SDK's clients of both versions to a proxy process. A test can
 * also read the lines for the client and the proxy's log.
 *
 * @module
 */

import type { ProxyProcess } from "./process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/**
 * A transport for the SDK: reads lines from the proxy's stdout, and writes
 * lines to its stdin.
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
