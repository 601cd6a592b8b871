/**
 * Checks the architecture: which folder may import which, and which names pure
 * code may not use.
 *
 * @module
 */

import { assert, assertEquals } from "./helpers/assert.ts";
import { test } from "./helpers/time_limit.ts";
import { type Token, tokenize } from "./mutation/pattern.ts";

const LIB = new URL("../lib/", import.meta.url);

/** A folder of `lib/`. If it is pure, `impureFiles` lists the exceptions. */
interface Folder {
  readonly name: string;
  readonly kind: "pure" | "edge";
  readonly impureFiles?: readonly string[];
}

/**
 * The folders. Files import only from their own folder and from earlier ones in
 * this list.
 */
const FOLDERS: readonly Folder[] = [
  { name: "text", kind: "pure" },
  { name: "json", kind: "pure" },
  { name: "protocol", kind: "pure" },
  { name: "link", kind: "pure" },
  { name: "requests", kind: "pure" },
  { name: "runtime", kind: "edge" },
  { name: "config", kind: "pure", impureFiles: ["load"] },
  { name: "cache", kind: "pure" },
  { name: "", kind: "pure" }, // events.ts
  { name: "dialects", kind: "pure" },
  { name: "dialects/mcp", kind: "pure" },
  { name: "dialects/exai", kind: "pure" },
  { name: "session", kind: "pure" },
  { name: "telemetry", kind: "pure", impureFiles: ["metrics_text"] },
  { name: "transport", kind: "edge" },
  { name: "proxy", kind: "edge" },
  { name: "clients", kind: "pure" },
  { name: "commands", kind: "edge" },
  { name: "commands/doctor", kind: "edge" },
];

/**
 * The names that pure code may not use: clocks, timers, randomness, promises,
 * consoles, networks, files and runtimes.
 */
const IMPURE_NAMES: ReadonlySet<string> = new Set(
  ("Date performance Temporal Intl setTimeout setInterval setImmediate " +
    "queueMicrotask AbortSignal AbortController crypto Promise async await " +
    "console fetch WebSocket EventSource XMLHttpRequest BroadcastChannel " +
    "Worker localStorage sessionStorage navigator location alert confirm " +
    "prompt eval Function").split(" "),
);

/** Names of runtimes, and names through which any name can be reached. */
const RUNTIME_NAMES: ReadonlySet<string> = new Set(
  "Deno process Bun globalThis global self window require".split(" "),
);

/**
 * The only file that may import from the MCP SDK, and a pattern for the SDK's
 * packages. The file imports only types.
 */
const SDK_IMPORT = {
  file: "protocol/mcp_types.ts",
  from: /^npm:@modelcontextprotocol\/(?:client|sdk)@\d/,
};

/** The only file outside `lib/runtime/` that may import modules of Node. */
const NODE_IMPORT = {
  file: "transport/reachability.ts",
  from: /^node:(?:net|dns\/promises)$/,
};

/** The packages in the bundle, each with the files that may import it. */
const PACKAGES: ReadonlyMap<string, readonly string[]> = new Map([
  ["npm:/deno-std@1.3.4/async/delay.js", ["runtime/timeout.ts"]],
  // Loaded only after an unknown word.
  ["npm:/deno-std@1.3.4/text/levenshtein_distance.js", ["text/suggest.ts"]],
  // Loaded only to write metrics.
  ["npm:/prom-client@15.1.3/lib/registry.js", ["telemetry/metrics_text.ts"]],
  // Only commands load these.
  ["npm:/jsonc-parser@3.3.1", ["clients/json_edit.ts", "clients/toml_edit.ts"]],
  ["npm:/toml-eslint-parser@1.0.3", ["clients/toml_edit.ts"]],
  // Loaded only with `--log-file`.
  ["npm:/@logtape/logtape@2.4.2", ["proxy/file_sink.ts"]],
  ["npm:/@logtape/file@2.3.10", ["proxy/file_sink.ts"]],
]);

/** The packages that each start loads. */
const START_PACKAGES = ["npm:/deno-std@1.3.4/async/delay.js"];

/** A file of `lib/`. */
interface Source {
  /** The path relative to `lib/`, e.g. `link/backoff.ts`. */
  readonly path: string;
  readonly folder: string;
  /** The name without folder and extension. */
  readonly name: string;
  readonly text: string;
}

async function readSources(): Promise<Source[]> {
  const files = await findScripts(LIB);
  return await Promise.all(files.map(async (file) => {
    const path = file.href.slice(LIB.href.length);
    const end = path.lastIndexOf("/");
    const folder = path.slice(0, Math.max(0, end));
    const name = path.slice(end + 1).replace(/\.ts$/, "");
    return { path, folder, name, text: await Deno.readTextFile(file) };
  }));
}

/** Matches an import or export that loads a module, and captures its target. */
const STATIC_IMPORT =
  /^(?:import|export) (?!type\b)(?:[^;]*?from )?"([^"]+)"/gm;

/** Returns the files that others load, and the other imports of all of them. */
async function followImports(
  starts: readonly string[],
  pattern: RegExp,
): Promise<{
  files: string[];
  packages: { href: string; target: string }[];
}> {
  const waiting = starts.map((path) => new URL(path, import.meta.url).href);
  const seen = new Set<string>();
  const packages: { href: string; target: string }[] = [];
  for (let href = waiting.pop(); href !== undefined; href = waiting.pop()) {
    if (seen.has(href)) continue;
    seen.add(href);
    const source = await Deno.readTextFile(new URL(href));
    for (const targets of source.matchAll(pattern)) {
      const target = targets.slice(1).find((it) => it !== undefined)!;
      if (/^\.\.?\//.test(target)) waiting.push(new URL(target, href).href);
      else packages.push({ href, target });
    }
  }
  return { files: [...seen], packages };
}

function isPure({ folder, name }: Source): boolean {
  const { kind, impureFiles = [] } = FOLDERS.find((it) => it.name === folder)!;
  return kind === "pure" && !impureFiles.includes(name);
}

/** Returns whether a token is neither a member of something nor a key. */
function isFreeName(tokens: readonly Token[], index: number): boolean {
  const before = tokens[index - 1]?.value;
  const after = tokens[index + 1]?.value;
  return before !== "." && before !== "?." &&
    !(after === ":" && (before === "{" || before === ","));
}

/** Returns the first of some names that a file uses. */
function findName(
  tokens: readonly Token[],
  names: ReadonlySet<string>,
): string | undefined {
  return tokens.find(({ kind, value }, index) =>
    kind !== "string" && names.has(value) && isFreeName(tokens, index)
  )?.value;
}

/** Returns another impure use: randomness, `import()` or `import.meta`. */
function findImpureUse(tokens: readonly Token[]): string | undefined {
  for (const [index, { kind, value }] of tokens.entries()) {
    const [next, member] = tokens.slice(index + 1, index + 3)
      .map((token) => token.value);
    if (kind === "keyword" && value === "import" && /^[.(]$/.test(next!)) {
      return `import${next}`;
    }
    // Math as a value would also give access to Math.random().
    if (
      kind === "name" && value === "Math" && isFreeName(tokens, index) &&
      (next !== "." || member === "random")
    ) return "Math.random";
  }
  return undefined;
}

/**
 * Returns the imports of a file: paths relative to `lib/` for our own files,
 * and anything else as written.
 */
function importsOf({ path, text }: Source): string[] {
  return [...text.matchAll(/\b(?:from|import)\s*\(?\s*["']([@.\w/:-]+)["']/g)]
    .map(([, target]) => {
      if (!target!.startsWith(".")) return target!;
      return new URL(target!, LIB.href + path).href.slice(LIB.href.length);
    });
}

test("architecture: the table has every folder of lib/ once", async () => {
  const folders = new Set((await readSources()).map(({ folder }) => folder));
  assertEquals(
    FOLDERS.map(({ name }) => name).toSorted(),
    [...folders].toSorted(),
  );
});

test("architecture: the table in CONTRIBUTING.md is this one", async () => {
  const text = await Deno.readTextFile(
    new URL("../CONTRIBUTING.md", import.meta.url),
  );
  const rows = text.matchAll(/^\| `(lib\/[^`]*|main\.ts)` +\| (\w+) +\|/gm);
  const expected = FOLDERS.map(({ name, kind }) => {
    return [name === "" ? "lib/events.ts" : `lib/${name}/`, kind];
  });
  assertEquals([...rows].map(([, folder, kind]) => [folder, kind]), [
    ...expected,
    ["main.ts", "edge"],
  ]);
  const files = (await readSources()).filter(({ folder }) => folder === "");
  assertEquals(files.map(({ path }) => path), ["events.ts"]);
});

test("architecture: imports run downwards by folder", async () => {
  const wrong: string[] = [];
  const level = (folder: string): number =>
    FOLDERS.findIndex(({ name }) => name === folder);
  const files = await readSources();
  for (const file of files) {
    for (const target of importsOf(file)) {
      const found = files.find(({ path }) => path === target);
      // Examples in doc comments are tests, which may import assertions.
      const isAllowed = found === undefined
        ? /^@std\/assert\//.test(target) ||
          file.folder === "runtime" && target.startsWith("node:") ||
          file.path === NODE_IMPORT.file && NODE_IMPORT.from.test(target) ||
          PACKAGES.get(target)?.includes(file.path) ||
          file.path === SDK_IMPORT.file && SDK_IMPORT.from.test(target)
        : level(found.folder) <= level(file.folder);
      if (!isAllowed) wrong.push(`${file.path} -> ${target}`);
    }
  }
  assertEquals(wrong, []);
});

test("architecture: the functions in parentheses in CONTRIBUTING's straight path exist", async () => {
  const url = new URL("../CONTRIBUTING.md", import.meta.url);
  const text = await Deno.readTextFile(url);
  const names = [...text.matchAll(/^\d+\. `[^`]+` .*\((`.*`)\)/gm)]
    .flatMap(([, list]) => list!.replaceAll("`", "").split(", "));
  assert(names.length > 5);
  const source = (await readSources()).map(({ text }) => text).join("\n");
  const missing = names.filter((name) => {
    const [method, type = "function"] = name.split(".").reverse();
    return !new RegExp(`(?:class|interface) ${type} `).test(source) &&
        type !== "function" || !new RegExp(`\\b${method}\\(`).test(source);
  });
  assertEquals(missing, []);
});

test("architecture: pure code imports only types from impure code", async () => {
  const wrong: string[] = [];
  const files = await readSources();
  for (const file of files.filter(isPure)) {
    const text = file.text.replace(/^import type [^;]*;/gm, "");
    for (const target of importsOf({ ...file, text })) {
      const found = files.find(({ path }) => path === target);
      if (found !== undefined && !isPure(found)) {
        wrong.push(`${file.path} -> ${target}`);
      }
    }
  }
  assertEquals(wrong, []);
});

test("architecture: only types are imported from the MCP SDK, in the versions that the tests use", async () => {
  const read = (path: string): Promise<string> =>
    Deno.readTextFile(new URL(path, import.meta.url));
  const file = (await readSources()).find(({ path }) =>
    path === SDK_IMPORT.file
  )!;
  const targets = importsOf(file);
  const rest = file.text.replace(/^import type [^;]*;/gm, "");
  assertEquals(importsOf({ ...file, text: rest }), []);
  // The documentation is linted without these packages. With them, their types
  // would need doc comments, too.
  const none = JSON.parse(await read("../.ci/build/no_types.json")) as {
    imports: Record<string, string>;
  };
  assertEquals(Object.keys(none.imports), targets);
  const config = await read("deno.json");
  for (const target of targets) {
    const [version] = /@modelcontextprotocol\/\w+@[\d.]+/.exec(target)!;
    assert(
      config.includes(version),
      `the tests use another version of ${target}`,
    );
  }
});

test("architecture: deno.json names no package, because a task fetches every named package before it starts", async () => {
  const text = await Deno.readTextFile(
    new URL("../deno.json", import.meta.url),
  );
  const { imports, lock } = JSON.parse(text) as Record<string, unknown>;
  assertEquals([imports, lock], [undefined, false]);
});

test("architecture: no file imports itself, directly or through other files", async () => {
  const files = new Map((await readSources()).map((file) => [file.path, file]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) circles.push([...way, path].join(" -> "));
    const file = files.get(path);
    if (file === undefined || done.has(path)) return;
    done.add(path);
    for (const target of importsOf(file)) visit(target, [...way, path]);
  };
  for (const path of files.keys()) visit(path, []);
  assertEquals(circles, []);
});

test("architecture: pure code uses no clock, no randomness, no runtime and no file", async () => {
  const wrong: string[] = [];
  for (const file of (await readSources()).filter(isPure)) {
    const tokens = tokenize(file.text);
    const found = findName(tokens, IMPURE_NAMES) ?? findImpureUse(tokens);
    if (found !== undefined) wrong.push(`${file.path}: ${found}`);
  }
  assertEquals(wrong, []);
});

test("architecture: only lib/runtime/ names a runtime", async () => {
  const wrong: string[] = [];
  for (const { folder, path, text } of await readSources()) {
    if (folder === "runtime") continue;
    const found = findName(tokenize(text), RUNTIME_NAMES);
    if (found !== undefined) wrong.push(`${path}: ${found}`);
  }
  assertEquals(wrong, []);
});

test("architecture: Node's modules are loaded when they are needed, not at the start", async () => {
  const wrong: string[] = [];
  for (const { path, text } of await readSources()) {
    const staticTarget = /^(?:import|export) (?!type\b)[^;(]*"node:/m;
    if (staticTarget.test(text)) wrong.push(path);
  }
  assertEquals(wrong, []);
});

test("architecture: a start of the proxy loads only START_PACKAGES", async () => {
  // The proxy is imported dynamically, but at each start.
  const starts = ["../main.ts", "../lib/proxy/proxy.ts"];
  const { files, packages } = await followImports(starts, STATIC_IMPORT);
  const inLib = files.filter((href) => href.startsWith(LIB.href));
  assert(inLib.length > 60, `${inLib.length} files`);
  assertEquals([...new Set(packages.map((it) => it.target))], START_PACKAGES);
});

/** The names of texts that are written for people. */
const PROSE =
  "(?:reason|why|message|lastError|lastFailure|refusal|problem|advice|words|note|errorText|logText)";

/** Matches code that decides by such a text, or by the name of a log event. */
const READS_PROSE = new RegExp(
  [
    `\\b${PROSE}[!)]*\\??\\.(?:includes|startsWith|endsWith|match|matchAll|search|indexOf)\\(`,
    `\\.(?:test|exec)\\([^()\`]*\\b${PROSE}\\b(?![.[])`,
    "\\berror\\.message\\s*[!=]==",
    "\\bevent\\s*[!=]==|\\bswitch \\((?:event|reason|why)\\)",
  ].join("|"),
);

/**
 * The files that may read texts of other programs. They turn these into fields
 * at once.
 */
const MAY_READ_PROSE = [
  "transport/failure_reasons.ts", // what runtimes report about connections
  "runtime/deno.ts", // what Deno reports about a failed dial
  "dialects/exai/frames.ts", // the exai daemon's errors
  "text/error_message.ts", // whether a runtime's error has any text
];

test("architecture: no code parses texts that are written for people", async () => {
  const wrong: string[] = [];
  for (const { path, text } of await readSources()) {
    if (MAY_READ_PROSE.includes(path)) continue;
    const bare = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
    const [found] = READS_PROSE.exec(bare) ?? [];
    if (found !== undefined) wrong.push(`${path}: ${found}`);
  }
  assertEquals(wrong, []);
});

/** The maximum length of a function in `lib/`, in lines. */
const MAX_FUNCTION_LINES = 60;
/** Matches the first line of a function or method, as formatted. */
const FUNCTION_START =
  /^( *)(?:export |default |static |async |get |set |override |readonly )*(?:function\*? \w+|\*?#?\w+(?:<[^>]*>)?\(|(?:const )?#?\w+ = (?:async )?\()/;
const STATEMENT_START =
  /^ *(?:if|for|while|switch|catch|return|await|throw|else|do|super|this|void|new|case)\b/;

/** Returns the functions of a file that are too long, with their lengths. */
function longFunctions({ path, text }: Source): string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, start) => {
    const indent = FUNCTION_START.exec(line)?.[1];
    if (indent === undefined || STATEMENT_START.test(line)) return [];
    // The last line has the indentation of the first, unless there is no body.
    const isOutside = (it: string): boolean =>
      it.startsWith(indent) && /^[^ )|]/.test(it.slice(indent.length));
    const length = lines.slice(start + 1).findIndex(isOutside) + 2;
    const hasBody = lines[start + length - 1]?.startsWith(`${indent}}`);
    return hasBody && length > MAX_FUNCTION_LINES
      ? [`${path}: ${line.trim()} ${length} lines`]
      : [];
  });
}

test("architecture: no function has more than 60 lines", async () => {
  assertEquals((await readSources()).flatMap(longFunctions), []);
});

test("architecture: no two files of lib/ declare the same name", async () => {
  const files = new Map<string, string[]>();
  const declaration =
    /^(?:export )?(?:default )?(?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const|let|var|type|interface|enum|namespace) (\w+)/gm;
  for (const { path, text } of await readSources()) {
    const names = [...text.matchAll(declaration)].map(([, name]) => name!);
    for (const name of new Set(names)) {
      files.set(name, [...files.get(name) ?? [], path]);
    }
  }
  const twice = [...files].filter(([, paths]) => paths.length > 1)
    .map(([name, paths]) => `${name}: ${paths.join(", ")}`);
  assertEquals(twice, []);
});

test("architecture: no URL's pathname is used as a path: a folder's name may have a space, and Windows has drives", async () => {
  const wrong: string[] = [];
  for (const file of await findScripts(new URL("./", import.meta.url))) {
    const source = await Deno.readTextFile(file);
    if (/import\.meta\.url\)\.pathname/.test(source)) wrong.push(file.href);
  }
  assertEquals(wrong, []);
});

/**
 * Returns the scripts in a folder and its subfolders, except in `node_modules`.
 */
async function findScripts(folder: URL): Promise<URL[]> {
  const found: URL[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory && name !== "node_modules") {
      found.push(...await findScripts(new URL(`${name}/`, folder)));
    } else if (/\.m?[jt]s$/.test(name)) found.push(new URL(name, folder));
  }
  return found;
}

/** The only scripts whose code may name npm, npx or an npm package, and why. */
const MAY_NAME_NPM = [
  "helpers/process.ts", // replaces npx by the running Deno
  "builds/dist.ts", // npm pack, and npm install --offline
  "config_files_test.ts", // texts only
  "unit/clients/redacted_diff_test.ts", // texts only
  "unit/clients/registry_schema_test.ts", // texts only
  "unit/clients/registry_test.ts", // texts only
  "e2e/install_test.ts", // texts only
  "architecture_test.ts",
];

test("architecture: no test fetches anything", async () => {
  const base = new URL("./", import.meta.url);
  const wrong: string[] = [];
  for (const file of await findScripts(base)) {
    const path = file.href.slice(base.href.length);
    if (MAY_NAME_NPM.includes(path)) continue;
    const source = (await Deno.readTextFile(file))
      .replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
    const [found] = /\bnpx\b|"npm:|\bnpm (?!package)\w+|"npm(?:\.cmd)?"/
      .exec(source) ?? [];
    if (found !== undefined) wrong.push(`${path}: ${found}`);
  }
  assertEquals(wrong, []);
  const dist = await Deno.readTextFile(new URL("builds/dist.ts", base));
  const uses = dist.matchAll(/\bnpm (?!package)[a-z]+(?: --\w+)?/g);
  assertEquals([...uses].map(([use]) => use), [
    "npm pack --silent",
    "npm install --offline",
  ]);
});

test("architecture: a task that starts proxies from source has fetched what they import", async () => {
  const read = (path: string): Promise<string> =>
    Deno.readTextFile(new URL(`../${path}`, import.meta.url));
  const { tasks } = JSON.parse(await read("deno.json")) as {
    tasks: Record<string, { command: string }>;
  };
  const wrong: string[] = [];
  for (const [name, { command }] of Object.entries(tasks)) {
    const [, before, script] =
      /^(.*)deno run --quiet -A (tests\/[\w/]+\.ts)$/.exec(command) ?? [];
    if (script === undefined) continue;
    if (!/helpers\/\w*process\w*\.ts"/.test(await read(script))) continue;
    const fetches = /main\.ts --version|deno install|task --quiet fetch/;
    if (!fetches.test(before!)) wrong.push(name);
  }
  assertEquals(wrong, []);
});

test("architecture: every test has a time limit", async () => {
  const wrong: string[] = [];
  for (const file of await findScripts(new URL("./", import.meta.url))) {
    const source = await Deno.readTextFile(file);
    if (file.href.endsWith("/helpers/time_limit.ts")) continue;
    if (/^ *Deno\.test\(/m.test(source)) wrong.push(file.href);
  }
  assertEquals(wrong, []);
});

test("architecture: a test's title begins with its subject and a colon", async () => {
  const wrong: string[] = [];
  for (const file of await findScripts(new URL("./", import.meta.url))) {
    const tokens = tokenize(await Deno.readTextFile(file));
    for (const [index, { kind, value }] of tokens.entries()) {
      if (value !== "test" || tokens[index + 1]?.value !== "(") continue;
      const before = tokens[index - 1]?.value ?? "";
      const title = tokens[index + 2]?.value ?? "";
      // A member or a parameter named `test` is not followed by a title.
      if (kind !== "name" || before === "." || !/^["`]/.test(title)) continue;
      if (!/^["`][^:"`$]+: ./.test(title)) wrong.push(`${file.href}: ${title}`);
    }
  }
  assertEquals(wrong, []);
});

test("architecture: the tasks `run`, `demo`, `compile` and `npm` import only the packages in PACKAGES, so that a first start fetches no others", async () => {
  const starts = ["../main.ts", "demo.ts", "daemons/demo_daemon.ts"];
  const build = ["compile", "npm", "install_packages", "npm_main"];
  starts.push(...build.map((name) => `../.ci/build/${name}.ts`));
  const anyImport = new RegExp(
    `${STATIC_IMPORT.source}|\\bimport\\("([^"]+)"\\)`,
    "gm",
  );
  const { files, packages } = await followImports(starts, anyImport);
  assert(files.length > 60);
  const wrong = packages.filter(({ target }) =>
    !target.startsWith("node:") && !PACKAGES.has(target)
  );
  assertEquals(wrong, []);
});
