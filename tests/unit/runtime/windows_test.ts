/**
 * Files that another program holds open on Windows.
 *
 * @module
 */

import { replace } from "../../../lib/runtime/atomic_file.ts";
import { create, overwrite } from "../../../lib/runtime/safe_write.ts";
import { messageOf } from "../../../lib/text/error_message.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { FILE, held } from "../../helpers/held_file.ts";
import { Disk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

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
