/**
 * The path of the cache, on each system.
 *
 * @module
 */

import type { Host } from "../../../lib/runtime/host.ts";
import { cacheKeyOf, readCacheFile } from "../../../lib/proxy/cache_file.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const CONFIG = {
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
  // Some clients pass on only these variables.
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

test("Cache file: none without a home or with off; a path that is set is used as it is", () => {
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
