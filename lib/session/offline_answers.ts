/**
 * What the client is told while there is no daemon: what is remembered of it,
 * or at last that it is not there yet.
 *
 * @module
 */

import { emptied, listingOf } from "../protocol/lists.ts";
import type { Desk } from "./context.ts";
import {
  type Answer,
  Code,
  dig,
  type Request,
  spelled,
} from "../protocol/jsonrpc.ts";
import type { InitializeResult } from "../protocol/mcp_types.ts";
import { parsed } from "../cache/cache.ts";
import * as report from "./log_messages.ts";
import { agree } from "../protocol/versions.ts";

/**
 * Answers a request without the daemon, if that is known to be away and
 * something is remembered; what cannot be answered yet may be before long.
 */
export function standIn(desk: Desk, request: Request, now: number): boolean {
  const result = recall(desk, request, now);
  switch (request.method) {
    case "initialize":
      if (result === undefined) hold(desk, request, now);
      else introduce(desk, request, result, "remembered");
      return result !== undefined;
    case "server/discover": // says itself for how long it holds
      break;
    default:
      if (result === undefined || desk.isAway) break;
      hold(desk, request, now);
      return false;
  }
  if (result !== undefined) serve(desk, request, result);
  return result !== undefined;
}

/** What is remembered and the client can take. */
function recall(desk: Desk, request: Request, now: number): string | undefined {
  const result = desk.memory?.recall(request, now);
  const isGood = result !== undefined &&
    result.length <= desk.config.maxMessage;
  return isGood ? result : undefined;
}

/** The daemon may still answer it, but not for ever. */
function hold(desk: Desk, request: Request, now: number): void {
  const { initializeGrace } = desk.config;
  if (initializeGrace === Infinity) return;
  const { total } = desk.limitsOf(request);
  const ms = Math.min(
    ...[initializeGrace, desk.patience(now), total?.ms ?? Infinity],
  );
  desk.graces.set(request.id, { request, until: now + ms });
}

function serve(desk: Desk, request: Request, result: string): void {
  const listing = listingOf(request.method);
  if (listing !== undefined) {
    desk.catalog.told(listing, undefined, parsed(result));
  }
  desk.dialect.served(request);
  desk.ledger.cancel(request.id);
  desk.reply(spelled(request.id, result));
}

/** The main link is lost: what waits, or was asked on it, is answered with what is remembered. */
export function makeDo(desk: Desk, epoch: number, now: number): void {
  const { ledger, memory } = desk;
  if (!desk.isAway || memory === undefined) return;
  for (const { message } of [...ledger.queue(), ...ledger.sentOn(epoch)]) {
    if (message.kind === "request") remind(desk, message, now);
  }
}

/** Who the daemon is it can only say itself, once it was asked. */
function remind(desk: Desk, request: Request, now: number): void {
  if (request.method === "initialize") return;
  const result = recall(desk, request, now);
  if (result !== undefined) serve(desk, request, result);
}

/** The daemon has not come in time for what can be answered without it: the client can go on. */
export function improvise(desk: Desk, now: number): void {
  // A daemon that is there has answered it.
  desk.graces.forget((id, { request }) =>
    desk.ledger.find(id)?.message !== request
  );
  for (const [id, { request }] of desk.graces.take(now)) {
    const owed = desk.ledger.find(id);
    if (owed?.message !== request) continue;
    if (request.method === "initialize") {
      if (desk.links.main.phase !== "ready") makeUp(desk, request);
    } else if (owed.sentOn === undefined && !desk.links.isUp) {
      remind(desk, request, now);
    }
  }
}

function makeUp(desk: Desk, request: Request): void {
  const asked = dig(request.params, "protocolVersion");
  const result = {
    protocolVersion: agree(asked),
    capabilities: {
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true },
      logging: {},
    },
    serverInfo: { name: "alwaysup", version: desk.config.version },
    instructions: `The daemon at ${desk.config.shownUrl} is not up yet. Its ` +
      "tools appear when it is; calls made now wait for it.",
  } satisfies InitializeResult;
  introduce(desk, request, JSON.stringify(result), "made up");
}

/** The client is told who the daemon is, and the daemon will hear of the client later. */
function introduce(
  desk: Desk,
  request: Request,
  result: string,
  source: "remembered" | "made up",
): void {
  const version = dig(parsed(result), "protocolVersion");
  const owed = desk.ledger.find(request.id);
  desk.do(report.introduced(desk.config.shownUrl, source));
  const text = desk.dialect.introduced(
    request,
    spelled(request.id, result),
    { version, source },
    owed?.sentOn,
  );
  desk.isMadeUp = desk.wasMadeUp = source === "made up";
  desk.ledger.cancel(request.id);
  desk.reply(text);
}

/** A daemon that lacks what the client was told of lists nothing. */
export function mend(desk: Desk, request: Request, answer: Answer): Answer {
  const isMissing = desk.wasMadeUp &&
    answer.error?.code === Code.methodNotFound;
  const listing = listingOf(request.method);
  if (!isMissing || listing === undefined) return answer;
  return emptied({ ...answer, id: request.id }, listing);
}

/** Takes note of what the daemon said, for the next time. */
export function learn(
  desk: Desk,
  request: Pick<Request, "method" | "params">,
  answer: Answer,
  now: number,
): void {
  const { memory } = desk;
  if (memory === undefined) return;
  const isNews = memory.learn(request, answer, now);
  if (memory.takeWithheld()) desk.do(report.withheld(request.method));
  if (isNews) desk.do({ type: "remember", learned: memory.learned(now) });
}

/** What is remembered of `initialize` no longer holds. */
export function forget(desk: Desk, request: Request, now: number): void {
  const { memory } = desk;
  if (memory === undefined) return;
  memory.forget(dig(request.params, "protocolVersion"));
  desk.do({ type: "remember", learned: memory.learned(now) });
}
