/**
 * What a daemon did when it was tried, as checks of `alwaysup doctor`.
 *
 * @module
 */

import type { Check } from "./check.ts";

/** What was found when a proxy was tried. */
export interface DaemonBehavior {
  /** How a client's number came back. */
  readonly numbers: "as sent" | "as text";
  /** How a client's text came back; `unknown` where no further connection was answered. */
  readonly texts: "as sent" | "as null" | "unanswered" | "unknown";
  /** What became of a connection that was lost. */
  readonly restart: ReconnectOutcome;
}

/** What became of a connection that was lost. */
export type ReconnectOutcome =
  /** There was a new one, and the proxy's own first message was answered on it. */
  | { readonly kind: "reconnected"; readonly ms: number }
  /** A client's first message is answered on a new connection, and the proxy's own is not. */
  | { readonly kind: "own unanswered" }
  /** Nobody's first message is answered once one was. */
  | { readonly kind: "second unanswered" }
  /** There was no new connection in time. */
  | { readonly kind: "not reached"; readonly why: string };

const FIX_IDS_ADVICE =
  "mend the daemon: an answer has the id of its request, with the " +
  "same type (JSON-RPC 2.0 section 5)";

/** Why nothing can be learned from what the proxy asks on a second connection; `undefined` where something can. */
export function secondConnectionProblem(
  { kind }: ReconnectOutcome,
): string | undefined {
  switch (kind) {
    case "own unanswered":
      return "the proxy's own requests are not answered";
    case "second unanswered":
      return "nobody is answered on another connection";
    case "reconnected":
    case "not reached":
      return undefined;
  }
}

/** What becomes of ids. */
export function idsCheck({ numbers, texts }: DaemonBehavior): Check {
  const data = { numbers, texts };
  const lines = numbers === "as sent" ? [] : [
    "numbers come back as texts: it works, every client gets its own spelling",
  ];
  const name = "ids";
  if (texts === "as sent" || texts === "unknown") {
    const kept = texts === "unknown"
      ? "numbers are answered on the first connection; texts cannot be " +
        "judged, because later connections are not answered"
      : "numbers and texts are answered";
    return { name, state: "ok", text: [kept, ...lines].join("\n"), data };
  }
  const what = texts === "as null"
    ? "texts come back as null"
    : "requests with a text for an id are not answered";
  const text = `${what}: clients with text ids will not work through it ` +
    "(those with numbers do)";
  return {
    name,
    state: "warn",
    text: [text, ...lines].join("\n"),
    advice: FIX_IDS_ADVICE,
    data,
  };
}

/** What becomes of a lost connection. */
export function reconnectCheck({ restart }: DaemonBehavior): Check {
  const name = "restart";
  const data = { ...restart };
  switch (restart.kind) {
    case "reconnected": {
      const text = "a connection that doctor ended was replaced in " +
        `${
          restart.ms.toFixed(0)
        } ms, and the proxy's own requests are answered`;
      return { name, state: "ok", text, data };
    }
    case "own unanswered": {
      const text = "after a lost connection it did not answer the proxy's " +
        "own first message (its id is a large whole number), and a client's " +
        "it does: the proxy cannot tell whether it lives, and does not " +
        "reconnect after a restart";
      return { name, state: "fail", text, advice: FIX_IDS_ADVICE, data };
    }
    case "second unanswered": {
      const text = "it answers nobody's first message on another connection: " +
        "after a lost connection nothing works until it is started anew";
      const advice = "give every connection a server of its own, or mend the " +
        "daemon: each connection may begin with initialize";
      return { name, state: "fail", text, advice, data };
    }
    case "not reached": {
      const text = "a connection that doctor ended was not replaced in time " +
        `(${restart.why})`;
      const advice = "look at the daemon's own log: it may let in one client " +
        "after the other only";
      return { name, state: "warn", text, advice, data };
    }
  }
}
