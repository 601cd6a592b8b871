/**
 * The MCP clients that this program knows: where each keeps its list of servers,
 * and in which form.
 *
 * @module
 */

import { dig, isRecord } from "./jsonrpc.ts";

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
  /** What its user must know too. */
  readonly note?: string;
  /** The user's own file; `undefined` if the environment does not say where. */
  file(place: Place): string | undefined;
}

/** What starts one server, in a client's own form. */
export type Entry = Readonly<Record<string, unknown>>;

/** A server of a client's that is this program. */
export interface Found {
  /** What the client calls it. */
  readonly name: string;
  /** What the client starts. */
  readonly command: readonly string[];
  /** The folder for which it is there, where that is one only. */
  readonly project?: string;
}

/** The largest file of a client's that is read, in bytes: Claude Code's grows with its use. */
export const FILE_LIMIT = 64 * 1024 * 1024;
const FILE = "settings.json";

/** The table. */
export const CLIENTS: readonly Client[] = [
  {
    name: "claude-desktop",
    title: "Claude Desktop",
    key: "mcpServers",
    form: {},
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
    file: (place) =>
      below(place.variable("CLAUDE_CONFIG_DIR") ?? home(place), ".claude.json"),
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
    file: (place) => below(home(place), ".cursor", "mcp.json"),
  },
  {
    name: "windsurf",
    title: "Windsurf",
    key: "mcpServers",
    form: {},
    file: (place) =>
      below(home(place), ".codeium", "windsurf", "mcp_config.json"),
  },
  {
    name: "augment",
    title: "Augment",
    key: "mcpServers",
    form: {},
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
    file: (place) => {
      const { os } = place;
      if (os === "windows") return below(settings(place), "Zed", FILE);
      if (os === "darwin") return below(home(place), ".config", "zed", FILE);
      const flatpak = place.variable("FLATPAK_XDG_CONFIG_HOME");
      return below(flatpak ?? settings(place), "zed", FILE);
    },
  },
];

/** The entry that starts a command. */
export function entryOf(
  { form }: Client,
  [command, ...args]: readonly string[],
): Entry {
  return { ...form, command, args };
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
  return Object.entries(isRecord(value) ? value : {});
}

/** A command and its arguments, as far as they are texts. */
function commandOf(server: unknown): string[] {
  const args = dig(server, "args");
  return [dig(server, "command"), ...Array.isArray(args) ? args : []]
    .filter((word) => typeof word === "string");
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
  if (packages === undefined) return undefined;
  const name = place.list(packages).find((name) => /^Claude_\w+$/.test(name));
  return name && below(packages, name, "LocalCache", "Roaming", "Claude");
}

/** A path below a folder, if there is one. Windows' own folders have a drive or a server in front. */
function below(
  folder: string | undefined,
  ...names: readonly string[]
): string | undefined {
  if (folder === undefined) return undefined;
  const separator = folder.startsWith("/") ? "/" : "\\";
  return [folder, ...names].join(separator);
}
