/**
 * The house's plan: which room may know which, and what a pure room may not
 * name.
 *
 * @module
 */

import { assert, assertEquals } from "./tools/assert.ts";

const LIB = new URL("../lib/", import.meta.url);

/** The rooms by floor; a room imports only from floors below its own. */
const FLOORS: readonly (readonly string[])[] = [
  ["json_text", "host", "output", "parse", "pulse", "versions"],
  ["jsonc", "jsonrpc", "settings", "link"],
  ["catalog"],
  ["safety", "asked", "clients", "memory", "servers_text"],
  ["deadline", "event", "listens", "memory_text"],
  ["account", "config", "naps"],
  ["queue", "tasks", "entry_diff"],
  ["ledger", "links", "dialect", "fault", "tool_output", "health_file"],
  ["agreement"],
  ["mcp", "report", "exai_frame", "exai_local"],
  ["exai_call", "desk"],
  ["exai", "snapshot", "stand_in"],
  ["running", "compare"],
  ["tend"],
  ["doubt"],
  ["from_client", "from_daemon"],
  ["session"],
  ["stdio", "socket", "log", "host_deno", "host_node", "files", "in_place"],
  ["host_here", "sources", "state"],
  ["presence"],
  ["install", "proxy", "status", "upgrade"],
  ["trial", "reach"],
  ["checkup"],
  ["doctor"],
];

/** Edges touch the world outside; every other room is pure. */
const EDGES = [
  ...["host_deno", "host_here", "host_node", "files", "log", "presence"],
  ...["proxy", "socket", "sources", "state", "status", "stdio", "trial"],
  ...["checkup", "doctor", "in_place", "install", "reach", "upgrade"],
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

Deno.test("every room is on a floor", async () => {
  const names = [...(await rooms()).keys()].toSorted();
  assertEquals(FLOORS.flat().toSorted(), names);
});

Deno.test("imports run down", async () => {
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

Deno.test("rooms import nothing but rooms", async () => {
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

Deno.test("pure rooms know no time, no chance, no runtime and no file", async () => {
  const wrong: string[] = [];
  for (const [name, source] of await rooms()) {
    if (EDGES.includes(name)) continue;
    const [found] = IMPURE.exec(code(source)) ?? [];
    if (found !== undefined) wrong.push(`${name}: ${found}`);
  }
  assertEquals(wrong, []);
});

Deno.test("only the hosts name a runtime", async () => {
  const wrong: string[] = [];
  for (const [name, source] of await rooms()) {
    if (name.startsWith("host")) continue;
    if (/\b(Deno\.|process\.|Bun\.)/.test(code(source))) wrong.push(name);
  }
  assertEquals(wrong, []);
});

Deno.test("a room stays a room: at most 400 lines", async () => {
  const large: string[] = [];
  for (const [name, source] of await rooms()) {
    const lines = source.split("\n").length;
    if (lines > 400) large.push(`${name}: ${lines}`);
  }
  assertEquals(large, []);
});

Deno.test("no URL's pathname is taken for a path: a folder may have a space, and Windows drives", async () => {
  const wrong: string[] = [];
  for (const folder of ["./", "./e2e/", "./mutation/", "./pure/", "./tools/"]) {
    const url = new URL(folder, import.meta.url);
    for await (const { name, isFile } of Deno.readDir(url)) {
      const source = isFile ? await Deno.readTextFile(new URL(name, url)) : "";
      if (/import\.meta\.url\)\.pathname/.test(source)) wrong.push(name);
    }
  }
  assertEquals(wrong, []);
});

/** The scripts of a folder and of those in it, but for what npm has installed. */
async function scripts(folder: URL): Promise<URL[]> {
  const found: URL[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory && name !== "node_modules") {
      found.push(...await scripts(new URL(`${name}/`, folder)));
    } else if (name.endsWith(".ts")) found.push(new URL(name, folder));
  }
  return found;
}

Deno.test("a test fetches nothing: npm and npx run before the first one", async () => {
  const fetching =
    /(?:Child|Command)\(\s*"(?:npx|npm)"|\bnpm (?:i|install|ci|exec|x)\b(?! --offline)/;
  const files = await scripts(new URL("./", import.meta.url));
  const tests = files.filter(({ href }) => /(_test|\/dist)\.ts$/.test(href));
  assert(tests.length > 30);
  const wrong: string[] = [];
  for (const file of tests) {
    const source = await Deno.readTextFile(file);
    const [found] = fetching.exec(source.replace(/\/\/.*$/gm, "")) ?? [];
    if (found !== undefined) wrong.push(`${file.pathname}: ${found}`);
  }
  assertEquals(wrong, []);
});

Deno.test("run, demo, compile and npm import no package, so that nothing is fetched before they start", async () => {
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
