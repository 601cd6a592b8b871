/**
 * The liveness of one ready connection: silence, probes, and evidence that the
 * connection is dead.
 *
 * A probe is a message that the daemon must answer. Any frame shows that the
 * connection is alive, and ends silence and suspicion. Silence while calls are
 * in flight proves nothing, because many daemons do one thing at a time: the
 * connection becomes suspect, and a second one shows whether the daemon or the
 * connection is at fault. After a sleep only the answer to a new probe proves
 * something, because a frame may have arrived before the sleep; but a frame on
 * a connection that is suspect ends that, too.
 *
 * There are three state machines, and an event may have a row in several:
 *
 * | machine      | state                   | event                                        | next       |
 * | ------------ | ----------------------- | -------------------------------------------- | ---------- |
 * | verification | any                     | a sleep, if probes are enabled               | `unprobed` |
 * |              | `unprobed`, `deferred`  | a probe is sent                              | `probed`   |
 * |              | any but `verified`      | the connection is not free for the probe     | `deferred` |
 * |              | any but `verified`      | a probe is answered; the check is skipped; suspicion is waived; the connection is replaced; a frame, if it is suspect | `verified` |
 * | suspicion    | `none`                  | silence with calls in flight or delayed      | `suspect`  |
 * |              | `suspect`               | the second connection is not answered either | `waived`   |
 * |              | `suspect`, `waived`     | a frame; a sleep; the connection is replaced | `none`     |
 * | call delay   | `undefined`             | a call must wait for the answer to a probe   | its end    |
 * |              | its end                 | its time; a frame; a sleep; the call is gone; suspicion is waived; the connection is replaced | `undefined` |
 *
 * To defer the probe of a verified connection, or to mark one as suspect twice,
 * is an error. Every other event without a row changes nothing.
 *
 * | the connection                       | after                             | what is due                                       |
 * | ------------------------------------ | --------------------------------- | ------------------------------------------------- |
 * | carries no call                      | silence of `--ping-interval`      | a probe                                           |
 * | carries no call, probed              | silence of `--ping-timeout`       | disconnect; suspicion, if a call waits for that probe and a second connection may be opened |
 * | gets a call, carries none            | at once, once a second at most    | a probe, and the call may wait for its answer     |
 * | carries calls                        | 250 ms after the first of them    | a probe                                           |
 * | carries calls                        | each `--ping-interval` of silence | a probe                                           |
 * | carries calls                        | silence of both times together    | suspicion, if a second connection may be opened   |
 * | carries only abandoned calls, probed | silence of `--ping-timeout`       | disconnect, if it seems to be dead                |
 * | carries requests of the proxy itself | 60 s after it was ready, at least | a probe, and `--ping-timeout` later a disconnect  |
 * | is a pool link, carries a call       | never                             | nothing                                           |
 * | `unprobed`                           | at once                           | a probe, with 1 s for its answer                  |
 * | `probed`, `deferred`, carries no call | no answer                        | disconnect                                        |
 * | `probed`, `deferred`, carries a call | no answer                         | suspicion; if no second connection may be opened, it is used |
 *
 * @module
 */

/** The limits of silence. */
export interface LivenessConfig {
  /** Silence after which a connection is probed; `Infinity` disables probes. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/** What a connection is busy with, and what may be done about its silence. */
export interface ConnectionUsage {
  /** What it is busy with. */
  readonly load:
    | "idle"
    | "own-requests" // only requests of the proxy itself are in flight
    | "busy-on-other-link" // and the daemon may do one thing at a time
    | "busy"; // the daemon may be working on a call of the client there
  /** It can be probed while it carries a call. */
  readonly mayProbe: boolean;
  /** A second connection may be opened to show whether the daemon is alive. */
  readonly mayFailOver: boolean;
  /** It carries calls, and nobody waits for one of them. */
  readonly hasOnlyAbandonedCalls: boolean;
}

/** What is due on a connection. */
export type LivenessAction =
  | "nothing"
  | "probe"
  | "suspect"
  | "skip-verification"
  | "disconnect";

/** How long a new daemon may be silent about the proxy's own requests. */
const OWN_REQUESTS_GRACE_MS = 60_000;
const CALL_PROBE_DELAY_MS = 250;
const PRE_CALL_PROBE_INTERVAL_MS = 1_000;
/** How long no call waits for a probe: the daemon has just answered. */
const JUST_READY_MS = 100;
/** How long a call waits for a probe if no second connection may be opened. */
export const MAX_CALL_DELAY_MS = 250;
/** The longest time until the answer to a probe after a sleep. */
export const AFTER_SLEEP_TIMEOUT_MS = 1_000;
const SUSPICION_NOTICE_INTERVAL_MS = 5_000;
/** How many unanswered probes of a connection are tracked. */
export const MAX_UNANSWERED_PROBES = 64;

/** `until` is when a probe is due, or must have been answered or sent. */
type Verification =
  | { readonly name: "verified" }
  | {
    readonly name: "unprobed" | "probed" | "deferred";
    readonly until: number;
  };

const VERIFIED: Verification = { name: "verified" };

/** `noticeAt` is when clients get the next notice. */
type Suspicion =
  | { readonly name: "none"; readonly noticeAt: number }
  | {
    readonly name: "suspect" | "waived";
    readonly noticeAt: number;
    /** The write number of the last call in flight when it began. */
    readonly lastCallNumber: number;
    readonly mayBeDead: boolean;
  };

const NOT_SUSPECT: Suspicion = { name: "none", noticeAt: Infinity };

interface Probe {
  /** `undefined` if the answer to an earlier frame shows the same. */
  readonly id: string | undefined;
  readonly writeNumber: number;
  sentAt: number;
  readonly isWithoutCalls: boolean;
  /** A frame has arrived since. */
  isHeard?: boolean;
}

/** The liveness of one ready connection. */
export class Liveness {
  #verification: Verification = VERIFIED;
  #suspicion: Suspicion = NOT_SUSPECT;
  #callDelayUntil: number | undefined;
  #readySince: number;
  #lastFrameAt: number;
  /** Since when it has been silent with calls in flight. */
  #silentSince = 0;
  #silenceProbeAt = 0;
  #callProbeAt = Infinity;
  #extraProbeAt = Infinity;
  /** When a probe before a call was last sent, or not needed. */
  #lastPreCallProbeAt = -Infinity;
  #lastWriteNumber = 0;
  #unansweredProbes: Probe[] = [];
  #isProbeAwaited = false;
  #answeredProbeCount = 0;
  #lastAnsweredProbeNumber = 0;
  #firstProbeAnsweredAt = Infinity;

  /** Starts with a connection on which a frame has just arrived. */
  constructor(private readonly config: LivenessConfig, now: number) {
    this.#readySince = this.#lastFrameAt = now;
    this.#startSilence(now);
  }

  #startSilence(now: number): void {
    this.#silentSince = now;
    this.#silenceProbeAt = now + this.config.pingInterval;
  }

  /** How many probes were answered. */
  get answeredProbeCount(): number {
    return this.#answeredProbeCount;
  }

  /** The write number of the latest answered probe; 0 for none. */
  get lastAnsweredProbeNumber(): number {
    return this.#lastAnsweredProbeNumber;
  }

  /** Whether a second connection is to show whether the daemon is alive. */
  get isSuspect(): boolean {
    return this.#suspicion.name !== "none";
  }

  /** Whether there may be evidence soon that the connection is dead. */
  get mayBeDead(): boolean {
    return this.#suspicion.name !== "none" && this.#suspicion.mayBeDead;
  }

  /** Whether it has not yet shown that it has survived a sleep. */
  get isUnverified(): boolean {
    return this.#verification.name !== "verified";
  }

  /** Whether a probe is due as soon as the connection is free. */
  get isProbeDeferred(): boolean {
    return this.#verification.name === "deferred";
  }

  /** Whether messages may be written. */
  get isUsable(): boolean {
    return !this.isUnverified && this.#suspicion.name !== "suspect";
  }

  /** Whether a call waits for the answer to the probe before it. */
  get isDelayingCalls(): boolean {
    return this.#callDelayUntil !== undefined;
  }

  /** Whether the first answer to a probe came `--ping-timeout` ago. */
  hasAnsweredForPingTimeout(now: number): boolean {
    return now >= this.#firstProbeAnsweredAt + this.config.pingTimeout;
  }

  /** Assigns the next position in the order of written messages. */
  assignWriteNumber(): number {
    return ++this.#lastWriteNumber;
  }

  /** Records that a call was written while none was in flight. */
  onFirstCallSent(now: number): void {
    this.#startSilence(now);
    this.#callProbeAt = now + CALL_PROBE_DELAY_MS;
  }

  /** Whether a probe must precede a call that finds none in flight. */
  needsPreCallProbe(now: number): boolean {
    return this.config.pingInterval < Infinity &&
      now >= this.#lastPreCallProbeAt + PRE_CALL_PROBE_INTERVAL_MS;
  }

  /** Records that a probe is sent before a call. */
  onPreCallProbe(now: number): void {
    this.#lastPreCallProbeAt = now;
  }

  /** Whether no frame has arrived since a probe that calls wait for. */
  hasProbeToAwait(now: number): boolean {
    return this.#isProbeAwaited && now >= this.#readySince + JUST_READY_MS;
  }

  /** Delays a call by `ms` at most, until the probe before it is answered. */
  delayCall(now: number, ms: number): void {
    this.#callDelayUntil ??= now + ms;
  }

  /** Ends the delay because the delayed call is gone. */
  cancelCallDelay(): void {
    this.#callDelayUntil = undefined;
  }

  /** Ends the delay if its time has passed. */
  endCallDelayIfDue(now: number): void {
    if (now >= (this.#callDelayUntil ?? Infinity)) this.endCallDelay(now);
  }

  /** Ends the delay; calls need no other probe for a while. */
  endCallDelay(now: number): void {
    this.#callDelayUntil = undefined;
    this.#lastPreCallProbeAt = now;
    this.#isProbeAwaited = false;
  }

  /** Schedules an extra probe, whatever the daemon sends until then. */
  scheduleProbe(at: number): void {
    this.#extraProbeAt = at;
  }

  /** Records a probe, or (without an id) a frame whose answer shows as much. */
  onProbeSent(
    id: string | undefined,
    now: number,
    { isWithoutCalls = false, writeNumber = this.#lastWriteNumber + 1 } = {},
  ): void {
    const probes = this.#unansweredProbes;
    probes.push({ id, writeNumber, sentAt: now, isWithoutCalls });
    if (probes.length > MAX_UNANSWERED_PROBES) probes.shift();
    this.#isProbeAwaited = true;
    if (now >= this.#callProbeAt) this.#callProbeAt = Infinity;
    if (now >= this.#extraProbeAt) this.#extraProbeAt = Infinity;
    if (now >= this.#silenceProbeAt) {
      this.#silenceProbeAt = now + this.config.pingInterval;
    }
    const { name } = this.#verification;
    if (name === "verified" || name === "probed") return;
    this.#verification = { name: "probed", until: this.#verifyUntil(now) };
  }

  #verifyUntil(now: number): number {
    return now + Math.min(AFTER_SLEEP_TIMEOUT_MS, this.config.pingTimeout);
  }

  /** Defers the probe until the connection is free: soon, if without a call. */
  deferProbe(now: number, carries: "call" | "no-call"): void {
    if (this.#verification.name === "verified") {
      throw new Error("A connection that is verified cannot defer its probe");
    }
    const until = carries === "call" ? Infinity : this.#verifyUntil(now);
    this.#verification = { name: "deferred", until };
  }

  /** Skips the check after a sleep: losing the calls would cost more. */
  skipVerification(): void {
    this.#verification = VERIFIED;
  }

  /** Records a frame, which may have been in the buffer during a sleep. */
  onFrame(now: number): void {
    if (this.isUnverified && !this.isSuspect) return;
    this.#lastFrameAt = now;
    this.#startSilence(now);
    this.#verification = VERIFIED;
    this.#suspicion = NOT_SUSPECT;
    if (this.isDelayingCalls) this.endCallDelay(now);
    this.#isProbeAwaited = false;
    if (this.#firstUnheardProbe === undefined) return;
    // A probe without an id is answered by any frame.
    this.#unansweredProbes = this.#unansweredProbes
      .filter(({ id }) => id !== undefined);
    for (const probe of this.#unansweredProbes) probe.isHeard = true;
  }

  /** Records an answer, and returns its probe's number, if it still counts. */
  onProbeAnswered(id: string, now: number): number | undefined {
    const probes = this.#unansweredProbes;
    const index = probes.findIndex((probe) => probe.id === id);
    if (index < 0) return undefined;
    // Earlier probes will not be answered any more.
    const { writeNumber } = probes.splice(0, index + 1).at(-1)!;
    if (this.#answeredProbeCount++ === 0) this.#firstProbeAnsweredAt = now;
    this.#lastAnsweredProbeNumber = writeNumber;
    this.skipVerification();
    this.onFrame(now);
    return writeNumber;
  }

  /** Whether a probe behind a call has been unanswered for a second. */
  hasUnansweredProbeAfter(callNumber: number, now: number): boolean {
    return this.#unansweredProbes.some(({ writeNumber, sentAt }) =>
      writeNumber > callNumber && now - sentAt >= 1_000
    );
  }

  get #firstUnheardProbe(): Probe | undefined {
    return this.#unansweredProbes.find(({ isHeard }) => !isHeard);
  }

  /**
   * Whether a suspect connection is dead, provided that the daemon answers on
   * another one. The evidence: no frame arrived for `--ping-timeout` after a
   * probe, and a probe was answered while the same calls were in flight: those
   * when the suspicion began, for later ones cannot have caused the silence.
   */
  isDead(lastCallNumber: number, now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion.name === "none") return false;
    const lastCall = suspicion.name === "waived"
      ? lastCallNumber
      : suspicion.lastCallNumber;
    const probe = this.#firstUnheardProbe;
    return this.#lastAnsweredProbeNumber > lastCall && probe !== undefined &&
      now - probe.sentAt >= this.config.pingTimeout;
  }

  /**
   * When a connection that carries only abandoned calls seems to be dead: no
   * frame arrived after a probe before all calls. That proves nothing where
   * somebody waits for a call: a daemon that has read both may have started the
   * call first, and answer the probe after it. No probe after an abandoned call
   * was answered, for that ends the call.
   */
  deadAt({ hasOnlyAbandonedCalls }: ConnectionUsage): number {
    if (!hasOnlyAbandonedCalls || this.#answeredProbeCount === 0) {
      return Infinity;
    }
    const probe = this.#unansweredProbes.find(({ isHeard, isWithoutCalls }) =>
      !isHeard && isWithoutCalls
    );
    return (probe?.sentAt ?? Infinity) + this.config.pingTimeout;
  }

  /** A second connection is to show whether the daemon is alive. */
  markSuspect(now: number, lastCallNumber: number): void {
    const { name } = this.#suspicion;
    if (name !== "none") {
      throw new Error(`A connection that is ${name} cannot become suspect`);
    }
    const mayBeDead = this.isDelayingCalls ||
      this.#lastAnsweredProbeNumber > lastCallNumber;
    const noticeAt = now;
    this.#suspicion = { name: "suspect", lastCallNumber, mayBeDead, noticeAt };
  }

  /** The second connection was not answered either: this one is used again. */
  waiveSuspicion(now: number): void {
    if (this.#suspicion.name === "suspect") {
      this.#suspicion = { ...this.#suspicion, name: "waived" };
    }
    this.endCallDelay(now);
    this.skipVerification();
  }

  /** Records that another connection has taken over. */
  onReplaced(now: number): void {
    this.#suspicion = NOT_SUSPECT;
    this.waiveSuspicion(now);
  }

  /** Whether clients get a notice now; schedules the next one. */
  takeDueNotice(now: number): boolean {
    if (now < this.#suspicion.noticeAt) return false;
    const noticeAt = now + SUSPICION_NOTICE_INTERVAL_MS;
    this.#suspicion = { ...this.#suspicion, noticeAt };
    return true;
  }

  /** Restarts the probes' timeouts: the daemon was busy elsewhere. */
  restartProbeTimers(now: number): void {
    if (this.isUnverified) return;
    for (const probe of this.#unansweredProbes) probe.sentAt = now;
  }

  /** Handles a sleep, of which the monotonic clock counted `monotonicGapMs`. */
  onResume(now: number, monotonicGapMs: number): void {
    this.#readySince += monotonicGapMs;
    this.#firstProbeAnsweredAt += monotonicGapMs;
    this.cancelCallDelay();
    if (this.config.pingInterval === Infinity) return;
    this.#lastFrameAt = now;
    this.#startSilence(now);
    this.#unansweredProbes = [];
    this.#isProbeAwaited = false;
    this.#callProbeAt += monotonicGapMs;
    this.#extraProbeAt += monotonicGapMs;
    this.#suspicion = NOT_SUSPECT;
    this.#verification = { name: "unprobed", until: -Infinity };
  }

  /** When something is due. */
  deadline(usage: ConnectionUsage): number {
    return Math.min(
      this.#callDelayUntil ?? Infinity,
      this.#suspicion.noticeAt,
      this.#actionAt(usage),
    );
  }

  #suspectAt({ mayFailOver }: ConnectionUsage): number {
    const { pingInterval, pingTimeout } = this.config;
    return mayFailOver && !this.isSuspect
      ? this.#silentSince + pingInterval + pingTimeout
      : Infinity;
  }

  #actionAt(usage: ConnectionUsage): number {
    const { pingInterval, pingTimeout } = this.config;
    const verification = this.#verification;
    // The second connection decides.
    if (verification.name !== "verified") {
      return this.isSuspect ? Infinity : verification.until;
    }
    if (this.isSuspect && this.isDelayingCalls) return this.#extraProbeAt;
    const probe = this.#firstUnheardProbe;
    switch (usage.load) {
      case "busy-on-other-link":
        return this.#extraProbeAt;
      case "busy":
        if (!usage.mayProbe || pingInterval === Infinity) return Infinity;
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
        return probe === undefined
          ? Math.max(this.#lastFrameAt + pingInterval, graceUntil)
          : Math.max(probe.sentAt, graceUntil) + pingTimeout;
      }
      case "idle":
        return Math.min(
          this.#extraProbeAt,
          probe === undefined
            ? this.#lastFrameAt + pingInterval
            : probe.sentAt + pingTimeout,
        );
    }
  }

  /** Returns what is due now. */
  nextAction(now: number, usage: ConnectionUsage): LivenessAction {
    if (now < this.#actionAt(usage)) return "nothing";
    const { load, mayFailOver } = usage;
    switch (this.#verification.name) {
      case "unprobed":
        return "probe";
      case "probed":
      case "deferred":
        if (load !== "busy") return "disconnect";
        return mayFailOver ? "suspect" : "skip-verification";
      case "verified":
        if (load === "busy") {
          return now >= this.#suspectAt(usage) ? "suspect" : "probe";
        }
        if (now >= this.#extraProbeAt) return "probe";
        if (this.#firstUnheardProbe === undefined) return "probe";
        return mayFailOver && this.isDelayingCalls ? "suspect" : "disconnect";
    }
  }
}
