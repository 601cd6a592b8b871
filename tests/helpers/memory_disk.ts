/**
 * A disk in memory with owners, permission bits, links and power cuts, and the
 * host of a program on it.
 *
 * @module
 */

import type { FileFacts, Host } from "../../lib/runtime/host.ts";

/** The user of the program, and another one. */
export const [ME, OTHER] = [1000, 666];

/** What a name stands for. */
interface Node {
  readonly kind: "file" | "folder" | "link";
  /** A file's text, or where a link leads. */
  text: string;
  /** What a power cut leaves of the text. */
  safe: string;
  owner: number;
  group: number;
  mode: number;
  modifiedAt: number;
  names: number;
  readonly id: string;
}

/** What may be said of a new name. */
type Facts = Partial<
  Pick<Node, "owner" | "group" | "mode" | "names"> & { ageMs: number }
>;

/** The disk. */
export class Disk {
  readonly nodes = new Map<string, Node>();
  /** What the program has done to the disk, e.g. `rename /a`. */
  readonly done: string[] = [];
  /** What is to happen before a step, once. */
  readonly before = new Map<string, () => void>();
  #count = 0;

  constructor() {
    this.#add("", "folder", "", { owner: 0, mode: 0o755 });
  }

  /** A file that is there, and the folders around it. */
  put(path: string, text: string, facts: Facts = {}): void {
    this.#around(path);
    this.#add(path, "file", text, { mode: 0o600, ...facts }).safe = text;
  }

  /** A folder that is there. */
  folder(path: string, facts: Facts = {}): void {
    this.#around(path);
    this.#add(path, "folder", "", { mode: 0o700, ...facts });
  }

  /** A link that is there. */
  link(path: string, target: string, facts: Facts = {}): void {
    this.#around(path);
    this.#add(path, "link", target, { mode: 0o777, ...facts });
  }

  /** The text behind a path; `undefined` if there is none. */
  text(path: string): string | undefined {
    return this.#behind(path)?.text;
  }

  /** The names in a folder. */
  names(folder: string): string[] {
    const start = `${this.#real(folder)}/`;
    return [...this.nodes.keys()]
      .filter((path) => path.startsWith(start))
      .map((path) => path.slice(start.length))
      .filter((name) => name !== "" && !name.includes("/")).sort();
  }

  /** The power is off: of each file there is only what was synced. */
  cut(): void {
    for (const node of this.nodes.values()) node.text = node.safe;
  }

  #around(path: string): void {
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (this.#behind(folder) !== undefined) return;
    this.#around(folder);
    this.#add(folder, "folder", "", { mode: 0o700 });
  }

  #add(path: string, kind: Node["kind"], text: string, facts: Facts): Node {
    const { owner = ME, group = ME, mode = 0o600, names = 1 } = facts;
    const modifiedAt = Date.now() - (facts.ageMs ?? 0);
    const id = `${++this.#count}`;
    const safe = kind === "file" ? "" : text;
    const node = { owner, group, mode, names, modifiedAt, id };
    this.nodes.set(path, { kind, text, safe, ...node });
    return this.nodes.get(path)!;
  }

  /** The path without links. */
  #real(path: string): string {
    let real = "";
    for (const part of path.split("/").filter((part) => part !== "")) {
      real = `${real}/${part}`;
      const node = this.nodes.get(real);
      if (node?.kind === "link") real = this.#real(node.text);
    }
    return real;
  }

  /** The path of a name itself, in the folder that it is really in. */
  #own(path: string): string {
    const end = path.lastIndexOf("/");
    return this.#real(path.slice(0, end)) + path.slice(end);
  }

  #behind(path: string): Node | undefined {
    return this.nodes.get(this.#real(path));
  }

  #step(what: string, path: string): void {
    const step = `${what} ${path.replace(/\.7-[0-9a-z]+\.tmp$/, ".tmp")}`;
    const happens = this.before.get(step);
    this.before.delete(step);
    happens?.();
    this.done.push(step);
  }

  /** The host of a program that runs as {@linkcode ME}. */
  host(more: Partial<Host> = {}): Host {
    const facts = (node: Node | undefined): FileFacts | undefined =>
      node && {
        isFile: node.kind === "file",
        isFolder: node.kind === "folder",
        isLink: node.kind === "link",
        size: node.text.length,
        modifiedAt: node.modifiedAt,
        mode: host.os === "windows" ? undefined : node.mode,
        owner: host.os === "windows"
          ? undefined
          : { user: node.owner, group: node.group },
        names: node.names,
        id: node.id,
      };
    const must = (node: Node | undefined): Node => {
      if (node === undefined) throw new Error("No such file");
      return node;
    };
    const host = {
      os: "linux",
      pid: 7,
      env: () => ({}),
      variable: (name: string) => name === "HOME" ? "/h" : undefined,
      program: () => ["/alwaysup"],
      readFile: (path) => must(this.#behind(path)).text,
      readSame: (path, { id }) => {
        this.#step("read", path);
        const node = this.#behind(path);
        return node?.id === id ? node.text : undefined;
      },
      stat: (path) => facts(this.#behind(path)),
      lstat: (path) => facts(this.nodes.get(this.#own(path))),
      user: () => ME,
      realPath: (path) => this.#real(path),
      readLink: (path) => this.nodes.get(this.#own(path))!.text,
      list: (folder) => this.names(folder),
      makeFolder: (path) => this.#around(`${path.replace(/\/$/, "")}/x`),
      makeFile: (path, text, mode) => {
        this.#step("make", path);
        const own = this.#own(path);
        if (this.nodes.has(own)) return false;
        this.#add(own, "file", text, { mode });
        return true;
      },
      writeFile: (path, text, mode) => {
        this.#step("write", path);
        const real = this.#real(path);
        const node = this.nodes.get(real) ?? this.#add(real, "file", "", {});
        // Between the two the power may go.
        Object.assign(node, { text, safe: "", mode: mode ?? node.mode });
      },
      sync: (path) => {
        this.#step("sync", path);
        const node = must(this.#behind(path));
        node.safe = node.text;
        return Promise.resolve();
      },
      setMode: (path, mode) => {
        this.#step("mode", path);
        const node = must(this.#behind(path));
        if (node.owner !== ME) throw new Error("Operation not permitted");
        node.mode = mode;
      },
      rename: (from, to) => {
        this.#step("rename", to);
        const node = must(this.nodes.get(this.#own(from)));
        this.nodes.delete(this.#own(from));
        this.nodes.set(this.#own(to), node);
      },
      remove: (path) => {
        if (this.nodes.delete(this.#own(path))) this.#step("remove", path);
      },
      lock: () => false,
      isLocked: () => undefined,
      wake: (_, callback) => queueMicrotask(callback),
      ...more,
    } as Partial<Host> as Host;
    return host;
  }
}
