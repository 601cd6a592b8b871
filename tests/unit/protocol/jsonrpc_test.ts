/**
 * Tests the proxy's own messages, their error codes, and the ids in truncated
 * texts.
 *
 * @module
 */

import {
  parseMessages,
  recoverRequestId,
} from "../../../lib/protocol/message_parser.ts";
import {
  buildErrorResponse,
  buildNotification,
  buildRequest,
  buildResultResponse,
  ErrorCode,
  getNestedId,
  toSingleLine,
} from "../../../lib/protocol/jsonrpc.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const TRUNCATED: [head: string, tail: string, id: string | undefined][] = [
  ['{"jsonrpc":"2.0","id":7,"method":"x","params":{', "}}", "7"],
  ['{"jsonrpc":"2.0","method":"x","id":"a","params":{', "}}", '"a"'],
  ['{"method":"x","params":{"a":"', '"},"jsonrpc":"2.0","id":7}', "7"],
  ['{"method":"x","params":{"a":"', '"},"id":"7"} ', '"7"'],
  ['{"method":"x","params":{"id":5,"a":"', '"}}', undefined],
  ['{"method":"x","params":{"a":{"b":"', '","id":5}}}', undefined],
  ['{"jsonrpc":"2.0","id":7,"result":{"method":', "}}", undefined],
  ['[{"jsonrpc":"2.0","id":7,"method":"x"},', "]", undefined],
  [
    '{"id":12345678901234567890,"method":"x","params":{',
    "}}",
    "12345678901234567890",
  ],
  ['{"id":01,"method":"x","params":{', "}}", undefined],
  ['{"id":"\\x","method":"x","params":{', "}}", undefined],
  ["xxxxxxxx", "xxxxxxx", undefined],
];

for (const [head, tail, id] of TRUNCATED) {
  test(`JSON-RPC: recoverRequestId finds the id in ${head} ... ${tail}`, () => {
    assertEquals(
      recoverRequestId(head + "x".repeat(99), "x".repeat(99) + tail),
      id,
    );
  });
}

test("JSON-RPC: getNestedId reads ids inside params, even beyond the precision of a number", () => {
  const at = (params: string): string | undefined => {
    const text = `{"jsonrpc":"2.0","method":"m","params":${params}}`;
    const [message] = parseMessages(text);
    return message?.kind === "notification"
      ? getNestedId(message, "requestId")
      : "unreadable";
  };
  assertEquals(at('{"requestId":0}'), "0");
  assertEquals(at('{"requestId":"0"}'), '"0"');
  assertEquals(
    at('{"requestId":98765432109876543210}'),
    "98765432109876543210",
  );
  assertEquals(at('{"requestId":null}'), undefined);
  assertEquals(at("{}"), undefined);
  assertEquals(at("[1]"), undefined);
});

test("JSON-RPC: builds messages with the exact text of the id", () => {
  assertEquals(
    buildErrorResponse('"0"', ErrorCode.unavailable, 'a "b"\n'),
    '{"jsonrpc":"2.0","id":"0","error":{"code":-31001,"message":"a \\"b\\"\\n"}}',
  );
  assertEquals(
    buildResultResponse("0", {}),
    '{"jsonrpc":"2.0","id":0,"result":{}}',
  );
  assertEquals(
    buildRequest("1", "ping"),
    '{"jsonrpc":"2.0","id":1,"method":"ping"}',
  );
  assertEquals(
    buildNotification("notifications/resources/updated", { uri: "a" }),
    '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a"}}',
  );
});

test("JSON-RPC: our own error codes are outside the reserved range", () => {
  const standard = [-32600, -32601, -32602, -32603];
  for (const code of Object.values(ErrorCode)) {
    const isPrivate = code < -32768 || code > -32000;
    assertEquals(isPrivate, !standard.includes(code), `${code}`);
  }
});

test("JSON-RPC: toSingleLine turns an indented frame into one line with the same value", () => {
  const value = { a: ["x\ny", 1], b: "\r" };
  const line = toSingleLine(`\r\n${JSON.stringify(value, null, 2)}\n`);
  assertEquals(/[\r\n]/.test(line), false);
  assertEquals(JSON.parse(line), value);
  assertEquals(toSingleLine('{ "a":1.0}'), '{ "a":1.0}');
});
