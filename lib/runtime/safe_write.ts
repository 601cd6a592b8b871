/**
 * A file of the user's, changed so that neither a failure nor a power cut takes
 * anything from it: links to it, its owner and its rights stay.
 *
 * @module
 */

import { folderOf } from "../text/paths.ts";
import { messageOf } from "../text/error_message.ts";
import { rename, writeBeside } from "./atomic_file.ts";
import { type FileFacts, type Host } from "./host.ts";

/** How many links may lead from one to the next: as many as Linux follows. */
const LINK_LIMIT = 40;

/** Writes a file that was not there; a link to nothing stays one. Throws if it cannot; none is there then. */
export async function create(
  host: Host,
  file: string,
  text: string,
  mode: number,
): Promise<void> {
  const path = targetOf(host, file);
  const next = writeBeside(host, path, text, mode);
  try {
    await host.sync(next);
    await rename(host, next, path, () => {
      if (host.lstat(path) === undefined) return;
      throw new Error("somebody else has just made it");
    });
  } finally {
    host.remove(next);
  }
}

/** The path to which links lead that lead to nothing. */
function targetOf(host: Host, file: string): string {
  let path = file;
  for (let i = 0; i < LINK_LIMIT; i++) {
    if (host.lstat(path)?.isLink !== true) return path;
    const to = host.readLink(path);
    path = /^([a-z]:)?[/\\]/i.test(to) ? to : folderOf(path) + to;
  }
  throw new Error("its links lead nowhere");
}

/**
 * Writes a file anew: it may be a link, and is to stay its owner's. Throws if it
 * cannot, or if another program has changed the file meanwhile; it is then as it
 * was, or the error says what to do.
 *
 * @param before the text that was read, and that must still be there
 * @param kept the path of a copy of that text, for the error
 */
export async function overwrite(
  host: Host,
  file: string,
  before: string,
  after: string,
  kept: string,
): Promise<void> {
  if (await exchange(host, pathOf(host, file, before), before, after)) return;
  mustBe(host, file, before);
  try {
    host.writeFile(file, after);
    await host.sync(file);
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

/** The path without links. Bun finds no file where one is just being replaced: that is said, then. */
function pathOf(host: Host, file: string, before: string): string {
  try {
    return host.realPath(file);
  } catch (error) {
    mustBe(host, file, before);
    throw error;
  }
}

/**
 * Puts another file into the place of one, where nothing is lost by that.
 * Throws if that cannot be written, or if the first is not any more as it was.
 *
 * @returns `false` where the file itself must be written: its folder or itself is somebody else's, say, or it is mounted there
 */
async function exchange(
  host: Host,
  path: string,
  before: string,
  after: string,
): Promise<boolean> {
  const facts = host.lstat(path);
  if (facts === undefined || facts.names > 1) return false;
  // Empty at first: whose it is, and who may read it, is seen before anything stands in it.
  const next = attempt(() => writeBeside(host, path, "", facts.mode ?? 0o600));
  if (next === undefined) return false;
  try {
    if (!isAlike(host.lstat(next), facts)) return false;
    host.writeFile(next, after);
    await host.sync(next);
    const seen = mustBe(host, path, before);
    const check = (): void => mustBeSame(host.stat(path), seen);
    return await rename(host, next, path, check).then(() => true, () => false);
  } finally {
    host.remove(next);
  }
}

/** What it gives; `undefined` if it fails. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

function isAlike(next: FileFacts | undefined, facts: FileFacts): boolean {
  return next?.owner?.user === facts.owner?.user &&
    next?.owner?.group === facts.owner?.group && next?.mode === facts.mode;
}

/** Gives what is known of a file. Throws if it is not any more as it was; a large one is not changed while it is read either. */
function mustBe(
  host: Host,
  path: string,
  before: string,
): FileFacts | undefined {
  const facts = host.stat(path);
  const isSame = host.readFile(path) === before;
  mustBeSame(host.stat(path), isSame ? facts : undefined);
  return facts;
}

/** Throws if another program has changed a file since. */
function mustBeSame(
  now: FileFacts | undefined,
  before: FileFacts | undefined,
): void {
  const isSame = now !== undefined && now.id === before?.id &&
    now.size === before.size && now.modifiedAt === before.modifiedAt;
  if (!isSame) {
    throw new Error(
      "another program has just changed it; that stays, so try again",
    );
  }
}

/** The ends of the names of a file's copies, behind `.alwaysup`: the oldest copy first. */
const COPIES = [".bak", ".2.bak", ".3.bak"];

/**
 * Keeps a copy of a file's text beside the file, which only its owner can read.
 * There are three at most: the first, which is the file as it was before this
 * program changed it, and the two newest. A text that has a copy gets no second
 * one. Throws if no copy can be written.
 *
 * @param mode the file's permission bits
 * @returns the path of the copy
 */
export async function keep(
  host: Host,
  file: string,
  text: string,
  mode: number,
): Promise<string> {
  const names = COPIES.map((end) => `${file}.alwaysup${end}`);
  for (const path of names) {
    const isKept = host.makeFile(path, text, mode & 0o600) ||
      isPrivate(host, path) && attempt(() => host.readFile(path)) === text;
    if (!isKept) continue;
    await host.sync(path);
    return path;
  }
  const [, older, newest] = names as [string, string, string];
  const next = writeBeside(host, newest, text, mode & 0o600);
  try {
    await host.sync(next);
    // Another process that keeps a text may have just done so.
    await rename(host, newest, older).catch(() => {});
    await rename(host, next, newest);
    return newest;
  } finally {
    host.remove(next);
  }
}

/** Whether a path is a file with no other name that nobody else can read or write. */
function isPrivate(host: Host, path: string): boolean {
  const facts = host.lstat(path);
  return facts?.isFile === true && facts.names === 1 &&
    ((facts.mode ?? 0) & 0o077) === 0;
}
