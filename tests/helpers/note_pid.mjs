// Loaded into an MCP server before it starts: a bridge does not report the pids
// of its children.
import { appendFileSync } from "node:fs";

appendFileSync(process.env.SERVER_PIDS, `${process.pid}\n`);
