/**
 * The table of commands. The folder `lib/commands/` holds what the program does
 * besides running the proxy. Help, completions and the manual page are
 * generated from this table and from the table of settings.
 *
 * @module
 */

import { CLIENTS } from "../clients/registry.ts";
import { listSettingFlags } from "../config/config.ts";

/** A flag of a command that is not a setting. */
export interface CommandFlag {
  /** The flag without dashes. */
  readonly flag: string;
  /** The placeholder for the value; `undefined` if the flag has no value. */
  readonly value?: string;
  /** The description: one sentence. */
  readonly help: string;
}

/** A command. */
export interface CommandInfo {
  /** The word after the program's name. */
  readonly name: string;
  /** The description for a list of commands: one sentence. */
  readonly summary: string;
  /** What follows the name in the usage lines. */
  readonly usage: readonly string[];
  /** The description for the help of the command: paragraphs. */
  readonly details: readonly string[];
  /** The words that may follow the command. */
  readonly choices?: readonly string[];
  /** The command's own flags. */
  readonly flags: readonly CommandFlag[];
  /** True if the flags of the settings may follow. */
  readonly takesSettings: boolean;
  /** Command lines, each with its purpose. */
  readonly examples: readonly (readonly [line: string, purpose: string])[];
  /** The meaning of each exit code. */
  readonly exitCodes: readonly (readonly [code: number, meaning: string])[];
}

/** The shells with a completion script. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

/** The meaning of exit code 2, which is the same for every command. */
export const NOT_UNDERSTOOD = "The command line or a setting is not valid.";

const CLIENT_NAMES = CLIENTS.map(({ name }) => name);
const URL_EXAMPLE = "--url ws://127.0.0.1:8079/";

const WRITE_FLAGS: readonly CommandFlag[] = [
  { flag: "all", help: "Every client on this machine." },
  { flag: "write", help: "Change the file. A backup of it is kept." },
  {
    flag: "name",
    value: "NAME",
    help: "Name of the server in the client. Default: alwaysup.",
  },
];

const COMMANDS_WITHOUT_HELP: readonly CommandInfo[] = [
  {
    name: "doctor",
    summary: "Check the connection to the daemon, and say what to fix.",
    usage: ["[--json] [--connect] [SETTINGS]"],
    details: [
      "Checks each step between this machine and the daemon, and says how to " +
      "fix each step that fails. Give it the flags and the environment of " +
      "your client's configuration.",
      "Doctor calls no tool. If a proxy for the same URL runs, doctor reads " +
      "that proxy's status and does not connect to the daemon, because some " +
      "daemons keep only one client.",
    ],
    flags: [
      { flag: "json", help: "Print one JSON object." },
      { flag: "connect", help: "Connect even if a proxy for the URL runs." },
    ],
    takesSettings: true,
    examples: [
      [`alwaysup doctor ${URL_EXAMPLE}`, "Check a daemon on this machine."],
      [
        `alwaysup doctor --json ${URL_EXAMPLE}`,
        "Print the checks as JSON, for other programs.",
      ],
    ],
    exitCodes: [
      [0, "No check failed."],
      [1, "A check failed."],
      [2, NOT_UNDERSTOOD],
    ],
  },
  {
    name: "status",
    summary: "List the running proxies of this user.",
    usage: ["[--json | --verbose] [--watch]", "--prometheus"],
    details: [
      "Prints a line for each running proxy: process, client, daemon and its " +
      "URL, state of the connection, start, number of reconnects, and number " +
      "of requests without an answer. Below it are the circuit breaker if it " +
      "is not closed, and the last error while the daemon is down.",
      "On a terminal, long texts are shortened, and columns are left out, " +
      "until a line fits. COLUMNS and LINES count only if the terminal does " +
      "not tell its size. Elsewhere nothing is shortened.",
    ],
    flags: [
      { flag: "json", help: "Print one JSON array." },
      { flag: "verbose", help: "Print everything known, a block per proxy." },
      {
        flag: "prometheus",
        help: "Print metrics, once, for node_exporter's textfile collector.",
      },
      { flag: "watch", help: "Keep the output up to date, until Ctrl+C." },
    ],
    takesSettings: false,
    examples: [
      ["alwaysup status", "List the proxies once."],
      ["alwaysup status --watch", "Keep the list up to date."],
      ["alwaysup status --verbose", "Print everything known."],
    ],
    exitCodes: [
      [0, "The list is printed. It may be empty."],
      [1, "No status file, or not their folder, can be read."],
      [2, NOT_UNDERSTOOD],
    ],
  },
  {
    name: "history",
    summary: "List the outages of the running proxies.",
    usage: ["[--json]"],
    details: [
      "Prints the outages of each running proxy, the newest last: when each " +
      "began, how long it lasted, why, the number of attempts to connect, and " +
      "what it did to requests. An outage begins when the connection is lost, " +
      "and ends when the daemon is connected. A proxy keeps its newest 20 " +
      "outages until it ends.",
      "With --json, each object of the array is a proxy: pid, client, daemon, " +
      "url, dialect, startedAt, history. In history, outages is an array with " +
      "lostAt, cause, reason, downMs (absent while the daemon is down), " +
      "attempts, repeatedCount, failedCount, failed (the first 10: method, " +
      "name, code, reason). The other members count since the start: " +
      "outageCount, downMs (of all ended outages), downSince (only while the " +
      "daemon is down), dialAttempts (on all connections), reconnects (by " +
      "cause), repeatedCount, failedRequests (by reason), unknownOutcomes, " +
      "circuitOpenings. cause is one of the words in config/LOG.md, or " +
      "unreachable: not reached since the start. downMs is a duration in " +
      "milliseconds. startedAt, lostAt and downSince are milliseconds since " +
      "1970.",
    ],
    flags: [{ flag: "json", help: "Print one JSON array." }],
    takesSettings: false,
    examples: [
      ["alwaysup history", "List the outages."],
      ["alwaysup history --json", "Print them as JSON, for other programs."],
    ],
    exitCodes: [
      [0, "The outages are printed. There may be none."],
      [1, "No status file, or not their folder, can be read."],
      [2, NOT_UNDERSTOOD],
    ],
  },
  {
    name: "install",
    summary: "Add alwaysup to the configuration of an MCP client.",
    usage: [
      "CLIENT [--write] [--name NAME] [SETTINGS]",
      "--all [--write] [--name NAME] [SETTINGS]",
    ],
    details: [
      `CLIENT is one of: ${CLIENT_NAMES.join(", ")}.`,
      "Without --write, prints the entry, and the path of the file to which " +
      "the entry belongs. With --all and without --write, lists the clients " +
      "on this machine.",
    ],
    choices: CLIENT_NAMES,
    flags: WRITE_FLAGS,
    takesSettings: true,
    examples: [
      [`alwaysup install cursor ${URL_EXAMPLE}`, "Show the entry for Cursor."],
      [
        `alwaysup install cursor ${URL_EXAMPLE} --write`,
        "Write it into Cursor's file.",
      ],
      ["alwaysup install --all", "List the clients on this machine."],
    ],
    exitCodes: [
      [0, "The entry is printed or written."],
      [1, "A file cannot be read or changed."],
      [2, NOT_UNDERSTOOD],
    ],
  },
  {
    name: "uninstall",
    summary: "Remove alwaysup from the configuration of an MCP client.",
    usage: ["CLIENT [--write] [--name NAME]", "--all [--write] [--name NAME]"],
    details: [
      `CLIENT is one of: ${CLIENT_NAMES.join(", ")}.`,
      "Without --write, it prints the lines that --write removes.",
    ],
    choices: CLIENT_NAMES,
    flags: WRITE_FLAGS,
    takesSettings: false,
    examples: [
      ["alwaysup uninstall cursor", "Show what would be removed."],
      ["alwaysup uninstall --all --write", "Remove it from every client."],
    ],
    exitCodes: [
      [0, "The entry is removed or absent, or the change is printed."],
      [1, "A file cannot be read or changed."],
      [2, NOT_UNDERSTOOD],
    ],
  },
  {
    name: "completions",
    summary: "Print a completion script for a shell.",
    usage: ["SHELL"],
    details: [
      `SHELL is one of: ${SHELLS.join(", ")}.`,
      "The script for powershell is not tested.",
    ],
    choices: SHELLS,
    flags: [],
    takesSettings: false,
    examples: [
      ['eval "$(alwaysup completions bash)"', "Put this line into ~/.bashrc."],
      [
        'eval "$(alwaysup completions zsh)"',
        "Put this line into ~/.zshrc, after compinit.",
      ],
      [
        "alwaysup completions fish | source",
        "Put this line into ~/.config/fish/config.fish.",
      ],
      [
        "alwaysup completions powershell | Out-String | Invoke-Expression",
        "Put this line into the file that $PROFILE names.",
      ],
    ],
    exitCodes: [[0, "The script is printed."], [2, NOT_UNDERSTOOD]],
  },
  {
    name: "man",
    summary: "Print the manual page.",
    usage: [""],
    details: [
      "Prints the manual page in the format of man(7).",
    ],
    flags: [],
    takesSettings: false,
    examples: [
      ["alwaysup man | man -l -", "Read it on Linux."],
      ["alwaysup man > alwaysup.1", "Save it for your man path."],
    ],
    exitCodes: [[0, "The page is printed."], [2, NOT_UNDERSTOOD]],
  },
  {
    name: "version",
    summary: "Print the version (also -V, --version).",
    usage: [""],
    details: ["Prints the version, the runtime and the commit of the build."],
    flags: [],
    takesSettings: false,
    examples: [["alwaysup version", "Print the version."]],
    exitCodes: [[0, "The version is printed."], [2, NOT_UNDERSTOOD]],
  },
];

/** All commands, in the order of the help. */
export const COMMANDS: readonly CommandInfo[] = [
  ...COMMANDS_WITHOUT_HELP,
  {
    name: "help",
    summary: "Print help (also -h, --help).",
    usage: ["[COMMAND]"],
    details: [
      "Prints the help of the program with every setting, or the help of one " +
      "command.",
    ],
    choices: [...COMMANDS_WITHOUT_HELP.map(({ name }) => name), "help"],
    flags: [],
    takesSettings: false,
    examples: [
      ["alwaysup help", "Print every command and setting."],
      ["alwaysup help doctor", "Print the help of doctor."],
    ],
    exitCodes: [[0, "The help is printed."], [2, NOT_UNDERSTOOD]],
  },
];

/** The examples in the help of the program. */
export const PROXY_EXAMPLES: CommandInfo["examples"] = [
  [
    `alwaysup ${URL_EXAMPLE}`,
    "Run the proxy. An MCP client starts it like this.",
  ],
  [`alwaysup doctor ${URL_EXAMPLE}`, "Check the connection to the daemon."],
  [
    `alwaysup install cursor ${URL_EXAMPLE} --write`,
    "Add alwaysup to Cursor.",
  ],
];

/** The exit codes of the proxy itself. */
export const PROXY_EXIT_CODES: CommandInfo["exitCodes"] = [
  [0, "The client closed stdin or stdout, or a signal ended the proxy."],
  [1, "The time of --give-up-after passed without a daemon."],
  [2, NOT_UNDERSTOOD],
];

/** Returns the command with this name; `undefined` if there is none. */
export function findCommand(name: string): CommandInfo | undefined {
  return COMMANDS.find((command) => command.name === name);
}

/**
 * Returns the flags of a command, with their dashes, settings included.
 *
 * @param name the name of a command in the table
 */
export function flagsOf(name: string): string[] {
  const { flags, takesSettings } = findCommand(name)!;
  return [
    ...flags.map(({ flag }) => `--${flag}`),
    ...takesSettings ? listSettingFlags() : [],
    "--help",
  ];
}
