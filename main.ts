/**
 * alwaysup holds the connection between an MCP client, which starts it as a
 * stdio server, and a daemon behind a WebSocket, which may come and go.
 *
 * @module
 */

import metadata from "./deno.json" with { type: "json" };
import { envFileOf, help, readConfig } from "./lib/config.ts";
import type { Host } from "./lib/host.ts";
import { hostHere } from "./lib/host_here.ts";
import { logger } from "./lib/log.ts";
import { run } from "./lib/proxy.ts";
import { LineWriter } from "./lib/stdio.ts";

/** The commit that was built; the build puts it here. */
const COMMIT = "from source";
/** How much log may wait for a client that does not read stderr, in UTF-16 units. */
const LOG_LIMIT = 1024 * 1024;

/**
 * Runs the command that the arguments ask for.
 *
 * @returns the process's exit code: 0, 1 after `--give-up-after`, 2 for bad settings
 */
async function main(host: Host): Promise<number> {
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    () => {},
  );
  const stderr = new LineWriter(
    (bytes) => host.writeStderr(bytes),
    LOG_LIMIT,
    () => {},
  );
  const { args } = host;
  if (args.includes("--help") || args.includes("-h")) {
    stdout.push(help().trimEnd());
    await stdout.idle();
    return 0;
  }
  if (args.includes("--version")) {
    stdout.push(`alwaysup ${metadata.version} (${host.runtime}, ${COMMIT})`);
    await stdout.idle();
    return 0;
  }
  const env = host.env();
  const readFile = (path: string): string => host.readFile(path);
  const problems: string[] = [];
  const file = await readEnvFile(host, envFileOf({ args, env }), problems);
  const reading = readConfig({ args, env, file }, readFile);
  if (reading.kind === "problems") problems.push(...reading.problems);
  if (reading.kind === "problems" || problems.length > 0) {
    for (const problem of problems) stderr.push(`alwaysup: ${problem}`);
    await stderr.idle();
    return 2;
  }
  const { config, warnings } = reading;
  const write = (line: string): void => stderr.push(line);
  const log = logger(config.logLevel, config.logFormat, write);
  for (const message of warnings) {
    log({ level: "warn", event: "bad-setting", message });
  }
  const code = await run(config, metadata.version, host, log);
  // A client that does not read its log must not keep us.
  await Promise.race([stderr.idle(), new Promise((go) => setTimeout(go, 20))]);
  return code;
}

/** The names and values of the named `.env` file, if one is named. */
async function readEnvFile(
  host: Host,
  path: string | undefined,
  problems: string[],
): Promise<Record<string, string | undefined>> {
  if (path === undefined) return {};
  try {
    const text = host.readFile(path).replace(/^\ufeff/, "");
    if (text.includes("\0")) throw new Error("it is not text in UTF-8");
    // Loaded only here: it costs the start a few milliseconds.
    const { parseEnv } = await import("node:util");
    return parseEnv(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    problems.push(`--env-file ${path}: it cannot be read (${why})`);
    return {};
  }
}

const host = hostHere();
host.exit(await main(host));
