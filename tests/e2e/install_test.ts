/**
 * Tests `install` and `uninstall` with the real program, and with files in a
 * temporary folder.
 *
 * @module
 */

import { clientFileFormatOf } from "../../lib/clients/client_file.ts";
import { CLIENTS } from "../../lib/clients/registry.ts";
import type { Host } from "../../lib/runtime/host.ts";
import { install } from "../../lib/commands/install.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ROOT } from "../../.ci/build/bundle.ts";
import { MemoryDisk } from "../helpers/memory_disk.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { test } from "../helpers/time_limit.ts";
import { runCommand } from "../helpers/command_run.ts";
import {
  proxyCommand,
  ProxyProcess,
  runToExit,
  withoutNpx,
} from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const URL_FLAG = ["--url", "ws://127.0.0.1:9/"];

/** A temporary home folder for the files of all clients. */
class Home implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "home-" });

  /**
   * The environment of a program in this home, without this machine's settings.
   */
  get env(): Record<string, string> {
    const variables = {
      HOME: this.folder,
      USERPROFILE: this.folder,
      APPDATA: `${this.folder}/AppData`,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? "",
    };
    const unset = [
      ...["XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "FLATPAK_XDG_CONFIG_HOME"],
      ...["CODEX_HOME", "GEMINI_CLI_HOME", "LOCALAPPDATA"],
      ...["ALWAYSUP_URL", "EXAI_WS_TOKEN"],
    ];
    const empty = unset.map((name): [string, string] => [name, ""]);
    return { ...Object.fromEntries(empty), ...variables };
  }

  fileOf(client: string): string {
    const { os } = Deno.build;
    const getEnv = (name: string): string | undefined =>
      this.env[name] || undefined;
    const found = CLIENTS.find(({ name }) => name === client)!
      .filePath({ os, getEnv, listFolder: () => [] });
    return found!;
  }

  async run(
    args: string[],
    env: Record<string, string> = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    return await runToExit(args, { ...this.env, ...env });
  }

  /** Writes a client's file, and creates its folder. Returns the path. */
  async writeClientFile(client: string, text: string): Promise<string> {
    const file = this.fileOf(client);
    await Deno.mkdir(file.replace(/[^/\\]*$/, ""), { recursive: true });
    await Deno.writeTextFile(file, text);
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/**
 * A client for each form of entry, and the text of its file before the test.
 * `tests/unit/commands/install_test.ts` covers every client.
 */
const FILE_FORMS: [name: string, before: string][] = [
  [
    "zed",
    '// mine\n{\n\t"context_servers": {\n\t\t"other": { "env": ' +
    '{ "T": "s3cret" } }, // kept\n\t},\n\t"n": 1.0,\n}\n',
  ],
  [
    "opencode",
    '{\r\n  "mcp": {\r\n    "other": { "environment": { "T": "s3cret" } }\r\n' +
    "  }\r\n}\r\n",
  ],
  ["codex", '# mine\n[mcp_servers.other] # kept\nenv = { T = "s3cret" }\n'],
];

for (const [name, before] of FILE_FORMS) {
  const client = CLIENTS.find((client) => client.name === name)!;
  const { serversKey, title } = client;
  const { parseClientFile } = clientFileFormatOf(client);
  test(`install and uninstall: ${name}`, async () => {
    await using home = new Home();
    const file = await home.writeClientFile(name, before);
    await Deno.chmod(file, 0o664);

    const shown = await home.run(["install", name, ...URL_FLAG]);
    assertEquals([shown.code, shown.stderr], [0, ""]);
    assert(shown.stdout.includes(`${title} reads its servers from ${file}\n`));
    const snippet = parseClientFile(shown.stdout.split("\n\n")[1]!) as Json;
    assertEquals(await Deno.readTextFile(file), before, "only shown");

    const written = await home.run(["install", name, ...URL_FLAG, "--write"]);
    assertEquals([written.code, written.stderr], [0, ""]);
    assertMatch(written.stdout, /^\+ "alwaysup": \{$/m);
    assert(!/^- /m.test(written.stdout), "nothing is removed");
    assert(!written.stdout.includes("s3cret"), "nothing else is shown");
    const text = await Deno.readTextFile(file);
    const { other: _, ...ours } = (parseClientFile(text) as Json)[serversKey];
    assertEquals(ours, snippet[serversKey]);
    assertEquals(Deno.statSync(file).mode! & 0o777, 0o664);
    const backup = `${file}.alwaysup.bak`;
    assertEquals(await Deno.readTextFile(backup), before);
    assert(written.stdout.includes(backup));

    await Deno.remove(backup);
    const again = await home.run(["install", name, "--write", ...URL_FLAG]);
    assertEquals([again.code, again.stderr], [0, ""]);
    assertMatch(
      again.stdout,
      /"alwaysup" is already in this file; nothing changes/,
    );
    assertEquals(await Deno.readTextFile(file), text);
    assert(!await exists(backup), "no backup without a change");

    const planned = await home.run(["uninstall", name]);
    assertMatch(planned.stdout, /^- "alwaysup": \{$/m);
    assertEquals(await Deno.readTextFile(file), text, "only shown");
    const removed = await home.run(["uninstall", name, "--write"]);
    assertEquals([removed.code, removed.stderr], [0, ""]);
    assertEquals(await Deno.readTextFile(file), before);
    assertEquals(await Deno.readTextFile(backup), text);
    const gone = await home.run(["uninstall", name, "--write"]);
    assertEquals(gone.code, 0);
    assertMatch(gone.stdout, /"alwaysup" is not in this file; nothing changes/);
  });
}

test("install: the written entry starts a working proxy", async () => {
  await using home = new Home();
  await using daemon = new FakeWebSocketServer();
  const args = ["--url", daemon.url, "--cache", "off", "--name", "my-daemon"];
  const { code } = await home.run(["install", "cursor", "--write", ...args]);
  assertEquals(code, 0);
  const file = await Deno.readTextFile(home.fileOf("cursor"));
  const { mcpServers } = JSON.parse(file);
  assertEquals(Object.keys(mcpServers), ["my-daemon"]);
  const server = mcpServers["my-daemon"];
  const start = withoutNpx(server.command, server.args);
  await using proxy = new ProxyProcess([], {}, () => start);
  const { result } = await proxy.initialize();
  assertEquals(result.serverInfo.name, "raw");
  assertEquals((await proxy.closeStdin()).code, 0);
});

test("install: a missing file is created, and an entry with the same name is replaced", async () => {
  await using home = new Home();
  const file = home.fileOf("zed");
  const oldest = ["install", "zed", "--write", "--url", "ws://127.0.0.1:8/"];
  const first = await home.run(oldest);
  assertEquals(first.code, 0, first.stderr);
  assertEquals(Deno.statSync(file).mode! & 0o777, 0o600);
  const old = await Deno.readTextFile(file);
  const second = await home.run(["install", "zed", "--write", ...URL_FLAG]);
  assertMatch(second.stdout, /^\+ .*"ws:\/\/127\.0\.0\.1:9\/"$/m);
  assertEquals(await Deno.readTextFile(`${file}.alwaysup.bak`), old);
  const other = ["install", "zed", "--write", "--url", "ws://127.0.0.1:10/"];
  const third = await home.run(other);
  assertMatch(third.stdout, /^- .*"ws:\/\/127\.0\.0\.1:9\/"$/m);
  assertEquals(await Deno.readTextFile(`${file}.alwaysup.bak`), old, "kept");
  assert((await Deno.readTextFile(`${file}.alwaysup.2.bak`)).includes(":9/"));
});

test("install: a symbolic link stays a link", async () => {
  await using home = new Home();
  const real = `${home.folder}/real.json`;
  const file = await home.writeClientFile("cursor", "");
  await Deno.remove(file);
  await Deno.writeTextFile(real, '\ufeff{"mcpServers":{}}\r\n');
  await Deno.symlink(real, file);
  const { code } = await home.run([
    "install",
    "cursor",
    "--write",
    ...URL_FLAG,
  ]);
  assertEquals(code, 0);
  assert(Deno.lstatSync(file).isSymlink);
  const text = new TextDecoder("utf-8", { ignoreBOM: true })
    .decode(await Deno.readFile(real));
  assertMatch(text, /^\ufeff\{"mcpServers":\{"alwaysup":\{.*\}\}\}\r\n$/);
});

test("install: a symbolic link without a target stays a link", async () => {
  await using home = new Home();
  const file = await home.writeClientFile("cursor", "");
  const real = `${home.folder}/real.json`;
  await Deno.remove(file);
  await Deno.symlink(real, file);
  const { code, stderr } = await home.run([
    "install",
    "cursor",
    "--write",
    ...URL_FLAG,
  ]);
  assert(Deno.lstatSync(file).isSymlink);
  // Deno writes through such a link only if it has all permissions. Without
  // them, `install` reports an error.
  if (code !== 0) assertMatch(stderr, /it cannot be written \(No such file/);
  assertEquals(await exists(real), code === 0);
});

test("install: an older entry's env is kept, and no secret of the file is shown", async () => {
  await using home = new Home();
  const env = { EXAI_WS_TOKEN: "s3cret" };
  const file = await home.writeClientFile(
    "cursor",
    JSON.stringify({
      mcpServers: {
        other: { command: "x", env: { T: "s3cret" } },
        alwaysup: { command: "python", args: ["shim.py"], env, timeout: 9 },
      },
    }),
  );
  const written = await home.run(["install", "cursor", "--write", ...URL_FLAG]);
  const { mcpServers } = JSON.parse(await Deno.readTextFile(file));
  const { command, env: kept, timeout } = mcpServers.alwaysup;
  assertEquals([kept, timeout, command === "python"], [env, 9, false]);
  assertMatch(written.stdout, /^- .*"args": "\(hidden\)"/m);
  const removed = await home.run(["uninstall", "cursor", "--write"]);
  assertMatch(removed.stdout, /^- .*"EXAI_WS_TOKEN": "\(hidden\)"$/m);
  for (const { stdout, stderr } of [written, removed]) {
    assertEquals((stdout + stderr).includes("s3cret"), false);
  }
});

test("install: a file that cannot be written completely stays unchanged", async () => {
  await using home = new Home();
  const before = `{"n": "${"x".repeat(1000)}"}`;
  const file = await home.writeClientFile("cursor", before);
  const args = ["install", "cursor", "--write", ...URL_FLAG];
  const [command, all] = proxyCommand(args);
  // Limits the files of this process to 1024 bytes, as if the disk were full.
  const limited = 'trap "" XFSZ && ulimit -f 1 && exec "$@"';
  const { code, stderr } = await new Deno.Command("bash", {
    args: ["-c", limited, "sh", command, ...all],
    env: home.env,
    cwd: ROOT,
  }).output();
  const text = new TextDecoder().decode(stderr);
  assertEquals(code, 1, text);
  assertMatch(text, /mcp\.json: it cannot be written \(.*too large/i);
  assertEquals(text.includes("damaged"), false);
  assertEquals(await Deno.readTextFile(file), before);
});

/**
 * Returns a host with one client file, whose writes fail `times` times. The
 * file has two names (hard links), so it is written in place.
 */
function hostWithFailingWrites(
  times: number,
  text: string,
): { host: Host; disk: MemoryDisk } {
  const disk = new MemoryDisk();
  disk.addFile(FAILING, text, { mode: 0o664, linkCount: 2 });
  let left = times;
  const { writeFile, ...rest } = disk.host();
  const host: Host = {
    ...rest,
    writeFile: (path, text) => {
      const isCut = path === FAILING && left-- > 0;
      writeFile(path, isCut ? text.slice(0, 9) : text);
      if (isCut) throw new Error("No space left");
    },
  };
  return { host, disk };
}
const FAILING = "/h/.cursor/mcp.json";

const FAILURES: [
  what: string,
  times: number,
  before: string,
  after: string,
  says: string,
][] = [
  ["restored", 1, "{ }", "{ }", "it cannot be written (No space left)"],
  [
    "damaged",
    2,
    '{"a": "long enough"}',
    '{"a": "lo',
    "it cannot be written (No space left; the file is damaged now: " +
    `replace it with ${FAILING}.alwaysup.bak)`,
  ],
];
for (const [what, times, before, after, says] of FAILURES) {
  test(`install: after a failed write, the file is ${what}`, async () => {
    const { host, disk } = hostWithFailingWrites(times, before);
    const args = ["cursor", "--write", ...URL_FLAG];
    const { code, stderr } = await runCommand(install, args, host);
    assertEquals(code, 1);
    assertEquals(disk.readText(FAILING), after);
    assert(stderr.startsWith(`alwaysup: ${FAILING}: ${says}`), stderr);
    assertEquals(disk.nodes.get(FAILING)!.mode, 0o664);
  });
}

test("install: other users can read neither backups nor temporary files, and nothing else is left", async () => {
  await using home = new Home();
  const file = await home.writeClientFile("cursor", "{}");
  await Deno.chmod(file, 0o664);
  const folder = file.replace(/[^/]*$/, "");
  const before = Deno.statSync(file).ino;
  const { code } = await home.run([
    "install",
    "cursor",
    "--write",
    ...URL_FLAG,
  ]);
  assertEquals(code, 0);
  const modes = [...Deno.readDirSync(folder)]
    .map(({ name }) => [name, Deno.statSync(folder + name).mode! & 0o777])
    .sort();
  assertEquals(modes, [["mcp.json", 0o664], ["mcp.json.alwaysup.bak", 0o600]]);
  assert(Deno.statSync(file).ino !== before, "replaced by a new file");
});

test("install: a file with two names (a hard link) stays one file", async () => {
  await using home = new Home();
  const file = await home.writeClientFile("cursor", "{}");
  Deno.linkSync(file, `${home.folder}/other.json`);
  assertEquals(
    (await home.run(["install", "cursor", "--write", ...URL_FLAG])).code,
    0,
  );
  const other = await Deno.readTextFile(`${home.folder}/other.json`);
  assertEquals(other, await Deno.readTextFile(file));
});

test("install: a read-only file stays as it is", async () => {
  await using home = new Home();
  const file = await home.writeClientFile("cursor", "{}");
  await Deno.chmod(file, 0o444);
  const { code, stderr } = await home.run([
    "install",
    "cursor",
    "--write",
    ...URL_FLAG,
  ]);
  assertEquals([code, await Deno.readTextFile(file)], [1, "{}"]);
  assertMatch(stderr, /it cannot be written \(it is read-only\)\n$/);
});

const REFUSED: [
  what: string,
  content: string | Uint8Array<ArrayBuffer>,
  why: RegExp,
][] = [
  ["malformed", '{\n"mcpServers": {', /: it is not JSON \(line 2\); nothing/],
  ["an array", "[]", /: it is not a JSON object; nothing/],
  [
    "without an object of servers",
    '{"mcpServers": 1}',
    /: "mcpServers" in it is not an object; nothing/,
  ],
  ["too deep", "[".repeat(100_000), /: it is nested too deeply; nothing/],
  [
    "Latin 1",
    new Uint8Array([0x22, 0xe4, 0x22]),
    /read \(it is not text in UTF-8\); nothing/,
  ],
];
for (const [what, content, why] of REFUSED) {
  test(`install: a file that is ${what} is refused, and not touched`, async () => {
    await using home = new Home();
    const file = await home.writeClientFile("windsurf", "");
    const bytes = typeof content === "string"
      ? new TextEncoder().encode(content)
      : content;
    await Deno.writeFile(file, bytes);
    for (const command of ["install", "uninstall"]) {
      const flags = command === "install" ? URL_FLAG : [];
      const all = await home.run([command, "windsurf", "--write", ...flags]);
      assertEquals([all.code, all.stdout], [1, ""]);
      assertMatch(all.stderr, why);
      assertEquals(all.stderr.split("\n").length, 2, "one sentence");
    }
    assertEquals(await Deno.readFile(file), bytes);
    const folder = file.replace(/[^/\\]*$/, "");
    assertEquals([...Deno.readDirSync(folder)].length, 1, "no backup");
  });
}

test("install: a path that cannot be read or written is named", async () => {
  await using home = new Home();
  await Deno.writeTextFile(`${home.folder}/.cursor`, "a file");
  const unreadable = await home.run([
    "install",
    "cursor",
    "--write",
    ...URL_FLAG,
  ]);
  assertEquals(unreadable.code, 1);
  assertMatch(
    unreadable.stderr,
    /mcp\.json: it cannot be read \(.*nothing was/,
  );
  await Deno.mkdir(home.fileOf("augment"), { recursive: true });
  const folder = await home.run(["install", "augment", "--write", ...URL_FLAG]);
  assertEquals(folder.code, 1);
  assertMatch(folder.stderr, /it cannot be read \(it is not a regular file\)/);
  const nowhere = { HOME: "", USERPROFILE: "", APPDATA: "" };
  const homeless = await home.run(["install", "vscode", ...URL_FLAG], nowhere);
  assertEquals(homeless.code, 1);
  assertMatch(
    homeless.stderr,
    /VS Code: the folder of its settings is unknown/,
  );
});

const WRONG: [args: string[], why: RegExp][] = [
  [
    ["install"],
    /a client must follow.* claude-desktop, .*opencode, or --all$/m,
  ],
  [
    ["install", "emacs"],
    /a client must follow.* claude-desktop, .*opencode, or --all$/m,
  ],
  [["install", "zed", "--url", "http://h/"], /--url: a WebSocket URL begins/],
  [["install", "zed", "--url", "ws://h/?token=s3cret"], /--url: .* a secret/],
  [["install", "zed", "--token", "s3cret"], /--token: a command line is visi/],
  [
    ["install", "zed", "--header", "Cookie: s3cret"],
    /--header: the header Cookie is secret/,
  ],
  [["install", "zed", "--bogus"], /--bogus: there is no such flag/],
  [["install", "--all", "zed"], /: give a client or --all, not both$/m],
  [["uninstall", "zed", "--all"], /: give a client or --all, not both$/m],
  [
    ["install", "zed", "cursor"],
    /give one client only, or --all for each of them$/m,
  ],
  [["install", "zed", "--write=s3cret"], /: --write: it takes no value$/m],
  [["uninstall", "zed", "--write=no"], /: --write: it takes no value$/m],
  [["install", "zed", "s3cret"], /argument 1: it is not a flag/],
  [["install", "zed", "--name", "a b"], /--name: it must be 1 to 60/],
  [["install", "zed", "--name"], /--name: it must be 1 to 60/],
  [["install", "zed", "--name=a", "--name=b"], /--name: it is given twice/],
  [
    ["install", "zed", "--token-file", "none"],
    /--token-file: it cannot be read \(ENOENT\); it must be the path/,
  ],
  [
    ["uninstall", "zed", "--url", "ws://h/"],
    /: --url: uninstall has no such flag; /,
  ],
];

test("install: an invalid command line gives an error, and changes nothing", async () => {
  await using home = new Home();
  for (const [args, why] of WRONG) {
    const { code, stdout, stderr } = await home.run([...args, "--write"]);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, why);
    assert(!stderr.includes("s3cret"), stderr);
  }
  assert(!await exists(home.fileOf("zed")));
});

test("install: relative paths become absolute; variables that the client does not pass on are named", async () => {
  await using home = new Home();
  const token = `${"../".repeat(20)}${home.folder.slice(1)}/token`;
  await Deno.writeTextFile(`${home.folder}/token`, "t");
  const args = [...URL_FLAG, "--token-file", token, "--cache=./c.json"];
  const env = { ALWAYSUP_TOKEN: "s3cret", EXAI_WS_HEALTH_FILE: "h" };
  const { stdout, stderr } = await home.run(["install", "zed", ...args], env);
  assert(stdout.includes(JSON.stringify(ROOT + token)), stdout);
  assert(stdout.includes(JSON.stringify(`--cache=${ROOT}c.json`)), stdout);
  assertMatch(stderr, /^alwaysup: Zed does not pass EXAI_WS_HEALTH_FILE to/);
  const off = ["install", "zed", ...URL_FLAG, "--cache", "off"];
  const bare = await home.run(off, env);
  assertMatch(
    bare.stderr,
    /does not pass ALWAYSUP_TOKEN, EXAI_WS_HEALTH_FILE to/,
  );
  assert(!(bare.stdout + bare.stderr).includes("s3cret"));
  assertMatch(bare.stdout, /"off"/);
});

test("install: a warning names the variables of an env file that have relative paths", async () => {
  await using home = new Home();
  const file = `${home.folder}/x.env`;
  const flags = [...URL_FLAG, "--env-file", file, "--retry", "safe"];
  const args = ["install", "zed", ...flags];
  const lines = [
    ...["ALWAYSUP_CACHE=c.json", "EXAI_WS_HEALTH_FILE=../h.json"],
    ...["ALWAYSUP_RETRY=never", "ENV_FILE=y.env"],
  ];
  await Deno.writeTextFile(file, lines.join("\n"));
  const { code, stderr } = await home.run(args);
  assertEquals([code, stderr], [
    0,
    `alwaysup: ${file}: use an absolute path for ALWAYSUP_CACHE, ` +
    "EXAI_WS_HEALTH_FILE, because Zed may start its servers in any folder\n",
  ]);
  await Deno.writeTextFile(file, "ALWAYSUP_CACHE=off\nEXAI_WS_HEALTH_FILE=/h");
  assertEquals((await home.run(args)).stderr, "");
  await Deno.writeTextFile(file, "ALWAYSUP_CACHE=c.json");
  assertEquals((await home.run([...args, "--cache", "on"])).stderr, "");
});

test("install: on Windows cmd starts the program, with arguments that cmd does not change", async () => {
  const host = {
    os: "windows",
    env: () => ({}),
    getEnv: (name: string) => name === "USERPROFILE" ? "C:\\a" : undefined,
    launchCommand: () => ["npx", "-y", "alwaysup"],
    realPath: () => "C:\\work",
  } as Partial<Host> as Host;
  const good = ["cursor", "--cache", "c.json", "--url", "ws://h/?a=1"];
  const { code, stdout } = await runCommand(install, good, host);
  assertEquals(code, 0);
  const [first, snippet] = stdout.split("\n\n") as [string, string];
  assertEquals(
    first.split("\n")[0],
    "Cursor reads its servers from C:\\a\\.cursor\\mcp.json",
  );
  const { command, args } = JSON.parse(snippet).mcpServers.alwaysup;
  assertEquals([command, ...args.slice(0, 6)], [
    ...["cmd", "/c", "npx", "-y", "alwaysup", "--cache", "C:\\work\\c.json"],
  ]);
  const bad = ["cursor", "--url", "ws://h/?a=1&b=2"];
  const refused = await runCommand(install, bad, host);
  assertEquals(refused.code, 2);
  assertMatch(
    refused.stderr,
    /^alwaysup: In Windows commands, & \| < > \^ % " have a special meaning/,
  );
});

test("uninstall: it names the entries that start this program under other names", async () => {
  await using home = new Home();
  const args = ["install", "zed", "--write", "--name", "exai", ...URL_FLAG];
  assertEquals((await home.run(args)).code, 0);
  const { code, stdout } = await home.run(["uninstall", "zed", "--write"]);
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /"alwaysup" is not in this file; nothing changes\n.*as "exai"/,
  );
});

test("install: the default address is written only if something listens there", async () => {
  await using home = new Home();
  const options = { port: 8079, hostname: "127.0.0.1" };
  const isFree = await Deno.connect(options).then(
    (connection) => (connection.close(), false),
    () => true,
  );
  const lines = [["cursor"], ["codex", "--write"], ["--all", "--write"]];
  await home.writeClientFile("cursor", "{}");
  for (const line of isFree ? lines : []) {
    const { code, stdout, stderr } = await home.run(["install", ...line]);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(
      stderr,
      /^alwaysup: nothing listens at the default address ws:.*: give --url ws:/,
    );
  }
  assertEquals(await Deno.readTextFile(home.fileOf("cursor")), "{}");
  const entry = { command: "python", env: { EXAI_WS_PORT: "9" } };
  await home.writeClientFile(
    "gemini",
    JSON.stringify({ mcpServers: { exai: entry } }),
  );
  const kept = ["install", "gemini", "--write", "--name", "exai"];
  assertEquals((await home.run(kept)).code, 0, "the entry names the address");
  const file = `${home.folder}/x.env`;
  for (const text of isFree ? [undefined, "", "EXAI_WS_TOKEN=t"] : []) {
    if (text !== undefined) await Deno.writeTextFile(file, text);
    const exai = { command: "python", env: { ENV_FILE: file } };
    await home.writeClientFile(
      "gemini",
      JSON.stringify({ mcpServers: { exai } }),
    );
    assertEquals((await home.run(kept)).code, 2, `the file says ${text}`);
  }
  await Deno.writeTextFile(file, "EXAI_WS_PORT=9");
  const named = await home.run(["install", "cursor", "--env-file", file]);
  assertEquals([named.code, named.stderr], [0, ""], "a file names the address");
  const listener = isFree ? Deno.listen(options) : undefined;
  const { code, stderr } = await home.run(["install", "cursor", "--write"]);
  assertEquals([code, stderr], [0, ""]);
  listener?.close();
});
