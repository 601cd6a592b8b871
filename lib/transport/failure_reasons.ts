/**
 * Turns a runtime's report about a closed connection or a failed dial into a
 * reason with the same words for every runtime. Only this file parses the error
 * texts of runtimes.
 *
 * @module
 */

import type { SocketEvent } from "../events.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { type SocketErrorInfo, systemErrorCode } from "../runtime/host.ts";

/** A runtime's report about a WebSocket that closed or never opened. */
export interface SocketClose extends SocketErrorInfo {
  /** True if the WebSocket was open before it closed. */
  readonly wasOpen: boolean;
  /** The close code; 0 or 1006 if there was no close frame. */
  readonly code: number;
  /** The reason in the close frame; empty if there was none. */
  readonly reason: string;
}

/** The reason and the facts that a {@linkcode SocketClose} shows. */
export type CloseDetails = Omit<
  Extract<SocketEvent, { type: "closed" }>,
  "type" | "connectionId" | "code" | "endedMsAgo"
>;

/** Close codes (RFC 6455 section 7.4.1 and the IANA registry). */
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
 * Errors for a message that is too large: Deno's text (over 64 MiB) and Bun's
 * and `ws`'s code (over 128 MiB). Node's own WebSocket has no such error.
 */
const OVERSIZE_ERROR = /^(Frame too large|WS_ERR_UNSUPPORTED_MESSAGE_LENGTH)$/;
/**
 * Errors for an invalid frame: texts of Deno and Node 22, codes of Bun and of
 * `ws`.
 */
const INVALID_FRAME_ERROR =
  /^(Reserved bits|Invalid|Control frame|Ping frame|Received (invalid|payload)|WS_ERR_)/;
/** Errors for a certificate of another host; the message has its names. */
const CERTIFICATE_NAME_ERROR =
  /^ERR_TLS_CERT_ALTNAME_INVALID$|peer certificate: certificate not valid for name/m;
const CERTIFICATE_NAME =
  /DnsName\("([^"]*)"\)|IpAddress\(([^)]*)\)|(?:DNS|IP Address):([^\s,]+)/g;
const UNKNOWN_HOST = /^dns error|^ENOTFOUND$|^EAI_/m;
const UNREACHABLE_ADDRESS =
  /^tcp connect error|^Failed to connect|^ECONNREFUSED$|^EHOSTUNREACH$|^ENETUNREACH$|^ETIMEDOUT$/m;

/** The runtimes' errors for failed dials; the first matching row applies. */
const DIAL_FAILURES: readonly (readonly [
  pattern: RegExp,
  summary: string,
  advice?: string,
])[] = [
  [
    CERTIFICATE_NAME_ERROR,
    "its certificate is for another name",
    "use one of the certificate's names in the URL, or issue a certificate for the URL's host",
  ],
  [
    /peer certificate: (certificate expired|Expired)|^CERT_HAS_EXPIRED$/m,
    "its certificate has expired",
    "renew it, or check this machine's clock",
  ],
  [
    /peer certificate: (certificate not valid yet|NotValidYet)|^CERT_NOT_YET_VALID$/m,
    "its certificate is not valid yet",
    "check this machine's clock, or issue a certificate that is valid now",
  ],
  [
    /UnknownIssuer|^UNABLE_TO_|SELF_SIGNED_CERT/m,
    "its certificate is self-signed, or this machine does not trust its issuer",
    "give its issuer's certificate with --ca-file, or make the daemon send " +
    "its whole chain",
  ],
  [
    /extended key usage|InvalidPurpose|CaUsedAsEndEntity|KEY_USAGE_BIT_INCORRECT|^INVALID_PURPOSE$/m,
    "its certificate is not a server certificate",
    "issue a server certificate for it",
  ],
  [
    /CertificateRequired|ALERT_CERTIFICATE_REQUIRED/,
    "it requires a client certificate, and alwaysup has none",
    "put a TLS proxy with such a certificate in front of the daemon, or use a token instead",
  ],
  [
    /invalid peer certificate|CERT_/,
    "this machine does not accept its certificate",
    "issue a new certificate",
  ],
  [
    /corrupt message|WRONG_VERSION_NUMBER|HTTP_REQUEST/,
    "it does not speak TLS (wss://)",
    "check the port, or give the daemon a certificate",
  ],
  [
    /ProtocolVersion|ALERT_PROTOCOL_VERSION/,
    "it supports no TLS version that this machine accepts",
    "enable TLS 1.2 or 1.3 on it",
  ],
  [
    /NO_APPLICATION_PROTOCOL/,
    "it does not speak HTTP/1.1 over TLS, which a WebSocket needs",
  ],
  [
    /^received fatal alert: (?!NoApplicationProtocol)|^EPROTO$|^ERR_SSL_/m,
    "the TLS handshake failed",
  ],
  [UNKNOWN_HOST, "its host name cannot be resolved"],
  [
    /^connection (closed|error(?! detected))|^[Cc]onnection (ended|reset)|handshake eof|^unexpected end of file|^broken pipe|^operation was canceled|^ECONNRESET$|^UND_ERR_SOCKET$/m,
    "it closed the connection during the handshake",
  ],
  [UNREACHABLE_ADDRESS, "nothing listens there, or the host cannot be reached"],
  [
    /^invalid HTTP|^received unexpected message|^HPE_|does not match the HTTP/m,
    "it does not speak HTTP",
  ],
  [
    /upgrade header|connection header|accept header|Sec-WebSocket-|^Server sent .*subprotocol/im,
    "its response to the handshake is not a WebSocket response",
  ],
];

/** Errors of Deno's second attempt, with HTTP/2: they hide the first error. */
const HTTP2_DIAL_ERROR =
  /NoApplicationProtocol|h2 alpn|HTTP\/2 not supported|^connection error|without sending TLS close_notify|^tls handshake eof|^(?!tcp connect error).*os error/;

/** Removes what Bun and Deno put before an error's text, such as the URL. */
export function withoutUrl(text: string): string {
  return text.replace(
    /^.*(?:failed to connect to WebSocket|' failed|client error \(\w+\)): /s,
    "",
  );
}

/** Returns the message and code of an error of `fetch`, without the URL. */
export function infoOfFetchError(error: unknown): SocketErrorInfo {
  const { cause = error } = error as { cause?: unknown };
  const message = withoutUrl(errorMessageOf(cause));
  // Deno gives this error no code. With `fetch`, HTTP/2 never causes it.
  const errorCode = message.includes("NoApplicationProtocol")
    ? "NO_APPLICATION_PROTOCOL"
    : systemErrorCode(cause);
  return { message, errorCode };
}

/** Returns true if a dial error lacks the cause, or a certificate's names. */
export function needsDiagnosis(
  url: string,
  { message, errorCode, status }: SocketErrorInfo,
): boolean {
  // Deno's error if a server closes or sends something before the request.
  if (message === "operation was canceled") return true;
  if (status !== undefined || !url.startsWith("wss:")) return false;
  if (CERTIFICATE_NAME_ERROR.test(`${errorCode}\n${message}`)) {
    return certificateNamesIn(message) === "";
  }
  return errorCode === "" && message === "" || HTTP2_DIAL_ERROR.test(message);
}

/** Returns the certificate's names, sanitized, because they are untrusted. */
function certificateNamesIn(text: string): string {
  const names = [...text.matchAll(CERTIFICATE_NAME)].map((it) =>
    it[1] ?? it[2] ?? it[3]!
  );
  return sanitizeLine([...new Set(names)].join(", "), 200);
}

/** Returns why a dial failed; `undefined` if no known error matches. */
export function classifyDialError(
  { message, errorCode, hasTlsSucceeded }: SocketErrorInfo,
): CloseDetails | undefined {
  if (hasTlsSucceeded) {
    const summary =
      "the TLS handshake succeeded, but the WebSocket handshake failed";
    return failedDial(summary, "run alwaysup doctor");
  }
  const errorText = `${errorCode}\n${message}`;
  const row = DIAL_FAILURES.find(([pattern]) => pattern.test(errorText));
  if (row === undefined) return undefined;
  const [pattern, summary, advice] = row;
  const names = pattern === CERTIFICATE_NAME_ERROR &&
    certificateNamesIn(message);
  return {
    ...failedDial(names ? `${summary} (${names})` : summary, advice),
    ...(pattern === UNKNOWN_HOST && { mayHaveReachedServer: false }),
    ...(pattern === UNREACHABLE_ADDRESS &&
      { mayHaveReachedServer: false, mayHaveNoListener: true }),
  };
}

function failedDial(summary: string, advice?: string): CloseDetails {
  const reason = advice === undefined ? summary : `${summary}: ${advice}`;
  return {
    reason,
    mayHaveReachedServer: true,
    dialFailure: { summary, advice },
  };
}

/** Returns why a WebSocket closed or did not open. */
export function diagnoseClose(close: SocketClose): CloseDetails {
  if (!close.wasOpen) return diagnoseFailedDial(close);
  const { code, reason, message, errorCode } = close;
  const mayHaveReachedServer = true;
  if (code === 1005) {
    const reason = "the connection was closed without a close code";
    return { reason, mayHaveReachedServer };
  }
  if (code !== 0 && code !== 1006) {
    const details = [CLOSE_CODE_MEANINGS[code], sanitizeLine(reason, 200)]
      .filter((it) => it).join(": ");
    return {
      reason: `the connection was closed with code ${code}` +
        (details && ` (${details})`),
      mayHaveReachedServer,
      ...(reason !== "" && { closeFrameReason: reason }),
    };
  }
  const matches = (pattern: RegExp): boolean =>
    pattern.test(message) || pattern.test(errorCode);
  if (matches(OVERSIZE_ERROR)) {
    const reason = "the daemon sent a message that is too large to be received";
    return {
      reason,
      mayHaveReachedServer,
      isOversized: true,
    };
  }
  return {
    reason: matches(INVALID_FRAME_ERROR)
      ? "the daemon sent an invalid WebSocket frame"
      : "the connection was closed without a close frame",
    mayHaveReachedServer,
  };
}

function diagnoseFailedDial(close: SocketClose): CloseDetails {
  const [, digits] = /status code: (\d{3})/.exec(close.message) ?? [];
  const status = close.status ?? (digits && Number(digits));
  if (!status) {
    const unknown = "nothing listens there, or the WebSocket handshake failed";
    return classifyDialError(close) ??
      { ...failedDial(unknown), mayHaveNoListener: true };
  }
  const reason = `it answered the WebSocket handshake with HTTP ${status}`;
  return { reason, status, mayHaveReachedServer: true };
}
