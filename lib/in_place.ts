/**
 * A file of the user's, written in its place, so that links to it and its owner
 * stay: what fails is undone.
 *
 * @module
 */

import { type Host, messageOf } from "./host.ts";

/** Writes a file that was not there. Throws if it cannot; none is there then. */
export function create(
  host: Host,
  file: string,
  text: string,
  mode: number,
): void {
  try {
    host.writeFile(file, text, mode);
  } catch (error) {
    // The name may be a link to nothing, and is to stay one.
    if (host.stat(file) !== undefined) host.remove(host.realPath(file));
    throw error;
  }
}

/** Writes a file in its place: it may be a link, and is to stay its owner's. Throws if it cannot; it is then as it was, or the error says what to do. */
export function overwrite(
  host: Host,
  file: string,
  before: string,
  after: string,
  kept: string,
): void {
  try {
    host.writeFile(file, after);
  } catch (error) {
    try {
      // Where it may not be written at all, nothing has happened to it.
      if (host.readFile(file) !== before) host.writeFile(file, before);
    } catch {
      const advice = `it is damaged now: put ${kept} in its place`;
      throw new Error(`${messageOf(error)}; ${advice}`);
    }
    throw error;
  }
}

/** Keeps a text beside its file, under a name that has no other; says which. */
export function keep(
  host: Host,
  file: string,
  text: string,
  mode: number,
): string {
  for (let i = 1;; i++) {
    const path = `${file}.alwaysup${i === 1 ? "" : `.${i}`}.bak`;
    const facts = host.stat(path);
    if (facts === undefined) {
      create(host, path, text, mode);
      return path;
    }
    if (facts.isFile && host.readFile(path) === text) return path;
  }
}
