/**
 * A proxy whose metrics have every label, for tests of metrics.
 *
 * @module
 */

import type { OperationFigures } from "../../lib/telemetry/figures.ts";
import { EMPTY_HISTORY } from "../../lib/telemetry/history.ts";
import type { MeasuredProxy } from "../../lib/telemetry/metric_families.ts";
import { bucketOf, emptyBuckets } from "../../lib/telemetry/message_figures.ts";

/** Returns the figures of one operation of 0.3 s that has all attributes. */
export function operationOf(
  side: OperationFigures["side"],
  method: string,
): Required<OperationFigures> {
  const buckets = emptyBuckets();
  buckets[bucketOf(0.3)]!++;
  return {
    ...{ side, method, name: "read", buckets, sum: 0.3 },
    ...{ errorType: "-31002", statusCode: -31002 },
    protocolVersion: "2025-11-25",
  };
}

/** Returns a proxy that has just been started, and measured two operations. */
export function newMeasuredProxy(): MeasuredProxy {
  return {
    version: "1.2.3",
    runtime: "deno 2.9.6",
    url: "ws://127.0.0.1:8079/",
    dialect: "mcp",
    ...{ startedAt: 0, now: 0 },
    snapshot: {
      connectionState: { phase: "ready", since: 0 },
      circuit: "closed",
      pendingRequests: 0,
      queuedMessages: 0,
    },
    history: EMPTY_HISTORY,
    figures: {
      operations: (["client", "server"] as const).flatMap((side) =>
        ["tools/call", "prompts/get"].map((method) => operationOf(side, method))
      ),
      bytes: { fromClient: 0, toClient: 0, fromDaemon: 0, toDaemon: 0 },
    },
    labels: {},
  };
}
