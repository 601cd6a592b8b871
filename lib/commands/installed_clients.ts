/**
 * The clients on this machine, and the servers in their files that are this
 * program.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { findAlwaysupServers } from "../clients/client_file.ts";
import {
  type Client,
  CLIENTS,
  type InstalledServer,
  MAX_CLIENT_FILE_BYTES,
} from "../clients/registry.ts";
import { readTextUpTo } from "../runtime/atomic_file.ts";
import { type Host } from "../runtime/host.ts";
import { type Output } from "../runtime/terminal.ts";

/**
 * Reads a client's file; `undefined` if there is none. Throws if it cannot be
 * read.
 */
export function readClientFile(host: Host, file: string): string | undefined {
  return readTextUpTo(host, file, MAX_CLIENT_FILE_BYTES)?.text;
}

/**
 * Returns the clients that have a file or a folder of their own on this
 * machine.
 */
export function findInstalledClients(host: Host): Client[] {
  return CLIENTS.filter((client) => isInstalled(client, host));
}

function isInstalled(client: Client, host: Host): boolean {
  const file = client.filePath(host);
  if (file === undefined) return false;
  const folder = client.installFolder?.(host) ?? parentFolderOf(file);
  try {
    return host.stat(file) !== undefined || host.stat(folder) !== undefined;
  } catch {
    // A path without permission to read it exists.
    return true;
  }
}

/**
 * Prints a line for each client on this machine, with its file and its servers
 * that are this program, and one line with the names of the other clients.
 */
export function printInstalledClients(host: Host, output: Output): void {
  const installed = findInstalledClients(host);
  const width = Math.max(...CLIENTS.map(({ name }) => name.length));
  for (const client of installed) {
    const file = client.filePath(host)!;
    const name = client.name.padEnd(width);
    output.print(
      sanitizeLine(
        `${name}  ${file}: ${describeClientFile(client, file, host)}`,
      ),
    );
  }
  const others = CLIENTS.filter((client) => !installed.includes(client))
    .map(({ name }) => name);
  if (others.length > 0) {
    output.print(`Not on this machine: ${others.join(", ")}`);
  }
  if (installed.length > 0) {
    output.print(
      "alwaysup install CLIENT --write puts it into one of them, alwaysup " +
        "install --all --write into each.",
    );
  }
}

/** Describes what a client's file has of this program. */
function describeClientFile(client: Client, file: string, host: Host): string {
  try {
    const text = readClientFile(host, file);
    if (text === undefined) return "there is no such file yet";
    const found = findAlwaysupServers(client, text, host.launchCommand());
    return found.length === 0
      ? "no server in it is this program"
      : `this program is ${found.map(formatServerName).join(", ")}`;
  } catch (error) {
    return `it cannot be read (${errorMessageOf(error)})`;
  }
}

/** Formats a server's name for a sentence: `"NAME"`, or `"NAME" for FOLDER`. */
export function formatServerName({ name, project }: InstalledServer): string {
  return project === undefined ? `"${name}"` : `"${name}" for ${project}`;
}
