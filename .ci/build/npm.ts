/**
 * Creates the npm package in `dist/npm/`. It contains the bundle for Node.
 *
 *     deno task npm
 *
 * @module
 */

import { DIST, ROOT, VERSION, writeBundle } from "./bundle.ts";

const FOLDER = `${DIST}npm/`;
const BIN = `${FOLDER}alwaysup.js`;

await Deno.mkdir(FOLDER, { recursive: true });
await writeBundle(BIN, ".ci/build/npm_main.ts");
const source = await Deno.readTextFile(BIN);
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
        files: ["alwaysup.js"],
      },
      null,
      2,
    )
  }\n`,
);
for (const name of ["README.md", "LICENSE"]) {
  await Deno.copyFile(`${ROOT}${name}`, `${FOLDER}${name}`);
}
