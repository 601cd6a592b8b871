/**
 * The client's `initialize`, replayed on a new connection, and how the response
 * is evaluated.
 *
 * @module
 */

import {
  evaluateReplay,
  type NegotiatedInitialize,
  replayInitialize,
  withListChanged,
} from "../../../../lib/dialects/mcp/handshake.ts";
import type { Response } from "../../../../lib/protocol/jsonrpc.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { request } from "../../../helpers/parsed_request.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

const ASKED = "2025-11-25";
const REQUEST = request(
  '"init"',
  "initialize",
  `{"protocolVersion":"${ASKED}","n":1.0}`,
);

function agreed(
  version: string,
  source: NegotiatedInitialize["source"],
): NegotiatedInitialize {
  return { request: REQUEST, version, source };
}

function answer(result: Json, error?: Json): Response {
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result, error });
  return { kind: "response", id: "1", result, error, text };
}

const REPLAYED: [source: NegotiatedInitialize["source"], version: string][] = [
  ["daemon", "2025-06-18"],
  ["placeholder", "2025-06-18"],
  // The daemon may respond differently by now.
  ["cached", ASKED],
];
for (const [source, version] of REPLAYED) {
  test(`MCP handshake: after a result that is ${source}, replays version ${version}`, () => {
    const text = replayInitialize(agreed("2025-06-18", source), "7");
    assertEquals(
      text,
      REQUEST.text.replace('"init"', "7").replace(ASKED, version),
    );
  });
}

/** What the client got, what the daemon responds, and the result. */
const EVALUATED: [
  source: NegotiatedInitialize["source"],
  clientVersion: string,
  answered: string,
  kind: string,
  isRefused: boolean | undefined,
  source: NegotiatedInitialize["source"],
][] = [
  ["daemon", ASKED, ASKED, "ready", undefined, "daemon"],
  ["cached", ASKED, ASKED, "ready", undefined, "daemon"],
  ["placeholder", ASKED, "2025-06-18", "ready", undefined, "daemon"],
  ["placeholder", ASKED, "2099-01-01", "rejected", true, "placeholder"],
  ["daemon", ASKED, "2025-06-18", "rejected", true, "daemon"],
  ["cached", "2025-06-18", ASKED, "rejected", false, "placeholder"],
];
for (
  const [source, clientVersion, answered, kind, isRefused, next] of EVALUATED
) {
  test(`MCP handshake: the client has ${clientVersion} (${source}), the daemon answers ${answered}: ${kind}`, () => {
    const message = answer({ protocolVersion: answered });
    const outcome = evaluateReplay(
      agreed(clientVersion, source),
      message,
      undefined,
    );
    const incoming: Json = outcome.incoming;
    assertEquals([incoming.kind, incoming.isRefused], [kind, isRefused]);
    assertEquals(outcome.negotiated.source, next);
    const isHeld = kind === "rejected";
    assertEquals(outcome.negotiated.version, isHeld ? clientVersion : answered);
  });
}

test("MCP handshake: the cache learns an answer to the client's own request only", () => {
  const message = answer({ protocolVersion: "2025-06-18" });
  const own: Json =
    evaluateReplay(agreed(ASKED, "placeholder"), message, undefined).incoming;
  assertEquals(own.cacheable, { request: REQUEST, response: message });
  const clientVersion = agreed("2025-06-18", "daemon");
  const other: Json =
    evaluateReplay(clientVersion, message, undefined).incoming;
  assertEquals([other.cacheable, other.staleInitialize], [
    undefined,
    undefined,
  ]);
  const news = answer({ protocolVersion: "2025-03-26" });
  const changed: Json = evaluateReplay(clientVersion, news, undefined).incoming;
  assertEquals(
    changed.staleInitialize,
    REQUEST,
    "the cached result is outdated",
  );
});

test("MCP handshake: an error rejects, and only invalid params removes the cached result", () => {
  for (const code of [-32602, -32603]) {
    const message = answer(undefined, { code, message: "no" });
    const clientVersion = agreed(ASKED, "daemon");
    const { incoming, negotiated: next }: Json = evaluateReplay(
      clientVersion,
      message,
      "no",
    );
    assertEquals([incoming.kind, incoming.isRefused], ["rejected", false]);
    assertEquals(
      incoming.staleInitialize,
      code === -32602 ? REQUEST : undefined,
    );
    assertEquals(next, clientVersion);
  }
});

const CAPABILITIES: [before: string, after: string][] = [
  ['{"tools":{}}', '{"tools":{"listChanged":true}}'],
  ['{"tools":{"listChanged":false}}', '{"tools":{"listChanged":true}}'],
  ['{"tools":{"listChanged":true}}', '{"tools":{"listChanged":true}}'],
  ['{"tools":true,"logging":{}}', '{"tools":true,"logging":{}}'],
  [
    '{"resources":{"n":1.0},"prompts":{}}',
    '{"resources":{"listChanged":true,"n":1.0},"prompts":{"listChanged":true}}',
  ],
];
for (const [before, after] of CAPABILITIES) {
  test(`MCP handshake: declares listChanged in ${before}`, () => {
    const text = (capabilities: string): string =>
      `{"id":1,"result":{"capabilities":${capabilities}}}`;
    const { result } = JSON.parse(text(before));
    const message = { ...answer(result), text: text(before) };
    assertEquals(withListChanged(message), text(after));
  });
}
