/**
 * The clients on this machine, and the servers of theirs that are this program.
 *
 * @module
 */

import { folderOf } from "../text/paths.ts";
import { messageOf } from "../text/error_message.ts";
import { tame } from "../text/sanitize.ts";
import { oursIn } from "../clients/config_file.ts";
import {
  type Client,
  CLIENTS,
  FILE_LIMIT,
  type Found,
} from "../clients/registry.ts";
import { readLimited } from "../runtime/atomic_file.ts";
import { type Host } from "../runtime/host.ts";
import { type Output } from "../runtime/terminal.ts";

/** The text of a client's file; `undefined` if there is none. Throws if it cannot be read. */
export function clientText(host: Host, file: string): string | undefined {
  return readLimited(host, file, FILE_LIMIT)?.text;
}

/** The clients that have a file or a folder of their own on this machine. */
export function clientsHere(host: Host): Client[] {
  return CLIENTS.filter((client) => isHere(client, host));
}

function isHere(client: Client, host: Host): boolean {
  const file = client.file(host);
  if (file === undefined) return false;
  const folder = client.folder?.(host) ?? folderOf(file);
  try {
    return host.stat(file) !== undefined || host.stat(folder) !== undefined;
  } catch {
    // What may not be looked at is there.
    return true;
  }
}

/** Prints a line for each client on this machine, with its file and its servers that are this program, and one with the names of the other clients. */
export function listClients(host: Host, output: Output): void {
  const here = clientsHere(host);
  const width = Math.max(...CLIENTS.map(({ name }) => name.length));
  for (const client of here) {
    const file = client.file(host)!;
    const name = client.name.padEnd(width);
    output.print(tame(`${name}  ${file}: ${stateOf(client, file, host)}`));
  }
  const others = CLIENTS.filter((client) => !here.includes(client))
    .map(({ name }) => name);
  if (others.length > 0) {
    output.print(`Not on this machine: ${others.join(", ")}`);
  }
  if (here.length > 0) {
    output.print(
      "alwaysup install CLIENT --write puts it into one of them, alwaysup " +
        "install --all --write into each.",
    );
  }
}

/** What there is of this program in a client's file. */
function stateOf(client: Client, file: string, host: Host): string {
  try {
    const text = clientText(host, file);
    if (text === undefined) return "there is no such file yet";
    const found = oursIn(client, text, host.program());
    return found.length === 0
      ? "no server in it is this program"
      : `this program is ${found.map(shownAs).join(", ")}`;
  } catch (error) {
    return `it cannot be read (${messageOf(error)})`;
  }
}

/** A server as a sentence names it: `"NAME"`, or `"NAME" for FOLDER`. */
export function shownAs({ name, project }: Found): string {
  return project === undefined ? `"${name}"` : `"${name}" for ${project}`;
}
