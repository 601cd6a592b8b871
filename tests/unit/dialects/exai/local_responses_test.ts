/**
 * Requests that the exai dialect answers itself.
 *
 * @module
 */

import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

test("exai initialize: answered without a daemon, in the client's version where it is known", () => {
  for (
    const [requestedVersion, answered] of [
      ["2024-11-05", "2024-11-05"],
      ["2025-06-18", "2025-06-18"],
      ["2025-11-25", "2025-11-25"],
      ["2030-01-01", "2025-11-25"],
      [undefined, "2025-11-25"],
      [5, "2025-11-25"],
    ]
  ) {
    const driver = new ExaiDriver();
    driver.request(0, "initialize", { protocolVersion: requestedVersion });
    const [{ result }] = driver.sentToClient();
    assertEquals(result.protocolVersion, answered);
    assertEquals(result.capabilities, { tools: { listChanged: true } });
    assertEquals(result.serverInfo, { name: "alwaysup", version: "1" });
  }
});

const LOCAL: [method: string, params: Json, expected: Json][] = [
  ["ping", undefined, {}],
  ["resources/list", {}, { resources: [] }],
  ["resources/templates/list", {}, { resourceTemplates: [] }],
  ["prompts/list", {}, { prompts: [] }],
  ["server/discover", {}, -32601],
  ["logging/setLevel", { level: "info" }, -32601],
  ["__proto__", {}, -32601],
  ["tools/call", {}, -32602],
  ["tools/call", { name: "" }, -32602],
  ["tools/call", { name: "x", arguments: [] }, -32602],
  ["tools/call", { name: "x", arguments: "y" }, -32602],
  ["tools/call", [], -32602],
];

for (const [method, params, expected] of LOCAL) {
  test(`exai local answers: ${method} ${JSON.stringify(params)}`, () => {
    const driver = new ExaiDriver();
    driver.request(0, method, params);
    const [{ result, error }] = driver.sentToClient();
    assertEquals(error?.code ?? result, expected);
  });
}
