/**
 * When the status file is written and removed, and which other files are
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
import {
  assertEquals,
  assertMatch,
  assertThrows,
} from "../../helpers/assert.ts";
import { diskWithOpenFile } from "../../helpers/held_file.ts";
import { MemoryDisk, OTHER_UID, OWN_UID } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { PROXY, SNAPSHOT } from "../../helpers/proxy_status.ts";

test("Status file: on Windows it is written a second later where another program holds it", () => {
  const openWithFailures = (os: string, tries: number): StatusFile => {
    const { host } = diskWithOpenFile(os, tries);
    const statusFile = new StatusFile(host, "/h/alwaysup/running", PROXY, 0);
    statusFile.update(SNAPSHOT, 200, 0);
    return statusFile;
  };
  const statusFile = openWithFailures("windows", 1);
  assertEquals(statusFile.nextWriteAt, 1_200);
  statusFile.update(SNAPSHOT, 1_200, 0);
  assertEquals(statusFile.nextWriteAt > 2_200, true, "it is written");
  assertThrows(() => openWithFailures("linux", 1), Error, "EPERM");
  const never = openWithFailures("windows", Infinity);
  assertThrows(
    () => {
      for (let at = 1_200; at < 60_000; at += 1_000) {
        never.update(SNAPSHOT, at, 0);
      }
    },
    Error,
    "EPERM",
  );
});

test("Status file: written soon, a second after a change, and every 20 s; removed at the end", () => {
  const disk = new MemoryDisk();
  const host = disk.host();
  const folder = statusFolder(host)!;
  const file = `${folder}/7-rs.json`;
  const written = (): number =>
    disk.operations.filter((step) => step === `rename ${file}`).length;
  const statusFile = new StatusFile(host, folder, PROXY, 1_000);
  assertEquals(statusFile.nextWriteAt, 1_200);
  statusFile.markDirty(1_050);
  assertEquals(statusFile.nextWriteAt, 1_200, "the client comes first");
  statusFile.update(SNAPSHOT, 1_200, 0);
  assertEquals([written(), disk.listNames(folder)], [1, ["7-rs.json"]]);
  assertEquals(parseStatus(disk.readText(file)!)?.sign, "heartbeat");
  assertEquals(statusFile.nextWriteAt, 21_200);
  statusFile.markDirty(1_300);
  assertEquals(statusFile.nextWriteAt, 2_200, "once a second");
  statusFile.update({ ...SNAPSHOT }, 2_200, 0);
  assertEquals(
    [written(), statusFile.nextWriteAt],
    [1, 21_200],
    "nothing has changed",
  );
  statusFile.update({ ...SNAPSHOT, owed: 4 }, 5_000, 0);
  assertEquals([written(), statusFile.nextWriteAt], [2, 25_000]);
  statusFile.update({ ...SNAPSHOT, owed: 4 }, 25_000, 0);
  assertEquals(written(), 3, "a heartbeat");
  statusFile.remove();
  assertEquals(disk.listNames(folder), []);
});

const STATE = "/h/.local/state/alwaysup";

const RUNNING = `${STATE}/running`;

const HEARTBEAT = serializeStatus({ ...PROXY, sign: "heartbeat" }, SNAPSHOT, 0);

const LOCKING = serializeStatus({ ...PROXY, sign: "lock" }, SNAPSHOT, 0);

const OLD = { ageMs: 61_000 };

/** Each file, whether it is removed, and the warning. */
const LEFT: [
  what: string,
  name: string,
  plant: (disk: MemoryDisk, path: string) => void,
  end: "goes" | "stays",
  says?: RegExp,
][] = [
  [
    "ours, and old",
    "1-a.json",
    (disk, path) => disk.addFile(path, HEARTBEAT, OLD),
    "goes",
  ],
  [
    "ours of some other version, and old",
    "1-a.json",
    (disk, path) => disk.addFile(path, '{"alwaysup":1,"pid":"x"}', OLD),
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
    "ours, and its lock is free",
    "1-a.json",
    (disk, path) => disk.addFile(path, LOCKING),
    "goes",
  ],
  [
    "JSON of another program's",
    "1-a.json",
    (disk, path) => disk.addFile(path, '{"mine":1}', OLD),
    "stays",
  ],
  [
    "of a later format",
    "1-a.json",
    (disk, path) => disk.addFile(path, '{"alwaysup":2}', OLD),
    "stays",
  ],
  [
    "of a later format, and new",
    "1-a.json",
    (disk, path) => disk.addFile(path, '{"alwaysup":2}'),
    "stays",
    /1-a\.json is not a status file of this version$/,
  ],
  [
    "ours by its content only",
    "notes.json",
    (disk, path) => disk.addFile(path, HEARTBEAT, OLD),
    "stays",
  ],
  [
    "somebody else's, and old",
    "1-a.json",
    (disk, path) => disk.addFile(path, HEARTBEAT, { ...OLD, owner: OTHER_UID }),
    "stays",
  ],
  [
    "somebody else's, and new",
    "1-a.json",
    (disk, path) => disk.addFile(path, HEARTBEAT, { owner: OTHER_UID }),
    "stays",
    /1-a\.json is not believed: it belongs to another user \(666\)/,
  ],
  [
    "writable by others, and new",
    "1-a.json",
    (disk, path) => disk.addFile(path, HEARTBEAT, { mode: 0o666 }),
    "stays",
    /1-a\.json is not believed: others may write it/,
  ],
  [
    "a link, and old",
    "1-a.json",
    (disk, path) => {
      disk.addFile("/victim", HEARTBEAT, OLD);
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
    "an abandoned lock",
    "1-a.lock",
    (disk, path) => disk.addFile(path, "", OLD),
    "goes",
  ],
  [
    "a lock that is no lock of ours",
    "1-a.lock",
    (disk, path) => disk.addFile(path, "text", OLD),
    "stays",
  ],
  [
    "somebody else's lock",
    "1-a.lock",
    (disk, path) => disk.addFile(path, "", { ...OLD, owner: OTHER_UID }),
    "stays",
  ],
  [
    "another program's lock",
    "yarn.lock",
    (disk, path) => disk.addFile(path, "", OLD),
    "stays",
  ],
  [
    "left by who was killed while it wrote",
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

for (const [what, name, plant, end, says] of LEFT) {
  test(`Status files: one that is ${what} ${end}`, () => {
    const disk = new MemoryDisk();
    const path = `${RUNNING}/${name}`;
    disk.addFile(`${RUNNING}/2-b.json`, HEARTBEAT);
    plant(disk, path);
    const host = disk.host({ isLocked: () => false });
    const { proxies, problems, isComplete } = findRunningProxies(host);
    assertEquals([proxies.length, isComplete], [1, true]);
    assertEquals(problems.length, says === undefined ? 0 : 1, problems.join());
    if (says !== undefined) assertMatch(problems[0]!, says);
    assertEquals(disk.nodes.has(path), end === "stays");
    assertEquals(disk.readText("/victim") ?? HEARTBEAT, HEARTBEAT);
  });
}

test("Status files: their folder is closed to others", () => {
  const disk = new MemoryDisk();
  disk.addFolder(RUNNING, { mode: 0o755 });
  assertEquals(findRunningProxies(disk.host()).isComplete, true);
  assertEquals(disk.nodes.get(RUNNING)!.mode, 0o700);
  assertEquals(disk.nodes.get(RUNNING)!.owner, OWN_UID);
});
