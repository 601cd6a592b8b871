/**
 * Reports by its exit code whether a process exists: 0 if it does, 1 if not.
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
