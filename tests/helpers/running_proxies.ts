/**
 * The statuses of running proxies, for tests of commands.
 *
 * @module
 */

import type { View } from "../../lib/commands/command_output.ts";
import type { CheckedDaemon } from "../../lib/commands/doctor/running_checks.ts";
import type { ProxyStatus } from "../../lib/proxy/status_format.ts";
import { EMPTY_HISTORY } from "../../lib/telemetry/history.ts";
import type { ConnectionState } from "../../lib/session/snapshot.ts";

/** The configured daemon. */
export const TARGET: CheckedDaemon = {
  redactedUrl: "ws://127.0.0.1:8079/",
  dialect: "mcp",
};

/** The time of the check, in milliseconds. */
export const NOW = 7_200_000;

/** The view of a text that no terminal limits. */
export const ENDLESS: View = {
  ...{ now: NOW, columns: Infinity, rows: Infinity, hasColors: false },
  ...{ problemCount: 0 },
};

/** A text with control characters, which a terminal must not get. */
export const EVIL = "a\x1b[31m\r\nb\x9b2J";

export const READY: ConnectionState = { phase: "ready", since: 0 };

/** The state of a connection that waits for its next dial. */
export const WAITING: ConnectionState = {
  phase: "waiting",
  attempt: 4,
  nextAt: NOW + 8_000,
};

/** Returns the status of a running proxy, with the given changes. */
export function proxyStatus(changes: Partial<ProxyStatus> = {}): ProxyStatus {
  return {
    ...{ pid: 7, version: "1", runtime: "deno 2", url: TARGET.redactedUrl },
    ...{ dialect: "mcp", startedAt: 1_000, client: "editor 1" },
    ...{
      connectionState: READY,
      reconnects: 0,
      pendingRequests: 0,
      lastError: undefined,
    },
    ...{ connections: "unknown", answersDuringCalls: undefined },
    ...{ circuit: "closed", queuedMessages: 0, history: EMPTY_HISTORY },
    ...changes,
  };
}
