/**
 * The programs that the benchmark measures: the forms of alwaysup, a bare
 * forwarder for each runtime, and other bridges.
 *
 * @module
 */

import {
  DIST,
  ROOT,
  runCommand,
  writeBundle,
} from "../../../.ci/build/bundle.ts";
import {
  BUN_COMPILE_FLAGS,
  installBun,
  installFolder,
  npmFile,
} from "../../../.ci/build/install_packages.ts";
import metadata from "../../npm/bench/package.json" with { type: "json" };
import { HTTP_DIVISOR, HTTP_ROUNDS } from "./rows.ts";

/** A command with its arguments. */
export type Command = readonly [command: string, ...args: string[]];

/** The address of a daemon in both protocols. */
export interface DaemonUrls {
  readonly webSocket: string;
  readonly http: string;
}

/** A program that is measured: a column of the table. */
export interface Program {
  readonly name: string;
  /** What it is, in a few words. */
  readonly label: string;
  readonly role: "ours" | "floor" | "peer";
  /** The name of the floor that it is compared with. */
  readonly floor?: string;
  /** Speaks Streamable HTTP to the daemon. The others use a WebSocket. */
  readonly usesHttp?: true;
  /** What a reader must know about its figures. */
  readonly note?: string;
  readonly command: (urls: DaemonUrls) => Command;
}

const HTTP_NOTE =
  `speaks Streamable HTTP; gets 1/${HTTP_DIVISOR} of the calls at once, of ` +
  `which time and CPU are multiplied; takes part in ${HTTP_ROUNDS} rounds, ` +
  "and in one with open calls; its peak and minute are without the 16 MB, " +
  "and with the fewer calls at once";
const DAEMONS = `${ROOT}tests/daemons`;
/** The versions of the other bridges. */
const { dependencies: VERSIONS } = metadata;

/** Returns the path of Node 24, with which peers, floor and daemon run. */
function nodePath(): string {
  return npmFile("nodes", "node-24/bin/node");
}

/** Returns the command of the benchmark's daemon. Port 0: a free one. */
export function daemonCommand(port: number): Command {
  return [nodePath(), `${import.meta.dirname}/daemon.ts`, `${port}`];
}

/**
 * Returns all programs. Their files need not exist yet; they are in a folder
 * that {@linkcode buildPrograms} fills.
 */
export function listPrograms(folder: string): Program[] {
  const deno = Deno.execPath();
  const node = nodePath();
  const denoRun = ["run", "--quiet", "--no-prompt"];
  const permissions = ["-N", "-E", "-R", "-W"];
  const peer = (file: string): string => npmFile("bench", file);
  return [
    {
      name: "deno-floor",
      label: "bare forwarder, Deno",
      role: "floor",
      command: ({ webSocket }) => [
        ...[deno, ...denoRun, "--no-config", "--allow-net"] as const,
        ...[`${DAEMONS}/forwarder.ts`, "--url", webSocket],
      ],
    },
    {
      name: "source",
      label: "alwaysup from source, Deno",
      role: "ours",
      floor: "deno-floor",
      command: ({ webSocket }) => [
        // The flag is that of `deno task run`.
        ...[deno, ...denoRun, "--v8-flags=--max-semi-space-size=4"] as const,
        ...["--cached-only", ...permissions, `${ROOT}main.ts`],
        ...["--url", webSocket],
      ],
    },
    {
      name: "bundle",
      label: "alwaysup in one file, Deno",
      role: "ours",
      floor: "deno-floor",
      command: ({ webSocket }) => [
        ...[deno, ...denoRun, "--no-config", ...permissions] as const,
        ...[`${folder}/alwaysup.js`, "--url", webSocket],
      ],
    },
    {
      name: "bun-floor",
      label: "bare forwarder, compiled by Bun",
      role: "floor",
      command: ({ webSocket }) => [`${folder}/bun-floor`, webSocket],
    },
    {
      name: "executable",
      label: "alwaysup, compiled by Bun",
      role: "ours",
      floor: "bun-floor",
      command: ({ webSocket }) => [`${DIST}alwaysup`, "--url", webSocket],
    },
    {
      name: "node-floor",
      label: "bare forwarder, Node 24",
      role: "floor",
      command: ({ webSocket }) => [
        ...[node, `${DAEMONS}/forwarder.mjs`] as const,
        webSocket,
      ],
    },
    {
      name: "npm-package",
      label: "alwaysup from npm, Node 24",
      role: "ours",
      floor: "node-floor",
      command: ({ webSocket }) => [
        ...[node, `${DIST}npm/alwaysup.js`, "--url"] as const,
        webSocket,
      ],
    },
    {
      name: "ws-bridge",
      label: "bare bridge on the package ws, Node 24",
      role: "peer",
      floor: "node-floor",
      note: "parses nothing; ends with its connection",
      command: ({ webSocket }) => [
        ...[node, `${DAEMONS}/ws_bridge.mjs`] as const,
        webSocket,
      ],
    },
    {
      name: "supergateway",
      label: `supergateway ${VERSIONS.supergateway}, Node 24`,
      role: "peer",
      floor: "node-floor",
      note: HTTP_NOTE,
      usesHttp: true,
      command: ({ http }) => [
        ...[node, peer("supergateway/dist/index.js")] as const,
        ...["--streamableHttp", http, "--logLevel", "none"],
      ],
    },
    {
      name: "mcp-remote",
      label: `mcp-remote ${VERSIONS["mcp-remote"]}, Node 24`,
      role: "peer",
      floor: "node-floor",
      note: HTTP_NOTE,
      usesHttp: true,
      command: ({ http }) => [
        ...[node, peer("mcp-remote/dist/proxy.js")] as const,
        ...[http, "--silent", "--transport", "http-only"],
      ],
    },
    {
      name: "mcp-proxy",
      label: `mcp-proxy ${VERSIONS["mcp-proxy"]}, Node 24`,
      role: "peer",
      floor: "node-floor",
      note: `${HTTP_NOTE}; its command serves HTTP only, so startStdioServer ` +
        "of its library runs here",
      usesHttp: true,
      command: ({ http }) => [
        ...[node, `${DAEMONS}/mcp_proxy_stdio.mjs`] as const,
        http,
      ],
    },
  ];
}

/**
 * Returns the programs with these names, and their floors. Throws if there is
 * no program with such a name.
 */
export function selectPrograms(
  programs: readonly Program[],
  names: readonly string[] | undefined,
): Program[] {
  if (names === undefined) return [...programs];
  const known = programs.map(({ name }) => name);
  for (const name of names) {
    if (!known.includes(name)) {
      throw new Error(`--columns ${name}: must be one of ${known.join(", ")}`);
    }
  }
  const floors = programs.filter(({ name }) => names.includes(name))
    .map(({ floor }) => floor);
  return programs.filter(({ name }) =>
    names.includes(name) || floors.includes(name)
  );
}

/** Builds and installs what the programs need. */
export async function buildPrograms(
  programs: readonly Program[],
  folder: string,
): Promise<void> {
  const names = programs.map(({ name }) => name);
  const build = `${ROOT}.ci/build`;
  const deno = Deno.execPath();
  const quiet = { stdout: "null" } as const;
  await installFolder("nodes");
  if (programs.some(({ role }) => role === "peer")) {
    await installFolder("bench");
  }
  if (names.includes("bundle")) await writeBundle(`${folder}/alwaysup.js`);
  if (names.includes("executable")) {
    const args = ["run", "-A", `${build}/compile.ts`, "--runtime", "bun"];
    await runCommand(deno, args, quiet);
  }
  if (names.includes("npm-package")) {
    await runCommand(deno, ["run", "-A", `${build}/npm.ts`], quiet);
  }
  if (names.includes("bun-floor")) {
    // The flags of `.ci/build/compile.ts`, except `--smol`.
    await runCommand(await installBun(), [
      ...["build", `${DAEMONS}/forwarder_bun.mjs`],
      ...[`--outfile=${folder}/bun-floor`, ...BUN_COMPILE_FLAGS],
    ], quiet);
  }
}
