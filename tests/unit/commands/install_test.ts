/**
 * What `install` and `uninstall` make of files that clients and their users
 * have written, on a disk in memory.
 *
 * @module
 */

import { formatOf } from "../../../lib/clients/config_file.ts";
import { CLIENTS } from "../../../lib/clients/registry.ts";
import { install, uninstall } from "../../../lib/commands/install.ts";
import type { Host } from "../../../lib/runtime/host.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { type Ran, ran } from "../../helpers/command_run.ts";
import { Disk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const URL_FLAG = ["--url", "ws://127.0.0.1:9/"];

const COMMANDS = { install, uninstall };

/** Runs a command line on a disk. */
async function run(
  disk: Disk,
  line: string,
  more: Partial<Host> = {},
): Promise<Ran> {
  const [name, ...args] = line.split(" ");
  const flags = name === "install" ? URL_FLAG : [];
  const command = COMMANDS[name as keyof typeof COMMANDS];
  return await ran(command, [...args, ...flags], disk.host(more));
}

function clientOf(name: string): typeof CLIENTS[number] {
  return CLIENTS.find((client) => client.name === name)!;
}

/** Where a client's file lies on a disk. */
function fileOf(name: string, disk = new Disk()): string {
  return clientOf(name).file(disk.host())!;
}

/** A disk with one client's file. */
function having(name: string, text: string): { disk: Disk; file: string } {
  const disk = new Disk();
  const file = fileOf(name);
  disk.put(file, text, { mode: 0o664 });
  return { disk, file };
}

/** The entry of this program in a client's file. */
function entryIn(name: string, text: string | undefined): Json {
  const client = clientOf(name);
  const slot = { key: client.key, name: "alwaysup" };
  return formatOf(client).entryIn(text ?? "", slot);
}

/** What a client's user may have in its file, as far as the client reads it. */
function busy({ key, isToml, rejects = [] }: typeof CLIENTS[number]): string {
  if (isToml) {
    return `# mine\nmodel = "m"\n\n[${key}.other] # the first\ncommand = "x"\n` +
      `env = { T = "s3cret" } # kept\n\n[n]\na = 1.0\n`;
  }
  const hasComments = !rejects.includes("comment");
  const comma = rejects.includes("comma") ? "" : ",";
  const [first, kept] = hasComments
    ? ["\t\t// the first\n", ` // kept`]
    : ["", ""];
  return `{\n\t"${key}": {\n${first}\t\t"other": { "command": "x", "env": ` +
    `{ "T": "s3cret" } }${comma}${kept}\n\t},\n\t"n": 1.0${comma}\n}\n`;
}

for (const client of CLIENTS) {
  const { name, key } = client;
  test(`Install: writes an entry, and uninstall restores the file: ${name}`, async () => {
    const before = busy(client);
    const { disk, file } = having(name, before);
    const shown = await run(disk, `install ${name}`);
    assertEquals([shown.code, shown.err], [0, ""]);
    assertEquals(disk.text(file), before, "only shown");
    const written = await run(disk, `install ${name} --write`);
    assertEquals([written.code, written.err], [0, ""]);
    assert(!/^- /m.test(written.out), "nothing is taken away");
    assert(!written.out.includes("s3cret"), "nothing else is shown");
    const text = disk.text(file)!;
    // Where another member comes behind it, a line may get a comma.
    const linesOf = (text: string): string[] =>
      text.split("\n").map((line) => line.replace(/,(?= \/\/|$)/, ""));
    const lines = linesOf(text);
    const lost = linesOf(before).filter((line) => !lines.includes(line));
    assertEquals(lost, []);
    const { parseFile } = formatOf(client);
    const { other, alwaysup } = (parseFile(text) as Json)[key];
    assertEquals(other, (parseFile(before) as Json)[key].other);
    const snippet = shown.out.split("\n\n")[1]!;
    assertEquals((parseFile(snippet) as Json)[key], { alwaysup });
    assertEquals(disk.text(`${file}.alwaysup.bak`), before);

    const again = await run(disk, `install ${name} --write`);
    assertMatch(again.out, /"alwaysup" is there already; nothing changes/);
    assertEquals(disk.text(file), text);
    const planned = await run(disk, `uninstall ${name}`);
    assertMatch(planned.out, /^- "alwaysup": \{$/m);
    assertEquals(disk.text(file), text, "only shown");
    const removed = await run(disk, `uninstall ${name} --write`);
    assertEquals([removed.code, disk.text(file)], [0, before]);
    const { note } = client;
    assert(note === undefined || written.out.endsWith(note), "it is a note");
    assert(!removed.out.includes(note ?? "\0"), "on what is put in");
    const gone = await run(disk, `uninstall ${name} --write`);
    assertMatch(gone.out, /"alwaysup" is not there; nothing changes/);
  });
}

const OLDER: [what: string, entry: string, kept: Json][] = [
  [
    "its env",
    '{"command":{"path":"python","args":["x"],"env":{"T":"t","U":"u"}}}',
    { env: { T: "t", U: "u" } },
  ],
  [
    "both of its env, the outer one before the inner one",
    '{"command":{"path":"p","env":{"T":"in","U":"u"}},"env":{"T":"out"}}',
    { env: { U: "u", T: "out" } },
  ],
  [
    "its env on several lines, its settings and its time-out",
    '{\r\n      "command": {\r\n        "path": "p",\r\n        "args": [],\r\n' +
    '        "env": {\r\n          "T": "t" // mine\r\n        },\r\n' +
    '        "timeout": 9\r\n      },\r\n      "settings": {"a": 1}\r\n    }',
    { env: { T: "t" }, timeout: 9, settings: { a: 1 } },
  ],
  [
    "no env that is null",
    '{"source":"custom","command":{"path":"p","args":[],"env":null}}',
    { source: "custom" },
  ],
];

for (const [what, entry, kept] of OLDER) {
  test(`Install: an entry in the older shape keeps ${what}`, async () => {
    for (const name of ["zed", "cursor", "vscode"]) {
      const { key } = clientOf(name);
      const text = `{\r\n  "${key}": {\r\n    "alwaysup": ${entry}\r\n  }\r\n}`;
      const { disk, file } = having(name, text);
      const { code, out } = await run(disk, `install ${name} --write`);
      assertEquals(code, 0);
      const { command, args, type: _, ...rest } = entryIn(
        name,
        disk.text(file),
      );
      assertEquals([command, args.at(-1)], ["/alwaysup", URL_FLAG[1]]);
      assertEquals(rest, kept);
      assert(!/"(t|u|in|out)"/.test(out), out);
      assertEquals(
        disk.text(file)!.replaceAll("\r\n", "").includes("\n"),
        false,
      );
      const comments = text.match(/\/\/ mine/g)?.length;
      assertEquals(disk.text(file)!.match(/\/\/ mine/g)?.length, comments);
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
  test(`Install: null in the place of servers or of an entry counts as none: ${name}`, async () => {
    for (const text of MISSING) {
      const before = text.replace("KEY", clientOf(name).key);
      const { disk, file } = having(name, before);
      const none = await run(disk, `uninstall ${name} --write`);
      assertEquals(none.code, 0);
      const { code, err } = await run(disk, `install ${name} --write`);
      assertEquals([code, err], [0, ""], before);
      assert(entryIn(name, disk.text(file)).command !== undefined);
    }
  });
}

const OFF: [client: string, text: string, says: string][] = [
  ...["windsurf", "augment"].map((name): [string, string, string] => [
    name,
    '{"mcpServers":{"alwaysup":{"command":"x","disabled":true}}}',
    'says "disabled": true: TITLE does not start it until you change that',
  ]),
  ...["cursor", "claude-code", "gemini"].map((
    name,
  ): [string, string, string] => [
    name,
    '{"mcpServers":{"alwaysup":{"disabled":true,"url":"http://h/"}}}',
    'says "disabled": true: see whether TITLE starts it',
  ]),
  [
    "zed",
    '{"context_servers":{"alwaysup":{"enabled":false,"command":"x"}}}',
    'says "enabled": false: TITLE does not start it until you change that',
  ],
  [
    "opencode",
    '{"mcp":{"alwaysup":{"type":"remote","enabled":false}}}',
    'says "enabled": false: TITLE does not start it until you change that',
  ],
  [
    "codex",
    '[mcp_servers.alwaysup]\ncommand = "x"\nenabled = false\n',
    'says "enabled": false: TITLE does not start it until you change that',
  ],
  [
    "gemini",
    '{"mcp":{"excluded":["AlwaysUp"]},"mcpServers":{}}',
    'stands in "mcp.excluded" of that file: TITLE does not start it until you ' +
    "change that",
  ],
  [
    "gemini",
    '{"mcp":{"allowed":["other"]},"mcpServers":{}}',
    'does not stand in "mcp.allowed" of that file: TITLE does not start it until you ' +
    "change that",
  ],
];

for (const [name, text, says] of OFF) {
  test(`Install: warns of what keeps the client from starting the server: ${name} ${says}`, async () => {
    const { disk, file } = having(name, text);
    const sentence = `alwaysup: ${file}: "alwaysup" ` +
      says.replace("TITLE", clientOf(name).title);
    // Who puts the entry there by hand hears of it, too.
    const shown = await run(disk, `install ${name}`);
    assertEquals([shown.code, shown.err], [0, sentence]);
    const written = await run(disk, `install ${name} --write`);
    assertEquals([written.code, written.err], [0, sentence]);
    // It is its user's.
    const { disabled, enabled } = entryIn(name, disk.text(file));
    assertEquals(
      disabled ?? enabled ?? "",
      says.startsWith("says") ? disabled === true : "",
    );
    const again = await run(disk, `install ${name} --write`);
    assertEquals([again.code, again.err], [0, sentence]);
    // What is taken out need not start.
    for (let i = 0; i < 2; i++) {
      const gone = await run(disk, `uninstall ${name} --write`);
      assertEquals([gone.code, gone.err], [0, ""]);
    }
  });
}

test("Install: shows the entry also where the client's file cannot be read or changed", async () => {
  for (const text of ["{", "[]", '{"mcpServers":1}']) {
    const { disk } = having("claude-code", text);
    const { code, out, err } = await run(disk, "install claude-code");
    assertEquals([code, err], [0, ""]);
    assertMatch(out, /^This belongs there/m);
  }
});

test("Uninstall: does not warn of an entry that is switched off", async () => {
  for (const [name, text] of OFF) {
    const { disk } = having(name, text);
    for (const line of [`uninstall ${name} --write`, `uninstall ${name}`]) {
      const { code, err } = await run(disk, line);
      assertEquals([code, err], [0, ""], text);
    }
  }
});

test("Install: does not warn of an entry that is switched on", async () => {
  for (
    const more of ['"disabled":false', '"enabled":true', '"disabled":"no"']
  ) {
    const text = `{"mcpServers":{"alwaysup":{"command":"x",${more}}}}`;
    const { disk } = having("windsurf", text);
    assertEquals((await run(disk, "install windsurf --write")).err, "");
    const free = `{"mcp":{"allowed":["alwaysup"],"excluded":["b"]}}`;
    const { disk: other } = having("gemini", free);
    assertEquals((await run(other, "install gemini --write")).err, "");
  }
});

const [COMMENT, COMMA, MARK] = [
  "a comment",
  "a comma behind the last member",
  "a byte order mark",
];

const ODD: [text: string, what: string, line: number][] = [
  ['{\n  // mine\n  "mcpServers": {}\n}', COMMENT, 2],
  ['{"mcpServers": {} /* a */ }', COMMENT, 1],
  ['{"mcpServers": {}}\n//', COMMENT, 2],
  ['{\n"mcpServers": {\n},\n}', COMMA, 3],
  ['{"a":[\n1,\n],"mcpServers":{}}', COMMA, 2],
  ['\ufeff{"mcpServers": {}}', MARK, 1],
  ["\ufeff{\r\n}\r\n", MARK, 1],
];

/** What each client does not read; the first two put a new file into the place of such a one. */
const REJECTS: Readonly<Record<string, readonly string[]>> = {
  "claude-desktop": [COMMENT, COMMA, MARK],
  "claude-code": [COMMENT, COMMA, MARK],
  cursor: [COMMA],
  windsurf: [MARK],
  augment: [MARK],
  gemini: [COMMA, MARK],
};

for (const client of CLIENTS.filter(({ isToml }) => !isToml)) {
  const { name, title, key } = client;
  const rejects = REJECTS[name] ?? [];
  const isResetting = rejects.length === 3;
  test(`Install: warns of what the client cannot read in its own file: ${name}`, async () => {
    for (const [text, what, line] of ODD) {
      const before = text.replace("mcpServers", key);
      const { disk, file } = having(name, before);
      const shown = await run(disk, `install ${name}`);
      const { code, err } = await run(disk, `install ${name} --write`);
      const sentence =
        `alwaysup: ${file}: it has ${what} (line ${line}), and ` +
        `${title} does not read that: take it out`;
      const end = isResetting
        ? " first; nothing is changed"
        : ", or it finds no servers";
      const isRefused = isResetting && rejects.includes(what);
      assertEquals(err, rejects.includes(what) ? sentence + end : "", before);
      const hint = isResetting ? " first" : end;
      const told = rejects.includes(what) ? sentence + hint : "";
      assertEquals([shown.code, shown.err], [0, told], before);
      assertEquals([code, disk.text(file) === before], [
        isRefused ? 1 : 0,
        isRefused,
      ]);
    }
  });

  test(`Install: adds nothing that the client cannot read: ${name}`, async () => {
    const texts = [
      "",
      "{}",
      '{"KEY":{"a":{}}}',
      '{"a":1,\n"b":2}',
      " ",
      "\ufeff",
    ];
    for (const text of texts) {
      const { disk, file } = having(name, text.replace("KEY", key));
      const { code, err } = await run(disk, `install ${name} --write`);
      assertEquals([code, err], [0, ""]);
      const mark = rejects.includes(MARK)
        ? ""
        : text.match(/^\ufeff/)?.[0] ?? "";
      assertEquals(disk.text(file)!.startsWith("\ufeff"), mark !== "");
      JSON.parse(disk.text(file)!.slice(mark.length));
    }
    if (isResetting) return;
    const { disk, file } = having(name, `{"${key}":{\n"a":{},\n},\n}`);
    await run(disk, `install ${name} --write`);
    const commas = disk.text(file)!.match(/,\s*[}\]]/g)?.length;
    assertEquals(commas, rejects.includes(COMMA) ? 1 : 2);
  });
}

test("Uninstall: removes the entry also from a file that its client cannot read", async () => {
  const entry = '"alwaysup": { "command": "/alwaysup" }';
  const texts: [text: string, what: string][] = [
    [`{\n  // mine\n  "mcpServers": { ${entry} }\n}`, COMMENT],
    [`{\n  "mcpServers": { ${entry}, },\n}`, COMMA],
    [`\ufeff{ "mcpServers": { ${entry} } }`, MARK],
  ];
  for (const name of ["claude-desktop", "claude-code"]) {
    for (const [text, what] of texts) {
      const { disk, file } = having(name, text);
      for (const says of [/^- "alwaysup"/m, /is not there; nothing changes/]) {
        const line = `uninstall ${name} --write`;
        const { code, out, err } = await run(disk, line);
        assertEquals([code, entryIn(name, disk.text(file))], [0, undefined]);
        assertMatch(out, says);
        if (says.multiline) assert(err.includes(`it has ${what} (line`), err);
      }
    }
  }
});

test("Install: the replacement character U+FFFD counts as text", async () => {
  const texts = [
    '{"a":"\ufffd"}',
    '{"mcpServers":{"\ufffd":{"command":"\ufffd\ufffd"}}}',
    '// \ufffd\n{"mcpServers":{}}',
  ];
  for (const text of texts) {
    const { disk, file } = having("cursor", text);
    const { code, err } = await run(disk, "install cursor --write");
    assertEquals([code, err], [0, ""]);
    assertEquals(disk.text(`${file}.alwaysup.bak`), text);
    const marks = disk.text(file)!.match(/\ufffd/g)?.length;
    assertEquals(marks, text.match(/\ufffd/g)?.length);
  }
});

test("Install: keeps three backups at most: the first one and the two newest", async () => {
  for (const name of ["cursor", "claude-code", "codex"]) {
    const { disk, file } = having(name, "");
    const texts = [""];
    for (let i = 0; i < 7; i++) {
      await run(disk, `install ${name} --write --queue-limit ${i + 1}`);
      texts.push(disk.text(file)!);
    }
    const names = [".bak", ".2.bak", ".3.bak"].map((end) =>
      `${file}.alwaysup${end}`
    );
    assertEquals(names.map((path) => disk.text(path)), [
      ...[texts[0], texts[5], texts[6]],
    ]);
    const folder = file.replace(/\/[^/]*$/, "");
    assertEquals(disk.names(folder).length, 4, "and nothing else");
    for (const path of names) assertEquals(disk.nodes.get(path)!.mode, 0o600);
  }
});

/** What another program does to a file while it is changed, and when. */
const MEANWHILE: [
  what: string,
  step: string,
  act: (disk: Disk, file: string) => void,
][] = [
  [
    "rewritten before the copy",
    "make COPY",
    (disk, file) => disk.put(file, "{}"),
  ],
  [
    "rewritten behind the copy",
    "sync COPY",
    (disk, file) => disk.put(file, "{}"),
  ],
  ["rewritten just before it is replaced", "sync FILE.tmp", (disk, file) => {
    disk.put(file, '{"a":1}');
  }],
  ["removed", "sync FILE.tmp", (disk, file) => disk.nodes.delete(file)],
];

for (const [what, step, act] of MEANWHILE) {
  test(`Install: a file that is ${what} by another program is left as it is then`, async () => {
    for (const name of ["claude-code", "cursor", "gemini"]) {
      const { disk, file } = having(name, '{"mcpServers":{"old":{}}}');
      const when = step.replace("COPY", `${file}.alwaysup.bak`)
        .replace("FILE", file);
      disk.before.set(when, () => act(disk, file));
      const { code, err } = await run(disk, `install ${name} --write`);
      assertEquals(code, 1, when);
      assertMatch(
        err,
        /: it cannot be written \((another program has|No such)/,
      );
      assert(!disk.text(file)?.includes("alwaysup"));
      const folder = file.replace(/\/[^/]*$/, "");
      assert(!disk.names(folder).some((name) => name.endsWith(".tmp")));
    }
  });
}

test("Install: --all lists the clients of this machine, and their servers that start this program", async () => {
  const disk = new Disk();
  disk.put(fileOf("cursor"), '{"mcpServers":{"mine":{"command":"/alwaysup"}}}');
  disk.put(fileOf("claude-code"), '{"mcpServers":{},}');
  disk.put(fileOf("vscode"), "{");
  disk.folder("/h/.gemini");
  const { code, out, err } = await run(disk, "install --all");
  assertEquals([code, err], [0, ""]);
  assertEquals(out.split("\n"), [
    "claude-code     /h/.claude.json: no server in it is this program",
    "vscode          /h/.config/Code/User/mcp.json: it cannot be read " +
    "(it is not JSON (line 1))",
    'cursor          /h/.cursor/mcp.json: this program is "mine"',
    "gemini          /h/.gemini/settings.json: there is no such file yet",
    "Not on this machine: claude-desktop, windsurf, augment, zed, codex, " +
    "opencode",
    "alwaysup install CLIENT --write puts it into one of them, alwaysup " +
    "install --all --write into each.",
  ]);
});

test("Install: --all --write changes every client, also where another one fails", async () => {
  const disk = new Disk();
  disk.put(fileOf("cursor"), "{}");
  disk.put(fileOf("vscode"), "{");
  disk.folder("/h/.codex");
  const { code, err } = await run(disk, "install --all --write");
  assertEquals(code, 1);
  assertMatch(
    err,
    /^alwaysup: .*mcp\.json: it is not JSON \(line 1\); nothing/,
  );
  assertEquals(disk.text(fileOf("vscode")), "{");
  for (const name of ["cursor", "codex"]) {
    assertEquals(entryIn(name, disk.text(fileOf(name))).command, "/alwaysup");
  }
  disk.nodes.delete(fileOf("vscode"));
  assertEquals((await run(disk, "uninstall --all --write")).code, 0);
  for (const name of ["cursor", "codex"]) {
    assertEquals(entryIn(name, disk.text(fileOf(name))), undefined);
  }
});

test("Install: --all says so where no client is on this machine", async () => {
  const none = /^alwaysup: none of these clients is on this machine: /;
  for (const line of ["install --all --write", "uninstall --all"]) {
    const { code, err } = await run(new Disk(), line);
    assertEquals(code, 1);
    assertMatch(err, none);
  }
  const listed = await run(new Disk(), "install --all");
  assertEquals(listed.code, 0);
  assertMatch(
    listed.out,
    /^Not on this machine: claude-desktop, .*, opencode$/,
  );
});

test("Install: needs no --url where the entry's ENV_FILE names the daemon's address", async () => {
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
      const { disk, file } = having(name, text.replace("ENTRY", entry));
      disk.put("/h/x.env", `${line}\n`);
      const { code, err } = await ran(
        install,
        [name, "--write"],
        disk.host({}),
      );
      assertEquals([code, err], [0, ""], `${name} ${line}`);
      assertMatch(disk.text(file)!, /\/h\/x\.env/);
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
  ["spaces", () => `{"mcpServers":{}${" ".repeat(67 * MIB)}}`],
];

for (const [what, text] of LARGE) {
  test(`Install: changes a file of 70 MB: ${what}`, async () => {
    const before = text();
    const { disk, file } = having("claude-code", before);
    const { code, err } = await run(disk, "install claude-code --write");
    assertEquals([code, err], [0, ""]);
    const after = disk.text(file)!;
    assert(after.includes(URL_FLAG[1]!));
    // What is there then is what was there, with the entry somewhere in it.
    const at = after.lastIndexOf('"alwaysup"');
    let head = at - 50;
    while (before[head] === after[head]) head++;
    assert(before.slice(0, head) === after.slice(0, head));
    assert(after.endsWith(before.slice(head)));
  });
}

test("Install: refuses a file that is too large for a string", async () => {
  for (const name of ["claude-code", "cursor", "codex"]) {
    const { disk, file } = having(name, "");
    const { stat } = disk.host();
    const huge = {
      stat: (path: string) =>
        path === file ? { ...stat(path)!, size: 501 * MIB } : stat(path),
    };
    const { code, err } = await run(disk, `install ${name} --write`, huge);
    assertEquals(code, 1);
    assertMatch(
      err,
      /cannot be read \(it has 525336576 bytes, and the limit is/,
    );
    assertEquals(disk.text(file), "");
  }
});
