/**
 * `alwaysup completions`: completion scripts for shells.
 *
 * @module
 */

import { describeChoices } from "../text/suggest.ts";
import { listSettings } from "../config/config.ts";
import type { Host } from "../runtime/host.ts";
import type { Output } from "../runtime/terminal.ts";
import {
  type CommandFlag,
  type CommandInfo,
  COMMANDS,
  SHELLS,
} from "./command_table.ts";

/** A flag, and what may follow it. */
interface CompletedFlag {
  /** The flag with its dashes. */
  readonly name: string;
  /** The description: one sentence. */
  readonly help: string;
  /** True if a value follows. */
  readonly hasValue: boolean;
  /** The words that the value may be. */
  readonly choices: readonly string[];
  /** True if the value may be a path. */
  readonly isPath: boolean;
}

/** Prints the completion script of the shell that is named. */
export function completions(
  args: readonly string[],
  _host: Host,
  output: Output,
): number {
  const [shell = "", ...others] = args;
  const createScript = Object.hasOwn(SCRIPTS, shell)
    ? SCRIPTS[shell as keyof typeof SCRIPTS]
    : undefined;
  if (createScript !== undefined && others.length === 0) {
    output.print(createScript().trimEnd());
    return 0;
  }
  output.printError(
    "alwaysup completions: one shell must follow; " +
      describeChoices(shell, "shells", SHELLS),
  );
  return 2;
}

const SCRIPTS: Readonly<Record<typeof SHELLS[number], () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
};

const HELP_FLAG = toCompletedFlag({ flag: "help", help: "Print help." });
const VERSION_FLAG = toCompletedFlag({
  flag: "version",
  help: "Print the version.",
});

/** Returns the flags of the settings. */
function settingFlags(): CompletedFlag[] {
  return listSettings().flatMap(([, { flag, value, help }]) =>
    flag === undefined ? [] : [toCompletedFlag({ flag, value, help })]
  );
}

function toCompletedFlag({ flag, value, help }: CommandFlag): CompletedFlag {
  const parts = value?.split("|") ?? [];
  return {
    name: `--${flag}`,
    help,
    hasValue: value !== undefined,
    choices: parts.filter((part) => /^[a-z]+$/.test(part)),
    isPath: parts.includes("PATH"),
  };
}

/** Returns the flags that may follow a command. */
function flagsOfCommand(
  { flags, takesSettings }: CommandInfo,
): CompletedFlag[] {
  const settings = takesSettings ? settingFlags() : [];
  return [...flags.map(toCompletedFlag), ...settings, HELP_FLAG];
}

/** Returns the flags of all commands and of the proxy, each once. */
function allFlags(): CompletedFlag[] {
  const flags = [...COMMANDS.flatMap(flagsOfCommand), ...settingFlags()];
  return [...new Map(flags.map((flag) => [flag.name, flag])).values()];
}

/** Returns the flags that may follow the program's name. */
function proxyFlags(): CompletedFlag[] {
  return [...settingFlags(), HELP_FLAG, VERSION_FLAG];
}

function namesOf(items: readonly { readonly name: string }[]): string {
  return items.map(({ name }) => name).join(" ");
}

function bashScript(): string {
  const valueCases = allFlags().filter(({ hasValue }) => hasValue).map(
    ({ name, choices, isPath }) =>
      `    ${name}) is_value=1 words='${choices.join(" ")}'` +
      `${isPath ? " is_path=1" : ""} ;;`,
  );
  const commandCases = COMMANDS.map((command) => {
    const words = [...command.choices ?? [], namesOf(flagsOfCommand(command))];
    return `      *:${command.name}) words='${words.join(" ")}' ;;`;
  });
  return `# Completion of alwaysup for bash, from: alwaysup completions bash
_alwaysup() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local words= is_value= is_path= IFS=$' \\n'
  case $previous in
${valueCases.join("\n")}
  esac
  if [[ -z $is_value ]]; then
    case \${COMP_CWORD}:\${COMP_WORDS[1]} in
      1:-*) words='${namesOf(proxyFlags())}' ;;
      1:*) words='${namesOf(COMMANDS)}' ;;
${commandCases.join("\n")}
      *) words='${namesOf(proxyFlags())}' ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ -n $is_path ]]; then
    # A path may contain spaces.
    IFS=$'\\n'
    COMPREPLY+=($(compgen -f -- "$current"))
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _alwaysup alwaysup
`;
}

function zshScript(): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const escape = (text: string): string => text.replace(/[\[\]:\\]/g, "\\$&");
  const argumentOf = (flag: CompletedFlag): string => {
    const { name, help, hasValue, choices, isPath } = flag;
    const label = `${name}[${escape(help)}]`;
    if (!hasValue) return quote(label);
    const words = choices.join(" ");
    if (!isPath) return quote(`${label}:value:(${words})`);
    const action = words === "" ? "_files" : `{compadd ${words}; _files}`;
    return quote(`${label}:value:${action}`);
  };
  const argumentsOf = (flags: readonly CompletedFlag[]): string =>
    flags.map((flag) => `        ${argumentOf(flag)}`).join(" \\\n");
  return `#compdef alwaysup
# Completion of alwaysup for zsh, from: alwaysup completions zsh
_alwaysup() {
  local -a commands
  commands=(
${
    COMMANDS.map(({ name, summary }) =>
      `    ${quote(`${name}:${escape(summary)}`)}`
    ).join("\n")
  }
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    return
  fi
  local command=$words[2]
  case $command in
${
    COMMANDS.map((command) => {
      const choices = command.choices === undefined
        ? ""
        : ` \\\n        '1:argument:(${command.choices.join(" ")})'`;
      return `    ${command.name})
      shift words
      (( CURRENT-- ))
      _arguments \\
${argumentsOf(flagsOfCommand(command))}${choices} ;;`;
    }).join("\n")
  }
    *)
      _arguments \\
${argumentsOf(proxyFlags())} ;;
  esac
}
if [[ $funcstack[1] == _alwaysup ]]; then
  _alwaysup "$@"
else
  compdef _alwaysup alwaysup
fi
`;
}

function fishScript(): string {
  const quote = (text: string): string => `'${text.replace(/['\\]/g, "\\$&")}'`;
  const lineOf = (condition: string, flag: CompletedFlag): string => {
    const { name, help, hasValue, choices, isPath } = flag;
    const words = choices.length === 0 ? "" : ` -a ${quote(choices.join(" "))}`;
    const kind = (isPath ? " -r -F" : hasValue ? " -x" : "") + words;
    return `complete -c alwaysup -n ${quote(condition)} -l ${name.slice(2)}` +
      `${kind} -d ${quote(help)}`;
  };
  const names = namesOf(COMMANDS);
  const isProxy = `not __fish_seen_subcommand_from ${names}`;
  const lines = [
    "# Completion of alwaysup for fish, from: alwaysup completions fish",
    "complete -c alwaysup -f",
  ];
  for (const { name, summary } of COMMANDS) {
    lines.push(
      `complete -c alwaysup -n __fish_use_subcommand -a ${name} -d ` +
        quote(summary),
    );
  }
  for (const flag of proxyFlags()) lines.push(lineOf(isProxy, flag));
  for (const command of COMMANDS) {
    const condition = `__fish_seen_subcommand_from ${command.name}`;
    if (command.choices !== undefined) {
      lines.push(
        `complete -c alwaysup -n ${quote(condition)} -a ` +
          quote(command.choices.join(" ")),
      );
    }
    for (const flag of flagsOfCommand(command)) {
      lines.push(lineOf(condition, flag));
    }
  }
  return lines.join("\n");
}

function powershellScript(): string {
  const listOf = (words: readonly string[]): string =>
    `@(${words.map((word) => `'${word}'`).join(", ")})`;
  const values = allFlags().filter(({ choices }) => choices.length > 0)
    .map(({ name, choices }) => `    '${name}' = ${listOf(choices)}`);
  const words = COMMANDS.map((command) => {
    const flags = flagsOfCommand(command).map(({ name }) => name);
    const all = [...command.choices ?? [], ...flags];
    return `    '${command.name}' = ${listOf(all)}`;
  });
  const proxy = proxyFlags().map(({ name }) => name);
  const first = COMMANDS.map(({ name }) => name);
  return `# Completion of alwaysup for PowerShell (not tested), from:
# alwaysup completions powershell
Register-ArgumentCompleter -Native -CommandName alwaysup -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $values = @{
${values.join("\n")}
  }
  $arguments = @{
${words.join("\n")}
  }
  $elements = @($commandAst.CommandElements | ForEach-Object { "$_" })
  $count = $elements.Count
  if ($wordToComplete -ne '') { $count-- }
  $previous = $elements[$count - 1]
  if ($values.ContainsKey($previous)) {
    $candidates = $values[$previous]
  } elseif ($count -gt 1 -and $arguments.ContainsKey($elements[1])) {
    $candidates = $arguments[$elements[1]]
  } elseif ($count -eq 1) {
    $candidates = ${listOf([...first, ...proxy])}
  } else {
    $candidates = ${listOf(proxy)}
  }
  $candidates | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_)
  }
}
`;
}
