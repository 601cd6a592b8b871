/**
 * Small files that may be written by several processes, and are seen whole.
 *
 * @module
 */

import type { Host } from "./host.ts";

/**
 * A file's text, and how many milliseconds old it is; `undefined` if there is
 * none. Throws if it is no file, larger than so many bytes, or cannot be read.
 */
export function readLimited(
  host: Host,
  path: string,
  limit: number,
): { readonly text: string; readonly ageMs: number } | undefined {
  const facts = host.stat(path);
  if (facts === undefined) return undefined;
  const { isFile, size, modifiedAt } = facts;
  if (!isFile) throw new Error("it is no file");
  if (size > limit) throw new Error(`it has ${size} bytes`);
  const ageMs = Math.max(0, Date.now() - modifiedAt);
  return { text: host.readFile(path), ageMs };
}

/**
 * Replaces a file's text at once, for the user's eyes only; its folder is made,
 * a link to it stays one. Throws if it cannot: what is there is left as it was.
 */
export function replace(host: Host, named: string, text: string): void {
  write(host, named, text, (next, path) => host.rename(next, path));
}

/** Does what {@linkcode replace} does, but for the replacing. Throws if it cannot. */
export function rehearse(host: Host, named: string): void {
  write(host, named, "", (next) => host.remove(next));
}

/** Writes a text beside a file, for what is to be done then. */
function write(
  host: Host,
  named: string,
  text: string,
  finish: (next: string, path: string) => void,
): void {
  const facts = host.stat(named);
  // Renaming over a device would replace it.
  if (facts !== undefined && !facts.isFile) {
    throw new Error("it is no regular file");
  }
  const path = facts === undefined ? named : host.realPath(named);
  const folder = path.replace(/[^/\\]*$/, "");
  if (folder !== "") host.makeFolder(folder);
  // Another process may do the same now, in another container even under the same number: each writes its own file, the last one stays.
  const chance = Math.floor(Math.random() * 2 ** 32).toString(36);
  const next = `${path}.${host.pid}-${chance}.tmp`;
  try {
    host.writeFile(next, text, 0o600);
    finish(next, path);
  } catch (error) {
    host.remove(next);
    throw error;
  }
}
