/**
 * Creates requests for tests by parsing JSON text.
 *
 * @module
 */

import { parseMessages } from "../../lib/protocol/message_parser.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";

/** Returns a parsed request. `id` and `params` are JSON texts. */
export function request(id: string, method: string, params = "{}"): Request {
  const text =
    `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`;
  const [message] = parseMessages(text);
  if (message?.kind !== "request") throw new Error(`Not a request: ${text}`);
  return message;
}
