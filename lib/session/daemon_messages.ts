/**
 * What follows from an event on a socket.
 *
 * @module
 */

import { listingOf } from "../protocol/lists.ts";
import { compare, insist } from "./list_sync.ts";
import type { Desk, Ending } from "./context.ts";
import type { Closed, Incoming } from "../dialects/dialect.ts";
import type { SocketEvent } from "../events.ts";
import { mayDisplace } from "../link/displacement.ts";
import * as fault from "./errors.ts";
import {
  type Answer,
  Code,
  dig,
  digId,
  failure,
  type Id,
  type Invalid,
  isNotification,
  type Notification,
  type Request,
  success,
} from "../protocol/jsonrpc.ts";
import type { Method } from "../protocol/mcp_types.ts";
import type { FailureCause, Link } from "../link/link.ts";
import { isCall, isStanding, isSubscription } from "../protocol/methods.ts";
import { forget, learn, mend } from "./offline_answers.ts";
import * as report from "./log_messages.ts";
import { UNCHANGED } from "../config/secrets.ts";
import { greeted, heard, ponged } from "./failover.ts";
import { lose, ready } from "./link_lifecycle.ts";
import { unnamed, unreadable } from "./unclear_responses.ts";
import { cut, insert, mapStrings, members, replace } from "../json/spans.ts";

/** How long the end of a subscription waits, in milliseconds: if the connection ends, too, the next daemon goes on with it. */
const ENDING_MS = 1_000;

/** Takes an event on the socket of a link. */
export function fromSocket(
  desk: Desk,
  link: Link,
  event: SocketEvent,
  now: number,
): void {
  switch (event.type) {
    case "open":
      desk.do(report.opened(desk.config.shownUrl));
      if (link.isSecond) desk.capacity.seconded(now);
      return link.opened(now);
    case "binary":
      heard(desk, link, now);
      return desk.do(report.binaryFrame(event.bytes, levelOf(link)));
    case "frame":
      heard(desk, link, now);
      for (
        const incoming of desk.dialect.decode(event.epoch, event.text, now)
      ) {
        if (link.epoch !== event.epoch) return; // the one before ended it
        const { length } = event.text;
        const run = (): void => fromDaemon(desk, link, incoming, length, now);
        desk.guard(run, () => {
          if (incoming.kind !== "answer" || incoming.id === undefined) return;
          const id = desk.ids.resolve(incoming.id, event.epoch);
          if (id === undefined) return;
          desk.ledger.settle(id, event.epoch);
          const what = "A bug in alwaysup stopped the answer";
          desk.reply(failure(id, Code.internal, what));
        });
      }
      return;
    case "backlog":
      if (event.is === "read") return void desk.unread.delete(event.epoch);
      desk.unread.add(event.epoch);
      return desk.do(report.unread(desk.config.shownUrl));
    case "closed": {
      const inFlight = [...desk.ledger.sentOn(event.epoch)]
        .filter(({ message }) => !isStanding(message.method)).length;
      const isTried = desk.capacity.trial !== undefined;
      // Other codes say that the daemon goes away, or what is wrong.
      const isClean = mayDisplace(event.code);
      // A network that comes back breaks the connections that were silent.
      const mayBeOurs = isClean ||
        event.code === 1006 && link.liveness?.isSuspect === false;
      if (link.isSecond) desk.capacity.secondLost();
      const isOurs = link.role === "main" && link.phase === "ready" &&
        mayBeOurs && desk.capacity.lostMain(isClean, now);
      return lose(desk, link, {
        cause: causeOf(event),
        ...desk.dialect.ending(event.epoch, event, link.phase),
        isOurs: isOurs && isTried,
        displaced: isOurs || !isClean
          ? "no"
          : link.role !== "main" || inFlight > 0 ||
              desk.dialect.isAsking(event.epoch)
          ? "unclear"
          : "likely",
        subprotocol: event.reached && desk.dialect.subprotocol !== undefined,
        ...(event.agoMs !== undefined && { agoMs: event.agoMs }),
        // RFC 6455 section 7.4.1; of several requests it is not known which.
        tooLarge: event.oversize
          ? "answer"
          : event.code === 1009 && inFlight === 1
          ? "request"
          : undefined,
      }, now);
    }
  }
}

/** Why a connection ended, as far as its close code and the runtime tell. */
function causeOf({ code, isNobodyThere }: Closed): FailureCause | undefined {
  if (code === 1008) return "policy violation";
  return isNobodyThere ? "nobody there" : undefined;
}

/** How much it matters what a daemon sends that is no message: one of another kind sends it again on every connection. */
function levelOf({ phase, attempt }: Link): "warn" | "debug" {
  return phase === "ready" || report.isLogged(attempt) ? "warn" : "debug";
}

function fromDaemon(
  desk: Desk,
  link: Link,
  incoming: Incoming,
  size: number,
  now: number,
): void {
  switch (incoming.kind) {
    case "answer":
      return settle(desk, link, incoming, now);
    case "notification":
      return hear(desk, link, incoming, now);
    case "request":
      return isNotification(incoming.method)
        ? hearWithoutId(desk, link, incoming, now)
        : question(desk, link, incoming);
    case "invalid":
      return reject(desk, link, incoming, size, now);
    case "working":
      desk.ledger.working(incoming.id, link.epoch, now);
      if (incoming.limitMs !== undefined) {
        desk.ledger.limit(incoming.id, incoming.limitMs, now);
      }
      return;
    case "later":
      return postpone(desk, link, incoming, now);
    case "stray":
      return desk.do(report.stray("daemon", incoming.what));
    case "too large":
      return drop(desk, link, incoming);
    case "ready":
      note(desk, incoming, now);
      if (incoming.trouble !== undefined) {
        desk.regret(incoming.trouble);
      }
      return become(desk, link, now);
    case "greet again":
      return link.phase === "greeting" ? link.awaitGreeting(now) : undefined;
    case "rejected":
      note(desk, incoming, now);
      return lose(desk, link, incoming, now);
    case "pong":
      return ponged(desk, link, incoming.id, now);
    case "own":
      if (incoming.trouble !== undefined) {
        desk.regret(incoming.trouble);
      }
      return;
    case "page":
      return compare(desk, link, incoming, now);
    case "unlisted":
      return insist(desk, link, incoming, now);
  }
}

/** The daemon has answered the first message on a link. */
function become(desk: Desk, link: Link, now: number): void {
  const isFirst = link.phase === "greeting";
  ready(desk, link, now);
  if (isFirst && link.isSecond) greeted(desk, link, now);
}

/** What the daemon says of itself, for the next time. */
function note(
  desk: Desk,
  { learned, forget: over }: Extract<Incoming, { kind: "ready" | "rejected" }>,
  now: number,
): void {
  if (learned !== undefined) learn(desk, learned.request, learned.answer, now);
  if (over !== undefined) forget(desk, over, now);
}

function settle(
  desk: Desk,
  link: Link,
  said: Answer,
  now: number,
  ending: "new" | "told" = "new",
): void {
  if (said.id === undefined && said.error !== undefined) {
    const id = discovery(desk, link);
    if (id === undefined) return unnamed(desk, link, said, now);
    const text = insert(cut(said.text, ["id"]), [], "id", id);
    return settle(desk, link, { ...said, id, text }, now);
  }
  const id = desk.ids.resolve(said.id, link.epoch);
  if (id === undefined) {
    if (said.id === undefined) return desk.do(report.unnamedResult());
    desk.ids.came(said.id, link.epoch);
    return desk.do(report.stray("daemon", `an answer to id ${said.id}`));
  }
  const answer = id === said.id
    ? said
    : { ...said, id, text: replace(said.text, ["id"], id) };
  const { message, ...entry } = desk.ledger.find(id)!;
  const isEnding = isSubscription(message.method) && ending === "new" &&
    answer.error === undefined;
  if (isEnding && isHeldBack(desk, id, answer, now)) return;
  desk.endings.delete(id);
  const mended = mend(desk, message, answer);
  let text = withoutSecrets(
    desk,
    desk.dialect.answered(message, mended),
    mended,
  );
  const { maxMessage } = desk.config;
  const listing = listingOf(message.method);
  if (text.length > maxMessage) {
    text = fault.tooLarge(desk.fate(message, entry), text.length, maxMessage);
  } else if (listing !== undefined && isListed(mended)) {
    const cursor = dig(message.params, "cursor");
    const page = typeof cursor === "string" ? cursor : undefined;
    desk.catalog.told(listing, page, mended.result);
    if (listing === "tools") desk.learnTools(link, page, mended.result);
  }
  if (text.length <= maxMessage) learn(desk, message, answer, now);
  // Only now: if one of the rooms above has a bug, the answer is still owed.
  desk.ledger.settle(id, link.epoch);
  // It was written twice there, and may be answered twice.
  if (desk.repeated.has(message)) {
    desk.ledger.late.add(id, link.epoch, "unclear");
  }
  desk.oneWay.answered(link.epoch, entry.number);
  const { liveness } = link;
  if (isCall(message.method) && liveness?.isUnanswered(entry.number, now)) {
    desk.answersDuringCalls ??= false;
  }
  // The client's own ping is as good a probe as ours.
  if (message.method === "ping") liveness?.ponged(id, now);
  desk.tasks.answered({ message, ...entry }, answer.result, link.epoch);
  link.used(now);
  desk.reply(text);
  link.answered();
  if (link.phase !== "greeting") return;
  // An error, too, is a sign of life; but after initialize it must be said again.
  const isGreeted = answer.error === undefined ||
    message.method === "server/discover";
  if (isGreeted) become(desk, link, now);
  else link.awaitGreeting(now);
}

/** An error, also that of a tool, is for people to read: no secret stays in it. Other results are the daemon's own business. */
function withoutSecrets(desk: Desk, text: string, answer: Answer): string {
  const isError = answer.error !== undefined ||
    dig(answer.result, "isError") === true;
  if (!isError || desk.hide === UNCHANGED) return text;
  let hidden = text;
  for (const { name, value: { start, end } } of members(text).reverse()) {
    if (name === "id" || name === "jsonrpc") continue;
    const value = mapStrings(text.slice(start, end), desk.hide);
    hidden = hidden.slice(0, start) + value + hidden.slice(end);
  }
  return hidden;
}

/**
 * The `server/discover` that opens the conversation, while it waits for its
 * answer: nothing else was ever written on that connection. The SDK's second
 * client gives it a text as id, of which a bridge may make null.
 */
function discovery(desk: Desk, { epoch, phase }: Link): Id | undefined {
  const { ledger } = desk;
  if (phase !== "greeting" || ledger.late.isAnyDue(epoch)) return undefined;
  const [only, ...others] = ledger.sentOn(epoch);
  const isIt = others.length === 0 &&
    only?.message.method === "server/discover";
  return isIt ? only.key : undefined;
}

/** A client whose daemon lacks the method knows as well that nothing is listed. */
function isListed({ error }: Answer): boolean {
  return error === undefined || error.code === Code.methodNotFound;
}

/** Whether the end of a subscription waits, no longer for being said twice. */
function isHeldBack(
  desk: Desk,
  id: Id,
  words: Answer | Notification,
  now: number,
): boolean {
  const { message, sentOn } = desk.ledger.find(id)!;
  const known = desk.endings.get(id);
  const isKnown = known !== undefined && !isOver(desk, id, known);
  const until = isKnown ? known.until : now + ENDING_MS;
  const epoch = sentOn!;
  if (now < until) desk.endings.set(id, { words, until, message, epoch });
  return now < until;
}

/** Whether the end of a subscription need not be told: it was told, or the connection has ended, too. */
function isOver(desk: Desk, id: Id, { message, epoch }: Ending): boolean {
  const owed = desk.ledger.find(id);
  return owed?.message !== message || owed.sentOn !== epoch;
}

/** The daemon has ended a subscription and is still there: the client hears it. */
export function end(desk: Desk, now: number, until: number = now): void {
  desk.endings.forget((id, it) => isOver(desk, id, it));
  for (const [id, ending] of desk.endings.take(until)) {
    const link = desk.links.get(ending.epoch);
    const { words } = ending;
    if (link === undefined || isOver(desk, id, ending)) continue;
    if (words.kind === "answer") settle(desk, link, words, now, "told");
    else {
      desk.dialect.note(words);
      desk.ledger.settle(id, link.epoch);
      desk.reply(words.text);
    }
  }
}

/** There is no answer yet; that a daemon is full for ever is bounded by the idle clock. */
function postpone(
  desk: Desk,
  link: Link,
  { id, ms, isUntouched }: Extract<Incoming, { kind: "later" }>,
  now: number,
): void {
  if (!desk.ledger.isInFlight(id, link.epoch)) {
    return desk.ledger.late.came(id, link.epoch);
  }
  link.used(now);
  if (!isUntouched) {
    const { message } = desk.ledger.find(id)!;
    const limitMs = desk.dialect.askingMs(message, now) ?? Infinity;
    const times = { pauseMs: ms, limitMs };
    return desk.ledger.askLater(id, link.epoch, now, times);
  }
  if (desk.ledger.tryLater(id, link.epoch, now, ms) === "waits") return;
  const owed = desk.ledger.cancel(id);
  if (owed === undefined) return;
  desk.reply(desk.timedOut(owed.message, owed, owed.limits.idle, now));
}

/** The answer is over the limit. */
function drop(
  desk: Desk,
  link: Link,
  { id, size }: Extract<Incoming, { kind: "too large" }>,
): void {
  desk.ledger.late.came(id, link.epoch);
  const owed = desk.ledger.find(id);
  if (owed === undefined) return;
  const fate = desk.fate(owed.message, owed);
  if (desk.ledger.settle(id, link.epoch) === undefined) return;
  desk.reply(fault.tooLarge(fate, size, desk.config.maxMessage));
}

function question(desk: Desk, link: Link, request: Request): void {
  const { id, text: { length } } = request;
  // It may be closed before the client answers.
  if (link.isSecond) {
    const text = request.method === "ping"
      ? success(id, {})
      : failure(id, Code.internal, "This connection is not in use yet");
    return void desk.tell(link, text);
  }
  if (desk.asked.isFull) {
    const what = "The client leaves too many requests unanswered";
    return void desk.tell(link, failure(id, Code.overloaded, what));
  }
  if (length <= desk.config.maxMessage) {
    return desk.reply(desk.asked.ask(link.epoch, request));
  }
  const what = `The request has ${length} characters (--max-message)`;
  desk.tell(link, failure(id, Code.tooLarge, what));
}

/** A notification with an id: the client would answer that it knows no such request. */
function hearWithoutId(
  desk: Desk,
  link: Link,
  { id, method, params, text }: Request,
  now: number,
): void {
  desk.tell(link, success(id, {}));
  const said = cut(text, ["id"]);
  hear(desk, link, { kind: "notification", method, params, text: said }, now);
}

function hear(
  desk: Desk,
  link: Link,
  notification: Notification,
  now: number,
): void {
  const { method, params } = notification;
  let text: string | undefined = notification.text;
  if (method === "notifications/cancelled") {
    if (isEnding(desk, link, notification, now)) return;
    text = desk.asked.cancelled(link.epoch, notification);
  } else if (isUnwanted(link, method)) {
    text = undefined;
  } else if (method === "notifications/progress") {
    text = progressed(desk, link, notification, now);
  } else if (method === "notifications/tasks/status") {
    desk.tasks.heard(params);
  }
  if (text !== undefined && text.length > desk.config.maxMessage) {
    return desk.do(report.tooLarge(notification));
  }
  if (text === undefined) return desk.do(report.stray("daemon", method));
  desk.reply(text);
}

/** Progress as the client gets it: with its own spelling of the token; `undefined` where it gets none. */
function progressed(
  desk: Desk,
  { epoch }: Link,
  notification: Notification,
  now: number,
): string | undefined {
  const { params, text } = notification;
  const said = digId(notification, "progressToken");
  if (said === undefined) return undefined;
  const value = dig(params, "progress");
  const isFor = (token: Id): boolean =>
    desk.ledger.progress(token, value, epoch, now) ||
    desk.tasks.progress(token, value, epoch);
  if (isFor(said)) return text;
  const meant = desk.tokens.meant(said);
  if (meant === undefined || !isFor(meant)) return undefined;
  return replace(text, ["params", "progressToken"], meant);
}

/** A daemon may take back a subscription of the client's, and nothing else (MCP 2026-07-28, cancellation). */
function isEnding(
  desk: Desk,
  { epoch }: Link,
  notification: Notification,
  now: number,
): boolean {
  const said = digId(notification, "requestId");
  const id = desk.ids.resolve(said, epoch);
  const owed = id === undefined ? undefined : desk.ledger.find(id);
  if (id === undefined || owed === undefined) return false;
  const { text } = notification;
  const words = id === said
    ? notification
    : { ...notification, text: replace(text, ["params", "requestId"], id) };
  return isSubscription(owed.message.method) &&
    isHeldBack(desk, id, words, now);
}

/** What the daemon says to everybody, the connection that is used says, too. */
function isUnwanted({ isSecond, role }: Link, method: Method): boolean {
  if (isSecond) return true;
  return role === "draining" &&
    (method === "notifications/resources/updated" ||
      /^notifications\/\w+\/list_changed$/.test(method));
}

function reject(
  desk: Desk,
  link: Link,
  message: Invalid,
  size: number,
  now: number,
): void {
  desk.do(report.invalid("daemon", message, size, levelOf(link)));
  const { id: said, like, reason } = message;
  if (said === undefined || said === "null") return;
  if (like === "call") {
    const text = `Invalid Request: ${reason}`;
    return void desk.tell(link, failure(said, Code.invalidRequest, text));
  }
  const id = desk.ids.resolve(said, link.epoch);
  if (id === undefined) return desk.ids.came(said, link.epoch);
  if (link.phase === "ready") return unreadable(desk, link, id, reason, now);
  desk.ledger.settle(id, link.epoch);
  const text = `The daemon's answer is no JSON-RPC message: ${reason}`;
  desk.reply(failure(id, Code.internal, text));
  if (link.phase === "greeting") link.awaitGreeting(now);
}
