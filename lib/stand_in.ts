/**
 * What the client is told while there is no daemon: what is remembered of it,
 * or at last that it is not there yet.
 *
 * @module
 */

import { LISTS } from "./catalog.ts";
import type { Desk } from "./desk.ts";
import { type Answer, Code, dig, type Request, success } from "./jsonrpc.ts";
import { LISTINGS, parsed } from "./memory.ts";
import * as report from "./report.ts";
import { agree } from "./versions.ts";

/**
 * Answers a request for a daemon that is away, if it can; an `initialize` that
 * cannot be answered yet will be before long.
 */
export function standIn(desk: Desk, request: Request, now: number): boolean {
  const result = desk.memory?.recall(request, now);
  const { maxMessage, initializeGrace } = desk.config;
  const isKnown = result !== undefined && result.length <= maxMessage;
  if (request.method === "initialize") {
    if (isKnown) introduce(desk, request, result, "remembered");
    else if (initializeGrace < Infinity) {
      const { total } = desk.limitsOf(request);
      const ms = Math.min(
        ...[initializeGrace, desk.patience(now), total?.ms ?? Infinity],
      );
      desk.introductions.set(request.id, { request, until: now + ms });
    }
    return isKnown;
  }
  if (!isKnown) return false;
  const list = LISTS.find((name) => LISTINGS[request.method] === name);
  if (list !== undefined) desk.catalog.told(list, undefined, parsed(result));
  desk.dialect.served(request);
  desk.reply(answerOf(request, result));
  return true;
}

/** The daemon has not answered `initialize` in time: the client hears that, and can go on. */
export function improvise(desk: Desk, now: number): void {
  for (const [id, { request, until }] of desk.introductions) {
    const isOwed = desk.ledger.find(id)?.message === request;
    // A daemon that is there will answer it.
    if (isOwed && now < until) continue;
    desk.introductions.delete(id);
    if (isOwed && desk.links.main.phase !== "ready") makeUp(desk, request);
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
  };
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
    answerOf(request, result),
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
  const items = Object.hasOwn(LISTINGS, request.method)
    ? LISTINGS[request.method]
    : undefined;
  if (!isMissing || items === undefined) return answer;
  const result = { [items]: [] };
  const text = success(request.id, result);
  return { ...answer, result, error: undefined, text };
}

/** Takes note of what the daemon said, for the next time. */
export function learn(
  desk: Desk,
  request: Pick<Request, "method" | "params">,
  answer: Answer,
  now: number,
): void {
  const { memory } = desk;
  if (memory === undefined || !memory.learn(request, answer, now)) return;
  desk.do({ type: "remember", learned: memory.learned(now) });
}

/** What is remembered of `initialize` no longer holds. */
export function forget(desk: Desk, request: Request, now: number): void {
  const { memory } = desk;
  if (memory === undefined) return;
  memory.forget(dig(request.params, "protocolVersion"));
  desk.do({ type: "remember", learned: memory.learned(now) });
}

function answerOf({ id }: Request, result: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${result}}`;
}
