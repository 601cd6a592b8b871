/**
 * What follows from a line of the client's.
 *
 * @module
 */

import type { Outgoing } from "../requests/server_requests.ts";
import type { Desk } from "./context.ts";
import { read, skim } from "../protocol/envelope.ts";
import { endTrial } from "./capacity_trial.ts";
import type { SessionEvent } from "../events.ts";
import * as fault from "./errors.ts";
import {
  type Answer,
  Code,
  digId,
  failure,
  type Invalid,
  isInitialized,
  type Message,
  type Notification,
  type Request,
  success,
} from "../protocol/jsonrpc.ts";
import type { Method } from "../protocol/mcp_types.ts";
import { cut } from "../json/spans.ts";
import * as report from "./log_messages.ts";
import { isStanding } from "../protocol/methods.ts";
import { clientOf } from "./snapshot.ts";
import { standIn } from "./offline_answers.ts";
import { abandon, flush } from "./link_lifecycle.ts";

/** Takes a line of the client's: one message, or a batch of them. */
export function fromClient(desk: Desk, line: string, now: number): void {
  if (line.trim() === "") return;
  for (const message of read(line)) {
    const run = (): void => take(desk, message, line.length, now);
    desk.guard(run, () => {
      if (message.kind !== "request") return;
      const { id } = message;
      const owed = desk.ledger.find(id);
      if (owed !== undefined && owed.message !== message) return; // it would answer that one
      desk.ledger.cancel(id);
      desk.reply(failure(id, Code.internal, "A bug in alwaysup stopped it"));
    });
  }
}

/** Takes what is left of a line that was too long to be read. */
export function overlong(
  desk: Desk,
  { bytes, head, tail }: Extract<SessionEvent, { type: "overlong" }>,
): void {
  desk.do(report.overlongLine(bytes));
  const id = skim(head, tail);
  if (id === undefined || desk.ledger.find(id) !== undefined) return;
  const what = `The request has ${bytes} bytes, which is too much to be read`;
  const reason = "too_large";
  const data = { reason, delivered: "no", retryable: false } as const;
  desk.reply(failure(id, Code.tooLarge, what, data));
}

function take(desk: Desk, message: Message, size: number, now: number): void {
  switch (message.kind) {
    case "request":
      return ask(desk, message, now);
    case "notification":
      return tell(desk, message, now);
    case "answer":
      return answer(desk, message);
    case "invalid":
      return reject(desk, message, size);
  }
}

function ask(desk: Desk, request: Request, now: number): void {
  if (isClientNotification(request.method)) {
    return tellWithoutId(desk, request, now);
  }
  if (desk.ledger.find(request.id) !== undefined) {
    return desk.do(report.duplicate(request));
  }
  desk.ids.note(request.id);
  desk.client ??= clientOf(request);
  // Also for what is answered without the daemon: it may not be what it was.
  if (request.method !== "ping") desk.links.main.dialForRequest(now);
  const daemon = desk.links.isUp ? "up" : "down";
  const local = desk.dialect.local(request, daemon);
  if (local !== undefined) return desk.reply(local);
  if (daemon === "down" && standIn(desk, request, now)) return;
  if (desk.ids.isLate(request.id)) return desk.reply(fault.lateId(request.id));
  const fate = desk.fate(request);
  const { maxMessage } = desk.config;
  const size = request.text.length;
  if (size > maxMessage) {
    return desk.reply(fault.tooLarge(fate, size, maxMessage));
  }
  const refusing = isStanding(request.method)
    ? undefined
    : desk.refusing(request);
  if (refusing !== undefined && !refusing.askAgain(now)) {
    const outage = desk.outage(refusing, now);
    return desk.reply(fault.unavailable(fate, outage));
  }
  if (isFull(desk, request, now)) return desk.reply(fault.overloaded(fate));
  desk.ledger.add(request, desk.limitsOf(request), now, desk.patience(now));
  const token = desk.ledger.find(request.id)?.token;
  if (token !== undefined) desk.tokens.note(token);
}

/** The notifications that clients send, but for the end of the handshake. */
const CLIENT_NOTIFICATIONS: readonly Method[] = [
  "notifications/cancelled",
  "notifications/progress",
  "notifications/roots/list_changed",
];

/** Whether a method is that of a notification that clients send. */
function isClientNotification(method: Method): boolean {
  return isInitialized(method) || CLIENT_NOTIFICATIONS.includes(method);
}

/** A notification with an id goes on without it, because a daemon would answer that it knows no such request. */
function tellWithoutId(desk: Desk, request: Request, now: number): void {
  const { id, method, params } = request;
  // An answer would be taken for that to an open request.
  if (desk.ledger.find(id) === undefined) desk.reply(success(id, {}));
  const text = cut(request.text, ["id"]);
  tell(desk, { kind: "notification", method, params, text }, now);
}

/** Whether the queue takes no further message, even if what can be written is. */
function isFull(
  desk: Desk,
  message: Request | Notification,
  now: number,
): boolean {
  if (!desk.ledger.isFull(message)) return false;
  flush(desk, now);
  if (!desk.ledger.isFull(message)) return false;
  // What only waits for a probe need not.
  endTrial(desk, now);
  desk.links.main.liveness?.endDelay(now);
  flush(desk, now);
  return desk.ledger.isFull(message);
}

function tell(desk: Desk, notification: Notification, now: number): void {
  switch (notification.method) {
    case "notifications/cancelled":
      return cancel(desk, notification, now);
    case "notifications/progress":
      return pass(desk, desk.asked.progress(notification), "progress");
  }
  const note = desk.dialect.note(notification);
  if (note === "ends here") return;
  if (note === "replayed" && desk.links.main.phase !== "ready") return;
  const isTooLarge = notification.text.length > desk.config.maxMessage;
  if (isTooLarge || isFull(desk, notification, now)) {
    return desk.do(desk.drops.dropped(notification));
  }
  // A queue that is full again and again tells it once.
  if (desk.ledger.waiting("main") === 0) desk.do(desk.drops.over());
  desk.ledger.add(notification, desk.limitsOf(notification), now);
}

/** A cancelled request gets no answer, and `initialize` must not be cancelled (MCP, utilities/cancellation). */
function cancel(desk: Desk, notification: Notification, now: number): void {
  const id = digId(notification, "requestId");
  const owed = id === undefined ? undefined : desk.ledger.find(id);
  if (id === undefined || owed?.message.method === "initialize") return;
  const isCarried = desk.dialect.note(notification) !== "ends here";
  const link = desk.links.get(owed?.sentOn);
  const isGreeting = owed?.isGreeting ?? false;
  desk.endings.delete(id);
  desk.ledger.cancel(id);
  if (link === undefined || owed === undefined) return;
  const frame = isCarried ? notification.text : undefined;
  abandon(desk, link, owed, frame, now);
  // Its answer will be nobody's, and the link must be greeted all the same.
  if (isGreeting && link.phase === "greeting") link.awaitGreeting(now);
}

/** The client answers a question of the daemon's. */
function answer(desk: Desk, { id, text }: Answer): void {
  const size = text.length;
  const { maxMessage } = desk.config;
  const isTooLarge = id !== undefined && size > maxMessage;
  const passed = isTooLarge
    ? failure(id, Code.tooLarge, `The answer has ${size} characters`)
    : text;
  pass(desk, desk.asked.answer(id, passed), "an answer");
}

/** Passes on what the client says about a question of the daemon's. */
function pass(desk: Desk, outgoing: Outgoing | undefined, what: string): void {
  const link = desk.links.get(outgoing?.epoch);
  if (outgoing === undefined || link === undefined) {
    return desk.do(report.stray("client", what));
  }
  desk.tell(link, outgoing.text);
}

function reject(desk: Desk, message: Invalid, size: number): void {
  desk.do(report.invalid("client", message, size));
  const { id, like, reason } = message;
  if (id === undefined) return;
  if (like === "answer") {
    const text = `The client's answer is no JSON-RPC message: ${reason}`;
    const outgoing = desk.asked.answer(id, failure(id, Code.internal, text));
    return pass(desk, outgoing, "an answer");
  }
  if (desk.ledger.find(id) !== undefined) return; // it would answer that one
  desk.reply(failure(id, Code.invalidRequest, `Invalid Request: ${reason}`));
}
