/**
 * Tests the proxy's errors: their codes, what they say about delivery, and
 * their advice.
 *
 * @module
 */

import type { DeliveryState } from "../../../lib/session/delivery_rules.ts";
import {
  daemonUnavailable,
  idAwaitsLateResponse,
  type LinkOutage,
  messageTooLarge,
  outcomeUnknown,
  queueFull,
  type RequestError,
  requestTooLargeForDaemon,
  responseTooLargeForSocket,
  responseUnreadable,
  stoppedBeforeSend,
  timedOut,
  waitProgress,
} from "../../../lib/session/errors.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import type { Json } from "../../helpers/session/session_driver.ts";

const UNSENT: DeliveryState = {
  request: request("7", "tools/call", '{"name":"write","arguments":{"s":1}}'),
  ...{ isIdempotent: false, isHintUnconfirmed: false, isSentOrPolled: false },
  isInFlight: false,
  ...{ delivered: "no", connectionLosses: 0 },
};
const SAFE: DeliveryState = { ...UNSENT, isIdempotent: true };
const SENT: DeliveryState = {
  ...UNSENT,
  isSentOrPolled: true,
  delivered: "unknown",
};
const SAFE_SENT: DeliveryState = { ...SENT, isIdempotent: true };
const LOST: DeliveryState = {
  ...{ ...UNSENT, delivered: "unknown" },
  connectionLosses: 1,
};
const OUTAGE: LinkOutage = {
  ...{ url: "ws://h/", isBacklogged: false, lastFailure: "nothing listens" },
  ...{ refusal: undefined, attempt: 1, downMs: 1_230, retryAfterMs: 899.5 },
};
const NOTICE = { progressToken: '"t"', progress: 0.5 };
const LIMIT = { setting: "--request-timeout", ms: 60_000 };

/**
 * Each error with its code, its `delivered`, its `retryable`, and a pattern for
 * its message.
 */
const ERRORS: [
  what: string,
  error: RequestError,
  code: number,
  delivered: "yes" | "no" | "unknown",
  retryable: boolean,
  says: RegExp,
][] = [
  [
    "unavailable, never sent",
    daemonUnavailable(UNSENT, OUTAGE),
    ...[-31001, "no", true] as const,
    /not available: nothing listens \(down for 1\.2 s, 1 attempt, next attempt in 0\.9 s\)\. tools\/call "write" was not delivered\. Start the daemon/,
  ],
  [
    "unavailable, sent before, unsafe",
    daemonUnavailable(LOST, { ...OUTAGE, attempt: 2, retryAfterMs: undefined }),
    ...[-31001, "unknown", false] as const,
    /2 attempts, an attempt is under way\).* was not answered/,
  ],
  [
    "unavailable, sent before, safe",
    daemonUnavailable({ ...LOST, isIdempotent: true }, {
      ...OUTAGE,
      retryAfterMs: Infinity,
    }),
    ...[-31001, "unknown", true] as const,
    /next attempt with the next request/,
  ],
  [
    "refused",
    daemonUnavailable(SAFE, { ...OUTAGE, refusal: "it rejects the token" }),
    ...[-31001, "no", false] as const,
    /it rejects the token .*Trying again will not help/,
  ],
  [
    "a daemon that does not read",
    daemonUnavailable(UNSENT, { ...OUTAGE, isBacklogged: true }),
    ...[-31001, "no", true] as const,
    /it does not read what is sent to it\. /,
  ],
  [
    "connection lost, unsafe",
    outcomeUnknown({ ...SENT, connectionLosses: 1 }, "connection_lost"),
    ...[-31002, "unknown", false] as const,
    /the connection to the daemon was lost while .* was not sent again: check/,
  ],
  [
    "connection lost, unconfirmed",
    outcomeUnknown({ ...SENT, isHintUnconfirmed: true }, "connection_lost"),
    ...[-31002, "unknown", false] as const,
    /tools\/list did not confirm/,
  ],
  [
    "connection lost, safe",
    outcomeUnknown({ ...SAFE_SENT, connectionLosses: 1 }, "connection_lost"),
    ...[-31002, "unknown", true] as const,
    /It is safe to send again/,
  ],
  [
    "two connections lost, safe",
    outcomeUnknown({ ...SAFE_SENT, connectionLosses: 2 }, "connection_lost"),
    ...[-31002, "unknown", false] as const,
    /on 2 lost connections and may crash the daemon/,
  ],
  [
    "stopped",
    outcomeUnknown(SENT, "stopped"),
    ...[-31002, "unknown", false] as const,
    /the proxy was stopped while/,
  ],
  [
    "unreadable twice",
    responseUnreadable(SAFE_SENT, "not JSON", 2),
    ...[-31002, "unknown", true] as const,
    /with a message that alwaysup can read, even after it was sent again \(not JSON\)/,
  ],
  [
    "stopped before it was sent",
    stoppedBeforeSend(UNSENT),
    ...[-31001, "no", true] as const,
    /waited in the queue: it was not delivered\.$/,
  ],
  [
    "stopped before it was sent again",
    stoppedBeforeSend(LOST),
    ...[-31001, "unknown", false] as const,
    /it was not answered\.$/,
  ],
  [
    "timed out, sent",
    timedOut(SENT, LIMIT, 60_010, { agoMs: 1_000, value: 3 }),
    ...[-31003, "unknown", false] as const,
    /after 60\.0 s \(--request-timeout is 60\.0 s; last progress \(3\) 1\.0 s ago\)\. It may/,
  ],
  [
    "timed out, never sent",
    timedOut(UNSENT, { ...LIMIT, ms: 1_250 }, 1_250),
    ...[-31003, "no", true] as const,
    /is 1\.25 s; no progress was seen\)\. It was not delivered/,
  ],
  [
    "overloaded",
    queueFull(UNSENT),
    ...[-31004, "no", true] as const,
    /--queue-limit/,
  ],
  [
    "a request over --max-message",
    messageTooLarge(UNSENT, 20, 10),
    ...[-31005, "no", false] as const,
    /^The request has 20 characters, and --max-message is 10/,
  ],
  [
    "a response over --max-message",
    messageTooLarge(SENT, 20, 10),
    ...[-31005, "yes", false] as const,
    /^The daemon's answer has 20 characters/,
  ],
  [
    "a request that the daemon finds too large",
    requestTooLargeForDaemon(SENT, 20),
    ...[-31005, "no", false] as const,
    /close code 1009/,
  ],
  [
    "a response that is too large for the runtime",
    responseTooLargeForSocket(SENT),
    ...[-31005, "yes", false] as const,
    /exceeds this runtime's limit for a WebSocket message/,
  ],
];
for (
  const [what, { text, request }, code, delivered, retryable, says] of ERRORS
) {
  test(`Errors: ${what}`, () => {
    const { id, error }: Json = JSON.parse(text);
    assertEquals([id, error.code], [7, code]);
    assertEquals(request, {
      method: "tools/call",
      name: "write",
      code,
      reason: error.data.reason,
    });
    assertEquals([error.data.delivered, error.data.retryable], [
      delivered,
      retryable,
    ]);
    assertMatch(error.message, says);
    assertEquals(/"s"|arguments/.test(text), false, "no arguments");
  });
}

test("Errors: retryAfterMs is a whole number, and missing if no dial is scheduled", () => {
  const data = (retryAfterMs: number | undefined): Json =>
    JSON.parse(daemonUnavailable(UNSENT, { ...OUTAGE, retryAfterMs }).text)
      .error.data;
  assertEquals(data(899.5).retryAfterMs, 900);
  for (const ms of [undefined, Infinity]) {
    assertEquals("retryAfterMs" in data(ms), false);
  }
});

test("Errors: a request whose id may still get a late response is refused with the exact text of that id", () => {
  for (const id of ["0", '"a"', "12345678901234567890"]) {
    const text = idAwaitsLateResponse(id);
    assertEquals(text.includes(`"id":${id},`), true, text);
    assertEquals(JSON.parse(text).error.code, -32600);
  }
});

test("Errors: a long tool name is cut, and other requests are named by their method only", () => {
  const named = (method: string, params: string): string =>
    queueFull({ ...UNSENT, request: request("1", method, params) }).text;
  assertMatch(
    named("tools/call", `{"name":"${"x".repeat(200)}"}`),
    /call \\"x{80}\.\.\.\\" was/,
  );
  assertMatch(named("prompts/get", '{"name":"p"}'), /: prompts\/get was/);
  assertMatch(named("tools/call", '{"name":7}'), /: tools\/call was/);
});

test("Wait progress: its text says when the next dial comes", () => {
  const notices = ([1_001, 0, undefined, Infinity] as const).map((
    retryAfterMs,
  ) => JSON.parse(waitProgress(NOTICE, { ...OUTAGE, retryAfterMs })).params);
  assertEquals(
    notices.map(({ message }) => message.slice(24)),
    [
      "attempt 1, next in 2 s)",
      "attempt 1, under way)",
      "attempt 1, under way)",
      "attempt 1, next when another request arrives)",
    ].map((it) => it.slice(0)),
  );
  assertEquals([notices[0].progressToken, notices[0].progress], ["t", 0.5]);
  const { params } = JSON.parse(
    waitProgress({ progressToken: "7", progress: 1e-6 }),
  );
  assertEquals([params.progressToken, params.progress], [7, 1e-6]);
});
