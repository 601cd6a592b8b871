/**
 * What stands between one client and a daemon that lives, and can fail in every
 * way that an outage looks like from outside.
 *
 * @module
 */

import net, { type Socket } from "node:net";
import { type Child, freePort, startScript } from "./process.ts";

/** The ways to fail; what each does is in `recovery.ts`. */
export const FAULTS = [
  "rst",
  "close",
  "accept-close",
  "garbage",
  "1013",
  "silent-tcp",
  "silent-ws",
  "syn-drop",
] as const;

export type Fault = typeof FAULTS[number];

/** How long a connection that is not accepted is waited for, in milliseconds. */
const FULL_MS = 150;

/** A relay in a process of its own. */
export class Front implements AsyncDisposable {
  readonly port: number;
  readonly #child: Child;
  #fillers: Socket[] = [];
  /** Resumes the process when this tool ends while it is stopped. */
  #guard: Deno.ChildProcess | undefined;

  private constructor(port: number, child: Child) {
    this.port = port;
    this.#child = child;
  }

  /** Starts a relay to a port of this machine. */
  static async start(to: number): Promise<Front> {
    const port = freePort();
    const child = await startScript("faulty_relay.ts", `${port}`, `${to}`);
    return new Front(port, child);
  }

  /** How many connections the client has made, but for those that the system dropped or refused. */
  get dials(): number {
    return this.#child.stdout.all.filter(({ text }) => text === "dial").length;
  }

  /**
   * Begins a fault and ends the connections that there are.
   *
   * @param variant an odd one opens a WebSocket before it talks garbage
   */
  async begin(fault: Fault, variant: number): Promise<void> {
    const isOdd = fault === "garbage" && variant % 2 === 1;
    await this.#tell(isOdd ? "garbage-ws" : fault);
    if (fault === "syn-drop") await this.#stop();
  }

  /** Ends the fault; gives the moment from which the daemon can be reached. */
  async end(): Promise<number> {
    const at = performance.now();
    for (const filler of this.#fillers) filler.destroy();
    this.#fillers = [];
    this.#child.process.kill("SIGCONT");
    await this.#tell("none");
    await this.#unguard();
    return at;
  }

  async #tell(name: string): Promise<void> {
    const seen = this.#child.stdout.all.length;
    await this.#child.write(`${name}\n`);
    await this.#child.stdout.find((line) => line === `done ${name}`, seen);
  }

  /** Stops the process and fills its queue, so that the system drops every SYN. */
  async #stop(): Promise<void> {
    this.#child.process.kill("SIGSTOP");
    // What is stopped does not notice that this tool has ended.
    this.#guard = new Deno.Command("sh", {
      args: ["-c", `read _; kill -CONT ${this.#child.process.pid}`],
      stdin: "piped",
    }).spawn();
    // A backlog of one holds two. A third one shows that it is full.
    for (;;) {
      const socket = net.connect({ port: this.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      if (!await connects(socket)) return void socket.destroy();
      this.#fillers.push(socket);
    }
  }

  async #unguard(): Promise<void> {
    await this.#guard?.stdin.close();
    await this.#guard?.status;
    this.#guard = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const filler of this.#fillers) filler.destroy();
    await this.#unguard();
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Whether a connection is made before long. */
async function connects(socket: Socket): Promise<boolean> {
  const made = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => made.resolve(false), FULL_MS);
  socket.once("connect", () => made.resolve(true));
  const isMade = await made.promise;
  clearTimeout(timer);
  return isMade;
}
