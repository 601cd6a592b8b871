/**
 * Starts daemons and proxies as processes, and waits for their output.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { ROOT } from "../../.ci/build/bundle.ts";
import { listSettings } from "../../lib/config/config.ts";
import { withWaitLimit } from "./time_limit.ts";
import { EXIT_WITH_PARENT_ENV } from "./exit_with_parent.ts";

// The settings of whoever runs the tests must not reach the proxies.
for (const [, { env }] of listSettings()) {
  for (const name of env) Deno.env.delete(name);
}

/** The lines that a process has written, with times (`performance.now()`). */
export class OutputLines {
  readonly lines: { text: string; at: number }[] = [];
  #changed = Promise.withResolvers<void>();
  #hasEnded = false;
  readonly done: Promise<void>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let parts: string[] = [];
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      parts.push(chunk);
      if (!chunk.includes("\n")) continue;
      const lines = parts.join("").split("\n");
      parts = [lines.pop()!];
      const at = performance.now();
      for (const text of lines) this.lines.push({ text, at });
      this.#notify();
    }
    this.#hasEnded = true;
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Waits for the first accepted line, from index `from` on. */
  async waitForLine(
    accepts: (text: string) => boolean,
    from = 0,
  ): Promise<{ text: string; at: number }> {
    const search = async (): Promise<{ text: string; at: number }> => {
      for (let i = from;; i++) {
        while (i >= this.lines.length) {
          if (this.#hasEnded) {
            throw new Error("The process ended without the expected line");
          }
          await this.#changed.promise;
        }
        const line = this.lines[i]!;
        if (accepts(line.text)) return line;
      }
    };
    try {
      return await withWaitLimit(search(), "a line");
    } catch (error) {
      throw new Error(`${errorMessageOf(error)}. The lines:\n${this.dump()}`);
    }
  }

  /** Returns the time in a text log line, in milliseconds since 1970. */
  static logTimeOf({ text }: { text: string }): number {
    return Date.parse(text.slice(0, text.indexOf(" ")));
  }

  dump(): string {
    return this.lines.map(({ text }) => text.slice(0, 300)).join("\n");
  }
}

/** The members of a running program that tests use. */
export interface SpawnedProcess {
  readonly pid: number;
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly status: Promise<{ readonly code: number }>;
  kill(signal: Deno.Signal): void;
}

/** Starts a program with pipes. The default folder is the project's. */
export type Spawn = (
  command: string,
  args: string[],
  env: Record<string, string>,
  folder?: string,
) => SpawnedProcess;

/** Starts a program of this operating system. */
export function spawnNative(
  command: string,
  args: string[],
  env: Record<string, string>,
  folder: string = ROOT,
): SpawnedProcess {
  return new Deno.Command(command, {
    args,
    env,
    cwd: folder,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** A child process. A test can wait for its output. */
export class ChildProcess implements AsyncDisposable {
  readonly stdout: OutputLines;
  readonly stderr: OutputLines;
  readonly process: SpawnedProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  #hasExited = false;

  constructor(
    command: string,
    args: string[],
    env: Record<string, string>,
    spawn: Spawn = spawnNative,
  ) {
    this.process = spawn(command, args, { NO_COLOR: "1", ...env });
    this.#stdin = this.process.stdin.getWriter();
    this.stdout = new OutputLines(this.process.stdout);
    this.stderr = new OutputLines(this.process.stderr);
    void this.process.status.then(() => this.#hasExited = true);
  }

  async write(text: string): Promise<void> {
    await this.writeBytes(new TextEncoder().encode(text));
  }

  async writeBytes(bytes: Uint8Array): Promise<void> {
    await this.#stdin.write(bytes);
  }

  /** Closes stdin, and waits for the exit. `ms` is how long the exit took. */
  async closeStdin(): Promise<{ code: number; ms: number }> {
    const start = performance.now();
    await this.#stdin.close().catch(() => {});
    return await this.waitForExit(start);
  }

  async waitForExit(
    start = performance.now(),
  ): Promise<{ code: number; ms: number }> {
    const { code } = await withWaitLimit(
      this.process.status,
      "a process to end",
    );
    const ms = performance.now() - start;
    const output = Promise.all([this.stdout.done, this.stderr.done]);
    await withWaitLimit(output, "the output of a process to end");
    await this.#stdin.close().catch(() => {});
    return { code, ms };
  }

  /** Sends a signal. After SIGKILL, waits for the exit. */
  async signal(name: Deno.Signal): Promise<void> {
    this.process.kill(name);
    if (name === "SIGKILL") await this.waitForExit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // If this is a launcher, its child exits only when stdin closes.
    await this.#stdin.close().catch(() => {});
    if (!this.#hasExited) this.process.kill("SIGKILL");
    await this.waitForExit();
  }
}

/** The line with which a client sends `initialize`. */
export const INITIALIZE_LINE = `${
  JSON.stringify({
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "e2e", version: "1" },
    },
  })
}\n`;

const usedPorts = new Set<number>();

/**
 * Returns a port that is free now. No port is returned twice in this process.
 * The range is below the ports that the system assigns.
 */
export function freePort(): number {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (usedPorts.has(port)) continue;
    usedPorts.add(port);
    try {
      Deno.listen({ port, hostname: "127.0.0.1" }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Starts a daemon of `tests/daemons/`, and waits until it listens. */
export async function startDaemonScript(
  script: string,
  ...args: string[]
): Promise<ChildProcess> {
  const child = new ChildProcess(Deno.execPath(), [
    // `deno task fetch` has fetched all imports.
    ...["run", "--quiet", "--cached-only", "-A"],
    ...[`${ROOT}tests/daemons/${script}`, ...args],
  ], EXIT_WITH_PARENT_ENV);
  try {
    await child.stdout.waitForLine((line) => line.startsWith("listening"));
  } catch (error) {
    await child.signal("SIGKILL").catch(() => {});
    const log = child.stderr.dump();
    throw new Error(`${script}: ${errorMessageOf(error)}\n${log}`);
  }
  return child;
}

/** Starts `tests/daemons/mcp_daemon.ts`, and waits until it listens. */
export async function startMcpDaemon(
  port: number,
  journal: string,
  ...args: string[]
): Promise<ChildProcess> {
  const options = ["--port", `${port}`, "--journal", journal];
  return await startDaemonScript("mcp_daemon.ts", ...options, ...args);
}

/** Sets `DENO_DIR`, because a child may have another home folder. */
function shareDenoDir(): void {
  if (Deno.env.get("DENO_DIR")) return;
  const info = new Deno.Command(Deno.execPath(), { args: ["info", "--json"] });
  const text = new TextDecoder().decode(info.outputSync().stdout);
  Deno.env.set("DENO_DIR", (JSON.parse(text) as { denoDir: string }).denoDir);
}
shareDenoDir();

/** Returns the command that starts the proxy: `ALWAYSUP_BIN` or the source. */
export function proxyCommand(args: string[]): [string, string[]] {
  const binary = Deno.env.get("ALWAYSUP_BIN") || undefined;
  if (binary !== undefined) return [binary, args];
  const permissions = ["--allow-net", "--allow-env", "--allow-read"];
  permissions.push("--allow-write");
  return [Deno.execPath(), [
    // `deno task fetch` has fetched all imports.
    ...["run", "--quiet", "--cached-only", "--no-prompt"],
    ...[...permissions, `${ROOT}main.ts`],
    ...args,
  ]];
}

/**
 * Returns the command that starts the proxy from a client that passes on few
 * environment variables, such as the SDK's. Without `DENO_DIR`, Deno would look
 * for the packages in the home folder.
 */
export function proxyCommandForClient(args: string[]): [string, string[]] {
  const [command, all] = proxyCommand(args);
  if (command !== Deno.execPath()) return [command, all];
  const denoDir = `DENO_DIR=${Deno.env.get("DENO_DIR")}`;
  return ["env", [denoDir, command, ...all]];
}

/**
 * Returns the command of a client's configuration without `npx`, which would
 * fetch Deno. The running Deno replaces it. Throws if the command names another
 * version of Deno.
 */
export function withoutNpx(
  command: string,
  args: readonly string[],
): [string, string[]] {
  if (command !== "npx") return [command, [...args]];
  const [yes, deno, ...rest] = args;
  const pinned = `deno@${Deno.version.deno}`;
  if (yes !== "-y" || deno !== pinned) {
    throw new Error(`"npx ${yes} ${deno}" is not "npx -y ${pinned}"`);
  }
  return [Deno.execPath(), rest];
}

/** Runs the program under test until it exits by itself. */
export async function runToExit(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [command, all] = proxyCommand(args);
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: all,
    env: { NO_COLOR: "1", ...env },
    cwd: ROOT,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/**
 * Returns whether the program under test runs on Node, which reports less about
 * some failures.
 */
export async function runsOnNode(): Promise<boolean> {
  return (await runToExit(["--version"])).stdout.includes("(node ");
}

export class ProxyProcess extends ChildProcess {
  /** @param wrap changes the command that starts the proxy */
  constructor(
    args: string[],
    env: Record<string, string> = {},
    wrap = (command: string, args: string[]): [string, string[]] => [
      command,
      args,
    ],
    spawn: Spawn = spawnNative,
  ) {
    const [command, all] = wrap(...proxyCommand(args));
    // The files of one test's proxy must not affect the next test.
    const isolated = { ALWAYSUP_CACHE: "off", ALWAYSUP_STATUS: "off" };
    super(command, all, { ...isolated, ...env }, spawn);
  }

  /** Sends a message as one line. */
  async send(message: unknown): Promise<void> {
    await this.write(`${JSON.stringify(message)}\n`);
  }

  async request(
    id: number | string,
    method: string,
    params?: unknown,
  ): Promise<void> {
    await this.send({
      jsonrpc: "2.0",
      id,
      method,
      ...(params !== undefined && { params }),
    });
  }

  async callTool(
    id: number | string,
    name: string,
    input?: Record<string, unknown>,
    _meta?: Record<string, unknown>,
  ): Promise<void> {
    const params = { name, arguments: input ?? {}, ...(_meta && { _meta }) };
    await this.request(id, "tools/call", params);
  }

  /** Waits until the log says where the metrics are. Returns the URL. */
  async metricsUrl(): Promise<string> {
    const { text } = await this.stderr.waitForLine((line) =>
      line.includes("The metrics are served at")
    );
    return /http:[^\s"]+\/metrics/.exec(text)![0];
  }

  /** Waits for the response to the request with this id. */
  async waitForResponse(id: number | string): Promise<ReceivedResponse> {
    const isIt = (text: string): boolean => {
      const message = JSON.parse(text);
      return message.method === undefined && message.id === id;
    };
    const line = await this.#waitForOutput(isIt);
    return { ...JSON.parse(line.text), at: line.at };
  }

  /** Waits for a notification or request from the daemon. */
  async waitForMessage(method: string): Promise<Record<string, unknown>> {
    const isIt = (text: string): boolean => JSON.parse(text).method === method;
    return JSON.parse((await this.#waitForOutput(isIt)).text);
  }

  /** Waits for an accepted message. If none comes, the error has the log. */
  async #waitForOutput(
    accepts: (text: string) => boolean,
  ): Promise<{ text: string; at: number }> {
    try {
      return await this.stdout.waitForLine(accepts);
    } catch (error) {
      throw new Error(
        `${errorMessageOf(error)}\nThe log:\n${this.stderr.dump()}`,
      );
    }
  }

  /** Performs the MCP handshake. Returns the response to `initialize`. */
  async initialize(
    capabilities: Record<string, unknown> = {},
  ): Promise<ReceivedResponse> {
    await this.request(0, "initialize", {
      protocolVersion: "2025-11-25",
      capabilities,
      clientInfo: { name: "e2e", version: "1" },
    });
    const answer = await this.waitForResponse(0);
    await this.send({ jsonrpc: "2.0", method: "notifications/initialized" });
    return answer;
  }
}

/** A response. `at` is its time of arrival by `performance.now()`. */
export interface ReceivedResponse {
  readonly at: number;
  // deno-lint-ignore no-explicit-any
  readonly result?: any;
  // deno-lint-ignore no-explicit-any
  readonly error?: any;
}
