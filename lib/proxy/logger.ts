/**
 * Formats log effects as lines for stderr.
 *
 * @module
 */

import type { LogEffect, LogLevel } from "../events.ts";
import type { Redactor } from "../config/secrets.ts";

const LEVEL_RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const;

/**
 * Creates a function that writes entries of at least this level, with secrets
 * removed.
 */
export function createLogger(
  level: LogLevel,
  format: "text" | "json",
  write: (line: string) => void,
  redact: Redactor,
): (entry: Omit<LogEffect, "type">) => void {
  return ({ level: entryLevel, event, message: unredacted }) => {
    if (LEVEL_RANK[entryLevel] < LEVEL_RANK[level]) return;
    const message = redact(unredacted);
    const time = new Date().toISOString();
    write(
      format === "json"
        ? JSON.stringify({ time, level: entryLevel, event, message })
        : `${time} ${entryLevel.toUpperCase().padEnd(5)} alwaysup: ${message}`,
    );
  };
}
