/**
 * Why a connection ended or could not be made, in the same words on every
 * runtime. Whatever a runtime says is read here, and nowhere else.
 *
 * @module
 */

import { sanitizeLine } from "../text/sanitize.ts";
import type { SocketErrorInfo } from "../runtime/host.ts";

/** What a runtime's WebSocket has said until it closed. */
export interface SocketClose extends SocketErrorInfo {
  /** Whether the WebSocket was open. */
  readonly wasOpen: boolean;
  /** The close code; 0 or 1006 where no close frame came. */
  readonly code: number;
  /** The daemon's own reason for the close, if it gave one. */
  readonly reason: string;
}

/** What follows from that. */
export interface CloseDetails {
  /** Plain words, and the daemon's own; never a runtime's. */
  readonly reason: string;
  /** Whether the host was reached, as far as the runtime tells. */
  readonly reached: boolean;
  /** The HTTP status of a handshake that failed, where the runtime tells. */
  readonly status?: number;
  /** A message was larger than the runtime takes. */
  readonly oversize?: true;
  /** Nothing listens at the address, as far as the runtime tells. */
  readonly isNobodyThere?: true;
  /** The daemon's own words in its close frame, if it gave any. */
  readonly said?: string;
}

/** The close codes of RFC 6455 section 7.4.1 and of IANA's registry that a daemon may send. */
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

/** What Deno, and Bun by its code, say of a message over 64 MiB (128 MiB); Node does not tell. */
const OVERSIZE_ERROR = /^(Frame too large|WS_ERR_UNSUPPORTED_MESSAGE_LENGTH)$/;

/** What Deno and Node 22, and Bun by its code, say of bytes that break RFC 6455; later Nodes do not tell. */
const INVALID_FRAME_ERROR =
  /^(Reserved bits|Invalid|Control frame|Ping frame|Received (invalid|payload)|WS_ERR_)/;

/** Why a dial failed. */
export interface DialFailure {
  /** What is wrong, in plain words. */
  readonly summary: string;
  /** What to do about it, where that is known. */
  readonly advice?: string;
  /** Whether the host was reached, as far as the runtime tells. */
  readonly reached: boolean;
  /** Nothing listens at the address, as far as the runtime tells. */
  readonly isNobodyThere?: true;
}

/** What says that a certificate is for another name; the names stand behind it, and may say anything. */
const CERTIFICATE_NAME_ERROR =
  /^ERR_TLS_CERT_ALTNAME_INVALID$|peer certificate: certificate not valid for name/m;

/** A name in a certificate, as Deno and the others show it. */
const CERTIFICATE_NAME =
  /DnsName\("([^"]*)"\)|IpAddress\(([^)]*)\)|(?:DNS|IP Address):([^\s,]+)/g;

/** What says that nothing takes a connection there. */
const NOBODY_THERE =
  /^tcp connect error|^Failed to connect|^ECONNREFUSED$|^EHOSTUNREACH$|^ENETUNREACH$|^ETIMEDOUT$/m;

/** What the runtimes tell of a dial that failed; the first that fits counts. */
const DIAL_FAILURES: readonly (readonly [
  pattern: RegExp,
  what: string,
  reached: boolean,
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
    NOBODY_THERE,
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

/** What is said where a runtime tells nothing. */
const UNKNOWN_DIAL_FAILURE: DialFailure = {
  summary: "nothing listens there, or the WebSocket handshake failed",
  reached: true,
  isNobodyThere: true,
};

/** What is said where only a TLS handshake is known, which succeeded. */
const ONLY_SECURE: DialFailure = {
  summary: "the TLS handshake succeeded, but not the WebSocket's",
  advice: "run alwaysup doctor",
  reached: true,
};

/** What Deno says of its second dial, by HTTP/2, whatever was wrong with the first. */
const HTTP2_DIAL_ERROR =
  /NoApplicationProtocol|h2 alpn|HTTP\/2 not supported|^connection error|without sending TLS close_notify|^tls handshake eof|^(?!tcp connect error).*os error/;

/** A runtime's text about a WebSocket; Bun's begins with the URL, in which anything may stand. */
export function withoutUrl(text: string): string {
  return text.replace(/^.*(?:failed to connect to WebSocket|' failed): /s, "");
}

/** Whether a runtime hides why its dial of a `wss://` URL failed, or for which name a certificate is. */
export function needsTlsDiagnosis(
  { message, errorCode, status }: SocketErrorInfo,
): boolean {
  if (status !== undefined) return false;
  if (CERTIFICATE_NAME_ERROR.test(`${errorCode}\n${message}`)) {
    return certificateNamesIn(message) === "";
  }
  return errorCode === "" && message === "" || HTTP2_DIAL_ERROR.test(message);
}

/** The names in a text about a certificate; they are its owner's words. */
function certificateNamesIn(text: string): string {
  const names = [...text.matchAll(CERTIFICATE_NAME)].map((it) =>
    it[1] ?? it[2] ?? it[3]!
  );
  return sanitizeLine([...new Set(names)].join(", "), 200);
}

/** What is wrong with a dial that failed, and what to do; `undefined` if nothing is known. */
export function classifyDialError(
  { message, errorCode, isSecure }: SocketErrorInfo,
): DialFailure | undefined {
  if (isSecure) return ONLY_SECURE;
  const errorText = `${errorCode}\n${message}`;
  for (const [pattern, summary, reached, advice] of DIAL_FAILURES) {
    if (!pattern.test(errorText)) continue;
    const names = pattern === CERTIFICATE_NAME_ERROR
      ? certificateNamesIn(message)
      : "";
    const named = names === "" ? summary : `${summary} (${names})`;
    return {
      summary: named,
      reached,
      ...(advice !== undefined && { advice }),
      ...(pattern === NOBODY_THERE && { isNobodyThere: true }),
    };
  }
  return undefined;
}

/** Tells why a WebSocket closed, or did not open. */
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
    const words = "the daemon sent a message larger than can be received here";
    return { reason: words, reached: true, oversize: true };
  }
  const words = matches(INVALID_FRAME_ERROR)
    ? "the daemon sent bytes that are no valid WebSocket frame"
    : !hasCloseFrame
    ? "the connection was closed without a close frame"
    : code === 1005
    ? "the connection was closed without a close code"
    : `the connection was closed with code ${code}${
      closeCodeDetail(code, reason)
    }`;
  const said = hasCloseFrame && reason !== "" ? { said: reason } : {};
  return { reason: words, reached: true, ...said };
}

/** What the code means, and what the daemon says itself. */
function closeCodeDetail(code: number, reason: string): string {
  const words = [CLOSE_CODE_MEANINGS[code] ?? "", sanitizeLine(reason, 200)]
    .filter((it) => it);
  return words.length === 0 ? "" : ` (${words.join(": ")})`;
}

function diagnoseFailedDial(said: SocketClose): CloseDetails {
  const status = said.status ?? statusIn(said.message);
  if (status !== undefined) {
    return {
      reason: `it answered the WebSocket handshake with HTTP ${status}`,
      status,
      reached: true,
    };
  }
  const { summary, reached, advice, isNobodyThere } = classifyDialError(said) ??
    UNKNOWN_DIAL_FAILURE;
  return {
    reason: advice ? `${summary}: ${advice}` : summary,
    reached,
    ...(isNobodyThere && { isNobodyThere }),
  };
}

/** The HTTP status that a runtime's text names. */
function statusIn(text: string): number | undefined {
  const digits = /status code: (\d{3})/.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
