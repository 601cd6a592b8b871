/**
 * Tests what can be seen of a real proxy: a kill and a restart of the daemon
 * leave the same figures in the log, the history, the status and the metrics.
 * Also tests who may see the metrics.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { freePort, ProxyProcess, runToExit } from "../helpers/process.ts";
import { StateFolder } from "../helpers/state_folder.ts";
import { test, WAIT_LIMIT_MS } from "../helpers/time_limit.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** Returns the samples of a text with metrics, by name and labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => /^[a-z]/.test(line));
  return new Map(lines.map((line) => {
    const at = line.lastIndexOf(" ");
    return [line.slice(0, at), Number(line.slice(at + 1))];
  }));
}

async function scrape(url: string): Promise<Map<string, number>> {
  return samplesOf(await (await fetch(url)).text());
}

/** Sends a request, and returns the status of the response. */
async function statusOf(url: string, init?: RequestInit): Promise<number> {
  const { status, body } = await fetch(url, init);
  await body?.cancel();
  return status;
}

test("Telemetry: a kill and a restart leave the same figures in log, history, status and metrics", async () => {
  using folder = new StateFolder();
  const logFile = `${folder.path}/alwaysup.log`;
  await using processes = new ProxyAndDaemon([
    ...["--metrics", "127.0.0.1:0", "--log-format", "json"],
    ...["--log-file", logFile],
  ], folder.env);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  // One call has an unknown outcome, one is repeated, and one waits.
  await processes.startTwoCalls();
  await processes.killDaemon();
  await proxy.waitForResponse(1);
  await proxy.callTool(2, "echo", { key: "waits" });
  await proxy.stderr.waitForLine((line) => line.includes('"attempt-failed"'));
  await processes.startDaemon();
  for (const id of ["1", 2]) await proxy.waitForResponse(id);
  const url = await proxy.metricsUrl();
  const metrics = await scrape(url);
  const [status] = await folder.waitForStatus(([it]) =>
    it?.history.repeatedCount === 1 && it.pendingRequests === 0
  );
  const { stdout: historyText } = await folder.history("--json");
  const [{ history }]: Json = JSON.parse(historyText);
  const { stdout: textfile } = await folder.status("--prometheus");
  assertEquals((await proxy.closeStdin()).code, 0);
  const stderr = proxy.stderr.lines.map(({ text }): Json => JSON.parse(text));
  const log = (await Deno.readTextFile(logFile)).trim().split("\n")
    .map((line): Json => JSON.parse(line));
  assertEquals(log.map(({ pid: _, ...line }) => line), stderr);
  const [lost] = log.filter(({ event }) => event === "lost");
  const [reconnected] = log.filter(({ event }) => event === "reconnected");
  const failed = log.filter(({ event }) => event === "request-failed");
  const repeated = log.filter(({ event }) => event === "request-repeated");

  const write = { method: "tools/call", name: "write", code: -31002 };
  const reason = "connection_lost";
  assertEquals(
    failed.map(({ method, name, code, reason }) => ({
      ...{ method, name, code, reason },
    })),
    [{ ...write, reason }],
  );
  assertEquals(repeated.map(({ name }) => name), ["look"]);
  assertEquals([lost.cause, lost.failedRequests], ["aborted", 1]);

  // The proxy may have started before the daemon: that is an outage, too.
  const others: Json[] = history.outages.slice(0, -1);
  assertEquals(others.every(({ cause }) => cause === "unreachable"), true);
  const outage = history.outages.at(-1);
  assertEquals({ ...outage, downMs: Math.round(outage.downMs) }, {
    ...{ lostAt: outage.lostAt, cause: lost.cause, reason: lost.reason },
    ...{ downMs: reconnected.downMs, attempts: reconnected.attempts },
    ...{ repeatedCount: 1, failedCount: 1, failed: [{ ...write, reason }] },
  });
  assert(Math.abs(outage.lostAt - Date.parse(lost.time)) < 1_000);
  assertEquals(status.history, history);
  assertEquals([status.reconnects, status.circuit], [1, "closed"]);
  assertEquals([status.pendingRequests, status.queuedMessages], [0, 0]);
  assertEquals([status.metricsUrl, status.daemon], [url, "tests 1"]);

  const figures = {
    "alwaysup_link_up": 1,
    'alwaysup_reconnects_total{reason="aborted"}': 1,
    "alwaysup_dial_attempts_total": history.dialAttempts,
    "alwaysup_retries_total": 1,
    "alwaysup_outcome_unknown_total": 1,
    'alwaysup_failed_requests_total{reason="connection_lost"}': 1,
    "alwaysup_open_requests": 0,
    "alwaysup_queue_depth": 0,
    'alwaysup_circuit_state{state="closed"}': 1,
    "alwaysup_circuit_openings_total": 0,
  };
  for (const [name, value] of Object.entries(figures)) {
    assertEquals(metrics.get(name), value, name);
  }
  const downSeconds = metrics.get("alwaysup_link_down_seconds_total")!;
  const earlierMs = others.reduce((sum, { downMs }) => sum + downMs, 0);
  const lastMs = 1_000 * downSeconds - earlierMs;
  assert(Math.abs(lastMs - reconnected.downMs) < 2, `${lastMs}`);

  /** Returns the number of calls of a tool, with and without error. */
  const countsOf = (
    samples: Map<string, number>,
    side: string,
    tool: string,
  ): [ok: number, failed: number] => {
    let [ok, failures] = [0, 0];
    for (const [name, value] of samples) {
      const isIt =
        name.startsWith(`mcp_${side}_operation_duration_seconds_count`) &&
        name.includes(`gen_ai_tool_name="${tool}"`);
      if (isIt && name.includes('error_type="-31002"')) failures += value;
      else if (isIt) ok += value;
    }
    return [ok, failures];
  };
  for (const samples of [metrics, samplesOf(textfile)]) {
    for (const side of ["client", "server"]) {
      assertEquals(countsOf(samples, side, "write"), [0, 1]);
      assertEquals(countsOf(samples, side, "look"), [1, 0]);
      assertEquals(countsOf(samples, side, "echo"), [1, 0]);
    }
  }
  // The text file has the same figures, with labels for each proxy.
  const withoutLabels = [...samplesOf(textfile)].map(([name, value]) => [
    name.replace(/(?:pid|client)="[^"]*",?/g, "").replace(/,?\}$/, "}")
      .replace("{}", ""),
    value,
  ]);
  assertEquals(
    Object.fromEntries(withoutLabels.filter(([name]) => `${name}` in figures)),
    figures,
  );
});

test("Metrics: a web page cannot read them, and only GET and HEAD are answered", async () => {
  const env = {
    ALWAYSUP_METRICS: "127.0.0.1:0",
    ALWAYSUP_TOKEN: "s3cret-token",
    ALWAYSUP_URL: "ws://user:s3cret@127.0.0.1:1/?key=s3cret",
  };
  await using proxy = new ProxyProcess([], env);
  const url = await proxy.metricsUrl();
  assertMatch(url, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
  await proxy.callTool(1, "write", { body: "s3cret-argument" });
  const { port } = new URL(url);
  const foreign = await rawRequest(
    Number(port),
    "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
  );
  assertMatch(foreign, /^HTTP\/1\.1 403 /);
  const headers = { Origin: "http://evil.example" };
  assertEquals(await statusOf(url, { headers }), 403);
  const post = { method: "POST", body: "x".repeat(100_000) };
  assertEquals(await statusOf(url, post), 405);
  const head = await fetch(url, { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
  assertEquals(await statusOf(url.replace("metrics", "readyz")), 503);
  assertEquals(await statusOf(url.replace("metrics", "healthz")), 200);
  const text = await (await fetch(url)).text();
  assertMatch(text, /alwaysup_link_up 0/);
  assertEquals(/s3cret|body/.test(text), false);
  await proxy.closeStdin();
  assertEquals(/s3cret/.test(proxy.stderr.dump()), false);
});

/** Sends bytes to a port, and returns the first bytes of the answer. */
async function rawRequest(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(1024);
  const size = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, size ?? 0));
}

test("Metrics: a taken port gives one warning, and the proxy works", async () => {
  const port = freePort();
  using _listener = Deno.listen({ hostname: "127.0.0.1", port });
  await using processes = new ProxyAndDaemon([
    ...["--metrics", `127.0.0.1:${port}`],
  ]);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  const warning = (line: string): boolean =>
    line.includes("metrics are not served");
  const { text } = await proxy.stderr.waitForLine(warning);
  assertMatch(text, /another program.* has this port/);
  await proxy.callTool(1, "write", { key: "on" });
  const { result } = await proxy.waitForResponse(1);
  assertEquals(result.content[0].text, "on");
  assertEquals((await proxy.closeStdin()).code, 0);
  const lines = proxy.stderr.dump().split("\n").filter(warning);
  assertEquals(lines.length, 1);
});

test("Metrics: many silent connections do not keep others out for long, and do not delay the exit", async () => {
  await using proxy = new ProxyProcess([
    ...["--url", "ws://127.0.0.1:1/", "--metrics", "127.0.0.1:0"],
  ]);
  const url = await proxy.metricsUrl();
  const port = Number(new URL(url).port);
  const connections: Deno.Conn[] = [];
  for (let i = 0; i < 40; i++) {
    connections.push(await Deno.connect({ hostname: "127.0.0.1", port }));
  }
  // The server closes those that are too many at once.
  const last = connections.at(-1)!;
  const end = await last.read(new Uint8Array(1)).catch(() => null);
  assertEquals(end, null);
  for (const connection of connections.splice(0, 20)) connection.close();
  const isServed = async (): Promise<boolean> =>
    await statusOf(url).catch(() => undefined) === 200;
  const limit = performance.now() + WAIT_LIMIT_MS;
  while (!await isServed()) assert(performance.now() < limit);
  assertEquals((await proxy.closeStdin()).code, 0);
  for (const connection of connections) connection.close();
});

test("Metrics: many requests at once on one connection get one answer, and a call is not delayed", async () => {
  await using processes = new ProxyAndDaemon(["--metrics", "127.0.0.1:0"]);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  const port = Number(new URL(await proxy.metricsUrl()).port);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const bytes = new TextEncoder().encode(request.repeat(10_000));
  // The server closes the connection while the requests are written.
  await connection.write(bytes).catch(() => {});
  let text = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65_536);
  for (let size: number | null = 1; size !== null && size > 0;) {
    size = await connection.read(buffer).catch(() => null);
    text += decoder.decode(buffer.subarray(0, size ?? 0), { stream: true });
  }
  assert(text.split("HTTP/1.1 200").length <= 2, text.slice(0, 200));
  await proxy.callTool(1, "echo", { key: "on" });
  const { result } = await proxy.waitForResponse(1);
  assertEquals(result.content[0].text, "on");
  assertEquals((await proxy.closeStdin()).code, 0);
});

test("Settings: an address for metrics that is not one is named, and nothing is started", async () => {
  for (
    const text of [
      "yes",
      "0",
      "9464",
      "host",
      "127.0.0.1:99999",
      ":9464",
      "http://h:1/",
    ]
  ) {
    const { code, stderr } = await runToExit(["--metrics", text]);
    assertEquals(code, 2);
    assertMatch(stderr, /^alwaysup: --metrics: it is not off, on, or an addr/);
  }
});

test("Log to client: warnings reach a client once it has set a log level, and only if that is on", async () => {
  for (const setting of ["on", "off"]) {
    await using processes = new ProxyAndDaemon(["--log-to-client", setting]);
    const { proxy } = processes;
    await processes.startDaemon();
    await proxy.initialize();
    const isWarning = (text: string): boolean =>
      text.includes("notifications/message");
    for (const hasLevel of [false, true]) {
      if (hasLevel) {
        await proxy.request("level", "logging/setLevel", { level: "warning" });
        await proxy.waitForResponse("level");
      }
      const { length } = proxy.stderr.lines;
      await processes.killDaemon();
      await proxy.stderr.waitForLine(
        (line) => line.includes("Lost the"),
        length,
      );
      await processes.startDaemon();
      await proxy.request(`after ${hasLevel}`, "tools/list");
      await proxy.waitForResponse(`after ${hasLevel}`);
      const isWanted = setting === "on" && hasLevel;
      const warnings = proxy.stdout.lines.filter(({ text }) => isWarning(text));
      assertEquals(warnings.length > 0, isWanted, `${setting} ${hasLevel}`);
      if (!isWanted) continue;
      const { params } = JSON.parse(warnings[0]!.text);
      assertEquals([params.level, params.logger], ["warning", "alwaysup"]);
      assertMatch(params.data, /^Lost the WebSocket daemon/);
    }
    assertEquals((await proxy.closeStdin()).code, 0);
  }
});

test("Log: at the level debug, each message has a line in each direction, without its body", async () => {
  await using processes = new ProxyAndDaemon([
    ...["--log-level", "debug", "--log-format", "json"],
  ]);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await proxy.callTool("call", "write", { key: "the-body-of-the-call" });
  await proxy.waitForResponse("call");
  await proxy.closeStdin();
  const all = proxy.stderr.lines.map(({ text }) => text);
  assertEquals(all.some((line) => line.includes("the-body")), false);
  const lines = all.map((line): Json => JSON.parse(line))
    .filter(({ event, id }) => event === "message" && id === '"call"');
  assertEquals(
    lines.map(({ level, direction, kind, method }) =>
      [level, direction, kind, method].join(" ")
    ),
    [
      "debug from-client request tools/call",
      "debug to-daemon request tools/call",
      "debug from-daemon response tools/call",
      "debug to-client response tools/call",
    ],
  );
  for (const { bytes, ms, direction } of lines) {
    assert(bytes > 50 && bytes < 300, `${bytes}`);
    assertEquals(
      typeof ms,
      /from-d|to-c/.test(direction) ? "number" : "undefined",
    );
  }
});
