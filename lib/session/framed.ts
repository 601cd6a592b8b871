/**
 * What a client is told that frames its messages with headers.
 *
 * @module
 */

import type { Framed } from "../protocol/content_length.ts";
import type { Desk } from "./context.ts";
import { read, skim } from "../protocol/envelope.ts";
import { Code, failure, type Id } from "../protocol/jsonrpc.ts";
import { FRAMED, framing } from "./log_messages.ts";

/** Takes a sign of such headers, or what stood behind them: nothing of it goes to the daemon, and no request waits for an answer. */
export function framed(desk: Desk, { text }: Framed): void {
  if (text === undefined) return desk.do(framing());
  for (const id of requestsIn(text)) {
    if (desk.ledger.find(id) !== undefined) continue; // it would answer that one
    desk.reply(failure(id, Code.invalidRequest, `Invalid Request: ${FRAMED}`));
  }
}

/** The ids of the requests in a body, as far as they can be read. */
function requestsIn(text: string): Id[] {
  const ids = read(text).map((message) => {
    if (message.kind === "request") return message.id;
    if (message.kind !== "invalid" || message.like !== "call") return undefined;
    return message.id ?? skim(text, text);
  });
  return ids.filter((id) => id !== undefined);
}
