/**
 * The brain: an event goes in, effects come out, and `deadline()` says when it
 * wants to be woken. It knows no socket, timer, clock, chance, file or console.
 *
 * @module
 */

import type { Entry, Expiry } from "../requests/entry.ts";
import { compareAgain } from "./list_sync.ts";
import { Desk, type SessionConfig } from "./context.ts";
import type { Dialect } from "../dialects/dialect.ts";
import type { Effect, SessionEvent } from "../events.ts";
import * as fault from "./errors.ts";
import { framed } from "./framed.ts";
import { fromClient, overlong } from "./client_messages.ts";
import { end, fromSocket } from "./daemon_messages.ts";
import type { Limit } from "../requests/timeouts.ts";
import type { Link } from "../link/link.ts";
import * as report from "./log_messages.ts";
import { type Snapshot, snapshot } from "./snapshot.ts";
import { advanceTrial, endTrial } from "./capacity_trial.ts";
import { openStandby, suspect } from "./failover.ts";
import { improvise } from "./offline_answers.ts";
import {
  abandon,
  flush,
  giveUp,
  lose,
  probe,
  retire,
} from "./link_lifecycle.ts";
import { endUnclear } from "./unclear_responses.ts";

/** How long the daemon has to answer what is owed once the client is leaving. */
export const DRAIN_MS = 1_500;
/** How long the session sleeps after a bug of its own at a deadline. */
const REST_MS = 1_000;

/** The whole behaviour of the proxy. */
export class Session {
  readonly #desk: Desk;
  #drainUntil = Infinity;
  /** A signal has asked for the end; a second one does not wait. */
  #isAsked = false;
  #restUntil = -Infinity;
  /** The client does not read: no link is dialed until it does, and that is not the daemon's fault. */
  #isClogged = false;
  #drainedAt = -Infinity;
  #isOver = false;

  /** A session whose first link wants to be dialed at once. */
  constructor(
    config: SessionConfig,
    dialect: Dialect,
    random: () => number,
    now: number,
  ) {
    this.#desk = new Desk(config, dialect, random, now);
  }

  /** How many answers are owed to the client. */
  get owed(): number {
    return this.#desk.ledger.owed;
  }

  /** Whether there is nothing left to do. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** What the session is doing, for people who ask. */
  snapshot(): Snapshot {
    return snapshot(this.#desk);
  }

  /** When the session wants to be woken with a `tick`; `Infinity` for never. */
  deadline(): number {
    if (this.#isOver) return Infinity;
    const { ledger } = this.#desk;
    let at = Math.min(
      ...[ledger.deadline(), this.#drainUntil, this.#giveUpAt],
      this.#desk.capacity.deadline(),
      this.#desk.deadline(),
    );
    for (const link of this.#attended) {
      at = Math.min(at, link.deadline(this.#desk.traffic(link)));
    }
    return Math.max(at, this.#restUntil);
  }

  /** Takes an event and says what to do about it. Never throws: our own bugs are answered and logged. */
  handle(event: SessionEvent, now: number): Effect[] {
    if (this.#isOver) return [];
    this.#desk.guard(() => this.#route(event, now));
    // A deadline that cannot be met because of a bug must not be tried in a hot loop.
    const rest = (): void => void (this.#restUntil = now + REST_MS);
    this.#desk.guard(() => this.#wake(now), rest);
    return this.#desk.take();
  }

  #route(event: SessionEvent, now: number): void {
    const desk = this.#desk;
    switch (event.type) {
      case "line":
        return fromClient(desk, event.text, now);
      case "overlong":
        return overlong(desk, event);
      case "framed":
        return framed(desk, event);
      case "end":
        if (event.cause === "signal" && this.#isAsked) {
          return this.#finish(0, now);
        }
        this.#isAsked ||= event.cause === "signal";
        this.#drainUntil = Math.min(this.#drainUntil, now + DRAIN_MS);
        return;
      case "clogged":
        return this.#clog(now);
      case "drained":
        this.#isClogged = false;
        this.#drainedAt = now;
        return;
      case "resumed":
        return this.#resume(event.gap, event.unseen, now);
      case "broken":
        desk.do(report.brokenStdout());
        return this.#exit(0);
      case "tick":
        return;
      default: {
        // An event of another epoch belongs to a connection that was left.
        const link = desk.links.get(event.epoch);
        if (link !== undefined) fromSocket(desk, link, event, now);
      }
    }
  }

  #wake(now: number): void {
    if (this.#isOver) return;
    const desk = this.#desk;
    const { config, ledger } = desk;
    // Before anything expires: the client can go on with it.
    improvise(desk, now);
    desk.updateWaits(now);
    for (const { message, token, progress } of ledger.telling(now)) {
      const missing = desk.links.missing(desk.dialect.place(message));
      const outage = desk.outage(missing ?? desk.links.main, now);
      desk.reply(
        desk.links.main.liveness?.isSuspect
          ? fault.suspected(token, progress)
          : fault.waiting(token, progress, outage),
      );
    }
    const { epoch, liveness } = desk.links.main;
    if (liveness?.notices(now)) {
      for (const { token, progress } of ledger.suspecting(epoch, now)) {
        desk.reply(fault.suspected(token, progress));
      }
    }
    for (const { entry, expiry } of ledger.expire(now)) {
      this.#expire(entry, expiry, now);
    }
    end(desk, now);
    endUnclear(desk, now);
    compareAgain(desk, now);
    advanceTrial(desk, now);
    flush(this.#desk, now);
    const isLeaving = this.#drainUntil < Infinity;
    if (isLeaving && (desk.due === 0 || now >= this.#drainUntil)) {
      return this.#finish(0, now);
    }
    if (now >= this.#giveUpAt) {
      this.#desk.do(report.gaveUp(config.shownUrl, config.giveUpAfter));
      return this.#finish(1, now);
    }
    for (const link of this.#attended) {
      // The one before may have ended it.
      if (desk.links.has(link)) this.#attend(link, now);
    }
    advanceTrial(desk, now);
    // A connection that was kept for its calls may have made room.
    openStandby(desk, now);
    desk.updateWaits(now);
  }

  /** Does what a link's time has come for. */
  #attend(link: Link, now: number): void {
    const desk = this.#desk;
    if (desk.isDeadWithoutCallers(link, now)) {
      const reason = report.silence("ready");
      return lose(desk, link, { reason }, now);
    }
    switch (link.wish(now, desk.traffic(link))) {
      case "nothing":
        return;
      case "dial": {
        const subprotocol = link.offersSubprotocol
          ? desk.dialect.subprotocol
          : undefined;
        link.dial(now);
        if (link.isSecond) desk.capacity.seconded(now);
        return desk.do({ type: "dial", epoch: link.epoch, subprotocol });
      }
      case "probe":
        probe(desk, link, now);
        return;
      case "suspect":
        return suspect(desk, link, now);
      case "trust":
        link.liveness?.trust();
        return flush(desk, now);
      case "retire":
        return retire(desk, link, now);
      case "give up": {
        const isHung = link.phase !== "ready";
        const reason = report.silence(link.phase, link.shortenedMs(now));
        return lose(desk, link, { reason, isHung }, now);
      }
    }
  }

  /** Nothing expires because of a sleep, and every link shows at once that it lives. */
  #resume(gap: number, unseen: number, now: number): void {
    const desk = this.#desk;
    desk.do(report.resumed(gap + unseen));
    desk.ledger.shift(gap);
    desk.dialect.slept(unseen);
    desk.memory?.slept(unseen);
    desk.shift(gap);
    this.#drainedAt += gap;
    const { standby } = desk.links;
    if (standby !== undefined) retire(desk, standby, now);
    for (const link of desk.links) link.resumed(now, gap, gap + unseen);
    endTrial(desk, now);
  }

  /** A WebSocket cannot be told to wait, so it is closed, and the delivery contract decides. */
  #clog(now: number): void {
    this.#isClogged = true;
    const reason = "the client reads too slowly, and 64 MiB wait for it";
    for (const link of this.#desk.links) {
      const isThere = this.#desk.links.has(link) && link.phase !== "waiting";
      if (!isThere) continue;
      lose(this.#desk, link, { reason, isClogged: true }, now);
    }
  }

  get #attended(): Iterable<Link> {
    const { links } = this.#desk;
    return this.#isClogged
      ? [...links].filter(({ phase }) => phase !== "waiting")
      : links;
  }

  #expire({ message, ...entry }: Entry, expiry: Expiry, now: number): void {
    const desk = this.#desk;
    if (message.kind === "notification") {
      return desk.do(desk.drops.dropped(message));
    }
    if (expiry === "unconfirmed") {
      giveUp(desk, message, entry);
      // It carries one request at a time, and the daemon may never list its tools.
      const asked = desk.links.get(entry.hint?.epoch);
      if (asked?.role === "pool") retire(desk, asked, now);
      return;
    }
    const limit = this.#limitOf(entry, expiry);
    desk.reply(
      expiry === "unavailable"
        ? desk.unserved(message, entry, now)
        : desk.timedOut(message, entry, limit, now),
    );
    const link = desk.links.get(entry.sentOn);
    if (link === undefined) return;
    if (entry.isGreeting) {
      // Its answer would be nobody's, and it must not be cancelled.
      const reason = "the daemon did not answer initialize in time";
      return lose(desk, link, { reason }, now);
    }
    const owed = { message, number: entry.number };
    // An initialize must not be cancelled (MCP, utilities/cancellation).
    if (message.method === "initialize") {
      return desk.ledger.awaitLateAnswer(owed, link.epoch, Infinity, now);
    }
    const reason = `timed out (${limit.setting})`;
    const cancel = desk.dialect.cancel(message.id, reason);
    if (cancel === undefined && link.role === "main") {
      // It would keep everything else waiting.
      const reason = `the daemon did not answer ${message.method} in time`;
      return lose(desk, link, { reason }, now);
    }
    abandon(desk, link, owed, cancel, now);
  }

  #limitOf(
    { limits, daemonLimit = 0 }: Pick<Entry, "limits" | "daemonLimit">,
    expiry: Exclude<Expiry, "unconfirmed">,
  ): Limit {
    switch (expiry) {
      case "unavailable": {
        const { queueTimeout } = this.#desk.config;
        return { setting: "--queue-timeout", ms: queueTimeout };
      }
      case "total":
        return limits.total!;
      case "idle":
        return limits.idle;
      case "daemon":
        return {
          setting: "what the daemon and EXAI_SHIM_ACK_GRACE_SECS allow",
          ms: daemonLimit,
        };
    }
  }

  get #giveUpAt(): number {
    if (this.#isClogged) return Infinity;
    const { links, config } = this.#desk;
    return Math.max(links.goneSince, this.#drainedAt) + config.giveUpAfter;
  }

  /** Answers what is still owed, and exits. */
  #finish(code: number, now: number): void {
    const desk = this.#desk;
    desk.do(desk.drops.over());
    end(desk, now, Infinity);
    for (const { message, ...entry } of desk.ledger.drain()) {
      if (message.kind === "notification") continue;
      const fate = desk.fate(message, entry);
      desk.reply(
        fate.isSent || fate.isUnconfirmed
          ? fault.outcomeUnknown(fate, "stopped")
          : desk.isTurn(message)
          ? fault.unsent(fate)
          : desk.unserved(message, entry, now),
      );
    }
    this.#exit(code);
  }

  #exit(code: number): void {
    for (const { epoch, phase } of this.#desk.links) {
      if (phase !== "waiting") this.#desk.do({ type: "close", epoch });
    }
    this.#desk.do({ type: "exit", code });
    this.#isOver = true;
  }
}
