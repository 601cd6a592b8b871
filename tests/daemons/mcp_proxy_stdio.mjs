// Starts the package mcp-proxy between stdio and a Streamable HTTP server. Its
// command only goes the other way; its library goes both ways.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../npm/bench/", import.meta.url));
const { href } = pathToFileURL(require.resolve("mcp-proxy"));
const { ServerType, startStdioServer } = await import(href);
await startStdioServer({
  serverType: ServerType.HTTPStream,
  url: process.argv[2],
});
process.stdin.on("end", () => process.exit(0));
