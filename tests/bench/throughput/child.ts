/**
 * A program that the benchmark measures, or its daemon, as a child process.
 * All functions are synchronous and have a time limit. Nothing is parsed: the
 * newlines in the output are counted.
 *
 * @module
 */

import {
  type Channel,
  closeFd,
  cpuMs,
  hasEnded,
  read,
  sleep,
  spawn,
  type Spawned,
  waitReady,
  write,
} from "./libc.ts";

const LF = 0x0a;
/** How long a program may take to end after its stdin was closed. */
const END_LIMIT_MS = 2_000;
const READ_BYTES = 1024 * 1024;
const buffer = new Uint8Array(READ_BYTES);

/** The output that a step has waited for. */
export interface Output {
  /** The time of the last newline (`performance.now()`). */
  readonly at: number;
  readonly bytes: number;
  /** Copies of the first bytes, up to {@linkcode KEPT_BYTES}. */
  readonly text: string;
}

/** How much of a step's output is kept to be checked. */
const KEPT_BYTES = 8 * 1024 * 1024;

/** A running program with its stdin and stdout. */
export class Child {
  readonly pid: number;
  readonly #fds: Spawned;
  readonly #stderrFile: string;
  #isOpen = true;

  /** Starts a program. */
  constructor(
    command: readonly [string, ...string[]],
    env: Readonly<Record<string, string>>,
    channel: Channel,
    stderrFile: string,
  ) {
    this.#fds = spawn(command, env, channel, stderrFile);
    this.pid = this.#fds.pid;
    this.#stderrFile = stderrFile;
  }

  /**
   * Writes to stdin, and reads from stdout until it has had a number of lines.
   * Both happen at the same time. Throws if that takes too long, or if the
   * program ends.
   */
  exchange(
    input: Uint8Array<ArrayBuffer>,
    lines: number,
    limitMs: number,
  ): Output {
    const deadline = performance.now() + limitMs;
    const { stdin, stdout } = this.#fds;
    const kept: Uint8Array[] = [];
    let [sent, seen, bytes, at] = [0, 0, 0, performance.now()];
    while (sent < input.length || seen < lines) {
      const left = deadline - performance.now();
      if (left <= 0) {
        throw new Error(
          `${seen} of ${lines} lines, ${sent} of ${input.length} bytes sent ` +
            `within ${limitMs} ms`,
        );
      }
      const writeFd = sent < input.length ? stdin : -1;
      const { canRead, canWrite } = waitReady(stdout, writeFd, left);
      if (canWrite) {
        const count = write(stdin, input.subarray(sent));
        if (count < 0) {
          throw new Error(`the program reads no more${this.#log()}`);
        }
        sent += count;
      }
      if (!canRead) continue;
      const count = read(stdout, buffer);
      if (count <= 0) throw new Error(`the program has ended${this.#log()}`);
      at = performance.now();
      const chunk = buffer.subarray(0, count);
      for (let i = chunk.indexOf(LF); i !== -1; i = chunk.indexOf(LF, i + 1)) {
        seen++;
      }
      if (bytes < KEPT_BYTES) kept.push(chunk.slice());
      bytes += count;
    }
    const decoder = new TextDecoder();
    const text = kept.map((part) => decoder.decode(part, { stream: true }));
    return { at, bytes, text: text.join("") };
  }

  /** Waits, and returns what the program has written until then. */
  drain(ms: number): string {
    sleep(ms);
    const decoder = new TextDecoder();
    let text = "";
    while (waitReady(this.#fds.stdout, -1, 0).canRead) {
      const count = read(this.#fds.stdout, buffer);
      if (count <= 0) break;
      text += decoder.decode(buffer.subarray(0, count), { stream: true });
    }
    return text;
  }

  /** Returns what stdin and stdout are, as `/proc` says: `pipe` or `socket`. */
  stdioKinds(): string[] {
    return [0, 1].map((fd) => {
      const target = Deno.readLinkSync(`/proc/${this.pid}/fd/${fd}`);
      return target.slice(0, target.indexOf(":"));
    });
  }

  /** The CPU time of the program and its children so far, in milliseconds. */
  cpuMs(): number {
    return sum(processTree(this.pid).map((pid) => cpuMs(pid) ?? 0));
  }

  /** The memory that the program and its children use now, in MiB. */
  memoryMiB(): number {
    return sum(processTree(this.pid).map((pid) => statusMiB(pid, "VmRSS")));
  }

  /** The most memory that the program and its children have used, in MiB. */
  peakMiB(): number {
    return sum(processTree(this.pid).map((pid) => statusMiB(pid, "VmHWM")));
  }

  /** Returns the last line of stderr for an error message. */
  #log(): string {
    const text = Deno.readTextFileSync(this.#stderrFile).trimEnd();
    const line = text.slice(text.lastIndexOf("\n") + 1).slice(0, 200);
    return line === "" ? "" : ` (${line})`;
  }

  /** Kills the program as `kill -9` does, and waits until it is gone. */
  kill(): void {
    this.#end(0);
  }

  /** Closes stdin, waits for the end, and kills the program if it lives on. */
  end(): void {
    this.#end(END_LIMIT_MS);
  }

  #end(limitMs: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const pids = processTree(this.pid);
    if (limitMs > 0) closeFd(this.#fds.stdin);
    const deadline = performance.now() + limitMs;
    let isGone = false;
    while (!isGone && performance.now() < deadline) {
      // What is still in stdout could block the program.
      if (waitReady(this.#fds.stdout, -1, 5).canRead) {
        if (read(this.#fds.stdout, buffer) === 0) sleep(1);
      }
      isGone = hasEnded(this.pid);
    }
    // The children first: later their parents are unknown.
    for (const pid of pids.reverse()) {
      if (pid === this.pid && isGone) continue;
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    while (!isGone) {
      isGone = hasEnded(this.pid);
      if (!isGone) sleep(1);
    }
    if (limitMs === 0) closeFd(this.#fds.stdin);
    closeFd(this.#fds.stdout);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Returns a process and its descendants. */
function processTree(pid: number): number[] {
  const children = [];
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      const text = Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`);
      children.push(...text.split(" ").filter((it) => it !== "").map(Number));
    }
  } catch {
    // A thread or the process has ended.
  }
  return [pid, ...children.flatMap(processTree)];
}

/** Returns a figure from `/proc/PID/status`, which is in kB there. */
function statusMiB(pid: number, name: "VmRSS" | "VmHWM"): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    const [, value] = new RegExp(`${name}:\\s+(\\d+)`).exec(status) ?? [];
    return Number(value ?? 0) / 1024;
  } catch {
    return 0;
  }
}
