/**
 * Compares the TOML parser with smol-toml.
 *
 * @module
 */

import { parse as library } from "smol-toml";
import { parseTomlFile } from "../../../lib/clients/toml_edit.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { agrees, tryRead } from "../../helpers/smol_toml.ts";
import { randomText } from "../../simulation/scheduler.ts";

const PIECES = [
  ..."a b c . = [ ] [[ ]] { } , # \" ' \\ _ - + : 0 1 x e".split(" "),
  ...[
    "\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\x01",
    "\x7f",
    "\u00e4",
    '"a"',
    "'b'",
    '""',
  ],
  ...[
    "a=1\n",
    "[a]\n",
    "[[a]]\n",
    "[a.b]\n",
    "a.b=1\n",
    "={}",
    "={a=1}",
    "=[1,]",
  ],
  ...[
    "[b.a]\n",
    "[[a.b]]\n",
    "b.a.c=1\n",
    "c={a.b=1,a.c=1}\n",
    "[a.b.c]\n",
    "[b]\n",
  ],
  ...[
    '"""',
    "'''",
    '"\\u00e4\\n"',
    "\\\n",
    "\\\r\n ",
    "\\U0001F600",
    "\\ud800",
    "\\e\\x41",
  ],
  ...["=true", "=false", "=0x1F", "=0b1_0", "=1e5", "=-1.5", "=inf", "=1_0"],
  ...[
    "=1979-05-27",
    "=1979-05-27T07:32:00Z",
    "=07:32:00.5",
    "=1979-05-27 07:32",
  ],
  ...[
    "=12345678901234567890",
    "__proto__",
    "=''",
    "# c\n",
    "T",
    "Z",
    ".5",
    "00",
  ],
];

test("TOML reader: reads and refuses the same seeded texts as smol-toml", () => {
  let count = 0;
  for (let seed = 0; seed < 10_000; seed++) {
    const text = randomText(PIECES, seed);
    if (agrees(text, `seed ${seed}`) === "read") count++;
  }
  assert(count > 300, `${count} of them are TOML`);
});

/**
 * The differences between the two, and why: Codex decides about its own file.
 */
const DIFFERENT: [why: string, text: string, ours: "read" | "refused"][] = [
  [
    "no such day: Codex refuses it, JavaScript's dates go on",
    "a = 1900-02-29",
    "refused",
  ],
  ["no such day", "a = 2025-04-31T00:00:00Z", "refused"],
  ["a leap second: Codex reads it", "a = 23:59:60", "read"],
  [
    "a table that a header below it has made: Codex refuses it",
    "[[a.b.c]]\n[a]\nb.d = 1",
    "refused",
  ],
  [
    "nested as deep as that library reads, and no client writes",
    `a = ${"[".repeat(900)}${"]".repeat(900)}`,
    "refused",
  ],
];

for (const [why, text, ours] of DIFFERENT) {
  test(`TOML reader: differs from smol-toml: ${why}: ${text.slice(0, 30)}`, () => {
    const made = [parseTomlFile, library].map((reader) =>
      tryRead(() => reader(text)).wrong === undefined ? "read" : "refused"
    );
    assertEquals(made, [ours, ours === "read" ? "refused" : "read"]);
  });
}
