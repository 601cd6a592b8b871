/**
 * The host for Deno, on its own stdin, stdout and signals: `node:process` would
 * cost the start 20 ms.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** Deno. */
export const deno: Host = {
  runtime: `deno ${Deno.version.deno}`,
  args: Deno.args,
  env: () => Deno.env.toObject(),
  readFile: (path) => Deno.readTextFileSync(path),
  stdin: () => Deno.stdin.readable,
  writeStdout: (bytes) => Deno.stdout.write(bytes),
  writeStderr: (bytes) => Deno.stderr.write(bytes),
  onSignal: (callback) => {
    const isWindows = Deno.build.os === "windows";
    const signals: Deno.Signal[] = isWindows
      ? ["SIGINT", "SIGBREAK"]
      : ["SIGINT", "SIGTERM", "SIGHUP"];
    for (const signal of signals) Deno.addSignalListener(signal, callback);
  },
  exit: (code) => Deno.exit(code),
};
