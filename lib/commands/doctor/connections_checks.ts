/**
 * Reports how many connections the daemon keeps for one client.
 *
 * @module
 */

import type { ConnectionsSetting } from "../../link/capacity_detector.ts";
import type { CheckResult } from "./check.ts";
import { formatDuration, type ProxyStatus } from "../../proxy/status_format.ts";
import type { Snapshot } from "../../session/snapshot.ts";

/** A finding of doctor itself; running proxies have findings of their own. */
export interface ConnectionsFinding {
  /**
   * The source: `--connections`, the dialect (in exai, each call has its own
   * connection), the cache, or a capacity check (`trial`), even if it failed.
   */
  readonly from: "setting" | "dialect" | "cache" | "capacity-check";
  /** How many connections the daemon keeps for one client. */
  readonly connections: Snapshot["connections"];
  /** How long the cached finding is still valid, in milliseconds. */
  readonly validForMs?: number;
  /** The reason why no capacity check was possible. */
  readonly problem?: string;
}

const EXAI_FINDING =
  "each call has a connection of its own: the dialect is exai";
const CAPACITY_FINDINGS: Readonly<Record<Snapshot["connections"], string>> = {
  one: "the daemon keeps one connection for a client",
  many: "the daemon keeps several connections for a client",
  unknown:
    "it is unknown whether the daemon keeps one connection for a client " +
    "or several",
};

/** Returns the check that reports doctor's own finding. */
export function connectionsCheck(finding: ConnectionsFinding): CheckResult {
  const { from, connections } = finding;
  const untried = from === "dialect"
    ? ""
    : "\nit is unknown whether the daemon answers during calls: doctor calls no tool";
  return {
    name: "connections",
    state: connections === "unknown" ? "skip" : "ok",
    text: describeFinding(finding) + untried,
    data: { ...finding, answersDuringCalls: null },
  };
}

function describeFinding(
  { from, connections, validForMs = 0, problem }: ConnectionsFinding,
): string {
  const capacity = CAPACITY_FINDINGS[connections];
  if (from === "dialect") return EXAI_FINDING;
  if (from === "setting") {
    return `${capacity}, because --connections is set; doctor tested nothing`;
  }
  if (from === "cache") {
    return `${capacity}, according to the cache (valid for another ${
      formatDuration(validForMs)
    })`;
  }
  if (connections === "many") {
    return `${capacity}: doctor opened two, and both were answered`;
  }
  if (connections === "one") {
    return "one connection for a client is assumed: doctor opened a " +
      "second one, and the daemon did not answer on both at the same time";
  }
  const why = problem ??
    "the daemon's first answer took more than 150 ms, or probes are off";
  return `${capacity}: doctor did not test a second one (${why})`;
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
): CheckResult {
  // Connected proxies come first, because their findings are current.
  const inOrder = [
    ...proxies.filter(({ connectionState }) =>
      connectionState.phase === "ready"
    ),
    ...proxies,
  ];
  const isExai = inOrder[0]!.dialect === "exai";
  const capacitySource = inOrder.find((it) => it.connections !== "unknown");
  const probeSource = inOrder.find((it) => it.answersDuringCalls !== undefined);
  const connections = capacitySource?.connections ?? "unknown";
  const source = capacitySource === undefined
    ? "; one is assumed"
    : `, says proxy ${capacitySource.pid}`;
  const lines = [
    isExai ? EXAI_FINDING : CAPACITY_FINDINGS[connections] + source,
  ];
  if (probeSource !== undefined) {
    const verb = probeSource.answersDuringCalls ? "answers" : "does not answer";
    lines.push(`it ${verb} during calls, says proxy ${probeSource.pid}`);
  } else if (!isExai) {
    const why = "no call has shown it";
    lines.push(`it is unknown whether the daemon answers during calls: ${why}`);
  }
  if (ownSetting !== "auto") {
    lines.push(`doctor itself runs with --connections ${ownSetting}`);
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
