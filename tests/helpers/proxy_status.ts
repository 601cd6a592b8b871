/**
 * The content of a running proxy's status file.
 *
 * @module
 */

import type { LiveStatus } from "../../lib/proxy/status_format.ts";
import type { ProxyInfo } from "../../lib/telemetry/figures.ts";
import { EMPTY_HISTORY } from "../../lib/telemetry/history.ts";

export const PROXY_INFO: ProxyInfo = {
  ...{ pid: 7, version: "1", runtime: "deno 2", url: "ws://h/" },
  ...{ dialect: "mcp", startedAt: 1_000 },
};

export const SNAPSHOT: LiveStatus = {
  client: "editor 1",
  connectionState: { phase: "ready", since: 5.4 },
  ...{ reconnects: 2, pendingRequests: 3, lastError: undefined },
  ...{ connections: "one", answersDuringCalls: false },
  ...{ circuit: "closed", queuedMessages: 1, history: EMPTY_HISTORY },
};

/** The age at which a status file counts as abandoned, in milliseconds. */
export const STALE_MS = 16_000;

/** Sets the age of files to {@linkcode STALE_MS}. */
export function makeStale(...paths: string[]): void {
  const date = new Date(Date.now() - STALE_MS);
  for (const path of paths) Deno.utimeSync(path, date, date);
}
