/**
 * Tests the whole program with a real process and real sockets: its exit,
 * invalid input, the WebSocket handshake, and large messages.
 *
 * @module
 */

import { SHUTDOWN_GRACE_MS } from "../../lib/session/shutdown.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import {
  FakeWebSocketServer,
  respondToAll,
} from "../helpers/fake_websocket_server.ts";
import { test, withWaitLimit } from "../helpers/time_limit.ts";
import {
  freePort,
  INITIALIZE_LINE,
  OutputLines,
  proxyCommand,
  ProxyProcess,
} from "../helpers/process.ts";

/**
 * The time limit for an exit without pending requests. It is shorter than
 * `SHUTDOWN_GRACE_MS`, so the program did not wait for a response.
 */
const PROMPT_MS = SHUTDOWN_GRACE_MS - 100;

function flags(url: string, ...rest: string[]): string[] {
  // The tests count connections, so the proxy must not open a second one.
  return ["--url", url, "--connections", "many", ...rest];
}

for (const how of ["EOF", "SIGTERM", "SIGINT"] as const) {
  test(`Exit: ${how} while connected gives exit code 0 at once, and the daemon sees close code 1000`, async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = new ProxyProcess(flags(daemon.url));
    await proxy.initialize();
    const start = performance.now();
    if (how !== "EOF") await proxy.signal(how);
    const { code, ms } =
      await (how === "EOF" ? proxy.closeStdin() : proxy.waitForExit(start));
    assertEquals(code, 0);
    assert(ms < PROMPT_MS, `${ms}`);
    assertEquals(await daemon.firstCloseCode, 1000);
  });

  test(`Exit: ${how} while the daemon is away gives exit code 0 at once`, async () => {
    await using proxy = new ProxyProcess(
      flags(`ws://127.0.0.1:${freePort()}/`),
    );
    await proxy.stderr.waitForLine((line) => line.includes("Attempt 1 "));
    const start = performance.now();
    if (how !== "EOF") await proxy.signal(how);
    const { code, ms } =
      await (how === "EOF" ? proxy.closeStdin() : proxy.waitForExit(start));
    assertEquals(code, 0);
    assert(ms < PROMPT_MS, `${ms}`);
  });

  test(`Exit: ${how} during a dial gives exit code 0 at once`, async () => {
    // The listener accepts the connection, but never answers the handshake.
    using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const { port } = listener.addr as Deno.NetAddr;
    await using proxy = new ProxyProcess(flags(`ws://127.0.0.1:${port}/`));
    using connection = await listener.accept();
    await connection.read(new Uint8Array(10));
    const start = performance.now();
    if (how !== "EOF") await proxy.signal(how);
    const { code, ms } =
      await (how === "EOF" ? proxy.closeStdin() : proxy.waitForExit(start));
    assertEquals(code, 0);
    assert(ms < PROMPT_MS, `${ms}`);
  });
}

test("Exit: after EOF, the response to an open call still comes", async () => {
  const pending = Promise.withResolvers<WebSocket>();
  await using daemon = new FakeWebSocketServer({
    respond: (message, socket) => {
      if (message.method !== "slow") return respondToAll(message);
      pending.resolve(socket);
    },
  });
  await using proxy = new ProxyProcess(flags(daemon.url));
  await proxy.initialize();
  await proxy.request(1, "slow");
  await pending.promise;
  const end = proxy.closeStdin();
  daemon.send({ id: 1, result: { late: true } });
  assertEquals((await end).code, 0);
  assertEquals((await proxy.waitForResponse(1)).result, { late: true });
});

test("Exit: after EOF, unanswered calls get an error each when the shutdown grace is over", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: (message) =>
      message.method === "slow" ? undefined : respondToAll(message),
  });
  await using proxy = new ProxyProcess(flags(daemon.url));
  await proxy.initialize();
  await proxy.request(1, "slow");
  await proxy.request(2, "ping");
  await proxy.waitForResponse(2);
  const { code, ms } = await proxy.closeStdin();
  assertEquals(code, 0);
  assert(ms > 1_400 && ms < 15_000, `${ms}`);
  assertEquals((await proxy.waitForResponse(1)).error.code, -31002);
});

test("Exit: after EOF, a large response is not cut off", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ShellProxy(
    '"${@:2}" --url "$1" | (sleep 0.3; exec cat)',
    daemon.url,
  );
  await proxy.requestInitialize();
  await proxy.request(1, "x", { t: "x".repeat(1_000_000) });
  await daemon.waitForMessages(2);
  assertEquals((await proxy.closeStdin()).code, 0);
  assertEquals((await proxy.waitForResponse(1)).result.t.length, 1_000_000);
});

test("Exit: a client that no longer reads stdout gives exit code 0", async () => {
  await using daemon = new FakeWebSocketServer();
  const { url } = daemon;
  // A shell pipe can break stdout while stdin stays open.
  await using proxy = new ShellProxy(
    '"${@:2}" --url "$1" | { head -n 1 >/dev/null; exec <&-; echo gone >&2; }; ' +
      "exit ${PIPESTATUS[0]}",
    url,
  );
  await proxy.requestInitialize();
  // Output before this line would still be read.
  await proxy.stderr.waitForLine((line) => line === "gone");
  await proxy.requestInitialize(1);
  const { code } = await proxy.waitForExit();
  assertEquals(code, 0);
});

test("Exit: --give-up-after gives exit code 1, and queued requests get an error", async () => {
  await using proxy = new ProxyProcess(
    flags(`ws://127.0.0.1:${freePort()}/`, "--give-up-after", "700ms"),
  );
  await proxy.request(1, "initialize", {});
  const { code } = await proxy.waitForExit();
  assertEquals(code, 1);
  assertEquals((await proxy.waitForResponse(1)).error.code, -31001);
  assertMatch(proxy.stderr.dump(), /--give-up-after.*exiting/);
});

test("Exit: the program ends although nobody reads its output", async () => {
  const runUnread = async (
    args: string[],
    feed: (stdin: WritableStreamDefaultWriter<Uint8Array>) => Promise<void>,
  ): Promise<void> => {
    const [command, all] = proxyCommand(args);
    const child = new Deno.Command(command, {
      args: all,
      env: { ALWAYSUP_CACHE: "off", ALWAYSUP_STATUS: "off" },
      ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
    }).spawn();
    const stdin = child.stdin.getWriter();
    await feed(stdin);
    await stdin.close().catch(() => {});
    await withWaitLimit(child.status, "the program to end");
    await Promise.all([child.stdout.cancel(), child.stderr.cancel()]);
  };
  await using daemon = new FakeWebSocketServer();
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  await runUnread(flags(daemon.url), async (stdin) => {
    await stdin.write(bytes(INITIALIZE_LINE));
    const t = "x".repeat(500_000);
    const call = { jsonrpc: "2.0", id: 1, method: "x", params: { t } };
    await stdin.write(bytes(`${JSON.stringify(call)}\n`));
    await daemon.waitForMessages(2);
  });
  // More stderr output than a pipe can hold.
  await runUnread(
    Array.from({ length: 2_000 }, (_, i) => `--no-such-flag-${i}=1`),
    () => Promise.resolve(),
  );
});

test("Bad input: garbage from both sides gives the right errors and log lines that do not quote it, and disturbs nothing else", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess(flags(daemon.url));
  await proxy.initialize();
  const lines = [
    "hunter2",
    "{",
    "[]",
    "[1,2]",
    '{"jsonrpc":"2.0","id":{},"method":"x"}',
    '{"jsonrpc":"2.0","id":"half","metho":"x"}',
    '{"jsonrpc":"2.0","id":7,"result":{}}',
    "\u0000\u0001",
    "",
  ];
  await proxy.write(`${lines.join("\n")}\r\n`);
  for (
    const frame of [
      "hunter2",
      "{",
      "[]",
      '{"id":1}',
      new Uint8Array(5),
      '{"jsonrpc":"2.0","id":99,"result":1}',
    ]
  ) {
    daemon.send(frame);
  }
  await proxy.write(
    '[{"jsonrpc":"2.0","id":"b1","method":"x"},3,{"jsonrpc":"2.0","id":"b2","method":"x"}]\n',
  );
  await proxy.waitForResponse("b1");
  await proxy.waitForResponse("b2");
  assertEquals((await proxy.waitForResponse("half")).error.code, -32600);
  await proxy.request(1, "x", { fine: true });
  assertEquals((await proxy.waitForResponse(1)).result, { fine: true });
  await proxy.closeStdin();
  const ids = proxy.stdout.lines.map(({ text }) => JSON.parse(text).id);
  assertEquals(ids.toSorted(), [0, 1, "b1", "b2", "half"]);
  const log = proxy.stderr.dump();
  assertEquals(log.includes("hunter2"), false);
  assertEquals(/\bat .*\.ts:/.test(log), false, "a stack trace");
});

test("Bad input: two calls with one id get one response, and a log line", async () => {
  const sockets: WebSocket[] = [];
  await using daemon = new FakeWebSocketServer({
    respond: (message, socket) => {
      if (message.method === "initialize") return respondToAll(message);
      sockets.push(socket);
    },
  });
  await using proxy = new ProxyProcess(flags(daemon.url));
  await proxy.initialize();
  await proxy.request(1, "x");
  await proxy.request(1, "x");
  await proxy.stderr.waitForLine((line) =>
    line.includes("second request with id 1")
  );
  daemon.send({ id: 1, result: {} });
  daemon.send({ id: 1, result: {} });
  await proxy.waitForResponse(1);
  await proxy.closeStdin();
  assertEquals(proxy.stdout.lines.length, 2);
});

const HANDSHAKES: [
  what: string,
  behavior: ConstructorParameters<typeof FakeWebSocketServer>[0],
  dials: number[],
][] = [
  ["echoes it", {}, [1]],
  // Deno accepts this. On Node and Bun, the proxy dials again without a
  // subprotocol.
  ["does not echo it", { subprotocol: undefined }, [1, 2]],
  ["answers 400 to it", {
    refuse: ({ headers }) =>
      headers.has("sec-websocket-protocol")
        ? new Response("?", { status: 400 })
        : undefined,
  }, [2]],
];
for (const [what, behavior, dials] of HANDSHAKES) {
  test(`Subprotocol: the proxy offers it, and reaches a server that ${what}`, async () => {
    await using daemon = new FakeWebSocketServer(behavior);
    await using proxy = new ProxyProcess(flags(daemon.url));
    await proxy.initialize();
    const offers = daemon.handshakes.map(({ headers }) =>
      headers.get("sec-websocket-protocol")
    );
    assert(dials.includes(offers.length), `${offers.length} dials`);
    assertEquals(offers, ["mcp", null].slice(0, offers.length));
    assertEquals(proxy.stderr.dump().includes("WARN"), false);
  });
}

test("Backoff: a server that accepts and closes is not dialed in a hot loop", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: (_, socket) => socket.close(),
  });
  await using proxy = new ProxyProcess(
    flags(daemon.url, "--log-level", "debug"),
  );
  await proxy.request(0, "initialize", {});
  await proxy.stderr.waitForLine((line) => line.includes("Attempt 4 "));
  const [first, , , fourth] = daemon.handshakes;
  // The pauses are 0.25, 0.5 and 0.9 s, although a request is waiting. The
  // daemon may notice the first dial late.
  const ms = fourth!.at - first!.at;
  assert(ms >= 1_200, `${ms}`);
});

test("Refusal: HTTP 401 gives the client an error at once that says what to do, without a secret", async () => {
  const token = await Deno.makeTempFile({ prefix: "token-" });
  await Deno.writeTextFile(token, "wrong-s3cret\n");
  const isGood = ({ headers }: Request): boolean =>
    headers.get("authorization") === "Bearer right-s3cret" &&
    headers.get("x-extra") === "1";
  await using daemon = new FakeWebSocketServer({
    refuse: (request) =>
      isGood(request) ? undefined : new Response("", { status: 401 }),
  });
  {
    const wait = ["--queue-timeout", "60s", "--initialize-grace", "off"];
    const all = flags(daemon.url, "--token-file", token, ...wait);
    await using proxy = new ProxyProcess(all);
    await proxy.request(0, "initialize", {});
    const { error } = await proxy.waitForResponse(0);
    assertEquals([error.code, error.data.reason], [-31001, "refused"]);
    assertMatch(error.message, /HTTP 401.*--token-file or ALWAYSUP_TOKEN/);
    await proxy.closeStdin();
    assertEquals(
      (proxy.stdout.dump() + proxy.stderr.dump()).includes("s3cret"),
      false,
    );
  }
  await using proxy = new ProxyProcess(flags(daemon.url), {
    ALWAYSUP_TOKEN: "right-s3cret",
    ALWAYSUP_HEADERS: "X-Extra: 1",
  });
  await proxy.initialize();
  await Deno.remove(token);
});

test("Size: 20 MB pass unchanged in both directions", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess(flags(daemon.url));
  await proxy.initialize();
  const text = '\u00e9\\n\\"'.repeat(3_300_000);
  await proxy.write(
    `{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":1.0,"t":"${text}"}}\r\n`,
  );
  await proxy.request(2, "x", { small: true });
  const { result } = await proxy.waitForResponse(1);
  assertEquals(result.t.length, 3_300_000 * 3);
  assertEquals((await proxy.waitForResponse(2)).result, { small: true });
});

test("Size: a message over --max-message fails only its own request, and the connection stays", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: (message) =>
      message.method === "big"
        ? { id: message.id, result: { t: "x".repeat(5_000) } }
        : respondToAll(message),
  });
  await using proxy = new ProxyProcess(
    flags(daemon.url, "--max-message", "4KiB"),
  );
  await proxy.initialize();
  await proxy.request(1, "x", { t: "x".repeat(5_000) });
  await proxy.request(2, "big");
  await proxy.request(3, "x", { small: true });
  assertEquals((await proxy.waitForResponse(1)).error.code, -31005);
  assertEquals((await proxy.waitForResponse(2)).error.code, -31005);
  assertEquals((await proxy.waitForResponse(3)).result, { small: true });
  assertEquals(daemon.handshakes.length, 1);
});

test("Frames: a frame with raw line breaks becomes one line", async () => {
  await using daemon = new FakeWebSocketServer({
    respond: ({ id, method, params }) => {
      if (method === undefined || id === undefined) return;
      const result = method === "initialize"
        ? { protocolVersion: params.protocolVersion, capabilities: {} }
        : { text: "a\nb" };
      return JSON.stringify({ jsonrpc: "2.0", id, result }, null, 2);
    },
  });
  await using proxy = new ProxyProcess(flags(daemon.url));
  await proxy.initialize();
  await proxy.request(1, "x");
  assertEquals((await proxy.waitForResponse(1)).result, { text: "a\nb" });
  await proxy.closeStdin();
  assertEquals(proxy.stdout.lines.length, 2);
});

test("stderr: the proxy continues although nobody reads its log", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ShellProxy(
    'exec "${@:2}" --url "$1" --log-level debug 2> >(exec sleep 3 >&-)',
    daemon.url,
  );
  await proxy.requestInitialize();
  for (let i = 0; i < 3_000; i++) {
    await proxy.write("this is no JSON, and is logged\n");
  }
  await proxy.requestInitialize(1);
  await proxy.stdout.waitForLine((text) => JSON.parse(text).id === 1);
});

test("Back-pressure: if the client does not read, the proxy closes the connection to limit memory; once the client reads, the proxy reconnects", async () => {
  await using daemon = new FakeWebSocketServer();
  const [command, args] = proxyCommand([
    ...flags(daemon.url),
    "--cache",
    "off",
  ]);
  const child = new Deno.Command(command, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  const stderr = new OutputLines(child.stderr);
  const hello = '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}\n';
  await stdin.write(new TextEncoder().encode(hello));
  await stderr.waitForLine((line) => line.includes("Successfully connected"));
  const method = "notifications/message";
  const params = { text: "x".repeat(1_000_000) };
  for (let i = 0; i < 80; i++) daemon.send({ method, params });
  await stderr.waitForLine((line) => line.includes("reads too slowly"));
  assertEquals(daemon.handshakes.length, 1);
  const stdout = new OutputLines(child.stdout);
  await stderr.waitForLine((line) => line.includes("Reconnected"));
  await stdin.close();
  assertEquals((await child.status).code, 0);
  await Promise.all([stdout.done, stderr.done]);
  for (const { text } of stdout.lines) JSON.parse(text);
});

/**
 * A proxy that a shell starts. In the script, `"${@:2}"` is the program under
 * test, and `$1` is the URL.
 */
class ShellProxy extends ProxyProcess {
  constructor(script: string, url: string) {
    super([], {}, (command, args) => [
      "bash",
      ["-c", script, "sh", url, command, ...args],
    ]);
  }

  requestInitialize(id = 0): Promise<void> {
    return this.request(id, "initialize", { protocolVersion: "2025-06-18" });
  }
}

test("Content-Length: a client that sends this header gets an error that explains it, and the program continues", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess(flags(daemon.url));
  const bodies = [
    INITIALIZE_LINE.trimEnd(),
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    '{"jsonrpc":"2.0","id":"tw\u00f6 \u{1f600}","method":"tools/list"}',
  ];
  for (const body of bodies) {
    const { length } = new TextEncoder().encode(body);
    await proxy.write(`Content-Length: ${length}\r\n\r\n${body}`);
  }
  for (const id of [0, "tw\u00f6 \u{1f600}"]) {
    const { error } = await proxy.waitForResponse(id);
    assertEquals(error.code, -32600);
    assertMatch(error.message, /Content-Length/);
  }
  // Messages in lines still work.
  await proxy.initialize();
  await proxy.request(1, "tools/list", {});
  assertEquals((await proxy.waitForResponse(1)).result, {});
  assertEquals((await proxy.closeStdin()).code, 0);
  const warnings = proxy.stderr.lines.filter(({ text }) =>
    text.includes("Content-Length")
  );
  assertEquals(warnings.length, 1);
  const methods = daemon.messages.map(({ method }) => method);
  assertEquals(methods.filter((it) => it === "initialize").length, 1);
  assertEquals(methods.filter((it) => it === "tools/list").length, 1);
});
