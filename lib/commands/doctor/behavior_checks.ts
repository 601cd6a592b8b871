/**
 * Checks how a daemon treats ids and lost connections.
 *
 * @module
 */

import type { Check } from "./check.ts";

/** How a daemon behaved during the checks. */
export interface DaemonBehavior {
  /** How a numeric id came back. */
  readonly numbers: "as sent" | "as text";
  /** How a text id came back; `unknown` if no later connection was answered. */
  readonly texts: "as sent" | "as null" | "unanswered" | "unknown";
  /** What happened after a lost connection. */
  readonly restart: ReconnectOutcome;
}

/** What happened after a lost connection. */
export type ReconnectOutcome =
  /**
   * There was a new connection, and the proxy's own first message was answered
   * on it.
   */
  | { readonly kind: "reconnected"; readonly ms: number }
  /**
   * On a new connection, a client's first message is answered, but the proxy's
   * own is not.
   */
  | { readonly kind: "own unanswered" }
  /** No first message is answered on a second connection. */
  | { readonly kind: "second unanswered" }
  /** There was no new connection in time. */
  | { readonly kind: "not reached"; readonly why: string };

const FIX_IDS_ADVICE =
  "mend the daemon: an answer has the id of its request, with the " +
  "same type (JSON-RPC 2.0 section 5)";

/**
 * Returns why a capacity check can find nothing on a second connection;
 * `undefined` if it can.
 */
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

/** Checks how ids come back. */
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

/** Checks what happens after a lost connection. */
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
