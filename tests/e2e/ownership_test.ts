/**
 * Tests that files which another user may have written are not trusted, with
 * real hosts and real proxies.
 *
 * @module
 */

import { denoHost } from "../../lib/runtime/deno.ts";
import type { Host } from "../../lib/runtime/host.ts";
import { nodeHost } from "../../lib/runtime/node.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { ProxyProcess, runToExit } from "../helpers/process.ts";

/** A temporary state folder. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "state-" });
  readonly own = `${this.path}/alwaysup`;
  readonly env = { XDG_STATE_HOME: this.path };

  /** Returns the names of the cache files. */
  caches(): string[] {
    return [...Deno.readDirSync(this.own)].map(({ name }) => name)
      .filter((name) => name.endsWith(".json"));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/**
 * Runs one session. Returns the server's name that the client got, and the
 * warnings about the cache and the status file.
 */
async function initializeOnce(
  daemon: string,
  folder: Folder,
  status = "off",
  cache = "on",
  grace = "off",
): Promise<{ name: string; lines: string[] }> {
  const env = {
    ...{ ...folder.env, ALWAYSUP_CACHE: cache, ALWAYSUP_STATUS: status },
    ...{ ALWAYSUP_URL: daemon, ALWAYSUP_INITIALIZE_GRACE: grace },
  };
  await using proxy = new ProxyProcess(["--log-level", "debug"], env);
  const { result } = await proxy.initialize();
  if (status === "on") {
    await proxy.stderr.waitForLine((line) =>
      line.includes("cannot show this proxy")
    );
  }
  assertEquals((await proxy.closeStdin()).code, 0);
  const lines = proxy.stderr.dump().split("\n")
    .filter((line) => line.includes(" WARN "))
    .filter((line) => /The cache|cannot show this proxy/.test(line));
  return { name: result.serverInfo.name, lines };
}

/** Only root can give a file to another user. */
const IS_ROOT = Deno.uid() === 0;
const OTHER_USER_ID = 65_534;

const PLANTED: [what: string, plant: (cache: string) => void, says: RegExp][] =
  [
    [
      "writable by others",
      (cache) => Deno.chmodSync(cache, 0o666),
      /WARN .*not used: other users may write to it \(mode 666\)/,
    ],
    [
      "a link to another file",
      (cache) => {
        Deno.renameSync(cache, `${cache}.victim`);
        Deno.symlinkSync(`${cache}.victim`, cache);
      },
      /WARN .*not used: it is a link, and alwaysup does not follow links/,
    ],
  ];
if (IS_ROOT) {
  PLANTED.push([
    "somebody else's",
    (cache) => Deno.chownSync(cache, OTHER_USER_ID, OTHER_USER_ID),
    /WARN .*not used: it belongs to another user \(65534\)/,
  ]);
}
const SKIPPED = IS_ROOT ? "" : " (not tried: another user's, which needs root)";

test(`Ownership: a cache in a folder that others can write is neither used nor touched${SKIPPED}`, async () => {
  using folder = new Folder();
  let url: string;
  {
    await using daemon = new FakeWebSocketServer();
    url = daemon.url;
    await initializeOnce(url, folder);
  }
  const cache = `${folder.own}/${folder.caches()[0]}`;
  const text = Deno.readTextFileSync(cache);
  for (const [what, plant, says] of PLANTED) {
    Deno.chmodSync(folder.own, 0o777);
    Deno.removeSync(cache);
    Deno.writeTextFileSync(cache, text, { mode: 0o600 });
    plant(cache);
    const { name, lines } = await initializeOnce(
      url,
      folder,
      "off",
      "on",
      "100ms",
    );
    assertEquals([name, lines.length], ["alwaysup", 1], what);
    assertMatch(lines[0]!, says);
    assertEquals(Deno.readTextFileSync(cache), text);
    assertEquals(Deno.statSync(folder.own).mode! & 0o777, 0o700);
    const doctor = await runToExit(["doctor", "--url", url], folder.env);
    assertMatch(doctor.stdout, /warn {2}cache .*is not used: /);
  }
});

test("Ownership: a state folder that is a link gives one line for cache and status file, and nothing is read or written there", async () => {
  using folder = new Folder();
  await using daemon = new FakeWebSocketServer();
  Deno.mkdirSync(`${folder.path}/theirs`);
  Deno.symlinkSync(`${folder.path}/theirs`, folder.own);
  const { name, lines } = await initializeOnce(daemon.url, folder, "on");
  assertEquals([name, lines.length], ["raw", 1]);
  assertMatch(lines[0]!, /WARN .*alwaysup is a link, .*: remove the link/);
  const alone = await initializeOnce(daemon.url, folder, "on", "off");
  assertMatch(
    alone.lines.join(),
    /WARN .*cannot show this proxy: .*is a link, /,
  );
  const { code, stdout, stderr } = await runToExit(["status"], folder.env);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^alwaysup status: .*is a link, .*remove the link\n$/);
  const args = ["doctor", "--url", daemon.url];
  const doctor = await runToExit(args, folder.env);
  assertMatch(
    doctor.stdout,
    /fail {2}running .*it is unknown whether one of your proxies is running/,
  );
  assertEquals([...Deno.readDirSync(`${folder.path}/theirs`)], []);
});

const HOSTS: [name: string, make: () => Promise<Host>][] = [
  ["Deno", () => Promise.resolve(denoHost())],
  ["Node", nodeHost],
];
for (const [name, make] of HOSTS) {
  test(`Ownership: ${name}'s host makes only new files, reads the file that it has checked, and knows its user`, async () => {
    using folder = new Folder();
    const host = await make();
    const path = `${folder.path}/a`;
    assertEquals(host.createFile(path, "text", 0o664), true);
    const facts = host.lstat(path)!;
    const { isFile, isSymlink, isFolder, size, mode, linkCount } = facts;
    assertEquals([isFile, isSymlink, isFolder], [true, false, false]);
    assertEquals(
      [size, mode, linkCount],
      [4, 0o664, 1],
      "whatever the mask is",
    );
    assertEquals(facts.userId, Deno.uid());
    assertEquals(host.ownerOfNewFilesIn(folder.path), Deno.uid());
    assertEquals(host.readIfUnchanged(path, facts), "text");
    await host.fsync(path);
    assertEquals(host.createFile(path, "other", 0o600), false);
    assertEquals(host.readFile(path), "text");
    host.chmod(path, 0o600);
    assertEquals(
      host.readIfUnchanged(path, facts),
      undefined,
      "rights changed",
    );
    const narrow = host.lstat(path)!;
    host.createFile(`${path}.tmp`, "young", 0o600);
    host.rename(`${path}.tmp`, path);
    assertEquals(host.readIfUnchanged(path, narrow), undefined, "replaced");
    host.remove(path);
    assertEquals(host.readIfUnchanged(path, narrow), undefined, "removed");
    Deno.writeTextFileSync(`${path}.real`, "real");
    Deno.symlinkSync(`${path}.real`, path);
    assertEquals(host.readIfUnchanged(path, narrow), undefined, "a link");
    assertEquals(host.lstat(path)!.isSymlink, true);
    assertEquals(host.createFile(path, "x", 0o600), false);
    const nothing = `${folder.path}/b`;
    Deno.symlinkSync(`${folder.path}/c`, nothing);
    assertEquals(
      host.createFile(nothing, "x", 0o600),
      false,
      "a link to nothing",
    );
    assertEquals([host.lstat(folder.path)!.isFolder, host.lstat(`${path}.x`)], [
      true,
      undefined,
    ]);
    const left = [...Deno.readDirSync(folder.path)].map(({ name }) => name);
    assertEquals(left.sort(), ["a", "a.real", "b"]);
    assert(!Deno.lstatSync(`${path}.real`).isSymlink);
  });
}
