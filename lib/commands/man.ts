/**
 * `alwaysup man`: the manual page, in the format of man(7).
 *
 * @module
 */

import type { Host } from "../runtime/host.ts";
import type { Output } from "../runtime/terminal.ts";
import {
  type CommandInfo,
  COMMANDS,
  PROXY_EXAMPLES,
  PROXY_EXIT_CODES,
} from "./command_table.ts";
import { nameOfFlag, nameOfSetting, settingsByGroup } from "./help.ts";

/** Prints the manual page. */
export function man(
  args: readonly string[],
  _host: Host,
  output: Output,
): number {
  if (args.length > 0) {
    output.printError("alwaysup man: it takes no arguments");
    return 2;
  }
  output.print(formatManPage().trimEnd());
  return 0;
}

/** Returns the manual page. */
export function formatManPage(): string {
  return [
    '.TH ALWAYSUP 1 "" "alwaysup" "User Commands"',
    ".SH NAME",
    "alwaysup \\- keep an MCP client connected to a daemon that restarts",
    ".SH SYNOPSIS",
    ".B alwaysup",
    "[\\fISETTINGS\\fR]",
    ...COMMANDS.flatMap(({ name, usage }) =>
      usage.flatMap((rest) => [
        ".br",
        `.B alwaysup ${name}`,
        ...rest === "" ? [] : [escape(rest)],
      ])
    ),
    ".SH DESCRIPTION",
    "An MCP client starts alwaysup as a stdio server. alwaysup keeps a",
    "WebSocket connection to a daemon. The daemon may restart; the client does",
    "not notice. Without a command, alwaysup runs this proxy.",
    ".SH COMMANDS",
    ...COMMANDS.flatMap(commandAsRoff),
    ".SH SETTINGS",
    "A flag takes precedence over the environment variable, the variable over",
    escape("the file of --env-file, and the file over the default."),
    ...settingsByGroup().flatMap(([group, settings]) => [
      `.SS ${escape(group)}`,
      ...settings.flatMap((setting) => [
        ".TP",
        `.B ${escape(nameOfSetting(setting))}`,
        escape(setting.help),
        ".br",
        escape(
          `Environment: ${setting.env.join(", ")}.` +
            (setting.default === undefined
              ? ""
              : ` Default: ${setting.default}.`),
        ),
      ]),
    ]),
    ".SH EXIT STATUS",
    ...exitCodesAsRoff(PROXY_EXIT_CODES),
    ".SH EXAMPLES",
    ...examplesAsRoff(PROXY_EXAMPLES),
    "",
  ].join("\n");
}

function commandAsRoff(command: CommandInfo): string[] {
  const { name, summary, details, flags, examples, exitCodes } = command;
  return [
    `.SS ${escape(name)}`,
    escape(summary),
    ...details.flatMap((paragraph) => [".PP", escape(paragraph)]),
    ...flags.flatMap((flag) => [
      ".TP",
      `.B ${escape(nameOfFlag(flag))}`,
      escape(flag.help),
    ]),
    ...examplesAsRoff(examples),
    ".PP",
    "Exit codes:",
    ...exitCodesAsRoff(exitCodes),
  ];
}

function examplesAsRoff(examples: CommandInfo["examples"]): string[] {
  return examples.flatMap(([line, purpose]) => [
    ".PP",
    escape(purpose),
    ".PP",
    ".RS 4",
    ".nf",
    escape(line),
    ".fi",
    ".RE",
  ]);
}

function exitCodesAsRoff(codes: CommandInfo["exitCodes"]): string[] {
  return codes.flatMap(([code, meaning]) => [
    ".TP",
    `.B ${code}`,
    escape(meaning),
  ]);
}

/** Escapes the characters that roff would interpret: man(7), groff_char(7). */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq").replaceAll("`", "\\(ga")
    .replace(/^\./, "\\&.");
}
