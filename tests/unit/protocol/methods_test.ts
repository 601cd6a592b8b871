/**
 * Which methods may be executed twice, and which hold up nothing else.
 *
 * @module
 */

import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { isSafe } from "../../../lib/protocol/methods.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";

const REPEATABLE: [request: Request, safe: boolean][] = [
  [request("1", "ping"), true],
  [request("1", "tools/list"), true],
  [request("1", "resources/read"), true],
  [request("1", "logging/setLevel"), true],
  [request("1", "completion/complete"), true],
  [request("1", "tasks/result"), true],
  [request("1", "tasks/cancel"), false],
  [request("1", "vendor/method"), false],
  [request("1", "tools/call", '{"name":"hinted"}'), true],
  [request("1", "tools/call", '{"name":"plain"}'), false],
  [request("1", "tools/call", '{"name":"hinted","task":{}}'), false],
  [request("1", "tools/call", '{"name":7}'), false],
  [request("1", "tools/call", "[]"), false],
];

for (const [message, safe] of REPEATABLE) {
  test(`Idempotent methods: ${message.method} ${JSON.stringify(message.params)}`, () => {
    assertEquals(isSafe(message, (name) => name === "hinted"), safe);
  });
}
