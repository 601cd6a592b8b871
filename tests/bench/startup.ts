/**
 * Measures how long each distributed form of the program takes to start, and
 * how much memory it uses when idle. Each figure is the ratio of two medians:
 * the program's, and that of a bare forwarder of the same form and runtime.
 * Both run in turn.
 *
 *     deno task starts [ROUNDS]
 *
 * It builds the forms first.
 *
 * @module
 */

import { DIST, ROOT, runCommand } from "../../.ci/build/bundle.ts";
import {
  installBun,
  installFolder,
  npmFile,
} from "../../.ci/build/install_packages.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { ChildProcess, INITIALIZE_LINE } from "../helpers/process.ts";
import { print } from "../helpers/print.ts";

const ROUNDS = Number(Deno.args[0] ?? 21);

/** The command that starts a program, without the URL at the end. */
type StartCommand = readonly [command: string, ...args: string[]];

interface MeasuredForm {
  readonly name: string;
  readonly bare: StartCommand;
  readonly ours: StartCommand;
}

/** Builds the forms. Returns their commands. */
async function buildForms(folder: string): Promise<MeasuredForm[]> {
  const build = `${ROOT}.ci/build`;
  const daemons = `${ROOT}tests/daemons`;
  await runCommand(Deno.execPath(), ["run", "-A", `${build}/compile.ts`]);
  await runCommand(Deno.execPath(), ["run", "-A", `${build}/npm.ts`]);
  await installFolder("nodes");
  const node = npmFile("nodes", "node-24/bin/node");
  const bare = `${folder}/bare`;
  await runCommand(await installBun(), [
    ...["build", "--compile", `${daemons}/forwarder.mjs`, `--outfile=${bare}`],
  ], { stdout: "null" });
  const deno = Deno.execPath();
  const rights = ["run", "--quiet", "-NERW"];
  return [
    {
      name: "source (Deno)",
      bare: [deno, ...rights, `${daemons}/forwarder.ts`, "--url"],
      ours: [deno, ...rights, `${ROOT}main.ts`, "--url"],
    },
    {
      name: "binary (Bun)",
      bare: [bare],
      ours: [`${DIST}alwaysup`, "--url"],
    },
    {
      name: "npm package (Node)",
      bare: [node, `${daemons}/forwarder.mjs`],
      ours: [node, `${DIST}npm/alwaysup.js`, "--url"],
    },
  ];
}

/** Starts a program, waits for its first response, and reads its memory. */
async function measure(
  [command, ...args]: StartCommand,
  url: string,
): Promise<{ ms: number; mib: number }> {
  const startedAt = performance.now();
  const env = { ALWAYSUP_CACHE: "off" };
  await using child = new ChildProcess(command, [...args, url], env);
  await child.write(INITIALIZE_LINE);
  const { at } = await child.stdout.waitForLine(() => true);
  const status = await Deno.readTextFile(`/proc/${child.process.pid}/status`);
  const mib = Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
  return { ms: at - startedAt, mib };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

const folder = await Deno.makeTempDir({ prefix: "starts-" });
await using daemon = new FakeWebSocketServer();
print(`medians of ${ROUNDS} rounds     forwarder  alwaysup  ratio`);
for (const { name, bare, ours } of await buildForms(folder)) {
  const found = { bare: [], ours: [] } as Record<
    "bare" | "ours",
    { ms: number; mib: number }[]
  >;
  for (let i = 0; i < ROUNDS; i++) {
    found.bare.push(await measure(bare, daemon.url));
    found.ours.push(await measure(ours, daemon.url));
  }
  for (const [what, unit] of [["ms", "start, ms"], ["mib", "idle, MiB"]]) {
    const [theirs, own] = [found.bare, found.ours]
      .map((all) => median(all.map((one) => one[what as "ms" | "mib"])));
    print(
      `${name}: ${unit}`.padEnd(30) + theirs!.toFixed(1).padStart(8) +
        own!.toFixed(1).padStart(10) + (own! / theirs!).toFixed(2).padStart(7),
    );
  }
}
await Deno.remove(folder, { recursive: true });
