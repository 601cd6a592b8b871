/**
 * Answers that could not be understood, and what becomes of their requests.
 *
 * | the daemon sends                                         | and                                                     | the request                          |
 * | -------------------------------------------------------- | ------------------------------------------------------- | ------------------------------------ |
 * | what is no answer, but names a request in flight         |                                                         | waits 2 s for a proper answer        |
 * | an error without an id, with code -32700 or -32600       | exactly one request can be meant                        | waits 2 s for a proper answer        |
 * | the same                                                 | something else can be meant                             | waits as before                      |
 * | progress of the request in these 2 s                     |                                                         | waits as before: it was taken        |
 * | no proper answer in these 2 s                            | one of the proxy's own requests that could be meant has none either | waits as before          |
 * | no proper answer in these 2 s                            | it may be repeated, and was not for this reason         | is written once more                 |
 * | no proper answer in these 2 s                            | it may not be repeated, or was                          | ends: its outcome is unknown         |
 *
 * What can be meant is whatever was written on that connection and is not
 * settled. A request that gets its own answer was not the one that the error was
 * about. An error without an id is the answer to the client's `server/discover`
 * while that opens a connection: `from_daemon.ts` sees to it.
 *
 * @module
 */

import type { Entry } from "../requests/entry.ts";
import type { Desk } from "./context.ts";
import * as fault from "./errors.ts";
import {
  type Answer,
  Code,
  type Id,
  type Request,
} from "../protocol/jsonrpc.ts";
import type { ErrorCodes } from "../protocol/mcp_types.ts";
import type { Link } from "../link/link.ts";
import * as report from "./log_messages.ts";

/** JSON-RPC 2.0 section 5.1: invalid JSON was received. */
const PARSE_ERROR = -32700 satisfies ErrorCodes["parseError"];
/** How long a proper answer is waited for, in milliseconds. */
const PROPER_MS = 2_000;

/** An error came that names no request. */
export function unnamed(
  desk: Desk,
  link: Link,
  { error }: Answer,
  now: number,
): void {
  const words = desk.words(`${error?.code}: ${error?.message}`);
  desk.do(report.unnamedError(words));
  const isRefusal = error?.code === PARSE_ERROR ||
    error?.code === Code.invalidRequest;
  const id = isRefusal ? onlyOne(desk, link) : undefined;
  if (id === undefined) return;
  wait(desk, link, id, words, desk.dialect.unanswered(link.epoch), now);
}

/** What came names a request in flight, and is no answer to it: nothing else can be meant. */
export function unreadable(
  desk: Desk,
  link: Link,
  id: Id,
  reason: string,
  now: number,
): void {
  wait(desk, link, id, reason, [], now);
}

/** The one request that can be meant on a connection. */
function onlyOne(desk: Desk, { epoch, phase }: Link): Id | undefined {
  const { dialect, ledger } = desk;
  const isElse = phase !== "ready" || ledger.late.isAnyDue(epoch) ||
    !desk.oneWay.isTaken(epoch);
  if (isElse) return undefined;
  let only: Entry | undefined;
  for (const owed of ledger.sentOn(epoch)) {
    if (dialect.hasAcknowledged(owed.key)) continue;
    if (only !== undefined) return undefined;
    only = owed;
  }
  // One that the daemon is at was taken.
  return only !== undefined && saidAt(only) < only.sentAt
    ? only.key
    : undefined;
}

/** When the daemon last said that it is at a request. */
function saidAt({ said }: Entry): number {
  return said?.at ?? -Infinity;
}

function wait(
  desk: Desk,
  { epoch }: Link,
  id: Id,
  words: string,
  others: readonly Id[],
  now: number,
): void {
  const { message, number, isGreeting } = desk.ledger.find(id)!;
  // What opens the conversation has a limit of its own.
  if (isGreeting) return;
  const known = desk.unclear.get(id);
  const isKnown = known?.message === message && known.epoch === epoch &&
    known.number === number;
  if (isKnown) return;
  const until = now + PROPER_MS;
  desk.unclear.set(id, { until, message, epoch, number, words, others });
}

/** Repeats, or ends, the requests that no proper answer came to. */
export function endUnclear(desk: Desk, now: number): void {
  for (const [id, unclear] of desk.unclear.take(now)) {
    const { until, message, epoch, number, ...it } = unclear;
    const owed = desk.ledger.find(id);
    const isSame = owed?.message === message && owed.sentOn === epoch &&
      owed.number === number;
    const isOther = it.others.some((other) => desk.dialect.isUnanswered(other));
    if (!isSame || isOther || saidAt(owed) > until - PROPER_MS) continue;
    if (desk.mayRepeat(message) && !desk.repeated.has(message)) {
      repeat(desk, message, now);
    } else {
      desk.ledger.cancel(id);
      desk.ledger.late.add(id, epoch, "unclear");
      const times = desk.repeated.has(message) ? 2 : 1;
      desk.reply(fault.unreadable(desk.fate(message, owed), it.words, times));
    }
  }
}

function repeat(desk: Desk, message: Request, now: number): void {
  desk.repeated.add(message);
  // The daemon may be another one since its tools were listed.
  if (desk.needsHint(message)) desk.ledger.hints.need(message.id, now);
  desk.ledger.repeat(message.id, now);
}
