/**
 * Tests the health file of an exai daemon, and what the log says about it.
 *
 * @module
 */

import {
  describeHealthFile,
  readHealthFile,
} from "../../../lib/proxy/health_file.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("exai health file: missing, unreadable, or as old as it says", () => {
  const read = (text: string): ReturnType<typeof readHealthFile> =>
    readHealthFile({ readFile: () => text }, "/h");
  const missing = {
    readFile: (): never => {
      throw new Error("no such file");
    },
  };
  assertEquals(readHealthFile(missing, "/h"), "missing");
  for (const text of ['{"t": 12', '{"t":"x"}', "5"]) {
    assertEquals(read(text), "unreadable");
  }
  const startedAt = Date.now();
  const found = read('{"t":10.5}');
  assert(typeof found === "object");
  const { ageMs } = found;
  assert(startedAt <= ageMs + 10_500 && ageMs + 10_500 <= Date.now());
  assertEquals(read(`{"t":${startedAt / 1_000 + 60}}`), { ageMs: 0 });
});

const HEALTH: [
  what: string,
  ageMs: number,
  lostMs: number | undefined,
  says: RegExp,
][] = [
  [
    "fresh, and the daemon was never there",
    3_000,
    undefined,
    /fresh \(3\.0 s old\): the daemon ran then.*check EXAI_WS_HOST/,
  ],
  [
    "written before the crash",
    3_000,
    250,
    /from before the connection was lost: it says nothing about now/,
  ],
  [
    "written since the crash",
    3_000,
    60_000,
    /fresh \(3\.0 s old\).*check EXAI_WS_HOST/,
  ],
  [
    "stale",
    130_000,
    250,
    /stale \(130\.0 s old\): the daemon is down, or busy/,
  ],
];

for (const [what, ageMs, lostMs, says] of HEALTH) {
  test(`exai health file: what the log says of one that is ${what}`, () => {
    const text = describeHealthFile({ ageMs }, lostMs);
    assertMatch(text, says);
    assertEquals(/seems to run/.test(text), false);
  });
}
