/**
 * Why a connection ended or could not be made, in the same words on every
 * runtime.
 *
 * @module
 */

import { tame } from "./output.ts";

/** What a runtime's WebSocket has said until it closed. */
export interface Said {
  /** Whether the WebSocket was open. */
  readonly wasOpen: boolean;
  /** The close code; 0 or 1006 where no close frame came. */
  readonly code: number;
  /** The daemon's own reason for the close, if it gave one. */
  readonly reason: string;
  /** The runtime's text about an error; empty where it gave none. */
  readonly text: string;
  /** The runtime's code for an error; empty where it gave none. */
  readonly error: string;
}

/** What follows from that. */
export interface CloseReason {
  /** Plain words, and the daemon's own; never a runtime's. */
  readonly reason: string;
  /** Whether the host was reached, as far as the runtime tells. */
  readonly reached: boolean;
  /** The HTTP status of a handshake that failed, where the runtime tells. */
  readonly status?: number;
  /** A message was larger than the runtime takes. */
  readonly oversize?: true;
}

/** The close codes of RFC 6455 section 7.4.1 and of IANA's registry that a daemon may send. */
const MEANINGS: Readonly<Record<number, string>> = {
  1000: "normal closure",
  1001: "going away",
  1002: "protocol error",
  1003: "unsupported data",
  1007: "invalid data",
  1008: "policy violation",
  1009: "message too big",
  1010: "extension missing",
  1011: "internal error",
  1012: "service restart",
  1013: "try again later",
  1014: "bad gateway",
};

/** What Deno, and Bun by its code, say of a message over 64 MiB (128 MiB); Node does not tell. */
const TOO_LARGE = /^(Frame too large|WS_ERR_UNSUPPORTED_MESSAGE_LENGTH)$/;

/** What Deno and Node 22, and Bun by its code, say of bytes that break RFC 6455; later Nodes do not tell. */
const NO_FRAME =
  /^(Reserved bits|Invalid|Control frame|Ping frame|Received (invalid|payload)|WS_ERR_)/;

/** What the runtimes tell of a dial that failed; the first that fits counts, and Node's text fits nothing. */
const DIALS: readonly (readonly [
  pattern: RegExp,
  reason: string,
  reached: boolean,
])[] = [
  [/^dns error|^ENOTFOUND$|^EAI_/m, "its host name is not known", false],
  [
    /invalid peer certificate|CERT|^UNABLE_TO_/m,
    "its certificate is not valid here",
    true,
  ],
  [
    /corrupt message|WRONG_VERSION_NUMBER|HTTP_REQUEST/,
    "it does not speak TLS (wss://)",
    true,
  ],
  [/received fatal alert|^EPROTO$/m, "the TLS handshake failed", true],
  [
    /^connection (closed|error)|^Connection (ended|reset)|handshake eof|^ECONNRESET$/m,
    "it closed the connection during the handshake",
    true,
  ],
  [
    /^tcp connect error|^Failed to connect|^ECONNREFUSED$/m,
    "nothing listens there, or the host cannot be reached",
    false,
  ],
  [/^invalid HTTP|^HPE_/m, "it does not speak HTTP", true],
  [
    /upgrade header|connection header|accept header|Sec-WebSocket-/i,
    "its answer to the handshake is not a WebSocket's",
    true,
  ],
];

/** Tells why a WebSocket closed, or did not open. */
export function closeReasonOf(said: Said): CloseReason {
  return said.wasOpen ? closed(said) : undialed(said);
}

function closed({ code, reason, text, error }: Said): CloseReason {
  const hasFrame = code !== 0 && code !== 1006;
  const isTold = (pattern: RegExp): boolean =>
    !hasFrame && (pattern.test(text) || pattern.test(error));
  if (isTold(TOO_LARGE)) {
    const words = "the daemon sent a message larger than can be received here";
    return { reason: words, reached: true, oversize: true };
  }
  const words = isTold(NO_FRAME)
    ? "the daemon sent bytes that are no valid WebSocket frame"
    : !hasFrame
    ? "the connection was closed without a close frame"
    : code === 1005
    ? "the connection was closed without a close code"
    : `the connection was closed with code ${code}${why(code, reason)}`;
  return { reason: words, reached: true };
}

/** What the code means, and what the daemon says itself. */
function why(code: number, reason: string): string {
  const words = [MEANINGS[code] ?? "", tame(reason, 200)].filter((it) => it);
  return words.length === 0 ? "" : ` (${words.join(": ")})`;
}

function undialed({ text, error }: Said): CloseReason {
  const status = /status code: (\d{3})/.exec(text)?.[1];
  if (status !== undefined) {
    return {
      reason: `it answered the WebSocket handshake with HTTP ${status}`,
      status: Number(status),
      reached: true,
    };
  }
  for (const [pattern, reason, reached] of DIALS) {
    if (pattern.test(`${error}\n${text}`)) return { reason, reached };
  }
  const reason = "nothing listens there, or the WebSocket handshake failed";
  return { reason, reached: true };
}
