/**
 * The messages whose costs are counted, as texts.
 *
 * @module
 */

/** A call, what the daemon sends for it, and the id of both. */
export interface Exchange {
  /** The client's line. */
  readonly line: string;
  /** The daemon's frames; the last one is the result. */
  readonly frames: readonly string[];
}

/**
 * Returns a text in one piece, like one that was received. A joined text is
 * joined in memory only when it is read, which would count as a cost.
 */
function inOnePiece(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

/** Returns a small call and its result. */
export function smallCall(id: number): Exchange {
  return callOf(id, `"arguments":{"message":"small"}`, "Echo: small");
}

/** Returns a small call with a progress token, a progress and a result. */
export function callWithProgress(id: number): Exchange {
  const meta = `"_meta":{"progressToken":${id}}`;
  const { line, frames } = callOf(
    id,
    `"arguments":{"message":"small"},${meta}`,
    "Echo: small",
  );
  const progress = `{"jsonrpc":"2.0","method":"notifications/progress",` +
    `"params":{"progressToken":${id},"progress":1,"total":2}}`;
  return { line, frames: [inOnePiece(progress), ...frames] };
}

/** Returns a call and its result, whose bodies have these sizes. */
export function largeCall(
  id: number,
  callChars: number,
  resultChars: number,
): Exchange {
  const message = "c".repeat(callChars);
  return callOf(
    id,
    `"arguments":{"message":"${message}"}`,
    "r".repeat(resultChars),
  );
}

function callOf(id: number, params: string, text: string): Exchange {
  const line = `{"jsonrpc":"2.0","id":${id},"method":"tools/call",` +
    `"params":{"name":"echo",${params}}}`;
  const result = `{"jsonrpc":"2.0","id":${id},` +
    `"result":{"content":[{"type":"text","text":"${text}"}]}}`;
  return { line: inOnePiece(line), frames: [inOnePiece(result)] };
}

/** Returns `count` exchanges, whose ids begin with `firstId`. */
export function exchanges(
  make: (id: number) => Exchange,
  firstId: number,
  count: number,
): Exchange[] {
  return Array.from({ length: count }, (_, i) => make(firstId + i));
}
