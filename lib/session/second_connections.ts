/**
 * Opens second connections: the standby, and the one of the capacity check.
 *
 * The standby is opened while the main connection is silent and calls wait on
 * it. The standby shows whether the main connection is dead. The first row that
 * fits applies:
 *
 * | the standby                          | the main connection                                | what happens                                                         |
 * | ------------------------------------ | -------------------------------------------------- | -------------------------------------------------------------------- |
 * | any state                            | receives a frame or is lost, or the program sleeps | the standby is closed                                                |
 * | has answered the handshake           | is verified, and carries no call                   | the main connection is closed, and the queue is sent on the standby  |
 * | has answered two probes              | there is a pool, which carries the calls           | the main connection is closed, and the queue is sent on the standby  |
 * | has answered two probes              | `isDead`                                           | the main connection is closed, and its calls are recovered as after any loss |
 * | has answered two probes              | may be busy                                        | it drains its calls, and new messages are sent on the standby        |
 * | hangs, or ends after its handshake without an answered probe |                            | the daemon is busy or frozen: the queue is sent on the main connection |
 * | is refused, or ends in another way   | carries no call that a client waits for            | the main connection is ended                                         |
 * | is refused, or ends in another way   | is verified, and not `canBeProvedDead`                   | the queue is sent on the main connection                             |
 * | is refused, or ends in another way   | any other case                                     | new messages wait, and the standby is dialed again                   |
 *
 * The capacity check finds out whether the daemon keeps two connections per
 * client. `CapacityDetector` decides its steps, and this module executes them.
 * A daemon that keeps one connection closes one of the two, or answers only on
 * the newer one. So the main connection must also answer after the second one
 * is closed. If it does not, but the daemon answered on the second one, the
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
import { SessionPart, type SharedObjects } from "./session_part.ts";

/**
 * With this many draining links, no standby is opened, because its failover
 * could add one more.
 */
const MAX_DRAINING_LINKS = 16;

/** Opens, evaluates and closes the second connections of a session. */
export class SecondConnections extends SessionPart {
  /** Creates a part without a second connection. */
  constructor(
    base: SharedObjects,
    private readonly cache: ResponseCache,
    private readonly probes: Probes,
    private readonly connections: Connections,
  ) {
    super(base);
  }

  /** Returns when `advance` is due: `-Infinity` at once, `Infinity` never. */
  deadline(): number {
    return this.#isCheckLinkLost || this.#mustOpenStandby
      ? -Infinity
      : this.links.capacity.deadline();
  }

  /** Takes a due step of the capacity check; opens a standby if needed. */
  advance(): void {
    const step = this.#isCheckLinkLost
      ? this.links.capacity.onSecondLost()
      : this.links.capacity.advance(this.now);
    if (step !== undefined) this.#performCheckStep(step);
    // The number of draining links may have been at its limit until now.
    if (this.#mustOpenStandby) this.links.add("standby", this.now);
  }

  get #isCheckLinkLost(): boolean {
    return this.links.capacity.isAwaitingSecond &&
      this.links.capacityCheck === undefined;
  }

  get #mustOpenStandby(): boolean {
    return this.links.main.liveness?.isUnderSuspicion === true &&
      this.links.standby === undefined &&
      this.links.drainingCount < MAX_DRAINING_LINKS;
  }

  /** Marks the main connection as suspect; `advance` then opens a standby. */
  suspect(link: Link): void {
    link.markSuspect(
      this.now,
      this.tracker.lastCallWriteNumber(link.connectionId),
    );
    this.effects.log.connectionSuspected();
    // Only a standby could show whether the connection is dead.
    if (!this.#mustOpenStandby) link.liveness?.waiveSuspicion(this.now);
  }

  /** Handles the arrival of a frame, which shows that the link is alive. */
  onFrame(link: Link): void {
    link.liveness?.onFrame(this.now);
    if (this.links.isMainAlone) return;
    if (link === this.links.main) this.closeStandby();
    if (this.dialect.scheduling === undefined) return;
    // A daemon that serves one link at a time could not answer on the others.
    for (const other of this.links) {
      if (other !== link) other.liveness?.restartProbeTimers(this.now);
    }
  }

  /** Closes the standby, if there is one. */
  closeStandby(): void {
    const { standby } = this.links;
    if (standby !== undefined) this.connections.closeUnneeded(standby);
  }

  /** Handles the answer to a probe on a link. */
  onProbeAnswered(link: Link, id: Id): void {
    if (!this.probes.onAnswered(link, id)) return;
    const { capacity } = this.links;
    switch (link.role) {
      case "standby":
        return this.#onStandbyAnswered(link);
      case "capacity-check":
        return this.#performCheckStep(capacity.onProbeAnswered("second", id));
      case "main":
        return this.#performCheckStep(capacity.onProbeAnswered("main", id));
    }
  }

  #onStandbyAnswered(standby: Link): void {
    const { liveness } = standby;
    // A second answer is needed: a daemon that was busy may answer on the
    // standby just before it answers on the main connection.
    if (liveness?.hasAnsweredForPingTimeout(this.now)) {
      this.#failOver(standby);
    } else if (liveness?.answeredProbeCount === 1) {
      liveness.scheduleProbe(this.now + this.config.pingTimeout);
    }
  }

  /** Handles the end of the handshake on a second link. */
  onReady(link: Link): void {
    const { main } = this.links;
    const mayFailOverAtOnce = link.role === "standby" &&
      main.liveness?.isUnverified === false &&
      !this.tracker.isBusy(main.connectionId);
    if (mayFailOverAtOnce) return this.#failOver(link);
    this.probes.send(link);
    if (!this.links.capacity.isAwaitingSecond) return;
    if (link.role === "capacity-check") {
      this.links.capacity.onSecondReady(this.probes.send(main));
    }
  }

  #failOver(standby: Link): void {
    const { connections, dialect, effects, links, tracker } = this;
    const { main } = links;
    if (main.liveness?.isUnderSuspicion !== true) return;
    const { connectionId, downSince, readySince = downSince } = main;
    // If there is a pool, the main link only carries short requests.
    const mayCloseMain = dialect.scheduling !== undefined ||
      !tracker.isBusy(connectionId) ||
      main.liveness.isDead(tracker.lastCallWriteNumber(connectionId), this.now);
    main.liveness.onReplaced(this.now);
    links.promote(standby);
    if (mayCloseMain) {
      const reason = "the connection is silent, and the daemon answers on " +
        "another one";
      links.remove(main);
      effects.close(connectionId);
      const failedCount = connections.recoverRequests(connectionId);
      const downMs = this.now - downSince;
      const times = { readyMs: downSince - readySince, silentMs: downMs };
      effects.log.connectionLost({ reason }, failedCount, times, "replaced");
      connections.logConnected({ attempt: 1, downMs });
    } else {
      tracker.requeueLongLived(connectionId, this.now);
      effects.log.failedOver(tracker.inFlightCount(connectionId));
    }
    connections.finishHandshake(standby);
    connections.replay(standby);
  }

  #performCheckStep(step: CheckStep | undefined): void {
    const { main } = this.links;
    switch (step?.kind) {
      case "close-second":
        this.#closeCheckLink();
        return this.links.capacity.setMainProbe(this.probes.send(main));
      case "conclude":
        return this.#onCheckConcluded(step);
      case "drop-main":
        return this.connections.endConnection(main, {
          reason: "it has not answered since a second connection was opened",
          isSelfCaused: true,
        });
    }
  }

  #onCheckConcluded(
    { capacity, isProven }: Extract<CheckStep, { kind: "conclude" }>,
  ): void {
    this.effects.log.capacityDetermined(capacity, isProven);
    if (isProven) this.cache.recordOneConnection();
    const { main } = this.links;
    // Calls have waited for the check, and must not wait for a probe as well.
    main.liveness?.endCallDelay(this.now);
    this.connections.replay(main);
  }

  /** Ends a running capacity check; the capacity is assumed to be one. */
  abortCapacityCheck(): void {
    if (!this.links.capacity.isChecking) return;
    this.#closeCheckLink();
    this.links.capacity.abandonCheck();
    const { main } = this.links;
    if (main.phase === "ready") this.connections.replay(main);
  }

  #closeCheckLink(): void {
    const { capacityCheck } = this.links;
    if (capacityCheck !== undefined) {
      this.connections.closeUnneeded(capacityCheck);
    }
  }
}
