/**
 * Tests which log lines are written at each level, and both formats. If there
 * are many lines of one kind, only the first are written, and the others are
 * counted.
 *
 * @module
 */

import type { LogEffect, LogEventName, LogLevel } from "../../../lib/events.ts";
import { createLogger, LogRateLimiter } from "../../../lib/proxy/logger.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

function lines(level: LogLevel, format: "text" | "json"): string[] {
  const found: string[] = [];
  const redact = (text: string): string => text.replace("s3cret", "***");
  const log = createLogger(level, format, (line) => found.push(line), redact);
  for (const level of LEVELS) {
    log({ level, event: "lost", message: `m "${level}" s3cret` });
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
  assertEquals(rest, { level: "error", event: "lost", message });
});

test("Logger: a shared output gets the same line, with the process id", () => {
  for (const format of ["text", "json"] as const) {
    const [own, shared]: [string[], string[]] = [[], []];
    const log = createLogger(
      "info",
      format,
      (line) => own.push(line),
      (text) => text.replace("s3cret", "***"),
      { pid: 42, write: (line) => shared.push(line) },
    );
    log({ level: "debug", event: "lost", message: "not shown" });
    const fact = { type: "circuit", state: "open" } as const;
    log({ level: "warn", event: "circuit", message: "m s3cret", fact });
    const expected = own.map((line) =>
      format === "json"
        ? line.replace('"warn",', '"warn","pid":42,')
        : line.replace(" alwaysup: ", " alwaysup[42]: ")
    );
    assertEquals(shared, expected);
    assertMatch(shared[0]!, /42.*m \*\*\*/);
  }
});

class LimitedLog {
  #messages: string[] = [];
  readonly #limiter = new LogRateLimiter(({ message }) =>
    void this.#messages.push(message)
  );

  /** Logs `count` lines of a kind at `now`. Returns how many were written. */
  countWritten(
    count: number,
    now: number,
    event: LogEventName = "lost",
  ): number {
    for (let i = 1; i <= count; i++) {
      const message = `${event} ${i}`;
      const line: LogEffect = { type: "log", level: "warn", event, message };
      this.#limiter.write(line, now);
    }
    return this.#takeMessages().length;
  }

  /** Returns the summaries that are due at `now`. */
  takeSummaries(now: number): string[] {
    this.#limiter.writeSummaries(now);
    return this.#takeMessages();
  }

  #takeMessages(): string[] {
    const messages = this.#messages;
    this.#messages = [];
    return messages;
  }
}

test("Log limit: the first ten lines of a kind are written, and then one a second", () => {
  const log = new LimitedLog();
  assertEquals(log.countWritten(1000, 5), 10);
  assertEquals(log.takeSummaries(1004), []);
  assertEquals(log.takeSummaries(1005), ["lost 1000 (and 989 more like it)"]);
  assertEquals(log.countWritten(1000, 1500), 0);
  assertEquals(log.takeSummaries(2004), []);
  assertEquals(log.takeSummaries(2005), ["lost 1000 (and 999 more like it)"]);
});

test("Log limit: a kind without lines for a second begins anew", () => {
  const log = new LimitedLog();
  assertEquals(log.countWritten(11, 0), 10);
  assertEquals(log.takeSummaries(1000), ["lost 11"]);
  assertEquals(log.takeSummaries(2000), []);
  assertEquals(log.countWritten(11, 2001), 10);
  assertEquals(log.countWritten(1, 2002), 0);
});

test("Log limit: each kind is counted separately, and the last counts are written at the end", () => {
  const log = new LimitedLog();
  assertEquals(log.countWritten(12, 0), 10);
  assertEquals(log.countWritten(13, 0, "busy"), 10);
  assertEquals(log.takeSummaries(Infinity), [
    "lost 12 (and 1 more like it)",
    "busy 13 (and 2 more like it)",
  ]);
});
