/**
 * Who the client was told the daemon is: how its `initialize` is said again on
 * a new link, and what the answer to that means.
 *
 * @module
 */

import { LIST_CHANGED_KINDS } from "../../protocol/lists.ts";
import type { Incoming, LocalInitialize } from "../dialect.ts";
import { prependMember, replaceValue } from "../../json/spans.ts";
import {
  ErrorCode,
  getNested,
  type Id,
  type InvalidMessage,
  isRecord,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import { usesInitialize } from "../../protocol/versions.ts";

/** What the client and the daemon have agreed on, or what the client was told of it. */
export interface NegotiatedInitialize {
  /** The client's `initialize`. */
  readonly request: Request;
  /** The version that the client was told. */
  readonly version: unknown;
  /** Whether a daemon has said so to this client, which it then is held to. */
  readonly source: "daemon" | LocalInitialize["source"];
}

/** What an answer to the `initialize` that was said again means, and what is agreed on from now on. */
export interface ReplayOutcome {
  /** For the link. */
  readonly incoming: Incoming;
  /** For the next one. */
  readonly negotiated: NegotiatedInitialize;
}

/** The client's `initialize` as a new daemon hears it. */
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

/** What is only remembered is the answer to the client's own question, which may be another one by now. */
function versionToReplay(
  { request, version, source }: NegotiatedInitialize,
): unknown {
  return source === "cached" ? requestedVersion(request) : version;
}

function requestedVersion({ params }: Request): unknown {
  return getNested(params, "protocolVersion");
}

/** Judges the answer to a replay; `trouble` says why it is none to go on with. */
export function evaluateReplay(
  negotiated: NegotiatedInitialize,
  message: Response | InvalidMessage,
  errorText: string | undefined,
): ReplayOutcome {
  const { request, version: shownVersion, source } = negotiated;
  if (message.kind !== "response" || errorText !== undefined) {
    const reason = `the daemon rejected initialize: ${errorText}`;
    const incoming = { kind: "rejected", reason, refused: false } as const;
    const code = message.kind === "response" ? message.error?.code : undefined;
    // It does not speak that version any more (MCP, lifecycle: error handling); anything else passes.
    return code === ErrorCode.invalidParams
      ? { incoming: { ...incoming, staleInitialize: request }, negotiated }
      : { incoming, negotiated };
  }
  const version = getNested(message.result, "protocolVersion");
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
      incoming: { kind: "rejected", reason, refused: false, ...cacheChange },
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
    refused: true,
    ...cacheChange,
  } as const;
  return { incoming, negotiated };
}

/**
 * The answer to `initialize` with `listChanged: true` where there are lists:
 * after a restart the proxy itself sends those notifications, and clients
 * ignore them from a server that did not announce them.
 */
export function withListChanged(response: Response): string {
  let { text } = response;
  for (const list of LIST_CHANGED_KINDS) {
    const capability = getNested(response.result, "capabilities", list);
    if (!isRecord(capability) || capability.listChanged === true) continue;
    const path = ["result", "capabilities", list];
    text = "listChanged" in capability
      ? replaceValue(text, [...path, "listChanged"], "true")
      : prependMember(text, path, "listChanged", "true");
  }
  return text;
}
