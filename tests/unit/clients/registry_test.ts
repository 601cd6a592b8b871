/**
 * Tests the paths of the clients' files, and which entries start this program.
 *
 * @module
 */

import {
  alwaysupCommandOf,
  type ClientEnvironment,
  CLIENTS,
  createServerEntry,
  wrapForWindows,
} from "../../../lib/clients/registry.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

type Env = Readonly<Record<string, string>>;

function clientOf(name: string): typeof CLIENTS[number] {
  const client = CLIENTS.find((client) => client.name === name);
  assert(client !== undefined, name);
  return client;
}

function environmentOf(
  os: string,
  env: Env,
  packages: string[] = [],
): ClientEnvironment {
  return {
    os,
    getEnv: (name) => env[name] || undefined,
    listFolder: (folder) =>
      folder === `${env.LOCALAPPDATA}\\Packages` ? packages : [],
  };
}

const LINUX = { HOME: "/home/a" };

const MAC = { HOME: "/Users/a" };

const WINDOWS = {
  USERPROFILE: "C:\\Users\\a",
  APPDATA: "C:\\Users\\a\\Roaming",
  LOCALAPPDATA: "C:\\Users\\a\\Local",
};

const SUPPORT = "/Users/a/Library/Application Support";

const PLACES: [client: string, os: string, env: Env, file: string][] = [
  [
    "claude-desktop",
    "linux",
    LINUX,
    "/home/a/.config/Claude/claude_desktop_config.json",
  ],
  [
    "claude-desktop",
    "darwin",
    MAC,
    `${SUPPORT}/Claude/claude_desktop_config.json`,
  ],
  [
    "claude-desktop",
    "windows",
    WINDOWS,
    "C:\\Users\\a\\Roaming\\Claude\\claude_desktop_config.json",
  ],
  ["claude-code", "linux", LINUX, "/home/a/.claude.json"],
  ["claude-code", "darwin", MAC, "/Users/a/.claude.json"],
  ["claude-code", "windows", WINDOWS, "C:\\Users\\a\\.claude.json"],
  [
    "claude-code",
    "linux",
    { ...LINUX, CLAUDE_CONFIG_DIR: "/c" },
    "/c/.claude.json",
  ],
  ["vscode", "linux", LINUX, "/home/a/.config/Code/User/mcp.json"],
  [
    "vscode",
    "linux",
    { ...LINUX, XDG_CONFIG_HOME: "/x" },
    "/x/Code/User/mcp.json",
  ],
  [
    "vscode",
    "linux",
    { ...LINUX, XDG_CONFIG_HOME: "x" },
    "/home/a/.config/Code/User/mcp.json",
  ],
  ["vscode", "darwin", MAC, `${SUPPORT}/Code/User/mcp.json`],
  [
    "vscode",
    "windows",
    WINDOWS,
    "C:\\Users\\a\\Roaming\\Code\\User\\mcp.json",
  ],
  ["cursor", "linux", LINUX, "/home/a/.cursor/mcp.json"],
  ["cursor", "darwin", MAC, "/Users/a/.cursor/mcp.json"],
  ["cursor", "windows", WINDOWS, "C:\\Users\\a\\.cursor\\mcp.json"],
  ["windsurf", "linux", LINUX, "/home/a/.codeium/windsurf/mcp_config.json"],
  ["windsurf", "darwin", MAC, "/Users/a/.codeium/windsurf/mcp_config.json"],
  [
    "windsurf",
    "windows",
    WINDOWS,
    "C:\\Users\\a\\.codeium\\windsurf\\mcp_config.json",
  ],
  ["augment", "linux", LINUX, "/home/a/.augment/settings.json"],
  ["augment", "darwin", MAC, "/Users/a/.augment/settings.json"],
  ["augment", "windows", WINDOWS, "C:\\Users\\a\\.augment\\settings.json"],
  ["zed", "linux", LINUX, "/home/a/.config/zed/settings.json"],
  ["zed", "linux", { ...LINUX, XDG_CONFIG_HOME: "/x" }, "/x/zed/settings.json"],
  [
    "zed",
    "linux",
    { ...LINUX, FLATPAK_XDG_CONFIG_HOME: "/f" },
    "/f/zed/settings.json",
  ],
  [
    "zed",
    "darwin",
    { ...MAC, XDG_CONFIG_HOME: "/x" },
    "/Users/a/.config/zed/settings.json",
  ],
  ["zed", "windows", WINDOWS, "C:\\Users\\a\\Roaming\\Zed\\settings.json"],
  ["codex", "linux", LINUX, "/home/a/.codex/config.toml"],
  ["codex", "linux", { ...LINUX, CODEX_HOME: "/c" }, "/c/config.toml"],
  ["codex", "linux", { ...LINUX, CODEX_HOME: "c" }, "c/config.toml"],
  ["codex", "darwin", MAC, "/Users/a/.codex/config.toml"],
  ["codex", "windows", WINDOWS, "C:\\Users\\a\\.codex\\config.toml"],
  [
    "codex",
    "windows",
    { ...WINDOWS, CODEX_HOME: "\\\\server\\c" },
    "\\\\server\\c\\config.toml",
  ],
  ["gemini", "linux", LINUX, "/home/a/.gemini/settings.json"],
  [
    "gemini",
    "linux",
    { ...LINUX, GEMINI_CLI_HOME: "/g" },
    "/g/.gemini/settings.json",
  ],
  ["gemini", "darwin", MAC, "/Users/a/.gemini/settings.json"],
  ["gemini", "windows", WINDOWS, "C:\\Users\\a\\.gemini\\settings.json"],
  ["opencode", "linux", LINUX, "/home/a/.config/opencode/opencode.json"],
  [
    "opencode",
    "linux",
    { ...LINUX, XDG_CONFIG_HOME: "/x" },
    "/x/opencode/opencode.json",
  ],
  ["opencode", "darwin", MAC, "/Users/a/.config/opencode/opencode.json"],
  [
    "opencode",
    "windows",
    WINDOWS,
    "C:\\Users\\a\\.config\\opencode\\opencode.json",
  ],
];

test("Client registry: knows the file of every client on every system", () => {
  for (const [name, os, env, file] of PLACES) {
    assertEquals(
      clientOf(name).filePath(environmentOf(os, env)),
      file,
      `${name} ${os}`,
    );
  }
  for (const { name } of CLIENTS) {
    for (const os of ["linux", "darwin", "windows"]) {
      assert(PLACES.some((row) => row[0] === name && row[1] === os), name);
      assertEquals(
        clientOf(name).filePath(environmentOf(os, {})),
        undefined,
        name,
      );
    }
  }
});

test("Client registry: Claude Desktop has another folder if it is a Windows package", () => {
  const { filePath } = clientOf("claude-desktop");
  const names = ["Claudette_x", "Claude_pzs8sxrjxfjjc"];
  assertEquals(
    filePath(environmentOf("windows", WINDOWS, names)),
    "C:\\Users\\a\\Local\\Packages\\Claude_pzs8sxrjxfjjc\\LocalCache\\Roaming\\" +
      "Claude\\claude_desktop_config.json",
  );
});

test("Client registry: if a client may have several files, chooses the file that the client reads", () => {
  const rows: [client: string, folder: string, name: string, file: string][] = [
    [
      "opencode",
      "/home/a/.config/opencode",
      "opencode.jsonc",
      "opencode.jsonc",
    ],
    ["opencode", "/home/a/.config/opencode", "config.json", "opencode.json"],
    ["claude-code", "/home/a/.claude", ".config.json", ".config.json"],
    ["claude-code", "/home/a/.claude", "settings.json", "../.claude.json"],
  ];
  for (const [client, folder, name, file] of rows) {
    const listFolder = (path: string): string[] =>
      path === folder ? [name] : [];
    const path = clientOf(client).filePath({
      ...environmentOf("linux", LINUX),
      listFolder,
    });
    const { pathname } = new URL(file, `file://${folder}/`);
    assertEquals(path, pathname, `${client} ${name}`);
  }
  const listFolder = (): never => {
    throw new Error("Permission denied");
  };
  for (const os of ["linux", "windows"]) {
    const env = os === "linux" ? LINUX : WINDOWS;
    for (const { name, filePath } of CLIENTS) {
      const path = filePath({ ...environmentOf(os, env), listFolder });
      assertEquals(path, filePath(environmentOf(os, env)), name);
    }
  }
});

test("Client registry: starts npx through cmd on Windows", () => {
  const npx = ["npx", "-y", "alwaysup"];
  assertEquals(wrapForWindows("linux", npx), npx);
  assertEquals(wrapForWindows("windows", npx), ["cmd", "/c", ...npx]);
  assertEquals(wrapForWindows("windows", ["C:\\a.exe"]), ["C:\\a.exe"]);
});

const COMMANDS: [command: string, ours: boolean][] = [
  ["alwaysup", true],
  ["/usr/bin/alwaysup --url ws://h/", true],
  ["C:\\bin\\alwaysup.exe", true],
  ["/opt/alwaysup-linux-x64", true],
  ["npx -y alwaysup --url ws://h/", true],
  ["npx alwaysup@0.1.0", true],
  ["npx -y alwaysup@latest", true],
  ["cmd /c npx -y alwaysup", true],
  ["cmd /c C:\\bin\\alwaysup.exe", true],
  ["node /opt/alwaysup.js", true],
  ["npx -y deno@2.9.6 run -NERW /src/alwaysup/main.ts --url ws://h/", true],
  ["deno run -A C:\\src\\alwaysup-main\\main.ts", true],
  ["npx -y @mcp/server-filesystem /home/a/alwaysup", false],
  ["npx -y other --name alwaysup", false],
  ["alwaysup-not", false],
  ["/src/other/main.ts", false],
  ["python server.py", false],
];

test("Client registry: recognizes exactly the entries that start this program", () => {
  for (const client of CLIENTS) {
    for (const [text, ours] of COMMANDS) {
      const command = text.split(" ");
      const entry = createServerEntry(client, command);
      assertEquals(
        alwaysupCommandOf(entry, []),
        ours ? command : undefined,
        text,
      );
    }
  }
  for (const entry of [undefined, null, [], {}, 1]) {
    assertEquals(alwaysupCommandOf(entry, []), undefined);
  }
});
