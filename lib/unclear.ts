/**
 * Answers that could not be understood, and what becomes of their requests.
 *
 * | the daemon sends                                        | while                                             | the request                   |
 * | ------------------------------------------------------- | ------------------------------------------------- | ----------------------------- |
 * | a text that breaks off behind the id of an open request  |                                                   | waits 2 s for a proper answer |
 * | an error without an id, with code -32700 or -32600      | one request, and nothing else, can be meant       | waits 2 s for a proper answer |
 * | the same                                                | something else can be meant                       | waits as before               |
 * | no proper answer in these 2 s                           | it may be repeated, and was not for this reason   | is written once more          |
 * | no proper answer in these 2 s                           | it may not be repeated, or was                    | ends: its outcome is unknown  |
 *
 * An error without an id is the answer to the client's `server/discover` while
 * that opens a connection: `from_daemon.ts` sees to it.
 *
 * What can be meant is whatever was written on that connection and is not
 * settled. The proxy's own requests count as settled if they are answered in
 * these 2 s: who answers a request has not meant it.
 *
 * @module
 */

import type { Desk } from "./desk.ts";
import * as fault from "./fault.ts";
import { type Answer, Code, type Id } from "./jsonrpc.ts";
import type { Link } from "./link.ts";
import * as report from "./report.ts";

/** JSON-RPC 2.0 section 5.1: invalid JSON was received. */
const PARSE_ERROR = -32700;
/** How long a proper answer is waited for, in milliseconds. */
const PROPER_MS = 2_000;

/** An error came that names no request. */
export function unnamed(
  desk: Desk,
  link: Link,
  { error }: Answer,
  now: number,
): void {
  const words = desk.hide(`${error?.code}: ${error?.message}`);
  desk.do(report.unnamedError(words));
  const isRefused = error?.code === PARSE_ERROR ||
    error?.code === Code.invalidRequest;
  const id = isRefused ? onlyOne(desk, link) : undefined;
  if (id !== undefined) wait(desk, link, id, words, now);
}

/** The answer to a request in flight breaks off. */
export function broken(
  desk: Desk,
  link: Link,
  id: Id,
  reason: string,
  now: number,
): void {
  wait(desk, link, id, reason, now);
}

/** The one request that can be meant on a connection. */
function onlyOne(desk: Desk, { epoch, phase }: Link): Id | undefined {
  const { dialect, ledger } = desk;
  const isElse = phase !== "ready" || ledger.late.isAnyDue(epoch) ||
    !desk.told.isTaken(epoch);
  if (isElse) return undefined;
  const open = [...ledger.sentOn(epoch)]
    .filter(({ key }) => !dialect.hasAcknowledged(key));
  return open.length === 1 ? open[0]!.key : undefined;
}

function wait(
  desk: Desk,
  { epoch }: Link,
  id: Id,
  words: string,
  now: number,
): void {
  const { message, number, isGreeting } = desk.ledger.find(id)!;
  // What opens the conversation has a limit of its own.
  if (isGreeting || desk.unclear.has(id)) return;
  const others = desk.dialect.asked(epoch);
  const until = now + PROPER_MS;
  desk.unclear.set(id, { until, message, epoch, number, words, others });
}

/** Repeats, or ends, the requests that no proper answer came to. */
export function endUnclear(desk: Desk, now: number): void {
  for (const [id, it] of desk.unclear) {
    if (now < it.until) continue;
    desk.unclear.delete(id);
    const { message, epoch, number, words } = it;
    const owed = desk.ledger.find(id);
    const isSame = owed?.message === message && owed.sentOn === epoch &&
      owed.number === number;
    const asked = desk.dialect.asked(epoch);
    if (!isSame || it.others.some((other) => asked.includes(other))) continue;
    if (desk.mayRepeat(message) && !desk.hasRepeated.has(message)) {
      desk.hasRepeated.add(message);
      if (desk.needsHint(message)) desk.ledger.needHint(id, now);
      desk.ledger.repeat(id, now);
      continue;
    }
    desk.ledger.cancel(id);
    desk.ledger.late.add(id, epoch, "unclear");
    desk.reply(fault.unreadable(desk.fate(message, owed), words));
  }
}
