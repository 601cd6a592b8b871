/**
 * A proxy before a daemon of `liveness_process.ts`, the calls that were written,
 * and what the daemon's journal says of them.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import { isRecord } from "../../lib/protocol/jsonrpc.ts";
import { changed } from "./file_change.ts";
import { within } from "./time_limit.ts";
import { Relay } from "./tcp_relay.ts";
import { type Answer, type Child, Proxy, startScript } from "./process.ts";
import { valueWithin } from "./async.ts";

/** A tool of the daemon's: `look` is read-only, `work` is not. */
export type Tool = "work" | "look";

/** A call as it was written. */
export interface Call {
  readonly id: string;
  readonly tool: Tool;
  /** How long the daemon is at it, in milliseconds. */
  readonly ms: number;
  /** When it was written, in milliseconds since 1970. */
  readonly sentAt: number;
}

/** What became of a call; moments are in milliseconds since 1970. */
export interface Fate extends Call {
  readonly answers: number;
  readonly answeredAt: number | undefined;
  /** Its own result, -31002, another error or result, or nothing so far. */
  readonly outcome: "answered" | "told" | "wrong" | "waits";
  /** What was said, where it is wrong. */
  readonly said: string | undefined;
  /** When each execution began. */
  readonly begins: readonly number[];
  /** Whether the daemon was at it when the answer came. */
  readonly isAtIt: boolean;
}

/** What is started. */
export interface Cast {
  readonly kind: string;
  /** Whether it closes in the rude of two ways. */
  readonly isRude?: boolean;
  /** Whether a relay stands between, which can freeze. */
  readonly isRelayed?: boolean;
  readonly flags?: readonly string[];
  /** Makes another command of the one that starts the proxy. */
  readonly wrap?: (command: string, args: string[]) => [string, string[]];
}

/** What a proxy has learned of its daemon. */
export interface Learned {
  readonly connections: string;
  readonly answersDuringCalls: boolean | undefined;
}

/** A proxy, a daemon, and perhaps a relay between them. */
export class LiveScene implements AsyncDisposable {
  readonly proxy: Proxy;
  readonly daemon: Child;
  readonly relay: Relay | undefined;
  readonly calls: Call[] = [];
  readonly #folder: string;
  readonly #stack: AsyncDisposableStack;
  /** Resumes the daemon when this process ends while it is stopped. */
  #guard: Deno.ChildProcess | undefined;

  private constructor(
    folder: string,
    daemon: Child,
    relay: Relay | undefined,
    proxy: Proxy,
    stack: AsyncDisposableStack,
  ) {
    this.#folder = folder;
    this.daemon = daemon;
    this.relay = relay;
    this.proxy = proxy;
    this.#stack = stack;
  }

  /** Starts everything. */
  static async start(cast: Cast): Promise<LiveScene> {
    const folder = await Deno.makeTempDir({ prefix: "liveness-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const daemon = stack.use(
      await startKind(cast.kind, `${folder}/journal`, cast.isRude === true),
    );
    const port = portOf(daemon);
    const relay = cast.isRelayed ? stack.use(new Relay(port)) : undefined;
    const url = `ws://127.0.0.1:${relay?.port ?? port}/`;
    const flags = ["--url", url, "--log-level", "debug", ...cast.flags ?? []];
    const proxy = stack.use(new Proxy(flags, stateIn(folder), cast.wrap));
    return new LiveScene(folder, daemon, relay, proxy, stack.move());
  }

  /** Does what every client does first. */
  async open(): Promise<void> {
    await this.proxy.initialize();
    await this.proxy.ask("list", "tools/list");
    await this.proxy.answer("list");
  }

  /** Writes calls, all in one piece; gives them. */
  async write(
    calls: readonly (readonly [id: string, tool: Tool, ms: number])[],
  ): Promise<Call[]> {
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

  /** Writes one call. */
  async call(id: string, tool: Tool, ms: number): Promise<Call> {
    return (await this.write([[id, tool, ms]]))[0]!;
  }

  /** Writes a call and waits for its answer. */
  async did(id: string, tool: Tool, ms = 0): Promise<Answer> {
    await this.call(id, tool, ms);
    return await this.proxy.answer(id);
  }

  /** Waits for an answer, at most so many milliseconds; gives whether it came. */
  async answered({ id }: Call, mostMs: number): Promise<boolean> {
    // That the process has ended is seen by the answer that is missing.
    const answer = this.proxy.answer(id).then(() => true, () => false);
    return await valueWithin(answer, mostMs) ?? false;
  }

  /** Waits until the daemon has begun with a call. */
  async begun({ id, tool }: Call): Promise<void> {
    const text = ` begin ${tool} ${id}\n`;
    const isThere = (): boolean => this.#journal().includes(text);
    await within(changed(this.#journalPath, isThere), `the begin of ${id}`);
  }

  /** Stops the daemon's process, or lets it go on. */
  async freeze(name: "SIGSTOP" | "SIGCONT"): Promise<void> {
    const { pid } = this.daemon.process;
    if (name === "SIGSTOP") {
      // What is stopped does not notice that this process has ended.
      this.#guard = new Deno.Command("sh", {
        args: ["-c", `read _; kill -CONT ${pid}`],
        stdin: "piped",
        stderr: "null",
      }).spawn();
    }
    this.daemon.process.kill(name);
    if (name === "SIGCONT") await this.#unguard();
  }

  /**
   * Gives the child of the first connection that is still there no time for a
   * while, as a busy machine does.
   */
  async stall(ms: number): Promise<void> {
    const { what } = this.events().find(({ what }) => /^child /.test(what))!;
    const pid = Number(what.split(" ")[1]);
    Deno.kill(pid, "SIGSTOP");
    await delay(ms);
    Deno.kill(pid, "SIGCONT");
  }

  async #unguard(): Promise<void> {
    await this.#guard?.stdin.close();
    await this.#guard?.status;
    this.#guard = undefined;
  }

  get #journalPath(): string {
    return `${this.#folder}/journal`;
  }

  #journal(): string {
    return Deno.readTextFileSync(this.#journalPath);
  }

  /** The journal's lines. */
  events(): { at: number; what: string }[] {
    return this.#journal().split("\n").slice(0, -1).map((line) => {
      const space = line.indexOf(" ");
      return { at: Number(line.slice(0, space)), what: line.slice(space + 1) };
    });
  }

  /** How often a call was executed. */
  executions(id: string): number {
    const begin = new RegExp(`^begin \\w+ ${id}$`);
    return this.events().filter(({ what }) => begin.test(what)).length;
  }

  /** How many connections the daemon has seen. */
  get opened(): number {
    return this.events().filter(({ what }) => what === "open").length;
  }

  /** How often the proxy has told the client of progress: the daemon never does. */
  get progress(): number {
    return this.proxy.stdout.all
      .filter(({ text }) => text.includes('"notifications/progress"')).length;
  }

  /** What has become of each call so far. */
  fates(): Fate[] {
    const events = this.events();
    const answers = new Map<unknown, Answer[]>();
    for (const { text, at } of this.proxy.stdout.all) {
      const message = JSON.parse(text);
      if (message.method !== undefined) continue;
      const all = answers.get(message.id) ?? [];
      const wall = performance.timeOrigin + at;
      answers.set(message.id, [...all, { ...message, at: wall }]);
    }
    return this.calls.map((call) =>
      fateOf(call, answers.get(call.id) ?? [], events)
    );
  }

  /** What the proxy says of itself; `undefined` before it has said anything. */
  learned(): Learned | undefined {
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
    await this.#unguard();
    await this.#stack[Symbol.asyncDispose]();
  }
}

/** Starts a daemon of a kind on a free port. */
export async function startKind(
  kind: string,
  journal: string,
  isRude: boolean,
): Promise<Child> {
  await Deno.writeTextFile(journal, "");
  const places = ["--port", "0", "--journal", journal, "--kind", kind];
  if (isRude) places.push("--rude");
  return await startScript("liveness_daemon.ts", ...places);
}

/** Where a daemon listens. */
export function portOf(daemon: Child): number {
  return Number(daemon.stdout.all[0]!.text.split(" ")[1]);
}

/** What makes a proxy keep its state in a folder. */
export function stateIn(folder: string): Record<string, string> {
  return {
    XDG_STATE_HOME: folder,
    ALWAYSUP_CACHE: `${folder}/cache.json`,
    ALWAYSUP_STATUS: "on",
  };
}

function fateOf(
  call: Call,
  answers: readonly Answer[],
  events: readonly { at: number; what: string }[],
): Fate {
  const { id, tool } = call;
  const moments = (what: string): number[] =>
    events.filter((event) => event.what === `${what} ${tool} ${id}`)
      .map(({ at }) => at);
  const [begins, ends] = [moments("begin"), moments("end")];
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
    ...{ answers: answers.length, answeredAt, outcome, begins },
    said: outcome === "wrong"
      ? JSON.stringify(answer!.error ?? answer!.result).slice(0, 200)
      : undefined,
    isAtIt: answeredAt !== undefined && before(begins) > before(ends),
  };
}
