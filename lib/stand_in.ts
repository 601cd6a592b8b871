/**
 * What the client is told while there is no daemon: what is remembered of it,
 * or at last that it is not there yet.
 *
 * @module
 */

import { LISTS } from "./catalog.ts";
import type { Desk } from "./desk.ts";
import { type Answer, Code, dig, type Request, success } from "./jsonrpc.ts";
import { LISTINGS, parsed, toText } from "./memory.ts";
import * as report from "./report.ts";
import { agree } from "./versions.ts";

/**
 * Answers a request for a daemon that is away, if it can; an `initialize` that
 * cannot be answered yet will be before long.
 */
export function standIn(desk: Desk, request: Request, now: number): boolean {
  const result = desk.memory?.recall(request, now);
  if (request.method === "initialize") {
    if (result !== undefined) introduce(desk, request, result, "remembered");
    else {desk.introduction = {
        request,
        until: now + desk.config.initializeGrace,
      };}
    return result !== undefined;
  }
  if (result === undefined) return false;
  const list = LISTS.find((name) => LISTINGS[request.method] === name);
  if (list !== undefined) desk.catalog.told(list, undefined, parsed(result));
  desk.reply(answerOf(request, result));
  return true;
}

/** The daemon has not answered `initialize` in time: the client hears that, and can go on. */
export function improvise(desk: Desk): void {
  const { introduction } = desk;
  desk.introduction = undefined;
  if (introduction === undefined) return;
  const { request } = introduction;
  if (desk.ledger.find(request.id)?.message !== request) return;
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
  const { memory, config } = desk;
  if (memory === undefined || !memory.learn(request, answer, now)) return;
  const owner = { daemon: config.shownUrl, dialect: config.dialect };
  desk.do({ type: "remember", text: toText(owner, memory.all(now)) });
}

function answerOf({ id }: Request, result: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${result}}`;
}
