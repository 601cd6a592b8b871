/**
 * Appends to a file, and rotates it, with the packages of LogTape. Only the log
 * file imports this module, and only if a setting names it: loading it takes
 * 5 ms under Node and Bun, and 30 ms under Deno.
 *
 * From source, Deno uses the package's driver for Deno. In the bundle, all
 * runtimes use its driver for Node, because the other one fails without Deno.
 *
 * @module
 */

import { configureSync, type Sink } from "npm:/@logtape/logtape@2.4.2";
import {
  getRotatingFileSink,
  type RotatingFileSinkOptions,
} from "npm:/@logtape/file@2.3.10";

/** The failures that LogTape has reported and nobody has handled yet. */
const failures: unknown[] = [];

configureSync({
  sinks: { failures: ({ properties }) => void failures.push(properties.error) },
  loggers: [{
    category: ["logtape", "meta"],
    sinks: ["failures"],
    lowestLevel: "warning",
  }],
});

/** Opens a sink. The package's own type names the other overload first. */
const openSink: (
  path: string,
  options: RotatingFileSinkOptions & { readonly nonBlocking: true },
) => Sink & AsyncDisposable = getRotatingFileSink;

/** The sink ignores it, because the formatter returns the text. */
const RECORD = {
  category: [],
  level: "info",
  message: [],
  rawMessage: "",
  timestamp: 0,
  properties: {},
} as const;

/** When a file is rotated. */
export interface Rotation {
  /** Above this size, the file is renamed to `PATH.1`. */
  readonly maxBytes: number;
  /** How many renamed files are kept: `PATH.1`, `PATH.2` and so on. */
  readonly maxOldFiles: number;
}

/**
 * Appends a text before it returns, and then flushes it to the disk. Throws if
 * the text or the rotation fails; rejects if the flush fails.
 *
 * Each call has a sink of its own. A sink that stays open would not notice that
 * another process has renamed the file, would count only its own bytes, and
 * keeps a closed file descriptor after a failed rotation.
 */
export function appendToFile(
  path: string,
  text: string,
  rotation?: Rotation,
): Promise<void> {
  failures.length = 0;
  const sink = openSink(path, {
    // Otherwise, the flush would block the whole program.
    nonBlocking: true,
    bufferSize: 0,
    maxSize: rotation?.maxBytes ?? Infinity,
    maxFiles: rotation?.maxOldFiles ?? 1,
    formatter: () => text,
  });
  sink(RECORD);
  if (failures.length === 0) return closeSink(sink);
  const [error] = failures;
  // If a rotation fails, the sink has closed its file. To close it again could
  // close another file or socket that has got the same descriptor.
  if (rotation === undefined) void closeSink(sink).catch(() => {});
  throw error;
}

/** Closes a sink after its flush. Rejects if the flush has failed. */
async function closeSink(sink: AsyncDisposable): Promise<void> {
  await sink[Symbol.asyncDispose]();
  if (failures.length > 0) throw failures.pop();
}
