/**
 * What follows from an event on a socket.
 *
 * @module
 */

import { LISTS } from "./catalog.ts";
import type { Desk } from "./desk.ts";
import type { Incoming } from "./dialect.ts";
import type { SocketEvent } from "./event.ts";
import * as fault from "./fault.ts";
import {
  type Answer,
  Code,
  dig,
  digId,
  failure,
  type Invalid,
  type Notification,
  notification as notify,
  oneLine,
} from "./jsonrpc.ts";
import type { Link } from "./link.ts";
import * as report from "./report.ts";
import { greet, lose, ready } from "./tend.ts";

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
      link.opened();
      return greet(desk, link, now);
    case "binary":
      link.heard(now);
      return desk.do(report.binaryFrame(event.bytes));
    case "frame":
      link.heard(now);
      for (const incoming of desk.dialect.decode(event.epoch, event.text)) {
        if (link.epoch !== event.epoch) return; // the one before ended it
        fromDaemon(desk, link, incoming, event.text.length, now);
      }
      return;
    case "closed": {
      const refusal = desk.dialect.refusal(event.code, event.status);
      return lose(desk, link, {
        reason: refusal ?? event.reason,
        refused: refusal !== undefined,
        subprotocol: event.reached && desk.dialect.subprotocol !== undefined,
      }, now);
    }
  }
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
      return desk.reply(desk.asked.ask(link.epoch, incoming));
    case "invalid":
      return rejectFromDaemon(desk, link, incoming, size);
    case "ready":
      return ready(desk, link, now);
    case "rejected":
      return lose(desk, link, incoming, now);
    case "own":
      if (incoming.trouble !== undefined) {
        desk.do(report.notRestored(incoming.trouble));
      }
      return;
    case "page": {
      const { list, isFirst, result } = incoming;
      const found = desk.catalog.compare(list, isFirst, result);
      if (found.kind === "more") {
        desk.send(link, desk.dialect.list(link.epoch, list, found.cursor));
      } else if (found.kind === "changed") {
        desk.do(report.changed(list));
        desk.reply(notify(`notifications/${list}/list_changed`));
      }
    }
  }
}

function settle(desk: Desk, link: Link, answer: Answer, now: number): void {
  const owed = answer.id === undefined
    ? undefined
    : desk.ledger.settle(answer.id, link.epoch);
  if (owed === undefined) {
    return desk.do(report.stray("daemon", `an answer to id ${answer.id}`));
  }
  const { message } = owed;
  const text = oneLine(desk.dialect.answered(message, answer));
  const { maxMessage } = desk.config;
  if (text.length > maxMessage) {
    desk.reply(fault.tooLarge(message, text.length, maxMessage, "yes"));
  } else {
    const list = LISTS.find((name) => message.method === `${name}/list`);
    if (list !== undefined && answer.error === undefined) {
      desk.catalog.told(list, message.params, answer.result);
    }
    desk.reply(text);
  }
  if (link.phase !== "greeting") return;
  if (answer.error === undefined) ready(desk, link, now);
  else link.unanswered();
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
    text = desk.asked.cancelled(link.epoch, notification);
  } else if (method === "notifications/progress") {
    const token = digId(notification, "progressToken");
    const isRising = desk.ledger
      .progress(token, dig(params, "progress"), link.epoch, now);
    if (!isRising) text = undefined;
  }
  if (text === undefined) return desk.do(report.stray("daemon", method));
  desk.reply(oneLine(text));
}

function rejectFromDaemon(
  desk: Desk,
  link: Link,
  message: Invalid,
  size: number,
): void {
  desk.do(report.invalid("daemon", message, size));
  const { id, like, reason } = message;
  if (id === undefined) return;
  if (like === "call") {
    const text = `Invalid Request: ${reason}`;
    return desk.send(link, failure(id, Code.invalidRequest, text));
  }
  if (desk.ledger.settle(id, link.epoch) === undefined) return;
  const text = `The daemon's answer is no JSON-RPC message: ${reason}`;
  desk.reply(failure(id, Code.internal, text));
  if (link.phase === "greeting") link.unanswered();
}
