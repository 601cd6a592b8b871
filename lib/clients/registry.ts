/**
 * The MCP clients that this program knows: where each keeps its list of servers,
 * and in which form.
 *
 * @module
 */

import type { Oddity, Reached } from "./entry.ts";
import type { Wanted } from "../json/jsonc.ts";
import { dig, isRecord } from "../protocol/jsonrpc.ts";

/** What a client's place depends on; a host is one. */
export interface Place {
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** A variable of the environment; empty counts as not set. */
  variable(name: string): string | undefined;
  /** The names in a folder; none if it is not there. */
  list(folder: string): string[];
}

/** A client. */
export interface Client {
  /** What a command line calls it. */
  readonly name: string;
  /** What people call it. */
  readonly title: string;
  /** The member of its file that holds the servers. */
  readonly key: string;
  /** The member of its file that holds, by folder, lists of servers for that folder only. */
  readonly projects?: string;
  /** What stands in an entry beside command and arguments. */
  readonly form: Readonly<Record<string, string>>;
  /** Whether an entry's command and arguments are one list. */
  readonly isList?: true;
  /** Whether its file is TOML; else it is JSON. */
  readonly isToml?: true;
  /** What in a file of JSON keeps the client from reading that file. */
  readonly rejects?: readonly Oddity[];
  /** Whether the client may replace a file that it cannot read by a new one (anthropics/claude-code#1788), so that an entry in it would be lost. */
  readonly isResetting?: true;
  /** The members of an entry that keep the client from starting its server. */
  readonly switches?: readonly Switch[];
  /** The member of its file that may forbid servers, by the names in its lists `allowed` and `excluded`. */
  readonly permits?: string;
  /** What else its user must know: whole sentences. */
  readonly note?: string;
  /** The user's own file; `undefined` if the environment does not say where. */
  file(place: Place): string | undefined;
  /** The folder that shows that the client is on this machine; without this function the one that its file is in. */
  folder?(place: Place): string | undefined;
}

/** A member of an entry that switches a server off: `"disabled": true` or `"enabled": false`. */
export type Switch = "disabled" | "enabled";

/** A server of a client's that is this program. */
export interface Found {
  /** What the client calls it. */
  readonly name: string;
  /** What the client starts. */
  readonly command: readonly string[];
  /** The folder for which it is there, where that is one only. */
  readonly project?: string;
}

/**
 * The largest file of a client's that is read, in bytes. Claude Code's grows with
 * its use, and people report 238 MB; a text of V8's has 2^29 - 24 characters at
 * most.
 */
export const FILE_LIMIT = 500 * 1024 * 1024;
const FILE = "settings.json";
/** What RFC 8259 does not have: a client that takes nothing else does not read it. */
const STRICT = ["mark", "comment", "comma"] as const;

/** The clients; the order is that of lists that people see. */
export const CLIENTS: readonly Client[] = [
  {
    name: "claude-desktop",
    title: "Claude Desktop",
    key: "mcpServers",
    form: {},
    rejects: STRICT,
    isResetting: true,
    file: (place) =>
      below(
        packaged(place) ?? below(settings(place), "Claude"),
        "claude_desktop_config.json",
      ),
  },
  {
    name: "claude-code",
    title: "Claude Code",
    key: "mcpServers",
    // Where `claude mcp add` puts a server, if it is not told otherwise.
    projects: "projects",
    form: { type: "stdio" },
    rejects: STRICT,
    isResetting: true,
    file: (place) => {
      const named = place.variable("CLAUDE_CONFIG_DIR");
      const folder = named ?? below(home(place), ".claude");
      // An older place, which counts if it is there.
      return namesInFolder(place, folder).includes(".config.json")
        ? below(folder, ".config.json")
        : below(named ?? home(place), ".claude.json");
    },
    folder: (place) =>
      place.variable("CLAUDE_CONFIG_DIR") ?? below(home(place), ".claude"),
  },
  {
    name: "vscode",
    title: "VS Code",
    key: "servers",
    form: { type: "stdio" },
    file: (place) => below(settings(place), "Code", "User", "mcp.json"),
  },
  {
    name: "cursor",
    title: "Cursor",
    key: "mcpServers",
    form: {},
    rejects: ["comma"],
    note: "Cursor may show a new server as disabled until you turn it on in " +
      "its settings.",
    file: (place) => below(home(place), ".cursor", "mcp.json"),
  },
  {
    name: "windsurf",
    title: "Windsurf",
    key: "mcpServers",
    form: {},
    rejects: ["mark"],
    switches: ["disabled"],
    file: (place) =>
      below(home(place), ".codeium", "windsurf", "mcp_config.json"),
  },
  {
    name: "augment",
    title: "Augment",
    key: "mcpServers",
    form: {},
    rejects: ["mark"],
    switches: ["disabled"],
    note:
      "That is the file of Auggie, Augment's command line. Its extensions " +
      'for editors have none: there, use "Import from JSON" in the settings ' +
      "under MCP.",
    file: (place) => below(home(place), ".augment", "settings.json"),
  },
  {
    name: "zed",
    title: "Zed",
    key: "context_servers",
    form: {},
    switches: ["enabled"],
    file: (place) => {
      const { os } = place;
      if (os === "windows") return below(settings(place), "Zed", FILE);
      if (os === "darwin") return below(home(place), ".config", "zed", FILE);
      const flatpak = place.variable("FLATPAK_XDG_CONFIG_HOME");
      return below(flatpak ?? settings(place), "zed", FILE);
    },
  },
  {
    name: "codex",
    title: "Codex",
    key: "mcp_servers",
    form: {},
    isToml: true,
    switches: ["enabled"],
    file: (place) =>
      below(
        place.variable("CODEX_HOME") ?? below(home(place), ".codex"),
        "config.toml",
      ),
  },
  {
    name: "gemini",
    title: "Gemini CLI",
    key: "mcpServers",
    form: {},
    rejects: ["comma", "mark"],
    permits: "mcp",
    // The variable names what is its home, not its folder.
    file: (place) =>
      below(
        place.variable("GEMINI_CLI_HOME") ?? home(place),
        ".gemini",
        FILE,
      ),
  },
  {
    name: "opencode",
    title: "opencode",
    key: "mcp",
    form: { type: "local" },
    isList: true,
    switches: ["enabled", "disabled"],
    file: (place) => {
      // It has the same place on every system.
      const base = place.variable("XDG_CONFIG_HOME") ??
        below(home(place), ".config");
      const folder = below(base, "opencode");
      // Of the two, this one wins.
      return namesInFolder(place, folder).includes("opencode.jsonc")
        ? below(folder, "opencode.jsonc")
        : below(folder, "opencode.json");
    },
  },
];

/** What an entry says that starts a command, in the client's own form. */
export function entryOf(
  { form, isList }: Client,
  words: readonly string[],
): Reached {
  if (isList) return { ...form, command: words };
  const [command, ...args] = words;
  return { ...form, command, args };
}

/** The members of a client's file that {@linkcode findOurs} and {@linkcode whyOff} look at. */
export function wantedBy({ key, projects, permits }: Client): Wanted {
  return (path) =>
    path[0] === key || path[0] === permits ||
    path[0] === projects && (path.length < 3 || path[2] === key);
}

/**
 * Why a client does not start the server of an entry, or may not; `undefined` if
 * nothing says so, or there is no such entry. It completes the sentence "the
 * entry NAME ...".
 */
export function whyOff(
  { key, title, switches = [], permits }: Client,
  file: unknown,
  name: string,
): string | undefined {
  const entry = dig(file, key, name);
  if (entry === undefined) return undefined;
  const stays = `${title} does not start it until you change that`;
  const off: readonly Switch[] = [
    ...(dig(entry, "enabled") === false ? ["enabled"] as const : []),
    ...(dig(entry, "disabled") === true ? ["disabled"] as const : []),
  ];
  const [first] = off;
  if (first !== undefined) {
    const said = `says "${first}": ${first === "disabled"}`;
    return switches.includes(first)
      ? `${said}: ${stays}`
      : `${said}: see whether ${title} starts it`;
  }
  if (permits === undefined) return undefined;
  const isIn = (list: unknown): boolean =>
    listOf(list).some((it) => String(it).toLowerCase() === name.toLowerCase());
  const { allowed, excluded } = recordOf(dig(file, permits));
  if (isIn(excluded)) {
    return `stands in "${permits}.excluded" of that file: ${stays}`;
  }
  return Array.isArray(allowed) && !isIn(allowed)
    ? `does not stand in "${permits}.allowed" of that file: ${stays}`
    : undefined;
}

/**
 * The command as a client can start it: on Windows `npx` is a script, which only
 * `cmd` runs.
 */
export function startable(
  os: string,
  command: readonly string[],
): readonly string[] {
  const isScript = os === "windows" && command[0] === "npx";
  return isScript ? ["cmd", "/c", ...command] : command;
}

/**
 * The servers in a client's parsed file that are this program.
 *
 * @param program what starts it, wherever it lies
 */
export function findOurs(
  { key, projects }: Client,
  file: unknown,
  program: readonly string[],
): Found[] {
  const oursIn = (list: unknown): Found[] =>
    membersOf(dig(list, key))
      .filter(([, server]) => startsUs(server, program))
      .map(([name, server]) => ({ name, command: commandOf(server) }));
  const folders = projects === undefined ? [] : membersOf(dig(file, projects));
  const ofFolders = folders.flatMap(([project, list]) =>
    oursIn(list).map((found) => ({ ...found, project }))
  );
  return [...oursIn(file), ...ofFolders];
}

/**
 * Whether a server of a client's is this program.
 *
 * @param program what starts it, wherever it lies
 */
export function startsUs(server: unknown, program: readonly string[]): boolean {
  const own = program.at(-1);
  const isPath = own !== undefined && /[/\\]/.test(own);
  const command = commandOf(server);
  return isOurs(command) || isPath && command.includes(own);
}

function membersOf(value: unknown): [name: string, value: unknown][] {
  return Object.entries(recordOf(value));
}

/** A command and its arguments, as far as they are texts: apart, in one list, or in the object that Zed had once. */
function commandOf(server: unknown): string[] {
  const command = dig(server, "command");
  const words = isRecord(command)
    ? [command.path, ...listOf(command.args)]
    : [...listOf(command, [command]), ...listOf(dig(server, "args"))];
  return words.filter((word) => typeof word === "string");
}

function listOf(value: unknown, otherwise: unknown[] = []): unknown[] {
  return Array.isArray(value) ? value : otherwise;
}

function recordOf(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

/** The file of a build: `alwaysup`, `alwaysup.exe`, `alwaysup-linux-x64`. */
const BUILD = /(^|[/\\])alwaysup(-(linux|macos|windows)-\w+)?(\.exe)?$/;
/** A word behind which the name of a program follows. */
const LAUNCHER = /^(npx|bunx|-y|--yes|dlx|exec|\/c)$/;
/** What is this program wherever it stands: the npm package's file, a build for Windows, the source. */
const FILES =
  /(^|[/\\])alwaysup(\.js|(-windows-\w+)?\.exe|[^/\\]*[/\\]main\.ts)$/;

/** A folder of that name is an argument of many a server: only what is started counts. */
function isOurs(command: readonly string[]): boolean {
  return command.some((word, i) => {
    const isStarted = i === 0 || LAUNCHER.test(command[i - 1]!);
    const name = word.replace(/@[\w.^~-]+$/, "");
    return FILES.test(word) || isStarted && BUILD.test(name);
  });
}

function home({ os, variable }: Place): string | undefined {
  return variable(os === "windows" ? "USERPROFILE" : "HOME");
}

/** Where programs keep their settings: XDG on Linux, the usual places elsewhere. */
function settings(place: Place): string | undefined {
  const { os, variable } = place;
  switch (os) {
    case "windows":
      return variable("APPDATA");
    case "darwin":
      return below(home(place), "Library", "Application Support");
    default: {
      const named = variable("XDG_CONFIG_HOME");
      // A relative one is to be ignored (XDG Base Directory Specification).
      return named?.startsWith("/") ? named : below(home(place), ".config");
    }
  }
}

/** Where Windows keeps the settings of a Claude Desktop that is an MSIX package: it never sees those in the usual place. */
function packaged(place: Place): string | undefined {
  if (place.os !== "windows") return undefined;
  const packages = below(place.variable("LOCALAPPDATA"), "Packages");
  const name = namesInFolder(place, packages).find((name) =>
    /^Claude_\w+$/.test(name)
  );
  return name && below(packages, name, "LocalCache", "Roaming", "Claude");
}

/** The names in a folder; none where it cannot be read. */
function namesInFolder(place: Place, folder: string | undefined): string[] {
  try {
    return folder === undefined ? [] : place.list(folder);
  } catch {
    return [];
  }
}

/** A path below a folder, if there is one. Windows' own folders have a drive or a server in front. */
function below(
  folder: string | undefined,
  ...names: readonly string[]
): string | undefined {
  if (folder === undefined) return undefined;
  const separator = /^([a-z]:|[^/]*\\)/i.test(folder) ? "\\" : "/";
  return [folder, ...names].join(separator);
}
