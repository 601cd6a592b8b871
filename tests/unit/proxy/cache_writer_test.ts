/**
 * Several proxies write what they have learned to one cache, at once.
 *
 * @module
 */

import { CacheWriter } from "../../../lib/proxy/cache_writer.ts";
import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
} from "../../../lib/cache/cache.ts";
import {
  cacheKeyOf,
  lockPathOf,
  readCacheFile,
  writeCacheFile,
} from "../../../lib/proxy/cache_file.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { MemoryDisk, OTHER_UID } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

const OWNER = cacheKeyOf({
  ...{ url: "ws://h/", redactedUrl: "ws://h/", dialect: "mcp" },
  ...{ headers: [], helloToken: "" },
});
const PATH = "/h/c.json";
const LOCK = lockPathOf(PATH);

function cacheWithVersion(version: string): CachedResults {
  const result = `{"protocolVersion":"${version}"}`;
  return { ...EMPTY_CACHED_RESULTS, initialize: { [version]: result } };
}

/** The versions in the cache. */
function cachedVersions(disk: MemoryDisk): string[] {
  const { results } = readCacheFile(PATH, OWNER, disk.host())!;
  return Object.keys(results.initialize).sort();
}

/** A proxy's cache writer, and its warnings. */
function startWriter(
  disk: MemoryDisk,
  more: Parameters<MemoryDisk["host"]>[0] = {},
): { it: CacheWriter; warnings: string[] } {
  const warnings: string[] = [];
  const complain = (why: string): number => warnings.push(why);
  return {
    it: new CacheWriter(PATH, OWNER, disk.host(more), complain),
    warnings,
  };
}

test("Cache writer: eight proxies at once lose nothing of each other's results", async () => {
  const disk = new MemoryDisk();
  const all = Array.from({ length: 8 }, () => startWriter(disk));
  for (const [n, { it }] of all.entries()) it.save(cacheWithVersion(`v${n}`));
  await Promise.all(all.map(({ it }) => it.flush(1_000)));
  assertEquals(cachedVersions(disk), all.map((_, n) => `v${n}`));
  assertEquals(all.flatMap(({ warnings }) => warnings), []);
  assertEquals(disk.listNames("/h"), ["c.json"]);
});

test("Cache writer: while the lock is taken, only the newest results wait", async () => {
  const disk = new MemoryDisk();
  disk.addFile(LOCK, "");
  let pauses = 0;
  const { it, warnings } = startWriter(disk, {
    setTimer: (_, callback) => {
      if (++pauses === 3) disk.nodes.delete(LOCK);
      if (pauses === 2) {
        it.save({ ...EMPTY_CACHED_RESULTS, ...cacheWithVersion("late") });
      }
      queueMicrotask(callback);
    },
  });
  it.save(cacheWithVersion("early"));
  await it.flush(1_000);
  assertEquals([cachedVersions(disk), warnings], [["late"], []]);
  assertEquals(disk.listNames("/h"), ["c.json"]);
});

test("Cache writer: takes over a lock that is older than 3 s, and no other", async () => {
  for (const ageMs of [-60_000, 2_000, 4_000]) {
    const disk = new MemoryDisk();
    disk.addFile(LOCK, "", { ageMs });
    const end = await writeCacheFile(
      PATH,
      OWNER,
      cacheWithVersion("v"),
      disk.host(),
    );
    assertEquals(end, Math.abs(ageMs) > 3_000 ? "done" : "locked", `${ageMs}`);
    assertEquals(disk.listNames("/h"), [
      end === "done" ? "c.json" : "c.json.lock",
    ]);
  }
});

const FOREIGN: [what: string, plant: (disk: MemoryDisk) => void][] = [
  ["has a text", (disk) => disk.addFile(LOCK, "mine", { ageMs: 60_000 })],
  [
    "is somebody else's",
    (disk) => disk.addFile(LOCK, "", { owner: OTHER_UID, ageMs: 60_000 }),
  ],
  ["is a link", (disk) => disk.addLink(LOCK, "/victim", { ageMs: 60_000 })],
];
for (const [what, plant] of FOREIGN) {
  test(`Cache writer: does not touch a file in the place of the lock that ${what}, and names it once`, async () => {
    const disk = new MemoryDisk();
    plant(disk);
    const { it, warnings } = startWriter(disk);
    it.save(cacheWithVersion("v"));
    it.save(cacheWithVersion("v"));
    await it.flush(1_000);
    assertEquals(warnings, [`${LOCK} is no lock of ours: remove it`]);
    assertEquals(disk.listNames("/h"), ["c.json.lock"]);
    assertEquals(disk.readText("/victim"), undefined);
  });
}

test("Cache writer: at the end writes without the lock rather than wait for long", async () => {
  const disk = new MemoryDisk();
  disk.addFile(LOCK, "");
  const { it, warnings } = startWriter(disk, {
    setTimer: (_, callback) => void setTimeout(callback, 1),
  });
  it.save(cacheWithVersion("v"));
  await it.flush(1_800);
  assertEquals([cachedVersions(disk), warnings], [["v"], []]);
  assertEquals(disk.listNames("/h"), ["c.json", "c.json.lock"]);
});

test("Cache writer: reports what is lost where there is no time at the end", async () => {
  const disk = new MemoryDisk();
  disk.addFile(LOCK, "");
  const { it, warnings } = startWriter(disk, { setTimer: () => {} });
  it.save(cacheWithVersion("v"));
  await it.flush(0);
  assertEquals(warnings.length, 1);
  assertEquals(disk.listNames("/h"), ["c.json.lock"]);
});

test("Cache writer: reports a failed write once, until a write succeeds", async () => {
  const disk = new MemoryDisk();
  let isFull = true;
  const host = disk.host();
  const { it, warnings } = startWriter(disk, {
    createFile: (path, text, mode) => {
      if (isFull && path.endsWith(".tmp")) throw new Error("No space left");
      return host.createFile(path, text, mode);
    },
  });
  const settled = async (): Promise<void> => {
    it.save(cacheWithVersion("v"));
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  await settled();
  await settled();
  assertEquals(warnings, ["No space left"]);
  isFull = false;
  await settled();
  isFull = true;
  await settled();
  await it.flush(1_000);
  assertEquals(warnings, ["No space left", "No space left"]);
  assertEquals(cachedVersions(disk), ["v"]);
});

/**
 * A cache whose lock, or file, cannot be created for so many tries. The pauses
 * are no longer than a microtask.
 */
function cacheWithFailures(
  os: string,
  end: string,
  tries: number,
): ReturnType<typeof startWriter> & { readonly disk: MemoryDisk } {
  const disk = new MemoryDisk();
  const host = disk.host();
  const createFile: typeof host.createFile = (path, text, mode) => {
    if (path.endsWith(end) && tries-- > 0) throw new Error("EPERM");
    return host.createFile(path, text, mode);
  };
  return { disk, ...startWriter(disk, { os, createFile }) };
}

test("Cache writer: on Windows retries a file that another program holds open; reports the failure elsewhere", async () => {
  for (const end of [".lock", ".tmp"]) {
    const { disk, it, warnings } = cacheWithFailures("windows", end, 5);
    it.save(cacheWithVersion("v"));
    await it.flush(1_000);
    assertEquals([warnings, cachedVersions(disk)], [[], ["v"]]);
    assertEquals(disk.listNames("/h"), ["c.json"]);
    for (const [os, tries] of [["linux", 1], ["windows", Infinity]] as const) {
      const never = cacheWithFailures(os, end, tries);
      never.it.save(cacheWithVersion("v"));
      await never.it.flush(1_000);
      assertEquals([os, never.warnings], [os, ["EPERM"]]);
    }
  }
});

test("Cache writer: results are written also where the lock cannot be removed", async () => {
  const disk = new MemoryDisk();
  const remove = (path: string): void => {
    if (path === LOCK) throw new Error("EBUSY");
    disk.host().remove(path);
  };
  const { it, warnings } = startWriter(disk, { remove });
  it.save(cacheWithVersion("v"));
  await it.flush(1_000);
  assertEquals([warnings, cachedVersions(disk)], [[], ["v"]]);
});
