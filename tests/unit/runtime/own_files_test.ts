/**
 * Tests where the program's own files are, which cache and status files it
 * trusts, and which files it removes.
 *
 * @module
 */

import { EMPTY_CACHED_RESULTS } from "../../../lib/cache/cache.ts";
import { serializeCache } from "../../../lib/cache/format.ts";
import { cacheKeyOf, readCacheFile } from "../../../lib/proxy/cache_file.ts";
import type { Host } from "../../../lib/runtime/host.ts";
import { stateFolder } from "../../../lib/runtime/own_files.ts";
import {
  findRunningProxies,
  StatusFile,
} from "../../../lib/proxy/status_file.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import {
  cacheWithVersion,
  createCacheWriter,
} from "../../helpers/cache_writer.ts";
import { MemoryDisk, OTHER_UID } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { PROXY_INFO, SNAPSHOT } from "../../helpers/proxy_status.ts";

const STATE_FOLDERS: [
  os: string,
  env: Record<string, string>,
  folder?: string,
][] = [
  ["linux", { HOME: "/h" }, "/h/.local/state/alwaysup"],
  ["linux", { HOME: "/h", XDG_STATE_HOME: "/s" }, "/s/alwaysup"],
  ["linux", { XDG_STATE_HOME: "/s" }, "/s/alwaysup"],
  ["linux", { HOME: "/h", XDG_STATE_HOME: "s" }, "/h/.local/state/alwaysup"],
  ["linux", {}],
  ["freebsd", { HOME: "/h" }, "/h/.local/state/alwaysup"],
  ["darwin", { HOME: "/h" }, "/h/Library/Application Support/alwaysup"],
  ["darwin", { XDG_STATE_HOME: "/s" }],
  ["windows", { LOCALAPPDATA: "D:\\l" }, "D:\\l/alwaysup"],
  ["windows", { USERPROFILE: "C:\\u" }, "C:\\u\\AppData\\Local/alwaysup"],
  ["windows", { HOME: "/h" }],
];
for (const [os, env, folder] of STATE_FOLDERS) {
  test(`State folder: on ${os} with ${JSON.stringify(env)}`, () => {
    const getEnv = (name: string): string | undefined => env[name];
    assertEquals(stateFolder({ os, getEnv } as Host), folder);
  });
}

const CONFIG = {
  ...{ url: "ws://h/", redactedUrl: "ws://h/" },
  ...{ dialect: "mcp" as const, headers: [], helloToken: "" },
};

const OWNER = cacheKeyOf(CONFIG);

const STATE = "/h/.local/state/alwaysup";

const RUNNING = `${STATE}/running`;

const OWN = readCacheFile("on", OWNER, new MemoryDisk().host())!.path;

const NAMED = "/h/c.json";

const GOOD = serializeCache(OWNER, cacheWithVersion("old"));

/** Writes a new version to the cache. Returns the warnings, if any. */
async function writeNew(
  disk: MemoryDisk,
  setting = "on",
  more: Partial<Host> = {},
): Promise<string> {
  const config = { ...CONFIG, cache: setting };
  const { it, warnings } = createCacheWriter(disk, config, more);
  it.save(cacheWithVersion("new"));
  await it.close();
  return warnings.join("\n");
}

/**
 * Reads the cache as a proxy does, and then writes to it. Returns the versions
 * that were read, and the problems; a problem is empty if there is none.
 */
async function readAndWrite(
  disk: MemoryDisk,
  path: string,
  more: Partial<Host> = {},
): Promise<{ trusted: string[]; readProblem: string; failed: string }> {
  const setting = path === OWN ? "on" : path;
  const host = disk.host(more);
  const { results, problem = "" } = readCacheFile(setting, OWNER, host)!;
  return {
    trusted: Object.keys(results.initialize),
    readProblem: problem,
    failed: await writeNew(disk, setting, more),
  };
}

const FILES: [
  what: string,
  plant: (disk: MemoryDisk, path: string) => void,
  says: RegExp | undefined,
][] = [
  ["ours", (disk, path) => disk.addFile(path, GOOD), undefined],
  [
    "ours, and readable by others",
    (disk, path) => disk.addFile(path, GOOD, { mode: 0o644 }),
    undefined,
  ],
  [
    "a link",
    (disk, path) => {
      disk.addFile("/victim", GOOD);
      disk.addLink(path, "/victim");
    },
    /^it is a link, and alwaysup does not follow links here: remove it$/,
  ],
  [
    "a link to nothing",
    (disk, path) => disk.addLink(path, "/victim"),
    /^it is a link, .*: remove it$/,
  ],
  [
    "a folder",
    (disk, path) => disk.addFolder(path),
    /^it is not a regular file: move it$/,
  ],
  [
    "somebody else's",
    (disk, path) => disk.addFile(path, GOOD, { owner: OTHER_UID, mode: 0o600 }),
    /^it belongs to another user \(666\), .*files that belong to you: remove it$/,
  ],
  [
    "writable by its group",
    (disk, path) => disk.addFile(path, GOOD, { mode: 0o660 }),
    /^other users may write to it \(mode 660\), .*: remove it$/,
  ],
  [
    "writable by everybody",
    (disk, path) => disk.addFile(path, GOOD, { mode: 0o602 }),
    /^other users may write to it \(mode 602\), .*: remove it$/,
  ],
];

for (const [what, plant, says] of FILES) {
  for (const path of [OWN, NAMED]) {
    const place = path === OWN ? "at our own path" : "at a named path";
    test(`Cache file: a file that is ${what} (${place}) is ${says ? "not touched" : "used"}`, async () => {
      const disk = new MemoryDisk();
      // Every user can write to the folder of the file.
      disk.addFolder(path.replace(/\/[^/]*$/, ""), { mode: 0o777 });
      plant(disk, path);
      const before = disk.nodes.get(path)!;
      const { trusted, readProblem, failed } = await readAndWrite(disk, path);
      if (says === undefined) {
        assertEquals([trusted, readProblem, failed], [["old"], "", ""]);
        assert(disk.readText(path)!.includes('"new"'));
        return;
      }
      assertEquals(trusted, []);
      assertMatch(readProblem, says);
      assertEquals(failed, `warn: ${readProblem}`);
      assertEquals(disk.nodes.get(path), before);
      assert([GOOD, undefined].includes(disk.readText("/victim")));
      const leftovers = [...disk.nodes.keys()].filter((it) =>
        /\.(tmp|lock)$/.test(it)
      );
      assertEquals(leftovers, []);
    });
  }
}

test("Ownership: other users lose access to our own folder; the folder of a named file is not changed", async () => {
  for (const mode of [0o755, 0o777, 0o750, 0o701]) {
    const disk = new MemoryDisk();
    disk.addFolder(STATE, { mode });
    disk.addFile(OWN, GOOD);
    assertEquals((await readAndWrite(disk, OWN)).trusted, ["old"]);
    assertEquals(disk.nodes.get(STATE)!.mode, 0o700);
    const named = new MemoryDisk();
    named.addFolder("/h", { mode });
    assertEquals((await readAndWrite(named, NAMED)).failed, "");
    assertEquals(named.nodes.get("/h")!.mode, mode);
  }
});

const FOLDERS: [
  what: string,
  plant: (disk: MemoryDisk) => void,
  says: RegExp,
][] = [
  [
    "a link",
    (disk) => {
      disk.addFolder("/theirs");
      disk.addFile(OWN.replace(STATE, "/theirs"), GOOD);
      disk.addFile("/theirs/running/1-a.json", "{}");
      disk.addLink(STATE, "/theirs");
    },
    /alwaysup is a link, .*a folder that belongs to you: remove the link$/,
  ],
  [
    "a link to nothing",
    (disk) => disk.addLink(STATE, "/theirs"),
    /alwaysup is a link, /,
  ],
  [
    "a file",
    (disk) => disk.addFile(STATE, ""),
    /alwaysup is a file, .*: remove it$/,
  ],
  [
    "somebody else's",
    (disk) => {
      disk.addFolder(STATE, { owner: OTHER_UID });
      disk.addFile(OWN, GOOD);
      disk.addFile(`${RUNNING}/1-a.json`, "{}");
    },
    /alwaysup belongs to another user \(666\), .*: remove it$/,
  ],
];

for (const [what, plant, says] of FOLDERS) {
  test(`Ownership: a state folder that is ${what} is used for no cache and no status file, and is not changed`, async () => {
    const disk = new MemoryDisk();
    plant(disk);
    const before = [...disk.nodes.keys()];
    const { trusted, readProblem, failed } = await readAndWrite(disk, OWN);
    assertEquals(trusted, []);
    assertMatch(readProblem, says);
    assertEquals(failed, `warn: ${readProblem}`);
    const statusFile = new StatusFile(disk.host(), RUNNING, PROXY_INFO, 0);
    let why = "";
    try {
      statusFile.update(SNAPSHOT, 200, 0);
    } catch (error) {
      why = (error as Error).message;
    }
    assertEquals(why, readProblem, "both files have the same problem");
    const found = findRunningProxies(disk.host());
    assertEquals(found, {
      proxies: [],
      problems: [readProblem],
      isComplete: false,
    });
    assertEquals([...disk.nodes.keys()], before);
    assertEquals(disk.operations, []);
  });
}

test("Ownership: if the owner of a folder cannot be found out, an error says so", async () => {
  const disk = new MemoryDisk();
  disk.addFile(OWN, GOOD);
  const ownerOfNewFilesIn = (): number => {
    throw new Error("Permission denied");
  };
  const { trusted, readProblem } = await readAndWrite(disk, OWN, {
    ownerOfNewFilesIn,
  });
  assertEquals(trusted, []);
  assertMatch(
    readProblem,
    /^the owner of .* cannot be checked \(Permission denied\): it must/,
  );
});

test("Ownership: on Windows only links are refused, whatever the owner and the permission bits", () => {
  const windows = {
    os: "windows",
    getEnv: (name: string) => name === "LOCALAPPDATA" ? "/h" : undefined,
    ownerOfNewFilesIn: () => undefined,
  };
  const path = readCacheFile("on", OWNER, new MemoryDisk().host(windows))!.path;
  const disk = new MemoryDisk();
  disk.addFolder("/h/alwaysup", { owner: OTHER_UID, mode: 0o777 });
  disk.addFile(path, GOOD, { owner: OTHER_UID, mode: 0o666 });
  const host = disk.host(windows);
  const { results, problem } = readCacheFile("on", OWNER, host)!;
  assertEquals([Object.keys(results.initialize), problem], [
    ["old"],
    undefined,
  ]);
  assertEquals(disk.nodes.get("/h/alwaysup")!.mode, 0o777);
  disk.nodes.delete(path);
  disk.addLink(path, "/victim");
  assertMatch(readCacheFile("on", OWNER, host)!.problem!, /^it is a link/);
});

test("Ownership: a file that is replaced between the check and the read is checked again", () => {
  const disk = new MemoryDisk();
  disk.addFile(OWN, GOOD);
  disk.beforeOperation.set(`read ${OWN}`, () => {
    disk.addFile(OWN, GOOD, { owner: OTHER_UID });
  });
  const { results, problem } = readCacheFile("on", OWNER, disk.host())!;
  assertEquals(results, EMPTY_CACHED_RESULTS);
  assertMatch(problem!, /another user/);
  const shared = new MemoryDisk();
  shared.addFile(OWN, serializeCache(OWNER, cacheWithVersion("older")));
  shared.beforeOperation.set(`read ${OWN}`, () => shared.addFile(OWN, GOOD));
  const again = readCacheFile("on", OWNER, shared.host())!;
  assertEquals(Object.keys(again.results.initialize), ["old"]);
});

test("Cache file: a file that a power cut has emptied counts as missing, and is written again", async () => {
  for (const text of ["", "\0\0"]) {
    for (const path of [OWN, NAMED]) {
      const disk = new MemoryDisk();
      disk.addFile(path, text);
      const found = await readAndWrite(disk, path);
      assertEquals(found, { trusted: [], readProblem: "", failed: "" });
      assert(disk.readText(path)!.includes('"new"'));
    }
  }
});

test("Cache file: if there are many, the oldest of our own files are removed", async () => {
  const disk = new MemoryDisk();
  const nameOf = (n: number): string =>
    OWN.replace(/[0-9a-f]{4}\.json$/, `${n}`.padStart(4, "0") + ".json");
  for (let n = 0; n < 10; n++) {
    disk.addFile(nameOf(n), GOOD, { ageMs: 1_000 * (n + 1) });
  }
  const old = { ageMs: 7_200_000 };
  const foreign: [name: string, text: string, facts: object][] = [
    [nameOf(5001), GOOD, { owner: OTHER_UID }],
    [nameOf(5002).replace(".json", ".bak.json"), GOOD, {}],
    [`${nameOf(5003)}.tmp`, GOOD, {}],
  ];
  for (const [name, text, facts] of foreign) {
    disk.addFile(name, text, { ...old, ...facts });
  }
  disk.addFile(`${nameOf(0)}.9-a.tmp`, "", old);
  disk.addFile(`${nameOf(0)}.9-b.tmp`, "");
  assertEquals(await writeNew(disk), "");
  const left = disk.listNames(STATE).map((name) => `${STATE}/${name}`);
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
      const disk = new MemoryDisk();
      const old = { ageMs: 7_200_000 };
      if (isThere) disk.addFile(path, GOOD);
      const left = ["9-a.tmp", "9-b.tmp", "10-zz.tmp"];
      for (const [i, text] of [GOOD, "", "\0\0"].entries()) {
        disk.addFile(`${path}.${left[i]}`, text, old);
      }
      const kept: [name: string, text: string, facts: object][] = [
        ["9-c.tmp", GOOD, {}],
        ["9-d.tmp", GOOD, { ...old, owner: OTHER_UID }],
        ["9-f.tmp.bak", GOOD, old],
        ["tmp", GOOD, old],
      ];
      for (const [name, text, facts] of kept) {
        disk.addFile(`${path}.${name}`, text, facts);
      }
      disk.addLink(`${path}.9-l.tmp`, `${path}.tmp`, old);
      const { failed } = await readAndWrite(disk, path);
      assertEquals(failed, "");
      const folder = path.slice(0, path.lastIndexOf("/") + 1);
      const names = [...kept.map(([name]) => name), "9-l.tmp"];
      assertEquals(
        disk.listNames(folder),
        [path, ...names.map((name) => `${path}.${name}`)]
          .map((name) => name.slice(folder.length)).sort(),
      );
    }
  });
}

test("Cache file: written even if its folder cannot be listed", async () => {
  for (const path of [OWN, NAMED]) {
    const listFolder = (): never => {
      throw new Error("Permission denied");
    };
    const { failed } = await readAndWrite(new MemoryDisk(), path, {
      listFolder,
    });
    assertEquals(failed, "");
  }
});
