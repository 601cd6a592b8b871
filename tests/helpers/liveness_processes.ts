/**
 * A proxy in front of a daemon of `liveness_daemon.ts`, the calls that were
 * sent, and what the daemon's journal records about them.
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

/** A tool of the daemon: `look` is read-only, `work` is not. */
export type Tool = "work" | "look";

/** A call that was sent. */
export interface SentCall {
  readonly id: string;
  readonly tool: Tool;
  /** How long the daemon works on it, in milliseconds. */
  readonly ms: number;
  /** When it was sent, in milliseconds since 1970. */
  readonly sentAt: number;
}

/** The outcome of a call. Moments are in milliseconds since 1970. */
export interface CallOutcome extends SentCall {
  readonly responseCount: number;
  readonly answeredAt: number | undefined;
  /** Its own result, -31002, another error or result, or nothing so far. */
  readonly outcome: "answered" | "told" | "wrong" | "waits";
  /** The response, if it is wrong. */
  readonly wrongResponse: string | undefined;
  /** When each execution began. */
  readonly executionsStartedAt: readonly number[];
  /** Whether the daemon was still executing it when the response arrived. */
  readonly isStillExecuting: boolean;
}

/** What to start. */
export interface LivenessOptions {
  readonly kind: string;
  /** Whether the daemon closes connections in the abrupt way. */
  readonly closesAbruptly?: boolean;
  /** Whether a relay that can freeze stands in between. */
  readonly usesRelay?: boolean;
  readonly flags?: readonly string[];
  /** Changes the command that starts the proxy. */
  readonly wrap?: (command: string, args: string[]) => [string, string[]];
}

/** What a proxy has learned about its daemon. */
export interface LearnedFacts {
  readonly connections: string;
  readonly answersDuringCalls: boolean | undefined;
}

/** A proxy, a daemon, and perhaps a relay between them. */
export class LivenessProcesses implements AsyncDisposable {
  readonly proxy: ProxyProcess;
  readonly daemon: ChildProcess;
  readonly relay: TcpRelay | undefined;
  readonly calls: SentCall[] = [];
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;
  /** Resumes the stopped daemon when this process ends. */
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

  /** Starts everything. */
  static async start(options: LivenessOptions): Promise<LivenessProcesses> {
    const folder = await Deno.makeTempDir({ prefix: "liveness-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const daemon = stack.use(
      await startLivenessDaemon(
        options.kind,
        `${folder}/journal`,
        options.closesAbruptly === true,
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

  /** Sends what every client sends first. */
  async initialize(): Promise<void> {
    await this.proxy.initialize();
    await this.proxy.request("list", "tools/list");
    await this.proxy.waitForResponse("list");
  }

  /** Sends calls, all in one write. Returns them. */
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

  /** Sends one call. */
  async sendCall(id: string, tool: Tool, ms: number): Promise<SentCall> {
    return (await this.sendCalls([[id, tool, ms]]))[0]!;
  }

  /** Sends a call and waits for its response. */
  async callAndWait(id: string, tool: Tool, ms = 0): Promise<ReceivedResponse> {
    await this.sendCall(id, tool, ms);
    return await this.proxy.waitForResponse(id);
  }

  /**
   * Waits for a response, at most so many milliseconds. Returns whether it
   * arrived.
   */
  async waitForResponse({ id }: SentCall, mostMs: number): Promise<boolean> {
    // If the process has ended, the missing response shows it.
    const answer = this.proxy.waitForResponse(id).then(() => true, () => false);
    return await waitAtMost(mostMs, answer) ?? false;
  }

  /** Waits until the daemon has begun to execute a call. */
  async waitForStart({ id, tool }: SentCall): Promise<void> {
    const text = ` begin ${tool} ${id}\n`;
    const isThere = (): boolean => this.#journal().includes(text);
    await withWaitLimit(
      waitForFileChange(this.#journalPath, isThere),
      `the begin of ${id}`,
    );
  }

  /** Stops or resumes the daemon's process. */
  async signalDaemon(name: "SIGSTOP" | "SIGCONT"): Promise<void> {
    const { pid } = this.daemon.process;
    if (name === "SIGSTOP") {
      // A stopped process does not notice that this process has ended.
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
   * Stops the child of the oldest open connection for a while, as a busy
   * machine does.
   */
  async suspendChild(ms: number): Promise<void> {
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

  /** The journal's lines. */
  journalEntries(): { at: number; what: string }[] {
    return this.#journal().split("\n").slice(0, -1).map((line) => {
      const space = line.indexOf(" ");
      return { at: Number(line.slice(0, space)), what: line.slice(space + 1) };
    });
  }

  /** How often a call was executed. */
  executionCount(id: string): number {
    const begin = new RegExp(`^begin \\w+ ${id}$`);
    return this.journalEntries().filter(({ what }) => begin.test(what)).length;
  }

  /** How many connections the daemon has seen. */
  get connectionCount(): number {
    return this.journalEntries().filter(({ what }) => what === "open").length;
  }

  /**
   * How many progress notifications the proxy has sent to the client. The
   * daemon sends none.
   */
  get progressCount(): number {
    return this.proxy.stdout.lines
      .filter(({ text }) => text.includes('"notifications/progress"')).length;
  }

  /** The outcome of each call so far. */
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

  /** The facts in the proxy's status; `undefined` before it has one. */
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

/** Starts a daemon of a kind on a free port. */
export async function startLivenessDaemon(
  kind: string,
  journal: string,
  closesAbruptly: boolean,
): Promise<ChildProcess> {
  await Deno.writeTextFile(journal, "");
  const options = ["--port", "0", "--journal", journal, "--kind", kind];
  if (closesAbruptly) options.push("--rude");
  return await startDaemonScript("liveness_daemon.ts", ...options);
}

/** The port of a daemon. */
export function portOf(daemon: ChildProcess): number {
  return Number(daemon.stdout.lines[0]!.text.split(" ")[1]);
}

/** The environment that makes a proxy keep its state in a folder. */
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
