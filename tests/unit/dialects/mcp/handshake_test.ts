/**
 * Tests what the MCP handshake replays on a new connection, and how the daemon's
 * response to `initialize` is evaluated.
 *
 * @module
 */

import { McpHandshake } from "../../../../lib/dialects/mcp/handshake.ts";
import { OwnRequests } from "../../../../lib/dialects/mcp/own_requests.ts";
import {
  type Response,
  toResultResponse,
} from "../../../../lib/protocol/jsonrpc.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { request } from "../../../helpers/parsed_request.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

type Source = "daemon" | "cached" | "placeholder";

const ASKED = "2025-11-25";
const REQUEST = request(
  '"init"',
  "initialize",
  `{"protocolVersion":"${ASKED}","n":1.0}`,
);
/** The id of the proxy's first own request. */
const OWN_ID = 2 ** 30;

/** Returns a handshake whose client got this version from this source. */
function agreedHandshake(version: string, source: Source): McpHandshake {
  const handshake = new McpHandshake(new OwnRequests(() => 0, () => false));
  const result = { protocolVersion: version };
  if (source === "daemon") {
    handshake.onInitializeResult(REQUEST, answer(result));
  } else {
    const response = toResultResponse(REQUEST.id, result);
    handshake.onLocalInitialize(REQUEST, response, source, undefined);
  }
  return handshake;
}

/** Returns the version that the next handshake replays. */
function replayedVersion(handshake: McpHandshake): string {
  const { text } = handshake.begin(2, [])!;
  return JSON.parse(text).params.protocolVersion;
}

function answer(result: Json, error?: Json): Response {
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result, error });
  return { kind: "response", id: "1", result, error, text };
}

const REPLAYED: [source: Source, version: string][] = [
  ["daemon", "2025-06-18"],
  ["placeholder", "2025-06-18"],
  // A cached result may be outdated, so the version that the client asked for
  // is replayed.
  ["cached", ASKED],
];
for (const [source, version] of REPLAYED) {
  test(`MCP handshake: after a result whose source is ${source}, replays version ${version}`, () => {
    const opening = agreedHandshake("2025-06-18", source).begin(1, []);
    const text = REQUEST.text.replace('"init"', `${OWN_ID}`)
      .replace(ASKED, version);
    assertEquals(opening, { text });
  });
}

/**
 * The source and version of the client's result, the daemon's version, the kind
 * and `isRefused` of the outcome, and the source afterwards. After `daemon`, no
 * other version is accepted.
 */
const EVALUATED: [
  source: Source,
  clientVersion: string,
  answered: string,
  kind: string,
  isRefused: boolean | undefined,
  next: Source,
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
    const handshake = agreedHandshake(clientVersion, source);
    const message = answer({ protocolVersion: answered });
    const incoming: Json = handshake.onOwnInitializeResponse(
      message,
      undefined,
    );
    assertEquals([incoming.kind, incoming.isRefused], [kind, isRefused]);
    const isRejected = kind === "rejected";
    assertEquals(
      replayedVersion(handshake),
      isRejected ? clientVersion : answered,
    );
    // Another known version is accepted until a daemon has confirmed one.
    const other = answer({ protocolVersion: "2024-11-05" });
    const later = handshake.onOwnInitializeResponse(other, undefined);
    assertEquals(later.kind, next === "daemon" ? "rejected" : "ready");
  });
}

test("MCP handshake: only a response to the client's own request is cached", () => {
  const evaluate = (handshake: McpHandshake, message: Response): Json =>
    handshake.onOwnInitializeResponse(message, undefined);
  const message = answer({ protocolVersion: "2025-06-18" });
  const own = evaluate(agreedHandshake(ASKED, "placeholder"), message);
  assertEquals(own.cacheable, { request: REQUEST, response: message });
  const handshake = agreedHandshake("2025-06-18", "daemon");
  const other = evaluate(handshake, message);
  assertEquals([other.cacheable, other.staleInitialize], [
    undefined,
    undefined,
  ]);
  const news = answer({ protocolVersion: "2025-03-26" });
  const changed = evaluate(handshake, news);
  assertEquals(
    changed.staleInitialize,
    REQUEST,
    "the cached result is outdated",
  );
});

test("MCP handshake: after an error, the daemon is rejected, and only an invalid params error removes the cached result", () => {
  for (const code of [-32602, -32603]) {
    const message = answer(undefined, { code, message: "no" });
    const handshake = agreedHandshake("2025-06-18", "daemon");
    const incoming: Json = handshake.onOwnInitializeResponse(message, "no");
    assertEquals([incoming.kind, incoming.isRefused], ["rejected", false]);
    assertEquals(
      incoming.staleInitialize,
      code === -32602 ? REQUEST : undefined,
    );
    assertEquals(replayedVersion(handshake), "2025-06-18");
  }
});

test("MCP handshake: the log level and the subscriptions are replayed as the client last set them", () => {
  const handshake = agreedHandshake(ASKED, "daemon");
  const set = (method: string, params: Json): void =>
    handshake.onSuccess(request("1", method, JSON.stringify(params)));
  assertEquals(handshake.buildReplay(1), { toDaemon: [], toClient: [] });
  set("resources/subscribe", { uri: "a:" });
  set("resources/subscribe", { uri: "b:" });
  set("logging/setLevel", { level: "info" });
  set("resources/unsubscribe", { uri: "a:" });
  set("logging/setLevel", { level: "error" });
  const { toDaemon, toClient } = handshake.buildReplay(1);
  const [level, subscribe, ...rest] = toDaemon.map((text) => JSON.parse(text));
  assertEquals([level.id, level.params], [OWN_ID, { level: "error" }]);
  assertEquals([subscribe.id, subscribe.params], [OWN_ID + 1, { uri: "b:" }]);
  assertEquals([rest.length, toClient.length], [0, 1]);
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
    const handshake = agreedHandshake(ASKED, "daemon");
    assertEquals(handshake.onInitializeResult(REQUEST, message), text(after));
  });
}
