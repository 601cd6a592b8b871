/**
 * Reports how many connections the daemon keeps for one client.
 *
 * @module
 */

import type { ConnectionsSetting } from "../../link/capacity_detector.ts";
import type { Check } from "./check.ts";
import { formatDuration, type ProxyStatus } from "../../proxy/status_format.ts";
import type { Snapshot } from "../../session/snapshot.ts";

/** A finding that doctor made itself, not a running proxy. */
export interface ConnectionsFinding {
  /**
   * The source: `--connections`, the dialect (in exai, each call has its own
   * connection), the cache, or a capacity check (`trial`), even if it failed.
   */
  readonly from: "setting" | "dialect" | "cache" | "trial";
  /** How many connections the daemon keeps for one client. */
  readonly connections: Snapshot["connections"];
  /** How long the cached finding is still valid, in milliseconds. */
  readonly forMs?: number;
  /** The reason why no capacity check was possible. */
  readonly trouble?: string;
}

const EXAI_FINDING =
  "each call has a connection of its own: the dialect is exai";
const CAPACITY_FINDINGS: Readonly<Record<Snapshot["connections"], string>> = {
  one: "the daemon keeps one connection for a client",
  many: "the daemon keeps several connections for a client",
  unknown: "whether the daemon keeps one connection for a client or several " +
    "is not known",
};

/** Returns the check that reports doctor's own finding. */
export function connectionsCheck(finding: ConnectionsFinding): Check {
  const { from, connections } = finding;
  const untried = from === "dialect"
    ? ""
    : "\nwhether it answers during calls cannot be tried: doctor calls no tool";
  return {
    name: "connections",
    state: connections === "unknown" ? "skip" : "ok",
    text: describeFinding(finding) + untried,
    data: { ...finding, answersDuringCalls: null },
  };
}

function describeFinding(
  { from, connections, forMs = 0, trouble }: ConnectionsFinding,
): string {
  const capacity = CAPACITY_FINDINGS[connections];
  if (from === "dialect") return EXAI_FINDING;
  if (from === "setting") {
    return `${capacity}, because --connections is set: nothing is tried`;
  }
  if (from === "cache") {
    return `${capacity}, says the cache (for ${formatDuration(forMs)} more)`;
  }
  if (connections === "many") return `${capacity}: two were tried`;
  if (connections === "one") {
    return "the daemon counts as keeping one connection for a client: a " +
      "second one was tried, and not both were answered";
  }
  const why = trouble ??
    "its first answer took more than 150 ms, or probes are off";
  return `${capacity}: a second one was not tried (${why})`;
}

/**
 * Returns the check that reports the findings of running proxies of one daemon.
 *
 * @param proxies at least one
 * @param ownSetting doctor's own `--connections` setting
 */
export function proxyConnectionsCheck(
  proxies: readonly ProxyStatus[],
  ownSetting: ConnectionsSetting,
): Check {
  // Connected proxies come first, because their findings are current.
  const inOrder = [
    ...proxies.filter(({ standing }) => standing.phase === "ready"),
    ...proxies,
  ];
  const isExai = inOrder[0]!.dialect === "exai";
  const capacitySource = inOrder.find((it) => it.connections !== "unknown");
  const probeSource = inOrder.find((it) => it.answersDuringCalls !== undefined);
  const connections = capacitySource?.connections ?? "unknown";
  const source = capacitySource === undefined
    ? "; it counts as one"
    : `, says proxy ${capacitySource.pid}`;
  const lines = [
    isExai ? EXAI_FINDING : CAPACITY_FINDINGS[connections] + source,
  ];
  if (probeSource !== undefined) {
    const verb = probeSource.answersDuringCalls ? "answers" : "does not answer";
    lines.push(`it ${verb} during calls, says proxy ${probeSource.pid}`);
  } else if (!isExai) {
    const why = "no call has shown it";
    lines.push(`whether it answers during calls is not known: ${why}`);
  }
  if (ownSetting !== "auto") {
    lines.push(`here, --connections ${ownSetting} is set`);
  }
  return {
    name: "connections",
    state: isExai || capacitySource !== undefined ? "ok" : "skip",
    text: lines.join("\n"),
    data: {
      from: "proxy",
      connections: isExai ? "many" : connections,
      answersDuringCalls: probeSource?.answersDuringCalls ?? null,
      pid: (capacitySource ?? probeSource)?.pid ?? null,
      ...(ownSetting !== "auto" && { set: ownSetting }),
    },
  };
}
