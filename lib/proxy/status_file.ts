/**
 * The file by which this proxy is known to `alwaysup status`, while it runs.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { stateFolder } from "../runtime/state_dir.ts";
import { isFinal, readOwn, replaceBriefly } from "../runtime/atomic_file.ts";
import { type FileFacts, type Host } from "../runtime/host.ts";
import {
  BEAT_MS,
  type Facts,
  fromText,
  isWritten,
  type Running,
  RUNNING_LIMIT,
  STALE_MS,
  toText,
} from "./status_format.ts";
import type { Snapshot } from "../session/snapshot.ts";
import { claim, Distrust, distrust } from "../runtime/ownership.ts";

/** How soon after the start the file is written: the client is waiting until then. */
const FIRST_MS = 200;
/** The shortest time between two writes. */
const PAUSE_MS = 1_000;
/** The names of what a proxy writes here: its file, its lock, and a file that is yet to be renamed. */
const STATUS_FILE = /^\d+-[0-9a-z]+\.json$/;
const LOCK_FILE = /^\d+-[0-9a-z]+\.lock$/;
const UNFINISHED_FILE = /^\d+-[0-9a-z]+\.json\.\d+-[0-9a-z]+\.tmp$/;

/** The folder of those files; `undefined` where the user has no state folder. */
export function runningFolder(host: Host): string | undefined {
  const folder = stateFolder(host);
  return folder && `${folder}/running`;
}

/** This proxy's file. */
export class Presence {
  readonly #host: Host;
  readonly #facts: Omit<Facts, "sign">;
  readonly #folder: string;
  /** How often in a row it could not be written. */
  #failures = 0;
  #sign: Facts["sign"] | undefined;
  #shown = "";
  /** When it may be written again, and when it must be. */
  #notBefore: number;
  #beatAt = -Infinity;
  #dueAt: number;

  /** A proxy whose file is yet to be written. */
  constructor(
    host: Host,
    folder: string,
    facts: Omit<Facts, "sign">,
    now: number,
  ) {
    this.#host = host;
    this.#folder = folder;
    this.#facts = facts;
    this.#notBefore = this.#dueAt = now + FIRST_MS;
  }

  /** When {@linkcode show} wants to be called next. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Something may be different now. */
  touch(now: number): void {
    this.#dueAt = Math.min(this.#dueAt, Math.max(now, this.#notBefore));
  }

  /**
   * Writes the file if it says something else by now, or is about to look
   * abandoned. Throws if it cannot.
   *
   * @param ahead how far the wall's clock is ahead of `now`, in milliseconds
   */
  show(snapshot: Snapshot, now: number, ahead: number): void {
    const text = JSON.stringify(snapshot);
    if (text !== this.#shown || now >= this.#beatAt) {
      this.#notBefore = this.#dueAt = now + PAUSE_MS;
      if (!this.#tryToWrite(snapshot, ahead)) return;
      this.#shown = text;
      this.#beatAt = now + BEAT_MS;
    }
    this.#dueAt = this.#beatAt;
  }

  /** Writes the file, and says whether it is written. Throws if it cannot be, and not for a moment only. */
  #tryToWrite(snapshot: Snapshot, ahead: number): boolean {
    try {
      this.#write(snapshot, ahead);
      this.#failures = 0;
      return true;
    } catch (error) {
      if (isFinal(this.#host, error, ++this.#failures)) throw error;
      return false;
    }
  }

  #write(snapshot: Snapshot, ahead: number): void {
    // The lock must be there before anybody looks for it; somebody may have removed it.
    if (
      this.#sign === undefined ||
      this.#sign === "lock" &&
        this.#host.lstat(this.#path("lock")) === undefined
    ) {
      claimBoth(this.#host);
      this.#host.makeFolder(this.#folder);
      this.#sign = this.#host.lock(this.#path("lock")) ? "lock" : "heartbeat";
    }
    const facts = { ...this.#facts, sign: this.#sign };
    const text = toText(facts, snapshot, ahead);
    replaceBriefly(this.#host, this.#path("json"), text);
  }

  /** Removes the file. */
  leave(): void {
    if (this.#sign === undefined) return;
    try {
      for (const kind of ["json", "lock"] as const) {
        this.#host.remove(this.#path(kind));
      }
    } catch {
      // Who reads it sees that nobody is there.
    }
  }

  #path(kind: "json" | "lock"): string {
    // Containers may share the folder, and their processes have the same numbers.
    const { pid, startedAt } = this.#facts;
    return `${this.#folder}/${pid}-${startedAt.toString(36)}.${kind}`;
  }
}

/** What is found in the folder. */
export interface Found {
  /** Every running proxy, the oldest first. */
  readonly running: readonly Running[];
  /** What cannot be read, and why. */
  readonly troubles: readonly string[];
  /** Whether the folder itself could be read. */
  readonly isWhole: boolean;
}

/**
 * Finds every running proxy, and removes what those have left behind that run
 * no more. What is not ours by its name, its owner and its content stays.
 */
export function findRunning(host: Host): Found {
  const running: Running[] = [];
  const troubles: string[] = [];
  const folder = runningFolder(host);
  if (folder === undefined) return { running, troubles, isWhole: true };
  let names: readonly string[];
  try {
    claimBoth(host);
    names = host.list(folder);
  } catch (error) {
    const why = messageOf(error);
    troubles.push(
      error instanceof Distrust ? why : `${folder} cannot be read (${why})`,
    );
    return { running, troubles, isWhole: false };
  }
  for (const name of names) {
    const path = `${folder}/${name}`;
    try {
      if (STATUS_FILE.test(name)) {
        const found = look(host, path);
        if (typeof found === "string") troubles.push(`${path} ${found}`);
        else if (found !== undefined) running.push(found);
      } else if (isLeft(host, path, name, names)) host.remove(path);
    } catch (error) {
      troubles.push(`${path} cannot be read (${messageOf(error)})`);
    }
  }
  running.sort((a, b) => a.startedAt - b.startedAt);
  return { running, troubles, isWhole: true };
}

/** The proxy of a file; `undefined` if there is none any more, a text if nobody knows. */
function look(host: Host, path: string): Running | string | undefined {
  let text: string | undefined;
  let it: Running | undefined;
  let trouble = "is not a status file of this version";
  try {
    text = readOwn(host, path, RUNNING_LIMIT, userOf(host))?.text;
    if (text === undefined) return undefined; // it has just left
    it = fromText(text);
  } catch (error) {
    const why = messageOf(error);
    const isForeign = error instanceof Distrust;
    trouble = isForeign ? `is not believed: ${why}` : `cannot be read (${why})`;
  }
  const lock = path.replace(/json$/, "lock");
  const isLocking = it?.sign === "lock";
  const isLocked = isLocking ? isHeld(host, lock) : undefined;
  if (isLocked ?? ageOf(host, path) < STALE_MS) return it ?? trouble;
  // Only who can see its lock knows that it is over: it may have slept.
  if (isLocking && isLocked === undefined) return undefined;
  // What is not ours is no proxy of ours, and none of our business.
  if (text === undefined || !isWritten(text)) return undefined;
  host.remove(path);
  if (isEmptyOfOurs(host, lock)) host.remove(lock);
  return undefined;
}

/** Whether a file is what a proxy has left that was killed while it wrote. */
function isLeft(
  host: Host,
  path: string,
  name: string,
  names: readonly string[],
): boolean {
  if (UNFINISHED_FILE.test(name)) {
    const facts = host.lstat(path);
    return facts !== undefined && isOurs(host, facts) &&
      Date.now() - facts.modifiedAt > STALE_MS;
  }
  return LOCK_FILE.test(name) &&
    !names.includes(name.replace(/lock$/, "json")) &&
    isHeld(host, path) === false && isEmptyOfOurs(host, path);
}

/** Whether a process holds a lock; what is not ours is none. */
function isHeld(host: Host, path: string): boolean | undefined {
  const facts = host.lstat(path);
  const isLock = facts === undefined || isOurs(host, facts);
  return isLock ? host.isLocked(path) : false;
}

function isEmptyOfOurs(host: Host, path: string): boolean {
  const facts = host.lstat(path);
  return facts?.size === 0 && isOurs(host, facts);
}

function isOurs(host: Host, facts: FileFacts): boolean {
  return distrust(facts, userOf(host)) === undefined;
}

/** How old a file is; one that has just gone is as old as can be. */
function ageOf(host: Host, path: string): number {
  return Date.now() - (host.lstat(path)?.modifiedAt ?? -Infinity);
}

/** Takes our two folders from everybody else. Throws if they are not ours. */
function claimBoth(host: Host): void {
  const user = userOf(host);
  claim(host, stateFolder(host)!, user);
  claim(host, runningFolder(host)!, user);
}

function userOf(host: Host): () => number | undefined {
  return () => host.user(stateFolder(host)!);
}
