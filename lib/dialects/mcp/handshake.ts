/**
 * Replays the client's `initialize` on a new link, and evaluates the daemon's
 * response.
 *
 * @module
 */

import { LIST_CHANGED_KINDS } from "../../protocol/lists.ts";
import type { Incoming, LocalInitialize } from "../dialect.ts";
import { prependMember, replaceValue } from "../../json/spans.ts";
import {
  ErrorCode,
  getMember,
  type Id,
  type InvalidMessage,
  isRecord,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import { usesInitialize } from "../../protocol/versions.ts";

/** The result of `initialize` that the client got. */
export interface NegotiatedInitialize {
  /** The client's `initialize`. */
  readonly request: Request;
  /** The protocol version in the result that the client got. */
  readonly version: unknown;
  /**
   * Where the result came from; with `daemon`, later daemons must use the same
   * version.
   */
  readonly source: "daemon" | LocalInitialize["source"];
}

/**
 * What the response to a replayed `initialize` means, and what is negotiated
 * from now on.
 */
export interface ReplayOutcome {
  /** What the response means for the link. */
  readonly incoming: Incoming;
  /** What to replay on the next link. */
  readonly negotiated: NegotiatedInitialize;
}

/** Returns the client's `initialize` in the form for a new daemon. */
export function replayInitialize(
  negotiated: NegotiatedInitialize,
  id: Id,
): string {
  const text = replaceValue(negotiated.request.text, ["id"], id);
  const version = versionToReplay(negotiated);
  if (typeof version !== "string") return text;
  const path = ["params", "protocolVersion"];
  return replaceValue(text, path, JSON.stringify(version));
}

/**
 * For cached results, replay the version that the client asked for, because the
 * daemon may answer it differently by now.
 */
function versionToReplay(
  { request, version, source }: NegotiatedInitialize,
): unknown {
  return source === "cached" ? requestedVersion(request) : version;
}

function requestedVersion({ params }: Request): unknown {
  return getMember(params, "protocolVersion");
}

/**
 * Evaluates the response to a replay; `errorText` is set if it is an error or
 * unreadable.
 */
export function evaluateReplay(
  negotiated: NegotiatedInitialize,
  message: Response | InvalidMessage,
  errorText: string | undefined,
): ReplayOutcome {
  const { request, version: shownVersion, source } = negotiated;
  if (message.kind !== "response" || errorText !== undefined) {
    const reason = `the daemon rejected initialize: ${errorText}`;
    const incoming = { kind: "rejected", reason, isRefused: false } as const;
    const code = message.kind === "response" ? message.error?.code : undefined;
    // The daemon no longer supports that version (MCP, lifecycle: error
    // handling); any other error is temporary.
    return code === ErrorCode.invalidParams
      ? { incoming: { ...incoming, staleInitialize: request }, negotiated }
      : { incoming, negotiated };
  }
  const version = getMember(message.result, "protocolVersion");
  const replayedVersion = versionToReplay(negotiated);
  const cacheChange = replayedVersion === requestedVersion(request)
    ? { cacheable: { request, response: message } }
    : version === shownVersion
    ? {}
    : { staleInitialize: request };
  if (version === shownVersion) {
    const incoming = { kind: "ready", ...cacheChange } as const;
    return { incoming, negotiated: { request, version, source: "daemon" } };
  }
  if (source !== "daemon" && replayedVersion !== shownVersion) {
    const reason = `the daemon answers initialize with ${version} now, and ` +
      `the client was told ${shownVersion}: it is asked for that`;
    return {
      incoming: { kind: "rejected", reason, isRefused: false, ...cacheChange },
      negotiated: { request, version: shownVersion, source: "placeholder" },
    };
  }
  if (source !== "daemon" && usesInitialize(version)) {
    const problem = `The daemon speaks MCP ${version}, and the client was ` +
      `told ${shownVersion} before it was there`;
    return {
      incoming: { kind: "ready", ...cacheChange, problem },
      negotiated: { request, version, source: "daemon" },
    };
  }
  const reason = `the daemon now speaks MCP ${version}, but this client ` +
    `agreed on ${shownVersion} with the one before: restart the server in the client`;
  const incoming = {
    kind: "rejected",
    reason,
    isRefused: true,
    ...cacheChange,
  } as const;
  return { incoming, negotiated };
}

/**
 * Returns the `initialize` response with `listChanged: true` for all lists:
 * after a restart the proxy itself sends those notifications, and clients
 * ignore them from a server that did not announce them.
 */
export function withListChanged(response: Response): string {
  let { text } = response;
  for (const list of LIST_CHANGED_KINDS) {
    const capability = getMember(response.result, "capabilities", list);
    if (
      !isRecord(capability) || getMember(capability, "listChanged") === true
    ) continue;
    const path = ["result", "capabilities", list];
    text = "listChanged" in capability
      ? replaceValue(text, [...path, "listChanged"], "true")
      : prependMember(text, path, "listChanged", "true");
  }
  return text;
}
