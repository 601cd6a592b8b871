/**
 * A request parsed from its text.
 *
 * @module
 */

import { parseMessages } from "../../lib/protocol/message_parser.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";

/** Parses a request; its id and its params are JSON texts. */
export function request(id: string, method: string, params = "{}"): Request {
  const text =
    `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`;
  const [message] = parseMessages(text);
  if (message?.kind !== "request") throw new Error(`Not a request: ${text}`);
  return message;
}
