/**
 * The MCP clients that this program knows: where each one keeps its list of
 * servers, and in which form.
 *
 * @module
 */

import { getNested, isRecord } from "../protocol/jsonrpc.ts";

/** Syntax that some clients cannot parse; `comma` is a trailing one. */
export type ExtraSyntax = "bom" | "comment" | "comma";

/** The members of an entry that say how its server is reached. */
export type LaunchFields = Readonly<Record<string, unknown>>;

/** What the path of a client's file depends on. A host is one. */
export interface ClientEnvironment {
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** Returns an environment variable; an empty one counts as not set. */
  getEnv(name: string): string | undefined;
  /** Returns the names in a folder; an empty list if it does not exist. */
  listFolder(folder: string): string[];
}

/**
 * Reads and edits the text of a client's file. Each function throws with what
 * is wrong with it, as a part of a sentence: `it is not JSON (line 3)`.
 */
export interface EntryFormat {
  /** Returns the value of a text. */
  parse(text: string): unknown;
  /** Returns the text with an entry; other members of an old one stay. */
  setEntry(text: string, name: string, launchFields: LaunchFields): string;
  /** Returns the text without an entry. */
  removeEntry(text: string, name: string): string;
}

/** An MCP client. */
export interface Client {
  /** Its name on the command line. */
  readonly name: string;
  /** Its name for people. */
  readonly title: string;
  /** The member of its file that holds the servers. */
  readonly serversKey: string;
  /** The member of its file that holds lists of servers for one folder each. */
  readonly projectsKey?: string;
  /** The `type` of an entry, if it has one. */
  readonly entryType?: string;
  /** True if command and arguments are one list in an entry. */
  readonly hasCommandList?: true;
  /** True if its file is TOML; otherwise it is JSON. */
  readonly isToml?: true;
  /** The syntax in a JSON file that the client cannot parse. */
  readonly rejectedSyntax?: readonly ExtraSyntax[];
  /**
   * True if the client may replace a file that it cannot parse with a new one
   * (anthropics/claude-code#1788), so that an entry in it would be lost.
   */
  readonly mayResetFile?: true;
  /** The members of an entry that can disable its server. */
  readonly enableMembers?: readonly ("disabled" | "enabled")[];
  /** The member of its file with the lists `allowed` and `excluded`. */
  readonly permissionsKey?: string;
  /** What else its user must know, in whole sentences. */
  readonly note?: string;
  /** Returns the path of the user's own file, if the environment tells it. */
  filePath(environment: ClientEnvironment): string | undefined;
  /** Returns the folder that shows that it is installed, if not the file's. */
  installFolder?(environment: ClientEnvironment): string | undefined;
}

/** A server in a client's file that is this program. */
export interface InstalledServer {
  /** The client's name for it. */
  readonly name: string;
  /** The command that the client starts. */
  readonly command: readonly string[];
  /** The folder for which it is configured, if it is for one folder only. */
  readonly project?: string;
}

/**
 * The largest client file that is read. Claude Code's grows with use: people
 * report 238 MB. A string in V8 has at most 2^29 - 24 characters.
 */
export const MAX_CLIENT_FILE_BYTES = 500 * 1024 * 1024;

/** The known clients, in the order in which people see them. */
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
    // `claude mcp add` puts a server here by default.
    projectsKey: "projects",
    entryType: "stdio",
    rejectedSyntax: ["bom", "comment", "comma"],
    mayResetFile: true,
    filePath: (environment) => {
      const named = environment.getEnv("CLAUDE_CONFIG_DIR");
      const folder = named ?? joinPath(homeFolder(environment), ".claude");
      // An older path, which counts if the file exists.
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
    enableMembers: ["disabled"],
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".codeium/windsurf/mcp_config.json"),
  },
  {
    name: "augment",
    title: "Augment",
    serversKey: "mcpServers",
    rejectedSyntax: ["bom"],
    enableMembers: ["disabled"],
    note:
      "That is the file of Auggie, Augment's command line. Its extensions " +
      'for editors have none: there, use "Import from JSON" in the settings ' +
      "under MCP.",
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".augment/settings.json"),
  },
  {
    name: "zed",
    title: "Zed",
    serversKey: "context_servers",
    enableMembers: ["enabled"],
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
    enableMembers: ["enabled"],
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
    // The variable names the home folder, not the `.gemini` folder.
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
    enableMembers: ["enabled", "disabled"],
    filePath: (environment) => {
      // The path is the same on every system.
      const base = environment.getEnv("XDG_CONFIG_HOME") ??
        joinPath(homeFolder(environment), ".config");
      const folder = joinPath(base, "opencode");
      // If both exist, opencode uses this one.
      const name = "opencode.jsonc";
      const hasIt = tryListFolder(environment, folder).includes(name);
      return joinPath(folder, hasIt ? name : "opencode.json");
    },
  },
];

/** The members of entries that disable a server, and the value that does. */
const ENABLE_MEMBERS = [["enabled", false], ["disabled", true]] as const;

/** Returns the entry that starts a command, in the client's own form. */
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
 * Returns why a client does not start the server of an entry, or may not start
 * it; `undefined` if nothing disables it, or if there is no such entry. The
 * text completes the sentence "the entry NAME ...".
 */
export function findDisabledReason(
  { serversKey, title, enableMembers = [], permissionsKey }: Client,
  file: unknown,
  name: string,
): string | undefined {
  const entry = getNested(file, serversKey, name);
  if (entry === undefined) return undefined;
  const consequence = `${title} does not start it until you change that`;
  for (const [member, off] of ENABLE_MEMBERS) {
    if (getNested(entry, member) !== off) continue;
    return enableMembers.includes(member)
      ? `says "${member}": ${off}: ${consequence}`
      : `says "${member}": ${off}: see whether ${title} starts it`;
  }
  if (permissionsKey === undefined) return undefined;
  const isIn = (list: unknown): boolean =>
    arrayOf(list).some((it) => String(it).toLowerCase() === name.toLowerCase());
  if (isIn(getNested(file, permissionsKey, "excluded"))) {
    return `stands in "${permissionsKey}.excluded" of that file: ${consequence}`;
  }
  const allowed = getNested(file, permissionsKey, "allowed");
  return Array.isArray(allowed) && !isIn(allowed)
    ? `does not stand in "${permissionsKey}.allowed" of that file: ${consequence}`
    : undefined;
}

/** Has `cmd` start `npx` on Windows, where `npx` is a script. */
export function wrapForWindows(
  os: string,
  command: readonly string[],
): readonly string[] {
  const isScript = os === "windows" && command[0] === "npx";
  return isScript ? ["cmd", "/c", ...command] : command;
}

/** Its words are separate, in one list, or in the object of older Zeds. */
function commandLineOf(server: unknown): string[] {
  const command = getNested(server, "command");
  const words = isRecord(command)
    ? [command.path, ...arrayOf(command.args)]
    : [command, arrayOf(getNested(server, "args"))].flat();
  return words.filter((word) => typeof word === "string");
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The file of a build: `alwaysup`, `alwaysup.exe`, `alwaysup-linux-x64`. */
const EXECUTABLE_NAME =
  /(^|[/\\])alwaysup(-(linux|macos|windows)-\w+)?(\.exe)?$/;
/** A word that is followed by a program's name. */
const LAUNCHER_WORD = /^(npx|bunx|-y|--yes|dlx|exec|\/c)$/;
/**
 * Files that are this program in any position: the npm package's file, a
 * Windows build, the source.
 */
const PROGRAM_FILE =
  /(^|[/\\])alwaysup(\.js|(-windows-\w+)?\.exe|[^/\\]*[/\\]main\.ts)$/;

/**
 * Returns the command line of a server if it starts this program, as
 * `launchCommand` does or under one of its names. Many servers have a folder of
 * that name as an argument, so only the started program counts.
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
 * Returns the settings folder of a Claude Desktop that is an MSIX package: it
 * cannot see the settings in the usual folder.
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

/** A path on Windows begins with a drive or a server. */
function joinPath(
  folder: string | undefined,
  path: string,
): string | undefined {
  const isWindows = folder && /^([a-z]:|[^/]*\\)/i.test(folder);
  const below = `/${path}`;
  return folder &&
    folder + (isWindows ? below.replaceAll("/", "\\") : below);
}
