/**
 * `alwaysup help`: the help of the program and of its commands, in lines of at
 * most 80 characters.
 *
 * @module
 */

import { wrapText } from "../text/display_width.ts";
import { describeChoices } from "../text/suggest.ts";
import { listSettings } from "../config/config.ts";
import { type Setting, SETTING_GROUPS } from "../config/settings.ts";
import type { Host } from "../runtime/host.ts";
import type { Output } from "../runtime/terminal.ts";
import {
  type CommandFlag,
  type CommandInfo,
  COMMANDS,
  findCommand,
  PROXY_EXAMPLES,
  PROXY_EXIT_CODES,
} from "./command_table.ts";

const LINE_CHARS = 80;
/** Where the second column begins. */
const TEXT_COLUMN = 30;

/** The paragraphs between the list of commands and the list of settings. */
const SETTINGS_NOTES = [
  "A flag takes precedence over the environment variable [in brackets], the " +
  "variable over the file of --env-file, and the file over the default. A " +
  "setting that is named in capitals has no flag.",
  "TIME is a number with ms, s, m or h, or a number of seconds. SIZE is a " +
  "number of bytes, or a number with KiB, MiB or GiB. off or 0 disables a " +
  "limit, unless the text of the setting says otherwise.",
  "Without a URL, alwaysup connects to an EX-AI daemon at EXAI_WS_HOST and " +
  "EXAI_WS_PORT.",
];

/** Prints the help of the program, or of the command that is named. */
export function help(
  args: readonly string[],
  _host: Host,
  output: Output,
): number {
  const [name, ...others] = args;
  if (name === undefined) {
    output.print(formatProgramHelp().trimEnd());
    return 0;
  }
  const command = findCommand(name);
  if (command !== undefined && others.length === 0) {
    output.print(formatCommandHelp(command).trimEnd());
    return 0;
  }
  const names = COMMANDS.map(({ name }) => name);
  // The message omits the argument, which may be a secret.
  output.printError(
    command === undefined
      ? "alwaysup help: there is no such command; " +
        describeChoices(name, "commands", names)
      : "alwaysup help: it takes one command at most",
  );
  return 2;
}

/** Returns the help of the program: the commands and every setting. */
export function formatProgramHelp(): string {
  return [
    ...wrapText(
      "alwaysup keeps an MCP client (stdio) connected to a daemon " +
        "(WebSocket). The daemon may restart; the client does not notice.",
      LINE_CHARS,
    ),
    "",
    "Usage:",
    "  alwaysup [SETTINGS]             Run the proxy.",
    "  alwaysup COMMAND [ARGUMENTS]    Run a command.",
    "",
    "Commands:",
    ...COMMANDS.flatMap(({ name, summary }) => formatRow(name, summary, 15)),
    "",
    "`alwaysup help COMMAND` shows the flags and examples of a command.",
    "",
    ...formatExamples(PROXY_EXAMPLES),
    "",
    ...SETTINGS_NOTES.flatMap((
      paragraph,
    ) => [...wrapText(paragraph, LINE_CHARS), ""]),
    ...formatSettings(),
    "Other flags:",
    ...formatRow("-h, --help", "Print this help."),
    ...formatRow("-V, --version", "Print the version."),
    "",
    ...formatExitCodes(PROXY_EXIT_CODES),
    "",
    "Colors: NO_COLOR and TERM=dumb disable them, FORCE_COLOR=1 enables them.",
    "",
  ].join("\n");
}

/** Returns the help of a command. */
export function formatCommandHelp(command: CommandInfo): string {
  const { name, summary, usage, details, flags, takesSettings } = command;
  const lines = [
    ...wrapText(summary, LINE_CHARS),
    "",
    "Usage:",
    ...usage.map((rest) => `  alwaysup ${name} ${rest}`.trimEnd()),
    "",
    ...details.flatMap((paragraph) => [...wrapText(paragraph, LINE_CHARS), ""]),
    "Flags:",
    ...flags.flatMap((flag) => formatRow(nameOfFlag(flag), flag.help)),
    ...formatRow("-h, --help", "Print this help."),
    "",
  ];
  if (takesSettings) {
    lines.push(
      ...wrapText(
        "SETTINGS are the flags of the proxy, such as --url: see " +
          "`alwaysup help`.",
        LINE_CHARS,
      ),
      "",
    );
  }
  lines.push(
    ...formatExamples(command.examples),
    "",
    ...formatExitCodes(command.exitCodes),
    "",
  );
  return lines.join("\n");
}

/** Returns a flag with its dashes and the placeholder of its value. */
export function nameOfFlag(
  { flag, value }: Omit<CommandFlag, "help">,
): string {
  return value === undefined ? `--${flag}` : `--${flag} ${value}`;
}

/**
 * Returns the name under which the help lists a setting: the flag, or the first
 * variable if there is no flag, and the placeholder of the value.
 */
export function nameOfSetting({ flag, env, value }: Setting): string {
  return flag === undefined
    ? `${env[0]}=${value}`
    : nameOfFlag({ flag, value });
}

/** Returns the settings of each group, in the order of the groups. */
export function settingsByGroup(): [group: string, settings: Setting[]][] {
  const settings = listSettings().map(([, setting]) => setting);
  return SETTING_GROUPS.map((name) => [
    name,
    settings.filter(({ group }) => group === name),
  ]);
}

function formatSettings(): string[] {
  return settingsByGroup().flatMap(([group, settings]) => [
    `${group}:`,
    ...settings.flatMap((setting) => {
      const { flag, env, help, default: fallback } = setting;
      const sources = flag === undefined ? env.slice(1) : env;
      const notes = [
        ...sources,
        ...fallback === undefined ? [] : [`default ${fallback}`],
      ].join(", ");
      const text = notes === "" ? help : `${help} [${notes}]`;
      return formatRow(nameOfSetting(setting), text);
    }),
    "",
  ]);
}

function formatExamples(examples: CommandInfo["examples"]): string[] {
  return [
    "Examples:",
    ...examples.flatMap(([line, purpose]) => [`  ${line}`, `      ${purpose}`]),
  ];
}

function formatExitCodes(codes: CommandInfo["exitCodes"]): string[] {
  return [
    "Exit codes:",
    ...codes.flatMap(([code, meaning]) => formatRow(`${code}`, meaning, 5)),
  ];
}

/** Returns a row of two columns; a long name has a line of its own. */
function formatRow(name: string, text: string, column = TEXT_COLUMN): string[] {
  const lines = wrapText(text, LINE_CHARS - column);
  const head = `  ${name}`;
  const isLong = head.length + 2 > column;
  const indent = " ".repeat(column);
  return isLong
    ? [head, ...lines.map((line) => indent + line)]
    : lines.map((line, i) => (i === 0 ? head.padEnd(column) : indent) + line);
}
