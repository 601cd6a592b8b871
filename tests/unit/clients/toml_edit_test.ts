/**
 * Tests that an entry in Codex's file is added, replaced and removed. All other
 * bytes stay the same. `smol-toml` parses the results for comparison.
 *
 * @module
 */

import { parse as library } from "smol-toml";
import { clientFileFormatOf } from "../../../lib/clients/client_file.ts";
import { CLIENTS } from "../../../lib/clients/registry.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { generateToml } from "../../helpers/toml_files.ts";

const {
  parseClientFile: parseTomlFile,
  findEntry: findTomlEntry,
  removeEntry: removeTomlEntry,
  setEntry: setTomlEntry,
} = clientFileFormatOf(CLIENTS.find(({ name }) => name === "codex")!);

const ENTRY_NAME = "us";

const ENTRY = { command: "c", args: ["-x", "ws://h/"] };

const LINES = 'command = "c"\nargs = ["-x", "ws://h/"]';

const TABLE = `[mcp_servers.us]\n${LINES}`;

const BRACES = '{ command = "c", args = ["-x", "ws://h/"] }';

/** Files without and with the entry. Removing it restores the first text. */
const ADDED: [what: string, before: string, after: string][] = [
  ["an empty file", "", `${TABLE}\n`],
  ["a file of empty lines", "\n \n", `${TABLE}\n\n \n`],
  ["a byte order mark only", "\ufeff", `\ufeff${TABLE}\n`],
  ["a comment only", "# a", `# a\n\n${TABLE}`],
  [
    "a comment that ends with an odd space",
    "# a\u00a0\n",
    `# a\u00a0\n\n${TABLE}\n`,
  ],
  ["behind all else", "a = 1\n\n\n", `a = 1\n\n${TABLE}\n\n\n`],
  ["no end of the last line", "[a]\nb = 1 # c", `[a]\nb = 1 # c\n\n${TABLE}`],
  [
    "CRLF",
    "\ufeffa = 1\r\n",
    `\ufeffa = 1\r\n\r\n${TABLE.replaceAll("\n", "\r\n")}\r\n`,
  ],
  [
    "behind the last server",
    "[mcp_servers.a]\nurl = 'u'\n[mcp_servers.a.x]\ny = [\n  1, # [\n] # z\n\n# b\n[b]\n",
    `[mcp_servers.a]\nurl = 'u'\n[mcp_servers.a.x]\ny = [\n  1, # [\n] # z\n\n${TABLE}\n\n# b\n[b]\n`,
  ],
  [
    "behind the comments that belong to the last server",
    "[mcp_servers.a]\nurl = 'u'\n  # x = 1\n  # y = 1\n\n[b]",
    `[mcp_servers.a]\nurl = 'u'\n  # x = 1\n  # y = 1\n\n${TABLE}\n\n[b]`,
  ],
  [
    "before a comment that may belong to what follows",
    "[mcp_servers.a]\n# b\n[b]\n",
    `[mcp_servers.a]\n\n${TABLE}\n# b\n[b]\n`,
  ],
  [
    "beside a server in braces",
    "[mcp_servers]\na = { url = 'u' }\n",
    `[mcp_servers]\na = { url = 'u' }\n\n${TABLE}\n`,
  ],
  [
    "beside a server with dots",
    "mcp_servers.a.url = 'u'\n[b]\n",
    `mcp_servers.a.url = 'u'\n[b]\n\n${TABLE}\n`,
  ],
  [
    "what looks like it in a string",
    "a = '''\n[mcp_servers.us]\ncommand = \"d\"\n'''\n",
    `a = '''\n[mcp_servers.us]\ncommand = "d"\n'''\n\n${TABLE}\n`,
  ],
  ["braces", "mcp_servers = {} # a", `mcp_servers = {us = ${BRACES}} # a`],
  ["a blank in braces", "mcp_servers={ }", `mcp_servers={ us = ${BRACES} }`],
  [
    "a comment in braces",
    "mcp_servers = { # a\n}\n",
    `mcp_servers = {us = ${BRACES} # a\n}\n`,
  ],
  [
    "others in braces",
    "mcp_servers = { a = { url = 'u' } }\n",
    `mcp_servers = { a = { url = 'u' }, us = ${BRACES} }\n`,
  ],
  [
    "others in braces on several lines",
    "mcp_servers = {\n  a.url = 'u', # b\n}\n",
    `mcp_servers = {\n  a.url = 'u', us = ${BRACES}, # b\n}\n`,
  ],
  [
    "names that objects have",
    "__proto__ = 1\nconstructor.x = 1\n",
    `__proto__ = 1\nconstructor.x = 1\n\n${TABLE}\n`,
  ],
];

for (const [what, before, after] of ADDED) {
  test(`TOML edit: adds an entry, and removes it again: ${what}`, () => {
    assertEquals(findTomlEntry(before, ENTRY_NAME), undefined);
    assertEquals(removeTomlEntry(before, ENTRY_NAME), before);
    assertEquals(setTomlEntry(before, ENTRY_NAME, ENTRY), after);
    assertEquals(setTomlEntry(after, ENTRY_NAME, ENTRY), after);
    assertEquals(findTomlEntry(after, ENTRY_NAME), ENTRY);
    assertEquals(removeTomlEntry(after, ENTRY_NAME), before);
  });
}

/** Files with an older entry, with the new entry, and without an entry. */
const REPLACED: [what: string, before: string, after: string, gone: string][] =
  [
    [
      "a table with members of the user, and a sub-table further down",
      "[ mcp_servers . 'us' ] # a\n# b\ncommand = 'old' # c\nargs = [ # d\n] # e\n" +
      "cwd = '/'\n# f\n\n[x]\ny = 1\n\n# g\n[mcp_servers.us.env]\nA = '1'\n",
      '[ mcp_servers . \'us\' ] # a\n# b\ncommand = "c" # c\nargs = ["-x", "ws://h/"] # e\n' +
      "cwd = '/'\n# f\n\n[x]\ny = 1\n\n# g\n[mcp_servers.us.env]\nA = '1'\n",
      "# f\n\n[x]\ny = 1\n\n# g\n",
    ],
    [
      "members for HTTP are removed: Codex refuses them beside a command",
      "[mcp_servers.us]\n  url = 'u' # a\n  enabled = false\n  http_headers.A = '1'\n" +
      "  env_http_headers = { B = '1' }\n  bearer_token_env_var = 'T' # b\n\n" +
      "[mcp_servers.us.oauth]\nclient_id = 'x'\n\n[mcp_servers.us.tools.t]\ny = 1",
      "[mcp_servers.us]\n  # a\n  enabled = false\n" +
      '  command = "c"\n  args = ["-x", "ws://h/"]\n  # b\n\n' +
      "[mcp_servers.us.tools.t]\ny = 1",
      "",
    ],
    [
      "an empty table",
      "[mcp_servers.us]",
      TABLE,
      "",
    ],
    [
      "only tables below the entry",
      "[mcp_servers.us.http_headers]\nA = '1'\n\n[mcp_servers.us.env]\nA = '1'\n[x]\n",
      `[mcp_servers.us.env]\nA = '1'\n\n${TABLE}\n[x]\n`,
      "[x]\n",
    ],
    [
      "keys with dots above all tables, and a table below the entry",
      "mcp_servers.us.url = 'u'\nmcp_servers.\"us\".env.A = '1' # a\nb = 1\n\n[mcp_servers.us.tools.t]\n",
      "mcp_servers.\"us\".env.A = '1' # a\n" +
      'mcp_servers."us".command = "c"\nmcp_servers."us".args = ["-x", "ws://h/"]\nb = 1\n\n[mcp_servers.us.tools.t]\n',
      "# a\nb = 1\n",
    ],
    [
      "the only key with dots, on the last line",
      "[mcp_servers]\r\n\tus.url = 'u'",
      '[mcp_servers]\r\n\tus.command = "c"\r\n\tus.args = ["-x", "ws://h/"]',
      "[mcp_servers]",
    ],
    [
      "braces in a table",
      "[mcp_servers]\nus = { url = 'u', env = { A = '1' }, type = 't' } # a\nb = {}\n",
      '[mcp_servers]\nus = { env = { A = \'1\' }, command = "c", args = ["-x", "ws://h/"] } # a\nb = {}\n',
      "[mcp_servers]\n# a\nb = {}\n",
    ],
    [
      "braces in braces",
      "mcp_servers = { a = {}, us = { args = [], command = 'o', cwd = '/' }, b = {} }",
      'mcp_servers = { a = {}, us = { args = ["-x", "ws://h/"], command = "c", cwd = \'/\' }, b = {} }',
      "mcp_servers = { a = {}, b = {} }",
    ],
    [
      "braces on several lines",
      "mcp_servers = {\n  us = { # a\n    url = 'u', # b\n    cwd = '/', # c\n  }, # d\n  e = {}, # f\n}\n",
      'mcp_servers = {\n  us = { # a\n     # b\n    cwd = \'/\', command = "c", args = ["-x", "ws://h/"], # c\n  }, # d\n  e = {}, # f\n}\n',
      "mcp_servers = {\n   # d\n  e = {}, # f\n}\n",
    ],
    [
      "keys with dots in braces",
      "mcp_servers = { us.url = 'u', us.env.A = '1' }\n",
      'mcp_servers = { us.env.A = \'1\', us.command = "c", us.args = ["-x", "ws://h/"] }\n',
      "mcp_servers = { }\n",
    ],
    [
      "nothing in braces stays",
      "mcp_servers.us = { url = 'u', type = 't', }\na = 1\n",
      `mcp_servers.us = ${BRACES}\na = 1\n`,
      "a = 1\n",
    ],
    [
      "a command that is a table",
      "[mcp_servers.us]\n[mcp_servers.us.command]\npath = 'p'\n",
      `${TABLE}\n`,
      "",
    ],
    [
      "no table",
      "[mcp_servers]\nus = 1 # a\n",
      `[mcp_servers]\n# a\n\n${TABLE}\n`,
      "[mcp_servers]\n# a\n",
    ],
    [
      "an array of tables",
      "a = 1\n\n[[mcp_servers.us]]\nb = 1\n\n[[mcp_servers.us]]\n",
      `a = 1\n\n${TABLE}\n`,
      "a = 1\n",
    ],
  ];

for (const [what, before, after, gone] of REPLACED) {
  test(`TOML edit: replaces an entry, and removes it: ${what}`, () => {
    assertEquals(setTomlEntry(before, ENTRY_NAME, ENTRY), after);
    assertEquals(setTomlEntry(after, ENTRY_NAME, ENTRY), after);
    assertEquals(removeTomlEntry(before, ENTRY_NAME), gone);
    assertEquals(removeTomlEntry(gone, ENTRY_NAME), gone);
  });
}

test("TOML edit: quotes names and strings by the rules of TOML", () => {
  const slot = 'a."b';
  const args = [
    "C:\\a b\\c.exe",
    'say "a"',
    "it's \"\\",
    "\t\n\x01\x7f\u00e4",
    "",
  ];
  const text = setTomlEntry("", slot, { command: "d", args });
  assertEquals(
    text,
    "[mcp_servers.'a.\"b']\ncommand = \"d\"\nargs = ['C:\\a b\\c.exe', 'say \"a\"', " +
      '"it\'s \\"\\\\", "\\t\\n\\u0001\\u007f\u00e4", ""]\n',
  );
  assertEquals(findTomlEntry(text, slot), { command: "d", args });
  assertEquals(library(text), parseTomlFile(text) as never);
  assertEquals(removeTomlEntry(text, slot), "");
});

test("TOML edit: an entry that is a date is replaced", () => {
  for (const date of ["1979-05-27", "1979-05-27T07:32:00Z", "07:32:00"]) {
    const text = `mcp_servers = { ${ENTRY_NAME} = ${date}, b = 1 }\n`;
    const next = setTomlEntry(text, ENTRY_NAME, ENTRY);
    assertEquals(findTomlEntry(next, ENTRY_NAME), ENTRY);
  }
});

test("TOML edit: refuses a file that is not TOML or has another structure", () => {
  for (
    const text of [
      "mcp_servers = 1",
      "mcp_servers = 1979-05-27",
      "[[mcp_servers]]",
      "mcp_servers = [{}]",
    ]
  ) {
    for (const edit of [removeTomlEntry, setTomlEntry]) {
      assertThrows(
        () => edit(text, ENTRY_NAME, ENTRY),
        Error,
        '"mcp_servers" in it is not a table',
      );
    }
  }
  assertThrows(
    () => setTomlEntry("a = 1\na", ENTRY_NAME, ENTRY),
    Error,
    "it is not TOML (line 2: Expected equal (=) token)",
  );
  assertThrows(
    () => setTomlEntry("a = 1\r\n# b\r\na.b = '''\n'''\n", ENTRY_NAME, ENTRY),
    Error,
    "it is not TOML (line 3: Defining a key multiple times is invalid)",
  );
});

test("TOML edit: refuses a file that is nested too deeply", () => {
  const deep = (n: number): string[] => [
    `a = ${"[".repeat(n)}${"]".repeat(n)}`,
    `a = ${"{a=".repeat(n)}1${"}".repeat(n)}`,
    `${"a.".repeat(n)}a = 1`,
    `[a${".a".repeat(n)}]`,
    `[a${".a".repeat(n / 2)}]\n${"a.".repeat(n / 2)}a = 1`,
  ];
  for (const text of deep(240)) parseTomlFile(text);
  for (const text of deep(100_000).slice(0, 2)) {
    assertThrows(() => parseTomlFile(text), Error, "it is nested too deeply");
  }
  // The number of parts in a dotted key is not limited.
  for (const text of deep(10_000).slice(2)) parseTomlFile(text);
});

/**
 * Returns the comments of these kinds in order. The letters of the kinds are
 * explained at `GeneratedToml`.
 */
function comments(text: string, kinds: string): string[] {
  return text.match(new RegExp(`#[${kinds}]\\d+`, "g")) ?? [];
}

// deno-lint-ignore no-explicit-any
type File = any;

/** Parses a file with `smol-toml`. Removes an empty table of servers. */
function read(text: string, what: string): File {
  let plain: File;
  try {
    plain = JSON.parse(JSON.stringify(library(text)));
  } catch (error) {
    throw new Error(what, { cause: error });
  }
  if (Object.keys(plain.mcp_servers ?? {}).length === 0) {
    delete plain.mcp_servers;
  }
  return plain;
}

/** Asserts that a text has these lines in this order, perhaps with others. */
function assertHas(
  text: string,
  lines: readonly string[],
  what: string,
): void {
  let at = 0;
  for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
    if (line === lines[at]) at++;
  }
  assertEquals(lines[at], undefined, what);
}

const IS_LAUNCH_FIELD =
  /^(command|args|type|url|http_headers|bearer_token_env_var)$/;

test("TOML edit: in seeded files, everything except the replaced or removed parts stays the same", () => {
  let there = 0;
  for (let seed = 0; seed < 1_000; seed++) {
    const { text, hasEntry, otherLines: lines } = generateToml(seed);
    const what = `seed ${seed}:\n${text}`;
    const file = read(text, what);
    const { us, ...others } = file.mcp_servers ?? {};
    assertEquals(
      findTomlEntry(text, ENTRY_NAME) !== undefined,
      us !== undefined,
      what,
    );

    const put = setTomlEntry(text, ENTRY_NAME, ENTRY);
    const kept = Object.entries(us ?? {})
      .filter(([name]) => !IS_LAUNCH_FIELD.test(name));
    const entry = { ...Object.fromEntries(kept), ...ENTRY };
    const servers = { ...others, us: entry };
    const both = `${what}\n----\n${put}`;
    assertEquals(read(put, both), { ...file, mcp_servers: servers }, both);
    assertEquals(comments(put, "ke"), comments(text, "ke"), both);
    assertEquals(setTomlEntry(put, ENTRY_NAME, ENTRY), put, both);
    const lineBreaks = put.match(/\r?\n/g) ?? [];
    assertEquals(new Set(lineBreaks).size < 2, true, both);

    assertHas(put, lines, both);

    if (us === undefined) {
      assertEquals(removeTomlEntry(put, ENTRY_NAME), text, both);
      continue;
    }
    assert(hasEntry);
    there++;
    for (const from of [text, put]) {
      const gone = removeTomlEntry(from, ENTRY_NAME);
      const both = `${from}\n----\n${gone}`;
      const rest: File = { ...file, mcp_servers: others };
      if (Object.keys(others).length === 0) delete rest.mcp_servers;
      assertEquals(read(gone, both), rest, both);
      assertEquals(comments(gone, "k"), comments(text, "k"), both);
      assertEquals(removeTomlEntry(gone, ENTRY_NAME), gone, both);
      assertHas(gone, lines, both);
    }
  }
  assert(there > 300, `${there} of them have the entry`);
});
