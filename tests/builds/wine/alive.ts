/**
 * Exits with 0 if a process exists, else with 1.
 *
 *     bun alive.ts PID
 *
 * @module
 */

import process from "node:process";

try {
  process.kill(Number(process.argv[2]), 0);
} catch {
  process.exit(1);
}
