/**
 * A disk in memory with owners, permission bits, links and power cuts. It also
 * provides a host for a program that uses the disk.
 *
 * @module
 */

import type { FileInfo, Host } from "../../lib/runtime/host.ts";

/** The user id of the program, and the id of another user. */
export const [OWN_UID, OTHER_UID] = [1000, 666];

/** A file, a folder or a symbolic link. */
interface DiskNode {
  readonly kind: "file" | "folder" | "link";
  /** The text of a file, or the target of a link. */
  text: string;
  /** The text after a power cut. */
  syncedText: string;
  owner: number;
  group: number;
  mode: number;
  modifiedAt: number;
  linkCount: number;
  readonly id: string;
}

/** The options for a new node. `linkCount` is its number of hard links. */
type NodeOptions = Partial<
  Pick<DiskNode, "owner" | "group" | "mode" | "linkCount"> & { ageMs: number }
>;

export class MemoryDisk {
  readonly nodes = new Map<string, DiskNode>();
  /** The program's operations on the disk, e.g. `rename /a`. */
  readonly operations: string[] = [];
  /** Callbacks that run once, before the named operation. */
  readonly beforeOperation = new Map<string, () => void>();
  #count = 0;

  constructor() {
    this.#add("", "folder", "", { owner: 0, mode: 0o755 });
  }

  /** Adds a file with its folders. */
  addFile(path: string, text: string, facts: NodeOptions = {}): void {
    this.#addParents(path);
    this.#add(path, "file", text, { mode: 0o600, ...facts }).syncedText = text;
  }

  /** Adds a folder with its parent folders. */
  addFolder(path: string, facts: NodeOptions = {}): void {
    this.#addParents(path);
    this.#add(path, "folder", "", { mode: 0o700, ...facts });
  }

  /** Adds a symbolic link with its folders. */
  addLink(path: string, target: string, facts: NodeOptions = {}): void {
    this.#addParents(path);
    this.#add(path, "link", target, { mode: 0o777, ...facts });
  }

  /** Returns the text of a file; `undefined` if it does not exist. */
  readText(path: string): string | undefined {
    return this.#nodeAt(path)?.text;
  }

  /** Returns the sorted names in a folder. */
  listNames(folder: string): string[] {
    const start = `${this.#resolve(folder)}/`;
    return [...this.nodes.keys()]
      .filter((path) => path.startsWith(start))
      .map((path) => path.slice(start.length))
      .filter((name) => name !== "" && !name.includes("/")).sort();
  }

  /** Cuts the power. Each file keeps only the text of the last `fsync`. */
  powerOff(): void {
    for (const node of this.nodes.values()) node.text = node.syncedText;
  }

  #addParents(path: string): void {
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (this.#nodeAt(folder) !== undefined) return;
    this.#addParents(folder);
    this.#add(folder, "folder", "", { mode: 0o700 });
  }

  #add(
    path: string,
    kind: DiskNode["kind"],
    text: string,
    facts: NodeOptions,
  ): DiskNode {
    const { owner = OWN_UID, group = OWN_UID, mode = 0o600, linkCount = 1 } =
      facts;
    const modifiedAt = Date.now() - (facts.ageMs ?? 0);
    const id = `${++this.#count}`;
    const syncedText = kind === "file" ? "" : text;
    const node = { owner, group, mode, linkCount, modifiedAt, id };
    this.nodes.set(path, { kind, text, syncedText, ...node });
    return this.nodes.get(path)!;
  }

  /** Resolves all links in a path. */
  #resolve(path: string): string {
    let real = "";
    for (const part of path.split("/").filter((part) => part !== "")) {
      real = `${real}/${part}`;
      const node = this.nodes.get(real);
      if (node?.kind === "link") real = this.#resolve(node.text);
    }
    return real;
  }

  /** Resolves the links in a path, except for the last name. */
  #resolveParent(path: string): string {
    const end = path.lastIndexOf("/");
    return this.#resolve(path.slice(0, end)) + path.slice(end);
  }

  #nodeAt(path: string): DiskNode | undefined {
    return this.nodes.get(this.#resolve(path));
  }

  #record(what: string, path: string): void {
    const step = `${what} ${path.replace(/\.7-[0-9a-z]+\.tmp$/, ".tmp")}`;
    const callback = this.beforeOperation.get(step);
    this.beforeOperation.delete(step);
    callback?.();
    this.operations.push(step);
  }

  /** Returns the host of a program that runs as {@linkcode OWN_UID}. */
  host(more: Partial<Host> = {}): Host {
    const facts = (node: DiskNode | undefined): FileInfo | undefined =>
      node && {
        isFile: node.kind === "file",
        isFolder: node.kind === "folder",
        isSymlink: node.kind === "link",
        size: node.text.length,
        modifiedAt: node.modifiedAt,
        mode: host.os === "windows" ? undefined : node.mode,
        userId: host.os === "windows" ? undefined : node.owner,
        groupId: host.os === "windows" ? undefined : node.group,
        linkCount: node.linkCount,
        id: node.id,
      };
    const requireNode = (node: DiskNode | undefined): DiskNode => {
      if (node === undefined) throw new Error("No such file");
      return node;
    };
    const host = {
      os: "linux",
      pid: 7,
      env: () => ({}),
      getEnv: (name: string) => name === "HOME" ? "/h" : undefined,
      launchCommand: () => ["/alwaysup"],
      readFile: (path) => requireNode(this.#nodeAt(path)).text,
      readIfUnchanged: (path, { id }) => {
        this.#record("read", path);
        const node = this.#nodeAt(path);
        return node?.id === id ? node.text : undefined;
      },
      stat: (path) => facts(this.#nodeAt(path)),
      lstat: (path) => facts(this.nodes.get(this.#resolveParent(path))),
      ownerOfNewFilesIn: () => OWN_UID,
      realPath: (path) => this.#resolve(path),
      readLink: (path) => this.nodes.get(this.#resolveParent(path))!.text,
      listFolder: (folder) => this.listNames(folder),
      makeFolder: (path) => this.#addParents(`${path.replace(/\/$/, "")}/x`),
      createFile: (path, text, mode) => {
        this.#record("make", path);
        const own = this.#resolveParent(path);
        if (this.nodes.has(own)) return false;
        this.#add(own, "file", text, { mode });
        return true;
      },
      writeFile: (path, text) => {
        this.#record("write", path);
        const real = this.#resolve(path);
        const node = this.nodes.get(real) ?? this.#add(real, "file", "", {});
        // Until `fsync` is called, a power cut empties the file.
        node.text = text;
        node.syncedText = "";
      },
      fsync: (path) => {
        this.#record("sync", path);
        const node = requireNode(this.#nodeAt(path));
        node.syncedText = node.text;
        return Promise.resolve();
      },
      chmod: (path, mode) => {
        this.#record("mode", path);
        const node = requireNode(this.#nodeAt(path));
        if (node.owner !== OWN_UID) throw new Error("Operation not permitted");
        node.mode = mode;
      },
      rename: (from, to) => {
        this.#record("rename", to);
        const node = requireNode(this.nodes.get(this.#resolveParent(from)));
        this.nodes.delete(this.#resolveParent(from));
        this.nodes.set(this.#resolveParent(to), node);
      },
      remove: (path) => {
        if (this.nodes.delete(this.#resolveParent(path))) {
          this.#record("remove", path);
        }
      },
      setTimer: (_, callback) => queueMicrotask(callback),
      ...more,
    } as Partial<Host> as Host;
    return host;
  }
}
