/**
 * Who the client was told the daemon is: how its `initialize` is said again on
 * a new link, and what the answer to that means.
 *
 * @module
 */

import { LISTS } from "../../protocol/lists.ts";
import type { Incoming, Told } from "../dialect.ts";
import { insert, replace } from "../../json/spans.ts";
import {
  type Answer,
  Code,
  dig,
  type Id,
  type Invalid,
  isRecord,
  type Request,
} from "../../protocol/jsonrpc.ts";
import { isLegacy } from "../../protocol/versions.ts";

/** What the client and the daemon have agreed on, or what the client was told of it. */
export interface Agreement {
  /** The client's `initialize`. */
  readonly request: Request;
  /** The version that the client was told. */
  readonly version: unknown;
  /** Whether a daemon has said so to this client, which it then is held to. */
  readonly source: "daemon" | Told["source"];
}

/** What an answer to the `initialize` that was said again means, and what is agreed on from now on. */
export interface Verdict {
  /** For the link. */
  readonly meaning: Incoming;
  /** For the next one. */
  readonly agreed: Agreement;
}

/** The client's `initialize` as a new daemon hears it. */
export function replay(agreed: Agreement, id: Id): string {
  const text = replace(agreed.request.text, ["id"], id);
  const version = versionFor(agreed);
  if (typeof version !== "string") return text;
  const path = ["params", "protocolVersion"];
  return replace(text, path, JSON.stringify(version));
}

/** What is only remembered is the answer to the client's own question, which may be another one by now. */
function versionFor({ request, version, source }: Agreement): unknown {
  return source === "remembered" ? askedBy(request) : version;
}

function askedBy({ params }: Request): unknown {
  return dig(params, "protocolVersion");
}

/** Judges the answer to a replay; `trouble` says why it is none to go on with. */
export function judge(
  agreed: Agreement,
  message: Answer | Invalid,
  trouble: string | undefined,
): Verdict {
  const { request, version: told, source } = agreed;
  if (message.kind !== "answer" || trouble !== undefined) {
    const reason = `the daemon rejected initialize: ${trouble}`;
    const meaning = { kind: "rejected", reason, refused: false } as const;
    const code = message.kind === "answer" ? message.error?.code : undefined;
    // It does not speak that version any more (MCP, lifecycle: error handling); anything else passes.
    return code === Code.invalidParams
      ? { meaning: { ...meaning, forget: request }, agreed }
      : { meaning, agreed };
  }
  const version = dig(message.result, "protocolVersion");
  const question = versionFor(agreed);
  const news = question === askedBy(request)
    ? { learned: { request, answer: message } }
    : version === told
    ? {}
    : { forget: request };
  if (version === told) {
    const meaning = { kind: "ready", ...news } as const;
    return { meaning, agreed: { request, version, source: "daemon" } };
  }
  if (source !== "daemon" && question !== told) {
    const reason = `the daemon answers initialize with ${version} now, and ` +
      `the client was told ${told}: it is asked for that`;
    return {
      meaning: { kind: "rejected", reason, refused: false, ...news },
      agreed: { request, version: told, source: "made up" },
    };
  }
  if (source !== "daemon" && isLegacy(version)) {
    const trouble = `The daemon speaks MCP ${version}, and the client was ` +
      `told ${told} before it was there`;
    return {
      meaning: { kind: "ready", ...news, trouble },
      agreed: { request, version, source: "daemon" },
    };
  }
  const reason = `the daemon now speaks MCP ${version}, but this client ` +
    `agreed on ${told} with the one before: restart the server in the client`;
  const meaning = { kind: "rejected", reason, refused: true, ...news } as const;
  return { meaning, agreed };
}

/**
 * The answer to `initialize` with `listChanged: true` where there are lists:
 * after a restart the proxy itself sends those notifications, and clients
 * ignore them from a server that did not announce them.
 */
export function announce(answer: Answer): string {
  let { text } = answer;
  for (const list of LISTS) {
    const capability = dig(answer.result, "capabilities", list);
    if (!isRecord(capability) || capability.listChanged === true) continue;
    const path = ["result", "capabilities", list];
    text = "listChanged" in capability
      ? replace(text, [...path, "listChanged"], "true")
      : insert(text, path, "listChanged", "true");
  }
  return text;
}
