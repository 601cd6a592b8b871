/**
 * Tests how a client's file is written: the disk after a power cut, links,
 * backups, and changes of other programs at the same time.
 *
 * @module
 */

import type { Host } from "../../../lib/runtime/host.ts";
import {
  backUp,
  createSafely,
  overwriteSafely,
} from "../../../lib/runtime/safe_write.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { MemoryDisk, OTHER_UID } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

const FILE = "/h/mcp.json";
const BACKUP = `${FILE}.alwaysup.bak`;
const [BEFORE, AFTER] = ['{"a":"before"}', '{"a":"after"}'];

/** Changes a file as `install` does. Returns the error's message, or "". */
async function changeFile(host: Host, mode = 0o664): Promise<string> {
  try {
    const kept = await backUp(host, FILE, BEFORE, mode);
    await overwriteSafely(host, FILE, BEFORE, AFTER, kept);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** A disk, and an operation that can be run on it. */
interface PreparedRun {
  readonly disk: MemoryDisk;
  readonly run: () => Promise<unknown>;
}

/**
 * Returns the texts that a file can have after a power cut. The power is cut
 * before each step of the operation, and after the last step. `undefined` means
 * that there is no file.
 */
async function leftAfterPowerCuts(
  path: string,
  make: () => PreparedRun,
): Promise<Set<string | undefined>> {
  const whole = make();
  await whole.run();
  const left = new Set<string | undefined>();
  for (const step of whole.disk.operations) {
    const { disk, run } = make();
    disk.beforeOperation.set(
      step,
      () => left.add(disk.nodes.get(path)?.syncedText),
    );
    await run();
  }
  whole.disk.powerOff();
  return left.add(whole.disk.readText(path));
}

function prepareChange(
  plant: (disk: MemoryDisk) => void,
  more: Partial<Host> = {},
): () => PreparedRun {
  return () => {
    const disk = new MemoryDisk();
    plant(disk);
    return { disk, run: () => changeFile(disk.host(more)) };
  };
}

test("Safe write: a power cut leaves the old file or the new one, and the backup", async () => {
  const make = prepareChange((disk) =>
    disk.addFile(FILE, BEFORE, { mode: 0o664 })
  );
  assertEquals(await leftAfterPowerCuts(FILE, make), new Set([BEFORE, AFTER]));
  const { disk, run } = make();
  assertEquals(await run(), "");
  const { mode, owner } = disk.nodes.get(FILE)!;
  assertEquals([mode, owner], [0o664, 1000]);
  assertEquals(
    disk.nodes.get(BACKUP)!.mode,
    0o600,
    "other users cannot read a copy",
  );
  assertEquals(disk.listNames("/h"), ["mcp.json", "mcp.json.alwaysup.bak"]);
});

test("Safe write: a power cut leaves no new file or a complete new file", async () => {
  const make = (): PreparedRun => {
    const disk = new MemoryDisk();
    return { disk, run: () => createSafely(disk.host(), FILE, AFTER) };
  };
  assertEquals(
    await leftAfterPowerCuts(FILE, make),
    new Set([undefined, AFTER]),
  );
});

const throwBusy = (): never => {
  throw new Error("Device or resource busy");
};
const IN_PLACE: [
  what: string,
  plant: (disk: MemoryDisk) => void,
  more?: Partial<Host>,
][] = [
  [
    "is somebody else's",
    (disk) => disk.addFile(FILE, BEFORE, { owner: OTHER_UID, mode: 0o666 }),
  ],
  [
    "is another group's",
    (disk) => disk.addFile(FILE, BEFORE, { group: OTHER_UID }),
  ],
  ["has two names", (disk) => disk.addFile(FILE, BEFORE, { linkCount: 2 })],
  ["is a mount point", (disk) => disk.addFile(FILE, BEFORE), {
    rename: throwBusy,
  }],
];
for (const [what, plant, more = {}] of IN_PLACE) {
  test(`Safe write: a file that ${what} is overwritten, once its backup is on the disk`, async () => {
    const make = prepareChange(plant, more);
    const { disk, run } = make();
    const { id } = (plant(disk), disk.nodes.get(FILE)!);
    assertEquals(await run(), "");
    assertEquals(disk.nodes.get(FILE)!.id, id);
    assertEquals(disk.listNames("/h"), ["mcp.json", "mcp.json.alwaysup.bak"]);
    disk.powerOff();
    assertEquals([disk.readText(FILE), disk.readText(BACKUP)], [AFTER, BEFORE]);
    const other = make();
    let kept: string | undefined;
    other.disk.beforeOperation.set(`write ${FILE}`, () => {
      kept = other.disk.nodes.get(BACKUP)?.syncedText;
    });
    await other.run();
    assertEquals(kept, BEFORE);
  });
}

test("Safe write: overwrites a file whose folder is not writable", async () => {
  const disk = new MemoryDisk();
  disk.addFile(FILE, BEFORE);
  const host = disk.host();
  const createFile: Host["createFile"] = (path, text, mode) => {
    if (path.endsWith(".tmp")) throw new Error("Permission denied");
    return host.createFile(path, text, mode);
  };
  assertEquals(await changeFile({ ...host, createFile }), "");
  assertEquals(disk.readText(FILE), AFTER);
});

test("Safe write: follows a link, even to a missing file, and keeps the link", async () => {
  const disk = new MemoryDisk();
  disk.addFile("/real/mcp.json", BEFORE);
  disk.addLink(FILE, "/real/mcp.json");
  assertEquals(await changeFile(disk.host()), "");
  assertEquals(disk.nodes.get(FILE)!.kind, "link");
  assertEquals(disk.readText("/real/mcp.json"), AFTER);
  const bare = new MemoryDisk();
  bare.addLink(FILE, "/real.json");
  await createSafely(bare.host(), FILE, AFTER);
  assertEquals(bare.nodes.get(FILE)!.kind, "link");
  bare.powerOff();
  assertEquals(bare.readText("/real.json"), AFTER);
});

test("Safe write: a full disk leaves the file unchanged", async () => {
  const disk = new MemoryDisk();
  disk.addFile(FILE, BEFORE);
  const writeFile = (): never => {
    throw new Error("No space left");
  };
  assertEquals(await changeFile(disk.host({ writeFile })), "No space left");
  assertEquals(disk.readText(FILE), BEFORE);
  assertEquals(disk.listNames("/h"), ["mcp.json", "mcp.json.alwaysup.bak"]);
});

test("Safe write: does not replace the text that another program writes meanwhile", async () => {
  const disk = new MemoryDisk();
  disk.addFile(FILE, BEFORE);
  disk.beforeOperation.set(
    `sync ${FILE}.tmp`,
    () => disk.addFile(FILE, "theirs"),
  );
  assertEquals(
    await changeFile(disk.host()),
    "another program has just changed it, and that change was kept: try again",
  );
  assertEquals(disk.readText(FILE), "theirs");
  const bare = new MemoryDisk();
  bare.beforeOperation.set(
    `sync ${FILE}.tmp`,
    () => bare.addFile(FILE, "theirs"),
  );
  const why = await createSafely(bare.host(), FILE, AFTER)
    .catch((error) => error.message);
  assertEquals(why, "another program has just created it");
  assertEquals([bare.readText(FILE), bare.listNames("/h")], ["theirs", [
    "mcp.json",
  ]]);
});

test("Safe write: does not replace the text that another program writes while links are followed", async () => {
  const failing = (disk: MemoryDisk, happens: () => void): Promise<string> => {
    const realPath = (): never => {
      happens();
      throw new Error("ENOENT");
    };
    return changeFile(disk.host({ realPath }));
  };
  const disk = new MemoryDisk();
  disk.addFile(FILE, BEFORE);
  assertEquals(
    await failing(disk, () => disk.addFile(FILE, "theirs")),
    "another program has just changed it, and that change was kept: try again",
  );
  assertEquals(disk.readText(FILE), "theirs");
  disk.addFile(FILE, BEFORE);
  assertEquals(await failing(disk, () => {}), "ENOENT");
  assertEquals(disk.readText(FILE), BEFORE);
});

test("Safe write: two processes may make backups at the same time", async () => {
  const disk = new MemoryDisk();
  const [first, older, newest] = [".bak", ".2.bak", ".3.bak"].map((end) => {
    disk.addFile(`${FILE}.alwaysup${end}`, end);
    return `${FILE}.alwaysup${end}`;
  }) as [string, string, string];
  const { rename } = disk.host();
  let isFirst = true;
  const other = (from: string, to: string): void => {
    if (isFirst) rename(newest, older);
    isFirst = false;
    rename(from, to);
  };
  assertEquals(
    await backUp(disk.host({ rename: other }), FILE, BEFORE, 0o600),
    newest,
  );
  const texts = [first, older, newest].map((path) => disk.readText(path));
  assertEquals(texts, [".bak", ".3.bak", BEFORE]);
  const refused = disk.host({
    rename: () => {
      throw new Error("EACCES");
    },
  });
  const why = await backUp(refused, FILE, AFTER, 0o600)
    .catch((error) => error.message);
  assertEquals([why, disk.readText(newest)], ["EACCES", BEFORE]);
});

test("Safe write: a backup follows no link, and the oldest of three backups is kept", async () => {
  const disk = new MemoryDisk();
  const [second, third] = [".2.bak", ".3.bak"].map((end) =>
    `${FILE}.alwaysup${end}`
  ) as [string, string];
  disk.addFile(FILE, BEFORE);
  disk.addFile("/victim", BEFORE);
  disk.addLink(BACKUP, "/victim");
  disk.addLink(second, "/nothing");
  assertEquals(await backUp(disk.host(), FILE, BEFORE, 0o640), third);
  assertEquals(await backUp(disk.host(), FILE, BEFORE, 0o640), third, "again");
  assertEquals(disk.nodes.get(third)!.mode, 0o600);
  assertEquals(await backUp(disk.host(), FILE, AFTER, 0o640), third);
  assertEquals([disk.readText(second), disk.readText(third)], [BEFORE, AFTER]);
  assertEquals(disk.nodes.get(second)!.kind, "file");
  assertEquals(disk.nodes.get(BACKUP)!.kind, "link");
  assertEquals([disk.readText("/victim"), disk.readText("/nothing")], [
    BEFORE,
    undefined,
  ]);
});

test("Safe write: after a power cut or with a full disk, the earlier backups are kept", async () => {
  const plant = (): MemoryDisk => {
    const disk = new MemoryDisk();
    disk.addFile(FILE, BEFORE);
    for (const end of [".bak", ".2.bak", ".3.bak"]) {
      disk.addFile(`${FILE}.alwaysup${end}`, end);
    }
    return disk;
  };
  for (const end of ["", ".2", ".3"]) {
    const left = await leftAfterPowerCuts(`${FILE}.alwaysup${end}.bak`, () => {
      const disk = plant();
      return { disk, run: () => backUp(disk.host(), FILE, BEFORE, 0o640) };
    });
    // Between the two renames, there is no third backup.
    const texts = { "": [".bak"], ".2": [".2.bak", ".3.bak"] }[end] ??
      [".3.bak", undefined, BEFORE];
    assertEquals([...left].toSorted(), texts.toSorted());
  }
  const full = plant();
  const fsync = (): never => {
    throw new Error("No space left");
  };
  await backUp(full.host({ fsync }), FILE, BEFORE, 0o640).catch(() => {});
  assertEquals(full.listNames("/h").length, 4);
  assertEquals(full.readText(`${FILE}.alwaysup.3.bak`), ".3.bak");
});
