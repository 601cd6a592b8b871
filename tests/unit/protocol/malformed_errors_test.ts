/**
 * Tests how malformed errors of daemons become JSON-RPC errors.
 *
 * @module
 */

import { parseMessages } from "../../../lib/protocol/message_parser.ts";
import type { ErrorObject } from "../../../lib/protocol/jsonrpc.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

/** An error that a daemon sends, and the error that the client gets. */
const ERRORS: [
  error: string,
  code: number,
  message: string | RegExp,
  data?: Json,
][] = [
  ['{"code":-5,"message":"no"}', -5, "no"],
  ['"no"', -32603, "no"],
  ['{"message":"no"}', -32603, "no"],
  ['{"code":"E_BUSY","message":"no"}', -32603, "E_BUSY: no"],
  ['{"code":"-32601","message":"no"}', -32601, "no"],
  ['{"code":1.5,"message":"no","data":{"n":1.0}}', -32603, "no", { n: 1 }],
  ['{"code":null,"message":"no"}', -32603, "no"],
  ['{"code":7}', 7, "The daemon did not say why"],
  ['{"code":7,"error":"no"}', 7, "no"],
  ['{"detail":"no"}', -32603, "no"],
  ['{"code":"E_BUSY"}', -32603, "E_BUSY"],
  ['{"why":{"deep":1}}', -32603, '{"why":{"deep":1}}'],
  ['["no"]', -32603, '["no"]'],
  ["true", -32603, "true"],
  ['""', -32603, "The daemon did not say why"],
  ["{}", -32603, "The daemon did not say why"],
];

for (const [error, code, message, data] of ERRORS) {
  test(`Malformed errors: the client gets a valid error for ${error}`, () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.request(1, "x");
    driver.fromDaemon(`{"jsonrpc":"2.0","id":1,"error":${error}}`);
    const [reply] = driver.sentToClient();
    assertEquals([reply.id, reply.error.code], [1, code]);
    assertEquals(reply.error.message, message);
    assertEquals(reply.error.data, data);
  });
}

/**
 * Parses a response with an error, and with `more` members before the error.
 * Returns the error, and its text as the client gets it.
 */
function parseError(
  errorText: string,
  more = "",
): { error: ErrorObject | undefined; text: string } {
  const start = `{"jsonrpc":"2.0","id":1,${more}"error":`;
  const [message] = parseMessages(`${start}${errorText}}`);
  assert(message?.kind === "response");
  const { error, text } = message;
  return { error, text: text.slice(start.length, -1) };
}

test("Malformed errors: only an error with an integer code and a string message is forwarded unchanged", () => {
  for (
    const [value, isGood] of [
      [{ code: -1, message: "" }, true],
      [{ code: 1.5, message: "" }, false],
      [{ code: "1", message: "" }, false],
      [{ code: 2 ** 53, message: "" }, false],
      [{ code: 1 }, false],
      [{ code: 1, message: 5 }, false],
      ["no", false],
    ] as const
  ) {
    const text = JSON.stringify(value);
    assertEquals(parseError(text).text === text, isGood, text);
  }
});

test("Malformed errors: next to a result, an empty value is not an error", () => {
  const empty = [undefined, null, false, 0, "", {}, [], { code: 0 }, { a: {} }];
  for (const value of [...empty, { message: "" }, [null]]) {
    const text = JSON.stringify(value ?? null);
    assertEquals(parseError(text, '"result":{},').error, undefined, text);
  }
  for (const value of ["no", 1, true, { code: 1 }, ["no"], { a: { b: 0 } }]) {
    const text = JSON.stringify(value);
    assert(parseError(text, '"result":{},').error !== undefined, text);
  }
});

test("Malformed errors: data keeps its exact text, and a long error is cut", () => {
  const { error, text } = parseError(
    '{"code":"7","data":{"n":1.0},"detail":"no"}',
  );
  assertEquals(error, { code: 7, message: "no", data: { n: 1 } });
  assertEquals(text, '{"data":{"n":1.0},"code":7,"message":"no"}');
  const long = parseError(`{"why":"${"x".repeat(2_000)}"}`);
  assertEquals(long.error?.message.length, 1_000);
});
