/**
 * Tests writes to files that another program holds open on Windows.
 *
 * @module
 */

import { writeAtomic } from "../../../lib/runtime/own_files.ts";
import {
  createSafely,
  overwriteSafely,
} from "../../../lib/runtime/safe_write.ts";
import { errorMessageOf } from "../../../lib/text/error_message.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { diskWithOpenFile, FILE } from "../../helpers/held_file.ts";
import { MemoryDisk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

type Write = (host: ReturnType<MemoryDisk["host"]>) => Promise<void>;

const WRITES: [what: string, before: string | undefined, write: Write][] = [
  ["create", undefined, (host) => createSafely(host, FILE, "new")],
  ["overwrite", "old", (host) => overwriteSafely(host, FILE, "old", "new", "")],
];

for (const [what, before, write] of WRITES) {
  test(`Windows: ${what} waits until another program closes the file`, async () => {
    const { disk, host } = diskWithOpenFile("windows", 20);
    if (before !== undefined) disk.addFile(FILE, before);
    const { id } = disk.nodes.get(FILE) ?? {};
    await write(host);
    assertEquals(disk.readText(FILE), "new");
    assertEquals(disk.listNames("/h"), ["a.json"]);
    assertEquals(
      disk.nodes.get(FILE)!.id === id,
      false,
      "replaced in one step",
    );
  });
}

test("Windows: does not replace the text that another program writes while it holds the file open", async () => {
  for (const tries of [1, 3, Infinity]) {
    const { disk, host } = diskWithOpenFile("windows", tries, () => {
      disk.addFile(FILE, "theirs");
    });
    disk.addFile(FILE, "old");
    const why = await overwriteSafely(host, FILE, "old", "new", "")
      .catch(errorMessageOf);
    assertEquals(
      why,
      "another program has just changed it, and that change was kept: try again",
    );
    assertEquals(disk.readText(FILE), "theirs");
    assertEquals(disk.listNames("/h"), ["a.json"]);
    const bare = diskWithOpenFile(
      "windows",
      tries,
      () => bare.disk.addFile(FILE, "theirs"),
    );
    assertEquals(
      await createSafely(bare.host, FILE, "new").catch(errorMessageOf),
      "another program has just created it",
    );
    assertEquals(bare.disk.readText(FILE), "theirs");
    assertEquals(bare.disk.listNames("/h"), ["a.json"]);
  }
});

test("Windows: a file that is held open stays unchanged, and no temporary file is left", () => {
  for (const os of ["windows", "linux"]) {
    const { disk, host } = diskWithOpenFile(os, Infinity);
    disk.addFile(FILE, "old");
    assertThrows(
      () => writeAtomic(host, FILE, "new"),
      Error,
      "EPERM: operation not permitted",
    );
    assertEquals(disk.readText(FILE), "old");
    assertEquals(disk.listNames("/h"), ["a.json"]);
  }
});
