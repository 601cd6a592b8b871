/**
 * A relay between one client and a running daemon. It can fail in every way
 * that an outage can look from outside.
 *
 * @module
 */

import net, { type Socket } from "node:net";
import { type ChildProcess, freePort, startDaemonScript } from "./process.ts";

/** The faults; `tests/bench/recovery.ts` describes each. */
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

/** How long to wait for a connection that is not accepted, in milliseconds. */
const CONNECT_TIMEOUT_MS = 150;

/** A relay in a process of its own. */
export class FaultyRelay implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  #backlogSockets: Socket[] = [];
  /** Resumes the stopped process when this tool ends. */
  #resumeAtExit: Deno.ChildProcess | undefined;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  /** Starts a relay to a port of this machine. */
  static async start(targetPort: number): Promise<FaultyRelay> {
    const port = freePort();
    const child = await startDaemonScript(
      "faulty_relay.ts",
      `${port}`,
      `${targetPort}`,
    );
    return new FaultyRelay(port, child);
  }

  /**
   * How many connections the client has made, except those that the system
   * dropped or refused.
   */
  get dialCount(): number {
    return this.#child.stdout.lines.filter(({ text }) => text === "dial")
      .length;
  }

  /**
   * Begins a fault and ends the existing connections.
   *
   * @param variant an odd one opens a WebSocket before it sends garbage
   */
  async beginFault(fault: Fault, variant: number): Promise<void> {
    const isOdd = fault === "garbage" && variant % 2 === 1;
    await this.#sendCommand(isOdd ? "garbage-ws" : fault);
    if (fault === "syn-drop") await this.#suspend();
  }

  /**
   * Ends the fault. Returns the moment from which the daemon can be reached.
   */
  async endFault(): Promise<number> {
    const at = performance.now();
    for (const filler of this.#backlogSockets) filler.destroy();
    this.#backlogSockets = [];
    this.#child.process.kill("SIGCONT");
    await this.#sendCommand("none");
    await this.#stopResumeAtExit();
    return at;
  }

  async #sendCommand(name: string): Promise<void> {
    const seen = this.#child.stdout.lines.length;
    await this.#child.write(`${name}\n`);
    await this.#child.stdout.waitForLine(
      (line) => line === `done ${name}`,
      seen,
    );
  }

  /** Stops the process and fills its queue, so that the system drops every SYN. */
  async #suspend(): Promise<void> {
    this.#child.process.kill("SIGSTOP");
    // A stopped process does not notice that this tool has ended.
    this.#resumeAtExit = new Deno.Command("sh", {
      args: ["-c", `read _; kill -CONT ${this.#child.process.pid}`],
      stdin: "piped",
    }).spawn();
    // A backlog of one holds two connections. A third one shows that it is
    // full.
    for (;;) {
      const socket = net.connect({ port: this.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      if (!await canConnect(socket)) return void socket.destroy();
      this.#backlogSockets.push(socket);
    }
  }

  async #stopResumeAtExit(): Promise<void> {
    await this.#resumeAtExit?.stdin.close();
    await this.#resumeAtExit?.status;
    this.#resumeAtExit = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const filler of this.#backlogSockets) filler.destroy();
    await this.#stopResumeAtExit();
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Whether a connection succeeds within a short time. */
async function canConnect(socket: Socket): Promise<boolean> {
  const made = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => made.resolve(false), CONNECT_TIMEOUT_MS);
  socket.once("connect", () => made.resolve(true));
  const isMade = await made.promise;
  clearTimeout(timer);
  return isMade;
}
