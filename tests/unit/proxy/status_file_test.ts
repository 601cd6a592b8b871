/**
 * Tests when the status file is written and removed, and which other files are
 * removed.
 *
 * @module
 */

import {
  findRunningProxies,
  StatusFile,
  statusFolder,
} from "../../../lib/proxy/status_file.ts";
import {
  parseStatus,
  serializeStatus,
} from "../../../lib/proxy/status_format.ts";
import { UntrustedFileError } from "../../../lib/runtime/own_files.ts";
import {
  assertEquals,
  assertMatch,
  assertThrows,
} from "../../helpers/assert.ts";
import { diskWithOpenFile } from "../../helpers/held_file.ts";
import { MemoryDisk, OTHER_UID, OWN_UID } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { PROXY_INFO, SNAPSHOT, STALE_MS } from "../../helpers/proxy_status.ts";

test("Status file: a failure is reported once, and the file is written 5 s later", () => {
  for (const tries of [1, 3]) {
    const { host, disk } = diskWithOpenFile("windows", tries);
    const statusFile = new StatusFile(
      host,
      "/h/alwaysup/running",
      PROXY_INFO,
      0,
    );
    assertThrows(() => statusFile.update(SNAPSHOT, 200, 0), Error, "EPERM");
    for (let failures = 1; failures < tries; failures++) {
      assertEquals(statusFile.nextWriteAt, 200 + failures * 5_000);
      statusFile.markDirty(statusFile.nextWriteAt - 1);
      statusFile.update(SNAPSHOT, statusFile.nextWriteAt, 0);
    }
    assertEquals(disk.listNames("/h/alwaysup/running"), []);
    statusFile.update(SNAPSHOT, statusFile.nextWriteAt, 0);
    assertEquals(disk.listNames("/h/alwaysup/running"), ["7-rs.json"]);
  }
});

test("Status file: another user's folder is reported even after another failure", () => {
  const { host, disk } = diskWithOpenFile("linux", 1);
  const home = { ...host, getEnv: disk.host().getEnv };
  const folder = statusFolder(home)!;
  const statusFile = new StatusFile(home, folder, PROXY_INFO, 0);
  assertThrows(() => statusFile.update(SNAPSHOT, 200, 0), Error, "EPERM");
  disk.addFolder(folder, { owner: OTHER_UID });
  assertThrows(
    () => statusFile.update(SNAPSHOT, 5_200, 0),
    UntrustedFileError,
    "belongs to another user",
  );
});

test("Status file: written soon, a second after a change, and every 5 s; removed at the end", () => {
  const disk = new MemoryDisk();
  const host = disk.host();
  const folder = statusFolder(host)!;
  const file = `${folder}/7-rs.json`;
  const written = (): number =>
    disk.operations.filter((step) => step === `rename ${file}`).length;
  const statusFile = new StatusFile(host, folder, PROXY_INFO, 1_000);
  assertEquals(statusFile.nextWriteAt, 1_200);
  statusFile.markDirty(1_050);
  assertEquals(statusFile.nextWriteAt, 1_200, "the client comes first");
  statusFile.update(SNAPSHOT, 1_200, 0);
  assertEquals([written(), disk.listNames(folder)], [1, ["7-rs.json"]]);
  assertEquals(parseStatus(disk.readText(file)!)?.pid, 7);
  assertEquals(statusFile.nextWriteAt, 6_200);
  statusFile.markDirty(1_300);
  assertEquals(statusFile.nextWriteAt, 2_200, "once a second");
  statusFile.update({ ...SNAPSHOT }, 2_200, 0);
  assertEquals(
    [written(), statusFile.nextWriteAt],
    [1, 6_200],
    "nothing has changed",
  );
  statusFile.update({ ...SNAPSHOT, pendingRequests: 4 }, 5_000, 0);
  assertEquals([written(), statusFile.nextWriteAt], [2, 10_000]);
  statusFile.update({ ...SNAPSHOT, pendingRequests: 4 }, 10_000, 0);
  assertEquals(written(), 3, "a heartbeat");
  statusFile.remove();
  assertEquals(disk.listNames(folder), []);
});

const STATE = "/h/.local/state/alwaysup";

const RUNNING = `${STATE}/running`;

const STATUS = serializeStatus(PROXY_INFO, SNAPSHOT, 0);

const OLD = { ageMs: STALE_MS };

/**
 * Each file, a function that creates it, whether it is removed, and the warning
 * if there is one.
 */
const FOUND_FILES: [
  what: string,
  name: string,
  plant: (disk: MemoryDisk, path: string) => void,
  end: "goes" | "stays",
  says?: RegExp,
][] = [
  [
    "ours, and old",
    "1-a.json",
    (disk, path) => disk.addFile(path, STATUS, OLD),
    "goes",
  ],
  [
    "ours of some other version, and old",
    "1-a.json",
    (disk, path) => disk.addFile(path, '{"alwaysup":2,"pid":"x"}', OLD),
    "goes",
  ],
  [
    "ours, and emptied by a power cut",
    "1-a.json",
    (disk, path) => disk.addFile(path, "", OLD),
    "goes",
  ],
  [
    "ours, and zeros after a power cut",
    "1-a.json",
    (disk, path) => disk.addFile(path, "\0\0\0", OLD),
    "goes",
  ],
  [
    "of a later format, and new",
    "1-a.json",
    (disk, path) => disk.addFile(path, '{"alwaysup":3}'),
    "stays",
    /1-a\.json is not a status file of this version$/,
  ],
  [
    "ours by its content only",
    "notes.json",
    (disk, path) => disk.addFile(path, STATUS, OLD),
    "stays",
  ],
  [
    "somebody else's, and old",
    "1-a.json",
    (disk, path) => disk.addFile(path, STATUS, { ...OLD, owner: OTHER_UID }),
    "stays",
  ],
  [
    "somebody else's, and new",
    "1-a.json",
    (disk, path) => disk.addFile(path, STATUS, { owner: OTHER_UID }),
    "stays",
    /1-a\.json is ignored: it belongs to another user \(666\)/,
  ],
  [
    "writable by others, and new",
    "1-a.json",
    (disk, path) => disk.addFile(path, STATUS, { mode: 0o666 }),
    "stays",
    /1-a\.json is ignored: other users may write to it/,
  ],
  [
    "a link, and old",
    "1-a.json",
    (disk, path) => {
      disk.addFile("/victim", STATUS, OLD);
      disk.addLink(path, "/victim", OLD);
    },
    "stays",
  ],
  [
    "a folder, and old",
    "1-a.json",
    (disk, path) => disk.addFolder(path, OLD),
    "stays",
  ],
  [
    "left by a proxy that was killed while it wrote",
    "1-a.json.9-b.tmp",
    (disk, path) => disk.addFile(path, "{", OLD),
    "goes",
  ],
  [
    "just being written",
    "1-a.json.9-b.tmp",
    (disk, path) => disk.addFile(path, "{"),
    "stays",
  ],
  [
    "somebody else's, being written",
    "1-a.json.9-b.tmp",
    (disk, path) => disk.addFile(path, "{", { ...OLD, owner: OTHER_UID }),
    "stays",
  ],
  [
    "another program's, being written",
    "book.tmp",
    (disk, path) => disk.addFile(path, "{", OLD),
    "stays",
  ],
];

for (const [what, name, plant, end, says] of FOUND_FILES) {
  test(`Status files: a file that is ${what}: ${end}`, () => {
    const disk = new MemoryDisk();
    const path = `${RUNNING}/${name}`;
    disk.addFile(`${RUNNING}/2-b.json`, STATUS);
    plant(disk, path);
    const { proxies, problems, isComplete } = findRunningProxies(disk.host());
    assertEquals([proxies.length, isComplete], [1, true]);
    assertEquals(problems.length, says === undefined ? 0 : 1, problems.join());
    if (says !== undefined) assertMatch(problems[0]!, says);
    assertEquals(disk.nodes.has(path), end === "stays");
    assertEquals(disk.readText("/victim") ?? STATUS, STATUS);
  });
}

test("Status files: their folder is closed to others", () => {
  const disk = new MemoryDisk();
  disk.addFolder(RUNNING, { mode: 0o755 });
  assertEquals(findRunningProxies(disk.host()).isComplete, true);
  assertEquals(disk.nodes.get(RUNNING)!.mode, 0o700);
  assertEquals(disk.nodes.get(RUNNING)!.owner, OWN_UID);
});
