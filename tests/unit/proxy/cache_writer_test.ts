/**
 * Several proxies keep what they have learned in one cache, at once.
 *
 * @module
 */

import { Keeping } from "../../../lib/proxy/cache_writer.ts";
import { NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import {
  lockOf,
  ownerOf,
  readState,
  writeState,
} from "../../../lib/proxy/cache_file.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { Disk, OTHER } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

const OWNER = ownerOf({
  ...{ url: "ws://h/", shownUrl: "ws://h/", dialect: "mcp" },
  ...{ headers: [], helloToken: "" },
});
const PATH = "/h/c.json";
const LOCK = lockOf(PATH);

function knows(version: string): Remembered {
  const result = `{"protocolVersion":"${version}"}`;
  return { ...NOTHING, initialize: { [version]: result } };
}

/** The versions that the cache knows. */
function known(disk: Disk): string[] {
  const { remembered } = readState(PATH, OWNER, disk.host())!;
  return Object.keys(remembered.initialize).sort();
}

/** A proxy's way into the cache, and what it complains of. */
function keeping(
  disk: Disk,
  more: Parameters<Disk["host"]>[0] = {},
): { it: Keeping; said: string[] } {
  const said: string[] = [];
  const complain = (why: string): number => said.push(why);
  return { it: new Keeping(PATH, OWNER, disk.host(more), complain), said };
}

test("Cache writer: eight proxies at once lose nothing of each other's results", async () => {
  const disk = new Disk();
  const all = Array.from({ length: 8 }, () => keeping(disk));
  for (const [n, { it }] of all.entries()) it.keep(knows(`v${n}`));
  await Promise.all(all.map(({ it }) => it.end(1_000)));
  assertEquals(known(disk), all.map((_, n) => `v${n}`));
  assertEquals(all.flatMap(({ said }) => said), []);
  assertEquals(disk.names("/h"), ["c.json"]);
});

test("Cache writer: while the lock is taken, only the newest results wait", async () => {
  const disk = new Disk();
  disk.put(LOCK, "");
  let pauses = 0;
  const { it, said } = keeping(disk, {
    wake: (_, callback) => {
      if (++pauses === 3) disk.nodes.delete(LOCK);
      if (pauses === 2) it.keep({ ...NOTHING, ...knows("late") });
      queueMicrotask(callback);
    },
  });
  it.keep(knows("early"));
  await it.end(1_000);
  assertEquals([known(disk), said], [["late"], []]);
  assertEquals(disk.names("/h"), ["c.json"]);
});

test("Cache writer: takes over a lock that is older than 3 s, and no other", async () => {
  for (const ageMs of [-60_000, 2_000, 4_000]) {
    const disk = new Disk();
    disk.put(LOCK, "", { ageMs });
    const end = await writeState(PATH, OWNER, knows("v"), disk.host());
    assertEquals(end, Math.abs(ageMs) > 3_000 ? "kept" : "taken", `${ageMs}`);
    assertEquals(disk.names("/h"), [end === "kept" ? "c.json" : "c.json.lock"]);
  }
});

const FOREIGN: [what: string, plant: (disk: Disk) => void][] = [
  ["has a text", (disk) => disk.put(LOCK, "mine", { ageMs: 60_000 })],
  [
    "is somebody else's",
    (disk) => disk.put(LOCK, "", { owner: OTHER, ageMs: 60_000 }),
  ],
  ["is a link", (disk) => disk.link(LOCK, "/victim", { ageMs: 60_000 })],
];
for (const [what, plant] of FOREIGN) {
  test(`Cache writer: does not touch a file in the place of the lock that ${what}, and names it once`, async () => {
    const disk = new Disk();
    plant(disk);
    const { it, said } = keeping(disk);
    it.keep(knows("v"));
    it.keep(knows("v"));
    await it.end(1_000);
    assertEquals(said, [`${LOCK} is no lock of ours: remove it`]);
    assertEquals(disk.names("/h"), ["c.json.lock"]);
    assertEquals(disk.text("/victim"), undefined);
  });
}

test("Cache writer: at the end writes without the lock rather than wait for long", async () => {
  const disk = new Disk();
  disk.put(LOCK, "");
  const { it, said } = keeping(disk, {
    wake: (_, callback) => void setTimeout(callback, 1),
  });
  it.keep(knows("v"));
  await it.end(1_800);
  assertEquals([known(disk), said], [["v"], []]);
  assertEquals(disk.names("/h"), ["c.json", "c.json.lock"]);
});

test("Cache writer: reports what is lost where there is no time at the end", async () => {
  const disk = new Disk();
  disk.put(LOCK, "");
  const { it, said } = keeping(disk, { wake: () => {} });
  it.keep(knows("v"));
  await it.end(0);
  assertEquals(said.length, 1);
  assertEquals(disk.names("/h"), ["c.json.lock"]);
});

test("Cache writer: reports a failed write once, until a write succeeds", async () => {
  const disk = new Disk();
  let isFull = true;
  const host = disk.host();
  const { it, said } = keeping(disk, {
    makeFile: (path, text, mode) => {
      if (isFull && path.endsWith(".tmp")) throw new Error("No space left");
      return host.makeFile(path, text, mode);
    },
  });
  const settled = async (): Promise<void> => {
    it.keep(knows("v"));
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  await settled();
  await settled();
  assertEquals(said, ["No space left"]);
  isFull = false;
  await settled();
  isFull = true;
  await settled();
  await it.end(1_000);
  assertEquals(said, ["No space left", "No space left"]);
  assertEquals(known(disk), ["v"]);
});

/** A cache whose lock, or file, cannot be made for so many tries; the turns are no longer than a microtask. */
function hindered(
  os: string,
  end: string,
  tries: number,
): ReturnType<typeof keeping> & { readonly disk: Disk } {
  const disk = new Disk();
  const host = disk.host();
  const makeFile: typeof host.makeFile = (path, text, mode) => {
    if (path.endsWith(end) && tries-- > 0) throw new Error("EPERM");
    return host.makeFile(path, text, mode);
  };
  return { disk, ...keeping(disk, { os, makeFile }) };
}

test("Cache writer: on Windows retries a file that another program holds open; reports the failure elsewhere", async () => {
  for (const end of [".lock", ".tmp"]) {
    const { disk, it, said } = hindered("windows", end, 5);
    it.keep(knows("v"));
    await it.end(1_000);
    assertEquals([said, known(disk)], [[], ["v"]]);
    assertEquals(disk.names("/h"), ["c.json"]);
    for (const [os, tries] of [["linux", 1], ["windows", Infinity]] as const) {
      const never = hindered(os, end, tries);
      never.it.keep(knows("v"));
      await never.it.end(1_000);
      assertEquals([os, never.said], [os, ["EPERM"]]);
    }
  }
});

test("Cache writer: results are written also where the lock cannot be removed", async () => {
  const disk = new Disk();
  const remove = (path: string): void => {
    if (path === LOCK) throw new Error("EBUSY");
    disk.host().remove(path);
  };
  const { it, said } = keeping(disk, { remove });
  it.keep(knows("v"));
  await it.end(1_000);
  assertEquals([said, known(disk)], [[], ["v"]]);
});
