/**
 * Tests how the frames of an exai daemon are read and translated to MCP.
 *
 * @module
 */

import {
  errorOf,
  toolListResponseOf,
  uptimeOf,
} from "../../../../lib/dialects/exai/frames.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";
import { responseCodes } from "../../../helpers/session/two_tool_session.ts";

test("exai errors: the code, message, pause and original request are read in the form of every revision", () => {
  const full = { code: "OVER_CAPACITY", message: "m", retry_after: 3 };
  assertEquals(errorOf({ error: full }).retryAfterMs, 3_000);
  const later = { original_request_id: "x", retry_after_secs: 2 };
  const found = errorOf({ error: { code: "C", message: "m", details: later } });
  assertEquals(found, {
    code: "C",
    message: "m",
    text: "C: m",
    retryAfterMs: 2_000,
    originalRequestId: "x",
    ...{ isUnauthorized: false, isTooLarge: false, isUnknownRequest: false },
  });
  for (const retry_after of [-1, 0, "x", null, {}]) {
    assertEquals(errorOf({ error: { retry_after } }).retryAfterMs, 1_000);
  }
  assertEquals(errorOf({ error: { retry_after: 1e9 } }).retryAfterMs, 60_000);
  assertEquals(errorOf({ op: "error", message: "why" }).message, "why");
  assertEquals(errorOf({ op: "error" }).message.length > 0, true);
  assertEquals(errorOf({ error: { code: 5 } }).code, "");
});

test("exai list_tools: tools without a name are left out, and every schema is an object", () => {
  const inputSchema = { type: "object", properties: { a: { default: 1 } } };
  const tools = [
    { name: "a", description: 5, inputSchema },
    { name: "b", annotations: { readOnlyHint: true } },
    { description: "nameless" },
    null,
  ];
  const responseOf = (frame: Json): Json =>
    toolListResponseOf("1", frame, JSON.stringify(frame));
  const shownTools = [
    { name: "a", inputSchema },
    {
      name: "b",
      annotations: { readOnlyHint: true },
      inputSchema: { type: "object" },
    },
  ];
  const { result, text } = responseOf({ tools });
  assertEquals(result, { tools: shownTools });
  assertEquals(JSON.parse(text).result, result);
  assertEquals(responseOf({ tools: {} }), undefined);
});

test("exai uptime: read only in the form in which Python writes durations", () => {
  const cases: [text: unknown, seconds: number | undefined][] = [
    ["0:00:00", 0],
    ["1:02:03", 3_723],
    ["25:00:00", 90_000],
    ["1 day, 0:00:05", 86_405],
    ["12 days, 1:00:00.123456", 12 * 86_400 + 3_600],
    ["", undefined],
    ["5", undefined],
    ["-1 day, 23:59:59", undefined],
    [5, undefined],
  ];
  for (const [uptime_human, seconds] of cases) {
    const frame = { health: { uptime_human, t: 100_000 } };
    const expected = seconds === undefined
      ? undefined
      : { ms: seconds * 1000, startUnixS: 100_000 - seconds };
    assertEquals(uptimeOf(frame), expected, String(uptime_human));
  }
});

const nanResponse = (frame: Json): string =>
  JSON.stringify(frame).replace('"NAN"', "NaN");

test("exai frames: a list_tools_res with NaN still ends its request", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  driver.request(1, "tools/list");
  driver.takeEffects();
  driver.fromDaemon(
    nanResponse({
      op: "list_tools_res",
      tools: [{ name: "chat", inputSchema: { default: "NAN" } }],
    }),
  );
  for (let i = 0; i < 60; i++) driver.advance(1000);
  assertEquals(responseCodes(driver).length, 1);
});

test("exai frames: a health_res with NaN keeps the connection", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  driver.request(1, "tools/list");
  driver.frameFromDaemon({
    op: "list_tools_res",
    tools: [{ name: "chat", inputSchema: {} }],
  });
  driver.takeEffects();
  for (let i = 0; i < 60; i++) {
    driver.advance(1000);
    for (const f of driver.takeFrames()) {
      if (f.op === "health") {
        driver.fromDaemon(
          nanResponse({
            op: "health_res",
            ok: true,
            health: { uptime: 5, load: "NAN" },
          }),
          f.connectionId,
        );
      }
    }
  }
  assertEquals(driver.dials.length, 1);
});
