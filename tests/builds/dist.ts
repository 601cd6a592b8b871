/**
 * Tests the files that `deno task compile --target all` and `deno task npm`
 * made, in the way in which users get them.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { DIST, outputOf, ROOT, VERSION } from "../../.ci/build/bundle.ts";
import { npmFile } from "../../.ci/build/install_packages.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { test } from "../helpers/time_limit.ts";
import { ProxyProcess } from "../helpers/process.ts";

const BINARIES = [
  ...["alwaysup-linux-arm64", "alwaysup-linux-x64", "alwaysup-macos-arm64"],
  ...["alwaysup-macos-x64", "alwaysup-windows-x64.exe"],
];

/** Runs a script in a folder that is also its home folder. */
async function runScript(
  script: string,
  home: string,
): Promise<{ success: boolean; text: string }> {
  const { success, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script],
    cwd: home,
    env: { HOME: home },
  }).output();
  const [out, err] = [stdout, stderr].map((it) => new TextDecoder().decode(it));
  return { success, text: out! + err! };
}

test("Checksums: they are those of the five files, and of no other", async () => {
  const sums = await Deno.readTextFile(`${DIST}SHA256SUMS`);
  const names = sums.trim().split("\n").map((line) => line.split("  ")[1]!);
  assertEquals(names.toSorted(), BINARIES);
  const command = new Deno.Command("sha256sum", {
    args: ["--check", "--quiet", "SHA256SUMS"],
    cwd: DIST,
  });
  assertEquals((await command.output()).success, true);
});

/** Matches our own files, one of the standard library, and two parsers. */
const BUNDLED =
  /^(?:main\.ts|deno\.json|lib\/[\w/]+\.ts|npm\/deno-std\/[\d.]+\/async\/delay\.js|npm\/(?:jsonc-parser|toml-eslint-parser|eslint-visitor-keys)\/\S+)$/;

test("Bundle: it holds the program's own files, and those of three packages", async () => {
  const text = await Deno.readTextFile(`${DIST}npm/alwaysup.js`);
  const files = text.matchAll(/^\/\/ (\S+\.(?:[cm]?[jt]s|json))$/gm);
  const names = [...files].map(([, name]) => name!);
  assert(names.length > 80);
  assertEquals(names.filter((name) => !BUNDLED.test(name)), []);
  const imports = text.matchAll(/\bfrom "([^"]+)"|\bimport\("([^"]+)"\)/g);
  const targets = [...imports].map(([, fixed, late]) => fixed ?? late!);
  assertEquals(targets.filter((name) => !/^node:/.test(name)), []);
});

test("README: its way to install verifies what it downloads", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const script = /```sh\n(case [^]*?)```/.exec(readme)![1]!;
  let isBroken = false;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async ({ url }) => {
      const [, name] = /^\/OWNER\/alwaysup\/releases\/latest\/download\/(.+)$/
        .exec(new URL(url).pathname) ?? [];
      if (name === undefined) return new Response("", { status: 404 });
      const bytes = await Deno.readFile(`${DIST}${name}`);
      if (isBroken && name !== "SHA256SUMS") bytes[1_000_000]! ^= 1;
      return new Response(bytes);
    },
  );
  const here = script.replace(
    "https://github.com",
    `http://127.0.0.1:${server.addr.port}`,
  );
  assert(here !== script);
  const home = await Deno.makeTempDir({ prefix: "home-" });
  isBroken = true;
  const refused = await runScript(here, home);
  assertEquals(refused.success, false, refused.text);
  const installed = `${home}/.local/bin/alwaysup`;
  assertEquals(await outputOf(installed, ["--version"]), undefined);
  isBroken = false;
  const { success, text } = await runScript(here, home);
  assertEquals(success, true, text);
  const version = await outputOf(installed, ["--version"]);
  assertMatch(
    version!,
    new RegExp(
      `^alwaysup ${VERSION} \\((deno|bun) [\\d.]+, ([0-9a-f]{10}|no commit)`,
    ),
  );
  await Deno.remove(home, { recursive: true });
});

/** Returns the folder of a Node version in `tests/npm/nodes`. */
function nodeFolder(version: 20 | 22 | 24): string {
  return npmFile("nodes", `node-${version}/bin`);
}

test("npm package: it installs offline, and its command starts outside this folder", async () => {
  const home = await Deno.makeTempDir({ prefix: "npm-" });
  const pack = await runScript(`npm pack --silent "${DIST}npm"`, home);
  assertEquals(pack.success, true, pack.text);
  const archive = `alwaysup-${VERSION}.tgz`;
  const install = await runScript(
    `npm install --offline --silent --no-fund --no-audit ./${archive}`,
    home,
  );
  assertEquals(install.success, true, install.text);
  await using daemon = new FakeWebSocketServer({ echo: undefined });
  const bin = `${home}/node_modules/.bin/alwaysup`;
  const PATH = `${nodeFolder(24)}:${Deno.env.get("PATH")}`;
  await using proxy = new ProxyProcess([], { PATH }, () => [
    "sh",
    ["-c", 'cd "$1" && exec "$2" --url "$3"', "sh", home, bin, daemon.url],
  ]);
  await proxy.initialize();
  await proxy.request(1, "x", { n: 1 });
  assertEquals((await proxy.waitForResponse(1)).result, { n: 1 });
  await proxy.closeStdin();
  const lines = await runScript(`PATH="${PATH}" "${bin}" --version`, home);
  assertMatch(lines.text, /^alwaysup .* \(node 24\./);
  await Deno.remove(home, { recursive: true });
});

test("npm package: the oldest Node that it claims runs it, the version before reports why not", async () => {
  await using daemon = new FakeWebSocketServer();
  const file = `${DIST}npm/alwaysup.js`;
  await using proxy = new ProxyProcess([], {}, () => [
    `${nodeFolder(22)}/node`,
    [file, "--url", daemon.url],
  ]);
  assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
  await proxy.closeStdin();
  const home = await Deno.makeTempDir({ prefix: "node-" });
  for (const args of ["", "doctor", "--version"]) {
    const old = `"${nodeFolder(20)}/node" "${file}" ${args}`;
    const { success, text } = await runScript(old, home);
    assertEquals(success, false);
    assertMatch(
      text,
      /^alwaysup: Node 20\.[\d.]+ is too old, .*22 or newer\n$/,
    );
  }
  await Deno.remove(home, { recursive: true });
});
