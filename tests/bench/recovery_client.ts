/**
 * A client of `deno task recovery`. It starts a program in front of a daemon,
 * records all requests, and checks that each gets one response, and the right
 * one.
 *
 * @module
 */

import { ProxyProcess, type ReceivedResponse } from "../helpers/process.ts";
import { waitAtMost } from "../../lib/runtime/timeout.ts";

export type Dialect = "mcp" | "exai";

/** A measured program: its name in the report, and how to start it. */
export interface MeasuredProgram {
  readonly name: "source" | "binary" | "node" | "bridge";
  /**
   * True for our program: its wrong or missing responses and extra dials make
   * the run fail. False for the bridge.
   */
  readonly isAlwaysup: boolean;
  /** The folder for its stderr; `undefined` if that is not kept. */
  readonly logFolder: string | undefined;
  /** Returns the command for flags. Without this, the source is run. */
  readonly command?: (flags: string[]) => [string, string[]];
}

/** How long to wait for late or duplicate responses, in milliseconds. */
export const LATE_RESPONSE_MS = 1_000;

/**
 * Returns how long to wait for a response, in milliseconds. The proxy gives up
 * after 45 s, and the bridge dials every second.
 */
export function responseTimeoutMs({ isAlwaysup }: MeasuredProgram): number {
  return isAlwaysup ? 60_000 : 8_000;
}

/** A call that was sent. */
export interface RecoveryCall {
  readonly id: string;
  /** True if the response may be an error: the call may be lost in flight. */
  readonly mayFail: boolean;
  /** True if the call must not be executed twice. */
  readonly isUnsafe: boolean;
  readonly sentAt: number;
  answeredAt?: number;
}

/**
 * Matches each log line about a dial that failed or that led to a connection.
 */
export const DIAL_LOG_LINE = /Attempt \d+ |onnected to |[Aa]nother connection/;

/** The ids of the requests that `connect` sends. */
const OPENING_IDS = new Set<unknown>([0, "list"]);

/** A running program, with a record of its calls. */
export class RecoveryClient extends ProxyProcess {
  readonly calls: RecoveryCall[] = [];
  readonly #dialect: Dialect;
  readonly #name: string;
  readonly #logs: string | undefined;

  /** @param name a text that no other client of the run uses */
  constructor(
    program: MeasuredProgram,
    name: string,
    dialect: Dialect,
    port: number,
  ) {
    const { command, isAlwaysup } = program;
    const flags = ["--url", `ws://127.0.0.1:${port}/`];
    if (isAlwaysup) flags.push("--dialect", dialect, "--log-level", "debug");
    super(
      flags,
      {},
      (first, args) => command === undefined ? [first, args] : command(flags),
    );
    this.#dialect = dialect;
    this.#name = name;
    this.#logs = program.logFolder;
  }

  /** How many log lines report a dial so far. */
  get loggedDials(): number {
    return this.stderr.lines.filter(({ text }) => DIAL_LOG_LINE.test(text))
      .length;
  }

  /**
   * Sends what every client sends first. Throws if the daemon does not respond.
   */
  async connect(): Promise<void> {
    await this.initialize();
    await this.request("list", "tools/list");
    await this.waitForResponse("list");
  }

  /** Sends a call that only echoes its id. */
  async callEcho(): Promise<RecoveryCall> {
    const call = this.#recordCall({ mayFail: false, isUnsafe: false });
    const { id } = call;
    const isMcp = this.#dialect === "mcp";
    await this.callTool(id, "echo", isMcp ? { key: id } : { text: id });
    return call;
  }

  /**
   * Sends a call that must not be executed twice.
   *
   * @param ms how long the daemon works on it; if this is more than 0, the call
   * may be lost
   */
  async callUnsafe(ms: number): Promise<RecoveryCall> {
    const call = this.#recordCall({ mayFail: ms > 0, isUnsafe: true });
    const { id } = call;
    if (this.#dialect === "mcp") {
      await this.callTool(id, "write", { key: id, ms });
    } else await this.callTool(id, "sleep", { key: id, ms });
    return call;
  }

  #recordCall(kind: Pick<RecoveryCall, "mayFail" | "isUnsafe">): RecoveryCall {
    const id = `${this.#name}-${this.calls.length + 1}`;
    const call: RecoveryCall = { id, ...kind, sentAt: performance.now() };
    this.calls.push(call);
    return call;
  }

  override async closeStdin(): Promise<{ code: number; ms: number }> {
    const ended = await super.closeStdin();
    if (this.#logs !== undefined) {
      const file = `${this.#logs}/${this.#name}.log`;
      await Deno.writeTextFile(file, this.stderr.dump());
    }
    return ended;
  }

  /**
   * Waits for a response, at most `mostMs` milliseconds. Returns when it
   * arrived, or `undefined` if it did not.
   */
  async waitAtMost(
    call: RecoveryCall,
    mostMs: number,
  ): Promise<number | undefined> {
    // If the process has exited, `problems` reports the missing response.
    const answer = this.waitForResponse(call.id).catch(() => undefined);
    const found = await waitAtMost(mostMs, answer);
    if (found !== undefined) call.answeredAt = found.at;
    return found?.at;
  }

  /**
   * Returns one line for each response that is missing, duplicate, wrong or
   * unexpected.
   */
  problems(): string[] {
    const answers = new Map<string, ReceivedResponse[]>();
    const problems: string[] = [];
    for (const { text, at } of this.stdout.lines) {
      const message = JSON.parse(text);
      if (message.method !== undefined || OPENING_IDS.has(message.id)) continue;
      const all = answers.get(message.id) ?? [];
      answers.set(message.id, [...all, { ...message, at }]);
    }
    for (const call of this.calls) {
      const all = answers.get(call.id) ?? [];
      answers.delete(call.id);
      if (all.length === 0) problems.push(`${call.id}: no answer`);
      if (all.length > 1) problems.push(`${call.id}: ${all.length} answers`);
      for (const answer of all) {
        if (this.#isExpected(call, answer)) continue;
        const received = JSON.stringify(answer.result ?? answer.error);
        problems.push(`${call.id}: wrong answer ${received.slice(0, 200)}`);
      }
    }
    for (const id of answers.keys()) {
      problems.push(`${id}: answered, but never requested`);
    }
    return problems;
  }

  #isExpected(
    { id, mayFail, isUnsafe }: RecoveryCall,
    answer: ReceivedResponse,
  ): boolean {
    const { result, error } = answer;
    if (error !== undefined || result.isError === true) return mayFail;
    const text = result.content[0].text;
    if (this.#dialect === "exai" && isUnsafe) return /^slept /.test(text);
    return text === id;
  }
}
