/**
 * Tests how `install` and `uninstall` change the files of clients, on a disk in
 * memory.
 *
 * @module
 */

import { clientFileFormatOf } from "../../../lib/clients/client_file.ts";
import { CLIENTS } from "../../../lib/clients/registry.ts";
import { install, uninstall } from "../../../lib/commands/install.ts";
import type { Host } from "../../../lib/runtime/host.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { type CommandResult, runCommand } from "../../helpers/command_run.ts";
import { MemoryDisk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const URL_FLAG = ["--url", "ws://127.0.0.1:9/"];

const COMMANDS = { install, uninstall };

/** Runs a command line, e.g. `install zed --write`, on a disk. */
async function run(
  disk: MemoryDisk,
  line: string,
  more: Partial<Host> = {},
): Promise<CommandResult> {
  const [name, ...args] = line.split(" ");
  const flags = name === "install" ? URL_FLAG : [];
  const command = COMMANDS[name as keyof typeof COMMANDS];
  return await runCommand(command, [...args, ...flags], disk.host(more));
}

function clientOf(name: string): typeof CLIENTS[number] {
  return CLIENTS.find((client) => client.name === name)!;
}

function fileOf(name: string): string {
  return clientOf(name).filePath(new MemoryDisk().host())!;
}

function diskWith(
  name: string,
  text: string,
): { disk: MemoryDisk; file: string } {
  const disk = new MemoryDisk();
  const file = fileOf(name);
  disk.addFile(file, text, { mode: 0o664 });
  return { disk, file };
}

/** Returns the entry of this program in the text of a client's file. */
function entryIn(name: string, text: string | undefined): Json {
  const client = clientOf(name);
  return clientFileFormatOf(client).findEntry(text ?? "", "alwaysup");
}

/**
 * Returns a file with another server, and with the comments and trailing commas
 * that the client can read.
 */
function fileTextOf(
  { serversKey, isToml, rejectedSyntax = [] }: typeof CLIENTS[number],
): string {
  if (isToml) {
    return `# mine\nmodel = "m"\n\n[${serversKey}.other] # the first\ncommand = "x"\n` +
      `env = { T = "s3cret" } # kept\n\n[n]\na = 1.0\n`;
  }
  const hasComments = !rejectedSyntax.includes("comment");
  const comma = rejectedSyntax.includes("comma") ? "" : ",";
  const [first, kept] = hasComments
    ? ["\t\t// the first\n", ` // kept`]
    : ["", ""];
  return `{\n\t"${serversKey}": {\n${first}\t\t"other": { "command": "x", "env": ` +
    `{ "T": "s3cret" } }${comma}${kept}\n\t},\n\t"n": 1.0${comma}\n}\n`;
}

for (const client of CLIENTS) {
  const { name, serversKey } = client;
  test(`install: writes an entry, and uninstall restores the file: ${name}`, async () => {
    const before = fileTextOf(client);
    const { disk, file } = diskWith(name, before);
    const shown = await run(disk, `install ${name}`);
    assertEquals([shown.code, shown.stderr], [0, ""]);
    assertEquals(disk.readText(file), before, "only shown");
    const written = await run(disk, `install ${name} --write`);
    assertEquals([written.code, written.stderr], [0, ""]);
    assert(!/^- /m.test(written.stdout), "nothing is removed");
    assert(!written.stdout.includes("s3cret"), "nothing else is shown");
    const text = disk.readText(file)!;
    // A line may get a comma, because another member now follows it.
    const linesOf = (text: string): string[] =>
      text.split("\n").map((line) => line.replace(/,(?= \/\/|$)/, ""));
    const lines = linesOf(text);
    const lost = linesOf(before).filter((line) => !lines.includes(line));
    assertEquals(lost, []);
    const { parseClientFile } = clientFileFormatOf(client);
    const { other, alwaysup } = (parseClientFile(text) as Json)[serversKey];
    assertEquals(other, (parseClientFile(before) as Json)[serversKey].other);
    const snippet = shown.stdout.split("\n\n")[1]!;
    assertEquals((parseClientFile(snippet) as Json)[serversKey], { alwaysup });
    assertEquals(disk.readText(`${file}.alwaysup.bak`), before);

    const again = await run(disk, `install ${name} --write`);
    assertMatch(
      again.stdout,
      /"alwaysup" is already in this file; nothing changes/,
    );
    assertEquals(disk.readText(file), text);
    const planned = await run(disk, `uninstall ${name}`);
    assertMatch(planned.stdout, /^- "alwaysup": \{$/m);
    assertEquals(disk.readText(file), text, "only shown");
    const removed = await run(disk, `uninstall ${name} --write`);
    assertEquals([removed.code, disk.readText(file)], [0, before]);
    const { note } = client;
    assert(
      note === undefined || written.stdout.endsWith(note),
      "the note is not at the end",
    );
    assert(!removed.stdout.includes(note ?? "\0"), "the note is shown");
    const gone = await run(disk, `uninstall ${name} --write`);
    assertMatch(gone.stdout, /"alwaysup" is not in this file; nothing changes/);
  });
}

const OLDER: [what: string, entry: string, kept: Json][] = [
  [
    "its env",
    '{"command":{"path":"python","args":["x"],"env":{"T":"t","U":"u"}}}',
    { env: { T: "t", U: "u" } },
  ],
  [
    "both of its env objects; the outer one takes precedence",
    '{"command":{"path":"p","env":{"T":"in","U":"u"}},"env":{"T":"out"}}',
    { env: { U: "u", T: "out" } },
  ],
  [
    "its env on several lines, its settings and its timeout",
    '{\r\n      "command": {\r\n        "path": "p",\r\n        "args": [],\r\n' +
    '        "env": {\r\n          "T": "t" // mine\r\n        },\r\n' +
    '        "timeout": 9\r\n      },\r\n      "settings": {"a": 1}\r\n    }',
    { env: { T: "t" }, timeout: 9, settings: { a: 1 } },
  ],
  [
    "no env if that is null",
    '{"source":"custom","command":{"path":"p","args":[],"env":null}}',
    { source: "custom" },
  ],
];

for (const [what, entry, kept] of OLDER) {
  test(`install: an entry in Zed's older form keeps ${what}`, async () => {
    for (const name of ["zed", "cursor", "vscode"]) {
      const { serversKey } = clientOf(name);
      const text =
        `{\r\n  "${serversKey}": {\r\n    "alwaysup": ${entry}\r\n  }\r\n}`;
      const { disk, file } = diskWith(name, text);
      const { code, stdout } = await run(disk, `install ${name} --write`);
      assertEquals(code, 0);
      const { command, args, type: _, ...rest } = entryIn(
        name,
        disk.readText(file),
      );
      assertEquals([command, args.at(-1)], ["/alwaysup", URL_FLAG[1]]);
      assertEquals(rest, kept);
      assert(!/"(t|u|in|out)"/.test(stdout), stdout);
      assertEquals(
        disk.readText(file)!.replaceAll("\r\n", "").includes("\n"),
        false,
      );
      const comments = text.match(/\/\/ mine/g)?.length;
      assertEquals(disk.readText(file)!.match(/\/\/ mine/g)?.length, comments);
    }
  });
}

const MISSING = [
  '{"KEY": null}',
  '{\n  "a": 1,\n  "KEY": null,\n  "b": [null]\n}\n',
  '\ufeff{ "KEY" : null }',
  '{"KEY": {"alwaysup": null, "other": {}}}',
];

for (const name of ["cursor", "vscode", "zed", "opencode"]) {
  test(`install: null instead of the servers or of an entry counts as missing: ${name}`, async () => {
    for (const text of MISSING) {
      const before = text.replace("KEY", clientOf(name).serversKey);
      const { disk, file } = diskWith(name, before);
      const none = await run(disk, `uninstall ${name} --write`);
      assertEquals(none.code, 0);
      const { code, stderr } = await run(disk, `install ${name} --write`);
      assertEquals([code, stderr], [0, ""], before);
      assert(entryIn(name, disk.readText(file)).command !== undefined);
    }
  });
}

const DISABLED_ENTRIES: [client: string, text: string, says: string][] = [
  ...["windsurf", "augment"].map((name): [string, string, string] => [
    name,
    '{"mcpServers":{"alwaysup":{"command":"x","disabled":true}}}',
    'has "disabled": true; TITLE does not start it until you change that',
  ]),
  ...["cursor", "claude-code", "gemini"].map((
    name,
  ): [string, string, string] => [
    name,
    '{"mcpServers":{"alwaysup":{"disabled":true,"url":"http://h/"}}}',
    'has "disabled": true; check whether TITLE starts it',
  ]),
  [
    "zed",
    '{"context_servers":{"alwaysup":{"enabled":false,"command":"x"}}}',
    'has "enabled": false; TITLE does not start it until you change that',
  ],
  [
    "opencode",
    '{"mcp":{"alwaysup":{"type":"remote","enabled":false}}}',
    'has "enabled": false; TITLE does not start it until you change that',
  ],
  [
    "codex",
    '[mcp_servers.alwaysup]\ncommand = "x"\nenabled = false\n',
    'has "enabled": false; TITLE does not start it until you change that',
  ],
  [
    "gemini",
    '{"mcp":{"excluded":["AlwaysUp"]},"mcpServers":{}}',
    'is listed in "mcp.excluded" of that file; TITLE does not start it until you ' +
    "change that",
  ],
  [
    "gemini",
    '{"mcp":{"allowed":["other"]},"mcpServers":{}}',
    'is not listed in "mcp.allowed" of that file; TITLE does not start it until you ' +
    "change that",
  ],
];

for (const [name, text, says] of DISABLED_ENTRIES) {
  test(`install: warns if a setting keeps the client from starting the server: ${name} ${says}`, async () => {
    const { disk, file } = diskWith(name, text);
    const sentence = `alwaysup: ${file}: "alwaysup" ` +
      says.replace("TITLE", clientOf(name).title);
    // A user who adds the shown entry by hand needs the warning, too.
    const shown = await run(disk, `install ${name}`);
    assertEquals([shown.code, shown.stderr], [0, sentence]);
    const written = await run(disk, `install ${name} --write`);
    assertEquals([written.code, written.stderr], [0, sentence]);
    // `install` keeps this member, because the user has set it.
    const { disabled, enabled } = entryIn(name, disk.readText(file));
    assertEquals(
      disabled ?? enabled ?? "",
      says.startsWith("has") ? disabled === true : "",
    );
    const again = await run(disk, `install ${name} --write`);
    assertEquals([again.code, again.stderr], [0, sentence]);
    // `uninstall` does not warn, because the client no longer has the entry.
    for (let i = 0; i < 2; i++) {
      const gone = await run(disk, `uninstall ${name} --write`);
      assertEquals([gone.code, gone.stderr], [0, ""]);
    }
  });
}

test("install: shows the entry even if the client's file cannot be read or changed", async () => {
  for (const text of ["{", "[]", '{"mcpServers":1}']) {
    const { disk } = diskWith("claude-code", text);
    const { code, stdout, stderr } = await run(disk, "install claude-code");
    assertEquals([code, stderr], [0, ""]);
    assertMatch(
      stdout,
      /^Add this to the file, or run the command with --write:$/m,
    );
  }
});

test("uninstall: does not warn about a disabled entry", async () => {
  for (const [name, text] of DISABLED_ENTRIES) {
    const { disk } = diskWith(name, text);
    for (const line of [`uninstall ${name} --write`, `uninstall ${name}`]) {
      const { code, stderr } = await run(disk, line);
      assertEquals([code, stderr], [0, ""], text);
    }
  }
});

test("install: does not warn about an enabled entry", async () => {
  for (
    const more of ['"disabled":false', '"enabled":true', '"disabled":"no"']
  ) {
    const text = `{"mcpServers":{"alwaysup":{"command":"x",${more}}}}`;
    const { disk } = diskWith("windsurf", text);
    assertEquals((await run(disk, "install windsurf --write")).stderr, "");
    const free = `{"mcp":{"allowed":["alwaysup"],"excluded":["b"]}}`;
    const { disk: other } = diskWith("gemini", free);
    assertEquals((await run(other, "install gemini --write")).stderr, "");
  }
});

const [COMMENT, COMMA, MARK] = [
  "a comment",
  "a trailing comma",
  "a byte order mark",
];

const EXTRA_SYNTAX: [text: string, what: string, line: number][] = [
  ['{\n  // mine\n  "mcpServers": {}\n}', COMMENT, 2],
  ['{"mcpServers": {} /* a */ }', COMMENT, 1],
  ['{"mcpServers": {}}\n//', COMMENT, 2],
  ['{\n"mcpServers": {\n},\n}', COMMA, 3],
  ['{"a":[\n1,\n],"mcpServers":{}}', COMMA, 2],
  ['\ufeff{"mcpServers": {}}', MARK, 1],
  ["\ufeff{\r\n}\r\n", MARK, 1],
];

/**
 * The syntax that each client cannot read. Claude Desktop and Claude Code may
 * replace a file that they cannot read with a new one.
 */
const REJECTS: Readonly<Record<string, readonly string[]>> = {
  "claude-desktop": [COMMENT, COMMA, MARK],
  "claude-code": [COMMENT, COMMA, MARK],
  cursor: [COMMA],
  windsurf: [MARK],
  augment: [MARK],
  gemini: [COMMA, MARK],
};

for (const client of CLIENTS.filter(({ isToml }) => !isToml)) {
  const { name, title, serversKey } = client;
  const rejects = REJECTS[name] ?? [];
  const isResetting = rejects.length === 3;
  test(`install: warns about syntax in the file that the client cannot read: ${name}`, async () => {
    for (const [text, what, line] of EXTRA_SYNTAX) {
      const before = text.replace("mcpServers", serversKey);
      const { disk, file } = diskWith(name, before);
      const shown = await run(disk, `install ${name}`);
      const { code, stderr } = await run(disk, `install ${name} --write`);
      const sentence =
        `alwaysup: ${file}: it has ${what} (line ${line}), which ` +
        `${title} cannot read; remove that`;
      const end = isResetting
        ? " first; nothing was changed"
        : ", or the client finds no servers";
      const isRefused = isResetting && rejects.includes(what);
      assertEquals(
        stderr,
        rejects.includes(what) ? sentence + end : "",
        before,
      );
      const hint = isResetting ? " first" : end;
      const expectedWarning = rejects.includes(what) ? sentence + hint : "";
      assertEquals([shown.code, shown.stderr], [0, expectedWarning], before);
      assertEquals([code, disk.readText(file) === before], [
        isRefused ? 1 : 0,
        isRefused,
      ]);
    }
  });

  test(`install: adds no syntax that the client cannot read: ${name}`, async () => {
    const texts = [
      "",
      "{}",
      '{"KEY":{"a":{}}}',
      '{"a":1,\n"b":2}',
      " ",
      "\ufeff",
    ];
    for (const text of texts) {
      const { disk, file } = diskWith(name, text.replace("KEY", serversKey));
      const { code, stderr } = await run(disk, `install ${name} --write`);
      assertEquals([code, stderr], [0, ""]);
      const mark = rejects.includes(MARK)
        ? ""
        : text.match(/^\ufeff/)?.[0] ?? "";
      assertEquals(disk.readText(file)!.startsWith("\ufeff"), mark !== "");
      JSON.parse(disk.readText(file)!.slice(mark.length));
    }
    if (isResetting) return;
    const { disk, file } = diskWith(name, `{"${serversKey}":{\n"a":{},\n},\n}`);
    await run(disk, `install ${name} --write`);
    const commas = disk.readText(file)!.match(/,\s*[}\]]/g)?.length;
    assertEquals(commas, rejects.includes(COMMA) ? 1 : 2);
  });
}

test("uninstall: removes the entry even from a file that its client cannot read", async () => {
  const entry = '"alwaysup": { "command": "/alwaysup" }';
  const texts: [text: string, what: string][] = [
    [`{\n  // mine\n  "mcpServers": { ${entry} }\n}`, COMMENT],
    [`{\n  "mcpServers": { ${entry}, },\n}`, COMMA],
    [`\ufeff{ "mcpServers": { ${entry} } }`, MARK],
  ];
  for (const name of ["claude-desktop", "claude-code"]) {
    for (const [text, what] of texts) {
      const { disk, file } = diskWith(name, text);
      for (
        const says of [/^- "alwaysup"/m, /is not in this file; nothing changes/]
      ) {
        const line = `uninstall ${name} --write`;
        const { code, stdout, stderr } = await run(disk, line);
        assertEquals([code, entryIn(name, disk.readText(file))], [
          0,
          undefined,
        ]);
        assertMatch(stdout, says);
        if (says.multiline) {
          assert(stderr.includes(`it has ${what} (line`), stderr);
        }
      }
    }
  }
});

test("install: the replacement character U+FFFD counts as text", async () => {
  const texts = [
    '{"a":"\ufffd"}',
    '{"mcpServers":{"\ufffd":{"command":"\ufffd\ufffd"}}}',
    '// \ufffd\n{"mcpServers":{}}',
  ];
  for (const text of texts) {
    const { disk, file } = diskWith("cursor", text);
    const { code, stderr } = await run(disk, "install cursor --write");
    assertEquals([code, stderr], [0, ""]);
    assertEquals(disk.readText(`${file}.alwaysup.bak`), text);
    const marks = disk.readText(file)!.match(/\ufffd/g)?.length;
    assertEquals(marks, text.match(/\ufffd/g)?.length);
  }
});

test("install: keeps three backups at most: the first one and the two newest", async () => {
  for (const name of ["cursor", "claude-code", "codex"]) {
    const { disk, file } = diskWith(name, "");
    const texts = [""];
    for (let i = 0; i < 7; i++) {
      await run(disk, `install ${name} --write --queue-limit ${i + 1}`);
      texts.push(disk.readText(file)!);
    }
    const names = [".bak", ".2.bak", ".3.bak"].map((end) =>
      `${file}.alwaysup${end}`
    );
    assertEquals(names.map((path) => disk.readText(path)), [
      ...[texts[0], texts[5], texts[6]],
    ]);
    const folder = file.replace(/\/[^/]*$/, "");
    assertEquals(disk.listNames(folder).length, 4, "and nothing else");
    for (const path of names) assertEquals(disk.nodes.get(path)!.mode, 0o600);
  }
});

/** A change by another program, and the step of `install` that it precedes. */
const MEANWHILE: [
  what: string,
  step: string,
  act: (disk: MemoryDisk, file: string) => void,
][] = [
  [
    "rewritten before the copy",
    "make COPY",
    (disk, file) => disk.addFile(file, "{}"),
  ],
  [
    "rewritten after the copy",
    "sync COPY",
    (disk, file) => disk.addFile(file, "{}"),
  ],
  ["rewritten just before it is replaced", "sync FILE.tmp", (disk, file) => {
    disk.addFile(file, '{"a":1}');
  }],
  ["removed", "sync FILE.tmp", (disk, file) => disk.nodes.delete(file)],
];

for (const [what, step, act] of MEANWHILE) {
  test(`install: does not overwrite a file that is ${what} by another program`, async () => {
    for (const name of ["claude-code", "cursor", "gemini"]) {
      const { disk, file } = diskWith(name, '{"mcpServers":{"old":{}}}');
      const when = step.replace("COPY", `${file}.alwaysup.bak`)
        .replace("FILE", file);
      disk.beforeOperation.set(when, () => act(disk, file));
      const { code, stderr } = await run(disk, `install ${name} --write`);
      assertEquals(code, 1, when);
      assertMatch(
        stderr,
        /: it cannot be written \((another program has|No such)/,
      );
      assert(!disk.readText(file)?.includes("alwaysup"));
      const folder = file.replace(/\/[^/]*$/, "");
      assert(!disk.listNames(folder).some((name) => name.endsWith(".tmp")));
    }
  });
}

test("install: --all lists the clients of this machine, and their servers that start this program", async () => {
  const disk = new MemoryDisk();
  disk.addFile(
    fileOf("cursor"),
    '{"mcpServers":{"mine":{"command":"/alwaysup"}}}',
  );
  disk.addFile(fileOf("claude-code"), '{"mcpServers":{},}');
  disk.addFile(fileOf("vscode"), "{");
  disk.addFolder("/h/.gemini");
  const { code, stdout, stderr } = await run(disk, "install --all");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n"), [
    "claude-code     /h/.claude.json: no server starts this program",
    "vscode          /h/.config/Code/User/mcp.json: it cannot be read " +
    "(it is not JSON (line 1))",
    'cursor          /h/.cursor/mcp.json: this program is "mine"',
    "gemini          /h/.gemini/settings.json: there is no such file yet",
    "Not on this machine: claude-desktop, windsurf, augment, zed, codex, " +
    "opencode",
    "`alwaysup install CLIENT --write` adds alwaysup to one of them, " +
    "`alwaysup install --all --write` to each.",
  ]);
});

test("install: --all --write changes every client, even if another client fails", async () => {
  const disk = new MemoryDisk();
  disk.addFile(fileOf("cursor"), "{}");
  disk.addFile(fileOf("vscode"), "{");
  disk.addFolder("/h/.codex");
  const { code, stderr } = await run(disk, "install --all --write");
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^alwaysup: .*mcp\.json: it is not JSON \(line 1\); nothing/,
  );
  assertEquals(disk.readText(fileOf("vscode")), "{");
  for (const name of ["cursor", "codex"]) {
    assertEquals(
      entryIn(name, disk.readText(fileOf(name))).command,
      "/alwaysup",
    );
  }
  disk.nodes.delete(fileOf("vscode"));
  assertEquals((await run(disk, "uninstall --all --write")).code, 0);
  for (const name of ["cursor", "codex"]) {
    assertEquals(entryIn(name, disk.readText(fileOf(name))), undefined);
  }
});

test("install: --all reports that no client is on this machine", async () => {
  const none = /^alwaysup: none of these clients is on this machine: /;
  for (const line of ["install --all --write", "uninstall --all"]) {
    const { code, stderr } = await run(new MemoryDisk(), line);
    assertEquals(code, 1);
    assertMatch(stderr, none);
  }
  const listed = await run(new MemoryDisk(), "install --all");
  assertEquals(listed.code, 0);
  assertMatch(
    listed.stdout,
    /^Not on this machine: claude-desktop, .*, opencode$/,
  );
});

test("install: needs no --url if the entry's ENV_FILE names the daemon's address", async () => {
  const entries = [
    ["cursor", '{"mcpServers":{"alwaysup":ENTRY}}'],
    ["zed", '{"context_servers":{"alwaysup":{"command":ENTRY}}}'],
    ["opencode", '{"mcp":{"alwaysup":ENTRY}}'],
    ["codex", '[mcp_servers]\nalwaysup.env.ENV_FILE = "/h/x.env"\n'],
  ] as const;
  const lines = [
    "EXAI_WS_PORT=9",
    "export EXAI_WS_HOST = h",
    "ALWAYSUP_URL=ws://h/",
  ];
  for (const [name, text] of entries) {
    for (const line of lines) {
      const member = name === "opencode" ? "environment" : "env";
      const entry = `{"path":"p","${member}":{"ENV_FILE":"/h/x.env"}}`;
      const { disk, file } = diskWith(name, text.replace("ENTRY", entry));
      disk.addFile("/h/x.env", `${line}\n`);
      const { code, stderr } = await runCommand(
        install,
        [name, "--write"],
        disk.host({}),
      );
      assertEquals([code, stderr], [0, ""], `${name} ${line}`);
      assertMatch(disk.readText(file)!, /\/h\/x\.env/);
    }
  }
});

const MIB = 1024 * 1024;

const LARGE: [what: string, text: () => string][] = [
  ["one text", () => `{"a":"${"x".repeat(67 * MIB)}"}`],
  [
    "many projects",
    () => {
      const history = `"history":["${"y".repeat(10_000)}",1.0,{"a":null}]`;
      const projects = Array.from(
        { length: 7000 },
        (_, i) => `"/home/p${i}":{"mcpServers":{},${history}}`,
      );
      return `{\n  "projects":{${projects.join(",\n")}},\n  "mcpServers":{}\n}`;
    },
  ],
  [
    "many spaces",
    () =>
      `{"mcpServers":{}${" ".repeat(7 * MIB)},"a":"${"x".repeat(60 * MIB)}"}`,
  ],
];

for (const [what, text] of LARGE) {
  test(`install: changes a file of 70 MB: ${what}`, async () => {
    const before = text();
    const { disk, file } = diskWith("claude-code", before);
    const { code, stderr } = await run(disk, "install claude-code --write");
    assertEquals([code, stderr], [0, ""]);
    const after = disk.readText(file)!;
    assert(after.includes(URL_FLAG[1]!));
    // The only difference between the two texts is the new entry.
    const at = after.lastIndexOf('"alwaysup"');
    let head = at - 50;
    while (before[head] === after[head]) head++;
    assert(before.slice(0, head) === after.slice(0, head));
    assert(after.endsWith(before.slice(head)));
  });
}

test("install: refuses a file that is too large for a string", async () => {
  for (const name of ["claude-code", "cursor", "codex"]) {
    const { disk, file } = diskWith(name, "");
    const { stat } = disk.host();
    const huge = {
      stat: (path: string) =>
        path === file ? { ...stat(path)!, size: 501 * MIB } : stat(path),
    };
    const { code, stderr } = await run(disk, `install ${name} --write`, huge);
    assertEquals(code, 1);
    assertMatch(
      stderr,
      /cannot be read \(it has 525336576 bytes, and the limit is/,
    );
    assertEquals(disk.readText(file), "");
  }
});
