/**
 * Acts on the deadlines of the links: dials, sends probes, marks connections as
 * suspect, and ends them. While the client does not read, no link is dialed.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import type { Connections } from "./connections.ts";
import type { Probes } from "./probes.ts";
import type { SecondConnections } from "./second_connections.ts";
import type { Sender } from "./sender.ts";
import { timeoutReason } from "./session_log.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** The part of a session that acts on the deadlines of the links. */
export class LinkTimers extends SessionPart {
  /** True while the client does not read stdout. This is not an outage. */
  #isStdoutFull = false;
  #stdoutDrainedAt = -Infinity;

  /** Creates the part with stdout not full. */
  constructor(
    base: SharedObjects,
    private readonly sender: Sender,
    private readonly probes: Probes,
    private readonly connections: Connections,
    private readonly secondConnections: SecondConnections,
  ) {
    super(base);
  }

  /**
   * Ends all connections, because the client does not read, and a connection
   * may have no flow control. The delivery contract decides about the requests.
   */
  onStdoutFull(): void {
    this.#isStdoutFull = true;
    const reason = "the client reads too slowly (64 MiB of output are unread)";
    for (const link of this.links) {
      if (!this.links.has(link) || link.phase === "waiting") continue;
      this.connections.endConnection(link, { reason, isStdoutFull: true });
    }
  }

  /** Allows dials again, because the client has read. */
  onStdoutDrained(): void {
    this.#isStdoutFull = false;
    this.#stdoutDrainedAt = this.now;
  }

  /**
   * When the main link disconnected, or when the client read again if that is
   * later. `Infinity` while the link is ready or the daemon is not at fault.
   */
  get outageSince(): number {
    return this.#isStdoutFull
      ? Infinity
      : Math.max(this.links.disconnectedSince, this.#stdoutDrainedAt);
  }

  #isActive({ phase }: Link): boolean {
    return !this.#isStdoutFull || phase !== "waiting";
  }

  /** Returns when something is due on a link; `Infinity` for never. */
  deadline(): number {
    let at = Infinity;
    for (const link of this.links) {
      if (!this.#isActive(link)) continue;
      at = Math.min(at, link.deadline(this.availability.usageOf(link)));
    }
    return at;
  }

  /** Acts on every link on which something is due. */
  advance(): void {
    for (const link of this.links) {
      // An action on another link may have removed this one.
      if (!this.links.has(link) || !this.#isActive(link)) continue;
      this.#advanceLink(link);
    }
  }

  /** Moves only the drain time by `ms`: links handle a sleep themselves. */
  postpone(ms: number): void {
    this.#stdoutDrainedAt += ms;
  }

  #advanceLink(link: Link): void {
    switch (link.nextAction(this.now, this.availability.usageOf(link))) {
      case "nothing":
        return;
      case "dial":
        return this.#dial(link);
      case "probe":
        return void this.probes.send(link);
      case "suspect":
        return this.secondConnections.suspect(link);
      case "skip-verification":
        link.liveness?.endVerification();
        return this.sender.advance();
      case "close":
        return this.connections.closeUnneeded(link);
      case "disconnect": {
        const isHung = link.phase !== "ready";
        const shortenedMs = link.ageBeforeFullTimeoutMs(this.now);
        const reason = timeoutReason(link.phase, shortenedMs);
        return this.connections.endConnection(link, { reason, isHung });
      }
    }
  }

  #dial(link: Link): void {
    const subprotocol = link.offersSubprotocol
      ? this.dialect.subprotocol
      : undefined;
    link.dial(this.now);
    if (link.isSecondConnection) {
      this.links.capacity.onSecondConnectionOpening(this.now);
    }
    const { connectionId } = link;
    this.effects.push({ type: "dial", connectionId, subprotocol });
  }
}
