/**
 * Tests how the changes of an entry are shown without its secrets.
 *
 * @module
 */

import { redactedDiff } from "../../../lib/clients/redacted_diff.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** An entry, and the shown entry. Texts that contain `s3cret` are secrets. */
const SHOWN: [what: string, entry: unknown, shown: unknown][] = [
  [
    "another program's",
    {
      type: "stdio",
      command: "python",
      args: ["shim.py", "--token", "s3cret"],
      env: { T: "s3cret" },
      timeout: 9,
    },
    {
      type: "stdio",
      command: "python",
      args: "(hidden)",
      env: { T: "(hidden)" },
      timeout: "(hidden)",
    },
  ],
  [
    "a remote server's",
    { url: "https://h/s3cret", headers: { A: "s3cret" }, type: "http" },
    { url: "(hidden)", headers: { A: "(hidden)" }, type: "http" },
  ],
  [
    "this program's",
    {
      command: "npx",
      args: [
        ...["-y", "alwaysup", "--url", "ws://u:s3cret@h/a?s3cret"],
        ...["--url=ws://h/?k=s3cret", "--header", "X-Key: s3cret"],
        ...["--header=s3cret", "--token", "s3cret", "--token=s3cret"],
        ...["--token-file", "/run/t", "--retry=safe", "-e", "T=s3cret"],
        ...["--url", "s3cret", 3, "s3cret", "./main.ts", "/opt/main.ts"],
      ],
    },
    {
      command: "npx",
      args: [
        ...["-y", "alwaysup", "--url", "ws://h/a?***"],
        ...["--url=ws://h/?***", "--header", "X-Key"],
        ...["--header=(hidden)", "--token", "(hidden)", "--token=(hidden)"],
        ...["--token-file", "/run/t", "--retry=safe", "-e", "(hidden)"],
        ...["--url", "(hidden)", "(hidden)", "(hidden)"],
        ...["./main.ts", "/opt/main.ts"],
      ],
    },
  ],
  ["a shell's", { command: "T=s3cret x" }, { command: "(hidden)" }],
  [
    "one with a whole command line in one word",
    { command: "/opt/alwaysup --token s3cret", type: "stdio s3cret" },
    { command: "(hidden)", type: "(hidden)" },
  ],
  [
    "one with a whole command line in one of several words",
    {
      command: "alwaysup",
      args: ["~/x --token s3cret/a", "/x s3cret", "C:\\My a\\b.exe", "/a b/c"],
    },
    {
      command: "alwaysup",
      args: ["(hidden)", "(hidden)", "C:\\My a\\b.exe", "/a b/c"],
    },
  ],
  [
    "an older one with a whole command line",
    { command: { path: "/opt/my x/python\ts3cret", env: {} } },
    { command: { path: "(hidden)", env: {} } },
  ],
  [
    "Zed's older one",
    {
      command: {
        path: "p",
        args: ["s3cret"],
        env: { T: "s3cret" },
        x: "s3cret",
      },
    },
    {
      command: {
        path: "p",
        args: "(hidden)",
        env: { T: "(hidden)" },
        x: "(hidden)",
      },
    },
  ],
  [
    "opencode's",
    {
      type: "local",
      command: ["python", "s3cret"],
      environment: { T: "s3cret" },
      enabled: false,
    },
    {
      type: "local",
      command: "(hidden)",
      environment: { T: "(hidden)" },
      enabled: false,
    },
  ],
  [
    "this program's in opencode",
    { command: ["npx", "-y", "alwaysup", "--url", "ws://u:s3cret@h/"] },
    { command: ["npx", "-y", "alwaysup", "--url", "ws://h/"] },
  ],
  [
    "one with odd switches",
    { disabled: "s3cret", enabled: 1 },
    { disabled: "(hidden)", enabled: "(hidden)" },
  ],
];
for (const [what, entry, shown] of SHOWN) {
  test(`Redacted diff: hides possible secrets of an entry: ${what}`, () => {
    const text = redactedDiff("us", entry, undefined, [])
      .map((line) => line.slice(2)).join("\n");
    assertEquals(JSON.parse(`{${text}}`), { us: shown });
  });
}

test("Redacted diff: hides an entry that is not an object", () => {
  assertEquals(redactedDiff("us", "s3cret", undefined, []), [
    '- "us": (hidden)',
  ]);
});

test("Redacted diff: shows the command that starts this program, whatever characters its path has", () => {
  const program = ["/a=b/c d", "/e?/f g"];
  const entry = { command: program[0], args: program.slice(1) };
  const lines = redactedDiff("us", undefined, entry, program);
  assertEquals(lines.join("\n").includes("hidden"), false);
});

test("Redacted diff: shows only the lines that differ", () => {
  const before = { command: "alwaysup", args: ["--retry", "safe"] };
  const after = { command: "alwaysup", args: ["--retry", "never"] };
  const lines = ['-     "safe"', '+     "never"'];
  assertEquals(redactedDiff("us", before, after, []), lines);
  const secret = { ...after, env: { T: "1" } };
  assertEquals(
    redactedDiff("us", secret, { ...after, env: { T: "2" } }, []),
    [],
  );
});
