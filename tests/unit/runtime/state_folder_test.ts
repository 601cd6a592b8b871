/**
 * The folder for the program's own files, on each system.
 *
 * @module
 */

import type { Host } from "../../../lib/runtime/host.ts";
import { stateFolder } from "../../../lib/runtime/state_folder.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const FOLDERS: [os: string, env: Record<string, string>, folder?: string][] = [
  ["linux", { HOME: "/h" }, "/h/.local/state/alwaysup"],
  ["linux", { HOME: "/h", XDG_STATE_HOME: "/s" }, "/s/alwaysup"],
  ["linux", { XDG_STATE_HOME: "/s" }, "/s/alwaysup"],
  ["linux", { HOME: "/h", XDG_STATE_HOME: "s" }, "/h/.local/state/alwaysup"],
  ["linux", {}],
  ["freebsd", { HOME: "/h" }, "/h/.local/state/alwaysup"],
  ["darwin", { HOME: "/h" }, "/h/Library/Application Support/alwaysup"],
  ["darwin", { XDG_STATE_HOME: "/s" }],
  ["windows", { LOCALAPPDATA: "D:\\l" }, "D:\\l/alwaysup"],
  ["windows", { USERPROFILE: "C:\\u" }, "C:\\u\\AppData\\Local/alwaysup"],
  ["windows", { HOME: "/h" }],
];
for (const [os, env, folder] of FOLDERS) {
  test(`State folder: on ${os} with ${JSON.stringify(env)}`, () => {
    const getEnv = (name: string): string | undefined => env[name];
    assertEquals(stateFolder({ os, getEnv } as Host), folder);
  });
}
