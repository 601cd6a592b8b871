/**
 * Waits for a text in a Node stream, such as the stderr of an SDK transport.
 *
 * @module
 */

/** The members of a readable stream that are used here. */
interface DataStream {
  on(event: "data", listener: (chunk: unknown) => void): unknown;
}

/** Waits until a stream has delivered a text. Keeps reading until its end. */
export function waitForText(stream: DataStream, text: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let received = "";
  stream.on("data", (chunk) => {
    received += String(chunk);
    if (received.includes(text)) resolve();
  });
  return promise;
}
