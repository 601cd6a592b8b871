/**
 * Tracks whether the daemon on a ready connection is alive: silence, probes,
 * and evidence that the connection is dead.
 *
 * | the connection                       | after                                   | what is due                                       |
 * | ------------------------------------ | --------------------------------------- | ------------------------------------------------- |
 * | carries no call                      | silence of `--ping-interval`            | a probe                                           |
 * | carries no call, probed              | silence of `--ping-timeout`             | disconnect; suspicion, if a call waits for that probe and a second connection may be opened |
 * | gets a call, carries none            | at once, once a second at most          | a probe, and the call may wait for its answer     |
 * | carries calls                        | 250 ms after the first of them          | a probe                                           |
 * | carries calls                        | each `--ping-interval` of silence       | a probe                                           |
 * | carries calls                        | silence of both times together          | suspicion, if a second connection may be opened   |
 * | carries only abandoned calls         | a probe unanswered for `--ping-timeout` | disconnect, if it seems to be dead                |
 * | carries requests of the proxy itself | 60 s after it was ready, at least       | a probe, and `--ping-timeout` later a disconnect  |
 * | is a pool link, carries a call       | never                                   | nothing                                           |
 * | was asleep                           | at once                                 | a probe, with 1 s for its answer                  |
 * | was asleep, carries no call          | no answer                               | disconnect                                        |
 * | was asleep, carries a call           | no answer                               | suspicion; if no second connection may be opened, it is used |
 *
 * Silence while calls are in flight proves nothing, because many daemons do one
 * thing at a time. A frame ends silence and suspicion. A connection that was
 * asleep and is not yet suspect must answer a probe, because a frame may have
 * arrived before the sleep.
 *
 * @module
 */

/** The limits of silence, in milliseconds. */
export interface LivenessConfig {
  /** Silence after which a connection is probed; `Infinity` disables probes. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/**
 * What a connection is busy with: `busy`, the daemon may be working on a call
 * of the client there; `busy-on-other-link`, on another connection, and the
 * daemon may do one thing at a time; `own-requests`, only requests of the proxy
 * itself are in flight.
 */
export type ConnectionLoad =
  | "idle"
  | "own-requests"
  | "busy-on-other-link"
  | "busy";

/** What a connection is busy with, and what may be done about its silence. */
export interface ConnectionUsage {
  /** What it is busy with. */
  readonly load: ConnectionLoad;
  /** It can be probed while it carries a call. */
  readonly mayProbe: boolean;
  /** A second connection may be opened to show whether the daemon is alive. */
  readonly mayFailOver: boolean;
}

/** What is due on a connection. */
export type LivenessAction =
  | "nothing"
  | "probe"
  | "suspect"
  | "skip-verification"
  | "disconnect";

/**
 * How long a new daemon may be silent about requests of the proxy itself, in
 * milliseconds.
 */
const OWN_REQUESTS_GRACE_MS = 60_000;
/** How long after the first call in flight a probe is sent, in milliseconds. */
const CALL_PROBE_DELAY_MS = 250;
/** The shortest time between two probes before calls, in milliseconds. */
const PRE_CALL_PROBE_INTERVAL_MS = 1_000;
/**
 * How long after a connection became ready no call waits for a probe, in
 * milliseconds: the daemon has just answered.
 */
const JUST_READY_MS = 100;
/**
 * The longest time a call waits for the answer to the probe before it, if no
 * second connection may be opened, in milliseconds.
 */
export const MAX_CALL_DELAY_MS = 250;
/**
 * The longest time a connection may take to answer a probe after a sleep, in
 * milliseconds.
 */
export const AFTER_SLEEP_TIMEOUT_MS = 1_000;
/**
 * The time between two notices to a client whose connection is suspect, in
 * milliseconds.
 */
const SUSPICION_NOTICE_INTERVAL_MS = 5_000;
/** How many unanswered probes of a connection are tracked. */
export const MAX_UNANSWERED_PROBES = 64;

/** An unanswered probe. */
interface Probe {
  /**
   * Its id; `undefined` if none was written because the answer to an earlier
   * frame shows the same.
   */
  readonly id: string | undefined;
  /** Its position in the order of written messages. */
  readonly writeNumber: number;
  /** When it was written. */
  sentAt: number;
  /** It was written while no call was in flight. */
  readonly isWithoutCalls: boolean;
  /** Calls no longer need to wait for the answer. */
  isCallWaitOver: boolean;
}

/**
 * The connection is silent although it carries calls, or a call waits for a
 * probe, and a second connection is to show whether the daemon is alive.
 */
interface Suspicion {
  /** The write number of the last call in flight when the suspicion began. */
  readonly lastCallNumber: number;
  /** There may be evidence soon that the connection is dead. */
  readonly mayBeDead: boolean;
  /**
   * The second connection was not answered either, so the daemon is busy or
   * frozen.
   */
  isWaived: boolean;
  /** When clients get the next notice. */
  noticeAt: number;
}

/** The liveness of one ready connection. */
export class Liveness {
  readonly #config: LivenessConfig;
  #readySince: number;
  #lastFrameAt: number;
  /** The last write number when the last frame arrived. */
  #writeNumberAtLastFrame = 0;
  #lastWriteNumber = 0;
  /** The write number of the latest answered probe. */
  #lastAnsweredProbeNumber = 0;
  #answeredProbeCount = 0;
  /** When the first answer to a probe arrived. */
  #firstProbeAnsweredAt = Infinity;
  #probes: Probe[] = [];
  /** When a probe is due because calls are in flight. */
  #callProbeAt = Infinity;
  /** When an extra probe is due, whatever arrives until then. */
  #extraProbeAt = Infinity;
  /** When the next probe is due in silence, while calls are in flight. */
  #silenceProbeAt: number;
  /** Since when the connection has been silent while calls are in flight. */
  #silentSince: number;
  /**
   * When the connection was last probed before a call, or calls last needed no
   * such probe.
   */
  #lastPreCallProbeAt = -Infinity;
  /**
   * The latest time until which a call waits for the answer to the probe before
   * it; `undefined` if none waits.
   */
  #callDelayUntil: number | undefined;
  #isUnverified = false;
  /**
   * When a connection must have answered after a sleep; `undefined` as long as
   * no probe was sent.
   */
  #verifyUntil: number | undefined;
  #isProbeDeferred = false;
  #suspicion: Suspicion | undefined;

  /** Starts with a connection on which a frame has just arrived. */
  constructor(config: LivenessConfig, now: number) {
    this.#config = config;
    this.#readySince = now;
    this.#lastFrameAt = now;
    this.#silentSince = now;
    this.#silenceProbeAt = now + config.pingInterval;
  }

  /** How many probes were answered. */
  get answeredProbeCount(): number {
    return this.#answeredProbeCount;
  }

  /**
   * Whether the first answer to a probe came at least `--ping-timeout` ago; for
   * use when another one arrives.
   */
  hasAnsweredForPingTimeout(now: number): boolean {
    return now >= this.#firstProbeAnsweredAt + this.#config.pingTimeout;
  }

  /**
   * The write number of the latest answered probe: its answer overtook every
   * earlier call still in flight.
   */
  get lastAnsweredProbeNumber(): number {
    return this.#lastAnsweredProbeNumber;
  }

  /** Whether a second connection is to show whether the daemon is alive. */
  get isSuspect(): boolean {
    return this.#suspicion !== undefined;
  }

  /**
   * Whether the process slept and the connection has not shown since that it is
   * alive.
   */
  get isUnverified(): boolean {
    return this.#isUnverified;
  }

  /** Whether a probe is due as soon as the connection is free. */
  get isProbeDeferred(): boolean {
    return this.#isProbeDeferred;
  }

  /** Whether there may be evidence soon that the connection is dead. */
  get mayBeDead(): boolean {
    return this.#suspicion?.mayBeDead ?? false;
  }

  /**
   * Whether messages may be written: the connection is verified after a sleep
   * and not suspect.
   */
  get isUsable(): boolean {
    return !this.#isUnverified && (this.#suspicion?.isWaived ?? true);
  }

  /** Assigns the next position in the order of written messages. */
  assignWriteNumber(): number {
    return ++this.#lastWriteNumber;
  }

  /** Records that a call was written while none was in flight. */
  onFirstCallSent(now: number): void {
    this.#silentSince = now;
    this.#silenceProbeAt = now + this.#config.pingInterval;
    this.#callProbeAt = now + CALL_PROBE_DELAY_MS;
  }

  /**
   * Whether a probe must be sent before a call if no other call is in flight.
   */
  needsPreCallProbe(now: number): boolean {
    return this.#config.pingInterval < Infinity &&
      now >= this.#lastPreCallProbeAt + PRE_CALL_PROBE_INTERVAL_MS;
  }

  /** Records that a probe is sent before a call. */
  onPreCallProbe(now: number): void {
    this.#lastPreCallProbeAt = now;
  }

  /** Whether no frame has arrived since a probe that calls wait for. */
  hasProbeToAwait(now: number): boolean {
    return now >= this.#readySince + JUST_READY_MS &&
      this.#probes.some(({ writeNumber, isCallWaitOver }) =>
        writeNumber > this.#writeNumberAtLastFrame && !isCallWaitOver
      );
  }

  /**
   * Delays a call by at most `ms` milliseconds, until the probe before it is
   * answered.
   */
  delayCall(now: number, ms: number): void {
    this.#callDelayUntil ??= now + ms;
  }

  /** Ends the delay because the delayed call is gone. */
  cancelCallDelay(): void {
    this.#callDelayUntil = undefined;
  }

  /** Whether a call waits for the answer to the probe before it. */
  get isDelayingCalls(): boolean {
    return this.#callDelayUntil !== undefined;
  }

  /** Ends the delay if its time has passed. */
  endCallDelayIfDue(now: number): void {
    if (this.#callDelayUntil !== undefined && now >= this.#callDelayUntil) {
      this.endCallDelay(now);
    }
  }

  /** Ends the delay; calls need no other probe for a while. */
  endCallDelay(now: number): void {
    this.#callDelayUntil = undefined;
    this.#lastPreCallProbeAt = now;
    for (const probe of this.#probes) probe.isCallWaitOver = true;
  }

  /** Schedules an extra probe, whatever the daemon sends until then. */
  scheduleProbe(at: number): void {
    this.#extraProbeAt = at;
  }

  /**
   * Records that a probe was sent.
   *
   * @param id `undefined` if none was written because the answer to an earlier
   * frame shows the same
   * @param writeNumber its position; by default the next one
   */
  onProbeSent(
    id: string | undefined,
    now: number,
    { isWithoutCalls = false, writeNumber = this.#lastWriteNumber + 1 } = {},
  ): void {
    const { pingInterval, pingTimeout } = this.#config;
    this.#probes.push({
      id,
      writeNumber,
      sentAt: now,
      isWithoutCalls,
      isCallWaitOver: false,
    });
    if (this.#probes.length > MAX_UNANSWERED_PROBES) this.#probes.shift();
    if (now >= this.#callProbeAt) this.#callProbeAt = Infinity;
    if (now >= this.#extraProbeAt) this.#extraProbeAt = Infinity;
    if (now >= this.#silenceProbeAt) this.#silenceProbeAt = now + pingInterval;
    if (!this.#isUnverified) return;
    // A probe that could not be sent has had no time yet.
    if (this.#isProbeDeferred) this.#verifyUntil = undefined;
    this.#isProbeDeferred = false;
    this.#verifyUntil ??= now + Math.min(AFTER_SLEEP_TIMEOUT_MS, pingTimeout);
  }

  /**
   * Defers the probe after a sleep, because the connection is not free for it.
   * The connection must be free soon, unless it carries a call, which may take
   * its time.
   */
  deferProbe(now: number, carries: "call" | "no-call"): void {
    this.#isProbeDeferred = true;
    const timeoutMs = Math.min(
      AFTER_SLEEP_TIMEOUT_MS,
      this.#config.pingTimeout,
    );
    this.#verifyUntil = carries === "call" ? Infinity : now + timeoutMs;
  }

  /**
   * Records a frame. Any frame shows that the connection is alive, except one
   * that may have been in its buffer during a sleep.
   */
  onFrame(now: number): void {
    if (this.#isUnverified && this.#suspicion === undefined) return;
    this.#markAlive(now);
  }

  #markAlive(now: number): void {
    this.#lastFrameAt = this.#silentSince = now;
    this.#silenceProbeAt = now + this.#config.pingInterval;
    this.#writeNumberAtLastFrame = this.#lastWriteNumber;
    this.#suspicion = undefined;
    if (this.isDelayingCalls) this.endCallDelay(now);
    this.#isUnverified = this.#isProbeDeferred = false;
    this.#verifyUntil = undefined;
    // A probe without an id is answered by any frame.
    if (this.#probes.length > 0) {
      this.#probes = this.#probes.filter(({ id }) => id !== undefined);
    }
  }

  /**
   * Records the answer to a probe.
   *
   * @returns its write number; `undefined` for a probe from before a sleep
   */
  onProbeAnswered(id: string, now: number): number | undefined {
    const probe = this.#probes.find((probe) => probe.id === id);
    if (probe === undefined) return undefined;
    const { writeNumber } = probe;
    // Earlier probes will not be answered any more.
    this.#probes = this.#probes.filter((it) => it.writeNumber > writeNumber);
    if (this.#answeredProbeCount++ === 0) this.#firstProbeAnsweredAt = now;
    this.#lastAnsweredProbeNumber = Math.max(
      this.#lastAnsweredProbeNumber,
      writeNumber,
    );
    this.#markAlive(now);
    return writeNumber;
  }

  /**
   * Whether a probe that was written after a call has been unanswered for a
   * second.
   */
  hasUnansweredProbeAfter(callNumber: number, now: number): boolean {
    return this.#probes.some(({ writeNumber, sentAt }) =>
      writeNumber > callNumber && now - sentAt >= 1_000
    );
  }

  /**
   * Whether the connection is dead, provided that the daemon answers on another
   * one: no frame arrived for `--ping-timeout` after a probe, and the
   * connection has answered a probe while the same calls were in flight.
   *
   * @param lastCallNumber the write number of the last call in flight
   */
  #hasEvidenceOfDeath(lastCallNumber: number, now: number): boolean {
    return this.#lastAnsweredProbeNumber > lastCallNumber &&
      this.#hasTimedOutProbe(now, () => true);
  }

  /**
   * Whether a suspect connection is dead. Only the calls count that were in
   * flight when the suspicion began: later ones cannot have caused the silence.
   */
  isDead(lastCallNumber: number, now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion === undefined) return false;
    const { isWaived } = suspicion;
    return this.#hasEvidenceOfDeath(
      isWaived ? lastCallNumber : suspicion.lastCallNumber,
      now,
    );
  }

  /**
   * Whether the connection seems to be dead: there is evidence, or no frame
   * arrived after a probe that was written before all calls. The latter proves
   * nothing if a call was written behind it: a daemon that has read both may
   * have started the call first, and answer the probe after it.
   */
  seemsDead(lastCallNumber: number, now: number): boolean {
    return this.#hasEvidenceOfDeath(lastCallNumber, now) ||
      this.#answeredProbeCount > 0 &&
        this.#hasTimedOutProbe(now, ({ isWithoutCalls }) => isWithoutCalls);
  }

  #hasTimedOutProbe(now: number, test: (probe: Probe) => boolean): boolean {
    return this.#probes.some((probe) =>
      probe.writeNumber > this.#writeNumberAtLastFrame &&
      now - probe.sentAt >= this.#config.pingTimeout && test(probe)
    );
  }

  /**
   * Starts a suspicion: a second connection is to show whether the daemon is
   * alive.
   */
  markSuspect(now: number, lastCallNumber: number): void {
    const mayBeDead = this.isDelayingCalls ||
      this.#lastAnsweredProbeNumber > lastCallNumber;
    this.#suspicion = {
      lastCallNumber,
      mayBeDead,
      isWaived: false,
      noticeAt: now,
    };
  }

  /** Records that another connection has taken over. */
  onReplaced(now: number): void {
    this.#suspicion = undefined;
    this.endCallDelay(now);
    this.skipVerification();
  }

  /**
   * Waives the suspicion: the second connection was not answered either, so
   * messages may be written here.
   */
  waiveSuspicion(now: number): void {
    if (this.#suspicion !== undefined) this.#suspicion.isWaived = true;
    this.endCallDelay(now);
    this.skipVerification();
  }

  /**
   * Skips the probe after a sleep: losing the calls in flight would cost more
   * than waiting.
   */
  skipVerification(): void {
    this.#isUnverified = this.#isProbeDeferred = false;
    this.#verifyUntil = undefined;
  }

  /**
   * Returns whether clients get a notice now that their connection is suspect,
   * and schedules the next notice.
   */
  takeDueNotice(now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion === undefined || now < suspicion.noticeAt) return false;
    suspicion.noticeAt = now + SUSPICION_NOTICE_INTERVAL_MS;
    return true;
  }

  /**
   * Restarts the timeouts of all probes, because the daemon sent a frame on
   * another connection. Where calls have connections of their own, the daemon
   * may do one thing at a time.
   */
  restartProbeTimers(now: number): void {
    if (this.#isUnverified) return;
    for (const probe of this.#probes) probe.sentAt = now;
  }

  /**
   * Handles a sleep of which the monotonic clock counted `monotonicGapMs`: the
   * connection must show at once that it is alive.
   */
  onResume(now: number, monotonicGapMs: number): void {
    const { pingInterval } = this.#config;
    this.#readySince += monotonicGapMs;
    this.#firstProbeAnsweredAt += monotonicGapMs;
    this.cancelCallDelay();
    if (pingInterval === Infinity) return;
    this.#lastFrameAt = this.#silentSince = now;
    this.#silenceProbeAt = now + pingInterval;
    this.#writeNumberAtLastFrame = this.#lastWriteNumber;
    this.#probes = [];
    this.#callProbeAt += monotonicGapMs;
    this.#extraProbeAt += monotonicGapMs;
    this.#suspicion = undefined;
    this.#isUnverified = true;
    this.#verifyUntil = undefined;
    this.#isProbeDeferred = false;
  }

  /** When something is due. */
  deadline(usage: ConnectionUsage): number {
    const notice = this.#suspicion?.noticeAt ?? Infinity;
    return Math.min(
      this.#callDelayUntil ?? Infinity,
      notice,
      this.#nextActionAt(usage),
    );
  }

  /** When the connection has been silent for too long with calls in flight. */
  #suspectAt({ mayFailOver }: ConnectionUsage): number {
    const { pingInterval, pingTimeout } = this.#config;
    return mayFailOver && this.#suspicion === undefined
      ? this.#silentSince + pingInterval + pingTimeout
      : Infinity;
  }

  /** The first probe since which no frame has arrived. */
  get #firstUnansweredProbe(): Probe | undefined {
    return this.#probes.find(({ writeNumber }) =>
      writeNumber > this.#writeNumberAtLastFrame
    );
  }

  #nextActionAt(usage: ConnectionUsage): number {
    const { load, mayProbe } = usage;
    const { pingInterval, pingTimeout } = this.#config;
    if (this.#isUnverified) {
      if (this.#suspicion !== undefined) return Infinity;
      return this.#verifyUntil ?? -Infinity;
    }
    // The standby decides.
    if (this.isSuspect && this.isDelayingCalls) return this.#extraProbeAt;
    const unanswered = this.#firstUnansweredProbe;
    switch (load) {
      case "busy-on-other-link":
        return this.#extraProbeAt;
      case "busy":
        if (!mayProbe || pingInterval === Infinity) return Infinity;
        return Math.min(
          this.#callProbeAt,
          this.#silenceProbeAt,
          this.#suspectAt(usage),
        );
      case "own-requests": {
        // A second connection will show whether the daemon is slow.
        const graceUntil = this.isDelayingCalls && usage.mayFailOver
          ? -Infinity
          : this.#readySince + OWN_REQUESTS_GRACE_MS;
        return unanswered === undefined
          ? Math.max(this.#lastFrameAt + pingInterval, graceUntil)
          : Math.max(unanswered.sentAt, graceUntil) + pingTimeout;
      }
      case "idle":
        return Math.min(
          this.#extraProbeAt,
          unanswered === undefined
            ? this.#lastFrameAt + pingInterval
            : unanswered.sentAt + pingTimeout,
        );
    }
  }

  /** Returns what is due now. */
  nextAction(now: number, usage: ConnectionUsage): LivenessAction {
    if (now < this.#nextActionAt(usage)) return "nothing";
    const { load, mayFailOver } = usage;
    if (this.#isUnverified) {
      if (this.#verifyUntil === undefined) return "probe";
      if (load !== "busy") return "disconnect";
      return mayFailOver ? "suspect" : "skip-verification";
    }
    if (load === "busy") {
      return now >= this.#suspectAt(usage) ? "suspect" : "probe";
    }
    if (now >= this.#extraProbeAt) return "probe";
    if (this.#firstUnansweredProbe === undefined) return "probe";
    return mayFailOver && this.isDelayingCalls ? "suspect" : "disconnect";
  }
}
