/**
 * Finds the MCP clients on this machine, and the servers in their files that
 * start this program.
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
import { mayExist } from "../config/load.ts";
import { type Host } from "../runtime/host.ts";
import { readUserFile } from "../runtime/safe_write.ts";
import { type Output } from "../runtime/terminal.ts";

/**
 * Reads a client's file; `undefined` if it does not exist. Throws if it cannot
 * be read.
 */
export function readClientFile(host: Host, file: string): string | undefined {
  return readUserFile(host, file, MAX_CLIENT_FILE_BYTES);
}

/**
 * Returns the servers in a client's file that start this program; `undefined`
 * if there is no file. Throws an error that names the problem of the file.
 */
export function findOwnServers(
  client: Client,
  file: string,
  host: Host,
): InstalledServer[] | undefined {
  const text = readClientFile(host, file);
  if (text === undefined) return undefined;
  return findAlwaysupServers(client, text, host.launchCommand());
}

/** Returns the clients whose file or folder exists on this machine. */
export function findInstalledClients(host: Host): Client[] {
  return CLIENTS.filter((client) => {
    const file = client.filePath(host);
    if (file === undefined) return false;
    const folder = client.installFolder?.(host) ?? parentFolderOf(file);
    return mayExist(host, file) || mayExist(host, folder);
  });
}

/** Prints the clients on this machine with their files, then the others. */
export function printInstalledClients(host: Host, output: Output): void {
  const installed = findInstalledClients(host);
  const width = Math.max(...CLIENTS.map(({ name }) => name.length));
  for (const client of installed) {
    const file = client.filePath(host)!;
    const state = describeClientFile(client, file, host);
    const name = client.name.padEnd(width);
    output.print(sanitizeLine(`${name}  ${file}: ${state}`));
  }
  const others = CLIENTS.filter((client) => !installed.includes(client))
    .map(({ name }) => name).join(", ");
  if (others !== "") output.print(`Not on this machine: ${others}`);
  if (installed.length > 0) {
    output.print(
      "`alwaysup install CLIENT --write` adds alwaysup to one of them, " +
        "`alwaysup install --all --write` to each.",
    );
  }
}

function describeClientFile(client: Client, file: string, host: Host): string {
  try {
    const found = findOwnServers(client, file, host);
    if (found === undefined) return "there is no such file yet";
    return found.length === 0
      ? "no server starts this program"
      : `this program is ${found.map(formatServerName).join(", ")}`;
  } catch (error) {
    return `it cannot be read (${errorMessageOf(error)})`;
  }
}

/** Formats a server's name for a sentence: `"NAME"`, or `"NAME" for FOLDER`. */
export function formatServerName({ name, project }: InstalledServer): string {
  return project === undefined ? `"${name}"` : `"${name}" for ${project}`;
}
