// Writes the pid of an MCP server to a file before the server starts, because
// bridges do not report the pids of their children.
import { appendFileSync } from "node:fs";

appendFileSync(process.env.SERVER_PIDS, `${process.pid}\n`);
