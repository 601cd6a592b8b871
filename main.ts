/**
 * alwaysup is the stdio server of an MCP client. It connects the client to a
 * daemon behind a WebSocket, and keeps the session alive while the daemon
 * restarts. This file runs the proxy or a command, and ends the process.
 *
 * @module
 */

import { errorMessageOf } from "./lib/text/error_message.ts";
import { sanitizeLine } from "./lib/text/sanitize.ts";
import { waitAtMost } from "./lib/runtime/timeout.ts";
import metadata from "./deno.json" with { type: "json" };
import { type Host } from "./lib/runtime/host.ts";
import { detectHost } from "./lib/runtime/detect.ts";
import { createLogger, type LogEntry } from "./lib/proxy/logger.ts";
import type { LogFile } from "./lib/proxy/log_file.ts";
import { type Output, showsColors } from "./lib/runtime/terminal.ts";
import { MCP_SUBPROTOCOL } from "./lib/protocol/mcp_types.ts";
import { createWebSocketTransport } from "./lib/transport/websocket.ts";
import { dialEarly } from "./lib/transport/early_dial.ts";
import { createConfigRedactor } from "./lib/config/secrets.ts";
import { loadConfig } from "./lib/config/load.ts";
import { LineWriter } from "./lib/proxy/stdio.ts";

/** The commit of the build. The build replaces this text. */
const COMMIT = "from source";
/** The most characters that are kept while the client does not read stderr. */
const MAX_LOG_BACKLOG_CHARS = 1024 * 1024;
/** The longest time that the exit waits for stderr, in milliseconds. */
const STDERR_FLUSH_MS = 20;
/** The limit after a failure; longer, because stderr says what failed. */
const FAILURE_STDERR_FLUSH_MS = 500;

const HELP_FLAG = /^(-h|--help)$/;
const VERSION_FLAG = /^(-V|--version)$/;

/** Runs a command. Returns the exit code. */
type Command = (
  args: readonly string[],
  host: Host,
  output: Output,
) => number | Promise<number>;

/** A command is loaded only when it is called, so the proxy starts sooner. */
const COMMAND_LOADERS: Readonly<Record<string, () => Promise<Command>>> = {
  doctor: async () => (await import("./lib/commands/doctor/doctor.ts")).doctor,
  status: async () => (await import("./lib/commands/status.ts")).status,
  history: async () => (await import("./lib/commands/history.ts")).history,
  install: async () => (await import("./lib/commands/install.ts")).install,
  uninstall: async () => (await import("./lib/commands/install.ts")).uninstall,
  completions: async () =>
    (await import("./lib/commands/completions.ts")).completions,
  man: async () => (await import("./lib/commands/man.ts")).man,
  version: () => Promise.resolve(printVersion),
  help: async () => (await import("./lib/commands/help.ts")).help,
};

/**
 * Runs the proxy or a command. Resolves with the exit code: 0, 1 after a
 * failure, or 2 for invalid arguments or settings.
 */
async function main(host: Host): Promise<number> {
  const stderr = new LineWriter(
    (bytes) => host.writeStderr(bytes),
    MAX_LOG_BACKLOG_CHARS,
    () => {},
  );
  const printError = (line: string): void => stderr.push(line);
  // `deno task run -- --url X` passes the first `--` to this program.
  const args = host.args[0] === "--" ? host.args.slice(1) : host.args;
  const isCommand = args[0] !== undefined && !args[0].startsWith("-") ||
    args.some((arg) => HELP_FLAG.test(arg) || VERSION_FLAG.test(arg));
  const code = isCommand
    ? await runCommand(host, args, printError)
    : await loadAndRunProxy(host, args, printError);
  // A client that does not read stderr must not delay the exit.
  await waitAtMost(
    code === 0 ? STDERR_FLUSH_MS : FAILURE_STDERR_FLUSH_MS,
    stderr.drained(),
  );
  return code;
}

async function loadAndRunProxy(
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
  // The rest of the proxy is loaded while the handshake runs.
  const transport = dialEarly(
    createWebSocketTransport(config, host),
    config.dialect === "mcp" ? MCP_SUBPROTOCOL : undefined,
  );
  const loading = import("./lib/proxy/proxy.ts");
  const redact = createConfigRedactor(config);
  const { logLevel, logFormat } = config;
  const logToStderr = createLogger(logLevel, logFormat, printError, redact);
  const logFile = config.logFile === undefined
    ? undefined
    : await openLogFile(host, config.logFile, logToStderr);
  const log = createLogger(logLevel, logFormat, printError, redact, logFile);
  for (const message of warnings) {
    log({ level: "warn", event: "bad-setting", message });
  }
  if (host.isTty("stdin")) {
    printError(
      "alwaysup: stdin is a terminal, but an MCP client should start this " +
        "program and send JSON-RPC to it (see --help). Ctrl+C ends it.",
    );
  }
  const { runProxy } = await loading;
  const { version } = metadata;
  const code = await runProxy(config, version, host, log, undefined, transport);
  await logFile?.close();
  return code;
}

/** Returns the log file. Its problems are logged on stderr only. */
async function openLogFile(
  host: Host,
  path: string,
  logToStderr: (entry: LogEntry) => void,
): Promise<LogFile> {
  // Imported only here, because most starts have no log file.
  const { LogFile } = await import("./lib/proxy/log_file.ts");
  return new LogFile(
    host,
    path,
    (message) => logToStderr({ level: "warn", event: "log-file", message }),
  );
}

async function runCommand(
  host: Host,
  words: readonly string[],
  printError: (line: string) => void,
): Promise<number> {
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    // Nobody reads stdout any more.
    () => host.exit(1),
  );
  const output: Output = {
    print: (line) => stdout.push(line),
    printError,
    hasColors: showsColors(host),
  };
  const [name, ...args] = resolveCommand(words);
  const loadCommand = Object.hasOwn(COMMAND_LOADERS, name)
    ? COMMAND_LOADERS[name]
    : undefined;
  let code: number;
  if (loadCommand === undefined) {
    const { describeChoices } = await import("./lib/text/suggest.ts");
    const choices = Object.keys(COMMAND_LOADERS);
    // The message omits the argument, which may be a secret.
    printError(
      "alwaysup: there is no such command; " +
        `${describeChoices(name, "commands", choices)} (see --help)`,
    );
    code = 2;
  } else {
    try {
      const command = await loadCommand();
      code = await command(args, host, output);
    } catch (error) {
      printError(`alwaysup ${name}: ${sanitizeLine(errorMessageOf(error))}`);
      code = 1;
    }
  }
  await stdout.drained();
  return code;
}

/**
 * Returns the name of the command and its arguments. `--help` and `--version`
 * stand for the commands `help` and `version`.
 */
function resolveCommand(
  words: readonly string[],
): readonly [name: string, ...args: string[]] {
  const [name = "", ...args] = words;
  if (words.some((word) => HELP_FLAG.test(word))) {
    return name.startsWith("-") ? ["help"] : ["help", name];
  }
  return name.startsWith("-") ? ["version"] : [name, ...args];
}

function printVersion(
  args: readonly string[],
  host: Host,
  output: Output,
): number {
  if (args.length > 0) {
    output.printError("alwaysup version: it takes no arguments");
    return 2;
  }
  output.print(`alwaysup ${metadata.version} (${host.runtime}, ${COMMIT})`);
  return 0;
}

const host = await detectHost();
host.exit(await main(host));
