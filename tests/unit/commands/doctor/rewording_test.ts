/**
 * Tests that the findings of `alwaysup doctor` do not depend on the wording of
 * messages. Each daemon is checked with the normal proxy, and with a proxy that
 * replaces all its messages with "x".
 *
 * @module
 */

import type { CheckResult } from "../../../../lib/commands/doctor/check.ts";
import { InProcessClient } from "../../../../lib/commands/doctor/in_process_client.ts";
import { daemonChecks } from "../../../../lib/commands/doctor/daemon_checks.ts";
import { runningCheck } from "../../../../lib/commands/doctor/running_checks.ts";
import { type Config, readConfig } from "../../../../lib/config/config.ts";
import { isRecord } from "../../../../lib/protocol/jsonrpc.ts";
import { runProxy } from "../../../../lib/proxy/proxy.ts";
import { type Host, openOwnWebSocket } from "../../../../lib/runtime/host.ts";
import type { Snapshot } from "../../../../lib/session/snapshot.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { proxyStatus } from "../../../helpers/running_proxies.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** How a daemon reacts to a dial and to each frame. */
interface Daemon {
  readonly dialed?: (socket: FakeSocket) => void;
  readonly onFrame?: (socket: FakeSocket, message: Json) => void;
}

/**
 * Replaces the native WebSocket. The port of the URL selects the daemon: port 1
 * is the first case.
 */
class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  readonly #daemon: Daemon;
  readyState = 0;
  readonly bufferedAmount = 0;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onerror?: (event: { message: string }) => void;
  onclose?: (event: { code: number; reason: string }) => void;

  constructor(url: string) {
    this.#daemon = CASES[Number(new URL(url).port) - 1]![1];
    queueMicrotask(() => (this.#daemon.dialed ?? open)(this));
  }

  send(text: string): void {
    queueMicrotask(() => this.#daemon.onFrame?.(this, JSON.parse(text)));
  }

  /** Receives a message from the daemon. */
  receive(message: Json): void {
    if (this.readyState === 1) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }
  }

  close(code = 1005, reason = ""): void {
    if (this.readyState > 1) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose?.({ code, reason }));
  }
}

function open(socket: FakeSocket): void {
  socket.readyState = 1;
  socket.onopen?.();
}

/** Returns a daemon that cannot be dialed. The message is one of Deno's. */
function failing(message: string): Daemon {
  return {
    dialed: (socket) => {
      socket.readyState = 3;
      socket.onerror?.({ message });
      socket.onclose?.({ code: 1006, reason: "" });
    },
  };
}

function closing(code: number, reason = ""): Daemon {
  return { onFrame: (socket) => socket.close(code, reason) };
}

/** An MCP daemon with one tool. */
const MCP: Daemon = {
  onFrame: (socket, { id, method }) => {
    if (id === undefined) return;
    const capabilities = { tools: {} };
    const result = method === "initialize"
      ? { protocolVersion: "2025-11-25", capabilities, serverInfo: {} }
      : method === "tools/list"
      ? { tools: [{ name: "a", inputSchema: { type: "object" } }] }
      : {};
    socket.receive({ jsonrpc: "2.0", id, result });
  },
};

/** Text from a daemon, in words that the proxy's own messages also use. */
const WORDS =
  "it refuses the connection: code 1008, nothing listens, it speaks exai, not";
/** A daemon that answers every frame with a JSON-RPC error. */
const ERRORS: Daemon = {
  onFrame: (socket, { id }) =>
    socket.receive({
      jsonrpc: "2.0",
      id,
      error: { code: -32603, message: WORDS },
    }),
};

/** An exai daemon that refuses the token. */
const EXAI_REFUSING_TOKEN: Daemon = {
  onFrame: (socket, { op }) => {
    if (op !== "hello") return socket.close(4001, "missing hello");
    socket.receive({ op: "hello_ack", ok: false, error: "unauthorized" });
  },
};

/**
 * A daemon, the configured dialect, and the findings of `doctor`: its last
 * check, and the start of its advice about a running proxy. An empty start
 * matches any advice.
 */
const CASES: readonly (readonly [
  what: string,
  daemon: Daemon,
  dialect: "mcp" | "exai",
  last: readonly [name: string, state: CheckResult["state"], advice: string],
  running: string,
])[] = [
  [
    "HTTP 401",
    failing("Invalid status code: 401"),
    "mcp",
    ["websocket", "fail", "check the token"],
    "give the proxy the daemon's own token",
  ],
  [
    "HTTP 403 to an exai client",
    failing("Invalid status code: 403"),
    "exai",
    ["websocket", "fail", "check the token"],
    "give the proxy the daemon's own token",
  ],
  [
    "HTTP 500",
    failing("Invalid status code: 500"),
    "mcp",
    ["websocket", "fail", "look at the daemon's own log"],
    "look at the daemon's own log",
  ],
  [
    "no daemon",
    failing("tcp connect error: Connection refused (os error 111)"),
    "mcp",
    ["websocket", "fail", "start the daemon"],
    "start the daemon",
  ],
  [
    "close code 1008",
    closing(1008),
    "mcp",
    ["token", "fail", "give the daemon's token with"],
    "give the proxy the daemon's own token",
  ],
  [
    "close code 1008 to an exai client",
    closing(1008),
    "exai",
    ["daemon", "fail", "look at the daemon's own log"],
    "give the proxy the daemon's own token",
  ],
  [
    "close code 1011, with words from our own messages",
    closing(1011, WORDS),
    "mcp",
    ["daemon", "fail", "look at the daemon's own log"],
    "look at the daemon's own log",
  ],
  [
    "an exai daemon, whose close reason shows it",
    closing(4001, "missing hello"),
    "mcp",
    ["daemon", "fail", "use --dialect exai"],
    "look at the daemon's own log",
  ],
  [
    "an MCP daemon, whose error shows it",
    ERRORS,
    "exai",
    ["daemon", "fail", "use --dialect mcp"],
    "look at the daemon's own log",
  ],
  [
    "an exai daemon that refuses the token",
    EXAI_REFUSING_TOKEN,
    "exai",
    ["token", "fail", "give the daemon's token with"],
    "give the proxy the daemon's own token",
  ],
  [
    "an exai daemon that refuses the token in response to an MCP message",
    {
      onFrame: (socket, message) =>
        EXAI_REFUSING_TOKEN.onFrame!(socket, { op: "hello", message }),
    },
    "mcp",
    ["daemon", "fail", "use --dialect exai"],
    "",
  ],
  [
    "errors, with words from our own messages",
    ERRORS,
    "mcp",
    ["daemon", "fail", "look at the daemon's own log"],
    "",
  ],
  ["a daemon that works", MCP, "mcp", ["connections", "ok", ""], ""],
];

/** A host without files and variables, whose timers can be stopped. */
class HostWithTimers {
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly host = {
    ...{ os: "linux", pid: 1, runtime: "test" },
    ...{ getEnv: () => undefined, proxyVariables: () => [], env: () => ({}) },
    openWebSocket: (url, options) => ({
      socket: openOwnWebSocket(url, options),
      readDialError: () => undefined,
    }),
    yieldToEvents: () => Promise.resolve(),
    setTimer: (ms, callback) => void this.#timers.add(setTimeout(callback, ms)),
  } as Partial<Host> as Host;

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

function configOf(index: number, dialect: string): Config {
  const args = ["--url", `ws://127.0.0.1:${index + 1}/`, "--dialect", dialect];
  const off = [
    "--cache",
    "off",
    "--status",
    "off",
    "--handshake-timeout",
    "1s",
  ];
  const sources = { args: [...args, ...off], env: {} };
  const reading = readConfig(sources, () => "");
  if (reading.kind === "problems") throw new Error(reading.problems.join());
  return reading.config;
}

/** Replaces the messages of the JSON-RPC errors in stdout lines with "x". */
function reworded(bytes: Uint8Array): Uint8Array {
  const lines = new TextDecoder().decode(bytes).split("\n").map((line) => {
    const message: unknown = line === "" ? undefined : JSON.parse(line);
    if (!isRecord(message) || !isRecord(message.error)) return line;
    return JSON.stringify({
      ...message,
      error: { ...message.error, message: "x" },
    });
  });
  return new TextEncoder().encode(lines.join("\n"));
}

/** Runs a proxy whose messages are all "x", also those of the transport. */
const runReworded: typeof runProxy = (
  config,
  version,
  host,
  log,
  observe,
  transport,
) =>
  runProxy(
    config,
    version,
    {
      ...host,
      writeStdout: async (bytes) => {
        await host.writeStdout(reworded(bytes));
        return bytes.length;
      },
    },
    ({ fact }) =>
      log({
        ...{ level: "debug", event: "lost", message: "x" },
        ...(fact && "failure" in fact && {
          fact: { ...fact, failure: { ...fact.failure, reason: "x" } },
        }),
      }),
    (takeSnapshot) =>
      observe?.(() => {
        const { lastError, ...it } = takeSnapshot();
        return { ...it, lastError: lastError === undefined ? lastError : "x" };
      }),
    {
      dial: (connectionId, subprotocol, emit) =>
        transport!.dial(connectionId, subprotocol, (report) =>
          emit(report.type === "closed" ? { ...report, reason: "x" } : report)),
    },
  );

/**
 * Runs the checks of `doctor` on a daemon. Returns their results, and the check
 * of a running proxy whose last error is the first error of these checks.
 */
async function runChecks(
  index: number,
  dialect: "mcp" | "exai",
  start: typeof runProxy,
): Promise<{ checks: CheckResult[]; running: CheckResult }> {
  const machine = new HostWithTimers();
  const config = configOf(index, dialect);
  let first: Snapshot | undefined;
  const watched: typeof runProxy = (
    config,
    version,
    host,
    log,
    observe,
    transport,
  ) =>
    start(config, version, host, log, (takeSnapshot) => {
      const snapshot = takeSnapshot();
      if (snapshot.lastError !== undefined) first ??= snapshot;
      observe?.(takeSnapshot);
    }, transport);
  const checks: CheckResult[] = [];
  const all = daemonChecks(
    config,
    machine.host,
    (config, spelling) =>
      new InProcessClient(machine.host, config, spelling, watched),
  );
  for await (const check of all) checks.push(check);
  machine.stop();
  const proxy = proxyStatus({
    ...{ runtime: "test", startedAt: 0, dialect, url: config.redactedUrl },
    ...{ client: undefined, connections: "one", lastError: first?.lastError },
    lastErrorCause: first?.lastErrorCause,
    connectionState: { phase: "waiting", attempt: 4, nextAt: 0 },
  });
  return { checks, running: runningCheck([proxy], config, 0, "read") };
}

/** Returns a check without its texts and times. */
function withoutText({ name, state, advice = "", data }: CheckResult): unknown {
  return [name, state, advice, { ...data, ms: 0, problem: "", proxies: [] }];
}

test("doctor: the findings do not depend on the wording of messages", async () => {
  const native = globalThis.WebSocket;
  Object.assign(globalThis, { WebSocket: FakeSocket });
  try {
    // The checks spend most of their time waiting, so they run in parallel.
    const found = await Promise.all(
      CASES.map(([, , dialect], index) =>
        Promise.all([
          runChecks(index, dialect, runProxy),
          runChecks(index, dialect, runReworded),
        ])
      ),
    );
    for (const [index, [plain, other]] of found.entries()) {
      const [what, , , last, running] = CASES[index]!;
      const { name, state, advice = "" } = plain.checks.at(-1)!;
      const begin = advice.slice(0, last[2].length);
      assertEquals([name, state, begin], last, what);
      const { advice: runningAdvice = "" } = plain.running;
      assertEquals(runningAdvice.slice(0, running.length), running, what);
      assertEquals(
        other.checks.map(withoutText),
        plain.checks.map(withoutText),
        what,
      );
      assertEquals(
        withoutText(other.running),
        withoutText(plain.running),
        what,
      );
    }
  } finally {
    Object.assign(globalThis, { WebSocket: native });
  }
});
