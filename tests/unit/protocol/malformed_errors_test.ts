/**
 * Errors of daemons in the form that JSON-RPC wants.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

/** Errors as daemons write them, and as the client gets them. */
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
  test(`Malformed errors: the client gets a valid one for ${error}`, () => {
    const scene = new Scene();
    scene.start();
    scene.ask(1, "x");
    scene.daemon(`{"jsonrpc":"2.0","id":1,"error":${error}}`);
    const [reply] = scene.replies();
    assertEquals([reply.id, reply.error.code], [1, code]);
    assertEquals(reply.error.message, message);
    assertEquals(reply.error.data, data);
  });
}
