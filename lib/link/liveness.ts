/**
 * Decides when one ready connection is probed, and whether it is still alive.
 *
 * A probe is a message that every live daemon answers. Any frame from the
 * daemon shows that the connection is alive: it ends the silence, and clears a
 * suspicion. What silence means depends on what the connection carries:
 *
 * - Without a call, an unanswered probe means that the connection is dead.
 * - With a call, it proves nothing, because many daemons do one thing at a
 *   time. The connection becomes suspect, and no new messages are written on
 *   it. A second connection then shows whether the daemon is busy, or the
 *   connection is dead.
 * - After a sleep the connection is unverified: a frame that is read now may
 *   have arrived before the sleep. Only the answer to a new probe counts,
 *   unless the connection is also suspect: then any frame counts.
 *
 * Three state machines run side by side. An event may have a row in several:
 *
 * | machine      | state                   | event                                                        | next        |
 * | ------------ | ----------------------- | ------------------------------------------------------------ | ----------- |
 * | verification | any                     | `onResume`: a sleep, if probes are enabled                   | `unprobed`  |
 * |              | `unprobed`, `deferred`  | `onProbeSent`                                                | `probed`    |
 * |              | any but `verified`      | `deferProbe`: no probe can be sent now                       | `deferred`  |
 * |              | any but `verified`      | `onProbeAnswered`; `endVerification`; `waiveSuspicion`; `onReplaced`; `onFrame`, if it is suspect | `verified` |
 * | suspicion    | `none`                  | `markSuspect`: silence while calls are in flight or delayed  | `suspect`   |
 * |              | `suspect`               | `waiveSuspicion`: the second connection shows nothing        | `waived`    |
 * |              | `suspect`, `waived`     | `onFrame`; `onResume`; `onReplaced`                          | `none`      |
 * | call delay   | `undefined`             | `delayCall`: a call must wait for the answer to a probe      | a time      |
 * |              | a time                  | this time is reached; `onFrame`; `onResume`; `endCallDelay`; `cancelCallDelay`; `waiveSuspicion`; `onReplaced` | `undefined` |
 *
 * `deferProbe` throws if the connection is verified, and `markSuspect` throws
 * if it is suspect or waived. Other events without a row change nothing.
 *
 * This table shows what is due, and when:
 *
 * | the connection                        | when                                    | what is due                        |
 * | ------------------------------------- | --------------------------------------- | ---------------------------------- |
 * | carries no call                       | after `--ping-interval` of silence      | a probe                            |
 * | carries no call, was probed           | `--ping-timeout` after the probe, without a frame | disconnect; but suspicion, if a call waits for that probe and a second connection may be opened |
 * | gets a call, carries none             | at once, but at most once a second      | a probe; the call may wait for it  |
 * | carries calls                         | 250 ms after the first of them          | a probe                            |
 * | carries calls                         | after each `--ping-interval` of silence | a probe                            |
 * | carries calls                         | after `--ping-interval` plus `--ping-timeout` of silence | suspicion, if a second connection may be opened |
 * | carries only abandoned calls          | at `deadAt`                             | disconnect                         |
 * | carries requests of the proxy itself  | as with no call, but only once it has been ready for 60 s | a probe, then disconnect |
 * | is a pool link with a call; or has no call, but another link has, and there is a pool | never | nothing              |
 * | `unprobed`                            | at once                                 | a probe                            |
 * | `probed`, `deferred`, carries no call | after 1 s without an answer             | disconnect                         |
 * | `probed`, `deferred`, carries a call  | after 1 s without an answer; never, if `deferred` on a pool link | suspicion; if no second connection may be opened, the verification is skipped |
 *
 * @module
 */

/** The limits of silence, in milliseconds. */
export interface LivenessConfig {
  /** The silence after which a probe is due; `Infinity` disables probes. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/** What a connection carries, and what may be done about its silence. */
export interface ConnectionUsage {
  /** What may keep the daemon from answering on the connection. */
  readonly load:
    | "idle"
    | "own-requests" // only requests of the proxy itself are in flight
    | "busy-on-other-link" // the daemon may work on a call, but only on that link
    | "busy"; // the daemon may be working on a call on this connection
  /** True if probes may be sent while the connection carries a call. */
  readonly mayProbe: boolean;
  /** True if a second connection may be opened to test the daemon. */
  readonly mayFailOver: boolean;
  /** True if it carries calls, and all of them were cancelled or timed out. */
  readonly hasOnlyAbandonedCalls: boolean;
}

/** What to do about a connection now. */
export type LivenessAction =
  | "nothing"
  | "probe"
  | "suspect"
  | "skip-verification"
  | "disconnect";

/** How long a new daemon may leave the proxy's own requests unanswered. */
const OWN_REQUESTS_GRACE_MS = 60_000;
const CALL_PROBE_DELAY_MS = 250;
const PRE_CALL_PROBE_INTERVAL_MS = 1_000;
/** For this long after a handshake, calls do not wait for a probe. */
const JUST_READY_MS = 100;
/** How long a call waits for a probe if no second connection may be opened. */
export const MAX_CALL_DELAY_MS = 250;
/** The longest timeout after a sleep, of a probe or of a dial. */
export const AFTER_SLEEP_TIMEOUT_MS = 1_000;
const SUSPICION_NOTICE_INTERVAL_MS = 5_000;
/** How many unanswered probes of a connection are remembered. */
export const MAX_UNANSWERED_PROBES = 64;

/** `until` is when a probe is due, or must have been sent or answered. */
type Verification =
  | { readonly name: "verified" }
  | {
    readonly name: "unprobed" | "probed" | "deferred";
    readonly until: number;
  };

const VERIFIED: Verification = { name: "verified" };

/** `noticeAt` is when the client gets the next notice about the silence. */
type Suspicion =
  | { readonly name: "none"; readonly noticeAt: number }
  | {
    readonly name: "suspect" | "waived";
    readonly noticeAt: number;
    /** The write number of the last call in flight when the suspicion began. */
    readonly lastCallWriteNumber: number;
    readonly canBeProvedDead: boolean;
  };

const NOT_SUSPECT: Suspicion = { name: "none", noticeAt: Infinity };

interface Probe {
  /** `undefined` if any frame serves as the answer. */
  readonly id: string | undefined;
  readonly writeNumber: number;
  sentAt: number;
  /** True if no call was in flight when the probe was sent. */
  readonly wasSentWithoutCalls: boolean;
  /** True once any frame has arrived after the probe. */
  hasFrameSince?: boolean;
}

/** The liveness of one ready connection. */
export class Liveness {
  #verification: Verification = VERIFIED;
  #suspicion: Suspicion = NOT_SUSPECT;
  #callDelayUntil: number | undefined;
  #readySince: number;
  #lastFrameAt: number;
  /** When the current silence began; the first call restarts it. */
  #silentSince = 0;
  #silenceProbeAt = 0;
  #callProbeAt = Infinity;
  #extraProbeAt = Infinity;
  /** When a probe was last sent before a call, or was found unnecessary. */
  #lastPreCallProbeAt = -Infinity;
  #lastWriteNumber = 0;
  #unansweredProbes: Probe[] = [];
  #isAwaitingFrame = false;
  #answeredProbeCount = 0;
  #lastAnsweredProbeNumber = 0;
  #firstProbeAnsweredAt = Infinity;

  /** Starts at the moment when a frame has completed the handshake. */
  constructor(private readonly config: LivenessConfig, now: number) {
    this.#readySince = this.#lastFrameAt = now;
    this.#startSilence(now);
  }

  #startSilence(now: number): void {
    this.#silentSince = now;
    this.#silenceProbeAt = now + this.config.pingInterval;
  }

  /** The number of probes that were answered. */
  get answeredProbeCount(): number {
    return this.#answeredProbeCount;
  }

  /** The write number of the latest answered probe; 0 if there is none. */
  get lastAnsweredProbeNumber(): number {
    return this.#lastAnsweredProbeNumber;
  }

  /** True if the connection is suspect, or its suspicion is waived. */
  get isUnderSuspicion(): boolean {
    return this.#suspicion.name !== "none";
  }

  /** True if the suspicion may end with proof that the connection is dead. */
  get canBeProvedDead(): boolean {
    return this.#suspicion.name !== "none" && this.#suspicion.canBeProvedDead;
  }

  /** True from a sleep until the connection is verified. */
  get isUnverified(): boolean {
    return this.#verification.name !== "verified";
  }

  /** True if a probe must be sent as soon as the connection can take it. */
  get isProbeDeferred(): boolean {
    return this.#verification.name === "deferred";
  }

  /** True if messages may be written: verified, and not suspect. */
  get isUsable(): boolean {
    return !this.isUnverified && this.#suspicion.name !== "suspect";
  }

  /** True if it is verified and not suspect, and no call waits for a probe. */
  get isCalm(): boolean {
    return !this.isUnverified && !this.isUnderSuspicion &&
      !this.areCallsWaiting;
  }

  /** True while a call waits for the answer to the probe before it. */
  get areCallsWaiting(): boolean {
    return this.#callDelayUntil !== undefined;
  }

  /** Returns true if the first answer is at least `--ping-timeout` old. */
  hasAnsweredForPingTimeout(now: number): boolean {
    return now >= this.#firstProbeAnsweredAt + this.config.pingTimeout;
  }

  /** Returns the next write number: messages are numbered from 1. */
  assignWriteNumber(): number {
    return ++this.#lastWriteNumber;
  }

  /** Records that a call was written while no other was in flight. */
  onFirstCallSent(now: number): void {
    this.#startSilence(now);
    this.#callProbeAt = now + CALL_PROBE_DELAY_MS;
  }

  /** Given that no call is in flight: true if a probe must precede the next. */
  needsPreCallProbe(now: number): boolean {
    return this.config.pingInterval < Infinity &&
      now >= this.#lastPreCallProbeAt + PRE_CALL_PROBE_INTERVAL_MS;
  }

  /** Records that a probe is sent before a call. */
  onPreCallProbe(now: number): void {
    this.#lastPreCallProbeAt = now;
  }

  /** Returns true if calls must wait: no frame has followed the last probe. */
  mustCallsWait(now: number): boolean {
    return this.#isAwaitingFrame && now >= this.#readySince + JUST_READY_MS;
  }

  /** Delays calls until the next frame, but for `ms` at most. */
  delayCall(now: number, ms: number): void {
    this.#callDelayUntil ??= now + ms;
  }

  /** Ends the delay without a result: the next call may have to wait again. */
  cancelCallDelay(): void {
    this.#callDelayUntil = undefined;
  }

  /** Ends the delay if its time is over. */
  endCallDelayIfDue(now: number): void {
    if (now >= (this.#callDelayUntil ?? Infinity)) this.endCallDelay(now);
  }

  /** Ends the delay. For a second, calls need no further probe. */
  endCallDelay(now: number): void {
    this.#callDelayUntil = undefined;
    this.#lastPreCallProbeAt = now;
    this.#isAwaitingFrame = false;
  }

  /** Schedules an extra probe, which frames that arrive first do not cancel. */
  scheduleProbe(at: number): void {
    this.#extraProbeAt = at;
  }

  /** Records a sent probe; without an `id`, any frame serves as its answer. */
  onProbeSent(
    id: string | undefined,
    now: number,
    {
      wasSentWithoutCalls = false,
      writeNumber = this.#lastWriteNumber + 1,
    } = {},
  ): void {
    const probes = this.#unansweredProbes;
    probes.push({ id, writeNumber, sentAt: now, wasSentWithoutCalls });
    if (probes.length > MAX_UNANSWERED_PROBES) probes.shift();
    this.#isAwaitingFrame = true;
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

  /**
   * Defers the probe until the connection can take it. Without a call on the
   * connection, the probe must be sent before its timeout is over.
   */
  deferProbe(now: number, carries: "call" | "no-call"): void {
    if (this.#verification.name === "verified") {
      throw new Error("A connection that is verified cannot defer its probe");
    }
    const until = carries === "call" ? Infinity : this.#verifyUntil(now);
    this.#verification = { name: "deferred", until };
  }

  /** Makes the connection usable, even if no answer has verified it. */
  endVerification(): void {
    this.#verification = VERIFIED;
  }

  /**
   * Records a frame. After a sleep, a frame proves nothing, because it may have
   * arrived before the sleep. So an unverified connection ignores frames,
   * unless the connection is also suspect.
   */
  onFrame(now: number): void {
    if (this.isUnverified && !this.isUnderSuspicion) return;
    this.#lastFrameAt = now;
    this.#startSilence(now);
    this.#verification = VERIFIED;
    this.#suspicion = NOT_SUSPECT;
    if (this.areCallsWaiting) this.endCallDelay(now);
    this.#isAwaitingFrame = false;
    if (this.#firstProbeWithoutFrame === undefined) return;
    // Any frame answers a probe without an id.
    this.#unansweredProbes = this.#unansweredProbes
      .filter(({ id }) => id !== undefined);
    for (const probe of this.#unansweredProbes) probe.hasFrameSince = true;
  }

  /** Records an answer; returns its pending probe's write number, if any. */
  onProbeAnswered(id: string, now: number): number | undefined {
    const probes = this.#unansweredProbes;
    const index = probes.findIndex((probe) => probe.id === id);
    if (index < 0) return undefined;
    // Earlier probes no longer count, because nothing will answer them.
    const { writeNumber } = probes.splice(0, index + 1).at(-1)!;
    if (this.#answeredProbeCount++ === 0) this.#firstProbeAnsweredAt = now;
    this.#lastAnsweredProbeNumber = writeNumber;
    this.endVerification();
    this.onFrame(now);
    return writeNumber;
  }

  /** Returns true if a probe after this call is unanswered for 1 s or more. */
  hasUnansweredProbeAfter(callNumber: number, now: number): boolean {
    if (this.#unansweredProbes.length === 0) return false;
    return this.#unansweredProbes.some(({ writeNumber, sentAt }) =>
      writeNumber > callNumber && now - sentAt >= 1_000
    );
  }

  get #firstProbeWithoutFrame(): Probe | undefined {
    if (this.#unansweredProbes.length === 0) return undefined;
    return this.#unansweredProbes.find(({ hasFrameSince }) => !hasFrameSince);
  }

  /**
   * Returns true if a suspect connection is dead, provided that the daemon
   * answers on another one. The evidence has two parts. First, the daemon has
   * answered a probe that followed the last call, so the calls do not keep it
   * from answering. Second, no frame has followed a later probe for
   * `--ping-timeout`. Here, the last call is the last one in flight when the
   * suspicion began, because later ones cannot have caused the silence. Once
   * the suspicion is waived, calls are written again, so the last call is the
   * one with the write number in the parameter `lastCallWriteNumber`.
   */
  isDead(lastCallWriteNumber: number, now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion.name === "none") return false;
    const lastCall = suspicion.name === "waived"
      ? lastCallWriteNumber
      : suspicion.lastCallWriteNumber;
    const probe = this.#firstProbeWithoutFrame;
    return this.#lastAnsweredProbeNumber > lastCall && probe !== undefined &&
      now - probe.sentAt >= this.config.pingTimeout;
  }

  /**
   * Returns when a connection that carries only abandoned calls counts as
   * dead: `--ping-timeout` after a probe that was sent before the calls, if no
   * frame has followed. That is too weak a proof while the client waits for a
   * call: the daemon may answer the probe after the call. `isDead` cannot prove
   * it here, because it needs an answered probe after the last call, and such
   * an answer ends the abandoned calls.
   */
  deadAt({ hasOnlyAbandonedCalls }: ConnectionUsage): number {
    if (!hasOnlyAbandonedCalls || this.#answeredProbeCount === 0) {
      return Infinity;
    }
    const probe = this.#unansweredProbes.find((
      { hasFrameSince, wasSentWithoutCalls },
    ) => !hasFrameSince && wasSentWithoutCalls);
    return (probe?.sentAt ?? Infinity) + this.config.pingTimeout;
  }

  /** Begins a suspicion: a second connection will test the daemon. */
  markSuspect(now: number, lastCallWriteNumber: number): void {
    const { name } = this.#suspicion;
    if (name !== "none") {
      throw new Error(`A connection that is ${name} cannot become suspect`);
    }
    const canBeProvedDead = this.areCallsWaiting ||
      this.#lastAnsweredProbeNumber > lastCallWriteNumber;
    const noticeAt = now;
    this.#suspicion = {
      name: "suspect",
      lastCallWriteNumber,
      canBeProvedDead,
      noticeAt,
    };
  }

  /** Allows messages again: the second connection has proved nothing. */
  waiveSuspicion(now: number): void {
    if (this.#suspicion.name === "suspect") {
      this.#suspicion = { ...this.#suspicion, name: "waived" };
    }
    this.endCallDelay(now);
    this.endVerification();
  }

  /** Ends the suspicion, because another connection has replaced this one. */
  onReplaced(now: number): void {
    this.#suspicion = NOT_SUSPECT;
    this.waiveSuspicion(now);
  }

  /** Returns true if a notice about the silence is due; schedules the next. */
  takeDueNotice(now: number): boolean {
    if (now < this.#suspicion.noticeAt) return false;
    const noticeAt = now + SUSPICION_NOTICE_INTERVAL_MS;
    this.#suspicion = { ...this.#suspicion, noticeAt };
    return true;
  }

  /** Restarts the timeouts of the probes: the daemon was busy elsewhere. */
  restartProbeTimers(now: number): void {
    if (this.isUnverified) return;
    for (const probe of this.#unansweredProbes) probe.sentAt = now;
  }

  /** Handles a sleep; `now` counts `monotonicGapMs` milliseconds of it. */
  onResume(now: number, monotonicGapMs: number): void {
    this.#readySince += monotonicGapMs;
    this.#firstProbeAnsweredAt += monotonicGapMs;
    this.cancelCallDelay();
    if (this.config.pingInterval === Infinity) return;
    this.#lastFrameAt = now;
    this.#startSilence(now);
    this.#unansweredProbes = [];
    this.#isAwaitingFrame = false;
    this.#callProbeAt += monotonicGapMs;
    this.#extraProbeAt += monotonicGapMs;
    this.#suspicion = NOT_SUSPECT;
    this.#verification = { name: "unprobed", until: -Infinity };
  }

  /** Returns when something is due; `Infinity` for never. */
  deadline(usage: ConnectionUsage): number {
    return Math.min(
      this.#callDelayUntil ?? Infinity,
      this.#suspicion.noticeAt,
      this.#actionAt(usage),
    );
  }

  #suspectAt({ mayFailOver }: ConnectionUsage): number {
    const { pingInterval, pingTimeout } = this.config;
    return mayFailOver && !this.isUnderSuspicion
      ? this.#silentSince + pingInterval + pingTimeout
      : Infinity;
  }

  #actionAt(usage: ConnectionUsage): number {
    const { pingInterval, pingTimeout } = this.config;
    const verification = this.#verification;
    // Under suspicion, the second connection decides what happens to this one.
    if (verification.name !== "verified") {
      return this.isUnderSuspicion ? Infinity : verification.until;
    }
    if (this.isUnderSuspicion && this.areCallsWaiting) {
      return this.#extraProbeAt;
    }
    const probe = this.#firstProbeWithoutFrame;
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
        // There is no grace while a call waits and a second connection can show
        // whether the daemon is only slow.
        const graceUntil = this.areCallsWaiting && usage.mayFailOver
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

  /** Returns what to do at `now`. */
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
        if (this.#firstProbeWithoutFrame === undefined) return "probe";
        return mayFailOver && this.areCallsWaiting ? "suspect" : "disconnect";
    }
  }
}
