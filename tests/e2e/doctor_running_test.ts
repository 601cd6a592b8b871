/**
 * Tests `alwaysup doctor` while proxies run. Doctor reports what they know, and
 * opens no connection to the daemon.
 *
 * @module
 */

import type { CheckResult } from "../../lib/commands/doctor/check.ts";
import { serializeStatus } from "../../lib/proxy/status_format.ts";
import type { Snapshot } from "../../lib/session/snapshot.ts";
import type { ProxyInfo } from "../../lib/telemetry/figures.ts";
import { EMPTY_HISTORY } from "../../lib/telemetry/history.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import {
  FakeWebSocketServer,
  respondToAll,
} from "../helpers/fake_websocket_server.ts";
import {
  INITIALIZE_LINE,
  ProxyProcess,
  runToExit,
} from "../helpers/process.ts";
import { makeStale } from "../helpers/proxy_status.ts";
import { StateFolder } from "../helpers/state_folder.ts";

/** A temporary state folder with the status files of running proxies. */
class DoctorFolder extends StateFolder {
  override readonly env = {
    ...{ HOME: this.path, USERPROFILE: this.path, APPDATA: this.path },
    ...{ LOCALAPPDATA: this.path, XDG_STATE_HOME: this.path },
    ...{ XDG_CONFIG_HOME: "", ALWAYSUP_STATUS: "on", ALWAYSUP_CACHE: "off" },
  };

  /** Runs `doctor`. Returns the exit code and the checks; `of` finds one. */
  async doctor(
    args: string[],
    env: Record<string, string> = {},
  ): Promise<
    { code: number; all: CheckResult[]; of(name: string): CheckResult }
  > {
    const flags = ["--json", "--handshake-timeout", "3s", ...args];
    const { code, stdout, stderr } = await runToExit(["doctor", ...flags], {
      ...this.env,
      ...env,
    });
    assertEquals(stderr, "");
    const { ok, checks } = JSON.parse(stdout);
    assertEquals(ok, code === 0);
    const of = (name: string): CheckResult =>
      checks.find((check: CheckResult) => check.name === name);
    return { code, all: checks, of };
  }

  /**
   * Writes the status file of a proxy. The proxy counts as running while its
   * file is new. Returns the path.
   */
  writeStatusFile(
    facts: Partial<ProxyInfo>,
    snapshot: Partial<Snapshot> = {},
  ): string {
    const all: ProxyInfo = {
      ...{
        pid: 4711,
        version: "1",
        runtime: "deno 2",
        url: "",
        dialect: "mcp",
      },
      ...{ startedAt: Date.now(), ...facts },
    };
    const text = serializeStatus(all, {
      ...{
        client: "editor 1",
        connectionState: { phase: "open" },
        reconnects: 0,
      },
      ...{ pendingRequests: 0, lastError: undefined, connections: "unknown" },
      ...{ circuit: "closed", queuedMessages: 0, history: EMPTY_HISTORY },
      ...{ answersDuringCalls: undefined, ...snapshot },
    }, 0);
    Deno.mkdirSync(this.running, { recursive: true });
    const path = `${this.running}/${all.pid}-x.json`;
    Deno.writeTextFileSync(path, text);
    return path;
  }
}

/** A TCP server that counts its connections, and closes each at once. */
class Listener implements AsyncDisposable {
  readonly #listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  readonly #done = this.#accept();
  count = 0;

  get url(): string {
    return `ws://127.0.0.1:${this.#listener.addr.port}/`;
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      this.count++;
      conn.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#done;
  }
}

/** Starts a daemon that keeps only the client that sent the last message. */
function displacingServer(): FakeWebSocketServer {
  let kept: WebSocket | undefined;
  return new FakeWebSocketServer({
    respond: (message, socket) => {
      if (kept !== socket) kept?.close(4000, "another client");
      kept = socket;
      return respondToAll(message);
    },
  });
}

/** Starts a daemon that keeps its first client, and refuses a second one. */
function refusingServer(): FakeWebSocketServer {
  let kept: WebSocket | undefined;
  return new FakeWebSocketServer({
    respond: (message, socket) => {
      if (kept?.readyState !== WebSocket.OPEN) kept = socket;
      if (kept === socket) return respondToAll(message);
      socket.close(4000, "taken");
      return undefined;
    },
  });
}

/** Starts a daemon that answers only the newest client. */
function ignoringServer(): FakeWebSocketServer {
  const known = new Set<WebSocket>();
  let newest: WebSocket | undefined;
  return new FakeWebSocketServer({
    respond: (message, socket) => {
      if (!known.has(socket)) newest = socket;
      known.add(socket);
      return socket === newest ? respondToAll(message) : undefined;
    },
  });
}

test("doctor: while a proxy of the daemon runs, no connection is opened, except with --connect", async () => {
  using folder = new DoctorFolder();
  await using daemon = displacingServer();
  const url = ["--url", daemon.url];
  await using proxy = new ProxyProcess(url, folder.env);
  await proxy.write(INITIALIZE_LINE);
  await proxy.waitForResponse(0);
  await proxy.request(1, "tools/call", { name: "a" });
  await proxy.waitForResponse(1);
  // Waits until the status is newer than the capacity check, which may have
  // ended the proxy's first connection.
  const [before] = await folder.waitForStatus(([it]) =>
    it?.connectionState.phase === "ready" && it.client !== undefined &&
    it.pendingRequests === 0 &&
    it.reconnects > 0 === daemon.handshakes.length > 1
  );
  const [seen, messageCount] = [
    daemon.handshakes.length,
    daemon.messages.length,
  ];

  // With another token and other headers, doctor still finds the proxy.
  const env = { ALWAYSUP_TOKEN: "other", ALWAYSUP_HEADERS: "X-A: b" };
  for (
    const found of [await folder.doctor(url), await folder.doctor(url, env)]
  ) {
    assertEquals(found.code, 0, JSON.stringify(found.all));
    const { state, text, data } = found.of("running");
    assertEquals(state, "ok");
    const words = `proxy ${proxy.process.pid} (e2e 1): ready `;
    assert(text.startsWith(words), text);
    assertMatch(text, /--connect/);
    assertEquals((data!.proxies as { pid: number }[])[0]!.pid, before.pid);
    assertEquals(found.of("connections").data!.from, "proxy");
    const names = found.all.map(({ name }) => name);
    assertEquals(names, [
      ...["settings", "running", "connections", "cache", "health file"],
      "clients",
    ]);
  }
  assertEquals(daemon.handshakes.length, seen);
  await proxy.request(2, "resources/list");
  await proxy.waitForResponse(2);
  // Ignores the proxy's probes of the idle connection.
  const since = daemon.messages.slice(messageCount).map(({ method }) => method);
  assertEquals(since.filter((it) => it !== "ping"), ["resources/list"]);
  assertEquals(daemon.handshakes.length, seen);
  const [after] = await folder.waitForStatus(([it]) =>
    it?.connectionState.phase === "ready"
  );
  assertEquals(after.reconnects, before.reconnects);

  const { of } = await folder.doctor([...url, "--connect"]);
  assertEquals(of("running").state, "warn");
  assertEquals(of("websocket").state, "ok");
  assert(daemon.handshakes.length > seen);
  const isDoctor = daemon.messages.some(({ params }) =>
    params?.clientInfo?.name === "alwaysup doctor"
  );
  assert(isDoctor);
  await proxy.closeStdin();
});

test("doctor: if the running proxy's daemon is down, doctor fails with the proxy's reason, and does not dial", async () => {
  using folder = new DoctorFolder();
  await using listener = new Listener();
  const { url } = listener;
  folder.writeStatusFile({ url }, {
    connectionState: {
      phase: "waiting",
      attempt: 14,
      nextAt: Date.now() + 20_000,
    },
    lastError: "nothing listens there, or the host cannot be reached",
    lastErrorCause: "nobody there",
    ...{ connections: "many", answersDuringCalls: true },
  });
  folder.writeStatusFile({ pid: 4712, url, startedAt: 1 }, {
    connectionState: { phase: "displaced" },
  });
  const found = await folder.doctor(["--url", url]);
  assertEquals(found.code, 1);
  const { state, text, advice } = found.of("running");
  assertEquals(state, "fail");
  assertMatch(text, /^proxy 4712 .*another client has.*\nproxy 4711 /);
  assertMatch(text, /waiting, attempt 14, next in \d+ s\nits last error: noth/);
  assertMatch(advice!, /^start the daemon/);
  assertEquals(
    found.of("connections").text,
    "the daemon keeps several connections for a client, says proxy 4711\n" +
      "it answers during calls, says proxy 4711",
  );
  assertEquals(listener.count, 0);
  const args = ["doctor", "--url", url];
  const { code, stdout, stderr } = await runToExit(args, folder.env);
  assertEquals([code, stderr, listener.count], [1, "", 0]);
  assertMatch(stdout, /\nfail {2}running {6}proxy 4712 \(editor 1\): another/);
  assertMatch(
    stdout,
    /\n {19}doctor opened no connection .*--connect.*\n {19}-> start/,
  );
  assertMatch(stdout, /\nok {4}connections {2}the daemon keeps several/);
  await folder.doctor(["--connect", "--url", url]);
  assert(listener.count > 0);
});

test("doctor: a running proxy is found under another host name, with a secret in the URL, and with another dialect", async () => {
  using folder = new DoctorFolder();
  await using listener = new Listener();
  const { port } = new URL(listener.url);
  folder.writeStatusFile({ url: `ws://localhost:${port}/?***` });
  const named = await folder.doctor([], {
    ALWAYSUP_URL: `ws://127.0.0.1:${port}/?key=s3cret`,
  });
  assertEquals(named.code, 0);
  assertMatch(
    named.of("running").text,
    /^proxy 4711 \(editor 1\) at ws:\/\/loc/,
  );
  assertEquals(JSON.stringify(named.all).includes("s3cret"), false);
  // Without a URL, doctor expects an exai daemon.
  const other = await folder.doctor([], { EXAI_WS_PORT: port });
  assertEquals(other.code, 1);
  assertMatch(other.of("running").advice!, /^use --dialect mcp/);
  assertEquals(other.of("connections"), undefined);
  assertEquals(listener.count, 0);
});

test("doctor: all checks run if the only proxies have ended or use another daemon", async () => {
  using folder = new DoctorFolder();
  await using listener = new Listener();
  const { url } = listener;
  makeStale(folder.writeStatusFile({ pid: 2, url }));
  folder.writeStatusFile({ pid: 3, url: `${url}other` });
  const found = await folder.doctor(["--url", url]);
  assertEquals(found.of("running"), undefined);
  assertEquals(found.of("network").state, "ok");
  assert(listener.count > 0);
});

test("doctor: no connection is opened if it is unknown whether a proxy runs", async () => {
  using folder = new DoctorFolder();
  await using listener = new Listener();
  const args = ["--url", listener.url];
  Deno.mkdirSync(folder.running, { recursive: true });
  Deno.writeTextFileSync(`${folder.running}/1-a.json`, '{"alwaysup":3}');
  const strange = (await folder.doctor(args)).of("running");
  assertEquals(strange.state, "fail");
  assertMatch(strange.text, /\n.*1-a\.json is not a status file of this/);
  assertMatch(strange.advice!, /--connect/);
  Deno.removeSync(folder.running, { recursive: true });
  Deno.writeTextFileSync(folder.running, "");
  const unread = (await folder.doctor(args)).of("running");
  assertMatch(
    unread.text,
    /running is a file, and must be a folder that belongs to you/,
  );
  assertEquals(listener.count, 0);
  await folder.doctor([...args, "--connect"]);
  assert(listener.count > 0);
});

for (
  const [what, start, connections] of [
    ["one client, the newest", displacingServer, "one"],
    ["one client, the first", refusingServer, "one"],
    [
      "one client, the newest, without closing the others",
      ignoringServer,
      "one",
    ],
    ["several connections", () => new FakeWebSocketServer(), "many"],
  ] as const
) {
  test(`doctor: it finds out that a daemon keeps ${what}`, async () => {
    using folder = new DoctorFolder();
    await using daemon = start();
    const found = await folder.doctor(["--url", daemon.url]);
    const { state, data } = found.of("connections");
    assertEquals([state, data!.from, data!.connections], [
      ...["ok", "capacity-check", connections],
    ]);
    assertEquals(found.of("daemon").state, "ok");
    // Doctor does not check a configured capacity.
    const dialCount = daemon.handshakes.length;
    const flags = ["--url", daemon.url, "--connections", connections];
    const set = (await folder.doctor(flags)).of("connections");
    assertEquals([set.state, set.data!.from], ["ok", "setting"]);
    // Three connections: doctor's first client, its client with text ids, and
    // the reconnect after doctor has dropped the second connection.
    assertEquals(daemon.handshakes.length, dialCount + 3);
  });
}

test("doctor: a cached capacity is used instead of a capacity check", async () => {
  using folder = new DoctorFolder();
  await using daemon = displacingServer();
  const cache = `${folder.path}/cache.json`;
  const env = { ...folder.env, ALWAYSUP_CACHE: cache };
  await using proxy = new ProxyProcess(["--url", daemon.url], env);
  await proxy.write(INITIALIZE_LINE);
  await proxy.waitForResponse(0);
  await proxy.request(1, "tools/list");
  await proxy.waitForResponse(1);
  await folder.waitForStatus(([it]) => it?.connections === "one");
  await proxy.closeStdin();
  const seen = daemon.handshakes.length;
  const found = await folder.doctor(["--url", daemon.url], env);
  const { data, text } = found.of("connections");
  assertEquals([data!.from, data!.connections], ["cache", "one"]);
  assertMatch(text, /according to the cache \(valid for another 6 d\)/);
  assertEquals(daemon.handshakes.length, seen + 3);
});
