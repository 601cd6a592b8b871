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
  readConfig,
  type SettingSources,
} from "./config.ts";
import type { EnvFileContent } from "./dotenv.ts";
import { type Host } from "../runtime/host.ts";

const MAX_LISTED = 10;

/** Reads the configuration; `args` are without program and command. */
export async function loadConfig(
  host: Host,
  args: readonly string[],
): Promise<
  { readonly configResult: ConfigResult; readonly sources: SettingSources }
> {
  const env = host.env();
  let sources: SettingSources = { args, env };
  const warnings: string[] = [];
  const { name, text: path = "", from } = envFileSettingOf(sources) ?? {};
  // A variable is often set once for many programs and machines; a flag is
  // meant for this one.
  if (from === "env" && !mayExist(host, path)) {
    warnings.push(`${name}: there is no file ${path}; going on without it`);
  } else if (name !== undefined) {
    try {
      const text = readSettingFile(host, path);
      // Loaded only here: most starts do not need it.
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
  let configResult = readConfig(sources, (path) => readSettingFile(host, path));
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
  // They come first, because they may be the cause of the rest.
  return {
    configResult: configResult.kind === "problems"
      ? { ...configResult, problems: [...warnings, ...configResult.problems] }
      : { ...configResult, warnings: [...warnings, ...configResult.warnings] },
    sources,
  };
}

/** Whether a path exists; one that cannot be examined counts as existing. */
export function mayExist(host: Host, path: string): boolean {
  try {
    return host.stat(path) !== undefined;
  } catch {
    return true;
  }
}

/** Each kind in one sentence; no line, which may contain a secret. */
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

function joinListed(all: readonly (string | number)[], last: string): string {
  const rest = all.length - MAX_LISTED;
  const named = rest > 0 ? [...all.slice(0, MAX_LISTED), `${rest} more`] : all;
  const head = named.slice(0, -1).join(", ");
  return head === "" ? `${named[0]}` : head + last + named.at(-1);
}

/** UTF-16 without a byte order mark looks like UTF-8 with zeros. */
function readSettingFile(host: Host, path: string): string {
  const text = host.readFile(path);
  if (text.includes("\0")) throw new NotUtf8Error("it is not text in UTF-8");
  return text;
}
