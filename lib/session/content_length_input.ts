/**
 * What a client is told that frames its messages with headers.
 *
 * @module
 */

import type { ContentLengthEvent } from "../protocol/content_length.ts";
import type { SessionContext } from "./context.ts";
import { parseMessages, recoverRequestId } from "../protocol/message_parser.ts";
import { buildErrorResponse, ErrorCode, type Id } from "../protocol/jsonrpc.ts";
import { CONTENT_LENGTH_ADVICE, contentLengthHeaders } from "./log_messages.ts";

/** Takes a sign of such headers, or what stood behind them: nothing of it goes to the daemon, and no request waits for an answer. */
export function handleContentLength(
  context: SessionContext,
  { text }: ContentLengthEvent,
): void {
  if (text === undefined) return context.emit(contentLengthHeaders());
  for (const id of requestIdsIn(text)) {
    if (context.tracker.find(id) !== undefined) continue; // it would answer that one
    context.sendToClient(
      buildErrorResponse(
        id,
        ErrorCode.invalidRequest,
        `Invalid Request: ${CONTENT_LENGTH_ADVICE}`,
      ),
    );
  }
}

/** The ids of the requests in a body, as far as they can be read. */
function requestIdsIn(text: string): Id[] {
  const ids = parseMessages(text).map((message) => {
    if (message.kind === "request") return message.id;
    if (
      message.kind !== "invalid" ||
      message.intendedKind !== "request-or-notification"
    ) return undefined;
    return message.id ?? recoverRequestId(text, text);
  });
  return ids.filter((id) => id !== undefined);
}
