/**
 * What follows from a line of the client's.
 *
 * @module
 */

import type { Outgoing } from "./asked.ts";
import type { Desk } from "./desk.ts";
import * as fault from "./fault.ts";
import {
  Code,
  digId,
  failure,
  type Invalid,
  type Notification,
  read,
  type Request,
} from "./jsonrpc.ts";
import * as report from "./report.ts";
import { flush } from "./tend.ts";

/** Takes a line of the client's: one message, or a batch of them. */
export function fromClient(desk: Desk, line: string, now: number): void {
  if (line.trim() === "") return;
  for (const message of read(line)) {
    switch (message.kind) {
      case "request":
        ask(desk, message, now);
        break;
      case "notification":
        tell(desk, message, now);
        break;
      case "answer":
        pass(desk, desk.asked.answer(message), "an answer");
        break;
      case "invalid":
        rejectFromClient(desk, message, line.length);
    }
  }
}

function ask(desk: Desk, request: Request, now: number): void {
  if (desk.ledger.find(request.id) !== undefined) {
    return desk.do(report.duplicate(request));
  }
  const local = desk.dialect.local(request, desk.links.isUp);
  if (local !== undefined) return desk.reply(local);
  const { maxMessage } = desk.config;
  const size = request.text.length;
  if (size > maxMessage) {
    return desk.reply(fault.tooLarge(request, size, maxMessage, "no"));
  }
  const refused = desk.links.refused;
  if (refused !== undefined) {
    const outage = desk.outage(refused, now);
    return desk.reply(fault.unavailable(request, outage, 0));
  }
  if (desk.ledger.isFull(request)) {
    return desk.reply(fault.overloaded(request, desk.ledger.waiting));
  }
  desk.ledger.add(request, now);
  flush(desk, now);
}

function tell(desk: Desk, notification: Notification, now: number): void {
  switch (notification.method) {
    case "notifications/cancelled":
      return cancel(desk, notification);
    case "notifications/progress":
      return pass(desk, desk.asked.progress(notification), "progress");
  }
  if (desk.dialect.keeps(notification) && !desk.links.isUp) return;
  if (desk.ledger.isFull(notification)) {
    return desk.do(report.droppedNotification(notification));
  }
  desk.ledger.add(notification, now);
  flush(desk, now);
}

/** A cancelled request gets no answer, and `initialize` must not be cancelled (MCP, utilities/cancellation). */
function cancel(desk: Desk, notification: Notification): void {
  const id = digId(notification, "requestId");
  const owed = id === undefined ? undefined : desk.ledger.find(id);
  if (id === undefined || owed?.message.method === "initialize") return;
  const link = desk.links.get(owed?.sentOn);
  desk.ledger.cancel(id);
  if (link !== undefined) {
    desk.send(link, desk.dialect.encode(notification));
  }
}

/** Passes on what the client says about a question of the daemon's. */
function pass(desk: Desk, outgoing: Outgoing | undefined, what: string): void {
  const link = desk.links.get(outgoing?.epoch);
  if (outgoing === undefined || link === undefined) {
    return desk.do(report.stray("client", what));
  }
  desk.send(link, outgoing.text);
}

function rejectFromClient(desk: Desk, message: Invalid, size: number): void {
  desk.do(report.invalid("client", message, size));
  const { id, like, reason } = message;
  if (id === undefined || like === "answer") return;
  if (desk.ledger.find(id) !== undefined) return; // it would answer that one
  desk.reply(failure(id, Code.invalidRequest, `Invalid Request: ${reason}`));
}
