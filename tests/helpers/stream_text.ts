/**
 * Waits for a text in a stream of Node's, such as the stderr of a transport of
 * the SDK.
 *
 * @module
 */

/** A readable stream, as far as it is needed here. */
interface DataStream {
  on(event: "data", listener: (chunk: unknown) => void): unknown;
}

/** Reads the stream to its end. Resolves when a text has come. */
export function waitForText(stream: DataStream, text: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let received = "";
  stream.on("data", (chunk) => {
    received += String(chunk);
    if (received.includes(text)) resolve();
  });
  return promise;
}
