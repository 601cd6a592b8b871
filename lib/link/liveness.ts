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
export interface LivenessLimits {
  /** Silence after which a connection is probed; `Infinity` switches probes off. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/**
 * What a connection is busy with: `busy`, the daemon may be working on a call
 * of the client's there; `elsewhere`, on another connection, and the daemon may
 * do one thing at a time; `restoring`, the proxy itself has asked for something.
 */
export type Load = "idle" | "restoring" | "elsewhere" | "busy";

/** What a connection is busy with, and what may be done about its silence. */
export interface Work {
  /** What it is busy with. */
  readonly load: Load;
  /** It can be probed while it carries a call. */
  readonly mayProbe: boolean;
  /** A second connection may be opened to show whether the daemon lives. */
  readonly mayFailOver: boolean;
}

/** What is due on a connection. */
export type LivenessAction =
  | ("nothing" | "probe" | "suspect")
  | ("trust" | "give up");

/** How long a new daemon may be silent about what the proxy itself has asked it, in milliseconds. */
const RESTORE_MS = 60_000;
/** How long after a call that found none in flight a probe goes out, in milliseconds. */
const DURING_MS = 250;
/** The shortest time between two probes before calls, in milliseconds. */
const PROVEN_MS = 1_000;
/** How long after a connection has become ready no call waits for a probe, in milliseconds: it has just answered. */
const FRESH_MS = 100;
/** How long a call waits for the answer to the probe before it at most, where no second connection may be opened, in milliseconds. */
export const DELAY_MS = 250;
/** How long a connection that slept may take to answer a probe at most, in milliseconds. */
export const RESUME_MS = 1_000;
/** The time between two notices to a client whose connection is under suspicion, in milliseconds. */
const NOTICE_MS = 5_000;
/** How many unanswered probes of a connection are remembered. */
export const PROBE_LIMIT = 64;

/** A probe that is not answered. */
interface Probe {
  /** Its id; `undefined` where none was written, because the answer to an earlier frame shows the same. */
  readonly id: string | undefined;
  /** Its place in the order of what was written. */
  readonly number: number;
  /** When it was written. */
  at: number;
  /** It was written while no call was in flight. */
  readonly isAlone: boolean;
  /** Calls need not wait for the answer any more. */
  isPassed: boolean;
}

/** The connection is silent although it carries calls, or one waits for a probe, and a second one is to show whether the daemon lives. */
interface Suspicion {
  /** The place of the last call that was in flight when the suspicion began. */
  readonly lastCall: number;
  /** There may be evidence soon that the connection is dead. */
  readonly mayBeDead: boolean;
  /** The second connection was not answered either, so that the daemon is busy or frozen. */
  isWaived: boolean;
  /** When clients are told next. */
  noticeAt: number;
}

/** The signs of life on one ready connection. */
export class Liveness {
  readonly #limits: LivenessLimits;
  #since: number;
  #heardAt: number;
  /** How much was written when the daemon was heard last. */
  #heardTo = 0;
  #written = 0;
  /** The latest probe that was answered. */
  #overtakenTo = 0;
  #answers = 0;
  /** When the first of them came. */
  #answeredAt = Infinity;
  #probes: Probe[] = [];
  /** When a probe is due because calls are in flight. */
  #duringAt = Infinity;
  /** When a further probe is due, whatever is heard until then. */
  #probeAt = Infinity;
  /** When the next probe is due in silence, while calls are in flight. */
  #silentAt: number;
  /** Since when it has been silent while calls are in flight. */
  #silentSince: number;
  /** When it was probed before a call, or calls needed no such probe, last. */
  #provenAt = -Infinity;
  /** Until when a call waits for the answer to the probe before it at most; `undefined` where none does. */
  #delayUntil: number | undefined;
  #isStale = false;
  /** When a connection that slept must have answered; `undefined` as long as no probe is out. */
  #staleUntil: number | undefined;
  #isDeferred = false;
  #suspicion: Suspicion | undefined;

  /** A connection on which the daemon has just spoken. */
  constructor(limits: LivenessLimits, now: number) {
    this.#limits = limits;
    this.#since = now;
    this.#heardAt = now;
    this.#silentSince = now;
    this.#silentAt = now + limits.pingInterval;
  }

  /** How many probes were answered. */
  get answers(): number {
    return this.#answers;
  }

  /** Whether the first answer to a probe came `--ping-timeout` ago; asked when another one comes. */
  hasAnsweredFor(now: number): boolean {
    return now >= this.#answeredAt + this.#limits.pingTimeout;
  }

  /** The place of the latest probe that was answered: it overtook every call before it that is still in flight. */
  get overtakenTo(): number {
    return this.#overtakenTo;
  }

  /** Whether a second connection is to show whether the daemon lives. */
  get isSuspect(): boolean {
    return this.#suspicion !== undefined;
  }

  /** Whether it slept with the program, and has not shown since that it lives. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** Whether it is to be probed as soon as it is free. */
  get isDeferred(): boolean {
    return this.#isDeferred;
  }

  /** Whether there may be evidence soon that it is dead. */
  get mayBeDead(): boolean {
    return this.#suspicion?.mayBeDead ?? false;
  }

  /** Whether messages may be written: it has not just slept, and is not under suspicion. */
  get isUsable(): boolean {
    return !this.#isStale && (this.#suspicion?.isWaived ?? true);
  }

  /** Something is written; gives its place in the order of what was written. */
  wrote(): number {
    return ++this.#written;
  }

  /** A call was written where none was in flight. */
  called(now: number): void {
    this.#silentSince = now;
    this.#silentAt = now + this.#limits.pingInterval;
    this.#duringAt = now + DURING_MS;
  }

  /** Whether a probe is to go out before a call that finds none in flight. */
  needsProbe(now: number): boolean {
    return this.#limits.pingInterval < Infinity &&
      now >= this.#provenAt + PROVEN_MS;
  }

  /** A probe goes out before a call. */
  probesBefore(now: number): void {
    this.#provenAt = now;
  }

  /** Whether nothing was heard since a probe that calls wait for. */
  isProbed(now: number): boolean {
    return now >= this.#since + FRESH_MS &&
      this.#probes.some(({ number, isPassed }) =>
        number > this.#heardTo && !isPassed
      );
  }

  /** A call waits for so many milliseconds at most for the answer to the probe before it. */
  delayCall(now: number, ms: number): void {
    this.#delayUntil ??= now + ms;
  }

  /** The call that waited is gone. */
  forgetDelay(): void {
    this.#delayUntil = undefined;
  }

  /** Whether a call waits for the answer to the probe before it. */
  get isDelaying(): boolean {
    return this.#delayUntil !== undefined;
  }

  /** The call waits no longer, if its time has passed. */
  endDelayWhenDue(now: number): void {
    if (this.#delayUntil !== undefined && now >= this.#delayUntil) {
      this.endDelay(now);
    }
  }

  /** Calls wait no longer, and need no other probe for a while. */
  endDelay(now: number): void {
    this.#delayUntil = undefined;
    this.#provenAt = now;
    for (const probe of this.#probes) probe.isPassed = true;
  }

  /** A further probe is due at a moment, whatever the daemon says until then. */
  probeAt(at: number): void {
    this.#probeAt = at;
  }

  /**
   * A probe went out.
   *
   * @param id `undefined` where none was written, because the answer to an earlier frame shows the same
   * @param number its place; by default the next one
   */
  probed(
    id: string | undefined,
    now: number,
    { isAlone = false, number = this.#written + 1 } = {},
  ): void {
    const { pingInterval, pingTimeout } = this.#limits;
    this.#probes.push({ id, number, at: now, isAlone, isPassed: false });
    if (this.#probes.length > PROBE_LIMIT) this.#probes.shift();
    if (now >= this.#duringAt) this.#duringAt = Infinity;
    if (now >= this.#probeAt) this.#probeAt = Infinity;
    if (now >= this.#silentAt) this.#silentAt = now + pingInterval;
    if (!this.#isStale) return;
    // One that could not go out has had no time yet.
    if (this.#isDeferred) this.#staleUntil = undefined;
    this.#isDeferred = false;
    this.#staleUntil ??= now + Math.min(RESUME_MS, pingTimeout);
  }

  /** It slept, and is not free to be probed; it must be before long, unless it carries a call that may take its time. */
  deferred(now: number, carries: "a call" | "less"): void {
    this.#isDeferred = true;
    const ms = Math.min(RESUME_MS, this.#limits.pingTimeout);
    this.#staleUntil = carries === "a call" ? Infinity : now + ms;
  }

  /** Any frame is proof of life, but for what may have lain in the buffer of a connection while it slept. */
  heard(now: number): void {
    if (this.#isStale && this.#suspicion === undefined) return;
    this.#alive(now);
  }

  #alive(now: number): void {
    this.#heardAt = this.#silentSince = now;
    this.#silentAt = now + this.#limits.pingInterval;
    this.#heardTo = this.#written;
    this.#suspicion = undefined;
    if (this.isDelaying) this.endDelay(now);
    this.#isStale = this.#isDeferred = false;
    this.#staleUntil = undefined;
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
  ponged(id: string, now: number): number | undefined {
    const probe = this.#probes.find((probe) => probe.id === id);
    if (probe === undefined) return undefined;
    const { number } = probe;
    // Those before it are not answered any more.
    this.#probes = this.#probes.filter((it) => it.number > number);
    if (this.#answers++ === 0) this.#answeredAt = now;
    this.#overtakenTo = Math.max(this.#overtakenTo, number);
    this.#alive(now);
    return number;
  }

  /** Whether a probe that went out after a call was written has been unanswered for a second. */
  isUnanswered(call: number, now: number): boolean {
    return this.#probes.some(({ number, at }) =>
      number > call && now - at >= 1_000
    );
  }

  /**
   * Whether the connection is dead, if the daemon answers on another one:
   * nothing was heard for `--ping-timeout` after a probe during calls that this
   * connection has answered a probe during.
   *
   * @param lastCall the place of the last call that is in flight
   */
  #hasEvidence(lastCall: number, now: number): boolean {
    return this.#overtakenTo > lastCall && this.#isUnheard(now, () => true);
  }

  /** The same of a connection under suspicion, by the calls that were in flight when it began: later ones cannot have caused the silence. */
  isDead(lastCall: number, now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion === undefined) return false;
    const { isWaived } = suspicion;
    return this.#hasEvidence(isWaived ? lastCall : suspicion.lastCall, now);
  }

  /**
   * Whether the connection seems to be dead: the same, or nothing was heard
   * after a probe that was written before all calls. That proves nothing where
   * a call was written behind it: a daemon that has read both may have begun
   * with the call, and write its answer to the probe after it.
   */
  seemsDead(lastCall: number, now: number): boolean {
    return this.#hasEvidence(lastCall, now) ||
      this.#answers > 0 && this.#isUnheard(now, ({ isAlone }) => isAlone);
  }

  #isUnheard(now: number, test: (probe: Probe) => boolean): boolean {
    return this.#probes.some((probe) =>
      probe.number > this.#heardTo &&
      now - probe.at >= this.#limits.pingTimeout && test(probe)
    );
  }

  /** A second connection is to show whether the daemon lives. */
  suspect(now: number, lastCall: number): void {
    const mayBeDead = this.isDelaying || this.#overtakenTo > lastCall;
    this.#suspicion = { lastCall, mayBeDead, isWaived: false, noticeAt: now };
  }

  /** Another connection has taken over. */
  replaced(now: number): void {
    this.#suspicion = undefined;
    this.endDelay(now);
    this.trust();
  }

  /** The second connection was not answered either, so that messages may be written here. */
  writeAnyway(now: number): void {
    if (this.#suspicion !== undefined) this.#suspicion.isWaived = true;
    this.endDelay(now);
    this.trust();
  }

  /** It need not show that it lives: what it carries is worth the wait. */
  trust(): void {
    this.#isStale = this.#isDeferred = false;
    this.#staleUntil = undefined;
  }

  /** Whether clients are to be told now that their connection is under suspicion; they will be told again later. */
  notices(now: number): boolean {
    const suspicion = this.#suspicion;
    if (suspicion === undefined || now < suspicion.noticeAt) return false;
    suspicion.noticeAt = now + NOTICE_MS;
    return true;
  }

  /** Where calls have connections of their own, the daemon may do one thing at a time: it spoke on another one, so that a probe has its whole time again. */
  restartProbes(now: number): void {
    if (this.#isStale) return;
    for (const probe of this.#probes) probe.at = now;
  }

  /** The program slept, and our clock counted so many milliseconds of that: the connection must show at once that it lives. */
  resumed(now: number, ms: number): void {
    const { pingInterval } = this.#limits;
    this.#since += ms;
    this.#answeredAt += ms;
    this.forgetDelay();
    if (pingInterval === Infinity) return;
    this.#heardAt = this.#silentSince = now;
    this.#silentAt = now + pingInterval;
    this.#heardTo = this.#written;
    this.#probes = [];
    this.#duringAt += ms;
    this.#probeAt += ms;
    this.#suspicion = undefined;
    this.#isStale = true;
    this.#staleUntil = undefined;
    this.#isDeferred = false;
  }

  /** When something is due. */
  deadline(work: Work): number {
    const notice = this.#suspicion?.noticeAt ?? Infinity;
    return Math.min(this.#delayUntil ?? Infinity, notice, this.#actsAt(work));
  }

  /** When it has been silent for too long with calls in flight. */
  #suspectAt({ mayFailOver }: Work): number {
    const { pingInterval, pingTimeout } = this.#limits;
    return mayFailOver && this.#suspicion === undefined
      ? this.#silentSince + pingInterval + pingTimeout
      : Infinity;
  }

  /** The first probe that nothing was heard since. */
  get #unanswered(): Probe | undefined {
    return this.#probes.find(({ number }) => number > this.#heardTo);
  }

  #actsAt(work: Work): number {
    const { load, mayProbe } = work;
    const { pingInterval, pingTimeout } = this.#limits;
    if (this.#isStale) {
      if (this.#suspicion !== undefined) return Infinity;
      return this.#staleUntil ?? -Infinity;
    }
    // The standby will show it.
    if (this.isSuspect && this.isDelaying) return this.#probeAt;
    const unanswered = this.#unanswered;
    switch (load) {
      case "elsewhere":
        return this.#probeAt;
      case "busy":
        if (!mayProbe || pingInterval === Infinity) return Infinity;
        return Math.min(
          this.#duringAt,
          this.#silentAt,
          this.#suspectAt(work),
        );
      case "restoring": {
        // A second connection will show whether it is the daemon that is slow.
        const patientUntil = this.isDelaying && work.mayFailOver
          ? -Infinity
          : this.#since + RESTORE_MS;
        return unanswered === undefined
          ? Math.max(this.#heardAt + pingInterval, patientUntil)
          : Math.max(unanswered.at, patientUntil) + pingTimeout;
      }
      case "idle":
        return Math.min(
          this.#probeAt,
          unanswered === undefined
            ? this.#heardAt + pingInterval
            : unanswered.at + pingTimeout,
        );
    }
  }

  /** What is due now. */
  action(now: number, work: Work): LivenessAction {
    if (now < this.#actsAt(work)) return "nothing";
    const { load, mayFailOver } = work;
    if (this.#isStale) {
      if (this.#staleUntil === undefined) return "probe";
      if (load !== "busy") return "give up";
      return mayFailOver ? "suspect" : "trust";
    }
    if (load === "busy") {
      return now >= this.#suspectAt(work) ? "suspect" : "probe";
    }
    if (now >= this.#probeAt) return "probe";
    if (this.#unanswered === undefined) return "probe";
    return mayFailOver && this.isDelaying ? "suspect" : "give up";
  }
}
