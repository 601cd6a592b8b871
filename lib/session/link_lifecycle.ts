/**
 * The links' care: dial, greet, restore, write what waits, leave.
 *
 * @module
 */

import { listingOf, LISTS } from "../protocol/lists.ts";
import { QUICK_MS } from "../link/capacity.ts";
import { compareAll } from "./list_sync.ts";
import { confirm } from "./hint_confirmation.ts";
import type { Desk } from "./context.ts";
import type { Entry, Owed } from "../requests/entry.ts";
import * as fault from "./errors.ts";
import {
  type Id,
  type Notification,
  notification as notify,
  type Request,
} from "../protocol/jsonrpc.ts";
import type { RequestId } from "../protocol/mcp_types.ts";
import type { Link, LinkRole, Loss } from "../link/link.ts";
import * as report from "./log_messages.ts";
import { DELAY_MS } from "../link/liveness.ts";
import { isCall, isStanding } from "../protocol/methods.ts";
import { makeDo } from "./offline_answers.ts";

/**
 * Asks the daemon whether it lives.
 *
 * @returns the probe's id; `undefined` where none was written, because the answer to an earlier frame shows the same
 */
export function probe(desk: Desk, link: Link, now: number): Id | undefined {
  const { liveness } = link;
  const isAlone = !desk.ledger.isBusy(link.epoch);
  const frame = desk.dialect.probe(link.epoch);
  if (frame === undefined && liveness?.isStale) {
    const { load } = desk.traffic(link);
    const isCall = link.role === "pool" && load === "busy";
    liveness.deferred(now, isCall ? "a call" : "less");
    return undefined;
  }
  const number = frame && desk.send(link, frame.text);
  liveness?.probed(frame?.id, now, { isAlone, number });
  return frame?.id;
}

/** Writes whatever can be written now. */
export function flush(desk: Desk, now: number): void {
  const { dialect, ledger, links } = desk;
  for (const link of links) {
    if (link.isUngreeted) greet(desk, link, now);
    link.liveness?.endDelayWhenDue(now);
    if (link.liveness?.isDeferred && dialect.isFree(link.epoch)) {
      probe(desk, link, now);
    }
  }
  // The call that waited for a probe may be cancelled.
  if (!ledger.isWanting) links.main.liveness?.forgetDelay();
  let wanting = 0;
  const full = new Set<LinkRole>();
  for (const entry of ledger.writable(full)) {
    const role = dialect.place(entry.message);
    const { hint } = entry;
    const link = links.ready(
      role,
      (it) =>
        isWritable(desk, it, entry.message) &&
        (hint?.epoch ?? it.epoch) === it.epoch,
    );
    if (link !== undefined) {
      write(desk, link, entry, now);
      // What is asked for its hint on one link needs no other.
    } else if (hint?.epoch === undefined) {
      full.add(role);
      if (role === "pool") wanting = ledger.waiting(role);
    }
  }
  widen(desk, wanting, now);
}

function isWritable(
  desk: Desk,
  { epoch, liveness, role }: Link,
  { kind }: Request | Notification,
): boolean {
  if (!desk.dialect.isFree(epoch) || desk.unread.has(epoch)) return false;
  if (liveness?.isDelaying) return false;
  // Nothing is in flight while it is tried whether the daemon keeps two.
  const isTrial = role === "main" && desk.capacity.trial !== undefined;
  return !isTrial || kind === "notification";
}

/**
 * Before a call that finds none in flight a probe goes out, and the call waits
 * for the answer. If none comes, a second connection shows whether this one is
 * dead; nothing is in flight on it then. Where none may be opened, the call
 * waits for a moment only: the daemon may be busy with something else.
 *
 * @returns whether the call is to wait
 */
function lead(
  desk: Desk,
  link: Link,
  { kind, method }: Request | Notification,
  now: number,
): boolean {
  const { epoch, liveness, role } = link;
  const isFirst = kind === "request" && isCall(method) && role === "main" &&
    desk.dialect.poolSize === 0 && !desk.ledger.isBusy(epoch);
  if (!isFirst || liveness === undefined) return false;
  if (liveness.needsProbe(now)) {
    liveness.probesBefore(now);
    probe(desk, link, now);
  }
  // Who has never answered a probe may not know any.
  if (!desk.answersProbes || !liveness.isProbed(now)) return false;
  liveness.delayCall(now, desk.keeps === "many" ? Infinity : DELAY_MS);
  return true;
}

function write(
  desk: Desk,
  link: Link,
  { key, message, ...entry }: Entry,
  now: number,
): void {
  if (message.kind === "request") {
    if (desk.ids.hasTwin(message.id)) return;
    // It may have waited for a request that was then cancelled.
    if (desk.ids.isLate(message.id)) {
      desk.ledger.cancel(message.id);
      return desk.reply(fault.lateId(message.id));
    }
  }
  if (entry.hint !== undefined && message.kind === "request") {
    const answer = confirm(desk, link, message, entry, now);
    if (answer === "once") return giveUp(desk, message, entry);
    if (answer === "unknown") return desk.ledger.hints.park(key);
  }
  if (lead(desk, link, message, now)) {
    // What is confirmed has all its time.
    if (entry.hint !== undefined) desk.ledger.hints.need(key, now);
    return;
  }
  const writing = desk.dialect.write(link.epoch, message, now);
  switch (writing.kind) {
    case "ask":
      desk.send(link, writing.text);
      return;
    case "wait":
      return;
    case "lost":
      return outlived(desk, link, { key, message, ...entry }, now);
    case "frame": {
      const isRequest = message.kind === "request";
      const { method } = message;
      // The client's own ping is as good a probe as ours.
      const isProbe = isRequest && method === "ping" &&
        desk.config.pingInterval < Infinity &&
        desk.traffic(link).load === "idle";
      const isFirst = isRequest && isCall(method) &&
        !desk.ledger.isBusy(link.epoch);
      const number = isRequest
        ? desk.send(link, writing.text)
        : desk.tell(link, writing.text);
      desk.ledger.sent(key, link.epoch, now, number);
      link.used(now);
      if (isProbe) link.liveness?.probed(message.id, now, { number });
      if (isFirst) link.liveness?.called(now);
      desk.hasCalled ||= isRequest && isCall(method) &&
        method !== "initialize" && listingOf(method) === undefined;
    }
  }
}

/** The daemon that a request was written to is gone, so that its outcome cannot be asked for. */
function outlived(desk: Desk, link: Link, entry: Entry, now: number): void {
  const { message } = entry;
  if (message.kind === "notification") return;
  if (!desk.mayRepeat(message)) return giveUp(desk, message, entry);
  desk.dialect.anew(message);
  desk.ledger.release(message.id);
  if (desk.needsHint(message)) desk.ledger.hints.need(message.id, now);
  return write(desk, link, desk.ledger.find(message.id) ?? entry, now);
}

/** What has become of a request that was written will never be known. */
export function giveUp(
  desk: Desk,
  request: Request,
  entry: fault.History,
): void {
  desk.ledger.cancel(request.id);
  const fate = desk.fate(request, entry);
  desk.reply(fault.outcomeUnknown(fate, "connection_lost"));
}

/** Opens as many links of the pool as requests wait for, and as there may be. */
function widen(desk: Desk, wanting: number, now: number): void {
  const { dialect, ledger, links } = desk;
  if (wanting === 0 || !links.isUp) return;
  const pool = [...links].filter(({ role }) => role === "pool");
  // One dial shows whether the daemon still refuses us.
  if (pool.some(({ refusal }) => refusal !== undefined)) return;
  // One that keeps a probe unanswered may be dead.
  const coming = pool.filter(({ epoch, phase }) =>
    ledger.inFlight(epoch) === 0 &&
    (phase !== "ready" || dialect.isFree(epoch) || dialect.isAsking(epoch))
  );
  const missing = Math.min(
    wanting - coming.length,
    dialect.poolSize - pool.length,
  );
  for (let i = 0; i < missing; i++) links.open("pool", now);
}

/** Opens the conversation on a link, if there is anything to open it with. */
function greet(desk: Desk, link: Link, now: number): void {
  const { main } = desk.links;
  // Without a request there is nothing to open it with among them.
  const all = desk.ledger.owed > 0 ? desk.ledger.queue() : [];
  const queue = all.map((entry) => entry.message)
    .filter((message) => message.kind === "request");
  const sent = [...desk.ledger.sentOn(main.epoch)].map((it) => it.message);
  // What opens the client's conversation goes out on the main link alone.
  const waiting = link.isSecond
    ? [...sent, ...queue]
      .filter(({ method }) => !/^(initialize|server\/discover)$/.test(method))
    : queue;
  const greeting = desk.dialect.greet(link.epoch, waiting);
  if (greeting === undefined) return;
  desk.send(link, greeting.text);
  link.greeted(now);
  if (greeting.request !== undefined) {
    desk.ledger.greeted(greeting.request, link.epoch, now);
  }
}

/** The daemon answered the greeting: it learns where the conversation was, and gets what waits. */
export function ready(desk: Desk, link: Link, now: number): void {
  if (link.phase !== "greeting") return;
  const again = { attempt: link.attempt, downMs: now - link.downSince };
  link.validated(now);
  if (link.role === "pool") {
    desk.do(report.widened(desk.config.shownUrl));
    return flush(desk, now);
  }
  // What ends the handshake goes out when the link takes over.
  if (link.isSecond) return;
  for (const text of desk.dialect.greeted()) desk.tell(link, text);
  desk.connected(again);
  // A daemon that takes us here does so on the connections for calls.
  for (const other of desk.links) {
    const isRefused = other.refusal !== undefined;
    if (isRefused && other.phase === "waiting") desk.links.remove(other);
  }
  if (desk.capacity.confirm(now)) {
    desk.do(report.keepsOne(desk.config.shownUrl));
    desk.rememberOne(now);
  }
  if (!tryTwo(desk, link, now)) restore(desk, link, now);
}

/**
 * Begins to learn whether the daemon keeps two connections, if that is not
 * known, and nothing is at stake yet.
 */
function tryTwo(desk: Desk, { handshakeMs }: Link, now: number): boolean {
  const { capacity, config, dialect, links, memory } = desk;
  if (!capacity.isUnknown || dialect.poolSize > 0) return false;
  if (memory?.keepsOne(dialect.server ?? "", now)) {
    capacity.learn("one");
    return false;
  }
  // A slow daemon may start a process for each connection.
  const isPossible = !desk.hasCalled && handshakeMs <= QUICK_MS &&
    config.pingInterval < Infinity;
  if (!isPossible) return false;
  links.open("trial", now);
  capacity.begin(handshakeMs, now);
  return true;
}

/** The daemon on a new main link learns where the conversation was, and gets what waits. */
export function restore(desk: Desk, link: Link, now: number): void {
  const { toDaemon, toClient } = desk.dialect.restore(link.epoch);
  for (const text of toDaemon) desk.send(link, text);
  for (const text of toClient) desk.reply(text);
  flush(desk, now);
  if (desk.isMadeUp) {
    desk.isMadeUp = false;
    for (const list of LISTS) {
      desk.reply(notify(`notifications/${list}/list_changed`));
    }
    return;
  }
  compareAll(desk, link);
}

/** Nobody waits any more for a request that was written; `frame` tells the daemon, if it can be told. */
export function abandon(
  desk: Desk,
  link: Link,
  owed: Pick<Owed, "message" | "number">,
  frame: string | undefined,
  now: number,
): void {
  const { epoch, liveness } = link;
  const overtakenTo = liveness?.overtakenTo ?? 0;
  desk.ledger.awaitLateAnswer(owed, epoch, overtakenTo, now);
  if (frame !== undefined) desk.tell(link, frame);
  // It carries one request at a time, and the daemon may never be done with this one.
  else if (link.role === "pool") return retire(desk, link, now);
}

/** A link that is not the main one is no longer needed. */
export function retire(desk: Desk, link: Link, now: number): void {
  const { phase, epoch, role } = link;
  desk.links.remove(link);
  if (phase === "waiting") return;
  desk.do({ type: "close", epoch });
  settle(desk, epoch, { reason: "it is no longer needed" }, now);
  desk.do(report.retired(desk.config.shownUrl));
  if (role !== "pool") return;
  settleRefused(desk, now);
}

/** A connection is over: what was owed on it is settled by the delivery contract. */
export function lose(desk: Desk, link: Link, cause: Loss, now: number): void {
  const loss = { ...cause, reason: desk.words(cause.reason) };
  const { epoch, phase, attempt, role } = link;
  const hasAnswered = (link.liveness?.answers ?? 0) > 0;
  const isLast = role === "draining" || role === "trial";
  if (isLast) desk.links.remove(link);
  else desk.links.lose(link, loss, now);
  desk.do({ type: "close", epoch });
  // Before anything is given up, or refused.
  if (role === "main") makeDo(desk, epoch, now);
  const given = settle(desk, epoch, loss, now);
  settleRefused(desk, now);
  const { shownUrl, healthFile } = desk.config;
  if (role === "trial") return;
  if (role === "standby") {
    const { main } = desk.links;
    // A daemon that lets it hang, or answers no probe on it, is busy or frozen.
    const isThere = loss.isHung === true ||
      phase === "ready" && !hasAnswered;
    const mayLive = main.liveness?.mayBeDead === false &&
      !main.liveness.isStale;
    if (isThere || mayLive) main.liveness?.writeAnyway(now);
    desk.do(report.standbyFailed(shownUrl, loss.reason));
    // Nobody waits for the calls on the main one any more, so that nothing is risked.
    const isFree = main.liveness?.isSuspect && !desk.ledger.hasCall(main.epoch);
    if (isFree && !isThere) {
      return lose(desk, main, { reason: report.silence("ready") }, now);
    }
    return flush(desk, now);
  }
  if (role !== "main") {
    return desk.do(report.poolLost(shownUrl, phase, attempt, loss.reason));
  }
  // There is nothing left to show.
  for (const other of [desk.links.standby, desk.links.trial]) {
    if (other !== undefined) retire(desk, other, now);
  }
  desk.capacity.end();
  if (phase !== "ready" && !cause.isHung) desk.capacity.wasAway();
  const { retryAfterMs = 0 } = desk.outage(link, now);
  if (phase === "ready") {
    const next = cause.isClogged ? "drained" : retryAfterMs;
    const line = link.isDisplaced
      ? report.displaced(shownUrl, loss.reason, given, next)
      : report.lost(shownUrl, loss, given, next);
    return desk.do(cause.isOurs ? { ...line, level: "info" } : line);
  }
  // Without a pause it is the same attempt, without the subprotocol.
  const level = retryAfterMs > 0 && report.isLogged(attempt) ? "warn" : "debug";
  desk.do(report.failed(shownUrl, level, attempt, loss, retryAfterMs));
  if (attempt === 1 && healthFile !== undefined) {
    const lostMs = desk.connections > 0 ? now - link.downSince : undefined;
    desk.do({ type: "health file", path: healthFile, lostMs });
  }
}

/**
 * Settles what was owed on a connection that was left.
 *
 * @returns how many requests were given up
 */
export function settle(
  desk: Desk,
  epoch: number,
  loss: Loss,
  now: number,
): number {
  for (const { message: request } of [...desk.ledger.sentOn(epoch)]) {
    const text = desk.dialect.local(request, "down");
    if (text === undefined || request.method === "initialize") continue;
    desk.ledger.cancel(request.id);
    desk.reply(text);
  }
  const given = desk.ledger.lost(
    epoch,
    now,
    (request) =>
      loss.tooLarge && !isStanding(request.method)
        ? "give up"
        : desk.rescue(request, now),
  );
  for (const { message, ...entry } of given) {
    const fate = desk.fate(message, entry);
    const size = message.text.length;
    desk.reply(
      loss.tooLarge === "request"
        ? fault.refusedSize(fate, size)
        : loss.tooLarge === "answer" && given.length === 1
        ? fault.oversizeAnswer(fate)
        : fault.outcomeUnknown(fate, "connection_lost"),
    );
  }
  for (const id of desk.asked.lost(epoch)) {
    const requestId = JSON.parse(id) as RequestId;
    const reason = "The connection to the daemon was lost";
    desk.reply(notify("notifications/cancelled", { requestId, reason }));
  }
  desk.dialect.lost(epoch);
  desk.hints.lost(epoch);
  desk.oneWay.lost(epoch);
  desk.unread.delete(epoch);
  return given.length;
}

/** What waits for a daemon that refuses us need not wait. */
function settleRefused(desk: Desk, now: number): void {
  if (![...desk.links].some(({ refusal }) => refusal !== undefined)) return;
  for (const { key, message, ...entry } of desk.ledger.queue()) {
    if (message.kind !== "request" || isStanding(message.method)) continue;
    if (desk.refusing(message) === undefined) continue;
    desk.ledger.cancel(key);
    desk.reply(desk.unserved(message, { key, ...entry }, now));
  }
}
