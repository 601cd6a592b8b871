/**
 * Starts a relay between one client and a running daemon. From outside, its
 * faults look like the outages of a real daemon.
 *
 * @module
 */

import net, { type Socket } from "node:net";
import { type ChildProcess, freePort, startDaemonScript } from "./process.ts";

/** The faults. `tests/bench/recovery.ts` describes each. */
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

/** How long to wait for a connection before it counts as dropped, in ms. */
const CONNECT_TIMEOUT_MS = 150;

/** A relay that runs as its own process. */
export class FaultyRelay implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  #backlogSockets: Socket[] = [];
  /** A shell that resumes the suspended relay when this process ends. */
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
   * The number of connections of the client, except those that the system
   * dropped or refused.
   */
  get dialCount(): number {
    return this.#child.stdout.lines.filter(({ text }) => text === "dial")
      .length;
  }

  /**
   * Begins a fault and ends the existing connections.
   *
   * @param variant if odd, `garbage` opens a WebSocket first
   */
  async beginFault(fault: Fault, variant: number): Promise<void> {
    const opensWebSocketFirst = fault === "garbage" && variant % 2 === 1;
    await this.#sendCommand(opensWebSocketFirst ? "garbage-ws" : fault);
    if (fault === "syn-drop") await this.#suspend();
  }

  /** Ends the fault. Returns the time from which the daemon can be reached. */
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

  /** Suspends the relay and fills its queue: the system drops every SYN. */
  async #suspend(): Promise<void> {
    this.#child.process.kill("SIGSTOP");
    // A suspended process does not notice that this process has ended.
    this.#resumeAtExit = new Deno.Command("sh", {
      args: ["-c", `read _; kill -CONT ${this.#child.process.pid}`],
      stdin: "piped",
    }).spawn();
    // A queue with a backlog of 1 holds two connections. It is full when the
    // next one gets no answer.
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

/** Returns whether a socket connects within {@linkcode CONNECT_TIMEOUT_MS}. */
async function canConnect(socket: Socket): Promise<boolean> {
  const made = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => made.resolve(false), CONNECT_TIMEOUT_MS);
  socket.once("connect", () => made.resolve(true));
  const isMade = await made.promise;
  clearTimeout(timer);
  return isMade;
}
