/**
 * Which methods may be executed twice, and which do not block others.
 *
 * @module
 */

import type { Method } from "../../../lib/protocol/mcp_types.ts";
import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import {
  isIdempotent,
  isLongLived,
  isSubscriptionMethod,
  mayTakeLong,
} from "../../../lib/protocol/methods.ts";
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
    assertEquals(isIdempotent(message, (name) => name === "hinted"), safe);
  });
}

test("Methods: a ping is no call, nor is what is held for as long as the client wants", () => {
  const methods: Method[] = ["tools/call", "tools/list", "initialize"];
  const held: Method[] = ["server/discover", "subscriptions/listen"];
  for (const method of methods) assertEquals(mayTakeLong(method), true, method);
  for (const method of ["ping", ...held] as const) {
    assertEquals(mayTakeLong(method), false);
  }
  const all: Method[] = [...methods, "ping", ...held];
  assertEquals(all.filter(isLongLived), held);
});

test("Methods: only subscriptions/listen opens a subscription", () => {
  const methods: (Method | undefined)[] = [
    "subscriptions/listen",
    "resources/subscribe",
    undefined,
  ];
  assertEquals(methods.map(isSubscriptionMethod), [true, false, false]);
});
