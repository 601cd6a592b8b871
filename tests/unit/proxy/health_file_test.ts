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

test("exai health file: is missing, unreadable, or has the age that its content shows", () => {
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
    "fresh, and the proxy was never connected",
    3_000,
    undefined,
    /fresh \(3\.0 s old\): the daemon was running then.*check EXAI_WS_HOST/,
  ],
  [
    "written before the crash",
    3_000,
    250,
    /written before the connection was lost, so it does not show whether the daemon is running now/,
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
  test(`exai health file: the log message for a file that is ${what}`, () => {
    const text = describeHealthFile({ ageMs }, lostMs);
    assertMatch(text, says);
    assertEquals(/seems to run/.test(text), false);
  });
}
