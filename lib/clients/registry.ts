/**
 * The MCP clients that this program knows: where each one keeps its list of
 * servers, and in which form.
 *
 * @module
 */

import type { ExtraSyntax, LaunchFields } from "./config_entry.ts";
import type { PathFilter } from "../json/jsonc.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";

/** What the path of a client's file depends on. A host is one. */
export interface ClientEnvironment {
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** Returns an environment variable; an empty one counts as not set. */
  getEnv(name: string): string | undefined;
  /** Returns the names in a folder; an empty list if it does not exist. */
  listFolder(folder: string): string[];
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
  /** The members of an entry besides command and arguments. */
  readonly entryTemplate: Readonly<Record<string, string>>;
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
  readonly enableMembers?: readonly EnableMember[];
  /**
   * The member of its file that may disable servers, by the names in its lists
   * `allowed` and `excluded`.
   */
  readonly permissionsKey?: string;
  /** What else its user must know, in whole sentences. */
  readonly note?: string;
  /**
   * Returns the path of the user's own file; `undefined` if the environment
   * does not tell it.
   */
  filePath(environment: ClientEnvironment): string | undefined;
  /**
   * Returns the folder that shows that the client is installed. Without this
   * function, it is the folder of the file.
   */
  installFolder?(environment: ClientEnvironment): string | undefined;
}

/**
 * A member of an entry that disables a server: `"disabled": true` or
 * `"enabled": false`.
 */
export type EnableMember = "disabled" | "enabled";

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
 * The largest client file that is read, in bytes. Claude Code's file grows with
 * use, and people report 238 MB. A string in V8 has at most 2^29 - 24
 * characters.
 */
export const MAX_CLIENT_FILE_BYTES = 500 * 1024 * 1024;
const SETTINGS_JSON = "settings.json";
/**
 * Syntax that RFC 8259 does not have; a client with a strict parser rejects it.
 */
const ALL_EXTRA_SYNTAX = ["bom", "comment", "comma"] as const;

/** The known clients, in the order in which people see them. */
export const CLIENTS: readonly Client[] = [
  {
    name: "claude-desktop",
    title: "Claude Desktop",
    serversKey: "mcpServers",
    entryTemplate: {},
    rejectedSyntax: ALL_EXTRA_SYNTAX,
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
    entryTemplate: { type: "stdio" },
    rejectedSyntax: ALL_EXTRA_SYNTAX,
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
    entryTemplate: { type: "stdio" },
    filePath: (environment) =>
      joinPath(settingsFolder(environment), "Code", "User", "mcp.json"),
  },
  {
    name: "cursor",
    title: "Cursor",
    serversKey: "mcpServers",
    entryTemplate: {},
    rejectedSyntax: ["comma"],
    note: "Cursor may show a new server as disabled until you turn it on in " +
      "its settings.",
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".cursor", "mcp.json"),
  },
  {
    name: "windsurf",
    title: "Windsurf",
    serversKey: "mcpServers",
    entryTemplate: {},
    rejectedSyntax: ["bom"],
    enableMembers: ["disabled"],
    filePath: (environment) =>
      joinPath(
        homeFolder(environment),
        ".codeium",
        "windsurf",
        "mcp_config.json",
      ),
  },
  {
    name: "augment",
    title: "Augment",
    serversKey: "mcpServers",
    entryTemplate: {},
    rejectedSyntax: ["bom"],
    enableMembers: ["disabled"],
    note:
      "That is the file of Auggie, Augment's command line. Its extensions " +
      'for editors have none: there, use "Import from JSON" in the settings ' +
      "under MCP.",
    filePath: (environment) =>
      joinPath(homeFolder(environment), ".augment", "settings.json"),
  },
  {
    name: "zed",
    title: "Zed",
    serversKey: "context_servers",
    entryTemplate: {},
    enableMembers: ["enabled"],
    filePath: (environment) => {
      const { os } = environment;
      if (os === "windows") {
        return joinPath(settingsFolder(environment), "Zed", SETTINGS_JSON);
      }
      if (os === "darwin") {
        return joinPath(
          homeFolder(environment),
          ".config",
          "zed",
          SETTINGS_JSON,
        );
      }
      const flatpak = environment.getEnv("FLATPAK_XDG_CONFIG_HOME");
      return joinPath(
        flatpak ?? settingsFolder(environment),
        "zed",
        SETTINGS_JSON,
      );
    },
  },
  {
    name: "codex",
    title: "Codex",
    serversKey: "mcp_servers",
    entryTemplate: {},
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
    entryTemplate: {},
    rejectedSyntax: ["comma", "bom"],
    permissionsKey: "mcp",
    // The variable names the home folder, not the `.gemini` folder.
    filePath: (environment) =>
      joinPath(
        environment.getEnv("GEMINI_CLI_HOME") ?? homeFolder(environment),
        ".gemini",
        SETTINGS_JSON,
      ),
  },
  {
    name: "opencode",
    title: "opencode",
    serversKey: "mcp",
    entryTemplate: { type: "local" },
    hasCommandList: true,
    enableMembers: ["enabled", "disabled"],
    filePath: (environment) => {
      // The path is the same on every system.
      const base = environment.getEnv("XDG_CONFIG_HOME") ??
        joinPath(homeFolder(environment), ".config");
      const folder = joinPath(base, "opencode");
      // If both exist, opencode uses this one.
      return tryListFolder(environment, folder).includes("opencode.jsonc")
        ? joinPath(folder, "opencode.jsonc")
        : joinPath(folder, "opencode.json");
    },
  },
];

/** Returns the entry that starts a command, in the client's own form. */
export function createServerEntry(
  { entryTemplate, hasCommandList }: Client,
  commandLine: readonly string[],
): LaunchFields {
  if (hasCommandList) return { ...entryTemplate, command: commandLine };
  const [command, ...args] = commandLine;
  return { ...entryTemplate, command, args };
}

/**
 * Selects the members of a client's file that {@linkcode filterAlwaysupServers}
 * and {@linkcode findDisabledReason} read.
 */
export function memberFilterFor(
  { serversKey, projectsKey, permissionsKey }: Client,
): PathFilter {
  return (path) =>
    path[0] === serversKey || path[0] === permissionsKey ||
    path[0] === projectsKey && (path.length < 3 || path[2] === serversKey);
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
  const disabledBy: readonly EnableMember[] = [
    ...(getNested(entry, "enabled") === false ? ["enabled"] as const : []),
    ...(getNested(entry, "disabled") === true ? ["disabled"] as const : []),
  ];
  const [first] = disabledBy;
  if (first !== undefined) {
    const memberText = `says "${first}": ${first === "disabled"}`;
    return enableMembers.includes(first)
      ? `${memberText}: ${consequence}`
      : `${memberText}: see whether ${title} starts it`;
  }
  if (permissionsKey === undefined) return undefined;
  const isIn = (list: unknown): boolean =>
    arrayOr(list).some((it) => String(it).toLowerCase() === name.toLowerCase());
  const { allowed, excluded } = recordOrEmpty(getNested(file, permissionsKey));
  if (isIn(excluded)) {
    return `stands in "${permissionsKey}.excluded" of that file: ${consequence}`;
  }
  return Array.isArray(allowed) && !isIn(allowed)
    ? `does not stand in "${permissionsKey}.allowed" of that file: ${consequence}`
    : undefined;
}

/**
 * Returns the command as a client can start it: on Windows, `npx` is a script,
 * which only `cmd` runs.
 */
export function wrapForWindows(
  os: string,
  command: readonly string[],
): readonly string[] {
  const isScript = os === "windows" && command[0] === "npx";
  return isScript ? ["cmd", "/c", ...command] : command;
}

/**
 * Returns the servers in a client's parsed file that are this program.
 *
 * @param launchCommand the command that starts this program, wherever it is
 */
export function filterAlwaysupServers(
  { serversKey, projectsKey }: Client,
  file: unknown,
  launchCommand: readonly string[],
): InstalledServer[] {
  const oursIn = (list: unknown): InstalledServer[] =>
    recordEntries(getNested(list, serversKey))
      .filter(([, server]) => launchesAlwaysup(server, launchCommand))
      .map(([name, server]) => ({ name, command: commandLineOf(server) }));
  const folders = projectsKey === undefined
    ? []
    : recordEntries(getNested(file, projectsKey));
  const ofFolders = folders.flatMap(([project, list]) =>
    oursIn(list).map((found) => ({ ...found, project }))
  );
  return [...oursIn(file), ...ofFolders];
}

/**
 * True if a server in a client's file is this program.
 *
 * @param launchCommand the command that starts this program, wherever it is
 */
export function launchesAlwaysup(
  server: unknown,
  launchCommand: readonly string[],
): boolean {
  const own = launchCommand.at(-1);
  const isPath = own !== undefined && /[/\\]/.test(own);
  const command = commandLineOf(server);
  return isAlwaysupCommand(command) || isPath && command.includes(own);
}

function recordEntries(value: unknown): [name: string, value: unknown][] {
  return Object.entries(recordOrEmpty(value));
}

/**
 * Returns a server's command and arguments, as far as they are strings:
 * separate, in one list, or in the object of older versions of Zed.
 */
function commandLineOf(server: unknown): string[] {
  const command = getNested(server, "command");
  const words = isRecord(command)
    ? [command.path, ...arrayOr(command.args)]
    : [...arrayOr(command, [command]), ...arrayOr(getNested(server, "args"))];
  return words.filter((word) => typeof word === "string");
}

function arrayOr(value: unknown, fallback: unknown[] = []): unknown[] {
  return Array.isArray(value) ? value : fallback;
}

function recordOrEmpty(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
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
 * True if a command starts this program. Many servers have a folder of that
 * name as an argument, so only the started program counts.
 */
function isAlwaysupCommand(command: readonly string[]): boolean {
  return command.some((word, i) => {
    const isStarted = i === 0 || LAUNCHER_WORD.test(command[i - 1]!);
    const name = word.replace(/@[\w.^~-]+$/, "");
    return PROGRAM_FILE.test(word) || isStarted && EXECUTABLE_NAME.test(name);
  });
}

function homeFolder({ os, getEnv }: ClientEnvironment): string | undefined {
  return getEnv(os === "windows" ? "USERPROFILE" : "HOME");
}

/**
 * Returns the folder for programs' settings: XDG on Linux, the usual places
 * elsewhere.
 */
function settingsFolder(environment: ClientEnvironment): string | undefined {
  const { os, getEnv } = environment;
  switch (os) {
    case "windows":
      return getEnv("APPDATA");
    case "darwin":
      return joinPath(
        homeFolder(environment),
        "Library",
        "Application Support",
      );
    default: {
      const named = getEnv("XDG_CONFIG_HOME");
      // A relative path must be ignored (XDG Base Directory Specification).
      return named?.startsWith("/")
        ? named
        : joinPath(homeFolder(environment), ".config");
    }
  }
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
  return name && joinPath(packages, name, "LocalCache", "Roaming", "Claude");
}

/** Returns the names in a folder; an empty list if it cannot be read. */
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
 * Returns a path below a folder, if there is a folder. Windows paths begin with
 * a drive or a server.
 */
function joinPath(
  folder: string | undefined,
  ...names: readonly string[]
): string | undefined {
  if (folder === undefined) return undefined;
  const separator = /^([a-z]:|[^/]*\\)/i.test(folder) ? "\\" : "/";
  return [folder, ...names].join(separator);
}
