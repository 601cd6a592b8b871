/**
 * Tests which requests for metrics are answered, and which are refused.
 *
 * @module
 */

import {
  describeListenError,
  metricsUrlOf,
  respondTo,
} from "../../../lib/proxy/metrics_server.ts";
import { EMPTY_HISTORY } from "../../../lib/telemetry/history.ts";
import type { MeasuredProxy } from "../../../lib/telemetry/metric_families.ts";
import type { ConnectionState } from "../../../lib/session/snapshot.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

function measure(connectionState: ConnectionState): MeasuredProxy {
  return {
    ...{ version: "1", runtime: "r", url: "ws://h/", dialect: "mcp" },
    ...{ startedAt: 0, now: 0, history: EMPTY_HISTORY, labels: {} },
    snapshot: {
      ...{ connectionState, circuit: "closed" },
      ...{ pendingRequests: 0, queuedMessages: 0 },
    },
  };
}

interface TestRequest {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string | undefined;
  readonly origin?: string;
  readonly accept?: string;
  readonly "sec-fetch-site"?: string;
}

async function respond(
  { method = "GET", path = "/metrics", ...headers }: TestRequest,
  phase: "ready" | "open" = "ready",
  ownHost: string = "127.0.0.1",
): Promise<{ status: number; body: string; headers: Record<string, string> }> {
  const all: Record<string, string | undefined> = {
    host: "127.0.0.1:9464",
    ...headers,
  };
  const header = (name: string): string | undefined => all[name];
  const state = phase === "ready" ? { phase, since: 0 } : { phase };
  return await respondTo(
    { method, path, header },
    ownHost,
    () => measure(state),
  );
}

const HOSTS: [host: string | undefined, status: number][] = [
  ...["127.0.0.1:9464", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:9464"]
    .map((host): [string, number] => [host, 200]),
  ...["10.0.0.7:9464", "host.docker.internal:9464"]
    .map((host): [string, number] => [host, 200]),
  ...["evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""]
    .map((host): [string, number] => [host, 403]),
  ...["localhost.evil.example", "127.0.0.1@evil.example", "[evil]", "a b"]
    .map((host): [string, number] => [host, 403]),
  [undefined, 403],
];

for (const [host, status] of HOSTS) {
  test(`Metrics server: the host ${host} gets ${status}`, async () => {
    assertEquals((await respond({ host })).status, status);
  });
}

test("Metrics server: the host of --metrics is not foreign", async () => {
  const host = "Monitored.example:9464";
  assertEquals((await respond({ host })).status, 403);
  const { status } = await respond({ host }, "ready", "monitored.example");
  assertEquals(status, 200);
});

test("Metrics server: pages of other origins are refused", async () => {
  const origins: [string, number][] = [
    ["http://127.0.0.1:9464", 200],
    ["http://127.0.0.1:9465", 403],
    ["https://127.0.0.1:9464", 403],
    ["http://evil.example", 403],
    ["null", 403],
  ];
  for (const [origin, status] of origins) {
    assertEquals((await respond({ origin })).status, status, origin);
  }
});

test("Metrics server: a request that a page of another site causes is refused", async () => {
  for (const site of ["cross-site", "same-site", "none", "same-origin"]) {
    const { status } = await respond({ "sec-fetch-site": site });
    assertEquals(status, /^(none|same-origin)$/.test(site) ? 200 : 403, site);
  }
});

test("Metrics server: only GET and HEAD, and only three paths", async () => {
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"]) {
    const { status, headers } = await respond({ method });
    assertEquals([status, headers.Allow], [405, "GET, HEAD"]);
  }
  for (const method of ["GET", "HEAD"]) {
    assertEquals((await respond({ method })).status, 200);
  }
  for (const path of ["/", "/metrics/", "//metrics", "/metricsx", "*", ""]) {
    assertEquals((await respond({ path })).status, 404, path);
  }
});

test("Metrics server: healthy while it runs, ready while the daemon is connected", async () => {
  const statuses = async (phase: "ready" | "open"): Promise<number[]> => [
    (await respond({ path: "/healthz" }, phase)).status,
    (await respond({ path: "/readyz" }, phase)).status,
  ];
  assertEquals(await statuses("ready"), [200, 200]);
  assertEquals(await statuses("open"), [200, 503]);
});

test("Metrics server: the format follows Accept, and nothing may be cached or guessed", async () => {
  const { headers, body } = await respond({});
  assertEquals(headers, {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
    "Vary": "Accept",
  });
  assertMatch(body, /^# HELP alwaysup_build_info/);
  const open = await respond({ accept: "application/openmetrics-text" });
  assertMatch(open.headers["Content-Type"]!, /^application\/openmetrics-text/);
  assertMatch(open.body, /# EOF\n$/);
});

test("Metrics server: its URL, and why it cannot listen", () => {
  const urls = ["127.0.0.1", "::1", "h"].map((host) =>
    metricsUrlOf({ host, port: 9464 })
  );
  assertEquals(urls, [
    "http://127.0.0.1:9464/metrics",
    "http://[::1]:9464/metrics",
    "http://h:9464/metrics",
  ]);
  const because = (code: string): string =>
    describeListenError(Object.assign(new Error("the text"), { code }));
  assertMatch(because("EADDRINUSE"), /another program/);
  assertMatch(because("EINVAL"), /does not have this address/);
  assertEquals(because("EWHATEVER"), "the text");
});
