/**
 * The house's plan: which room may know which, and what a pure room may not
 * name.
 *
 * @module
 */

import { assert, assertEquals } from "./tools/assert.ts";
import { test } from "./tools/limit.ts";

const LIB = new URL("../lib/", import.meta.url);

/** The rooms by floor; a room imports only from floors below its own. */
const FLOORS: readonly (readonly string[])[] = [
  [
    "check",
    "env_text",
    "json_text",
    "host",
    "output",
    "parse",
    "paths",
    "ranked",
    "versions",
  ],
  ["capacity", "liveness", "place", "secrets"],
  ["backoff", "displacement", "handshakes"],
  ["jsonc", "toml", "jsonrpc", "settings", "link", "close_reason", "one_way"],
  ["awaited", "malformed", "frames", "ids", "entry_text"],
  ["envelope", "servers_text", "toml_text"],
  ["catalog"],
  ["hints"],
  ["safety", "asked", "clients", "memory"],
  ["deadline", "event", "listens", "memory_text", "client_file"],
  ["account", "config", "content_length", "late_answers", "naps", "repeats"],
  ["by_link"],
  ["hint_waits", "queue", "tasks", "entry_diff", "waits"],
  ["ledger", "links", "dialect", "fault", "tool_output", "health_file"],
  ["agreement", "client_ids"],
  ["mcp", "report", "exai_frame", "exai_local"],
  ["exai_call", "drops"],
  ["desk"],
  ["exai", "snapshot", "stand_in"],
  ["running", "compare"],
  ["running_check", "connections_check", "habits_check"],
  ["confirm"],
  ["tend"],
  ["unclear"],
  ["keeps_two"],
  ["standby"],
  ["framed", "from_client", "from_daemon"],
  ["session"],
  ["upgrade"],
  ["tls_fault"],
  ["stdio", "socket", "log", "host_deno", "host_node", "trust"],
  ["files"],
  ["host_here", "sources", "state", "in_place", "client_list"],
  ["presence", "keeping", "entry_settings"],
  ["install", "proxy", "status"],
  ["trial", "reach"],
  ["checkup"],
  ["doctor"],
];

/** Edges touch the world outside; every other room is pure. */
const EDGES = [
  ...["host_deno", "host_here", "host_node", "files", "log", "presence"],
  ...["proxy", "socket", "sources", "state", "status", "stdio", "trial"],
  ...[
    "checkup",
    "client_list",
    "doctor",
    "entry_settings",
    "in_place",
    "install",
    "keeping",
    "reach",
    "trust",
    "upgrade",
  ],
  "tls_fault",
];

/** What a pure room may not name: clocks, timers, chance, runtimes, consoles, promises. */
const IMPURE =
  /\b(Deno|process|Date|performance|setTimeout|setInterval|queueMicrotask|console|fetch|await|async)\b(?!["`\w])|Math\.random|\bimport\(|\bnew WebSocket/;

async function rooms(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name } of Deno.readDir(LIB)) {
    const source = await Deno.readTextFile(new URL(name, LIB));
    found.set(name.replace(/\.ts$/, ""), source);
  }
  return found;
}

/** The source without comments and the text of strings, in which every word is allowed. */
function code(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")
    .replace(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\$]|\\.|\$(?!\{))*`/g, '""');
}

test("every room is on a floor", async () => {
  const names = [...(await rooms()).keys()].toSorted();
  assertEquals(FLOORS.flat().toSorted(), names);
});

test("imports run down", async () => {
  const wrong: string[] = [];
  const floorOf = (name: string): number =>
    FLOORS.findIndex((floor) => floor.includes(name));
  for (const [name, source] of await rooms()) {
    for (const [, target] of source.matchAll(/from "\.\/(\w+)\.ts"/g)) {
      if (floorOf(target!) >= floorOf(name)) wrong.push(`${name} -> ${target}`);
    }
  }
  assertEquals(wrong, []);
});

test("rooms import nothing but rooms", async () => {
  const wrong: string[] = [];
  for (const [name, source] of await rooms()) {
    for (const [, target] of source.matchAll(/from "([^"]+)"/g)) {
      // The examples in the documentation are tests themselves.
      if (!/^\.\/\w+\.ts$|^@std\/assert\//.test(target!)) {
        wrong.push(`${name} -> ${target}`);
      }
    }
  }
  assertEquals(wrong, []);
});

test("pure rooms know no time, no chance, no runtime and no file", async () => {
  const wrong: string[] = [];
  for (const [name, source] of await rooms()) {
    if (EDGES.includes(name)) continue;
    const [found] = IMPURE.exec(code(source)) ?? [];
    if (found !== undefined) wrong.push(`${name}: ${found}`);
  }
  assertEquals(wrong, []);
});

test("only the hosts name a runtime", async () => {
  const wrong: string[] = [];
  for (const [name, source] of await rooms()) {
    if (name.startsWith("host")) continue;
    if (/\b(Deno\.|process\.|Bun\.)/.test(code(source))) wrong.push(name);
  }
  assertEquals(wrong, []);
});

test("no file has more than 500 lines", async () => {
  const large: string[] = [];
  for (const [name, source] of await rooms()) {
    const lines = source.split("\n").length;
    if (lines > 500) large.push(`${name}: ${lines}`);
  }
  assertEquals(large, []);
});

test("no URL's pathname is taken for a path: a folder may have a space, and Windows drives", async () => {
  const wrong: string[] = [];
  for (const file of await scripts(new URL("./", import.meta.url))) {
    const source = await Deno.readTextFile(file);
    if (/import\.meta\.url\)\.pathname/.test(source)) wrong.push(file.href);
  }
  assertEquals(wrong, []);
});

/** The scripts of a folder and of those in it, but for what npm has installed. */
async function scripts(folder: URL): Promise<URL[]> {
  const found: URL[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory && name !== "node_modules") {
      found.push(...await scripts(new URL(`${name}/`, folder)));
    } else if (/\.m?[jt]s$/.test(name)) found.push(new URL(name, folder));
  }
  return found;
}

/** The only scripts that may name npm, npx or a package of npm's in their code, and why. */
const MAY_NAME_NPM = [
  "tools/install.ts", // installs before the first test
  "tools/rig.ts", // replaces npx by the Deno that runs
  "dist.ts", // npm pack, and npm install --offline
  ...["pure/clients_test.ts", "pure/entry_diff_test.ts"], // texts only
  ...["pure/clients_schema_test.ts", "config_test.ts"], // texts only
  "e2e/install_test.ts", // texts only
  "architecture_test.ts",
];

test("no test fetches anything", async () => {
  const base = new URL("./", import.meta.url);
  const wrong: string[] = [];
  for (const file of await scripts(base)) {
    const path = file.href.slice(base.href.length);
    if (MAY_NAME_NPM.includes(path)) continue;
    const source = (await Deno.readTextFile(file))
      .replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
    const [found] = /\bnpx\b|"npm:|\bnpm (?!package)\w+|"npm(?:\.cmd)?"/
      .exec(source) ?? [];
    if (found !== undefined) wrong.push(`${path}: ${found}`);
  }
  assertEquals(wrong, []);
  const dist = await Deno.readTextFile(new URL("dist.ts", base));
  const uses = dist.matchAll(/\bnpm (?!package)[a-z]+(?: --\w+)?/g);
  assertEquals([...uses].map(([use]) => use), [
    "npm pack --silent",
    "npm install --offline",
  ]);
});

test("every test has a limit", async () => {
  const wrong: string[] = [];
  for (const file of await scripts(new URL("./", import.meta.url))) {
    const source = await Deno.readTextFile(file);
    if (file.href.endsWith("/tools/limit.ts")) continue;
    if (/^ *Deno\.test\(/m.test(source)) wrong.push(file.href);
  }
  assertEquals(wrong, []);
});

test("run, demo, compile and npm import no package, so that nothing is fetched before they start", async () => {
  const starts = ["../main.ts", "tools/demo.ts", "tools/demo_daemon.ts"];
  starts.push("tools/compile.ts", "tools/npm.ts", "tools/install.ts");
  const waiting = starts.map((path) => new URL(path, import.meta.url).href);
  const seen = new Set<string>();
  const packages: string[] = [];
  for (let href = waiting.pop(); href !== undefined; href = waiting.pop()) {
    if (seen.has(href)) continue;
    seen.add(href);
    const source = await Deno.readTextFile(new URL(href));
    const imports = source.matchAll(
      /^(?:import|export) (?!type\b)[^;]*?from "([^"]+)"|\bimport\("([^"]+)"\)/gm,
    );
    for (const [, fixed, late] of imports) {
      const target = fixed ?? late!;
      if (/^\.\.?\//.test(target)) waiting.push(new URL(target, href).href);
      else if (!target.startsWith("node:")) packages.push(`${href}: ${target}`);
    }
  }
  assert(seen.size > 60);
  assertEquals(packages, []);
});
