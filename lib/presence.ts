/**
 * The file by which this proxy is known to `alwaysup status`, while it runs.
 *
 * @module
 */

import { readLimited, replace } from "./files.ts";
import { type Host, messageOf } from "./host.ts";
import {
  BEAT_MS,
  type Facts,
  fromText,
  type Running,
  RUNNING_LIMIT,
  STALE_MS,
  toText,
} from "./running.ts";
import type { Snapshot } from "./snapshot.ts";
import { stateFolder } from "./state.ts";

/** How soon after the start the file is written: the client is waiting until then. */
const FIRST_MS = 200;
/** The shortest time between two writes. */
const PAUSE_MS = 1_000;

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
      this.#write(snapshot, ahead);
      this.#shown = text;
      this.#notBefore = now + PAUSE_MS;
      this.#beatAt = now + BEAT_MS;
    }
    this.#dueAt = this.#beatAt;
  }

  #write(snapshot: Snapshot, ahead: number): void {
    // The lock must be there before anybody looks for it; somebody may have removed it.
    if (
      this.#sign === undefined ||
      this.#sign === "lock" && this.#host.stat(this.#path("lock")) === undefined
    ) {
      this.#host.makeFolder(this.#folder);
      this.#sign = this.#host.lock(this.#path("lock")) ? "lock" : "heartbeat";
    }
    const facts = { ...this.#facts, sign: this.#sign };
    replace(this.#host, this.#path("json"), toText(facts, snapshot, ahead));
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

/** Finds every running proxy, and removes what those have left behind that run no more. */
export function findRunning(host: Host): Found {
  const running: Running[] = [];
  const troubles: string[] = [];
  const folder = runningFolder(host);
  const attempt = (path: string, run: () => void): boolean => {
    try {
      run();
      return true;
    } catch (error) {
      troubles.push(`${path} cannot be read (${messageOf(error)})`);
      return false;
    }
  };
  let names: readonly string[] = [];
  const isWhole = folder === undefined || attempt(folder, () => {
    names = host.list(folder);
  });
  for (const name of names) {
    const path = `${folder}/${name}`;
    if (name.endsWith(".json")) {
      attempt(path, () => {
        const found = look(host, path);
        if (typeof found === "string") troubles.push(found);
        else if (found !== undefined) running.push(found);
      });
    } else {
      attempt(path, () => {
        if (isLeft(host, path, names)) host.remove(path);
      });
    }
  }
  running.sort((a, b) => a.startedAt - b.startedAt);
  return { running, troubles, isWhole };
}

/** The proxy of a file; `undefined` if there is none any more, a text if nobody knows. */
function look(host: Host, path: string): Running | string | undefined {
  const file = readLimited(host, path, RUNNING_LIMIT);
  if (file === undefined) return undefined; // it has just left
  const it = fromText(file.text);
  const lock = lockOf(path);
  const isLocking = it?.sign === "lock";
  const isLocked = isLocking ? host.isLocked(lock) : undefined;
  if (isLocked ?? file.ageMs < STALE_MS) {
    return it ?? `${path} is not a status file of this version`;
  }
  // Only who can see its lock knows that it is over: it may have slept.
  if (isLocking && isLocked === undefined) return undefined;
  host.remove(path);
  host.remove(lock);
  return undefined;
}

/** Whether a file is what a proxy has left that was killed while it wrote. */
function isLeft(
  host: Host,
  path: string,
  names: readonly string[],
): boolean {
  if (path.endsWith(".tmp")) {
    const modifiedAt = host.stat(path)?.modifiedAt ?? Infinity;
    return Date.now() - modifiedAt > STALE_MS;
  }
  const owner = path.slice(path.lastIndexOf("/") + 1).replace(/lock$/, "json");
  return path.endsWith(".lock") && !names.includes(owner) &&
    host.isLocked(path) === false;
}

function lockOf(path: string): string {
  return path.replace(/json$/, "lock");
}
