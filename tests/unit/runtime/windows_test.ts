/**
 * What is different on Windows: paths, the names of variables, files that others
 * hold open.
 *
 * @module
 */

import { PROXY, SNAPSHOT } from "../../helpers/proxy_status.ts";
import { FILE, held } from "../../helpers/held_file.ts";
import { messageOf } from "../../../lib/text/error_message.ts";
import { readConfig } from "../../../lib/config/config.ts";
import { replace } from "../../../lib/runtime/atomic_file.ts";
import { namesIn } from "../../../lib/runtime/host.ts";
import { create, overwrite } from "../../../lib/runtime/safe_write.ts";
import { isWhole, whole } from "../../../lib/text/paths.ts";
import { Presence } from "../../../lib/proxy/status_file.ts";
import type { Snapshot } from "../../../lib/session/snapshot.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { Disk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

const FOLDERS: Readonly<Record<string, string>> = {
  ".": "C:\\Users\\J\u00fcrgen M",
  "C:.": "C:\\Users\\J\u00fcrgen M",
  "d:.": "D:\\work",
  "E:.": "E:\\",
};

const PATHS: [os: string, given: string, whole: string][] = [
  ["windows", "a.env", "C:\\Users\\J\u00fcrgen M\\a.env"],
  ["windows", ".\\a.env", "C:\\Users\\J\u00fcrgen M\\a.env"],
  ["windows", "./b/a.env", "C:\\Users\\J\u00fcrgen M\\b/a.env"],
  ["windows", "..\\a.env", "C:\\Users\\J\u00fcrgen M\\..\\a.env"],
  // A drive has a current folder of its own.
  ["windows", "C:a.env", "C:\\Users\\J\u00fcrgen M\\a.env"],
  ["windows", "d:a.env", "D:\\work\\a.env"],
  ["windows", "E:a.env", "E:\\a.env"],
  ["windows", "d:", "D:\\work"],
  // A folder without a drive is one of the current drive.
  ["windows", "\\a.env", "C:\\a.env"],
  ["windows", "/b/a.env", "C:/b/a.env"],
  ["windows", "C:\\a.env", "C:\\a.env"],
  ["windows", "c:/a.env", "c:/a.env"],
  ["windows", "\\\\server\\share\\a.env", "\\\\server\\share\\a.env"],
  ["windows", "//server/share/a.env", "//server/share/a.env"],
  ["windows", "\\\\?\\C:\\a.env", "\\\\?\\C:\\a.env"],
  ["windows", "\\\\.\\nul", "\\\\.\\nul"],
  // These are no files, whatever the folder.
  ["windows", "nul", "nul"],
  ["windows", "NUL", "NUL"],
  ["windows", "com1", "com1"],
  ["windows", "null", "C:\\Users\\J\u00fcrgen M\\null"],
  ["linux", "a.env", "/home/j/a.env"],
  ["linux", "./a.env", "/home/j/a.env"],
  ["linux", "/a.env", "/a.env"],
  ["linux", "C:a.env", "/home/j/C:a.env"],
  ["linux", "\\a.env", "/home/j/\\a.env"],
  ["linux", "nul", "/home/j/nul"],
  ["darwin", "C:\\a.env", "/home/j/C:\\a.env"],
];
for (const [os, given, expected] of PATHS) {
  test(`Paths: absolute path on ${os} of ${given}`, () => {
    const folder = (path: string): string =>
      os === "windows" ? FOLDERS[path]! : "/home/j";
    assertEquals(whole(os, given, folder), expected);
    assertEquals(isWhole(os, given), given === expected);
  });
}

test("Paths: absolute path from the root of a share, and from a root", () => {
  const share = (): string => "\\\\server\\share\\folder";
  assertEquals(whole("windows", "\\a", share), "\\\\server\\share\\a");
  assertEquals(whole("windows", "a", () => "C:\\"), "C:\\a");
  assertEquals(whole("linux", "a", () => "/"), "/a");
});

test("Environment: names are in capitals on Windows, and unchanged elsewhere", () => {
  const env = { alwaysup_url: "ws://h/", Glm_Stream_Timeout: "5s", PATH: "x" };
  assertEquals(namesIn("windows", env), {
    ALWAYSUP_URL: "ws://h/",
    GLM_STREAM_TIMEOUT: "5s",
    PATH: "x",
  });
  assertEquals(namesIn("linux", env), env);
  const seen = readConfig(
    { args: [], env: namesIn("windows", env) },
    () => "",
  );
  assertEquals(seen.kind === "config" && seen.config.url, "ws://h/");
});

type Write = (host: ReturnType<Disk["host"]>) => Promise<void>;
const WRITES: [what: string, before: string | undefined, write: Write][] = [
  ["replace", "old", (host) => replace(host, FILE, "new")],
  ["create", undefined, (host) => create(host, FILE, "new", 0o600)],
  ["overwrite", "old", (host) => overwrite(host, FILE, "old", "new", "")],
];
for (const [what, before, write] of WRITES) {
  test(`Windows: ${what} waits until another program closes the file`, async () => {
    const { disk, host } = held("windows", 20);
    if (before !== undefined) disk.put(FILE, before);
    const { id } = disk.nodes.get(FILE) ?? {};
    await write(host);
    assertEquals(disk.text(FILE), "new");
    assertEquals(disk.names("/h"), ["a.json"]);
    assertEquals(disk.nodes.get(FILE)!.id === id, false, "replaced at once");
  });
}

test("Windows: does not replace what another program writes while it holds the file open", async () => {
  for (const tries of [1, 3, Infinity]) {
    const { disk, host } = held("windows", tries, () => {
      disk.put(FILE, "theirs");
    });
    disk.put(FILE, "old");
    const why = await overwrite(host, FILE, "old", "new", "")
      .catch(messageOf);
    assertEquals(
      why,
      "another program has just changed it; that stays, so try again",
    );
    assertEquals(disk.text(FILE), "theirs");
    assertEquals(disk.names("/h"), ["a.json"]);
    const bare = held("windows", tries, () => bare.disk.put(FILE, "theirs"));
    assertEquals(
      await create(bare.host, FILE, "new", 0o600).catch(messageOf),
      "somebody else has just made it",
    );
    assertEquals(bare.disk.text(FILE), "theirs");
    assertEquals(bare.disk.names("/h"), ["a.json"]);
  }
});

test("Windows: a file that is never closed stays as it was, and nothing else is left", async () => {
  for (const os of ["windows", "linux"]) {
    const { disk, host } = held(os, Infinity);
    disk.put(FILE, "old");
    const error = await replace(host, FILE, "new").catch(messageOf);
    assertEquals(error, "EPERM: operation not permitted");
    assertEquals(disk.text(FILE), "old");
    assertEquals(disk.names("/h"), ["a.json"]);
  }
});

test("Status file: on Windows it is written a second later where another program holds it", () => {
  const tried = (os: string, tries: number): Presence => {
    const { host } = held(os, tries);
    const presence = new Presence(host, "/h/alwaysup/running", PROXY, 0);
    presence.show(SNAPSHOT, 200, 0);
    return presence;
  };
  const presence = tried("windows", 1);
  assertEquals(presence.dueAt, 1_200);
  presence.show(SNAPSHOT, 1_200, 0);
  assertEquals(presence.dueAt > 2_200, true, "it is written");
  assertThrows(() => tried("linux", 1), Error, "EPERM");
  const never = tried("windows", Infinity);
  assertThrows(
    () => {
      for (let at = 1_200; at < 60_000; at += 1_000) {
        never.show(SNAPSHOT, at, 0);
      }
    },
    Error,
    "EPERM",
  );
});
