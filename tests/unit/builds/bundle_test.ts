/**
 * Tests how the text of a bundle is changed: modules of Node are loaded at
 * their first use, and paths do not depend on the machine.
 *
 * @module
 */

import {
  LOAD_BUILTIN,
  replaceOnce,
  withLazyNodeImports,
  withoutCachePaths,
} from "../../../.ci/build/bundle.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** The last lines of a bundle, after the declarations of its lazy imports. */
function restOf(bundle: string): string {
  assert(bundle.startsWith(`${LOAD_BUILTIN}\n`));
  return bundle.slice(bundle.indexOf("\n};\n") + 4).trim();
}

const LAZY: [imports: string, declarations: string][] = [
  ['import fs from "node:fs";', 'var fs = __lazyBuiltin("node:fs");'],
  [
    'import { promisify } from "node:util";',
    'var promisify = __lazyBuiltin("node:util", "promisify");',
  ],
  [
    'import { join as join2, dirname } from "node:path";',
    'var join2 = __lazyBuiltin("node:path", "join");\n' +
    'var dirname = __lazyBuiltin("node:path", "dirname");',
  ],
  [
    'import {\n  readFile,\n  writeFile\n} from "node:fs/promises";',
    'var readFile = __lazyBuiltin("node:fs/promises", "readFile");\n' +
    'var writeFile = __lazyBuiltin("node:fs/promises", "writeFile");',
  ],
];
for (const [imports, declarations] of LAZY) {
  test(`Bundle: ${imports.split("\n").join(" ")} becomes lazy`, () => {
    const bundle = withLazyNodeImports(`f();\n${imports}\ng();\n`);
    assertEquals(restOf(bundle), `${declarations}\nf();\n\ng();`);
  });
}

const UNCHANGED = [
  'const fs = await import("node:fs");',
  'import { createRequire as __deno_internal_createRequire } from "node:module";',
  'var text = "import fs from node:fs";',
  " * import fs from 'node:fs';",
];
for (const text of UNCHANGED) {
  test(`Bundle: ${text} is not changed`, () => {
    assertEquals(withLazyNodeImports(`${text}\n`), `${text}\n`);
  });
}

const UNKNOWN = [
  'import * as fs from "node:fs";',
  'import fs, { join } from "node:fs";',
  'import "node:fs";',
  'export { join } from "node:path";',
  'export * from "node:path";',
  'import fs from "node:fs" with { type: "x" };',
  // No function, so it could not be replaced.
  'import { sep } from "node:path";',
  'import { nothing } from "node:path";',
  "import fs from 'node:fs';",
];
for (const text of UNKNOWN) {
  test(`Bundle: ${text} is reported, because it cannot be made lazy`, () => {
    assertThrows(
      () => withLazyNodeImports(`f();\n${text}\n`),
      Error,
      `cannot be made lazy: ${text} (`,
    );
  });
}

test("Bundle: lazy names are the functions and objects of the modules", () => {
  const bundle = withLazyNodeImports(
    'import path from "node:path";\n' +
      'import { promisify } from "node:util";\n' +
      "return [path.join('a', 'b'), promisify((f) => f(null, 1))()];\n",
  );
  const [joined, promised] = new Function(bundle)() as [string, unknown];
  assertEquals(joined.replace("\\", "/"), "a/b");
  assert(promised instanceof Promise);
});

const PATHS: [path: string, shown: string][] = [
  [
    "// ../.cache/deno/npm/registry.npmjs.org/ws/8.23.0/lib/a.js",
    "// npm/ws/8.23.0/lib/a.js",
  ],
  [
    '  "/home/u/deno/npm/registry.npmjs.org/@logtape/file/2.3.10/dist/mod.js"() {',
    '  "npm/@logtape/file/2.3.10/dist/mod.js"() {',
  ],
  ["// lib/npm/a.ts", "// lib/npm/a.ts"],
];
for (const [path, shown] of PATHS) {
  test(`Bundle: the path in ${path} is shown without the machine's folders`, () => {
    assertEquals(withoutCachePaths(path), shown);
  });
}

test("Bundle: a part is replaced as it is written, and must occur exactly once", () => {
  assertEquals(replaceOnce("a (b) c", "(b)", "$& $1"), "a $& $1 c");
  for (const text of ["a c", "a (b) (b) c"]) {
    assertThrows(
      () => replaceOnce(text, "(b)", "d"),
      Error,
      "(b) must occur exactly once in the bundle",
    );
  }
});
