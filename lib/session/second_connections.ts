/**
 * Second connections beside the main one: the standby, and the capacity check.
 *
 * The standby shows whether the daemon or the connection is at fault when the
 * main connection is silent while calls are in flight on it:
 *
 * | the standby                | the main connection                           | what happens                                          |
 * | -------------------------- | --------------------------------------------- | ----------------------------------------------------- |
 * | has answered               | carries no call, and did not sleep            | it is closed, and the queue is sent on the standby    |
 * | has answered two probes    | has a pool: calls have other connections      | it is closed: it carries only what takes no time      |
 * | has answered two probes    | `isDead`                                      | its calls are recovered as after any loss             |
 * | has answered two probes    | may be busy                                   | it drains its calls, and the standby gets new messages |
 * | hangs, or answers no probe |                                               | the daemon is busy or frozen: the queue is sent       |
 * | is refused or closed       | not `mayBeDead`, and did not sleep            | the queue is sent                                     |
 * | is refused or closed       | carries calls that a client waits for         | new messages wait, and the standby is dialed again    |
 * | is refused or closed       | carries none                                  | it is lost                                            |
 * | any                        | receives a frame or is lost, or the program sleeps | the standby is closed                            |
 *
 * The capacity check finds out whether the daemon keeps two connections for a
 * client: `CapacityDetector` decides, and its steps are carried out here. A
 * daemon that keeps one connection closes one of the two, or answers on the
 * newest only. So the main connection must also answer after the second one is
 * closed. If it does not, although the daemon answered on the second one, the
 * proxy drops the main connection and dials again, because calls on it might
 * never be answered.
 *
 * @module
 */

import type { CheckStep } from "../link/capacity_detector.ts";
import type { Link } from "../link/link.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { Connections } from "./connections.ts";
import type { Probes } from "./probes.ts";
import type { ResponseCache } from "./response_cache.ts";
import { type SessionBase, SessionPart } from "./session_part.ts";

/** None of them is closed to make room for another. */
const MAX_DRAINING_LINKS = 16;

/** The second connections of a session. */
export class SecondConnections extends SessionPart {
  /** Starts without a second connection. */
  constructor(
    base: SessionBase,
    private readonly cache: ResponseCache,
    private readonly probes: Probes,
    private readonly connections: Connections,
  ) {
    super(base);
  }

  /** When a step of the capacity check is over, or a standby is missing. */
  deadline(): number {
    return this.#isCheckedLinkLost || this.#hasRoomForStandby
      ? -Infinity
      : this.links.capacity.deadline();
  }

  /** Moves the capacity check on, and opens a standby that is missing. */
  advance(): void {
    const step = this.#isCheckedLinkLost
      ? this.links.capacity.onSecondLost()
      : this.links.capacity.advance(this.now);
    if (step !== undefined) this.#carryOut(step);
    // A draining connection may have made room.
    if (this.#hasRoomForStandby) this.links.add("standby", this.now);
  }

  get #isCheckedLinkLost(): boolean {
    return this.links.capacity.isAwaitingSecond &&
      this.links.capacityCheck === undefined;
  }

  get #hasRoomForStandby(): boolean {
    return this.links.main.liveness?.isSuspect === true &&
      this.links.standby === undefined &&
      this.links.drainingCount < MAX_DRAINING_LINKS;
  }

  /** Marks the main connection as suspect; `advance` opens a standby. */
  suspect(link: Link): void {
    link.markSuspect(this.now, this.tracker.lastCallNumber(link.connectionId));
    this.effects.log.connectionSuspected();
    // Without a standby nothing can show whether the connection is dead.
    if (!this.#hasRoomForStandby) link.liveness?.waiveSuspicion(this.now);
  }

  /** Handles a sign of life on a link. */
  onFrame(link: Link): void {
    link.liveness?.onFrame(this.now);
    if (link === this.links.main) this.closeStandby();
    if (this.dialect.scheduling === undefined) return;
    // Where calls have links of their own, a daemon may do one thing at a time.
    for (const other of this.links) {
      if (other !== link) other.liveness?.restartProbeTimers(this.now);
    }
  }

  /** Closes the standby, if there is one. */
  closeStandby(): void {
    const { standby } = this.links;
    if (standby !== undefined) this.connections.close(standby);
  }

  /** Handles the answer to a probe on a link. */
  onProbeAnswered(link: Link, id: Id): void {
    if (!this.probes.onAnswered(link, id)) return;
    const { capacity } = this.links;
    switch (link.role) {
      case "standby":
        return this.#onStandbyAnswered(link);
      case "capacity-check":
        return this.#carryOut(capacity.onProbeAnswered("second", id));
      case "main":
        return this.#carryOut(capacity.onProbeAnswered("main", id));
    }
  }

  #onStandbyAnswered(standby: Link): void {
    const { liveness } = standby;
    // A daemon that has been busy may answer the standby first.
    if (liveness?.hasAnsweredForPingTimeout(this.now)) {
      this.#failOver(standby);
    } else if (liveness?.answeredProbeCount === 1) {
      liveness.scheduleProbe(this.now + this.config.pingTimeout);
    }
  }

  /** Handles the daemon's response to the first message on a second link. */
  onReady(link: Link): void {
    const { main } = this.links;
    const isMainIdle = link.role === "standby" &&
      main.liveness?.isUnverified === false &&
      !this.tracker.isBusy(main.connectionId);
    if (isMainIdle) return this.#failOver(link);
    this.probes.send(link);
    if (!this.links.capacity.isAwaitingSecond) return;
    if (link.role === "capacity-check") {
      this.links.capacity.onSecondReady(this.probes.send(main));
    }
  }

  #failOver(standby: Link): void {
    const { connections, dialect, effects, links, tracker } = this;
    const { main } = links;
    if (main.liveness?.isSuspect !== true) return;
    const { connectionId, downSince } = main;
    // Beside a pool, this link only carries messages that take no time.
    const isDead = dialect.scheduling !== undefined ||
      !tracker.isBusy(connectionId) ||
      main.liveness.isDead(tracker.lastCallNumber(connectionId), this.now);
    main.liveness.onReplaced(this.now);
    links.promote(standby);
    if (isDead) {
      const reason = "the connection is silent, and the daemon answers on " +
        "another one";
      links.remove(main);
      effects.close(connectionId);
      const failedCount = connections.recoverRequests(connectionId);
      effects.log.connectionLost({ reason }, failedCount, "replaced");
      const downMs = this.now - downSince;
      connections.logConnected({ attempt: 1, downMs });
    } else {
      tracker.requeueLongLived(connectionId, this.now);
      effects.log.failedOver(tracker.inFlightCount(connectionId));
    }
    connections.finishHandshake(standby);
    connections.replay(standby);
  }

  #carryOut(step: CheckStep | undefined): void {
    const { main } = this.links;
    switch (step?.kind) {
      case "close-second":
        this.#closeCheckedLink();
        return this.links.capacity.setMainProbe(this.probes.send(main));
      case "conclude":
        return this.#conclude(step);
      case "drop-main":
        return this.connections.end(main, {
          reason: "it has not answered since a second connection was opened",
          isSelfCaused: true,
        });
    }
  }

  #conclude(
    { capacity, isProven }: Extract<CheckStep, { kind: "conclude" }>,
  ): void {
    this.effects.log.capacityDetermined(capacity, isProven);
    if (isProven) this.cache.storeCapacityOne();
    const { main } = this.links;
    // Waiting calls were delayed by the check, so the first needs no probe.
    main.liveness?.endCallDelay(this.now);
    this.connections.replay(main);
  }

  /** Ends the capacity check without a result, if one is running. */
  abortCapacityCheck(): void {
    if (!this.links.capacity.isChecking) return;
    this.#closeCheckedLink();
    this.links.capacity.abandonCheck();
    const { main } = this.links;
    if (main.phase === "ready") this.connections.replay(main);
  }

  #closeCheckedLink(): void {
    const { capacityCheck } = this.links;
    if (capacityCheck !== undefined) this.connections.close(capacityCheck);
  }
}
