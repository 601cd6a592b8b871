/**
 * Checks how many connections a daemon keeps for a client.
 *
 * @module
 */

import type { ConnectionsSetting } from "../../link/capacity_detector.ts";
import type { Check } from "./check.ts";
import { formatDuration, type ProxyStatus } from "../../proxy/status_format.ts";
import type { Snapshot } from "../../session/snapshot.ts";

/** What is known about a daemon without a running proxy, and its source. */
export type ConnectionsFinding =
  /** `--connections` is set. */
  | { readonly from: "setting"; readonly connections: "one" | "many" }
  /** In exai, each call has a connection of its own. */
  | { readonly from: "dialect"; readonly connections: "many" }
  /** The cache has it, for `forMs` more milliseconds. */
  | {
    readonly from: "cache";
    readonly connections: "one";
    readonly forMs: number;
  }
  /** A capacity check was made, or was to be made. */
  | {
    readonly from: "trial";
    readonly connections: Snapshot["connections"];
    /** Why the capacity check could not be made. */
    readonly trouble?: string;
  };

/** Returns the check for what doctor itself has found. */
export function connectionsCheck(finding: ConnectionsFinding): Check {
  const { from, connections } = finding;
  const during = from === "dialect"
    ? []
    : ["whether it answers during calls cannot be tried: doctor calls no tool"];
  return {
    name: "connections",
    state: connections === "unknown" ? "skip" : "ok",
    text: [describeFinding(finding), ...during].join("\n"),
    data: { ...finding, answersDuringCalls: null },
  };
}

function describeFinding(finding: ConnectionsFinding): string {
  const { from, connections } = finding;
  switch (from) {
    case "setting":
      return `${
        describeCapacity(connections)
      }, because --connections is set: nothing ` +
        "is tried";
    case "dialect":
      return "each call has a connection of its own: the dialect is exai";
    case "cache":
      return `${describeCapacity(connections)}, says the cache (for ${
        formatDuration(finding.forMs)
      } more)`;
    case "trial": {
      const why = finding.trouble === undefined ? "" : ` (${finding.trouble})`;
      if (connections === "many") {
        return `${describeCapacity(connections)}: two were tried`;
      }
      return connections === "one"
        ? "the daemon counts as keeping one connection for a client: a second " +
          "one was tried, and not both were answered"
        : `${UNKNOWN_CAPACITY}: a second one was not tried` +
          (why ||
            " (its first answer took more than 150 ms, or probes are off)");
    }
  }
}

/**
 * Returns the check for what running proxies of one daemon know about it.
 *
 * @param proxies at least one
 * @param set the `--connections` setting of doctor itself
 */
export function proxyConnectionsCheck(
  proxies: readonly ProxyStatus[],
  set: ConnectionsSetting,
): Check {
  // A connected proxy knows more than one that was connected.
  const inOrder = [
    ...proxies.filter(({ standing }) => standing.phase === "ready"),
    ...proxies,
  ];
  const capacitySource = inOrder.find(({ connections }) =>
    connections !== "unknown"
  );
  const probeSource = inOrder.find((it) => it.answersDuringCalls !== undefined);
  const isExai = inOrder[0]!.dialect === "exai";
  const lines: string[] = [];
  if (isExai) {
    lines.push(describeFinding({ from: "dialect", connections: "many" }));
  } else if (capacitySource === undefined) {
    lines.push(`${UNKNOWN_CAPACITY}; it counts as one`);
  } else {lines.push(
      `${
        describeCapacity(capacitySource.connections)
      }, says proxy ${capacitySource.pid}`,
    );}
  if (probeSource !== undefined) {
    const verb = probeSource.answersDuringCalls ? "answers" : "does not answer";
    lines.push(`it ${verb} during calls, says proxy ${probeSource.pid}`);
  } else if (!isExai) {
    lines.push(
      "whether it answers during calls is not known: no call has shown it",
    );
  }
  if (set !== "auto") lines.push(`here, --connections ${set} is set`);
  return {
    name: "connections",
    state: isExai || capacitySource !== undefined ? "ok" : "skip",
    text: lines.join("\n"),
    data: {
      from: "proxy",
      connections: isExai ? "many" : capacitySource?.connections ?? "unknown",
      answersDuringCalls: probeSource?.answersDuringCalls ?? null,
      pid: (capacitySource ?? probeSource)?.pid ?? null,
      ...(set !== "auto" && { set }),
    },
  };
}

const UNKNOWN_CAPACITY =
  "whether the daemon keeps one connection for a client or " +
  "several is not known";

function describeCapacity(connections: Snapshot["connections"]): string {
  return connections === "one"
    ? "the daemon keeps one connection for a client"
    : "the daemon keeps several connections for a client";
}
