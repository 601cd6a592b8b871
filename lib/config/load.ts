/**
 * Loads the settings of this process: from its command line, its environment,
 * and the `.env` file that these name.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { NotUtf8Error } from "../text/utf8.ts";
import {
  type ConfigResult,
  envFileSettingOf,
  type GivenSetting,
  readConfig,
  type SettingSources,
} from "./config.ts";
import type { EnvFileContent } from "./dotenv.ts";
import { type Host } from "../runtime/host.ts";

/** How many items of a kind one sentence lists. */
const MAX_LISTED = 10;

/**
 * Reads the configuration of the process and returns it with its sources;
 * `args` is the command line without the program's name and command.
 */
export async function loadConfig(
  host: Host,
  args: readonly string[],
): Promise<
  { readonly configResult: ConfigResult; readonly sources: SettingSources }
> {
  const env = host.env();
  const envFile = envFileSettingOf({ args, env });
  // A variable is often set once for many programs and machines; a flag is
  // meant for this one.
  const isMissing = envFile?.from === "env" && !mayExist(host, envFile.text);
  const content = envFile === undefined || isMissing
    ? undefined
    : await readEnvFile(host, envFile, env);
  if (typeof content === "string") {
    const configResult = { kind: "problems", problems: [content] } as const;
    return { configResult, sources: { args, env } };
  }
  const sources = { args, env, file: content?.values ?? {} };
  const configResult = await trustCaCertificates(
    readConfig(sources, (path) => readSettingFile(host, path)),
    host,
  );
  if (envFile === undefined) return { configResult, sources };
  const { name, text } = envFile;
  const warnings = content === undefined
    ? [`${name}: there is no file ${text}; going on without it`]
    : describeEnvFileProblems(content).map((problem) =>
      `${name} ${text}: ${problem}`
    );
  return { configResult: prependWarnings(configResult, warnings), sources };
}

/**
 * Makes the runtime trust the configured authorities; a certificate that it
 * rejects is a problem.
 */
async function trustCaCertificates(
  configResult: ConfigResult,
  host: Host,
): Promise<ConfigResult> {
  if (configResult.kind === "problems") return configResult;
  const { caCertificates } = configResult.config;
  if (caCertificates.length === 0) return configResult;
  try {
    await host.addCaCertificates(caCertificates);
    return configResult;
  } catch (error) {
    return {
      kind: "problems",
      problems: [`--ca-file: ${errorMessageOf(error)}`],
    };
  }
}

/** Whether a path exists; one that cannot be examined counts as existing. */
function mayExist(host: Host, path: string): boolean {
  try {
    return host.stat(path) !== undefined;
  } catch {
    return true;
  }
}

/**
 * Puts warnings before the problems, because they may be the cause of these.
 */
function prependWarnings(
  configResult: ConfigResult,
  texts: readonly string[],
): ConfigResult {
  return configResult.kind === "problems"
    ? { ...configResult, problems: [...texts, ...configResult.problems] }
    : { ...configResult, warnings: [...texts, ...configResult.warnings] };
}

/**
 * Describes the problems of a `.env` file, one sentence for each kind; it
 * quotes no line, which may contain a secret.
 */
function describeEnvFileProblems(
  { unreadableLines, unsetVariables }: EnvFileContent,
): string[] {
  const isOne = unreadableLines.length === 1;
  const lines = `${isOne ? "line" : "lines"} ${
    joinListed(unreadableLines, " and ")
  }`;
  const names = unsetVariables.map(({ line, name }) => {
    // A password may contain braces, too; only names are quoted.
    const isName = /^[A-Z_][A-Z0-9_]{0,63}$/.test(name);
    return `${isName ? `\${${name}}` : "a ${...}"} (line ${line})`;
  });
  return [
    ...unreadableLines.length === 0 ? [] : [
      `${lines} cannot be read and ${isOne ? "is" : "are"} left out; ` +
      "write NAME=value there, and close quotes",
    ],
    ...unsetVariables.length === 0 ? [] : [
      `nothing sets ${joinListed(names, ", ")}, so nothing is put in there; ` +
      "set it before that line or in the environment, or write what stands " +
      "in for it: ${NAME:-value}",
    ],
  ];
}

/** Joins the first `MAX_LISTED` items. */
function joinListed(all: readonly (string | number)[], last: string): string {
  const rest = all.length - MAX_LISTED;
  const named = rest > 0 ? [...all.slice(0, MAX_LISTED), `${rest} more`] : all;
  const head = named.slice(0, -1).join(", ");
  return head === "" ? `${named[0]}` : head + last + named.at(-1);
}

/**
 * Reads the text of a configured file. UTF-16 without a byte order mark looks
 * like UTF-8 with zeros.
 */
function readSettingFile(host: Host, path: string): string {
  const text = host.readFile(path);
  if (text.includes("\0")) throw new NotUtf8Error("it is not text in UTF-8");
  return text;
}

/** Reads the `.env` file; returns a message if it cannot be read. */
async function readEnvFile(
  host: Host,
  { name, text: path }: GivenSetting,
  env: Record<string, string>,
): Promise<EnvFileContent | string> {
  try {
    const text = readSettingFile(host, path);
    // Loaded only here: most starts do not need it.
    const { parseEnvFile } = await import("./dotenv.ts");
    return parseEnvFile(text, env);
  } catch (error) {
    const why = errorMessageOf(error);
    return `${name} ${path}: it cannot be read (${why})`;
  }
}
