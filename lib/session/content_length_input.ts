/**
 * Handles a client that frames its messages with Content-Length headers.
 *
 * @module
 */

import type { ContentLengthEvent } from "../protocol/content_length.ts";
import type { SessionContext } from "./context.ts";
import { parseMessages, recoverRequestId } from "../protocol/message_parser.ts";
import { buildErrorResponse, ErrorCode, type Id } from "../protocol/jsonrpc.ts";
import { CONTENT_LENGTH_ADVICE, contentLengthHeaders } from "./log_messages.ts";

/**
 * Handles a `Content-Length` header, or the body after it: nothing of it is
 * sent to the daemon, and every request in it gets an error.
 */
export function handleContentLength(
  context: SessionContext,
  { text }: ContentLengthEvent,
): void {
  if (text === undefined) return context.emit(contentLengthHeaders());
  for (const id of requestIdsIn(text)) {
    if (context.tracker.find(id) !== undefined) continue; // the response would belong to that request
    context.sendToClient(
      buildErrorResponse(
        id,
        ErrorCode.invalidRequest,
        `Invalid Request: ${CONTENT_LENGTH_ADVICE}`,
      ),
    );
  }
}

/** Returns the ids of the requests in a body, as far as they can be read. */
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
