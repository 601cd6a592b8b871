/**
 * Whose cache and whose status files are believed, and which are removed.
 *
 * @module
 */

import { NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import { toText as memoryText } from "../../../lib/cache/format.ts";
import {
  ownerOf,
  readState,
  writeState,
} from "../../../lib/proxy/cache_file.ts";
import { findRunning, Presence } from "../../../lib/proxy/status_file.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { Disk, OTHER } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { PROXY, SNAPSHOT } from "../../helpers/proxy_status.ts";

const OWNER = ownerOf({
  ...{ url: "ws://h/", shownUrl: "ws://h/", dialect: "mcp" },
  ...{ headers: [], helloToken: "" },
});

const STATE = "/h/.local/state/alwaysup";

const RUNNING = `${STATE}/running`;

const OWN = readState("on", OWNER, new Disk().host())!.path;

const NAMED = "/h/c.json";

function knows(...versions: string[]): Remembered {
  const known = versions.map((version) =>
    [version, `{"protocolVersion":"${version}"}`] as const
  );
  return { ...NOTHING, initialize: Object.fromEntries(known) };
}

const GOOD = memoryText(OWNER, knows("old"));

/** What a proxy has read, and what there is after it has kept something. */
async function use(
  disk: Disk,
  path: string,
  more: Parameters<Disk["host"]>[0] = {},
): Promise<{ believed: string[]; trouble: string; failed: string }> {
  const setting = path === OWN ? "on" : path;
  const host = disk.host(more);
  const { remembered, trouble = "" } = readState(setting, OWNER, host)!;
  let failed = "";
  try {
    assertEquals(await writeState(setting, OWNER, knows("new"), host), "kept");
  } catch (error) {
    failed = (error as Error).message;
  }
  return { believed: Object.keys(remembered.initialize), trouble, failed };
}

const FILES: [
  what: string,
  plant: (disk: Disk, path: string) => void,
  says: RegExp | undefined,
][] = [
  ["ours", (disk, path) => disk.put(path, GOOD), undefined],
  [
    "ours, and read by others",
    (disk, path) => disk.put(path, GOOD, { mode: 0o644 }),
    undefined,
  ],
  [
    "a link",
    (disk, path) => {
      disk.put("/victim", GOOD);
      disk.link(path, "/victim");
    },
    /^it is a link, and none is followed here: remove it$/,
  ],
  [
    "a link to nothing",
    (disk, path) => disk.link(path, "/victim"),
    /^it is a link, .*: remove it$/,
  ],
  [
    "a folder",
    (disk, path) => disk.folder(path),
    /^it is no regular file: move it$/,
  ],
  [
    "somebody else's",
    (disk, path) => disk.put(path, GOOD, { owner: OTHER, mode: 0o600 }),
    /^it belongs to another user \(666\), .*yours is believed: remove it$/,
  ],
  [
    "writable by its group",
    (disk, path) => disk.put(path, GOOD, { mode: 0o660 }),
    /^others may write it \(mode 660\), .*: remove it$/,
  ],
  [
    "writable by everybody",
    (disk, path) => disk.put(path, GOOD, { mode: 0o602 }),
    /^others may write it \(mode 602\), .*: remove it$/,
  ],
];

for (const [what, plant, says] of FILES) {
  for (const path of [OWN, NAMED]) {
    const place = path === OWN ? "our own" : "a named one";
    test(`Cache file: one that is ${what} (${place}) is ${says ? "not touched" : "used"}`, async () => {
      const disk = new Disk();
      // What was planted lies where everybody could write.
      disk.folder(path.replace(/\/[^/]*$/, ""), { mode: 0o777 });
      plant(disk, path);
      const before = disk.nodes.get(path)!;
      const { believed, trouble, failed } = await use(disk, path);
      if (says === undefined) {
        assertEquals([believed, trouble, failed], [["old"], "", ""]);
        assert(disk.text(path)!.includes('"new"'));
        return;
      }
      assertEquals(believed, []);
      assertMatch(trouble, says);
      assertEquals(failed, trouble);
      assertEquals(disk.nodes.get(path), before);
      assert([GOOD, undefined].includes(disk.text("/victim")));
      const mess = [...disk.nodes.keys()].filter((it) =>
        /\.(tmp|lock)$/.test(it)
      );
      assertEquals(mess, []);
    });
  }
}

test("Ownership: our own folder is closed to others; the folder of a named file is not changed", async () => {
  for (const mode of [0o755, 0o777, 0o750, 0o701]) {
    const disk = new Disk();
    disk.folder(STATE, { mode });
    disk.put(OWN, GOOD);
    assertEquals((await use(disk, OWN)).believed, ["old"]);
    assertEquals(disk.nodes.get(STATE)!.mode, 0o700);
    const named = new Disk();
    named.folder("/h", { mode });
    assertEquals((await use(named, NAMED)).failed, "");
    assertEquals(named.nodes.get("/h")!.mode, mode);
  }
});

const FOLDERS: [what: string, plant: (disk: Disk) => void, says: RegExp][] = [
  [
    "a link",
    (disk) => {
      disk.folder("/theirs");
      disk.put(OWN.replace(STATE, "/theirs"), GOOD);
      disk.put("/theirs/running/1-a.json", "{}");
      disk.link(STATE, "/theirs");
    },
    /alwaysup is a link, .*a folder of yours alone: remove the link$/,
  ],
  [
    "a link to nothing",
    (disk) => disk.link(STATE, "/theirs"),
    /alwaysup is a link, /,
  ],
  [
    "a file",
    (disk) => disk.put(STATE, ""),
    /alwaysup is a file, .*: remove it$/,
  ],
  [
    "somebody else's",
    (disk) => {
      disk.folder(STATE, { owner: OTHER });
      disk.put(OWN, GOOD);
      disk.put(`${RUNNING}/1-a.json`, "{}");
    },
    /alwaysup belongs to another user \(666\), .*: remove it$/,
  ],
];

for (const [what, plant, says] of FOLDERS) {
  test(`Ownership: a state folder that is ${what} has no cache and no status file, and is not changed`, async () => {
    const disk = new Disk();
    plant(disk);
    const before = [...disk.nodes.keys()];
    const { believed, trouble, failed } = await use(disk, OWN);
    assertEquals(believed, []);
    assertMatch(trouble, says);
    assertEquals(failed, trouble);
    const presence = new Presence(disk.host(), RUNNING, PROXY, 0);
    let why = "";
    try {
      presence.show(SNAPSHOT, 200, 0);
    } catch (error) {
      why = (error as Error).message;
    }
    assertEquals(why, trouble, "one line is enough");
    const found = findRunning(disk.host());
    assertEquals(found, { running: [], troubles: [trouble], isWhole: false });
    assertEquals([...disk.nodes.keys()], before);
    assertEquals(disk.done, []);
  });
}

test("Ownership: an error says where the owner of a folder cannot be found out", async () => {
  const disk = new Disk();
  disk.put(OWN, GOOD);
  const user = (): number => {
    throw new Error("Permission denied");
  };
  const { believed, trouble } = await use(disk, OWN, { user });
  assertEquals(believed, []);
  assertMatch(
    trouble,
    /^nobody can tell whether .*\(Permission denied\): it must/,
  );
});

test("Ownership: on Windows only links are refused, whatever the owner and the permission bits", () => {
  const windows = {
    os: "windows",
    variable: (name: string) => name === "LOCALAPPDATA" ? "/h" : undefined,
    user: () => undefined,
  };
  const path = readState("on", OWNER, new Disk().host(windows))!.path;
  const disk = new Disk();
  disk.folder("/h/alwaysup", { owner: OTHER, mode: 0o777 });
  disk.put(path, GOOD, { owner: OTHER, mode: 0o666 });
  const host = disk.host(windows);
  const { remembered, trouble } = readState("on", OWNER, host)!;
  assertEquals([Object.keys(remembered.initialize), trouble], [
    ["old"],
    undefined,
  ]);
  assertEquals(disk.nodes.get("/h/alwaysup")!.mode, 0o777);
  disk.nodes.delete(path);
  disk.link(path, "/victim");
  assertMatch(readState("on", OWNER, host)!.trouble!, /^it is a link/);
});

test("Ownership: a file that is replaced between check and reading is checked again", () => {
  const disk = new Disk();
  disk.put(OWN, GOOD);
  disk.before.set(`read ${OWN}`, () => {
    disk.put(OWN, GOOD, { owner: OTHER });
  });
  const { remembered, trouble } = readState("on", OWNER, disk.host())!;
  assertEquals(remembered, NOTHING);
  assertMatch(trouble!, /another user/);
  const shared = new Disk();
  shared.put(OWN, memoryText(OWNER, knows("older")));
  shared.before.set(`read ${OWN}`, () => shared.put(OWN, GOOD));
  const again = readState("on", OWNER, shared.host())!;
  assertEquals(Object.keys(again.remembered.initialize), ["old"]);
});

test("Cache file: after a power cut it is the old one or the new one", async () => {
  for (const step of [`sync ${OWN}.tmp`, `rename ${OWN}`]) {
    const disk = new Disk();
    disk.put(OWN, GOOD);
    let left: string | undefined;
    disk.before.set(step, () => left = disk.nodes.get(OWN)!.safe);
    await writeState("on", OWNER, knows("new"), disk.host());
    assertEquals(left, GOOD);
    disk.cut();
    const { remembered } = readState("on", OWNER, disk.host())!;
    assertEquals(Object.keys(remembered.initialize), ["old", "new"]);
  }
});

test("Cache file: when there are many, the oldest of our own are removed", async () => {
  const disk = new Disk();
  const nameOf = (n: number): string =>
    OWN.replace(/[0-9a-f]{4}\.json$/, `${n}`.padStart(4, "0") + ".json");
  for (let n = 0; n < 10; n++) {
    disk.put(nameOf(n), GOOD, { ageMs: 1_000 * (n + 1) });
  }
  const old = { ageMs: 7_200_000 };
  const foreign: [name: string, text: string, facts: object][] = [
    [nameOf(5000), "{}", {}],
    [nameOf(5001), GOOD, { owner: OTHER }],
    [nameOf(5002).replace(".json", ".bak.json"), GOOD, {}],
    [`${nameOf(5003)}.tmp`, GOOD, {}],
  ];
  for (const [name, text, facts] of foreign) {
    disk.put(name, text, { ...old, ...facts });
  }
  disk.put(`${nameOf(0)}.9-a.tmp`, "", old);
  disk.put(`${nameOf(0)}.9-b.tmp`, "");
  await writeState("on", OWNER, knows("new"), disk.host());
  const left = disk.names(STATE).map((name) => `${STATE}/${name}`);
  const kept = [0, 1, 2, 3, 4, 5, 6].map(nameOf);
  assertEquals(
    left,
    [
      ...[OWN, ...kept, `${nameOf(0)}.9-b.tmp`],
      ...foreign.map(([name]) => name),
    ].sort(),
  );
});

for (
  const [what, path] of [["the cache", OWN], ["a named cache", NAMED]] as const
) {
  test(`Cache file: temporary files that killed processes left beside ${what} are removed`, async () => {
    for (const isThere of [true, false]) {
      const disk = new Disk();
      const old = { ageMs: 7_200_000 };
      if (isThere) disk.put(path, GOOD);
      const left = ["9-a.tmp", "9-b.tmp", "10-zz.tmp"];
      for (const [i, text] of [GOOD, "", "\0\0"].entries()) {
        disk.put(`${path}.${left[i]}`, text, old);
      }
      const kept: [name: string, text: string, facts: object][] = [
        ["9-c.tmp", GOOD, {}],
        ["9-d.tmp", GOOD, { ...old, owner: OTHER }],
        ["9-e.tmp", "{}", old],
        ["9-f.tmp.bak", GOOD, old],
        ["tmp", GOOD, old],
      ];
      for (const [name, text, facts] of kept) {
        disk.put(`${path}.${name}`, text, facts);
      }
      disk.link(`${path}.9-l.tmp`, `${path}.tmp`, old);
      const { failed } = await use(disk, path);
      assertEquals(failed, "");
      const folder = path.slice(0, path.lastIndexOf("/") + 1);
      const names = [...kept.map(([name]) => name), "9-l.tmp"];
      assertEquals(
        disk.names(folder),
        [path, ...names.map((name) => `${path}.${name}`)]
          .map((name) => name.slice(folder.length)).sort(),
      );
    }
  });
}

test("Cache file: written also where its folder cannot be listed", async () => {
  for (const path of [OWN, NAMED]) {
    const list = (): never => {
      throw new Error("Permission denied");
    };
    const { failed } = await use(new Disk(), path, { list });
    assertEquals(failed, "");
  }
});
