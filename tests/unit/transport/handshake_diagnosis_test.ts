/**
 * Tests how a handshake with `fetch` finds out why a dial failed.
 *
 * @module
 */

import type { Config } from "../../../lib/config/config.ts";
import type { Host, SocketErrorInfo } from "../../../lib/runtime/host.ts";
import {
  createDiagnoser,
  fetchHandshake,
} from "../../../lib/transport/handshake_diagnosis.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const SETTINGS = { url: "wss://h/a?b", headers: [["X-A", "1"]] } as const;
const CONFIG = SETTINGS as Partial<Config> as Config;

/** Returns a host; its `fetch` can request a handshake if `options` is set. */
function hostWith(options: Record<string, unknown> | undefined): Host {
  return { handshakeFetchOptions: () => Promise.resolve(options) } as Host;
}

/** Calls `run` with a fake `fetch`. Returns the outcome and the fetch calls. */
async function withFetch<T>(
  answer: () => Response | Error,
  run: () => Promise<T>,
): Promise<{ outcome: T; calls: [url: string, init: RequestInit][] }> {
  const calls: [url: string, init: RequestInit][] = [];
  const native = globalThis.fetch;
  globalThis.fetch = (url, init) => {
    calls.push([`${url}`, init!]);
    const found = answer();
    return found instanceof Error
      ? Promise.reject(found)
      : Promise.resolve(found);
  };
  try {
    return { outcome: await run(), calls };
  } finally {
    globalThis.fetch = native;
  }
}

/** Returns a response with status 101, which `new Response` rejects. */
function switching(): Response {
  return { status: 101, headers: new Headers(), body: null } as Response;
}

/** Returns an error like those of Deno's `fetch`. */
function denoError(why: string): Error {
  const url = "https://x client error (Connect): y/";
  const message =
    `error sending request for url (${url}): client error (Connect): ${why}`;
  return new TypeError("fetch failed", { cause: new Error(message) });
}

const ANSWERS: [
  what: string,
  answer: () => Response | Error,
  diagnosis: SocketErrorInfo | undefined,
][] = [
  [
    "an expired certificate (Deno)",
    () => denoError("invalid peer certificate: Expired"),
    { message: "invalid peer certificate: Expired", errorCode: "" },
  ],
  [
    "an expired certificate (Bun)",
    () => Object.assign(new TypeError("x"), { code: "CERT_HAS_EXPIRED" }),
    { message: "x", errorCode: "CERT_HAS_EXPIRED" },
  ],
  [
    "a server without HTTP/1.1",
    () => denoError("received fatal alert: NoApplicationProtocol"),
    {
      message: "received fatal alert: NoApplicationProtocol",
      errorCode: "NO_APPLICATION_PROTOCOL",
    },
  ],
  [
    "an HTTP status",
    () => new Response("", { status: 403 }),
    { message: "", errorCode: "", status: 403 },
  ],
  [
    "a handshake that now succeeds",
    switching,
    { message: "", errorCode: "", hasTlsSucceeded: true },
  ],
  [
    "a server that sends before the request",
    () => denoError("received unexpected message from connection"),
    { message: "received unexpected message from connection", errorCode: "" },
  ],
  ["no known error", () => denoError("odd"), undefined],
];
for (const [what, answer, diagnosis] of ANSWERS) {
  test(`Handshake diagnosis: finds ${what}, with one handshake in 5 s`, async () => {
    const find = createDiagnoser(CONFIG, hostWith({}));
    const { outcome, calls } = await withFetch(
      answer,
      () => Promise.all([find("mcp"), find("mcp")]),
    );
    assertEquals(outcome, [diagnosis, diagnosis]);
    assertEquals(calls.length, 1);
  });
}

test("Handshake diagnosis: if fetch cannot request a handshake, the status is not reported", async () => {
  const find = createDiagnoser(CONFIG, hostWith(undefined));
  const { outcome } = await withFetch(
    () => new Response("", { status: 200 }),
    () => find("mcp"),
  );
  assertEquals(outcome, {
    message: "",
    errorCode: "",
    hasTlsSucceeded: true,
  });
});

test("Handshake diagnosis: the request has all headers that RFC 6455 requires, and the user's headers", async () => {
  const { calls } = await withFetch(
    switching,
    () => fetchHandshake(CONFIG, hostWith({}), "mcp", 1_000),
  );
  const [url, { headers, redirect }] = calls[0]!;
  assertEquals([url, redirect], ["https://h/a?b", "manual"]);
  const { "Sec-WebSocket-Key": key, ...rest } = headers as Record<
    string,
    string
  >;
  assertEquals(atob(key!).length, 16);
  assertEquals(rest, {
    ...{ Connection: "Upgrade", Upgrade: "websocket", "X-A": "1" },
    ...{ "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "mcp" },
  });
  const plain = await withFetch(
    () => new Response(""),
    () => fetchHandshake(CONFIG, hostWith(undefined), "mcp", 1_000),
  );
  assertEquals<unknown>(plain.calls[0]![1].headers, { "X-A": "1" });
});
