/**
 * alwaysup connects an MCP client, which starts it as a stdio server, to a
 * daemon behind a WebSocket, and keeps the session alive while the daemon
 * restarts.
 *
 * @module
 */

import { errorMessageOf } from "./lib/text/error_message.ts";
import { sanitizeLine } from "./lib/text/sanitize.ts";
import { waitAtMost } from "./lib/runtime/timeout.ts";
import metadata from "./deno.json" with { type: "json" };
import { formatHelp } from "./lib/config/config.ts";
import { type Host } from "./lib/runtime/host.ts";
import { detectHost } from "./lib/runtime/detect.ts";
import { createLogger } from "./lib/proxy/logger.ts";
import type { Output } from "./lib/runtime/terminal.ts";
import { runProxy } from "./lib/proxy/proxy.ts";
import { createConfigRedactor } from "./lib/config/secrets.ts";
import { loadConfig } from "./lib/config/load.ts";
import { LineWriter } from "./lib/proxy/stdio.ts";

/** The commit of the build, which replaces this text. */
const COMMIT = "from source";
/** How much is buffered for a client that does not read stderr. */
const MAX_LOG_BACKLOG_CHARS = 1024 * 1024;
/** How long the end waits for stderr, whose last line says why it failed. */
const STDERR_FLUSH_MS = 20;
const FAILURE_STDERR_FLUSH_MS = 500;

/** A command besides the proxy. Returns the exit code. */
type Command = (
  args: readonly string[],
  host: Host,
  output: Output,
) => Promise<number>;

/** Loaded only when called, because a client waits for the proxy to start. */
const COMMAND_LOADERS: Readonly<Record<string, () => Promise<Command>>> = {
  doctor: async () => (await import("./lib/commands/doctor/doctor.ts")).doctor,
  status: async () => (await import("./lib/commands/status.ts")).status,
  install: async () => (await import("./lib/commands/install.ts")).install,
  uninstall: async () => (await import("./lib/commands/install.ts")).uninstall,
};

/** Returns the exit code: 0, 1 after a failure, 2 for invalid arguments. */
async function main(host: Host): Promise<number> {
  const stderr = new LineWriter(
    (bytes) => host.writeStderr(bytes),
    MAX_LOG_BACKLOG_CHARS,
    () => {},
  );
  const printError = (line: string): void => stderr.push(line);
  // `deno task run -- --url X` passes the dashes on.
  const args = host.args[0] === "--" ? host.args.slice(1) : host.args;
  const isCommand = args[0] !== undefined && !args[0].startsWith("-") ||
    args.some((arg) => /^(-h|--help|--version)$/.test(arg));
  const code = isCommand
    ? await runCommand(host, args, printError)
    : await startProxy(host, args, printError);
  // A client that does not read stderr must not delay the exit.
  await waitAtMost(
    code === 0 ? STDERR_FLUSH_MS : FAILURE_STDERR_FLUSH_MS,
    stderr.drained(),
  );
  return code;
}

async function startProxy(
  host: Host,
  args: readonly string[],
  printError: (line: string) => void,
): Promise<number> {
  const { configResult } = await loadConfig(host, args);
  if (configResult.kind === "problems") {
    for (const problem of configResult.problems) {
      printError(`alwaysup: ${problem}`);
    }
    return 2;
  }
  const { config, warnings } = configResult;
  const redact = createConfigRedactor(config);
  const { logLevel, logFormat } = config;
  const log = createLogger(logLevel, logFormat, printError, redact);
  for (const message of warnings) {
    log({ level: "warn", event: "bad-setting", message });
  }
  if (host.isTty("stdin")) {
    printError(
      "alwaysup: an MCP client is to start this program and to speak JSON-RPC " +
        "with it, but a terminal is there: see --help. Ctrl+C ends it.",
    );
  }
  return await runProxy(config, metadata.version, host, log);
}

async function runCommand(
  host: Host,
  [name, ...args]: readonly string[],
  printError: (line: string) => void,
): Promise<number> {
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    // The reader of stdout is gone.
    () => host.exit(1),
  );
  const output: Output = {
    print: (line) => stdout.push(line),
    printError,
    hasColors: host.isTty("stdout") && host.getEnv("NO_COLOR") === undefined,
  };
  const loadCommand = Object.hasOwn(COMMAND_LOADERS, name!)
    ? COMMAND_LOADERS[name!]
    : undefined;
  let code = 0;
  if ([name, ...args].some((arg) => /^(-h|--help)$/.test(arg!))) {
    output.print(formatHelp().trimEnd());
  } else if (loadCommand !== undefined) {
    try {
      const command = await loadCommand();
      code = await command(args, host, output);
    } catch (error) {
      printError(`alwaysup ${name}: ${sanitizeLine(errorMessageOf(error))}`);
      code = 1;
    }
  } else if (name!.startsWith("-")) {
    output.print(`alwaysup ${metadata.version} (${host.runtime}, ${COMMIT})`);
  } else {
    const names = Object.keys(COMMAND_LOADERS).join(", ");
    // The message omits the argument, which may contain a secret.
    printError(
      `alwaysup: there is no such command; there are ${names} (--help)`,
    );
    code = 2;
  }
  await stdout.drained();
  return code;
}

const host = await detectHost();
host.exit(await main(host));
