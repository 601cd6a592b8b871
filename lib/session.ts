/**
 * The brain: an event goes in, effects come out, and `deadline()` says when it
 * wants to be woken. It knows no socket, timer, clock, chance, file or console.
 *
 * @module
 */

import { Desk, type SessionConfig } from "./desk.ts";
import type { Dialect } from "./dialect.ts";
import type { Effect, SessionEvent } from "./event.ts";
import * as fault from "./fault.ts";
import { fromClient } from "./from_client.ts";
import { fromSocket } from "./from_daemon.ts";
import { Code, failure, read } from "./jsonrpc.ts";
import type { Entry, Expiry } from "./ledger.ts";
import * as report from "./report.ts";
import { attend } from "./tend.ts";

/** How long the daemon has to answer what is owed once the client is leaving. */
export const DRAIN_MS = 1_500;

/** The whole behaviour of the proxy. */
export class Session {
  readonly #desk: Desk;
  #drainUntil = Infinity;
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

  /** When the session wants to be woken with a `tick`; `Infinity` for never. */
  deadline(): number {
    if (this.#isOver) return Infinity;
    const { ledger, links } = this.#desk;
    let at = Math.min(ledger.deadline(), this.#drainUntil, this.#giveUpAt);
    for (const link of links) {
      const isBusy = this.#desk.isBusy(link);
      at = Math.min(at, link.deadline(ledger.isWanting, isBusy));
    }
    return at;
  }

  /** Takes an event and says what to do about it. Never throws: our own bugs are answered and logged. */
  handle(event: SessionEvent, now: number): Effect[] {
    if (this.#isOver) return [];
    try {
      this.#route(event, now);
      if (!this.#isOver) this.#wake(now);
    } catch (error) {
      this.#survive(event, error);
    }
    return this.#desk.take();
  }

  #route(event: SessionEvent, now: number): void {
    const desk = this.#desk;
    switch (event.type) {
      case "line":
        return fromClient(desk, event.text, now);
      case "overlong":
        return desk.do(report.overlongLine(event.bytes));
      case "end":
        if (this.#drainUntil < Infinity) return this.#finish(0, now);
        this.#drainUntil = now + DRAIN_MS;
        return;
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
    const { config, ledger, links } = this.#desk;
    for (const { entry, expiry } of ledger.expire(now, links.isUp)) {
      this.#expire(entry, expiry, now);
    }
    if (now >= this.#giveUpAt) {
      this.#desk.do(report.gaveUp(config.shownUrl, config.giveUpAfter));
      return this.#finish(1, now);
    }
    const isLeaving = this.#drainUntil < Infinity;
    if (isLeaving && (this.owed === 0 || now >= this.#drainUntil)) {
      return this.#finish(0, now);
    }
    for (const link of links) attend(this.#desk, link, now);
  }

  #expire(entry: Entry, expiry: Expiry, now: number): void {
    const desk = this.#desk;
    const { message } = entry;
    if (message.kind === "notification") {
      return desk.do(report.droppedNotification(message));
    }
    if (expiry === "unavailable") {
      const outage = desk.outage(desk.links.first, now);
      return desk.reply(fault.unavailable(message, outage, entry.losses));
    }
    const limit = expiry === "total"
      ? { setting: "--request-timeout", ms: desk.config.requestTimeout }
      : { setting: "--idle-timeout", ms: desk.config.idleTimeout };
    const waitedMs = now - entry.arrived;
    const link = desk.links.get(entry.sentOn);
    const wasSent = link !== undefined;
    desk.reply(fault.timedOut(message, limit, waitedMs, wasSent));
    if (!wasSent) return;
    const reason = `timed out (${limit.setting})`;
    const cancel = desk.dialect.cancel(message.id, reason);
    if (cancel !== undefined) desk.send(link, cancel);
  }

  get #giveUpAt(): number {
    return this.#desk.links.downSince + this.#desk.config.giveUpAfter;
  }

  /** Answers what is still owed, and exits. */
  #finish(code: number, now: number): void {
    const desk = this.#desk;
    const outage = desk.outage(desk.links.first, now);
    for (const { message, sentOn, losses } of desk.ledger.drain()) {
      if (message.kind === "notification") continue;
      if (sentOn === undefined) {
        desk.reply(fault.unavailable(message, outage, losses));
      } else {
        const isRepeatable = desk.mayRepeat(message);
        const reason = "the proxy was stopped";
        desk.reply(
          fault.outcomeUnknown(message, reason, isRepeatable, losses),
        );
      }
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

  /** A bug of ours costs the requests at hand an error, and nothing else. */
  #survive(event: SessionEvent, error: unknown): void {
    this.#desk.do(report.bug(error));
    if (event.type !== "line") return;
    for (const message of read(event.text)) {
      if (message.kind !== "request") continue;
      this.#desk.ledger.cancel(message.id);
      this.#desk.reply(
        failure(message.id, Code.internal, "A bug in alwaysup stopped it"),
      );
    }
  }
}
