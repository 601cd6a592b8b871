/**
 * Tests the rules for MCP methods: which are safe to repeat, which may take
 * long, which return lists, and how the version is negotiated.
 *
 * @module
 */

import {
  LATEST_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from "@modelcontextprotocol/sdk/types.js";
import type { Method } from "../../../lib/protocol/mcp_types.ts";
import type { Id, Request } from "../../../lib/protocol/jsonrpc.ts";
import {
  isIdempotent,
  isLongLived,
  isSubscriptionMethod,
  listChangedKindOf,
  type ListKind,
  listKindOf,
  listMethodOf,
  mayKeepDaemonBusy,
  negotiateVersion,
  nextCursorOf,
  toEmptyListResponse,
  usesInitialize,
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

test("Methods: mayKeepDaemonBusy is false for a ping and for long-lived requests", () => {
  const methods: Method[] = ["tools/call", "tools/list", "initialize"];
  const longLived: Method[] = ["server/discover", "subscriptions/listen"];
  for (const method of methods) {
    assertEquals(mayKeepDaemonBusy(method), true, method);
  }
  for (const method of ["ping", ...longLived] as const) {
    assertEquals(mayKeepDaemonBusy(method), false);
  }
  const all: Method[] = [...methods, "ping", ...longLived];
  assertEquals(all.filter(isLongLived), longLived);
});

test("Methods: only subscriptions/listen opens a subscription", () => {
  const methods: (Method | undefined)[] = [
    "subscriptions/listen",
    "resources/subscribe",
    undefined,
  ];
  assertEquals(methods.map(isSubscriptionMethod), [true, false, false]);
});

const LISTINGS: [method: string, listing: ListKind, changed: string][] = [
  ["tools/list", "tools", "tools"],
  ["prompts/list", "prompts", "prompts"],
  ["resources/list", "resources", "resources"],
  ["resources/templates/list", "resourceTemplates", "resources"],
];
for (const [method, listing, changed] of LISTINGS) {
  test(`Lists: ${method} lists ${listing}`, () => {
    assertEquals(listKindOf(method), listing);
    assertEquals(listMethodOf(listing), method);
    assertEquals(
      listChangedKindOf(listing),
      changed,
      "the notification of its change",
    );
  });
}

test("Lists: other methods list nothing, even if they are named like properties of objects", () => {
  for (const method of ["tools/call", "tasks/list", "toString", "__proto__"]) {
    assertEquals(listKindOf(method), undefined, method);
  }
});

test("Lists: the response for a missing method is an empty list", () => {
  const result = { resourceTemplates: [] };
  assertEquals(
    toEmptyListResponse('"a"' as Id, "resourceTemplates"),
    {
      kind: "response",
      id: '"a"',
      result,
      error: undefined,
      text: '{"jsonrpc":"2.0","id":"a","result":{"resourceTemplates":[]}}',
    } as ReturnType<typeof toEmptyListResponse>,
  );
});

test("Lists: a cursor is a string, and may be empty", () => {
  for (
    const [result, cursor] of [
      [{ nextCursor: "2" }, "2"],
      [{ nextCursor: "" }, ""],
      [{ nextCursor: null }, undefined],
      [{ nextCursor: 2 }, undefined],
      [{}, undefined],
      [null, undefined],
    ] as const
  ) assertEquals(nextCursorOf(result), cursor, JSON.stringify(result));
});

test("Versions: initialize is used with exactly the versions of the MCP SDK", () => {
  for (const version of SUPPORTED_PROTOCOL_VERSIONS) {
    assertEquals([usesInitialize(version), negotiateVersion(version)], [
      true,
      version,
    ]);
  }
  for (const version of ["2026-07-28", "2099-01-01", "", undefined, 5]) {
    assertEquals(usesInitialize(version), false, `${version}`);
  }
});

test("Versions: an unknown version is answered with the latest version", () => {
  for (const version of ["2099-01-01", "", undefined, 5]) {
    assertEquals(negotiateVersion(version), LATEST_PROTOCOL_VERSION);
  }
});
