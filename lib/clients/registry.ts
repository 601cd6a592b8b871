/**
 * Lists the known MCP clients, with the path and the format of each one's
 * configuration file. The modules in this folder edit the text of such
 * files: they add, replace or remove the entry that starts this program.
 *
 * @module
 */

import { getNested, isRecord } from "../protocol/jsonrpc.ts";

/** Syntax that some clients reject; `bom` is a byte order mark at the start. */
export type ExtraSyntax = "bom" | "comment" | "comma";

/** The members of an entry that define how the client starts the server. */
export type LaunchFields = Readonly<Record<string, unknown>>;

/** The part of a `Host` on which the path of a client's file depends. */
export interface ClientEnvironment {
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** Returns an environment variable; `undefined` if it is unset or empty. */
  getEnv(name: string): string | undefined;
  /** Returns the names in a folder; an empty list if it does not exist. */
  listFolder(folder: string): string[];
}

/**
 * The functions that read and edit the text of a client's file. Edits return
 * the new text. If a text is invalid, each function throws an error whose
 * message is a clause, e.g. `it is not JSON (line 3)`.
 */
export interface EntryFormat {
  /** Parses a text. */
  parse(text: string): unknown;
  /** Adds an entry, or replaces the launch fields of the existing one. */
  setEntry(text: string, name: string, launchFields: LaunchFields): string;
  /** Removes an entry; returns the same text if there is none. */
  removeEntry(text: string, name: string): string;
}

/** An MCP client, and the format of its configuration file. */
export interface Client {
  /** The name on the command line, e.g. `claude-code`. */
  readonly name: string;
  /** The name in messages, e.g. `Claude Code`. */
  readonly title: string;
  /** The member of the file that holds the servers. */
  readonly serversKey: string;
  /**
   * The member whose members are folders, each with the servers that are only
   * for that folder.
   */
  readonly projectsKey?: string;
  /** The value of `type` in an entry; `undefined` if entries have no type. */
  readonly entryType?: string;
  /** True if `command` in an entry is a list that includes the arguments. */
  readonly hasCommandList?: true;
  /** True if the file is TOML; otherwise it is JSON. */
  readonly isToml?: true;
  /** The syntax that the client cannot parse in its JSON file. */
  readonly rejectedSyntax?: readonly ExtraSyntax[];
  /**
   * True if the client may replace a file that it cannot parse with a new one
   * (anthropics/claude-code#1788). Then the entries in the file are lost.
   */
  readonly mayResetFile?: true;
  /** The members of an entry with which this client disables a server. */
  readonly disablingMembers?: readonly ("disabled" | "enabled")[];
  /** The member of the file with the lists `allowed` and `excluded`. */
  readonly permissionsKey?: string;
  /** Further information for the user, in whole sentences. */
  readonly note?: string;
  /** Returns the file's path; `undefined` if a variable for it is unset. */
  filePath(environment: ClientEnvironment): string | undefined;
  /**
   * Returns the folder that exists if the client is installed. Without this
   * method, that is the folder of the file.
   */
  installFolder?(environment: ClientEnvironment): string | undefined;
}

/** A server in a client's file that starts this program. */
export interface InstalledServer {
  /** The name of its entry. */
  readonly name: string;
  /** The command that the client starts, with its arguments. */
  readonly command: readonly string[];
  /** The folder to which it is limited; `undefined` if it has no such limit. */
  readonly project?: string;
}

/**
 * The largest client file that is read. Claude Code's file grows with use:
 * users report 238 MB. A string in V8 has at most 2^29 - 24 characters.
 */
export const MAX_CLIENT_FILE_BYTES = 500 * 1024 * 1024;

/** The known clients, in the order in which messages list them. */
export const CLIENTS: readonly Client[] = [
  {
    name: "claude-desktop",
    title: "Claude Desktop",
    serversKey: "mcpServers",
    rejectedSyntax: ["bom", "comment", "comma"],
    mayResetFile: true,
    filePath: (environment) =>
      joinPath(
        msixConfigFolder(environment) ??
          joinPath(settingsFolder(environment), "Claude"),
        "claude_desktop_config.json",
      ),
  },
  {
    name: "claude-code",
    title: "Claude Code",
    serversKey: "mcpServers",
    // By default, `claude mcp add` adds a server here.
    projectsKey: "projects",
    entryType: "stdio",
    rejectedSyntax: ["bom", "comment", "comma"],
    mayResetFile: true,
    filePath: (environment) => {
      const named = environment.getEnv("CLAUDE_CONFIG_DIR");
      const folder = named ?? joinPath(homeFolder(environment), ".claude");
      // If this older file exists, Claude Code uses it.
      return tryListFolder(environment, folder).includes(".config.json")
        ? joinPath(folder, ".config.json")
        : joinPath(named ?? homeFolder(environment), ".claude.json");
    },
    installFolder: (environment) =>
      environment.getEnv("CLAUDE_CONFIG_DIR") ??
        joinPath(homeFolder(environment), ".claude"),
  },
  {
    name: "vscode",
    title: "VS Code",
    serversKey: "servers",
    entryType: "stdio",
    filePath: (environment) =>
      joinPath(settingsFolder(environment), "Code/User/mcp.json"),
  },
  {
    name: "cursor",
    title: "Cursor",
    serversKey: "mcpServers",
    rejectedSyntax: ["comma"],
    note: "Cursor may show a new server as disabled until you turn it on in " +
      "its settings.",
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".cursor/mcp.json"),
  },
  {
    name: "windsurf",
    title: "Windsurf",
    serversKey: "mcpServers",
    rejectedSyntax: ["bom"],
    disablingMembers: ["disabled"],
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".codeium/windsurf/mcp_config.json"),
  },
  {
    name: "augment",
    title: "Augment",
    serversKey: "mcpServers",
    rejectedSyntax: ["bom"],
    disablingMembers: ["disabled"],
    note:
      "This is the file of Auggie, Augment's command-line program. Augment's " +
      'editor extensions have no such file: in them, use "Import from JSON" in the settings ' +
      "under MCP.",
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".augment/settings.json"),
  },
  {
    name: "zed",
    title: "Zed",
    serversKey: "context_servers",
    disablingMembers: ["enabled"],
    filePath: (environment) => {
      const { os, getEnv } = environment;
      const folder = os === "darwin"
        ? joinPath(homeFolder(environment), ".config")
        : getEnv("FLATPAK_XDG_CONFIG_HOME") ?? settingsFolder(environment);
      const name = os === "windows" ? "Zed" : "zed";
      return joinPath(folder, `${name}/settings.json`);
    },
  },
  {
    name: "codex",
    title: "Codex",
    serversKey: "mcp_servers",
    isToml: true,
    disablingMembers: ["enabled"],
    filePath: (environment) =>
      joinPath(
        environment.getEnv("CODEX_HOME") ??
          joinPath(homeFolder(environment), ".codex"),
        "config.toml",
      ),
  },
  {
    name: "gemini",
    title: "Gemini CLI",
    serversKey: "mcpServers",
    rejectedSyntax: ["comma", "bom"],
    permissionsKey: "mcp",
    // The variable is the path of the home folder, not of the `.gemini` folder.
    filePath: (environment) =>
      joinPath(
        environment.getEnv("GEMINI_CLI_HOME") ?? homeFolder(environment),
        ".gemini/settings.json",
      ),
  },
  {
    name: "opencode",
    title: "opencode",
    serversKey: "mcp",
    entryType: "local",
    hasCommandList: true,
    disablingMembers: ["enabled", "disabled"],
    filePath: (environment) => {
      // The path is the same on every system.
      const base = environment.getEnv("XDG_CONFIG_HOME") ??
        joinPath(homeFolder(environment), ".config");
      const folder = joinPath(base, "opencode");
      // If both files exist, opencode uses this one.
      const name = "opencode.jsonc";
      const hasJsonc = tryListFolder(environment, folder).includes(name);
      return joinPath(folder, hasJsonc ? name : "opencode.json");
    },
  },
];

/** The members that disable a server, each with the value that does so. */
const DISABLING_MEMBERS = [["enabled", false], ["disabled", true]] as const;

/** Returns the launch fields for a command, in the client's own form. */
export function createServerEntry(
  { entryType, hasCommandList }: Client,
  commandLine: readonly string[],
): LaunchFields {
  const type = entryType && { type: entryType };
  if (hasCommandList) return { ...type, command: commandLine };
  const [command, ...args] = commandLine;
  return { ...type, command, args };
}

/**
 * Returns why a client does not, or perhaps does not, start the server of an
 * entry. Returns `undefined` if nothing disables the server, or if the entry
 * does not exist. The text completes the sentence "the entry NAME ...".
 */
export function findDisabledReason(
  {
    serversKey,
    title,
    disablingMembers = [],
    permissionsKey,
  }: Client,
  file: unknown,
  name: string,
): string | undefined {
  const entry = getNested(file, serversKey, name);
  if (entry === undefined) return undefined;
  const consequence = `${title} does not start it until you change that`;
  for (const [member, off] of DISABLING_MEMBERS) {
    if (getNested(entry, member) !== off) continue;
    return disablingMembers.includes(member)
      ? `has "${member}": ${off}; ${consequence}`
      : `has "${member}": ${off}; check whether ${title} starts it`;
  }
  if (permissionsKey === undefined) return undefined;
  const isIn = (list: unknown): boolean =>
    arrayOf(list).some((it) => String(it).toLowerCase() === name.toLowerCase());
  if (isIn(getNested(file, permissionsKey, "excluded"))) {
    return `is listed in "${permissionsKey}.excluded" of that file; ${consequence}`;
  }
  const allowed = getNested(file, permissionsKey, "allowed");
  return Array.isArray(allowed) && !isIn(allowed)
    ? `is not listed in "${permissionsKey}.allowed" of that file; ${consequence}`
    : undefined;
}

/** Adds `cmd /c` before `npx` on Windows, where `npx` is a script. */
export function wrapForWindows(
  os: string,
  command: readonly string[],
): readonly string[] {
  const isScript = os === "windows" && command[0] === "npx";
  return isScript ? ["cmd", "/c", ...command] : command;
}

/** Returns the words of a server's command line, in any client's form. */
function commandLineOf(server: unknown): string[] {
  const command = getNested(server, "command");
  // Older versions of Zed have an object here.
  const words = isRecord(command)
    ? [command.path, ...arrayOf(command.args)]
    : [command, arrayOf(getNested(server, "args"))].flat();
  return words.filter((word) => typeof word === "string");
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** An executable file: `alwaysup`, `alwaysup.exe`, `alwaysup-linux-x64`. */
const EXECUTABLE_NAME =
  /(^|[/\\])alwaysup(-(linux|macos|windows)-\w+)?(\.exe)?$/;
/** A word that comes directly before a program's name. */
const LAUNCHER_WORD = /^(npx|bunx|-y|--yes|dlx|exec|\/c)$/;
/**
 * The path of a file of this program: the file of the npm package, a Windows
 * executable, or `main.ts`. It counts at any position in a command line.
 */
const PROGRAM_FILE =
  /(^|[/\\])alwaysup(\.js|(-windows-\w+)?\.exe|[^/\\]*[/\\]main\.ts)$/;

/**
 * Returns the command line of a server if it starts this program: with the path
 * at the end of `launchCommand`, or under one of the program's names. A name
 * counts only as the first word or after a launcher such as `npx`, because
 * other servers may have a folder of that name as an argument.
 */
export function alwaysupCommandOf(
  server: unknown,
  launchCommand: readonly string[],
): string[] | undefined {
  const own = launchCommand.at(-1);
  const command = commandLineOf(server);
  const isAlwaysup = command.some((word, i) => {
    if (/[/\\]/.test(word) && word === own) return true;
    const isStarted = i === 0 || LAUNCHER_WORD.test(command[i - 1]!);
    const name = word.replace(/@[\w.^~-]+$/, "");
    return PROGRAM_FILE.test(word) || isStarted && EXECUTABLE_NAME.test(name);
  });
  return isAlwaysup ? command : undefined;
}

function homeFolder({ os, getEnv }: ClientEnvironment): string | undefined {
  return getEnv(os === "windows" ? "USERPROFILE" : "HOME");
}

function settingsFolder(environment: ClientEnvironment): string | undefined {
  const { os, getEnv } = environment;
  if (os === "windows") return getEnv("APPDATA");
  const home = homeFolder(environment);
  if (os === "darwin") return joinPath(home, "Library/Application Support");
  const named = getEnv("XDG_CONFIG_HOME");
  // A relative path must be ignored (XDG Base Directory Specification).
  return named?.startsWith("/") ? named : joinPath(home, ".config");
}

/**
 * Returns the settings folder of Claude Desktop if it is installed as an MSIX
 * package. Such a package cannot see the usual settings folder.
 */
function msixConfigFolder(environment: ClientEnvironment): string | undefined {
  if (environment.os !== "windows") return undefined;
  const packages = joinPath(environment.getEnv("LOCALAPPDATA"), "Packages");
  const name = tryListFolder(environment, packages).find((name) =>
    /^Claude_\w+$/.test(name)
  );
  return name && joinPath(packages, `${name}/LocalCache/Roaming/Claude`);
}

function tryListFolder(
  environment: ClientEnvironment,
  folder: string | undefined,
): string[] {
  try {
    return folder === undefined ? [] : environment.listFolder(folder);
  } catch {
    return [];
  }
}

/**
 * Joins a folder and a relative path with slashes. Uses backslashes if the
 * folder begins with a Windows drive or server.
 */
function joinPath(
  folder: string | undefined,
  path: string,
): string | undefined {
  const isWindows = folder && /^([a-z]:|[^/]*\\)/i.test(folder);
  const below = `/${path}`;
  return folder &&
    folder + (isWindows ? below.replaceAll("/", "\\") : below);
}
