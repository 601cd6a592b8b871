/**
 * A running proxy, as its status file describes it.
 *
 * @module
 */

import type { ProxyInfo } from "../../lib/proxy/status_format.ts";
import type { Snapshot } from "../../lib/session/snapshot.ts";

/** The program. */
export const PROXY: ProxyInfo = {
  ...{ pid: 7, version: "1", runtime: "deno 2", url: "ws://h/" },
  ...{ dialect: "mcp", startedAt: 1_000 },
};

/** Its session. */
export const SNAPSHOT: Snapshot = {
  client: "editor 1",
  standing: { phase: "ready", since: 5.4 },
  ...{ reconnects: 2, owed: 3, lastError: undefined },
  ...{ connections: "one", answersDuringCalls: false },
};

/** An age at which a file's proxy counts as ended, in milliseconds. */
export const STALE_MS = 16_000;

/** Makes files so old. */
export function makeStale(...paths: string[]): void {
  const date = new Date(Date.now() - STALE_MS);
  for (const path of paths) Deno.utimeSync(path, date, date);
}
