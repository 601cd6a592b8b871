/**
 * Tests the reasons that the proxy derives from the reports of runtimes about
 * closed connections and failed dials. The reports come from Deno 2.9.6, Node
 * 22.0, Node 24.19 and Bun.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type CloseDetails,
  diagnoseClose,
  needsDiagnosis,
  type SocketClose,
} from "../../../lib/transport/failure_reasons.ts";

const RENAME =
  "use one of the certificate's names in the URL, or issue a certificate for the URL's host";

const NO_DETAILS = { reason: "", message: "", errorCode: "" } as const;

/** Returns the report about a connection that ended without a close frame. */
function broken(message: string, errorCode = "", code = 1006): SocketClose {
  return { ...NO_DETAILS, wasOpen: true, code, message, errorCode };
}

/** Returns the report about a failed dial. */
function failed(message: string, errorCode = "", code = 1006): SocketClose {
  return { ...NO_DETAILS, wasOpen: false, code, message, errorCode };
}

/** Returns Deno's report about a dial that failed because of a certificate. */
function denoError(why: string): SocketClose {
  return failed(`invalid peer certificate: ${why}`, "19", 0);
}

/** Returns Bun's report about a failed TLS handshake. */
function bunError(why: string, error = "EPROTO"): SocketClose {
  return failed(`TLS handshake failed: ${why}`, error);
}

/** Returns the report about a WebSocket that ended with a close frame. */
function closeFrame(code: number, reason = ""): SocketClose {
  return { ...NO_DETAILS, wasOpen: true, code, reason };
}

/**
 * Each reason with its facts, and the reports that mean it: usually those of
 * Deno first, then of Bun, then of Node if it has one.
 */
const REASONS: readonly (readonly [CloseDetails, readonly SocketClose[]])[] = [
  [{
    reason: "the connection was closed without a close frame",
    mayHaveReachedServer: true,
  }, [
    broken("Unexpected EOF", "", 0),
    broken("Connection reset by peer (os error 104)", "", 0),
    broken("An existing connection was forcibly closed", "", 0),
    broken(""),
  ]],
  [{
    reason: "the daemon sent an invalid WebSocket frame",
    mayHaveReachedServer: true,
  }, [
    broken("Reserved bits are not zero", "", 0),
    broken("Invalid close code", "", 0),
    broken("Invalid continuation frame", "", 0),
    broken("Invalid UTF-8", "", 0),
    broken("Control frame must not be fragmented", "", 0),
    broken("Protocol error - unexpected opcode: 0", "WS_ERR_INVALID_OPCODE"),
    broken("Server sent invalid UTF8", "WS_ERR_INVALID_UTF8"),
    broken("Invalid frame type was fragmented."),
    broken("Received invalid UTF-8 in text frame."),
    broken("Received payload length > 2^31 bytes."),
  ]],
  [{
    reason: "the daemon sent a message that is too large to be received",
    mayHaveReachedServer: true,
    isOversized: true,
  }, [
    broken("Frame too large", "", 0),
    broken("Message too big", "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"),
  ]],
  [{
    reason: "the connection was closed without a close code",
    mayHaveReachedServer: true,
  }, [closeFrame(1005)]],
  [{
    reason: "the connection was closed with code 1001 (going away)",
    mayHaveReachedServer: true,
  }, [closeFrame(1001)]],
  [{
    reason: "the connection was closed with code 1011 (internal error: a b c)",
    mayHaveReachedServer: true,
    closeFrameReason: "a\nb\x1b\u202ec",
  }, [closeFrame(1011, "a\nb\x1b\u202ec")]],
  [{
    reason: "the connection was closed with code 4003 (unauthorized)",
    mayHaveReachedServer: true,
    closeFrameReason: "unauthorized",
  }, [closeFrame(4003, "unauthorized")]],
  [{
    reason: "the connection was closed with code 4000",
    mayHaveReachedServer: true,
  }, [closeFrame(4000)]],
  [{
    reason: `the connection was closed with code 4000 (${"x".repeat(200)}...)`,
    mayHaveReachedServer: true,
    closeFrameReason: "x".repeat(300),
  }, [closeFrame(4000, "x".repeat(300))]],
  [{
    // The daemon's text looks like an error of the runtime, but is not one.
    reason: "the connection was closed with code 4000 (Frame too large)",
    mayHaveReachedServer: true,
    closeFrameReason: "Frame too large",
  }, [closeFrame(4000, "Frame too large")]],
  [{
    reason: "nothing listens there, or the host cannot be reached",
    mayHaveReachedServer: false,
    mayHaveNoListener: true,
  }, [
    failed("tcp connect error", "19", 0),
    failed("tcp connect error: Connection refused (os error 111)", "19", 0),
    failed("Failed to connect", "ECONNREFUSED"),
    failed("Failed to connect", "EHOSTUNREACH"),
    failed("connect ECONNREFUSED 127.0.0.1:1", "ECONNREFUSED"),
  ]],
  [
    { reason: "its host name cannot be resolved", mayHaveReachedServer: false },
    [
      failed("dns error", "19", 0),
      failed("Failed to connect", "ENOTFOUND"),
      failed("Failed to connect", "EAI_AGAIN"),
    ],
  ],
  [{
    reason: "it closed the connection during the handshake",
    mayHaveReachedServer: true,
  }, [
    failed("connection closed before message completed", "19", 0),
    failed("connection error", "19", 0),
    failed("tls handshake eof", "19", 0),
    failed("Connection reset by peer (os error 104)", "19", 0),
    failed("Connection ended", "ECONNRESET"),
    failed("Connection ended: read ECONNRESET", "ECONNRESET"),
    failed("Failed to connect", "ECONNRESET"),
    failed("other side closed", "UND_ERR_SOCKET"),
    failed("unexpected end of file", "", 0),
    failed("broken pipe", "", 0),
    failed("operation was canceled", "19", 0),
  ]],
  [{ reason: "it does not speak HTTP", mayHaveReachedServer: true }, [
    failed("invalid HTTP version parsed", "19", 0),
    failed("received unexpected message from connection", "", 0),
    failed("invalid HTTP header parsed", "19", 0),
    failed("Invalid response", "HPE_INVALID_CONSTANT"),
    failed("Response does not match the HTTP/1.1 protocol (Expected HTTP/)"),
  ]],
  ...[400, 401, 404, 503].map((status): [CloseDetails, SocketClose[]] => [{
    reason: `it answered the WebSocket handshake with HTTP ${status}`,
    mayHaveReachedServer: true,
    status,
  }, [
    failed(`Invalid status code: ${status}`, "19", 0),
    failed(`Expected 101 status code: ${status}`),
    { ...failed(""), status },
  ]]),
  [{
    reason: "its response to the handshake is not a WebSocket response",
    mayHaveReachedServer: true,
  }, [
    failed("Invalid upgrade header", "19", 0),
    failed("Missing upgrade header"),
    failed("Mismatch websocket accept header"),
    failed("Incorrect hash received in Sec-WebSocket-Accept header.", "", 0),
    failed("no upgrade header"),
    failed("Invalid Sec-WebSocket-Accept header"),
    failed("Server sent an invalid subprotocol"),
    failed("Server sent a subprotocol but none was requested"),
  ]],
  [{
    reason: "it does not speak TLS (wss://): check the port, or give the " +
      "daemon a certificate",
    mayHaveReachedServer: true,
  }, [
    failed("received corrupt message of type InvalidContentType", "19", 0),
    bunError(
      "error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
    ),
    failed(
      "C00C:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../x.c:354:",
      "ERR_SSL_WRONG_VERSION_NUMBER",
    ),
  ]],
  [{
    reason: "its certificate has expired: renew it, or check this machine's " +
      "clock",
    mayHaveReachedServer: true,
  }, [
    denoError(
      "certificate expired: verification time 1795977940 (UNIX), but " +
        "certificate is not valid after 1795891510 (86430 seconds ago)",
    ),
    denoError("Expired"),
    bunError("certificate has expired", "CERT_HAS_EXPIRED"),
    failed("certificate has expired", "CERT_HAS_EXPIRED"),
  ]],
  [{
    reason: "its certificate is not valid yet: check this machine's clock, " +
      "or issue a certificate that is valid now",
    mayHaveReachedServer: true,
  }, [
    denoError(
      "certificate not valid yet: verification time 1795977940 (UNIX), but " +
        "certificate is not valid before 1796150710 (172770 seconds in future)",
    ),
    bunError("certificate is not yet valid", "CERT_NOT_YET_VALID"),
    failed("certificate is not yet valid", "CERT_NOT_YET_VALID"),
  ]],
  [{
    reason: "its certificate is for another name (a.example, b.example, " +
      `10.1.2.3): ${RENAME}`,
    mayHaveReachedServer: true,
  }, [
    denoError(
      'certificate not valid for name "localhost"; certificate is only valid ' +
        'for DnsName("a.example"), DnsName("b.example") or IpAddress(10.1.2.3)',
    ),
    failed(
      "Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is " +
        "not in the cert's list: 10.1.2.3\nDNS:a.example, DNS:b.example, " +
        "IP Address:10.1.2.3",
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ),
  ]],
  [{
    reason: `its certificate is for another name: ${RENAME}`,
    mayHaveReachedServer: true,
  }, [
    denoError(
      'certificate not valid for name "127.0.0.1"; certificate is not valid ' +
        "for any names (according to its subjectAltName extension)",
    ),
    bunError(
      "Hostname/IP does not match certificate's altnames",
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ),
  ]],
  [{
    // A name in a certificate may look like an error of the runtime.
    reason: "its certificate is for another name (UnknownIssuer, x, " +
      `CERT_HAS_EXPIRED): ${RENAME}`,
    mayHaveReachedServer: true,
  }, [
    denoError(
      'certificate not valid for name "h"; certificate is only valid for ' +
        'DnsName("UnknownIssuer"), DnsName("x") or DnsName("CERT_HAS_EXPIRED")',
    ),
    failed(
      "altnames: DNS:UnknownIssuer, DNS:x, DNS:CERT_HAS_EXPIRED",
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ),
  ]],
  [{
    reason: `its certificate is for another name (${"x".repeat(200)}...): ` +
      RENAME,
    mayHaveReachedServer: true,
  }, [
    failed(`DNS:${"x".repeat(300)}`, "ERR_TLS_CERT_ALTNAME_INVALID"),
  ]],
  [{
    reason:
      "its certificate is self-signed, or this machine does not trust its issuer: " +
      "give its issuer's certificate with --ca-file, or make the daemon send its whole chain",
    mayHaveReachedServer: true,
  }, [
    denoError("UnknownIssuer"),
    bunError("self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"),
    bunError("x", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    failed("x", "SELF_SIGNED_CERT_IN_CHAIN"),
    failed("x", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
  ]],
  [{
    reason: "its certificate is not a server certificate: issue a server " +
      "certificate for it",
    mayHaveReachedServer: true,
  }, [
    denoError(
      "certificate does not allow extended key usage for server " +
        "authentication, allows client authentication",
    ),
    denoError("Other(OtherError(CaUsedAsEndEntity))"),
    bunError("unsupported certificate purpose", "INVALID_PURPOSE"),
    bunError(
      "error:1000012e:SSL routines:OPENSSL_internal:KEY_USAGE_BIT_INCORRECT",
    ),
    failed("unsuitable certificate purpose", "INVALID_PURPOSE"),
  ]],
  [{
    reason:
      "this machine does not accept its certificate: issue a new certificate",
    mayHaveReachedServer: true,
  }, [
    denoError("BadSignature"),
    failed("certificate revoked", "CERT_REVOKED"),
  ]],
  [{
    reason: "it requires a client certificate, and alwaysup has none: " +
      "put a TLS proxy with such a certificate in front of the daemon, or use a token instead",
    mayHaveReachedServer: true,
  }, [
    failed("received fatal alert: CertificateRequired", "", 0),
    bunError(
      "error:1000045c:SSL routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED",
    ),
    failed("x", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
  ]],
  [{
    reason:
      "it supports no TLS version that this machine accepts: enable TLS 1.2 " +
      "or 1.3 on it",
    mayHaveReachedServer: true,
  }, [
    failed("received fatal alert: ProtocolVersion", "19", 0),
    bunError(
      "error:1000042e:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION",
    ),
    failed("x", "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"),
  ]],
  [{
    reason: "it does not speak HTTP/1.1 over TLS, which a WebSocket needs",
    mayHaveReachedServer: true,
  }, [
    bunError(
      "error:10000460:SSL routines:OPENSSL_internal:TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    ),
    failed("x", "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL"),
  ]],
  [{ reason: "the TLS handshake failed", mayHaveReachedServer: true }, [
    failed("received fatal alert: HandshakeFailure", "19", 0),
    bunError(
      "error:10000410:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    failed("x", "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE"),
  ]],
  [{
    reason:
      "the TLS handshake succeeded, but the WebSocket handshake failed: run " +
      "alwaysup doctor",
    mayHaveReachedServer: true,
  }, [{ ...failed(""), hasTlsSucceeded: true }]],
  [{
    reason: "nothing listens there, or the WebSocket handshake failed",
    mayHaveReachedServer: true,
    mayHaveNoListener: true,
  }, [
    failed("Received network error or non-101 status code.", "", 0),
    failed(""),
    failed("words that no runtime has used so far"),
    // These come from Deno's second dial, and hide the error of the first.
    failed("received fatal alert: NoApplicationProtocol", "19", 0),
    failed("Didn't receive h2 alpn, aborting connection", "19", 0),
  ]],
];

for (const [details, reports] of REASONS) {
  test(`Close reason: ${details.reason}`, () => {
    for (const said of reports) {
      const { dialFailure, ...found } = diagnoseClose(said);
      assertEquals(found, details, JSON.stringify(said));
      // A failed dial without an HTTP status also has a summary and advice.
      const isExpected = !said.wasOpen && found.status === undefined;
      assertEquals(dialFailure !== undefined, isExpected);
      if (dialFailure === undefined) continue;
      const { summary, advice } = dialFailure;
      assertEquals(advice ? `${summary}: ${advice}` : summary, details.reason);
    }
  });
}

/**
 * Reports that do not show why a `wss://` dial failed. They are empty, have an
 * error that hides the cause, or lack the certificate's names.
 */
const UNCLEAR: readonly SocketClose[] = [
  failed(""),
  failed("received fatal alert: NoApplicationProtocol", "19", 0),
  failed("Didn't receive h2 alpn, aborting connection", "19", 0),
  failed("HTTP/2 not supported by this client", "19", 0),
  failed("connection error detected: frame with invalid size", "19", 0),
  failed("connection error", "19", 0),
  failed("tls handshake eof", "19", 0),
  failed("operation was canceled", "19", 0),
  failed("Connection reset by peer (os error 104)", "19", 0),
  failed("peer closed connection without sending TLS close_notify: x", "", 0),
  bunError(
    "Hostname/IP does not match certificate's altnames",
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ),
];

test("Close reason: needs a diagnosis if the runtime does not report it", () => {
  for (const said of UNCLEAR) {
    assertEquals(needsDiagnosis("wss://h/", said), true, JSON.stringify(said));
  }
  const known = REASONS.flatMap(([, reports]) => reports)
    .filter(({ wasOpen, message, errorCode, status }) =>
      !wasOpen && (message + errorCode !== "" || status !== undefined)
    );
  for (const said of known) {
    const isHidden = said.status === undefined &&
        UNCLEAR.some(({ message }) => message === said.message) ||
      /not valid for any names|altnames$/.test(said.message);
    assertEquals(
      needsDiagnosis("wss://h/", said),
      isHidden,
      JSON.stringify(said),
    );
  }
});

test("Close reason: without TLS, needs a diagnosis only if the server closes or sends first", () => {
  const unclear = UNCLEAR.filter((said) => needsDiagnosis("ws://h/", said));
  assertEquals(unclear.map(({ message }) => message), [
    "operation was canceled",
  ]);
});
