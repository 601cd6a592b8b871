/**
 * alwaysup holds the connection between an MCP client, which starts it as a
 * stdio server, and a daemon behind a WebSocket, which may come and go.
 *
 * @module
 */

import { messageOf } from "./lib/text/error_message.ts";
import { atMost } from "./lib/runtime/timeout.ts";
import metadata from "./deno.json" with { type: "json" };
import { help } from "./lib/config/config.ts";
import { type Host } from "./lib/runtime/host.ts";
import { hostHere } from "./lib/runtime/detect.ts";
import { logger } from "./lib/proxy/logger.ts";
import type { Output } from "./lib/runtime/terminal.ts";
import { run } from "./lib/proxy/proxy.ts";
import { hiderOf } from "./lib/config/secrets.ts";
import { readSettings } from "./lib/config/load.ts";
import { LineWriter } from "./lib/proxy/stdio.ts";

/** The commit that was built; the build puts it here. */
const COMMIT = "from source";
/** How much log may wait for a client that does not read stderr, in UTF-16 units. */
const LOG_LIMIT = 1024 * 1024;
/** How long the end waits until stderr is written, in milliseconds: after a failure longer, as its last line says why. */
const FAREWELL_MS = 20;
const FAILURE_MS = 500;

/** What the program can do beside being a proxy. Gives the process's exit code. */
type Command = (
  args: readonly string[],
  host: Host,
  output: Output,
) => Promise<number>;

/** Each is loaded only when it is called: a client waits for the proxy. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  doctor: async () => (await import("./lib/commands/doctor/doctor.ts")).doctor,
  status: async () => (await import("./lib/commands/status.ts")).status,
  install: async () => (await import("./lib/commands/install.ts")).install,
  uninstall: async () => (await import("./lib/commands/install.ts")).uninstall,
};

/**
 * Runs what the arguments ask for: a command, or the proxy.
 *
 * @returns the process's exit code: 0, 1 where something failed, 2 for what was not understood
 */
async function main(host: Host): Promise<number> {
  const stderr = new LineWriter(
    (bytes) => host.writeStderr(bytes),
    LOG_LIMIT,
    () => {},
  );
  const complain = (line: string): void => stderr.push(line);
  // `deno task run -- --url X` passes the dashes on.
  const args = host.args[0] === "--" ? host.args.slice(1) : host.args;
  const isCommand = args[0] !== undefined && !args[0].startsWith("-") ||
    args.some((arg) => /^(-h|--help|--version)$/.test(arg));
  const code = isCommand
    ? await command(host, args, complain)
    : await serve(host, args, complain);
  // A client that does not read its log must not keep us.
  await atMost(code === 0 ? FAREWELL_MS : FAILURE_MS, stderr.idle());
  return code;
}

/** Is the proxy until its client leaves. */
async function serve(
  host: Host,
  args: readonly string[],
  complain: (line: string) => void,
): Promise<number> {
  const { reading } = await readSettings(host, args);
  if (reading.kind === "problems") {
    for (const problem of reading.problems) complain(`alwaysup: ${problem}`);
    return 2;
  }
  const { config, warnings } = reading;
  const { logLevel, logFormat } = config;
  const log = logger(logLevel, logFormat, complain, hiderOf(config));
  for (const message of warnings) {
    log({ level: "warn", event: "bad-setting", message });
  }
  if (host.isTerminal("stdin")) {
    complain(
      "alwaysup: an MCP client is to start this program and to speak JSON-RPC " +
        "with it, but a terminal is there: see --help. Ctrl+C ends it.",
    );
  }
  return await run(config, metadata.version, host, log);
}

/** Says what a person wants to know, or does what one wants done. */
async function command(
  host: Host,
  [name, ...args]: readonly string[],
  complain: (line: string) => void,
): Promise<number> {
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    // Nobody reads it any more.
    () => host.exit(1),
  );
  const print = (line: string): void => stdout.push(line);
  const load = Object.hasOwn(COMMANDS, name!) ? COMMANDS[name!] : undefined;
  const isColoured = host.isTerminal("stdout") &&
    host.variable("NO_COLOR") === undefined;
  let code = 0;
  if ([name, ...args].some((arg) => /^(-h|--help)$/.test(arg!))) {
    print(help().trimEnd());
  } else if (load !== undefined) {
    try {
      code = await (await load())(args, host, { print, complain, isColoured });
    } catch (error) {
      complain(`alwaysup ${name}: ${messageOf(error)}`);
      code = 1;
    }
  } else if (name!.startsWith("-")) {
    print(`alwaysup ${metadata.version} (${host.runtime}, ${COMMIT})`);
  } else {
    const names = Object.keys(COMMANDS).join(", ");
    // Without its text, which may hold a secret.
    complain(`alwaysup: there is no such command; there are ${names} (--help)`);
    code = 2;
  }
  await stdout.idle();
  return code;
}

const host = await hostHere();
host.exit(await main(host));
