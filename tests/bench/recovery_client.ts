/**
 * A client of `deno task recovery`: a program between the tool and a daemon, all
 * that it was asked, and whether every answer came once and was the right one.
 *
 * @module
 */

import { type Answer, Proxy } from "../helpers/process.ts";
import { valueWithin } from "../helpers/async.ts";

export type Dialect = "mcp" | "exai";

/** A program that is measured: its name in the report, and what starts it. */
export interface Program {
  readonly name: "source" | "binary" | "node" | "bridge";
  /** Whether its wrong and missing answers, and its dials, fail the run. */
  readonly isOurs: boolean;
  /** The folder for what it writes to stderr, if that is kept. */
  readonly logs: string | undefined;
  /** The command for the flags; without it the proxy's source. */
  readonly command?: (flags: string[]) => [string, string[]];
}

/** How long answers that nobody waits for are looked out for, in milliseconds. */
export const STRAGGLERS_MS = 1_000;

/** How long an answer is waited for, in milliseconds: the proxy gives up after 45 s, the bridge dials every second. */
export function limitMs({ isOurs }: Program): number {
  return isOurs ? 60_000 : 8_000;
}

/** A call that was sent. */
export interface Call {
  readonly id: string;
  /** What may come back besides the key: an error, of a call that was in flight. */
  readonly mayFail: boolean;
  /** Whether it is a call that may not be executed twice. */
  readonly isUnsafe: boolean;
  readonly sentAt: number;
  answeredAt?: number;
}

/** Each log line that tells of a dial: one that failed, or one that led to a connection. */
export const DIAL = /Attempt \d+ |onnected to |Another connection/;

/** The ids of what `open` asks. */
const OPENING = new Set<unknown>([0, "list"]);

/** A running program with its books. */
export class Client extends Proxy {
  readonly calls: Call[] = [];
  readonly #dialect: Dialect;
  readonly #name: string;
  readonly #logs: string | undefined;

  /** @param name a text that no other client of the run has */
  constructor(program: Program, name: string, dialect: Dialect, port: number) {
    const { command, isOurs } = program;
    const flags = ["--url", `ws://127.0.0.1:${port}/`];
    if (isOurs) flags.push("--dialect", dialect, "--log-level", "debug");
    super(
      flags,
      {},
      (first, args) => command === undefined ? [first, args] : command(flags),
    );
    this.#dialect = dialect;
    this.#name = name;
    this.#logs = program.logs;
  }

  /** The log lines so far that tell of a dial. */
  get logged(): number {
    return this.stderr.all.filter(({ text }) => DIAL.test(text)).length;
  }

  /** Does what every client does first; throws if the daemon does not answer. */
  async open(): Promise<void> {
    await this.initialize();
    await this.ask("list", "tools/list");
    await this.answer("list");
  }

  /** Sends a call that only echoes its id. */
  async echo(): Promise<Call> {
    const call = this.#note({ mayFail: false, isUnsafe: false });
    const { id } = call;
    const isMcp = this.#dialect === "mcp";
    await this.call(id, "echo", isMcp ? { key: id } : { text: id });
    return call;
  }

  /**
   * Sends a call that may not be executed twice.
   *
   * @param ms how long the daemon works on it; one that takes time may be lost
   */
  async unsafe(ms: number): Promise<Call> {
    const call = this.#note({ mayFail: ms > 0, isUnsafe: true });
    const { id } = call;
    if (this.#dialect === "mcp") await this.call(id, "write", { key: id, ms });
    else await this.call(id, "sleep", { key: id, ms });
    return call;
  }

  #note(kind: Pick<Call, "mayFail" | "isUnsafe">): Call {
    const id = `${this.#name}-${this.calls.length + 1}`;
    const call: Call = { id, ...kind, sentAt: performance.now() };
    this.calls.push(call);
    return call;
  }

  override async end(): Promise<{ code: number; ms: number }> {
    const ended = await super.end();
    if (this.#logs !== undefined) {
      const file = `${this.#logs}/${this.#name}.log`;
      await Deno.writeTextFile(file, this.stderr.dump());
    }
    return ended;
  }

  /** Waits for an answer, at most so many milliseconds; gives when it came. */
  async answered(call: Call, mostMs: number): Promise<number | undefined> {
    // That the process has ended is seen by the answer that is missing.
    const answer = this.answer(call.id).catch(() => undefined);
    const found = await valueWithin(answer, mostMs);
    if (found !== undefined) call.answeredAt = found.at;
    return found?.at;
  }

  /** What is wrong with the answers: one line for each that is missing, double, wrong or nobody's. */
  problems(): string[] {
    const answers = new Map<string, Answer[]>();
    const problems: string[] = [];
    for (const { text, at } of this.stdout.all) {
      const message = JSON.parse(text);
      if (message.method !== undefined || OPENING.has(message.id)) continue;
      const all = answers.get(message.id) ?? [];
      answers.set(message.id, [...all, { ...message, at }]);
    }
    for (const call of this.calls) {
      const all = answers.get(call.id) ?? [];
      answers.delete(call.id);
      if (all.length === 0) problems.push(`${call.id}: no answer`);
      if (all.length > 1) problems.push(`${call.id}: ${all.length} answers`);
      for (const answer of all) {
        if (this.#isRight(call, answer)) continue;
        const said = JSON.stringify(answer.result ?? answer.error);
        problems.push(`${call.id}: wrong answer ${said.slice(0, 200)}`);
      }
    }
    for (const id of answers.keys()) problems.push(`${id}: nobody asked`);
    return problems;
  }

  #isRight({ id, mayFail, isUnsafe }: Call, answer: Answer): boolean {
    const { result, error } = answer;
    if (error !== undefined || result.isError === true) return mayFail;
    const text = result.content[0].text;
    if (this.#dialect === "exai" && isUnsafe) return /^slept /.test(text);
    return text === id;
  }
}
