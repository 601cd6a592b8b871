/**
 * Runs a proxy and a `liveness_daemon.ts`, and records what happened to the
 * calls.
 *
 * @module
 */

import { isRecord } from "../../lib/protocol/jsonrpc.ts";
import { waitForFileChange } from "./file_change.ts";
import { withWaitLimit } from "./time_limit.ts";
import { TcpRelay } from "./tcp_relay.ts";
import {
  type ChildProcess,
  ProxyProcess,
  type ReceivedResponse,
  startDaemonScript,
} from "./process.ts";
import { delay, waitAtMost } from "../../lib/runtime/timeout.ts";

/** A tool of the daemon. `look` is read-only, `work` is not. */
export type Tool = "work" | "look";

/** A call that was sent to the proxy. */
export interface SentCall {
  readonly id: string;
  readonly tool: Tool;
  /** How long the daemon works on the call, in milliseconds. */
  readonly ms: number;
  /** When the call was sent, in milliseconds since 1970. */
  readonly sentAt: number;
}

/** The outcome of a call. Times are in milliseconds since 1970. */
export interface CallOutcome extends SentCall {
  readonly responseCount: number;
  readonly answeredAt: number | undefined;
  /** `told`: error -31002 (outcome unknown). `waits`: no response so far. */
  readonly outcome: "answered" | "told" | "wrong" | "waits";
  /** The start of the response if the outcome is `wrong`, else `undefined`. */
  readonly wrongResponse: string | undefined;
  /** The times at which an execution began, one for each execution. */
  readonly executionsStartedAt: readonly number[];
  /** True if the daemon was still executing the call at `answeredAt`. */
  readonly isStillExecuting: boolean;
}

/** The options for the processes. */
export interface LivenessOptions {
  readonly kind: string;
  /** True if the daemon runs with `--rude`; see `liveness_daemon.ts`. */
  readonly isRude?: boolean;
  /** True if a relay that can drop all data runs between proxy and daemon. */
  readonly usesRelay?: boolean;
  readonly flags?: readonly string[];
  /** Changes the command that starts the proxy. */
  readonly wrap?: (command: string, args: string[]) => [string, string[]];
}

/** The facts that a proxy has detected about its daemon. */
export interface LearnedFacts {
  readonly connections: string;
  readonly answersDuringCalls: boolean | undefined;
}

/** A proxy, a daemon, and possibly a relay between them. */
export class LivenessProcesses implements AsyncDisposable {
  readonly proxy: ProxyProcess;
  readonly daemon: ChildProcess;
  readonly relay: TcpRelay | undefined;
  readonly calls: SentCall[] = [];
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;
  /** A shell that resumes the suspended daemon when this process ends. */
  #resumeAtExit: Deno.ChildProcess | undefined;

  private constructor(
    folder: string,
    daemon: ChildProcess,
    relay: TcpRelay | undefined,
    proxy: ProxyProcess,
    stack: AsyncDisposableStack,
  ) {
    this.#folder = folder;
    this.daemon = daemon;
    this.relay = relay;
    this.proxy = proxy;
    this.#resources = stack;
  }

  /** Starts the daemon, the relay if any, and the proxy. */
  static async start(options: LivenessOptions): Promise<LivenessProcesses> {
    const folder = await Deno.makeTempDir({ prefix: "liveness-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const daemon = stack.use(
      await startLivenessDaemon(
        options.kind,
        `${folder}/journal`,
        options.isRude === true,
      ),
    );
    const port = portOf(daemon);
    const relay = options.usesRelay ? stack.use(new TcpRelay(port)) : undefined;
    const url = `ws://127.0.0.1:${relay?.port ?? port}/`;
    const flags = [
      "--url",
      url,
      "--log-level",
      "debug",
      ...options.flags ?? [],
    ];
    const proxy = stack.use(
      new ProxyProcess(flags, stateEnv(folder), options.wrap),
    );
    return new LivenessProcesses(folder, daemon, relay, proxy, stack.move());
  }

  /** Performs the MCP handshake, and lists the tools as most clients do. */
  async initialize(): Promise<void> {
    await this.proxy.initialize();
    await this.proxy.request("list", "tools/list");
    await this.proxy.waitForResponse("list");
  }

  /** Sends calls, all in one write. Returns a record of each. */
  async sendCalls(
    calls: readonly (readonly [id: string, tool: Tool, ms: number])[],
  ): Promise<SentCall[]> {
    const sentAt = Date.now();
    const written = calls.map(([id, tool, ms]) => ({ id, tool, ms, sentAt }));
    this.calls.push(...written);
    const lines = calls.map(([id, name, ms]) =>
      JSON.stringify({
        ...{ jsonrpc: "2.0", id, method: "tools/call" },
        params: { name, arguments: { id, ms }, _meta: { progressToken: id } },
      })
    );
    await this.proxy.write(`${lines.join("\n")}\n`);
    return written;
  }

  async sendCall(id: string, tool: Tool, ms: number): Promise<SentCall> {
    return (await this.sendCalls([[id, tool, ms]]))[0]!;
  }

  async callAndWait(id: string, tool: Tool, ms = 0): Promise<ReceivedResponse> {
    await this.sendCall(id, tool, ms);
    return await this.proxy.waitForResponse(id);
  }

  /**
   * Waits for a response for at most `mostMs` milliseconds. Returns whether it
   * arrived.
   */
  async waitForResponse({ id }: SentCall, mostMs: number): Promise<boolean> {
    // The promise is rejected if the proxy has exited.
    const answer = this.proxy.waitForResponse(id).then(() => true, () => false);
    return await waitAtMost(mostMs, answer) ?? false;
  }

  /** Waits until the daemon has begun to execute a call. */
  async waitForStart({ id, tool }: SentCall): Promise<void> {
    const text = ` begin ${tool} ${id}\n`;
    const isThere = (): boolean => this.#journal().includes(text);
    await withWaitLimit(
      waitForFileChange(this.#journalPath, isThere),
      `the daemon to begin call ${id}`,
    );
  }

  /** Suspends or resumes the daemon's process. */
  async signalDaemon(name: "SIGSTOP" | "SIGCONT"): Promise<void> {
    const { pid } = this.daemon.process;
    if (name === "SIGSTOP") {
      // A suspended daemon does not notice that this process has ended.
      this.#resumeAtExit = new Deno.Command("sh", {
        args: ["-c", `read _; kill -CONT ${pid}`],
        stdin: "piped",
        stderr: "null",
      }).spawn();
    }
    this.daemon.process.kill(name);
    if (name === "SIGCONT") await this.#stopResumeAtExit();
  }

  /**
   * Suspends the child process of the daemon's first connection for `ms`
   * milliseconds, as a busy machine may do.
   */
  async suspendFirstChild(ms: number): Promise<void> {
    const { what } = this.journalEntries().find(({ what }) =>
      /^child /.test(what)
    )!;
    const pid = Number(what.split(" ")[1]);
    Deno.kill(pid, "SIGSTOP");
    await delay(ms);
    Deno.kill(pid, "SIGCONT");
  }

  async #stopResumeAtExit(): Promise<void> {
    await this.#resumeAtExit?.stdin.close();
    await this.#resumeAtExit?.status;
    this.#resumeAtExit = undefined;
  }

  get #journalPath(): string {
    return `${this.#folder}/journal`;
  }

  #journal(): string {
    return Deno.readTextFileSync(this.#journalPath);
  }

  /** Returns the journal's lines. `at` is in milliseconds since 1970. */
  journalEntries(): { at: number; what: string }[] {
    return this.#journal().split("\n").slice(0, -1).map((line) => {
      const space = line.indexOf(" ");
      return { at: Number(line.slice(0, space)), what: line.slice(space + 1) };
    });
  }

  /** Returns how often the daemon began to execute a call. */
  executionCount(id: string): number {
    const begin = new RegExp(`^begin \\w+ ${id}$`);
    return this.journalEntries().filter(({ what }) => begin.test(what)).length;
  }

  /** The number of connections that the daemon accepted. */
  get connectionCount(): number {
    return this.journalEntries().filter(({ what }) => what === "open").length;
  }

  /**
   * The number of progress notifications that the client received. All are from
   * the proxy, because the daemon sends none.
   */
  get progressCount(): number {
    return this.proxy.stdout.lines
      .filter(({ text }) => text.includes('"notifications/progress"')).length;
  }

  /** Returns the outcomes of all calls so far. */
  outcomes(): CallOutcome[] {
    const events = this.journalEntries();
    const answers = new Map<unknown, ReceivedResponse[]>();
    for (const { text, at } of this.proxy.stdout.lines) {
      const message = JSON.parse(text);
      if (message.method !== undefined) continue;
      const all = answers.get(message.id) ?? [];
      const wall = performance.timeOrigin + at;
      answers.set(message.id, [...all, { ...message, at: wall }]);
    }
    return this.calls.map((call) =>
      outcomeOf(call, answers.get(call.id) ?? [], events)
    );
  }

  /** Returns the facts from the proxy's status file, if it exists yet. */
  learnedFacts(): LearnedFacts | undefined {
    const path = `${this.#folder}/alwaysup/running`;
    let files: Deno.DirEntry[];
    try {
      files = [...Deno.readDirSync(path)];
    } catch {
      return undefined;
    }
    const file = files.find(({ name }) => name.endsWith(".json"));
    if (file === undefined) return undefined;
    const it: unknown = JSON.parse(
      Deno.readTextFileSync(`${path}/${file.name}`),
    );
    if (!isRecord(it) || typeof it.connections !== "string") return undefined;
    return {
      connections: it.connections,
      answersDuringCalls: it.answersDuringCalls === undefined
        ? undefined
        : it.answersDuringCalls === true,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopResumeAtExit();
    await this.#resources[Symbol.asyncDispose]();
  }
}

/** Starts a `liveness_daemon.ts` on a free port. */
export async function startLivenessDaemon(
  kind: string,
  journal: string,
  isRude: boolean,
): Promise<ChildProcess> {
  await Deno.writeTextFile(journal, "");
  const options = ["--port", "0", "--journal", journal, "--kind", kind];
  if (isRude) options.push("--rude");
  return await startDaemonScript("liveness_daemon.ts", ...options);
}

/** Returns the daemon's port, which its first line of stdout names. */
export function portOf(daemon: ChildProcess): number {
  return Number(daemon.stdout.lines[0]!.text.split(" ")[1]);
}

/** Returns the environment for a proxy whose files are in `folder`. */
export function stateEnv(folder: string): Record<string, string> {
  return {
    XDG_STATE_HOME: folder,
    ALWAYSUP_CACHE: `${folder}/cache.json`,
    ALWAYSUP_STATUS: "on",
  };
}

function outcomeOf(
  call: SentCall,
  answers: readonly ReceivedResponse[],
  events: readonly { at: number; what: string }[],
): CallOutcome {
  const { id, tool } = call;
  const moments = (what: string): number[] =>
    events.filter((event) => event.what === `${what} ${tool} ${id}`)
      .map(({ at }) => at);
  const [executionsStartedAt, ends] = [moments("begin"), moments("end")];
  const [answer] = answers;
  const answeredAt = answer?.at;
  const before = (all: number[]): number =>
    all.filter((at) => at <= answeredAt!).length;
  const outcome = answer === undefined
    ? "waits"
    : answer.result?.content?.[0]?.text === id && !answer.result.isError
    ? "answered"
    : answer.error?.code === -31002
    ? "told"
    : "wrong";
  return {
    ...call,
    ...{
      responseCount: answers.length,
      answeredAt,
      outcome,
      executionsStartedAt,
    },
    wrongResponse: outcome === "wrong"
      ? JSON.stringify(answer!.error ?? answer!.result).slice(0, 200)
      : undefined,
    isStillExecuting: answeredAt !== undefined &&
      before(executionsStartedAt) > before(ends),
  };
}
