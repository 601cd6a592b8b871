/**
 * Does the daemon at the other end of a ready connection live: silence, probes,
 * doubt.
 *
 * @module
 */

/** What silence may take, in milliseconds. */
export interface PulseLimits {
  /** Silence after which a connection is probed; `Infinity` switches probes off. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/**
 * What a connection is busy with: `busy`, the client is owed an answer on it;
 * `elsewhere`, on another one, and the daemon may do one thing at a time;
 * `restoring`, the proxy itself has asked for something.
 */
export type Load = "idle" | "restoring" | "elsewhere" | "busy";

/** How long a new daemon may be silent about what the proxy itself has asked it. */
export const RESTORE_MS = 60_000;
/** How long after the first call on a connection it is tried whether the daemon answers a probe meanwhile. */
export const TRIAL_MS = 250;
/** How long a connection that has slept with us may take to answer a probe, at most. */
export const RESUME_MS = 1_000;
/** How long a connection may go on being silent once another one is not: a daemon that has been busy may turn to that one first. */
export const VERDICT_MS = 1_000;

/** The signs of life on one connection. */
export class Pulse {
  readonly #limits: PulseLimits;
  #since: number;
  #heardAt: number;
  /** When the last probe went out. */
  #probedAt = -Infinity;
  /** When it must have been answered; `undefined` where none is out. */
  #probeUntil: number | undefined;
  /** When it is to be tried whether the daemon answers while a call runs. */
  #trialAt: number | undefined;
  #hasTried = false;
  /** The probe that is out went out to try that. */
  #isTrial = false;
  #isConcurrent = false;
  #isDoubted = false;
  /** When the verdict falls; `undefined` as long as no other connection spoke. */
  #accusedUntil: number | undefined;
  #isStale = false;
  #isOwed = false;

  /** A connection on which the daemon has just spoken. */
  constructor(limits: PulseLimits, now: number) {
    this.#limits = limits;
    this.#since = now;
    this.#heardAt = now;
  }

  /** Whether the daemon has answered a probe here while an earlier call ran. */
  get isConcurrent(): boolean {
    return this.#isConcurrent;
  }

  /** Whether a second opinion was asked for since the daemon was heard last. */
  get isDoubted(): boolean {
    return this.#isDoubted;
  }

  /** Whether it has slept with us, and has not shown yet that it lives. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** Whether it is to be probed as soon as it is free. */
  get isOwed(): boolean {
    return this.#isOwed;
  }

  /** When the last probe went out. */
  get probedAt(): number {
    return this.#probedAt;
  }

  /** When silence must have an end, or a consequence; `mayDoubt` says whether a busy connection can be doubted at all. */
  deadline(load: Load, mayDoubt: boolean): number {
    const { pingInterval, pingTimeout } = this.#limits;
    const silent = this.#heardAt + pingInterval;
    if (load === "busy" && this.#isDoubted) {
      return this.#accusedUntil ?? Infinity;
    }
    // Nothing is written to a stale connection, so that is decided whatever it does.
    if (this.#isStale) return this.#probeUntil ?? this.#heardAt;
    const patient = this.#probeUntil !== undefined && this.#isTrial
      ? Math.max(this.#probeUntil, silent + pingTimeout)
      : this.#probeUntil;
    switch (load) {
      case "elsewhere":
        return Infinity;
      case "busy":
        // While an answer is owed, silence is no verdict: the daemon may be slow.
        if (!mayDoubt || pingInterval === Infinity) return Infinity;
        return this.#probeUntil === undefined
          ? Math.min(this.#trialAt ?? Infinity, silent)
          : Math.max(this.#probeUntil, silent + pingTimeout);
      case "restoring":
        return patient ?? Math.max(silent, this.#since + RESTORE_MS);
      case "idle":
        return patient ?? silent;
    }
  }

  /** What is due when that moment has come. */
  wish(load: Load): "probe" | "doubt" | "replace" | "give up" {
    if (this.#probeUntil === undefined) return "probe";
    if (load !== "busy") return "give up";
    return this.#isDoubted ? "replace" : "doubt";
  }

  /** Any frame is proof of life, but for what may have lain in the buffer of a connection while it slept. */
  heard(now: number): void {
    if (!this.#isStale || this.#isDoubted) this.answered(now);
  }

  /** The probe that went out last was answered. */
  answered(now: number): void {
    this.#heardAt = now;
    this.#probeUntil = undefined;
    this.#isDoubted = false;
    this.#accusedUntil = undefined;
    this.#isStale = this.#isOwed = false;
  }

  /** A call was written where none was running; whether the daemon answers probes meanwhile is tried until one has gone out. */
  called(now: number): void {
    if (!this.#hasTried) this.#trialAt = now + TRIAL_MS;
  }

  /** A probe went out under some load and must be answered in time; a second one changes nothing. */
  probed(now: number, load: Load): void {
    const { pingTimeout } = this.#limits;
    const ms = this.#isStale ? Math.min(RESUME_MS, pingTimeout) : pingTimeout;
    const isDue = this.#trialAt !== undefined && now >= this.#trialAt;
    this.#isTrial = load === "busy" && isDue;
    if (this.#isTrial) {
      this.#hasTried = true;
      this.#trialAt = undefined;
    }
    this.#probedAt = now;
    // One that could not go out has had no time yet.
    if (this.#isOwed) this.#probeUntil = undefined;
    this.#isOwed = false;
    this.#probeUntil ??= now + ms;
  }

  /** It has slept with us and is not free to be probed; it must be before long, unless it carries a call that may take its time. */
  postponed(now: number, carries: "a call" | "less"): void {
    this.#isOwed = true;
    const ms = Math.min(RESUME_MS, this.#limits.pingTimeout);
    this.#probeUntil = carries === "a call" ? Infinity : now + ms;
  }

  /** A probe was answered before a call that had been written earlier. */
  overtook(): void {
    this.#isConcurrent = true;
  }

  /** The daemon spoke on another connection: a probe has its whole time again, for it may have been busy until now. */
  excused(now: number): void {
    if (this.#probeUntil === undefined || this.#isStale) return;
    this.#probeUntil = now + this.#limits.pingTimeout;
  }

  /** Another connection is asked whether it is the daemon that is silent, or this one. */
  doubted(): void {
    this.#isDoubted = true;
  }

  /** The daemon is not silent on another connection. */
  accused(now: number): void {
    this.#accusedUntil ??= now + VERDICT_MS;
  }

  /** That connection is gone, and another one must be asked. */
  acquitted(): void {
    this.#accusedUntil = undefined;
  }

  /** It need not show that it lives: what it carries is worth the wait. */
  trusted(): void {
    this.#isStale = this.#isOwed = false;
  }

  /** The program slept, and our clock counted so many milliseconds of that: the connection must show at once that it lives. */
  resumed(now: number, ms: number): void {
    const { pingInterval, pingTimeout } = this.#limits;
    this.#since += ms;
    if (pingInterval === Infinity) return;
    this.#heardAt = now - pingInterval - pingTimeout;
    this.#probeUntil = undefined;
    this.#isDoubted = false;
    this.#accusedUntil = undefined;
    this.#isStale = true;
    this.#isOwed = false;
  }
}
