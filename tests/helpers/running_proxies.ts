/**
 * Running proxies as `doctor` finds them.
 *
 * @module
 */

import type { CheckedDaemon } from "../../lib/commands/doctor/running_checks.ts";
import type { ProxyStatus } from "../../lib/proxy/status_format.ts";
import type { ConnectionState } from "../../lib/session/snapshot.ts";

/** The daemon of the configuration. */
export const TARGET: CheckedDaemon = {
  redactedUrl: "ws://127.0.0.1:8079/",
  dialect: "mcp",
};

/** The moment of the check. */
export const NOW = 7_200_000;

/** A connection that is ready. */
export const READY: ConnectionState = { phase: "ready", since: 0 };

/** A connection that waits for its next dial. */
export const WAITING: ConnectionState = {
  phase: "waiting",
  attempt: 4,
  nextAt: NOW + 8_000,
};

/** A running proxy, with changes. */
export function proxyStatus(changes: Partial<ProxyStatus> = {}): ProxyStatus {
  return {
    ...{ pid: 7, version: "1", runtime: "deno 2", url: TARGET.redactedUrl },
    ...{ dialect: "mcp", startedAt: 1_000, client: "editor 1" },
    ...{ standing: READY, reconnects: 0, owed: 0, lastError: undefined },
    ...{ connections: "unknown", answersDuringCalls: undefined },
    ...changes,
  };
}
