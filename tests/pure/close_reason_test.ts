/**
 * What Deno 2.9.6, Node 22.0, Node 24.19 and Bun really say of a connection
 * that ended, and the one sentence that is made of it.
 *
 * @module
 */

import { assertEquals } from "../tools/assert.ts";
import { test } from "../tools/pure.ts";
import {
  type CloseReason,
  closeReasonOf,
  type Said,
} from "../../lib/close_reason.ts";

const SILENT = { reason: "", text: "", error: "" } as const;

/** A WebSocket that was open, and closed without a close frame. */
function broken(text: string, error = "", code = 1006): Said {
  return { ...SILENT, wasOpen: true, code, text, error };
}

/** A dial that failed. */
function failed(text: string, error = "", code = 1006): Said {
  return { ...SILENT, wasOpen: false, code, text, error };
}

/** A close frame. */
function frame(code: number, reason = ""): Said {
  return { ...SILENT, wasOpen: true, code, reason };
}

/** A fact, and what the runtimes say of it: Deno first, then Bun, then Node where it says something. */
const FACTS: readonly (readonly [CloseReason, readonly Said[]])[] = [
  [{
    reason: "the connection was closed without a close frame",
    reached: true,
  }, [
    broken("Unexpected EOF", "", 0),
    broken("Connection reset by peer (os error 104)", "", 0),
    broken("An existing connection was forcibly closed", "", 0),
    broken(""),
  ]],
  [{
    reason: "the daemon sent bytes that are no valid WebSocket frame",
    reached: true,
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
    reason: "the daemon sent a message larger than can be received here",
    reached: true,
    oversize: true,
  }, [
    broken("Frame too large", "", 0),
    broken("Message too big", "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"),
  ]],
  [{
    reason: "the connection was closed without a close code",
    reached: true,
  }, [frame(1005)]],
  [{
    reason: "the connection was closed with code 1001 (going away)",
    reached: true,
  }, [frame(1001)]],
  [{
    reason: "the connection was closed with code 1011 (internal error: a b c)",
    reached: true,
  }, [frame(1011, "a\nb\x1b\u202ec")]],
  [{
    reason: "the connection was closed with code 4003 (unauthorized)",
    reached: true,
  }, [frame(4003, "unauthorized")]],
  [{
    reason: "the connection was closed with code 4000",
    reached: true,
  }, [frame(4000)]],
  [{
    reason: `the connection was closed with code 4000 (${"x".repeat(200)}...)`,
    reached: true,
  }, [frame(4000, "x".repeat(300))]],
  [{
    // A daemon's words decide nothing.
    reason: "the connection was closed with code 4000 (Frame too large)",
    reached: true,
  }, [frame(4000, "Frame too large")]],
  [{
    reason: "nothing listens there, or the host cannot be reached",
    reached: false,
  }, [
    failed("tcp connect error", "19", 0),
    failed("Failed to connect", "ECONNREFUSED"),
    failed("Failed to connect", "EHOSTUNREACH"),
  ]],
  [{ reason: "its host name is not known", reached: false }, [
    failed("dns error", "19", 0),
    failed("Failed to connect", "ENOTFOUND"),
    failed("Failed to connect", "EAI_AGAIN"),
  ]],
  [{
    reason: "it closed the connection during the handshake",
    reached: true,
  }, [
    failed("connection closed before message completed", "19", 0),
    failed("connection error", "19", 0),
    failed("tls handshake eof", "19", 0),
    failed("Connection reset by peer (os error 104)", "19", 0),
    failed("Connection ended", "ECONNRESET"),
    failed("Connection ended: read ECONNRESET", "ECONNRESET"),
    failed("Failed to connect", "ECONNRESET"),
  ]],
  [{ reason: "it does not speak HTTP", reached: true }, [
    failed("invalid HTTP version parsed", "19", 0),
    failed("invalid HTTP header parsed", "19", 0),
    failed("Invalid response", "HPE_INVALID_CONSTANT"),
  ]],
  ...[400, 401, 404, 503].map((status): [CloseReason, Said[]] => [{
    reason: `it answered the WebSocket handshake with HTTP ${status}`,
    reached: true,
    status,
  }, [
    failed(`Invalid status code: ${status}`, "19", 0),
    failed(`Expected 101 status code: ${status}`),
  ]]),
  [{
    reason: "its answer to the handshake is not a WebSocket's",
    reached: true,
  }, [
    failed("Invalid upgrade header", "19", 0),
    failed("Missing upgrade header"),
    failed("Mismatch websocket accept header"),
    failed("Incorrect hash received in Sec-WebSocket-Accept header.", "", 0),
  ]],
  [{ reason: "it does not speak TLS (wss://)", reached: true }, [
    failed("received corrupt message of type InvalidContentType", "19", 0),
    failed(
      "TLS handshake failed: error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
      "EPROTO",
    ),
  ]],
  [{ reason: "its certificate is not valid here", reached: true }, [
    failed("invalid peer certificate: UnknownIssuer", "19", 0),
    failed(
      "TLS handshake failed: self signed certificate",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
    ),
    failed("TLS handshake failed: x", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
  ]],
  [{ reason: "the TLS handshake failed", reached: true }, [
    failed("received fatal alert: ProtocolVersion", "19", 0),
    failed(
      "TLS handshake failed: error:1000042e:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION",
      "EPROTO",
    ),
  ]],
  [{
    reason: "nothing listens there, or the WebSocket handshake failed",
    reached: true,
  }, [
    failed("Received network error or non-101 status code.", "", 0),
    failed(""),
    failed("words that no runtime has used so far"),
  ]],
];

for (const [loss, sayings] of FACTS) {
  test(`loss: ${loss.reason}`, () => {
    for (const said of sayings) {
      assertEquals(closeReasonOf(said), loss, JSON.stringify(said));
    }
  });
}
