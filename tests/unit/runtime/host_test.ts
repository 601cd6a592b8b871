/**
 * Tests the names of environment variables on each operating system.
 *
 * @module
 */

import { readConfig } from "../../../lib/config/config.ts";
import { normalizeEnv } from "../../../lib/runtime/host.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Environment: names are in capitals on Windows, and unchanged elsewhere", () => {
  const env = { alwaysup_url: "ws://h/", Glm_Stream_Timeout: "5s", PATH: "x" };
  assertEquals(normalizeEnv("windows", env), {
    ALWAYSUP_URL: "ws://h/",
    GLM_STREAM_TIMEOUT: "5s",
    PATH: "x",
  });
  assertEquals(normalizeEnv("linux", env), env);
  const seen = readConfig(
    { args: [], env: normalizeEnv("windows", env) },
    () => "",
  );
  assertEquals(seen.kind === "config" && seen.config.url, "ws://h/");
});
