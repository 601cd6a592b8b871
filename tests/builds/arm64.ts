/**
 * Tests the arm64 Linux executable: natively on an arm64 machine, and under
 * QEMU on any other Linux machine.
 *
 *     deno task arm64
 *
 * QEMU and arm64's C and C++ libraries are used from the machine if it has
 * them. Otherwise apt downloads them to `dist/arm64/`, which keeps them for the
 * next run. Nothing is installed, and root is not needed.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { DIST, ROOT, runCommand, VERSION } from "../../.ci/build/bundle.ts";
import { print } from "../helpers/print.ts";
import {
  FakeWebSocketServer,
  respondToAll,
  type ServerBehavior,
} from "../helpers/fake_websocket_server.ts";
import { withWaitLimit } from "../helpers/time_limit.ts";
import { INITIALIZE_LINE, ProxyProcess } from "../helpers/process.ts";

/** The proxy's timeouts. They are long because an emulated program is slow. */
const EMULATION_TIMEOUT = "5m";

/**
 * The folder of the files that are kept for the next run, and the script that
 * starts the executable under QEMU.
 */
const CACHE_FOLDER = `${DIST}arm64/`;
const SCRIPT = `${CACHE_FOLDER}alwaysup`;

/** A file or folder that an emulated program needs. */
interface EmulatorPart {
  /** The name in `dist/arm64/`. */
  readonly name: string;
  /** The path in the packages, from the root. */
  readonly path: string;
  /**
   * The path, relative to `path`, of a file that exists once the part is
   * complete.
   */
  readonly lastFile: string;
  /** Packages of Debian and Ubuntu, downloaded in turn until `lastFile` exists. */
  readonly packages: readonly string[];
}

const EMULATOR: EmulatorPart = {
  name: "qemu-aarch64-static",
  path: "usr/bin/qemu-aarch64-static",
  lastFile: "",
  // Since Debian 13, the first package has only a link to the second one.
  packages: ["qemu-user-static", "qemu-user"],
};

/**
 * These packages are `Architecture: all`, so apt needs no package lists for
 * arm64.
 */
const LIBRARIES: EmulatorPart = {
  name: "libraries",
  path: "usr/aarch64-linux-gnu",
  lastFile: "/lib/libstdc++.so.6",
  packages: [
    ...["libc6-arm64-cross", "libgcc-s1-arm64-cross"],
    "libstdc++6-arm64-cross",
  ],
};

const ADVICE = `install ${EMULATOR.name}, and arm64's C and C++ libraries in ` +
  `/${LIBRARIES.path}`;

const start = performance.now();

function printProgress(what: string): void {
  const seconds = ((performance.now() - start) / 1000).toFixed(2);
  print(`${seconds.padStart(8)} s  ${what}`);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Returns whether a program is on `PATH`. */
async function isOnPath(program: string): Promise<boolean> {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  const found = folders.map((folder) => exists(`${folder}/${program}`));
  return (await Promise.all(found)).includes(true);
}

/** Runs a command silently. Throws the last line of stderr if it fails. */
async function runQuietly(
  command: string,
  args: string[],
  cwd: string,
): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const lines = new TextDecoder().decode(stderr).trim().split("\n");
  throw new Error(`${command} failed: ${lines.at(-1)}`);
}

/** Downloads parts with apt. Apt writes only to a temporary folder. */
async function download(parts: readonly EmulatorPart[]): Promise<void> {
  for (const program of ["apt-get", "dpkg"]) {
    if (await isOnPath(program)) continue;
    throw new Error(
      `${program} is not on PATH, so QEMU cannot be downloaded; ${ADVICE}`,
    );
  }
  const names = parts.map(({ name }) => name).join(" and ");
  printProgress(`apt downloads files that dist/arm64/ lacks: ${names}`);
  const work = `${DIST}arm64.new`;
  await Deno.remove(work, { recursive: true }).catch(() => {});
  await Deno.mkdir(`${work}/lists/partial`, { recursive: true });
  await Deno.mkdir(`${work}/cache/archives/partial`, { recursive: true });
  // Apt reads the machine's own settings (mirror, proxy, keys) before these.
  await Deno.writeTextFile(
    `${work}/apt.conf`,
    [
      // Disables the hooks that the machine runs after every update.
      "#clear APT::Update;",
      `Dir::State "${work}";`,
      `Dir::Cache "${work}/cache";`,
      // As root, apt would warn that its user cannot write to this folder.
      'APT::Sandbox::User "root";',
    ].join("\n"),
  );
  const apt = (...args: string[]): Promise<void> =>
    runQuietly("apt-get", ["-qq", "-c", `${work}/apt.conf`, ...args], work);
  try {
    await apt("update");
    for (const part of parts) await unpack(part, work, apt);
  } catch (error) {
    const why = errorMessageOf(error);
    throw new Error(
      `${why}; check apt's sources and the network, or ${ADVICE}`,
    );
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Unpacks a part from its packages. Keeps it only if it is complete. */
async function unpack(
  { name, path, lastFile, packages }: EmulatorPart,
  work: string,
  apt: (...args: string[]) => Promise<void>,
): Promise<void> {
  const tree = `${work}/${name}`;
  for (const each of packages) {
    if (await exists(`${tree}/${path}${lastFile}`)) break;
    await apt("download", each);
    for await (const { name: file } of Deno.readDir(work)) {
      if (!file.startsWith(`${each}_`)) continue;
      await runQuietly("dpkg", ["-x", file, tree], work);
    }
  }
  if (!await exists(`${tree}/${path}${lastFile}`)) {
    throw new Error(`There is no ${path}${lastFile} in ${packages.join(", ")}`);
  }
  await Deno.rename(
    await Deno.realPath(`${tree}/${path}`),
    `${CACHE_FOLDER}${name}`,
  );
}

/**
 * Writes the script that starts the executable under QEMU. Downloads missing
 * parts first.
 */
async function writeEmulatorScript(): Promise<void> {
  await Deno.mkdir(CACHE_FOLDER, { recursive: true });
  const hasEmulator = await isOnPath(EMULATOR.name);
  const hasLibraries = await exists(`/${LIBRARIES.path}${LIBRARIES.lastFile}`);
  const needed = [
    ...(hasEmulator ? [] : [EMULATOR]),
    ...(hasLibraries ? [] : [LIBRARIES]),
  ];
  const lacking: EmulatorPart[] = [];
  for (const part of needed) {
    if (!await exists(`${CACHE_FOLDER}${part.name}`)) lacking.push(part);
  }
  if (lacking.length > 0) await download(lacking);
  const qemu = hasEmulator ? EMULATOR.name : `"$here/${EMULATOR.name}"`;
  const root = hasLibraries
    ? `/${LIBRARIES.path}`
    : `"$here/${LIBRARIES.name}"`;
  await Deno.writeTextFile(
    SCRIPT,
    '#!/bin/sh\nhere=$(dirname "$0")\n' +
      `exec ${qemu} -L ${root} "$here/../alwaysup-linux-arm64" "$@"\n`,
    { mode: 0o755 },
  );
}

/** Checks that the program prints its version. */
async function checkVersion(): Promise<void> {
  await using proxy = new ProxyProcess(["--version"]);
  assertEquals((await proxy.closeStdin()).code, 0, proxy.stderr.dump());
  const text = proxy.stdout.dump();
  assertMatch(text, new RegExp(`^alwaysup ${VERSION} \\((deno|bun) [\\d.]+, `));
  printProgress(`--version: ${text}`);
}

/** Checks that `doctor` finds no problem with a working daemon. */
async function checkDoctor(): Promise<void> {
  const respond: ServerBehavior["respond"] = (message) =>
    message.method === "tools/list"
      ? { id: message.id, result: { tools: [{ name: "x" }] } }
      : respondToAll(message);
  await using daemon = new FakeWebSocketServer({ respond });
  const home = await Deno.makeTempDir({ prefix: "home-" });
  await using proxy = new ProxyProcess([
    "doctor",
    "--json",
    "--url",
    daemon.url,
  ], {
    HOME: home,
  });
  const { code } = await proxy.closeStdin();
  const [line] = proxy.stdout.lines;
  const { ok, checks } = JSON.parse(line?.text ?? "{}");
  assert(code === 0 && ok, `${line?.text}\n${proxy.stderr.dump()}`);
  await Deno.remove(home, { recursive: true });
  printProgress(`doctor --json: ok, ${checks.length} checks`);
}

/**
 * Checks that the client stays connected to the proxy while the daemon is down.
 */
async function checkProxy(): Promise<void> {
  const flags = ["--initialize-grace", "off"];
  for (const limit of ["handshake-timeout", "queue-timeout"]) {
    flags.push(`--${limit}`, EMULATION_TIMEOUT);
  }
  // Without `using`: a closing daemon waits for its clients. If one hangs, that
  // wait would hide the failure.
  const daemon = new FakeWebSocketServer();
  const { port, url } = daemon;
  await using proxy = new ProxyProcess(["--url", url, ...flags]);
  await proxy.write(INITIALIZE_LINE);
  const { result } = await proxy.waitForResponse(0);
  assertEquals(result.serverInfo.name, "raw");
  await proxy.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  printProgress("The daemon answers initialize");
  await proxy.request(1, "x", { n: 1 });
  assertEquals((await proxy.waitForResponse(1)).result, { n: 1 });
  printProgress("The daemon answers a request");
  await withWaitLimit(daemon[Symbol.asyncDispose](), "the daemon to end");
  const isLost = (line: string): boolean => line.includes("Lost the WebSocket");
  await proxy.stderr.waitForLine(isLost);
  await proxy.request(2, "x", { n: 2 });
  // The proxy answers this ping itself, after it has read request 2.
  await proxy.request(3, "ping");
  assertEquals((await proxy.waitForResponse(3)).result, {});
  const ids = proxy.stdout.lines.map(({ text }) => JSON.parse(text).id);
  assert(!ids.includes(2), "a request was answered without a daemon");
  printProgress("The daemon stops, and a request waits");
  const again = new FakeWebSocketServer({}, port);
  assertEquals((await proxy.waitForResponse(2)).result, { n: 2 });
  assert(
    again.messages.some(({ method }) => method === "x"),
    "the daemon got no request",
  );
  printProgress(
    "The daemon starts again on the same port, and answers the request",
  );
  const { code } = await proxy.closeStdin();
  assertEquals(code, 0, proxy.stderr.dump());
  for (const { text } of proxy.stdout.lines) JSON.parse(text);
  printProgress("stdin ends, and the exit code is 0");
  await withWaitLimit(again[Symbol.asyncDispose](), "the daemon to end");
}

async function main(): Promise<void> {
  const { os, arch } = Deno.build;
  if (os !== "linux") {
    throw new Error(
      `An arm64 Linux program cannot run on ${os}; run this on Linux`,
    );
  }
  const isEmulated = arch !== "aarch64";
  if (isEmulated) await writeEmulatorScript();
  const compile = `${ROOT}.ci/build/compile.ts`;
  await runCommand(Deno.execPath(), [
    ...["run", "--quiet", "-A", compile, "--target", "linux-arm64"],
  ]);
  const program = isEmulated ? SCRIPT : `${DIST}alwaysup-linux-arm64`;
  Deno.env.set("ALWAYSUP_BIN", program);
  printProgress(
    `The executable runs ${isEmulated ? "under QEMU" : "natively"}`,
  );
  await checkVersion();
  await checkDoctor();
  await checkProxy();
}

try {
  await main();
  print("\nThe arm64 executable works.");
  Deno.exit(0);
} catch (error) {
  print(`\narm64: ${errorMessageOf(error)}`);
  Deno.exit(1);
}
