/**
 * Runs the MCP project's conformance suite, which supports only HTTP, against a
 * daemon behind an HTTP bridge. The suite runs once with the proxy between
 * bridge and daemon, and once with a bare forwarder in its place. Each scenario
 * must have the same result in both runs. This is checked for both versions of
 * the protocol.
 *
 *     deno task conformance
 *
 * Some scenarios need fixtures that the daemons lack, so these fail. That does
 * not matter, because only differences count.
 *
 * @module
 */

import { startNpmProgram } from "./helpers/npm_programs.ts";
import { print } from "./helpers/print.ts";
import {
  type ChildProcess,
  freePort,
  proxyCommand,
  startDaemonScript,
} from "./helpers/process.ts";
import { delay } from "../lib/runtime/timeout.ts";

interface Era {
  readonly requirements: string;
  /** The script of the daemon. */
  readonly daemon: string;
  /** The bridge's options about sessions. */
  readonly bridge: readonly string[];
}

const ERAS: readonly Era[] = [
  {
    requirements: "2025-11-25",
    daemon: "everything.ts",
    bridge: ["--stateful"],
  },
  { requirements: "2026-07-28", daemon: "dual_era_daemon.ts", bridge: [] },
];

/** Waits until a port accepts connections. */
async function waitUntilListening(
  port: number,
  child: ChildProcess,
): Promise<void> {
  for (;;) {
    try {
      (await Deno.connect({ port, hostname: "127.0.0.1" })).close();
      return;
    } catch {
      const isOver = await Promise.race([
        child.process.status.then(() => true),
        delay(50).then(() => false),
      ]);
      if (isOver) {
        throw new Error(`The HTTP bridge exited: ${child.stderr.dump()}`);
      }
    }
  }
}

/**
 * Runs the suite with a command between the bridge and the daemon. Returns the
 * result of each scenario. Throws if the suite does not finish.
 */
async function run(era: Era, command: string): Promise<Map<string, string>> {
  const port = freePort();
  await using bridge = startNpmProgram("supergateway", ...[
    ...["--stdio", command, "--logLevel", "none"],
    ...["--outputTransport", "streamableHttp", "--port", `${port}`],
    ...era.bridge,
  ]);
  await waitUntilListening(port, bridge);
  const folder = await Deno.makeTempDir({ prefix: "conformance-" });
  await using suite = startNpmProgram("conformance", ...[
    ...["server", "-o", folder, "--url", `http://localhost:${port}/mcp`],
    ...["--requirements", era.requirements],
  ]);
  await suite.waitForExit();
  await Deno.remove(folder, { recursive: true });
  const text = suite.stdout.lines.map(({ text }) => text).join("\n");
  if (!/^Total: \d+ passed/m.test(text)) {
    throw new Error(`The suite did not end:\n${text}`);
  }
  // deno-lint-ignore no-control-regex
  const lines = text.replace(/\x1b\[[0-9;]*m/g, "").matchAll(
    /^[\u2713\u2717] (\S+): (\d+ passed, \d+ failed)$/gm,
  );
  return new Map([...lines].map(([, name, end]) => [name!, end!]));
}

async function compare(era: Era): Promise<boolean> {
  const port = freePort();
  await using _daemon = await startDaemonScript(era.daemon, `${port}`);
  const url = `ws://127.0.0.1:${port}/`;
  const script = `${import.meta.dirname}/daemons/forwarder.ts`;
  const forwarder = ["run", "--quiet", "-A", script];
  const [command, flags] = proxyCommand(["--url", url, "--cache", "off"]);
  const [without, withProxy] = await Promise.all([
    run(era, [Deno.execPath(), ...forwarder, "--url", url].join(" ")),
    run(era, [command, ...flags].join(" ")),
  ]);
  const names = new Set([...without.keys(), ...withProxy.keys()]);
  let isSame = names.size > 20;
  for (const name of names) {
    const [a, b] = [without.get(name), withProxy.get(name)];
    if (a === b) continue;
    isSame = false;
    print(`${era.requirements} ${name}: ${a} without the proxy, ${b} with it`);
  }
  const passing = [...withProxy.values()].filter((end) =>
    / 0 failed/.test(end)
  );
  print(
    `${era.requirements}: ${names.size} scenarios, ${passing.length} pass, ` +
      (isSame ? "the same with and without the proxy" : "NOT THE SAME"),
  );
  return isSame;
}

const results: boolean[] = [];
for (const era of ERAS) results.push(await compare(era));
Deno.exit(results.every((isSame) => isSame) ? 0 : 1);
