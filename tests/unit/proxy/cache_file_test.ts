/**
 * Tests the path of the cache file on each system, and what is written to the
 * file.
 *
 * @module
 */

import type { Host } from "../../../lib/runtime/host.ts";
import { EMPTY_CACHED_RESULTS } from "../../../lib/cache/cache.ts";
import { cacheKeyOf, readCacheFile } from "../../../lib/proxy/cache_file.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import {
  cacheWithVersion,
  createCacheWriter,
} from "../../helpers/cache_writer.ts";
import { MemoryDisk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

const PATH = "/h/c.json";

const CONFIG = {
  cache: PATH,
  url: "ws://127.0.0.1:8079/",
  redactedUrl: "ws://127.0.0.1:8079/",
  dialect: "exai",
  headers: [],
  helloToken: "",
} as const;
const OWNER = cacheKeyOf(CONFIG);
const NAME = /^exai-127\.0\.0\.1_8079_-[0-9a-f]{20}-[0-9a-f]{4}\.json$/;

function path(
  os: string,
  env: Record<string, string>,
  setting = "on",
  owner = OWNER,
): string | undefined {
  const host = {
    os,
    getEnv: (name: string) => env[name] || undefined,
    stat: () => undefined,
  } as Partial<Host> as Host;
  return readCacheFile(setting, owner, host)?.path;
}

const PLACES: [os: string, env: Record<string, string>, folder: string][] = [
  ["linux", { HOME: "/home/a" }, "/home/a/.local/state/alwaysup"],
  ["linux", { HOME: "/home/a", XDG_STATE_HOME: "/s" }, "/s/alwaysup"],
  [
    "linux",
    { HOME: "/home/a", XDG_STATE_HOME: "s" },
    "/home/a/.local/state/alwaysup",
  ],
  [
    "darwin",
    { HOME: "/Users/a" },
    "/Users/a/Library/Application Support/alwaysup",
  ],
  ["windows", { LOCALAPPDATA: "C:\\Users\\a" }, "C:\\Users\\a/alwaysup"],
  [
    "windows",
    { LOCALAPPDATA: "D:\\a", USERPROFILE: "C:\\Users\\a" },
    "D:\\a/alwaysup",
  ],
  // Some clients pass on `USERPROFILE`, but not `LOCALAPPDATA`.
  [
    "windows",
    { LOCALAPPDATA: "", USERPROFILE: "C:\\Users\\a" },
    "C:\\Users\\a\\AppData\\Local/alwaysup",
  ],
];
for (const [os, env, folder] of PLACES) {
  test(`Cache file: its path on ${os} with ${JSON.stringify(env)}`, () => {
    const found = path(os, env)!;
    assertEquals(found.slice(0, folder.length + 1), `${folder}/`);
    assert(NAME.test(found.slice(folder.length + 1)), found);
  });
}

test("Cache file: none without a home folder or with off; a path that is set is used unchanged", () => {
  for (const os of ["linux", "darwin", "windows"]) {
    assertEquals(path(os, {}), undefined);
    assertEquals(path(os, {}, "/tmp/c.json"), "/tmp/c.json");
    assertEquals(path(os, { HOME: "/h" }, "off"), undefined);
    assertEquals(path(os, { HOME: "/h" }, "OFF"), undefined);
  }
});

test("Cache file: each daemon, dialect and secret has its own path, however long or odd the URL", () => {
  const owners = [
    OWNER,
    { ...OWNER, dialect: "mcp" },
    { ...OWNER, daemon: "ws://127.0.0.1:8079/a" },
    { ...OWNER, daemon: "ws://127.0.0.1:8079/a?***" },
    { ...OWNER, daemon: `ws://h/${"x".repeat(500)}`, key: "1" },
    { ...OWNER, daemon: `ws://h/${"x".repeat(501)}`, key: "2" },
    { ...OWNER, daemon: "ws://h/../../etc/passwd" },
  ];
  owners.push(
    cacheKeyOf({ ...CONFIG, url: "ws://127.0.0.1:8079/?token=a" }),
    ...["a", "b"].map((helloToken) => cacheKeyOf({ ...CONFIG, helloToken })),
    ...["a", "b"].map((token) =>
      cacheKeyOf({ ...CONFIG, headers: [["Authorization", `Bearer ${token}`]] })
    ),
  );
  const paths = owners.map((owner) =>
    path("linux", { HOME: "/h" }, "on", owner)!
  );
  assertEquals(new Set(paths).size, owners.length);
  for (const found of paths) {
    assert(
      /^\/h\/\.local\/state\/alwaysup\/[\w.-]{10,100}$/.test(found),
      found,
    );
  }
});

function cachedVersions(disk: MemoryDisk, setting: string = PATH): string[] {
  const { results } = readCacheFile(setting, OWNER, disk.host())!;
  return Object.keys(results.initialize).sort();
}

test("Cache writer: eight proxies keep each other's results", () => {
  const disk = new MemoryDisk();
  const all = Array.from({ length: 8 }, () => createCacheWriter(disk, CONFIG));
  for (const [n, { it }] of all.entries()) it.save(cacheWithVersion(`v${n}`));
  assertEquals(cachedVersions(disk), all.map((_, n) => `v${n}`));
  assertEquals(all.flatMap(({ warnings }) => warnings), []);
  assertEquals(disk.listNames("/h"), ["c.json"]);
});

/** Returns a writer whose first `tries` attempts to replace the file fail. */
function writerWithFailures(
  tries: number,
  more: Partial<Host> = {},
): ReturnType<typeof createCacheWriter> & { readonly disk: MemoryDisk } {
  const disk = new MemoryDisk();
  const rename = disk.host().rename;
  const failing: typeof rename = (from, to) => {
    if (tries-- > 0) throw new Error("EPERM");
    rename(from, to);
  };
  return {
    disk,
    ...createCacheWriter(disk, CONFIG, { rename: failing, ...more }),
  };
}

/** Returns a `setTimer` that only collects callbacks, which the test calls. */
function collectTimers(): {
  readonly timers: (() => void)[];
  readonly setTimer: Host["setTimer"];
} {
  const timers: (() => void)[] = [];
  return { timers, setTimer: (_, callback) => void timers.push(callback) };
}

test("Cache writer: of two writes at the same moment none is lost", async () => {
  const disk = new MemoryDisk();
  const { timers, setTimer } = collectTimers();
  const [a, b] = [1, 2].map(() =>
    createCacheWriter(disk, CONFIG, { setTimer })
  );
  const [saveA, saveB] = [a!, b!].map(({ it }, n) => {
    it.save(cacheWithVersion(`v${n}`));
    return timers.pop()!;
  });
  disk.addFolder("/h");
  // A replaces the file after B has read it, and before B replaces it.
  disk.beforeOperation.set(`rename ${PATH}`, saveA!);
  saveB!();
  assertEquals(cachedVersions(disk), ["v1"]);
  for (const check of timers.splice(0)) check();
  assertEquals(cachedVersions(disk), ["v0", "v1"]);
  for (const check of timers.splice(0)) check();
  assertEquals(timers, []);
  // The same happens while both writers close.
  a!.it.save(cacheWithVersion("v2"));
  b!.it.save(cacheWithVersion("v3"));
  timers.splice(0);
  let ofA: Promise<void> | undefined;
  disk.beforeOperation.set(`rename ${PATH}`, () => ofA = a!.it.close());
  const ofB = b!.it.close();
  assertEquals(cachedVersions(disk), ["v0", "v1", "v3"]);
  for (const check of timers.splice(0)) check();
  await Promise.resolve();
  for (const check of timers.splice(0)) check();
  await Promise.all([ofA, ofB]);
  assertEquals(cachedVersions(disk), ["v0", "v1", "v2", "v3"]);
});

test("Cache writer: the same results are written four times at most", () => {
  const disk = new MemoryDisk();
  const { timers, setTimer } = collectTimers();
  const { it } = createCacheWriter(disk, CONFIG, { setTimer });
  it.save(cacheWithVersion("v"));
  for (let run = timers.shift(); run !== undefined; run = timers.shift()) {
    run();
    disk.addFile(PATH, "");
  }
  const writes = disk.operations.filter((it) => it === `rename ${PATH}`);
  assertEquals(writes.length, 4);
});

test("Cache writer: the client does not wait for the file, and results that are saved meanwhile are written in the same write", () => {
  const disk = new MemoryDisk();
  const { timers, setTimer } = collectTimers();
  const { it } = createCacheWriter(disk, CONFIG, { setTimer });
  for (const version of ["v1", "v2"]) {
    it.save(cacheWithVersion("v1"));
    it.save(cacheWithVersion(version));
    assertEquals(timers.length, 1);
    timers.pop()!();
    timers.pop()!(); // This timer starts the check of the write.
  }
  assertEquals(cachedVersions(disk), ["v1", "v2"]);
});

test("Cache writer: reports four failures in a row once, until a write succeeds", () => {
  const { disk, it, warnings } = writerWithFailures(6);
  for (const warned of [[], [], [], ["warn: EPERM"], ["warn: EPERM"]]) {
    it.save(cacheWithVersion("v"));
    assertEquals([warnings, disk.listNames("/h")], [warned, []]);
  }
  it.save(cacheWithVersion("v"));
  it.save(cacheWithVersion("v"));
  assertEquals([warnings, cachedVersions(disk)], [["warn: EPERM"], ["v"]]);
});

test("Cache writer: a file that cannot be read for a moment is not replaced", async () => {
  const disk = new MemoryDisk();
  const config = { ...CONFIG, cache: "on" };
  createCacheWriter(disk, config).it.save(cacheWithVersion("v0"));
  let failures = 3;
  const { it, warnings } = createCacheWriter(disk, config, {
    readIfUnchanged: (path, info) => {
      if (failures-- > 0) throw new Error("EBUSY");
      return disk.host().readIfUnchanged(path, info);
    },
  });
  it.save(cacheWithVersion("v1"));
  await it.close();
  assertEquals([warnings, cachedVersions(disk, "on")], [[], ["v0", "v1"]]);
});

test("Cache writer: a write that fails is tried again soon", () => {
  const { timers, setTimer } = collectTimers();
  const { disk, it, warnings } = writerWithFailures(1, { setTimer });
  it.save(cacheWithVersion("v"));
  timers.shift()!();
  assertEquals(disk.listNames("/h"), []);
  timers.shift()!();
  timers.shift()!();
  assertEquals([cachedVersions(disk), warnings, timers], [["v"], [], []]);
});

test("Cache writer: close writes the results that could not be written before, and nothing else", async () => {
  const { disk, it, warnings } = writerWithFailures(1);
  await it.close();
  it.save(cacheWithVersion("v"));
  await it.close();
  assertEquals([warnings, cachedVersions(disk)], [[], ["v"]]);
  disk.addFile(PATH, "");
  await it.close();
  assertEquals(cachedVersions(disk), []);
  const never = writerWithFailures(Infinity);
  never.it.save(cacheWithVersion("v"));
  await never.it.close();
  assertEquals(never.warnings, ["warn: EPERM"]);
});

/** Returns the text of a cache file in format 1; the current one is 2. */
function olderFile(daemon = OWNER.daemon): string {
  const { key, dialect } = OWNER;
  const initialize = { v0: { protocolVersion: "v0" } };
  const members = { alwaysup: 1, daemon, key, dialect, initialize, lists: {} };
  return `${JSON.stringify(members)}\n`;
}

test("Cache file: one that the user has named, in the older format, is replaced at the next save", () => {
  const disk = new MemoryDisk();
  disk.addFile(PATH, olderFile());
  const file = readCacheFile(PATH, OWNER, disk.host())!;
  assertEquals(file, { path: PATH, results: EMPTY_CACHED_RESULTS });
  const { it, warnings } = createCacheWriter(disk, CONFIG);
  it.save(cacheWithVersion("v"));
  assertEquals([warnings, cachedVersions(disk)], [[], ["v"]]);
  assertEquals(disk.readText(PATH)?.includes('"alwaysup":2'), true);
});

test("Cache file: one that the user has named and that is not ours stays as it is", () => {
  for (
    const text of [
      "{}",
      "[1]",
      "no JSON",
      '{"alwaysup":1,"pid":7}',
      '{"alwaysup":3}',
      olderFile("ws://another/"),
    ]
  ) {
    const disk = new MemoryDisk();
    disk.addFile(PATH, text);
    const { mustBeKept, problem } = readCacheFile(
      PATH,
      OWNER,
      disk.host(),
    )!;
    assertEquals([mustBeKept, problem !== undefined], [true, true], text);
    createCacheWriter(disk, CONFIG).it.save(cacheWithVersion("v"));
    assertEquals(disk.readText(PATH), text);
  }
});
