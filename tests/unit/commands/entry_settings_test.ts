/**
 * Tests the settings that a server gets when a client starts it from an entry.
 *
 * @module
 */

import { install } from "../../../lib/commands/install.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { runCommand } from "../../helpers/command_run.ts";
import { test } from "../../helpers/no_permissions.ts";
import { hostWith } from "../../helpers/one_file_host.ts";

const URL_FLAG = ["--url", "ws://127.0.0.1:9/"];

const FLAGS = ["--env-file", "/h/.env"];

test("install: warns about variables that the client does not pass to the server", async () => {
  const env = { HOME: "/h", MY_BASE: "s3cret", USERPROFILE: "C:\\h" };
  for (
    const [text, os, warning] of [
      ["ALWAYSUP_CACHE=${HOME}/c.json", "linux", undefined],
      ["EXAI_WS_TOKEN=${MY_BASE}-1", "linux", "${MY_BASE} (line 1)"],
      ["EXAI_WS_TOKEN=${USERPROFILE}-1", "linux", "${USERPROFILE} (line 1)"],
      ["ALWAYSUP_CACHE=${USERPROFILE}\\c", "windows", undefined],
      ["EXAI_WS_TOKEN=${HOME}-1", "windows", "${HOME} (line 1)"],
      ["EXAI_WS_TOKEN=${MY_BASE:-t}-1", "linux", undefined],
      ["a b\nEXAI_WS_TOKEN=t", "linux", "line 1 cannot be parsed"],
    ] as const
  ) {
    const args = ["cursor", ...FLAGS, ...URL_FLAG];
    const { code, stderr } = await runCommand(
      install,
      args,
      hostWith(text, env, os),
    );
    assertEquals(code, 0, text);
    assert(!stderr.includes("\n"), "one sentence at most");
    if (warning === undefined) assertEquals(stderr, "", text);
    else assert(stderr.includes(warning), stderr);
    assert(!stderr.includes("s3cret"));
  }
});
