/**
 * Log effects as lines for stderr.
 *
 * @module
 */

import type { Level, LogEffect } from "./event.ts";

const RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const;

/** A function that writes what matters enough. */
export function logger(
  level: Level,
  format: "text" | "json",
  write: (line: string) => void,
): (entry: Omit<LogEffect, "type">) => void {
  return ({ level: own, event, message }) => {
    if (RANK[own] < RANK[level]) return;
    const time = new Date().toISOString();
    write(
      format === "json"
        ? JSON.stringify({ time, level: own, event, message })
        : `${time} ${own.toUpperCase().padEnd(5)} alwaysup: ${message}`,
    );
  };
}
