/**
 * Log effects as lines for stderr.
 *
 * @module
 */

import type { Level, LogEffect } from "../events.ts";
import type { Hide } from "../config/secrets.ts";

const RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const;

/** A function that writes what matters enough, without secrets. */
export function logger(
  level: Level,
  format: "text" | "json",
  write: (line: string) => void,
  hide: Hide,
): (entry: Omit<LogEffect, "type">) => void {
  return ({ level: own, event, message: words }) => {
    if (RANK[own] < RANK[level]) return;
    const message = hide(words);
    const time = new Date().toISOString();
    write(
      format === "json"
        ? JSON.stringify({ time, level: own, event, message })
        : `${time} ${own.toUpperCase().padEnd(5)} alwaysup: ${message}`,
    );
  };
}
