/**
 * How a client's file is written: what a power cut leaves, and what stays of it.
 *
 * @module
 */

import type { Host } from "../../../lib/runtime/host.ts";
import { create, keep, overwrite } from "../../../lib/runtime/safe_write.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { Disk, OTHER } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

const FILE = "/h/mcp.json";
const BACKUP = `${FILE}.alwaysup.bak`;
const [BEFORE, AFTER] = ['{"a":"before"}', '{"a":"after"}'];

/** Changes a file as `install` does; what it throws is given. */
async function change(host: Host, mode = 0o664): Promise<string> {
  try {
    const kept = await keep(host, FILE, BEFORE, mode);
    await overwrite(host, FILE, BEFORE, AFTER, kept);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** A disk, and what is done to it. */
interface Run {
  readonly disk: Disk;
  readonly run: () => Promise<unknown>;
}

/** What a power cut before each step of a run leaves of a file. */
async function leftOf(
  path: string,
  make: () => Run,
): Promise<Set<string | undefined>> {
  const whole = make();
  await whole.run();
  const left = new Set<string | undefined>();
  for (const step of whole.disk.done) {
    const { disk, run } = make();
    disk.before.set(step, () => left.add(disk.nodes.get(path)?.safe));
    await run();
  }
  whole.disk.cut();
  return left.add(whole.disk.text(path));
}

function changed(
  plant: (disk: Disk) => void,
  more: Partial<Host> = {},
): () => Run {
  return () => {
    const disk = new Disk();
    plant(disk);
    return { disk, run: () => change(disk.host(more)) };
  };
}

test("Safe write: a power cut leaves the old file or the new one, and the backup", async () => {
  const make = changed((disk) => disk.put(FILE, BEFORE, { mode: 0o664 }));
  assertEquals(await leftOf(FILE, make), new Set([BEFORE, AFTER]));
  const { disk, run } = make();
  assertEquals(await run(), "");
  const { mode, owner } = disk.nodes.get(FILE)!;
  assertEquals([mode, owner], [0o664, 1000]);
  assertEquals(disk.nodes.get(BACKUP)!.mode, 0o600, "others read no copy");
  assertEquals(disk.names("/h"), ["mcp.json", "mcp.json.alwaysup.bak"]);
});

test("Safe write: a power cut leaves no new file, or a whole one", async () => {
  const make = (): Run => {
    const disk = new Disk();
    return { disk, run: () => create(disk.host(), FILE, AFTER, 0o600) };
  };
  assertEquals(await leftOf(FILE, make), new Set([undefined, AFTER]));
});

const busy = (): never => {
  throw new Error("Device or resource busy");
};
const IN_PLACE: [
  what: string,
  plant: (disk: Disk) => void,
  more?: Partial<Host>,
][] = [
  [
    "is somebody else's",
    (disk) => disk.put(FILE, BEFORE, { owner: OTHER, mode: 0o666 }),
  ],
  ["is another group's", (disk) => disk.put(FILE, BEFORE, { group: OTHER })],
  ["has two names", (disk) => disk.put(FILE, BEFORE, { names: 2 })],
  ["is mounted there by itself", (disk) => disk.put(FILE, BEFORE), {
    rename: busy,
  }],
];
for (const [what, plant, more = {}] of IN_PLACE) {
  test(`Safe write: a file that ${what} is overwritten, once its backup is on the disk`, async () => {
    const make = changed(plant, more);
    const { disk, run } = make();
    const { id } = (plant(disk), disk.nodes.get(FILE)!);
    assertEquals(await run(), "");
    assertEquals(disk.nodes.get(FILE)!.id, id);
    assertEquals(disk.names("/h"), ["mcp.json", "mcp.json.alwaysup.bak"]);
    disk.cut();
    assertEquals([disk.text(FILE), disk.text(BACKUP)], [AFTER, BEFORE]);
    const other = make();
    let kept: string | undefined;
    other.disk.before.set(`write ${FILE}`, () => {
      kept = other.disk.nodes.get(BACKUP)?.safe;
    });
    await other.run();
    assertEquals(kept, BEFORE);
  });
}

test("Safe write: overwrites a file whose folder is not writable", async () => {
  const disk = new Disk();
  disk.put(FILE, BEFORE);
  const host = disk.host();
  const makeFile: Host["makeFile"] = (path, text, mode) => {
    if (path.endsWith(".tmp")) throw new Error("Permission denied");
    return host.makeFile(path, text, mode);
  };
  assertEquals(await change({ ...host, makeFile }), "");
  assertEquals(disk.text(FILE), AFTER);
});

test("Safe write: follows a link, also one to a missing file, and keeps it", async () => {
  const disk = new Disk();
  disk.put("/real/mcp.json", BEFORE);
  disk.link(FILE, "/real/mcp.json");
  assertEquals(await change(disk.host()), "");
  assertEquals(disk.nodes.get(FILE)!.kind, "link");
  assertEquals(disk.text("/real/mcp.json"), AFTER);
  const bare = new Disk();
  bare.link(FILE, "/real.json");
  await create(bare.host(), FILE, AFTER, 0o600);
  assertEquals(bare.nodes.get(FILE)!.kind, "link");
  bare.cut();
  assertEquals(bare.text("/real.json"), AFTER);
});

test("Safe write: a full disk leaves the file unchanged", async () => {
  const disk = new Disk();
  disk.put(FILE, BEFORE);
  const writeFile = (): never => {
    throw new Error("No space left");
  };
  assertEquals(await change(disk.host({ writeFile })), "No space left");
  assertEquals(disk.text(FILE), BEFORE);
  assertEquals(disk.names("/h"), ["mcp.json", "mcp.json.alwaysup.bak"]);
});

test("Safe write: does not replace what another program writes meanwhile", async () => {
  const disk = new Disk();
  disk.put(FILE, BEFORE);
  disk.before.set(`sync ${FILE}.tmp`, () => disk.put(FILE, "theirs"));
  assertEquals(
    await change(disk.host()),
    "another program has just changed it; that stays, so try again",
  );
  assertEquals(disk.text(FILE), "theirs");
  const bare = new Disk();
  bare.before.set(`sync ${FILE}.tmp`, () => bare.put(FILE, "theirs"));
  const why = await create(bare.host(), FILE, AFTER, 0o600)
    .catch((error) => error.message);
  assertEquals(why, "somebody else has just made it");
  assertEquals([bare.text(FILE), bare.names("/h")], ["theirs", ["mcp.json"]]);
});

test("Safe write: does not replace what another program writes while links are followed", async () => {
  const failing = (disk: Disk, happens: () => void): Promise<string> => {
    const realPath = (): never => {
      happens();
      throw new Error("ENOENT");
    };
    return change(disk.host({ realPath }));
  };
  const disk = new Disk();
  disk.put(FILE, BEFORE);
  assertEquals(
    await failing(disk, () => disk.put(FILE, "theirs")),
    "another program has just changed it; that stays, so try again",
  );
  assertEquals(disk.text(FILE), "theirs");
  disk.put(FILE, BEFORE);
  assertEquals(await failing(disk, () => {}), "ENOENT");
  assertEquals(disk.text(FILE), BEFORE);
});

test("Safe write: two processes may make backups at the same time", async () => {
  const disk = new Disk();
  const [first, older, newest] = [".bak", ".2.bak", ".3.bak"].map((end) => {
    disk.put(`${FILE}.alwaysup${end}`, end);
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
    await keep(disk.host({ rename: other }), FILE, BEFORE, 0o600),
    newest,
  );
  const texts = [first, older, newest].map((path) => disk.text(path));
  assertEquals(texts, [".bak", ".3.bak", BEFORE]);
  const refused = disk.host({
    rename: () => {
      throw new Error("EACCES");
    },
  });
  const why = await keep(refused, FILE, AFTER, 0o600)
    .catch((error) => error.message);
  assertEquals([why, disk.text(newest)], ["EACCES", BEFORE]);
});

test("Safe write: a backup follows no link, and the oldest of three stays", async () => {
  const disk = new Disk();
  const [second, third] = [".2.bak", ".3.bak"].map((end) =>
    `${FILE}.alwaysup${end}`
  ) as [string, string];
  disk.put(FILE, BEFORE);
  disk.put("/victim", BEFORE);
  disk.link(BACKUP, "/victim");
  disk.link(second, "/nothing");
  assertEquals(await keep(disk.host(), FILE, BEFORE, 0o640), third);
  assertEquals(await keep(disk.host(), FILE, BEFORE, 0o640), third, "again");
  assertEquals(disk.nodes.get(third)!.mode, 0o600);
  assertEquals(await keep(disk.host(), FILE, AFTER, 0o640), third);
  assertEquals([disk.text(second), disk.text(third)], [BEFORE, AFTER]);
  assertEquals(disk.nodes.get(second)!.kind, "file");
  assertEquals(disk.nodes.get(BACKUP)!.kind, "link");
  assertEquals([disk.text("/victim"), disk.text("/nothing")], [
    BEFORE,
    undefined,
  ]);
});

test("Safe write: a power cut or a full disk leaves the earlier backups", async () => {
  const plant = (): Disk => {
    const disk = new Disk();
    disk.put(FILE, BEFORE);
    for (const end of [".bak", ".2.bak", ".3.bak"]) {
      disk.put(`${FILE}.alwaysup${end}`, end);
    }
    return disk;
  };
  for (const end of ["", ".2", ".3"]) {
    const left = await leftOf(`${FILE}.alwaysup${end}.bak`, () => {
      const disk = plant();
      return { disk, run: () => keep(disk.host(), FILE, BEFORE, 0o640) };
    });
    // Between the two renames the third name is free.
    const texts = { "": [".bak"], ".2": [".2.bak", ".3.bak"] }[end] ??
      [".3.bak", undefined, BEFORE];
    assertEquals([...left].toSorted(), texts.toSorted());
  }
  const full = plant();
  const sync = (): never => {
    throw new Error("No space left");
  };
  await keep(full.host({ sync }), FILE, BEFORE, 0o640).catch(() => {});
  assertEquals(full.names("/h").length, 4);
  assertEquals(full.text(`${FILE}.alwaysup.3.bak`), ".3.bak");
});
