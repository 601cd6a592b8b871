/**
 * Tests what users get: the files that `deno task compile --target all` and
 * `deno task npm` made.
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

test("Checksums: SHA256SUMS lists exactly the five files, and each checksum matches", async () => {
  const sums = await Deno.readTextFile(`${DIST}SHA256SUMS`);
  const names = sums.trim().split("\n").map((line) => line.split("  ")[1]!);
  assertEquals(names.toSorted(), BINARIES);
  const command = new Deno.Command("sha256sum", {
    args: ["--check", "--quiet", "SHA256SUMS"],
    cwd: DIST,
  });
  assertEquals((await command.output()).success, true);
});

/**
 * Matches our own files, two of the standard library and of prom-client, and
 * those of the parsers, of LogTape and of `ws`.
 */
const BUNDLED =
  /^(?:main\.ts|deno\.json|\.ci\/build\/(?:use_ws\.ts|ws\.cjs)|lib\/[\w/]+\.ts|npm\/deno-std\/[\d.]+\/(?:async\/delay|text\/levenshtein_distance)\.js|npm\/(?:jsonc-parser|ws|toml-eslint-parser|eslint-visitor-keys|@logtape\/(?:logtape|file))\/\S+|npm\/prom-client\/[\d.]+\/lib\/(?:registry|util)\.js)$/;

test("Bundle: it contains only our own files and those of the allowed packages", async () => {
  const text = await Deno.readTextFile(`${DIST}npm/alwaysup.js`);
  const files = text.matchAll(/^\/\/ (\S+\.(?:[cm]?[jt]s|json))$/gm);
  const names = [...files].map(([, name]) => name!);
  assert(names.length > 80);
  assertEquals(names.filter((name) => !BUNDLED.test(name)), []);
  const packages = new Set(
    names.map((name) => /^npm\/(@\w+\/\w+|[^/]+)/.exec(name)?.[1])
      .filter((name) => name !== undefined),
  );
  assertEquals(packages.size, 8);
  // Each licence requires its text in every copy of the package.
  const licences = await Deno.readTextFile(`${DIST}npm/LICENSES-PACKAGES`);
  const sections = [...licences.matchAll(/^={80}\n(.*)\n={80}\n/gm)]
    .map(([, title]) => title).join("\n");
  assertEquals([...packages].filter((name) => !sections.includes(name)), []);
  const imports = text.matchAll(/\bfrom "([^"]+)"|\bimport\("([^"]+)"\)/g);
  const targets = [...imports].map(([, staticTarget, dynamicTarget]) =>
    staticTarget ?? dynamicTarget!
  );
  assertEquals(targets.filter((name) => !/^node:/.test(name)), []);
});

test("Bundle: it imports no module of Node at the start, except the one that loads the others under Node 22.0", async () => {
  const text = await Deno.readTextFile(`${DIST}npm/alwaysup.js`);
  const found = text.matchAll(/^(?:import|export)\b[^(\n]*["']node:.*$/gm);
  assertEquals([...found].map(([line]) => line), [
    'import { createRequire as __deno_internal_createRequire } from "node:module";',
  ]);
  assertMatch(text, /^var \w+ = __lazyBuiltin\("node:fs"\);$/m);
});

test("README: its quick start adds the executable to a client, which can start it", async () => {
  await using daemon = new FakeWebSocketServer({ subprotocol: undefined });
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const script = /```sh\n *(dist\/alwaysup doctor [^]*?)```/.exec(readme)![1]!;
  const home = await Deno.makeTempDir({ prefix: "home-" });
  const here = script.replaceAll("dist/alwaysup", `${DIST}alwaysup-linux-x64`)
    .replaceAll("ws://127.0.0.1:8079/", daemon.url);
  assert(here !== script);
  const { text } = await runScript(here, home);
  const file = await Deno.readTextFile(`${home}/.cursor/mcp.json`);
  const { command, args } = JSON.parse(file).mcpServers.alwaysup;
  assertEquals(command, `${DIST}alwaysup-linux-x64`, text);
  await using proxy = new ProxyProcess([], {}, () => [command, args]);
  await proxy.initialize();
  await proxy.request(1, "x", { n: 1 });
  assertEquals((await proxy.waitForResponse(1)).result, { n: 1 });
  await proxy.closeStdin();
  const version = await outputOf(command, ["--version"]);
  assertMatch(
    version!,
    new RegExp(
      `^alwaysup ${VERSION} \\((deno|bun) [\\d.]+, ([0-9a-f]{10}|no commit)`,
    ),
  );
  await Deno.remove(home, { recursive: true });
});

test("SECURITY: its command detects a damaged download", async () => {
  const page = await Deno.readTextFile(`${ROOT}SECURITY.md`);
  const script = /```sh\n(sha256sum [^]*?)```/.exec(page)![1]!;
  const folder = await Deno.makeTempDir({ prefix: "download-" });
  for (const name of ["SHA256SUMS", "alwaysup-linux-x64"]) {
    await Deno.copyFile(`${DIST}${name}`, `${folder}/${name}`);
  }
  const whole = await runScript(script, folder);
  assertEquals(whole.success, true, whole.text);
  const bytes = await Deno.readFile(`${folder}/alwaysup-linux-x64`);
  bytes[1_000_000]! ^= 1;
  await Deno.writeFile(`${folder}/alwaysup-linux-x64`, bytes);
  assertEquals((await runScript(script, folder)).success, false);
  await Deno.remove(folder, { recursive: true });
});

/** Returns the folder of a Node version in `tests/npm/nodes`. */
function nodeFolder(version: 20 | 22 | 24): string {
  return npmFile("nodes", `node-${version}/bin`);
}

test("npm package: it installs offline, and its command starts outside the project's folder", async () => {
  const home = await Deno.makeTempDir({ prefix: "npm-" });
  const pack = await runScript(`npm pack --silent "${DIST}npm"`, home);
  assertEquals(pack.success, true, pack.text);
  const archive = `alwaysup-${VERSION}.tgz`;
  const install = await runScript(
    `npm install --offline --silent --no-fund --no-audit ./${archive}`,
    home,
  );
  assertEquals(install.success, true, install.text);
  await using daemon = new FakeWebSocketServer({ subprotocol: undefined });
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

test("npm package: it runs on the oldest supported Node, and on an older one it gives an error that names the needed version", async () => {
  // A server that picks no subprotocol ends a process that uses the WebSocket of
  // Node 22.0.
  await using daemon = new FakeWebSocketServer({ subprotocol: undefined });
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
      /^alwaysup: Node 20\.[\d.]+ is too old: use Node 22 or newer\n$/,
    );
  }
  await Deno.remove(home, { recursive: true });
});
