/**
 * Creates the npm package in `dist/npm/`. It contains the bundle for Node.
 *
 *     deno task npm
 *
 * @module
 */

import {
  DIST,
  LOAD_BUILTIN,
  replaceOnce,
  ROOT,
  VERSION,
  writeBundle,
} from "./bundle.ts";

const FOLDER = `${DIST}npm/`;
const BIN = `${FOLDER}alwaysup.js`;
/** The licences of the bundled packages, which each copy of them must have. */
const LICENSES = "LICENSES-PACKAGES";

/** The line of the bundle that defines how the package `ws` loads modules. */
const REQUIRE = "var __require = " +
  "__deno_internal_createRequire(import.meta.url);";
/**
 * Replaces {@linkcode REQUIRE}. A connection without TLS and compression needs
 * none of the lazy modules, which would take 5 ms at the start. `ws` also tries
 * to load two native packages, which must not come from a folder around the
 * bundle.
 */
const LAZY_REQUIRE = `
var requireBuiltin = __deno_internal_createRequire(import.meta.url);
var __require = (name) => {
  if (!name.startsWith("node:")) throw new Error(name + " is not loaded");
  return /^node:(https|tls|zlib)$/.test(name)
    ? new Proxy({}, { get: (_, member) => requireBuiltin(name)[member] })
    : requireBuiltin(name);
};`;

await Deno.mkdir(FOLDER, { recursive: true });
await writeBundle(BIN, ".ci/build/npm_main.ts");
const bundle = await Deno.readTextFile(BIN);
const source = replaceOnce(
  replaceOnce(bundle, REQUIRE, LAZY_REQUIRE),
  LOAD_BUILTIN,
  // `process.getBuiltinModule` exists only since Node 22.3.
  "var __loadBuiltin = (name) => requireBuiltin(name);",
);
await Deno.writeTextFile(BIN, `#!/usr/bin/env node\n${source}`);
await Deno.chmod(BIN, 0o755).catch((error) => {
  // Windows has no such permission. npm sets it for the files in "bin".
  if (!(error instanceof Deno.errors.NotSupported)) throw error;
});
const description = "Keeps an MCP client connected to a daemon behind a " +
  "WebSocket while the daemon restarts";
await Deno.writeTextFile(
  `${FOLDER}package.json`,
  `${
    JSON.stringify(
      {
        name: "alwaysup",
        version: VERSION,
        description,
        keywords: ["mcp", "stdio", "websocket", "proxy", "reconnect"],
        license: "MIT",
        type: "module",
        bin: { alwaysup: "alwaysup.js" },
        engines: { node: ">=22" },
        files: ["alwaysup.js", LICENSES],
      },
      null,
      2,
    )
  }\n`,
);
for (const name of ["README.md", "LICENSE"]) {
  await Deno.copyFile(`${ROOT}${name}`, `${FOLDER}${name}`);
}
await Deno.copyFile(`${ROOT}.ci/build/${LICENSES}`, `${FOLDER}${LICENSES}`);
