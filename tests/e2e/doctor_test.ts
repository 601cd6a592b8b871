/**
 * Tests `alwaysup doctor` with working daemons, and with other servers that
 * users have configured by mistake.
 *
 * @module
 */

import { cp } from "node:fs/promises";
import type { CheckResult } from "../../lib/commands/doctor/check.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { isProxyRequestId } from "../helpers/session/proxy_request_ids.ts";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { test } from "../helpers/time_limit.ts";
import { freePort, runToExit } from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** The home folder of all tests. It contains no client's file. */
const HOME = Deno.makeTempDirSync({ prefix: "home-" });
const ISOLATED_ENV = {
  ...{ HOME, USERPROFILE: HOME, APPDATA: HOME, LOCALAPPDATA: HOME },
  ...{ XDG_STATE_HOME: "", XDG_CONFIG_HOME: "", ALWAYSUP_CACHE: "off" },
};
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(HOME, { recursive: true }),
);

/** Runs `doctor`. Returns the exit code and the checks; `of` finds one. */
async function runDoctor(
  args: string[],
  env: Record<string, string> = {},
  handshake = "3s",
): Promise<
  { code: number; all: CheckResult[]; of(name: string): CheckResult }
> {
  const all = ["doctor", "--json", "--handshake-timeout", handshake, ...args];
  const { code, stdout, stderr } = await runToExit(all, {
    ...ISOLATED_ENV,
    ...env,
  });
  assertEquals(stderr, "");
  const { ok, checks } = JSON.parse(stdout);
  const isSettingBad = checks.some(({ name, state }: CheckResult) =>
    name === "settings" && state === "fail"
  );
  const failure = isSettingBad ? 2 : 1;
  assertEquals([ok, code], code === 0 ? [true, 0] : [false, failure]);
  const of = (name: string): CheckResult =>
    checks.find((check: CheckResult) => check.name === name);
  return { code, all: checks, of };
}

/** Returns the only failed check. Throws if there is none or more than one. */
function onlyFailure({ all }: { all: CheckResult[] }): CheckResult {
  const failed = all.filter(({ state }) => state === "fail");
  assertEquals(failed.length, 1, JSON.stringify(all));
  assert(failed[0]!.advice !== undefined);
  return failed[0]!;
}

/** Responds as a daemon whose tool list has two pages. */
function respond({ id, method, params }: {
  id: number;
  method: string;
  params?: { cursor?: string };
}): unknown {
  switch (method) {
    case "initialize":
      return {
        id,
        result: {
          protocolVersion: "2025-11-25",
          capabilities: { tools: {} },
          serverInfo: { name: "tests", version: "1" },
        },
      };
    case "tools/list":
      return params?.cursor === undefined
        ? { id, result: { tools: [{ name: "a" }], nextCursor: "2" } }
        : { id, result: { tools: [{ name: "b" }] } };
    case "ping":
      return { id, result: {} };
    default:
      return undefined;
  }
}

test("doctor: a daemon that works", async () => {
  await using daemon = new FakeWebSocketServer({ respond });
  const found = await runDoctor(["--url", daemon.url], {
    GLM_STREAM_TIMEOUT: "9",
  });
  assertEquals(found.code, 0);
  assertEquals(found.of("daemon").text, "it speaks MCP 2025-11-25: tests 1");
  assertEquals(found.of("tools").text, "2");
  assertMatch(found.of("probe").text, /^\d+\.\d ms, the median of 5 \(/);
  assertMatch(found.of("settings").text, /--url: ws.* \(command line\)/);
  assertMatch(found.of("settings").text, /GLM_.*: 9 \(environment\)/);
  const methods = daemon.messages.map(({ method }) => method);
  assert(methods.filter((method) => method === "ping").length >= 5);
  const { text, data } = found.of("connections");
  assertEquals([data!.from, data!.answersDuringCalls], [
    "capacity-check",
    null,
  ]);
  assertMatch(
    text,
    /\nit is unknown whether the daemon answers during calls: doctor calls no tool/,
  );
});

test("doctor: without --json, advice follows each failed check", async () => {
  const url = `ws://127.0.0.1:${freePort()}/`;
  const { code, stdout, stderr } = await runToExit(["doctor", "--url", url], {
    ...ISOLATED_ENV,
  });
  assertEquals([code, stderr], [1, ""]);
  assertMatch(stdout, /^ok {4}settings {5}ws:/);
  assertMatch(
    stdout,
    /\nfail {2}network .* accepts no connection .*\n +-> start/,
  );
  assertEquals(stdout.includes("\x1b"), false);
});

test("doctor: no secret is shown", async () => {
  await using daemon = new FakeWebSocketServer({ respond });
  const { port } = daemon;
  const { code, stdout, stderr } = await runToExit(["doctor"], {
    ...ISOLATED_ENV,
    ALWAYSUP_URL: `ws://127.0.0.1:${port}/?key=s3cret`,
    ALWAYSUP_TOKEN: "s3cret",
    ALWAYSUP_HEADERS: "X-Key: s3cret",
  });
  assertEquals(code, 0, stdout);
  assertEquals((stdout + stderr).includes("s3cret"), false);
  assertMatch(stdout, /ALWAYSUP_TOKEN: \(hidden\) \(environment\)/);
  assertMatch(stdout, /ALWAYSUP_HEADERS: X-Key \(environment\)/);
  assertMatch(stdout, /token +sent, and not refused/);
});

test("doctor: a daemon that wants the URL's user and password", async () => {
  const right = `Basic ${btoa("u:s3cret")}`;
  await using daemon = new FakeWebSocketServer({
    respond,
    refuse: ({ headers }) =>
      headers.get("authorization") === right
        ? undefined
        : new Response("", { status: 401 }),
  });
  const url = (user: string): string => daemon.url.replace("//", `//${user}@`);
  const found = await runDoctor([], { ALWAYSUP_URL: url("u:s3cret") });
  assertEquals(found.code, 0, JSON.stringify(found.all));
  assertEquals(found.of("token").text, "sent, and not refused");
  assertEquals(JSON.stringify(found.all).includes("s3cret"), false);
  const wrong = onlyFailure(
    await runDoctor([], { ALWAYSUP_URL: url("u:wrong") }),
  );
  assertMatch(wrong.text, /HTTP 401/);
});

test("doctor: every invalid setting is reported", async () => {
  const flags = ["--url", "http://h/", "--retry", "maybe"];
  const { code, all } = await runDoctor(flags);
  assertEquals(code, 2);
  assertEquals(all.map(({ state }) => state), ["fail", "fail"]);
});

test("doctor: a daemon that is reached only through an HTTP proxy", async () => {
  // Without `NODE_USE_ENV_PROXY`, other runtimes use no HTTP proxy.
  const { stdout } = await runToExit(["--version"]);
  if (!stdout.includes("(deno ")) return;
  await using daemon = new FakeWebSocketServer({ respond });
  const HTTP_PROXY = `http://u:s3cret@127.0.0.1:${daemon.port}`;
  const args = ["--url", "ws://nosuch.invalid/"];
  const found = await runDoctor(args, { HTTP_PROXY });
  assertEquals(found.code, 0, JSON.stringify(found.all));
  assertEquals(
    found.of("proxy").text,
    "connections to nosuch.invalid go through the HTTP proxy that HTTP_PROXY names",
  );
  assertEquals(found.of("name").state, "warn");
  assertEquals(found.of("daemon").state, "ok");
  assertEquals(JSON.stringify(found.all).includes("s3cret"), false);
  for (const NO_PROXY of ["nosuch.invalid", "a, .invalid", "*"]) {
    const direct = await runDoctor(args, { HTTP_PROXY, NO_PROXY });
    assertEquals(onlyFailure(direct).name, "name");
    assertEquals(direct.of("proxy"), undefined);
  }
  const here = await runDoctor(["--url", daemon.url], { HTTP_PROXY });
  assertEquals([here.code, here.of("proxy")], [0, undefined]);
});

test("doctor: a host that cannot be resolved", async () => {
  const { name } = onlyFailure(
    await runDoctor(["--url", "ws://nosuch.invalid/"]),
  );
  assertEquals(name, "name");
});

const REFUSALS: [
  what: string,
  response: () => Response,
  says: RegExp,
  givesAdvice?: RegExp,
][] = [
  [
    "an HTTP server",
    () => Response.json({ jsonrpc: "2.0" }, { status: 405 }),
    /^this is an HTTP server, not a WebSocket \(HTTP 405\)/,
  ],
  [
    "an SSE server",
    () =>
      new Response("", { headers: { "content-type": "text/event-stream" } }),
    /^this is an HTTP\/SSE server, not a WebSocket \(HTTP 200\)/,
  ],
  [
    "a server without this path",
    () => new Response("", { status: 404 }),
    /nothing at \//,
  ],
  [
    "a server that answers with HTTP 400",
    () => new Response("", { status: 400 }),
    /^it answers with HTTP 400$/,
    /^check the URL's path/,
  ],
  [
    "a proxy in front that requires a login",
    () => new Response("", { status: 407 }),
    /^it answers with HTTP 407$/,
    /any reverse proxy in front of the daemon/,
  ],
  [
    "a proxy in front that limits requests",
    () => new Response("", { status: 429 }),
    /^it answers with HTTP 429$/,
    /any reverse proxy in front of the daemon/,
  ],
  [
    "a server that wants another protocol",
    () => new Response("", { status: 426 }),
    /^this is an HTTP server, not a WebSocket \(HTTP 426\)/,
  ],
  [
    "a server that wants a token",
    () => new Response("", { status: 401 }),
    /HTTP 401/,
  ],
  [
    "a proxy in front that answers with HTTP 503",
    () => new Response("", { status: 503 }),
    /HTTP 503/,
  ],
  [
    "a redirect",
    () =>
      new Response("", {
        status: 302,
        headers: {
          location: "http://u:s3cret@h/x?key=s3cret#s3cret",
        },
      }),
    /^it redirects to http:\/\/h\/x \(HTTP 302\)$/,
    /^use ws:\/\/h\/x$/,
  ],
  [
    "a redirect to TLS",
    () => new Response("", { status: 308, headers: { location: "https://h" } }),
    /^it redirects to https:\/\/h\/ \(HTTP 308\)$/,
    /^use wss:\/\/h\/$/,
  ],
  [
    "a redirect that is not to a WebSocket",
    () => new Response("", { status: 301, headers: { location: "data:x" } }),
    /^it redirects, but not to an HTTP or WebSocket URL \(HTTP 301\)$/,
    /^check the URL/,
  ],
];
for (const [what, refuse, says, advicePattern = /./] of REFUSALS) {
  test(`doctor: not a WebSocket: ${what}`, async () => {
    await using daemon = new FakeWebSocketServer({ refuse });
    const { name, text, advice } = onlyFailure(
      await runDoctor(["--url", daemon.url]),
    );
    assertEquals(name, "websocket");
    assertMatch(text, says);
    assertMatch(advice!, advicePattern);
  });
}

for (
  const [what, banner, says] of [
    ["something else", "SSH-2.0-x\r\n\r\n", /does not speak HTTP/],
    ["something silent that closes", "", /closed the connection/],
  ] as const
) {
  test(`doctor: not a WebSocket: ${what}`, async () => {
    using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const serve = async (): Promise<void> => {
      for await (const conn of listener) {
        await conn.write(new TextEncoder().encode(banner)).catch(() => {});
        conn.close();
      }
    };
    const serving = serve();
    const url = `ws://127.0.0.1:${listener.addr.port}/`;
    const { name, text } = onlyFailure(await runDoctor(["--url", url]));
    assertEquals(name, "websocket");
    assertMatch(text, says);
    listener.close();
    await serving;
  });
}

test("doctor: a WebSocket that never sends anything", async () => {
  await using daemon = new FakeWebSocketServer({ respond: () => undefined });
  const { name, text } = onlyFailure(await runDoctor(["--url", daemon.url]));
  assertEquals(name, "daemon");
  assertMatch(text, /did not answer the first message in time/);
});

test("doctor: a daemon that answers only initialize", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: (message) =>
      message.method === "initialize" ? respond(message) : undefined,
  });
  const flags = ["--url", daemon.url, "--ping-interval", "off"];
  const found = await runDoctor([...flags, "--retry", "never"]);
  const { name, text } = onlyFailure(found);
  assertEquals(name, "tools");
  assertMatch(text, /^the tools cannot be listed: tools\/list timed out/);
});

test("doctor: wss:// to a server without TLS", async () => {
  await using daemon = new FakeWebSocketServer();
  const url = daemon.url.replace("ws:", "wss:");
  const { name, text, advice } = onlyFailure(await runDoctor(["--url", url]));
  assertEquals(name, "websocket");
  assertEquals(text, "the handshake failed: it does not speak TLS (wss://)");
  // Doctor must not suggest ws://, because it sends the token unencrypted.
  assertEquals(advice, "check the port, or give the daemon a certificate");
});

test("doctor: a daemon that answers no ping, and one whose pages do not end", async () => {
  await using mute = new FakeWebSocketServer({
    respond: (message) =>
      message.method === "ping" ? undefined : respond(message),
  });
  const flags = ["--url", mute.url, "--ping-timeout", "500ms"];
  const found = await runDoctor([...flags, "--ping-interval", "500ms"]);
  const { state, text, advice } = found.of("probe");
  assertEquals(state, "warn", text);
  assertMatch(text, /^ping fails: the daemon did not answer a ping in time/);
  assertMatch(advice!, /--ping-interval off/);
  let page = 0;
  await using endless = new FakeWebSocketServer({
    respond: (message) => {
      if (message.method !== "tools/list") return respond(message);
      const result = { tools: [{}], nextCursor: `${++page}` };
      return { id: message.id, result };
    },
  });
  const pages = (await runDoctor(["--url", endless.url], {}, "1s")).of("tools");
  assertEquals(pages.state, "warn");
  assertMatch(pages.text, /the list never ends/);
});

test("doctor: a daemon cannot forge a line of doctor's output", async () => {
  const forged = "x\nok    token        all is well\u202e";
  const serverNamed = (serverInfo: unknown): FakeWebSocketServer =>
    new FakeWebSocketServer({
      respond: (message) => {
        const { id, method } = message;
        if (method === "tools/list") {
          return { id, error: { code: 1, message: forged } };
        }
        const reply = respond(message) as { result?: object };
        return method !== "initialize"
          ? reply
          : { id, result: { ...reply.result, serverInfo } };
      },
    });
  await using daemon = serverNamed({ name: forged, version: { a: forged } });
  const { code, stdout } = await runToExit(["doctor", "--url", daemon.url], {
    ...ISOLATED_ENV,
  });
  assertEquals(code, 1);
  assertEquals(/^ok {4}token {8}all/m.test(stdout), false, stdout);
  assertMatch(stdout, /^ok {4}daemon .*: x ok {4}token {8}all is well *$/m);
  assertMatch(stdout, /^fail {2}tools .*: x ok {4}token {8}all is well *$/m);
  const found = await runDoctor(["--url", daemon.url]);
  assertEquals(/[\n\u202e]/.test(found.of("daemon").text), false);
});

test("doctor: a daemon's text does not control the terminal", async () => {
  const evil = "\x1b]0;PWNED\x07\x1b[31m\u009b" + "x".repeat(1_000);
  await using daemon = new FakeWebSocketServer({
    respond: (message) =>
      message.method !== "initialize" ? respond(message) : {
        id: message.id,
        result: {
          protocolVersion: "2025-11-25",
          capabilities: { tools: {} },
          serverInfo: { name: evil, version: evil },
        },
      },
  });
  const args = ["doctor", "--url", daemon.url];
  const { code, stdout } = await runToExit(args, ISOLATED_ENV);
  assertEquals(code, 0);
  // deno-lint-ignore no-control-regex
  assertEquals(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(stdout), false);
  const longest = Math.max(...stdout.split("\n").map((line) => line.length));
  assert(longest < 400, `${longest}`);
});

test("doctor: a daemon that closes with 1008 wants a token", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: (_, socket) => socket.close(1008),
  });
  const { name, text } = onlyFailure(await runDoctor(["--url", daemon.url]));
  assertEquals(name, "token");
  assertMatch(text, /1008/);
});

test("doctor: a daemon that supports only the stateless era", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: ({ id, method }) => {
      switch (method) {
        case "server/discover":
          return { id, result: { capabilities: { tools: {} } } };
        case "tools/list":
          return { id, result: { tools: [] } };
        default:
          return { id, error: { code: -32601, message: "no" } };
      }
    },
  });
  const found = await runDoctor(["--url", daemon.url]);
  assertEquals(found.code, 0, JSON.stringify(found.all));
  assertEquals(found.of("daemon").text, "it speaks MCP 2026-07-28");
  assertEquals(found.of("tools"), { name: "tools", state: "warn", text: "0" });
  assertEquals(found.of("probe").state, "ok");
});

test("doctor: each daemon with the wrong --dialect, and a working exai daemon", async () => {
  await using exai = new ExaiProcess();
  await exai.start();
  const port = `${exai.port}`;
  const url = `ws://127.0.0.1:${port}/`;
  const wrong = onlyFailure(await runDoctor(["--url", url]));
  assertEquals(wrong.text, "this daemon speaks exai, not mcp");
  await using mcp = new FakeWebSocketServer({
    // The daemon ignores messages that are not JSON-RPC, such as exai's
    // `hello`.
    respond: (message) =>
      message.jsonrpc === "2.0" ? respond(message) : undefined,
  });
  const other = onlyFailure(
    await runDoctor(["--url", mcp.url, "--dialect", "exai"]),
  );
  assertEquals(other.text, "this daemon speaks mcp, not exai");
  const found = await runDoctor([], { EXAI_WS_PORT: port });
  assertEquals(found.code, 0);
  assertMatch(found.of("daemon").text, /exai/);
  assert(Number(found.of("tools").text) > 0);
  assertEquals(found.of("probe").state, "ok");
  assertMatch(
    found.of("connections").text,
    /^each call has a connection of its own/,
  );
});

test("doctor: the token is not sent while doctor tries the other dialect", async () => {
  await using exai = new ExaiProcess();
  await exai.start("--token", "right-s3cret");
  const args = ["--url", `ws://127.0.0.1:${exai.port}/`, "--dialect", "mcp"];
  for (const token of ["", "right-s3cret"]) {
    const env = { EXAI_WS_TOKEN: token };
    const { name, text, advice } = onlyFailure(await runDoctor(args, env));
    assertEquals([name, text, advice], [
      "daemon",
      "this daemon speaks exai, not mcp",
      "use --dialect exai",
    ]);
  }
});

test("doctor: the daemon's close reason shows its dialect", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: (message, socket) =>
      message.jsonrpc ? socket.close(4001, "missing hello") : undefined,
  });
  const { text, advice } = onlyFailure(await runDoctor(["--url", daemon.url]));
  assertEquals(text, "this daemon speaks exai, not mcp");
  assertEquals(advice, "use --dialect exai");
});

test("doctor: an exai daemon with too many connections is not reported as a refused token", async () => {
  await using exai = new ExaiProcess();
  await exai.start("--per-ip", "0");
  const full = onlyFailure(
    await runDoctor([], { EXAI_WS_PORT: `${exai.port}` }),
  );
  assertEquals(full.name, "daemon");
  assertMatch(full.text, /^it accepts no more connections from this machine/);
});

test("doctor: why a health file is not read", async () => {
  const url = ["--url", `ws://127.0.0.1:${freePort()}/`];
  const env = { EXAI_WS_HEALTH_FILE: "/h.json" };
  const mcp = (await runDoctor(url, env)).of("health file");
  assertEquals([mcp.state, mcp.text], [
    "skip",
    "EXAI_WS_HEALTH_FILE is for the exai dialect only",
  ]);
  const skipped = await runDoctor([...url, "--dialect", "exai"], {
    ...env,
    EXAI_WS_SKIP_HEALTH_CHECK: "true",
  });
  assertEquals(
    skipped.of("health file").text,
    "it is not read, because EXAI_WS_SKIP_HEALTH_CHECK is set",
  );
  assertEquals(
    (await runDoctor(url)).of("health file").text,
    "no health file is set",
  );
});

test("doctor: a cache that cannot be written", async () => {
  const url = ["--url", `ws://127.0.0.1:${freePort()}/`];
  // The file system allows a file with this name, but not the temporary file,
  // whose name is longer.
  const path = `${HOME}/${"x".repeat(250)}`;
  const { state, text } = (await runDoctor([...url, "--cache", path])).of(
    "cache",
  );
  assertEquals(state, "warn", text);
  assertMatch(text, / cannot be written \(.*too long/i);
  const good = `${HOME}/new/c.json`;
  const fine = (await runDoctor([...url, "--cache", good])).of("cache");
  assertEquals(fine.state, "ok");
  assertEquals([...Deno.readDirSync(`${HOME}/new`)], []);
});

test("doctor: an exai daemon with another token", async () => {
  await using exai = new ExaiProcess();
  await exai.start("--token", "right");
  const env = { EXAI_WS_PORT: `${exai.port}`, EXAI_WS_TOKEN: "wrong-s3cret" };
  const found = await runDoctor([], env);
  const { name, text } = onlyFailure(found);
  assertEquals(name, "token");
  assertMatch(text, /it rejects the token/);
  assertEquals(JSON.stringify(found.all).includes("s3cret"), false);
});

test("doctor: from source, without the packages that read the clients' files", async () => {
  await using daemon = new FakeWebSocketServer({ respond });
  const denoDir = await Deno.makeTempDir({ prefix: "deno-dir-" });
  const kept = "npm/registry.npmjs.org/deno-std";
  await cp(`${Deno.env.get("DENO_DIR")}/${kept}`, `${denoDir}/${kept}`, {
    recursive: true,
  });
  const found = await runDoctor(["--url", daemon.url], { DENO_DIR: denoDir });
  // Executables and the npm package contain these packages.
  const isSource = !Deno.env.get("ALWAYSUP_BIN");
  assertEquals(
    [found.code, found.of("tools").text, found.of("clients").state],
    [0, "2", isSource ? "skip" : "warn"],
  );
  await Deno.remove(denoDir, { recursive: true });
});

test("doctor: cache, health file and clients", async () => {
  await using daemon = new FakeWebSocketServer({ respond });
  const home = await Deno.makeTempDir({ prefix: "home-" });
  const cache = `${home}/cache.json`;
  const health = `${home}/health.json`;
  await Deno.writeTextFile(cache, "garbage");
  await Deno.writeTextFile(health, '{"t": 1000000000}');
  await Deno.mkdir(`${home}/.cursor`);
  const entry = { command: "/opt/alwaysup", args: [] };
  await Deno.writeTextFile(
    `${home}/.cursor/mcp.json`,
    JSON.stringify({ mcpServers: { mine: entry, other: { command: "x" } } }),
  );
  const env = { HOME: home, USERPROFILE: home, ALWAYSUP_CACHE: cache };
  const found = await runDoctor(["--url", daemon.url], env);
  assertEquals([found.code, found.of("cache").state], [0, "warn"]);
  assertMatch(found.of("clients").text, /^Cursor: "mine" in .*mcp\.json$/);
  const mcpServers = { ours: entry };
  await Deno.writeTextFile(
    `${home}/.claude.json`,
    JSON.stringify({ projects: { "/work/x": { mcpServers } } }),
  );
  const project = await runDoctor(["--url", daemon.url], env);
  assertMatch(
    project.of("clients").text,
    /^Claude Code: "ours" for \/work\/x in .*\.claude\.json\nCursor/,
  );
  const exai = await runDoctor([], {
    ...env,
    EXAI_WS_PORT: `${daemon.port}`,
    EXAI_WS_HEALTH_FILE: health,
  });
  assertEquals(exai.of("health file").state, "warn");
  await Deno.writeTextFile(`${home}/.cursor/mcp.json`, "{");
  const broken = await runDoctor(["--url", daemon.url], env);
  assertEquals([broken.code, broken.of("clients").state], [0, "warn"]);
  await Deno.remove(home, { recursive: true });
});

/**
 * Starts a daemon that passes each response through `change`. `count` is the
 * number of the connection, from 1.
 */
function serverWith(
  change: (message: Json, reply: Json, count: number) => Json,
): FakeWebSocketServer {
  const connections = new Map<WebSocket, number>();
  return new FakeWebSocketServer({
    respond: (message, socket) => {
      if (!connections.has(socket)) {
        connections.set(socket, connections.size + 1);
      }
      const reply = respond(message);
      if (reply === undefined) return undefined;
      return change(message, reply, connections.get(socket)!);
    },
  });
}

const isNumber = (id: unknown): boolean => typeof id === "number";
const RESPONSE_CHANGES: [
  what: string,
  change: (message: Json, reply: Json, count: number) => Json,
  states: CheckResult["state"][],
  says: RegExp,
][] = [
  [
    "each response unchanged",
    (_, reply) => reply,
    ["ok", "ok"],
    /^requests are answered with numbers and with strings as ids/,
  ],
  [
    "number ids as strings",
    ({ id }, reply) => ({ ...reply, id: `${id}` }),
    ["ok", "ok"],
    /\nnumber ids come back as strings: this works/,
  ],
  [
    "null for a string id",
    ({ id }, reply) => ({ ...reply, id: isNumber(id) ? id : null }),
    ["warn", "ok"],
    /^string ids come back as null: clients that use strings as ids will not work/,
  ],
  [
    "nothing for a request with a string id",
    ({ id }, reply) => isNumber(id) ? reply : undefined,
    ["warn", "ok"],
    /^requests with a string as id are not answered: clients that use strings/,
  ],
  [
    "null for a string id, except for initialize",
    ({ id, method }, reply) => ({
      ...reply,
      id: isNumber(id) || method === "initialize" ? id : null,
    }),
    ["warn", "ok"],
    /^string ids come back as null: clients that use strings as ids will not work/,
  ],
  [
    "an error for every list request with a string id",
    ({ id, method }, reply) =>
      method === "tools/list" && typeof id === "string"
        ? { id, error: { code: -32601, message: "no" } }
        : reply,
    ["ok", "ok"],
    /^requests are answered with numbers and with strings as ids/,
  ],
  [
    "nothing for the proxy's own requests",
    ({ id }, reply) => isProxyRequestId(id) ? undefined : reply,
    ["ok", "fail"],
    /^after a lost connection, the daemon did not answer the proxy's own first message/m,
  ],
  [
    "nothing for initialize on later connections",
    ({ method }, reply, count) =>
      // The first connection belongs to doctor's first client.
      method === "initialize" && count > 1 ? undefined : reply,
    ["ok", "fail"],
    /^the daemon does not answer the first message on a second connection/m,
  ],
];
for (const [what, change, states, says] of RESPONSE_CHANGES) {
  test(`doctor: a daemon that returns ${what}`, async () => {
    await using daemon = serverWith(change);
    // Doctor must not wait for the whole handshake timeout.
    const found = await runDoctor(["--url", daemon.url], {}, "1h");
    const checks = [found.of("ids"), found.of("restart")];
    const shown = JSON.stringify(found.all);
    assertEquals(checks.map(({ state }) => state), states, shown);
    assertMatch(checks.map(({ text }) => text).join("\n"), says);
    assertEquals(found.code, states.includes("fail") ? 1 : 0);
    const methods = daemon.messages.map(({ method }) => method);
    assertEquals(methods.includes("tools/call"), false);
  });
}

test("doctor: a daemon that keeps one client accepts a reconnect", async () => {
  let kept: WebSocket | undefined;
  await using daemon = new FakeWebSocketServer({
    respond: (message, socket) => {
      if (message.method === "initialize" && kept !== socket) {
        kept?.close(4000, "another client");
        kept = socket;
      }
      return respond(message);
    },
  });
  const found = await runDoctor(["--url", daemon.url]);
  assertEquals(found.of("ids").state, "ok");
  assertEquals(found.of("restart").state, "ok", JSON.stringify(found.all));
  assertEquals(found.of("connections").data!.connections, "one");
});
