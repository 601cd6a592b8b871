/**
 * Loads the configuration of this process from its command line, from its
 * environment, and from a `.env` file if one of these two names it.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { NotUtf8Error } from "../text/utf8.ts";
import {
  type ConfigResult,
  envFileSettingOf,
  listSettingFlags,
  readConfig,
  type SettingSources,
} from "./config.ts";
import type { EnvFileContent } from "./dotenv.ts";
import { type Host } from "../runtime/host.ts";

const MAX_LISTED = 10;

/**
 * Reads the configuration.
 *
 * @param args the flags of settings
 * @param knownFlags the flags, with their dashes, to suggest instead of an
 * unknown one; by default those of the settings
 */
export async function loadConfig(
  host: Host,
  args: readonly string[],
  knownFlags?: readonly string[],
): Promise<
  { readonly configResult: ConfigResult; readonly sources: SettingSources }
> {
  const env = host.env();
  let sources: SettingSources = { args, env };
  const warnings: string[] = [];
  const { name, text: path = "", from } = envFileSettingOf(sources) ?? {};
  // A missing file is a problem only if a flag names it, because a variable is
  // often set for many programs and machines.
  if (from === "env" && !mayExist(host, path)) {
    warnings.push(
      `${name}: the file ${path} does not exist; continuing without it`,
    );
  } else if (name !== undefined) {
    try {
      const text = readSettingFile(host, path);
      // Imported only here, because most starts have no `.env` file.
      const { parseEnvFile } = await import("./dotenv.ts");
      const content = parseEnvFile(text, env);
      sources = { args, env, file: content.values };
      for (const problem of describeEnvFileProblems(content)) {
        warnings.push(`${name} ${path}: ${problem}`);
      }
    } catch (error) {
      const why = errorMessageOf(error);
      const problems = [`${name} ${path}: it cannot be read (${why})`];
      return { configResult: { kind: "problems", problems }, sources };
    }
  }
  const readFile = (path: string): string => readSettingFile(host, path);
  let configResult = readConfig(sources, readFile);
  if (configResult.kind === "problems") {
    // Imported only here, because most starts have no unknown flag.
    const { didYouMean } = await import("../text/suggest.ts");
    const flags = knownFlags ??
      [...listSettingFlags(), "--help", "--version"];
    configResult = readConfig(sources, readFile, (flag) => {
      const question = didYouMean(flag, flags);
      return question === undefined ? "" : `; ${question}`;
    });
  }
  if (configResult.kind === "config") {
    const { caCertificates } = configResult.config;
    try {
      if (caCertificates.length > 0) {
        await host.addCaCertificates(caCertificates);
      }
    } catch (error) {
      const problems = [`--ca-file: ${errorMessageOf(error)}`];
      configResult = { kind: "problems", problems };
    }
  }
  // The file's problems come first, because they may cause the others.
  return {
    configResult: configResult.kind === "problems"
      ? { ...configResult, problems: [...warnings, ...configResult.problems] }
      : { ...configResult, warnings: [...warnings, ...configResult.warnings] },
    sources,
  };
}

/** Returns true if a path exists or cannot be examined. */
export function mayExist(host: Host, path: string): boolean {
  try {
    return host.stat(path) !== undefined;
  } catch {
    return true;
  }
}

/** Describes the problems without the text of a line, which may be secret. */
function describeEnvFileProblems(
  { unreadableLines, unsetVariables }: EnvFileContent,
): string[] {
  const isOne = unreadableLines.length === 1;
  const lines = `${isOne ? "line" : "lines"} ${
    joinListed(unreadableLines, " and ")
  }`;
  const names = unsetVariables.map(({ line, name }) => {
    // Only a usual name is shown: braces may also be part of a password.
    const isName = /^[A-Z_][A-Z0-9_]{0,63}$/.test(name);
    return `${isName ? `\${${name}}` : "a ${...}"} (line ${line})`;
  });
  return [
    ...unreadableLines.length === 0 ? [] : [
      `${lines} cannot be parsed and ${isOne ? "is" : "are"} ignored; ` +
      "write NAME=value there, and close quotes",
    ],
    ...unsetVariables.length === 0 ? [] : [
      `there is no value for ${
        joinListed(names, ", ")
      }, so nothing is inserted; ` +
      "set it before that line or in the environment, or write a default " +
      "value: ${NAME:-value}",
    ],
  ];
}

function joinListed(
  all: readonly (string | number)[],
  lastSeparator: string,
): string {
  const rest = all.length - MAX_LISTED;
  const named = rest > 0 ? [...all.slice(0, MAX_LISTED), `${rest} more`] : all;
  const head = named.slice(0, -1).join(", ");
  return head === "" ? `${named[0]}` : head + lastSeparator + named.at(-1);
}

/** Reads a text file. Throws a {@linkcode NotUtf8Error} if it contains NUL. */
function readSettingFile(host: Host, path: string): string {
  const text = host.readFile(path);
  // UTF-16 without a byte order mark decodes as UTF-8 with many NULs.
  if (text.includes("\0")) throw new NotUtf8Error("it is not text in UTF-8");
  return text;
}
