/**
 * Tests how the file of `--env-file` is loaded: its settings, and the warnings
 * about lines that have no effect.
 *
 * @module
 */

import { loadConfig } from "../../../lib/config/load.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { hostWith } from "../../helpers/one_file_host.ts";

const FLAGS = ["--env-file", "/h/.env"];

/** Loads a `.env` file. Returns its token, and the warnings or problems. */
async function read(
  text: string,
  env: Record<string, string> = {},
  os: string = "linux",
): Promise<{ token: string | undefined; problems: readonly string[] }> {
  const host = hostWith(text, env, os);
  const { configResult, sources } = await loadConfig(host, FLAGS);
  const problems = configResult.kind === "config"
    ? configResult.warnings
    : configResult.problems;
  return { token: sources.file?.EXAI_WS_TOKEN, problems };
}

/** The text of a file, its token, and a part of each warning. */
const TEXTS: readonly [text: string, token: string, ...problems: string[]][] = [
  ["EXAI_WS_TOKEN=s3cr#t-9 # mine", "s3cr#t-9"],
  ["BASE=s3\nEXAI_WS_TOKEN=${BASE}-1", "s3-1"],
  ["BASE=s3\nEXAI_WS_TOKEN=${OUTER}-1", "outside-1"],
  ["EXAI_WS_TOKEN=`s3cret`", "`s3cret`"],
  ["EXAI_WS_TOKEN=t\ns3cret s3cret\n", "t", "line 2 cannot be parsed and is"],
  ["=s3cret\r\nEXAI_WS_TOKEN=t\r\n\r\na s3cret", "t", "lines 1 and 4 cannot"],
  [`${"=s3cret\n".repeat(5)}EXAI_WS_TOKEN=t`, "t", "lines 1, 2, 3, 4 and 5 ca"],
  [
    `${"=s3cret\n".repeat(5e3)}EXAI_WS_TOKEN=t`,
    "t",
    "lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4990 more cannot be parsed and are",
  ],
  [
    "\nEXAI_WS_TOKEN=t${BASE}",
    "t",
    "there is no value for ${BASE} (line 2), so",
  ],
  [
    "EXAI_WS_TOKEN=t${A}${B_2}",
    "t",
    "value for ${A} (line 1), ${B_2} (line 1), so",
  ],
  // A name with small letters or spaces may be part of a secret.
  ["EXAI_WS_TOKEN=t${s3cret}", "t", "value for a ${...} (line 1), so"],
  ["EXAI_WS_TOKEN=t${A s3cret}", "t", "value for a ${...} (line 1), so"],
  ["=\nEXAI_WS_TOKEN=t${A}", "t", "line 1 cannot", "${A} (line 2)"],
  ["EXAI_WS_TOKEN=t${A:-}${OUTER}${EMPTY:-}", "toutside"],
];

test("Config loader: reads a .env file, and warns once about lines that it cannot parse or expand, without quoting a secret", async () => {
  for (const [text, token, ...parts] of TEXTS) {
    const found = await read(text, { OUTER: "outside" });
    const why = JSON.stringify(text.slice(0, 80));
    assertEquals(found.token, token, why);
    assertEquals(found.problems.length, parts.length, why);
    for (const [i, part] of parts.entries()) {
      const problem = found.problems[i]!;
      assertMatch(
        problem,
        /^--env-file \/h\/\.env: [^.]*(\.\.\.[^.]*)*$/,
        why,
      );
      assert(problem.includes(part), problem);
      assert(problem.length < 250 && !problem.includes("s3cret"), problem);
    }
  }
});

test("Config loader: names unreadable lines of a .env file before the problems that they may cause", async () => {
  for (
    const [text, first, ...names] of [
      ["a b\nALWAYSUP_RETRY=x", "line 1", "ALWAYSUP_RETRY"],
      ["ALWAYSUP_URL=ws://${HOST}:1/", "${HOST}", "ALWAYSUP_URL"],
      [
        "=\nALWAYSUP_RETRY=`safe`\nALWAYSUP_PING_TIMEOUT=${A}x",
        ...["line 1", "${A}", "ALWAYSUP_PING_TIMEOUT", "ALWAYSUP_RETRY"],
      ],
    ] as [string, string, ...string[]][]
  ) {
    const { problems } = await read(text);
    const all = [first, ...names];
    assertEquals(problems.length, all.length, problems.join("\n"));
    for (const [i, part] of all.entries()) assert(problems[i]?.includes(part));
  }
});

test("Config loader: a .env file that is not text or is too large is a problem that names the file", async () => {
  const doubling = "EXAI_WS_TOKEN=xx\n" +
    "EXAI_WS_TOKEN=${EXAI_WS_TOKEN}${EXAI_WS_TOKEN}\n".repeat(40);
  for (
    const [text, why] of [
      ["E\0X\0A\0I\0_\0W\0S\0_\0", /not text in UTF-8/],
      ["EXAI_WS_TOKEN=\0", /not text in UTF-8/],
      [doubling, /16,777,216 characters/],
    ] as const
  ) {
    const { problems } = await read(text);
    assertEquals(problems.length, 1);
    assertMatch(problems[0]!, /^--env-file \/h\/\.env: it cannot be read \(/);
    assertMatch(problems[0]!, why);
  }
});

test("Config loader: a token in UTF-16 without a byte order mark is a problem", async () => {
  for (const dialect of ["mcp", "exai"]) {
    for (const text of ["t\0-\x001\0", "\0t\0-\x001\0\r\0\n"]) {
      const args = ["--token-file", "/h/t", "--dialect", dialect];
      const { configResult } = await loadConfig(
        hostWith(text, {}, "windows"),
        args,
      );
      assert(configResult.kind === "problems");
      const why = "--token-file: it is not text in UTF-8";
      assertEquals(configResult.problems, [why]);
    }
  }
});

test("Config loader: on Windows, the names of environment variables are in capitals, as in Python", async () => {
  for (
    const [text, os, token] of [
      ["EXAI_WS_TOKEN=${PATH}", "windows", "C:\\a"],
      ["EXAI_WS_TOKEN=${Path}", "windows", ""],
      ["Path=b\nEXAI_WS_TOKEN=${Path}", "windows", "b"],
      ["EXAI_WS_TOKEN=${Path}", "linux", "C:\\a"],
      ["EXAI_WS_TOKEN=${PATH}", "darwin", ""],
    ] as const
  ) {
    const found = await read(text, { Path: "C:\\a" }, os);
    assertEquals(found.token, token, `${text} on ${os}`);
  }
});
