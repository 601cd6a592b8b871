/**
 * Says why a connection ended or could not be made, in the same words for every
 * runtime. Only this file parses the runtimes' error texts.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import type { SocketErrorInfo } from "../runtime/host.ts";

/** What a runtime's WebSocket has reported by the time it closed. */
export interface SocketClose extends SocketErrorInfo {
  /** True if the WebSocket was open. */
  readonly wasOpen: boolean;
  /** The close code; 0 or 1006 if no close frame came. */
  readonly code: number;
  /** The reason in the daemon's close frame; empty if it gave none. */
  readonly reason: string;
}

/** Why a connection closed, derived from {@linkcode SocketClose}. */
export interface CloseDetails {
  /**
   * The reason in plain words, with the daemon's own; never a runtime's text.
   */
  readonly reason: string;
  /** True if the server was reached, as far as the runtime reports it. */
  readonly isServerReached: boolean;
  /** The HTTP status of a failed handshake, if the runtime reports it. */
  readonly status?: number;
  /** Set if a message was larger than the runtime accepts. */
  readonly isOversized?: true;
  /**
   * Set if nothing listens at the address, as far as the runtime reports it.
   */
  readonly isPortClosed?: true;
  /** The reason in the daemon's close frame, if it gave one. */
  readonly closeFrameReason?: string;
}

/**
 * The close codes that a daemon may send (RFC 6455 section 7.4.1 and IANA's
 * registry).
 */
const CLOSE_CODE_MEANINGS: Readonly<Record<number, string>> = {
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

/**
 * The errors of Deno (text) and Bun (code) for a message over 64 MiB (128 MiB);
 * Node reports none.
 */
const OVERSIZE_ERROR = /^(Frame too large|WS_ERR_UNSUPPORTED_MESSAGE_LENGTH)$/;

/**
 * The errors of Deno and Node 22 (text) and Bun (code) for bytes that violate
 * RFC 6455; later Nodes report none.
 */
const INVALID_FRAME_ERROR =
  /^(Reserved bits|Invalid|Control frame|Ping frame|Received (invalid|payload)|WS_ERR_)/;

/** Why a dial failed. */
export interface DialFailure {
  /** What is wrong, in plain words. */
  readonly summary: string;
  /** What to do about it, if that is known. */
  readonly advice?: string;
  /** True if the server was reached, as far as the runtime reports it. */
  readonly isServerReached: boolean;
  /**
   * Set if nothing listens at the address, as far as the runtime reports it.
   */
  readonly isPortClosed?: true;
}

/**
 * The errors for a certificate with another name. The names follow in the
 * message, and may be any text.
 */
const CERTIFICATE_NAME_ERROR =
  /^ERR_TLS_CERT_ALTNAME_INVALID$|peer certificate: certificate not valid for name/m;

/** A name in a certificate, as Deno and the others print it. */
const CERTIFICATE_NAME =
  /DnsName\("([^"]*)"\)|IpAddress\(([^)]*)\)|(?:DNS|IP Address):([^\s,]+)/g;

/** The errors for an address that accepts no connection. */
const UNREACHABLE_ADDRESS =
  /^tcp connect error|^Failed to connect|^ECONNREFUSED$|^EHOSTUNREACH$|^ENETUNREACH$|^ETIMEDOUT$/m;

/** The runtimes' errors for a failed dial; the first match counts. */
const DIAL_FAILURES: readonly (readonly [
  pattern: RegExp,
  summary: string,
  isServerReached: boolean,
  advice?: string,
])[] = [
  [
    CERTIFICATE_NAME_ERROR,
    "its certificate is for another name",
    true,
    "use one of its names in the URL, or have one issued for the URL's host",
  ],
  [
    /peer certificate: (certificate expired|Expired)|^CERT_HAS_EXPIRED$/m,
    "its certificate has expired",
    true,
    "renew it, or check this machine's clock",
  ],
  [
    /peer certificate: (certificate not valid yet|NotValidYet)|^CERT_NOT_YET_VALID$/m,
    "its certificate is not valid yet",
    true,
    "check this machine's clock, or have one issued that is valid now",
  ],
  [
    /UnknownIssuer|^UNABLE_TO_|SELF_SIGNED_CERT/m,
    "its certificate is self-signed, or its issuer is unknown here",
    true,
    "name its issuer's certificate with --ca-file, or have the daemon send " +
    "its whole chain",
  ],
  [
    /extended key usage|InvalidPurpose|CaUsedAsEndEntity|KEY_USAGE_BIT_INCORRECT|^INVALID_PURPOSE$/m,
    "its certificate is not one for servers",
    true,
    "have one issued for servers",
  ],
  [
    /CertificateRequired|ALERT_CERTIFICATE_REQUIRED/,
    "it wants a certificate of the client's, and alwaysup has none",
    true,
    "have a TLS proxy before the daemon show one, or use a token instead",
  ],
  [
    /invalid peer certificate|CERT_/,
    "its certificate is not valid here",
    true,
    "have a new one issued",
  ],
  [
    /corrupt message|WRONG_VERSION_NUMBER|HTTP_REQUEST/,
    "it does not speak TLS (wss://)",
    true,
    "check the port, or give the daemon a certificate",
  ],
  [
    /ProtocolVersion|ALERT_PROTOCOL_VERSION/,
    "it speaks no version of TLS that is taken here",
    true,
    "have it speak TLS 1.2 or 1.3",
  ],
  [
    /NO_APPLICATION_PROTOCOL/,
    "it does not speak HTTP/1.1 over TLS, which a WebSocket needs",
    true,
  ],
  [
    /^received fatal alert: (?!NoApplicationProtocol)|^EPROTO$|^ERR_SSL_/m,
    "the TLS handshake failed",
    true,
  ],
  [/^dns error|^ENOTFOUND$|^EAI_/m, "its host name is not known", false],
  [
    /^connection (closed|error(?! detected))|^[Cc]onnection (ended|reset)|handshake eof|^unexpected end of file|^broken pipe|^ECONNRESET$|^UND_ERR_SOCKET$/m,
    "it closed the connection during the handshake",
    true,
  ],
  [
    UNREACHABLE_ADDRESS,
    "nothing listens there, or the host cannot be reached",
    false,
  ],
  [
    /^invalid HTTP|^HPE_|does not match the HTTP/m,
    "it does not speak HTTP",
    true,
  ],
  [
    /upgrade header|connection header|accept header|Sec-WebSocket-/i,
    "its answer to the handshake is not a WebSocket's",
    true,
  ],
];

/** Used if the runtime reports nothing. */
const UNKNOWN_DIAL_FAILURE: DialFailure = {
  summary: "nothing listens there, or the WebSocket handshake failed",
  isServerReached: true,
  isPortClosed: true,
};

/** Used if only a successful TLS handshake is known. */
const ONLY_TLS_SUCCEEDED: DialFailure = {
  summary: "the TLS handshake succeeded, but not the WebSocket's",
  advice: "run alwaysup doctor",
  isServerReached: true,
};

/**
 * Deno's errors for its second dial, by HTTP/2, which hide what was wrong with
 * the first.
 */
const HTTP2_DIAL_ERROR =
  /NoApplicationProtocol|h2 alpn|HTTP\/2 not supported|^connection error|without sending TLS close_notify|^tls handshake eof|^(?!tcp connect error).*os error/;

/**
 * Removes the URL at the start of Bun's error texts; the URL may contain
 * anything.
 */
export function withoutUrl(text: string): string {
  return text.replace(/^.*(?:failed to connect to WebSocket|' failed): /s, "");
}

/**
 * True if a runtime hides why its `wss://` dial failed, or which names a
 * certificate has.
 */
export function needsTlsDiagnosis(
  { message, errorCode, status }: SocketErrorInfo,
): boolean {
  if (status !== undefined) return false;
  if (CERTIFICATE_NAME_ERROR.test(`${errorCode}\n${message}`)) {
    return certificateNamesIn(message) === "";
  }
  return errorCode === "" && message === "" || HTTP2_DIAL_ERROR.test(message);
}

/** Returns the names in a text about a certificate. They are untrusted text. */
function certificateNamesIn(text: string): string {
  const names = [...text.matchAll(CERTIFICATE_NAME)].map((it) =>
    it[1] ?? it[2] ?? it[3]!
  );
  return sanitizeLine([...new Set(names)].join(", "), 200);
}

/**
 * Returns what is wrong with a failed dial, and what to do; `undefined` if
 * nothing is known.
 */
export function classifyDialError(
  { message, errorCode, hasTlsSucceeded }: SocketErrorInfo,
): DialFailure | undefined {
  if (hasTlsSucceeded) return ONLY_TLS_SUCCEEDED;
  const errorText = `${errorCode}\n${message}`;
  for (const [pattern, summary, isServerReached, advice] of DIAL_FAILURES) {
    if (!pattern.test(errorText)) continue;
    const names = pattern === CERTIFICATE_NAME_ERROR
      ? certificateNamesIn(message)
      : "";
    const named = names === "" ? summary : `${summary} (${names})`;
    return {
      summary: named,
      isServerReached,
      ...(advice !== undefined && { advice }),
      ...(pattern === UNREACHABLE_ADDRESS && { isPortClosed: true }),
    };
  }
  return undefined;
}

/** Returns why a WebSocket closed or did not open. */
export function diagnoseClose(close: SocketClose): CloseDetails {
  return close.wasOpen
    ? diagnoseLostConnection(close)
    : diagnoseFailedDial(close);
}

function diagnoseLostConnection(
  { code, reason, message, errorCode }: SocketClose,
): CloseDetails {
  const hasCloseFrame = code !== 0 && code !== 1006;
  const matches = (pattern: RegExp): boolean =>
    !hasCloseFrame && (pattern.test(message) || pattern.test(errorCode));
  if (matches(OVERSIZE_ERROR)) {
    const description =
      "the daemon sent a message larger than can be received here";
    return { reason: description, isServerReached: true, isOversized: true };
  }
  const description = matches(INVALID_FRAME_ERROR)
    ? "the daemon sent bytes that are no valid WebSocket frame"
    : !hasCloseFrame
    ? "the connection was closed without a close frame"
    : code === 1005
    ? "the connection was closed without a close code"
    : `the connection was closed with code ${code}${
      closeCodeDetail(code, reason)
    }`;
  const quoted = hasCloseFrame && reason !== ""
    ? { closeFrameReason: reason }
    : {};
  return { reason: description, isServerReached: true, ...quoted };
}

/** Returns the meaning of the code, and the daemon's own reason. */
function closeCodeDetail(code: number, reason: string): string {
  const description = [
    CLOSE_CODE_MEANINGS[code] ?? "",
    sanitizeLine(reason, 200),
  ]
    .filter((it) => it);
  return description.length === 0 ? "" : ` (${description.join(": ")})`;
}

function diagnoseFailedDial(close: SocketClose): CloseDetails {
  const status = close.status ?? statusIn(close.message);
  if (status !== undefined) {
    return {
      reason: `it answered the WebSocket handshake with HTTP ${status}`,
      status,
      isServerReached: true,
    };
  }
  const { summary, isServerReached, advice, isPortClosed } =
    classifyDialError(close) ??
      UNKNOWN_DIAL_FAILURE;
  return {
    reason: advice ? `${summary}: ${advice}` : summary,
    isServerReached,
    ...(isPortClosed && { isPortClosed }),
  };
}

/** Returns the HTTP status in a runtime's error text. */
function statusIn(text: string): number | undefined {
  const digits = /status code: (\d{3})/.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
