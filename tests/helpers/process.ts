/**
 * Starts daemons and proxies as real processes and lets a test wait for what
 * they do.
 *
 * @module
 */

import { messageOf } from "../../lib/text/error_message.ts";
import { ROOT } from "../../.ci/build/bundle.ts";
import { rows } from "../../lib/config/config.ts";
import { within } from "./time_limit.ts";
import { STARTER_ENV } from "./parent_exit.ts";

// What somebody has set for a proxy of their own is nothing for the tests' proxies.
for (const [, { env }] of rows()) {
  for (const name of env) Deno.env.delete(name);
}

/** The lines that a process has written, which can be waited for. */
export class Lines {
  readonly all: { text: string; at: number }[] = [];
  #wake = Promise.withResolvers<void>();
  #isOver = false;
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
      for (const text of lines) this.all.push({ text, at });
      this.#notify();
    }
    this.#isOver = true;
    this.#notify();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** The first line, from the `from`-th on, that is accepted. */
  async find(
    accepts: (text: string) => boolean,
    from = 0,
  ): Promise<{ text: string; at: number }> {
    const search = async (): Promise<{ text: string; at: number }> => {
      for (let i = from;; i++) {
        while (i >= this.all.length) {
          if (this.#isOver) throw new Error("The process wrote no such line");
          await this.#wake.promise;
        }
        const line = this.all[i]!;
        if (accepts(line.text)) return line;
      }
    };
    try {
      return await within(search(), "a line");
    } catch (error) {
      throw new Error(`${messageOf(error)}. The lines:\n${this.dump()}`);
    }
  }

  /** The moment that the proxy wrote into a log line, in milliseconds. */
  static writtenAt({ text }: { text: string }): number {
    return Date.parse(text.slice(0, text.indexOf(" ")));
  }

  dump(): string {
    return this.all.map(({ text }) => text.slice(0, 300)).join("\n");
  }
}

/** What a test needs of a program that runs. */
export interface Program {
  readonly pid: number;
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly status: Promise<{ readonly code: number }>;
  kill(signal: Deno.Signal): void;
}

/** Starts a program with pipes, in the project's folder if no other is named. */
export type Spawn = (
  command: string,
  args: string[],
  env: Record<string, string>,
  folder?: string,
) => Program;

/** Starts a program of this system. */
export function spawnHere(
  command: string,
  args: string[],
  env: Record<string, string>,
  folder: string = ROOT,
): Program {
  return new Deno.Command(command, {
    args,
    env,
    cwd: folder,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** A child process whose output can be waited for. */
export class Child implements AsyncDisposable {
  readonly stdout: Lines;
  readonly stderr: Lines;
  readonly process: Program;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  #isOver = false;

  constructor(
    command: string,
    args: string[],
    env: Record<string, string>,
    spawn: Spawn = spawnHere,
  ) {
    this.process = spawn(command, args, { NO_COLOR: "1", ...env });
    this.#stdin = this.process.stdin.getWriter();
    this.stdout = new Lines(this.process.stdout);
    this.stderr = new Lines(this.process.stderr);
    void this.process.status.then(() => this.#isOver = true);
  }

  async write(text: string): Promise<void> {
    await this.writeBytes(new TextEncoder().encode(text));
  }

  async writeBytes(bytes: Uint8Array): Promise<void> {
    await this.#stdin.write(bytes);
  }

  /** Closes stdin and waits for the end. */
  async end(): Promise<{ code: number; ms: number }> {
    const start = performance.now();
    await this.#stdin.close().catch(() => {});
    return await this.ended(start);
  }

  async ended(
    start = performance.now(),
  ): Promise<{ code: number; ms: number }> {
    const { code } = await within(this.process.status, "a process to end");
    const ms = performance.now() - start;
    const output = Promise.all([this.stdout.done, this.stderr.done]);
    await within(output, "the output of a process to end");
    await this.#stdin.close().catch(() => {});
    return { code, ms };
  }

  /** Sends a signal; SIGKILL waits for the end. */
  async signal(name: Deno.Signal): Promise<void> {
    this.process.kill(name);
    if (name === "SIGKILL") await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What a launcher has started holds our pipes, and ends by this alone.
    await this.#stdin.close().catch(() => {});
    if (!this.#isOver) this.process.kill("SIGKILL");
    await this.ended();
  }
}

/** The line with which a client of the older era begins. */
export const HELLO = `${
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

const given = new Set<number>();

/** A port that was free a moment ago, below those that the system gives away meanwhile. No port is given twice. */
export function freePort(): number {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (given.has(port)) continue;
    given.add(port);
    try {
      Deno.listen({ port, hostname: "127.0.0.1" }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Starts a daemon of `tests/daemons/` and waits until it listens. */
export async function startScript(
  script: string,
  ...args: string[]
): Promise<Child> {
  const child = new Child(Deno.execPath(), [
    // Whatever it imports was fetched before the first test.
    ...["run", "--quiet", "--cached-only", "-A"],
    ...[`${ROOT}tests/daemons/${script}`, ...args],
  ], STARTER_ENV);
  try {
    await child.stdout.find((line) => line.startsWith("listening"));
  } catch (error) {
    await child.signal("SIGKILL").catch(() => {});
    const said = child.stderr.dump();
    throw new Error(`${script}: ${messageOf(error)}\n${said}`);
  }
  return child;
}

/** Starts `tests/daemons/mcp_daemon.ts` and waits until it listens. */
export async function startDaemon(
  port: number,
  journal: string,
  ...args: string[]
): Promise<Child> {
  const places = ["--port", `${port}`, "--journal", journal];
  return await startScript("mcp_daemon.ts", ...places, ...args);
}

/** The command that starts the proxy: the program under test, or this source. */
export function proxyCommand(args: string[]): [string, string[]] {
  const binary = Deno.env.get("ALWAYSUP_BIN") || undefined;
  if (binary !== undefined) return [binary, args];
  const permissions = ["--allow-net", "--allow-env", "--allow-read"];
  permissions.push("--allow-write");
  return [Deno.execPath(), [
    ...["run", "--quiet", "--no-prompt", ...permissions, `${ROOT}main.ts`],
    ...args,
  ]];
}

/**
 * A command of a client's configuration as a test may start it: a Deno that `npx`
 * would fetch is the one that runs already. Throws if it is another version.
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

/** Runs the program under test until it ends by itself. */
export async function execute(
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

/** Whether Node runs the program under test, which hides some things from it. */
export async function isOnNode(): Promise<boolean> {
  return (await execute(["--version"])).stdout.includes("(node ");
}

/** A proxy with a client that is the test. */
export class Proxy extends Child {
  /** @param wrap makes another command of the one that starts the proxy */
  constructor(
    args: string[],
    env: Record<string, string> = {},
    wrap = (command: string, args: string[]): [string, string[]] => [
      command,
      args,
    ],
    spawn: Spawn = spawnHere,
  ) {
    const [command, all] = wrap(...proxyCommand(args));
    // What one test's daemon said is nothing for the next one's.
    const alone = { ALWAYSUP_CACHE: "off", ALWAYSUP_STATUS: "off" };
    super(command, all, { ...alone, ...env }, spawn);
  }

  /** Writes a message as a line. */
  async tell(message: unknown): Promise<void> {
    await this.write(`${JSON.stringify(message)}\n`);
  }

  /** Writes a request. */
  async ask(
    id: number | string,
    method: string,
    params?: unknown,
  ): Promise<void> {
    await this.tell({
      jsonrpc: "2.0",
      id,
      method,
      ...(params !== undefined && { params }),
    });
  }

  /** Writes a tool call. */
  async call(
    id: number | string,
    name: string,
    input?: Record<string, unknown>,
    _meta?: Record<string, unknown>,
  ): Promise<void> {
    const params = { name, arguments: input ?? {}, ...(_meta && { _meta }) };
    await this.ask(id, "tools/call", params);
  }

  /** Waits for the answer to an id. */
  async answer(id: number | string): Promise<Answer> {
    const isIt = (text: string): boolean => {
      const message = JSON.parse(text);
      return message.method === undefined && message.id === id;
    };
    const line = await this.#find(isIt, 0);
    return { ...JSON.parse(line.text), at: line.at };
  }

  /** Waits for a notification or request of the daemon's. */
  async hear(method: string, from = 0): Promise<Record<string, unknown>> {
    const isIt = (text: string): boolean => JSON.parse(text).method === method;
    return JSON.parse((await this.#find(isIt, from)).text);
  }

  /** The first message, from the `from`-th on, that is accepted. Throws with the log where there is none. */
  async #find(
    accepts: (text: string) => boolean,
    from: number,
  ): Promise<{ text: string; at: number }> {
    try {
      return await this.stdout.find(accepts, from);
    } catch (error) {
      throw new Error(`${messageOf(error)}\nThe log:\n${this.stderr.dump()}`);
    }
  }

  /** Does what every client does first. */
  async initialize(
    capabilities: Record<string, unknown> = {},
  ): Promise<Answer> {
    await this.ask(0, "initialize", {
      protocolVersion: "2025-11-25",
      capabilities,
      clientInfo: { name: "e2e", version: "1" },
    });
    const answer = await this.answer(0);
    await this.tell({ jsonrpc: "2.0", method: "notifications/initialized" });
    return answer;
  }
}

/** An answer as it came, and when. */
export interface Answer {
  readonly at: number;
  // deno-lint-ignore no-explicit-any
  readonly result?: any;
  // deno-lint-ignore no-explicit-any
  readonly error?: any;
}
