/**
 * Whether the daemon at the other end of a ready connection lives: silence,
 * probes, and evidence that the connection is dead.
 *
 * | the connection                 | after                                   | what is due                                                    |
 * | ------------------------------ | --------------------------------------- | -------------------------------------------------------------- |
 * | carries no call                | silence of `--ping-interval`            | a probe                                                        |
 * | carries no call, probed        | silence of `--ping-timeout`             | it is lost; suspicion, if a call waits for that probe and a second connection may be opened |
 * | gets a call, carries none      | at once, once a second at most          | a probe, and the call may wait for the answer                  |
 * | carries calls                  | 250 ms after the first of them          | a probe                                                        |
 * | carries calls                  | each `--ping-interval` of silence       | a probe                                                        |
 * | carries calls                  | silence of both times together          | suspicion, where a second connection may be opened             |
 * | carries calls of nobody's      | a probe unanswered for `--ping-timeout` | it is lost, if it seems to be dead                             |
 * | carries questions of the proxy's own | 60 s after it was ready, at least | a probe, and `--ping-timeout` later it is lost                 |
 * | is of a pool, carries a call   | never                                   | nothing                                                        |
 * | slept                          | at once                                 | a probe, with 1 s for its answer                               |
 * | slept, carries no call         | no answer                               | it is lost                                                     |
 * | slept, carries a call          | no answer                               | suspicion; where no second connection may be opened, it is used |
 *
 * Silence while calls are in flight is no verdict, because many daemons do one
 * thing at a time. A frame ends silence and suspicion. A connection that slept
 * and is not under suspicion yet must answer a probe, because a frame may have
 * come before the sleep.
 *
 * @module
 */

/** What silence may take, in milliseconds. */
export interface LivenessConfig {
  /** Silence after which a connection is probed; `Infinity` switches probes off. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/**
 * What a connection is busy with: `busy`, the daemon may be working on a call
 * of the client's there; `busy-on-other-link`, on another connection, and the daemon may
 * do one thing at a time; `own-requests`, the proxy itself has asked for something.
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
  /** A second connection may be opened to show whether the daemon lives. */
  readonly mayFailOver: boolean;
}

/** What is due on a connection. */
export type LivenessAction =
  | ("nothing" | "probe" | "suspect")
  | ("skip-verification" | "disconnect");

/** How long a new daemon may be silent about what the proxy itself has asked it, in milliseconds. */
const OWN_REQUESTS_GRACE_MS = 60_000;
/** How long after a call that found none in flight a probe goes out, in milliseconds. */
const CALL_PROBE_DELAY_MS = 250;
/** The shortest time between two probes before calls, in milliseconds. */
const PRE_CALL_PROBE_INTERVAL_MS = 1_000;
/** How long after a connection has become ready no call waits for a probe, in milliseconds: it has just answered. */
const JUST_READY_MS = 100;
/** How long a call waits for the answer to the probe before it at most, where no second connection may be opened, in milliseconds. */
export const MAX_CALL_DELAY_MS = 250;
/** How long a connection that slept may take to answer a probe at most, in milliseconds. */
export const AFTER_SLEEP_TIMEOUT_MS = 1_000;
/** The time between two notices to a client whose connection is under suspicion, in milliseconds. */
const SUSPICION_NOTICE_INTERVAL_MS = 5_000;
/** How many unanswered probes of a connection are remembered. */
export const MAX_UNANSWERED_PROBES = 64;

/** A probe that is not answered. */
interface Probe {
  /** Its id; `undefined` where none was written, because the answer to an earlier frame shows the same. */
  readonly id: string | undefined;
  /** Its place in the order of what was written. */
  readonly writeNumber: number;
  /** When it was written. */
  sentAt: number;
  /** It was written while no call was in flight. */
  readonly isWithoutCalls: boolean;
  /** Calls need not wait for the answer any more. */
  isCallWaitOver: boolean;
}

/** The connection is silent although it carries calls, or one waits for a probe, and a second one is to show whether the daemon lives. */
interface Suspicion {
  /** The place of the last call that was in flight when the suspicion began. */
  readonly lastCallNumber: number;
  /** There may be evidence soon that the connection is dead. */
  readonly mayBeDead: boolean;
  /** The second connection was not answered either, so that the daemon is busy or frozen. */
  isWaived: boolean;
  /** When clients are told next. */
  noticeAt: number;
}

/** The signs of life on one ready connection. */
export class Liveness {
  readonly #config: LivenessConfig;
  #readySince: number;
  #lastFrameAt: number;
  /** How much was written when the daemon was heard last. */
  #writeNumberAtLastFrame = 0;
  #lastWriteNumber = 0;
  /** The latest probe that was answered. */
  #lastAnsweredProbeNumber = 0;
  #answeredProbeCount = 0;
  /** When the first of them came. */
  #firstProbeAnsweredAt = Infinity;
  #probes: Probe[] = [];
  /** When a probe is due because calls are in flight. */
  #callProbeAt = Infinity;
  /** When a further probe is due, whatever is heard until then. */
  #extraProbeAt = Infinity;
  /** When the next probe is due in silence, while calls are in flight. */
  #silenceProbeAt: number;
  /** Since when it has been silent while calls are in flight. */
  #silentSince: number;
  /** When it was probed before a call, or calls needed no such probe, last. */
  #lastPreCallProbeAt = -Infinity;
  /** Until when a call waits for the answer to the probe before it at most; `undefined` where none does. */
  #callDelayUntil: number | undefined;
  #isUnverified = false;
  /** When a connection that slept must have answered; `undefined` as long as no probe is out. */
  #verifyUntil: number | undefined;
  #isProbeDeferred = false;
  #suspicion: Suspicion | undefined;

  /** A connection on which the daemon has just spoken. */
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

  /** Whether the first answer to a probe came `--ping-timeout` ago; asked when another one comes. */
  hasAnsweredForPingTimeout(now: number): boolean {
    return now >= this.#firstProbeAnsweredAt + this.#config.pingTimeout;
  }

  /** The place of the latest probe that was answered: it overtook every call before it that is still in flight. */
  get lastAnsweredProbeNumber(): number {
    return this.#lastAnsweredProbeNumber;
  }

  /** Whether a second connection is to show whether the daemon lives. */
  get isSuspect(): boolean {
    return this.#suspicion !== undefined;
  }

  /** Whether it slept with the program, and has not shown since that it lives. */
  get isUnverified(): boolean {
    return this.#isUnverified;
  }

  /** Whether it is to be probed as soon as it is free. */
  get isProbeDeferred(): boolean {
    return this.#isProbeDeferred;
  }

  /** Whether there may be evidence soon that it is dead. */
  get mayBeDead(): boolean {
    return this.#suspicion?.mayBeDead ?? false;
  }

  /** Whether messages may be written: it has not just slept, and is not under suspicion. */
  get isUsable(): boolean {
    return !this.#isUnverified && (this.#suspicion?.isWaived ?? true);
  }

  /** Something is written; gives its place in the order of what was written. */
  assignWriteNumber(): number {
    return ++this.#lastWriteNumber;
  }

  /** A call was written where none was in flight. */
  onFirstCallSent(now: number): void {
    this.#silentSince = now;
    this.#silenceProbeAt = now + this.#config.pingInterval;
    this.#callProbeAt = now + CALL_PROBE_DELAY_MS;
  }

  /** Whether a probe is to go out before a call that finds none in flight. */
  needsPreCallProbe(now: number): boolean {
    return this.#config.pingInterval < Infinity &&
      now >= this.#lastPreCallProbeAt + PRE_CALL_PROBE_INTERVAL_MS;
  }

  /** A probe goes out before a call. */
  onPreCallProbe(now: number): void {
    this.#lastPreCallProbeAt = now;
  }

  /** Whether nothing was heard since a probe that calls wait for. */
  hasProbeToAwait(now: number): boolean {
    return now >= this.#readySince + JUST_READY_MS &&
      this.#probes.some(({ writeNumber, isCallWaitOver }) =>
        writeNumber > this.#writeNumberAtLastFrame && !isCallWaitOver
      );
  }

  /** A call waits for so many milliseconds at most for the answer to the probe before it. */
  delayCall(now: number, ms: number): void {
    this.#callDelayUntil ??= now + ms;
  }

  /** The call that waited is gone. */
  cancelCallDelay(): void {
    this.#callDelayUntil = undefined;
  }

  /** Whether a call waits for the answer to the probe before it. */
  get isDelayingCalls(): boolean {
    return this.#callDelayUntil !== undefined;
  }

  /** The call waits no longer, if its time has passed. */
  endCallDelayIfDue(now: number): void {
    if (this.#callDelayUntil !== undefined && now >= this.#callDelayUntil) {
      this.endCallDelay(now);
    }
  }

  /** Calls wait no longer, and need no other probe for a while. */
  endCallDelay(now: number): void {
    this.#callDelayUntil = undefined;
    this.#lastPreCallProbeAt = now;
    for (const probe of this.#probes) probe.isCallWaitOver = true;
  }

  /** A further probe is due at a moment, whatever the daemon says until then. */
  scheduleProbe(at: number): void {
    this.#extraProbeAt = at;
  }

  /**
   * A probe went out.
   *
   * @param id `undefined` where none was written, because the answer to an earlier frame shows the same
   * @param writeNumber its place; by default the next one
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
    // One that could not go out has had no time yet.
    if (this.#isProbeDeferred) this.#verifyUntil = undefined;
    this.#isProbeDeferred = false;
    this.#verifyUntil ??= now + Math.min(AFTER_SLEEP_TIMEOUT_MS, pingTimeout);
  }

  /** It slept, and is not free to be probed; it must be before long, unless it carries a call that may take its time. */
  deferProbe(now: number, carries: "call" | "no-call"): void {
    this.#isProbeDeferred = true;
    const timeoutMs = Math.min(
      AFTER_SLEEP_TIMEOUT_MS,
      this.#config.pingTimeout,
    );
    this.#verifyUntil = carries === "call" ? Infinity : now + timeoutMs;
  }

  /** Any frame is proof of life, but for what may have lain in the buffer of a connection while it slept. */
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
    // What stood in for a probe is answered by anything.
    if (this.#probes.length > 0) {
      this.#probes = this.#probes.filter(({ id }) => id !== undefined);
    }
  }

  /**
   * A probe was answered.
   *
   * @returns its place in the order of what was written; `undefined` for one from before a sleep
   */
  onPong(id: string, now: number): number | undefined {
    const probe = this.#probes.find((probe) => probe.id === id);
    if (probe === undefined) return undefined;
    const { writeNumber } = probe;
    // Those before it are not answered any more.
    this.#probes = this.#probes.filter((it) => it.writeNumber > writeNumber);
    if (this.#answeredProbeCount++ === 0) this.#firstProbeAnsweredAt = now;
    this.#lastAnsweredProbeNumber = Math.max(
      this.#lastAnsweredProbeNumber,
      writeNumber,
    );
    this.#markAlive(now);
    return writeNumber;
  }

  /** Whether a probe that went out after a call was written has been unanswered for a second. */
  hasUnansweredProbeAfter(callNumber: number, now: number): boolean {
    return this.#probes.some(({ writeNumber, sentAt }) =>
      writeNumber > callNumber && now - sentAt >= 1_000
    );
  }

  /**
   * Whether the connection is dead, if the daemon answers on another one:
   * nothing was heard for `--ping-timeout` after a probe during calls that this
   * connection has answered a probe during.
   *
   * @param lastCallNumber the place of the last call that is in flight
   */
  #hasEvidenceOfDeath(lastCallNumber: number, now: number): boolean {
    return this.#lastAnsweredProbeNumber > lastCallNumber &&
      this.#hasTimedOutProbe(now, () => true);
  }

  /** The same of a connection under suspicion, by the calls that were in flight when it began: later ones cannot have caused the silence. */
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
   * Whether the connection seems to be dead: the same, or nothing was heard
   * after a probe that was written before all calls. That proves nothing where
   * a call was written behind it: a daemon that has read both may have begun
   * with the call, and write its answer to the probe after it.
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

  /** A second connection is to show whether the daemon lives. */
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

  /** Another connection has taken over. */
  onReplaced(now: number): void {
    this.#suspicion = undefined;
    this.endCallDelay(now);
    this.skipVerification();
  }

  /** The second connection was not answered either, so that messages may be written here. */
  waiveSuspicion(now: number): void {
    if (this.#suspicion !== undefined) this.#suspicion.isWaived = true;
    this.endCallDelay(now);
    this.skipVerification();
  }

  /** It need not show that it lives: what it carries is worth the wait. */
  skipVerification(): void {
    this.#isUnverified = this.#isProbeDeferred = false;
    this.#verifyUntil = undefined;
  }

  /** Whether clients are to be told now that their connection is under suspicion; they will be told again later. */
  takeDueNotice(now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion === undefined || now < suspicion.noticeAt) return false;
    suspicion.noticeAt = now + SUSPICION_NOTICE_INTERVAL_MS;
    return true;
  }

  /** Where calls have connections of their own, the daemon may do one thing at a time: it spoke on another one, so that a probe has its whole time again. */
  restartProbeTimers(now: number): void {
    if (this.#isUnverified) return;
    for (const probe of this.#probes) probe.sentAt = now;
  }

  /** The program slept, and our clock counted so many milliseconds of that: the connection must show at once that it lives. */
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

  /** When it has been silent for too long with calls in flight. */
  #suspectAt({ mayFailOver }: ConnectionUsage): number {
    const { pingInterval, pingTimeout } = this.#config;
    return mayFailOver && this.#suspicion === undefined
      ? this.#silentSince + pingInterval + pingTimeout
      : Infinity;
  }

  /** The first probe that nothing was heard since. */
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
    // The standby will show it.
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
        // A second connection will show whether it is the daemon that is slow.
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

  /** What is due now. */
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
