/**
 * The health file of an exai daemon.
 *
 * @module
 */

import { readHealthFile } from "../../../lib/proxy/health_file.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("exai health file: missing, unreadable, or as old as it says", () => {
  const missing = (): never => {
    throw new Error("no such file");
  };
  assertEquals(readHealthFile(missing, 0), "missing");
  assertEquals(readHealthFile(() => '{"t": 12', 0), "unreadable");
  assertEquals(readHealthFile(() => '{"t":"x"}', 0), "unreadable");
  assertEquals(readHealthFile(() => "5", 0), "unreadable");
  assertEquals(readHealthFile(() => '{"t":10.5}', 11_000), { ageMs: 500 });
  assertEquals(readHealthFile(() => '{"t":10.5}', 1_000), { ageMs: 0 });
});
