/**
 * Log lines, by their level and in both formats.
 *
 * @module
 */

import type { LogLevel } from "../../../lib/events.ts";
import { createLogger } from "../../../lib/proxy/logger.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

function lines(level: LogLevel, format: "text" | "json"): string[] {
  const found: string[] = [];
  const redact = (text: string): string => text.replace("s3cret", "***");
  const log = createLogger(level, format, (line) => found.push(line), redact);
  for (const level of LEVELS) {
    log({ level, event: `e-${level}`, message: `m "${level}" s3cret` });
  }
  return found;
}

for (const [i, level] of LEVELS.entries()) {
  test(`Logger: at level ${level} writes this level and more severe ones`, () => {
    const found = lines(level, "json").map((line) => JSON.parse(line).level);
    assertEquals(found, LEVELS.slice(i));
  });
}

test("Logger: a line has time, level and the redacted message, and in JSON the event", () => {
  const [text] = lines("error", "text");
  assertMatch(text!, /^\d{4}-.*Z ERROR alwaysup: m "error" \*\*\*$/);
  const { time, ...rest } = JSON.parse(lines("error", "json")[0]!);
  assertMatch(time, /^\d{4}-\d\d-\d\dT.*Z$/);
  const message = 'm "error" ***';
  assertEquals(rest, { level: "error", event: "e-error", message });
});
