/**
 * Writes `config/README.md` from the table of settings.
 *
 *     deno task settings
 *
 * @module
 */

import { settingsByGroup } from "../../lib/commands/help.ts";

/** The URL of `config/README.md`. */
export const SETTINGS_PAGE_FILE: URL = new URL(
  "../../config/README.md",
  import.meta.url,
);

const HEAD =
  `<!-- Written from lib/config/settings.ts by: deno task settings -->

# Configuration

This folder has the configuration of each MCP client, all settings, and what Prometheus and Grafana need.

| File                                              | For                                          |
| ------------------------------------------------- | -------------------------------------------- |
| [mcp-config.json](mcp-config.json)                | an MCP daemon, in the format of most clients |
| \`mcp-config.CLIENT.json\`, \`mcp-config.codex.toml\` | an EX-AI daemon, one file for each client    |
| [mcp-config.npx.json](mcp-config.npx.json)        | an EX-AI daemon; \`npx\` fetches alwaysup      |
| [mcp-config.source.json](mcp-config.source.json)  | an EX-AI daemon; from the source             |
| [env.example](env.example)                        | every variable, for \`--env-file\`             |
| [env.docker](env.docker)                          | an EX-AI daemon in Docker, for \`--env-file\`  |
| [METRICS.md](METRICS.md)                          | all metrics, and how to collect them         |
| [prometheus.yml](prometheus.yml)                  | Prometheus, as an example                    |
| [prometheus-alerts.yml](prometheus-alerts.yml)    | Prometheus: alert rules                      |
| [grafana-dashboard.json](grafana-dashboard.json)  | Grafana: a dashboard                         |

## How settings are read

- A flag takes precedence over the environment variable, the variable over the file of \`--env-file\`, and the file over
  the default.
- A time is \`250ms\`, \`45s\`, \`5m\`, \`1h\` or a number of seconds. A size is \`512KiB\`, \`32MiB\` or a number of bytes.
- \`off\` or \`0\` disables a limit whose value is \`TIME|off\`, \`COUNT|off\` or \`SIZE|off\`. Only \`--initialize-grace 0\`
  means: do not wait.
- If a setting is not valid, \`alwaysup\` names every such setting on stderr and exits with code 2. A variable that other
  programs use too (\`LOG_LEVEL\`, \`LOG_FORMAT\`, \`EXAI_SESSION_ID\`, \`EXAI_WS_PING_INTERVAL\`, and the time limits of
  providers other than GLM and Kimi) only gives a warning.
- A flag must not show a secret, because everybody on the machine can see a command line. Use a file or a variable.

## All settings

`;

const TAIL = `## Time limits by provider

If the \`model\` argument of a call begins with the name of a provider, the call
belongs to that provider; or else the name of the tool decides in the same way.
No letter may follow the name: \`glm-4.6\` and \`glm4\`
mean GLM. \`zhipu\` also means GLM, and \`moonshot\` also means Kimi. \`<NAME>_STREAM_TIMEOUT\` and
\`<NAME>_STREAM_IDLE_TIMEOUT\` limit the calls of any other provider NAME.

The total limit counts from the arrival of the call, so it includes the time in the queue. Progress restarts the idle
limit, never the total limit. For the total limit, the first of these that exists applies: the provider's limit,
\`--request-timeout\`, the limit that an EX-AI daemon itself allows.

## The file of --env-file

The file is read as python-dotenv reads it. Quotes, values over several lines, \`export\`, \`\${NAME}\` and \`\${NAME:-default}\`
work. In a value without quotes, \`#\` begins a comment only after white space, so \`TOKEN=s3cr#t-9\` is not cut.
A line that
cannot be read gives a warning with its number, without its text. A file that \`--env-file\` names must exist; a file that only
\`ENV_FILE\` names may be missing. \`./.env\` is never read by default.

## Certificates

A \`wss://\` daemon must show a certificate for its name from an authority that the runtime trusts. \`--ca-file\` adds the
authorities of a PEM file. \`NODE_EXTRA_CA_CERTS\` does the same, and is the only way for Node before 22.19 and 24.5. With
\`NODE_TLS_REJECT_UNAUTHORIZED=0\`, \`alwaysup\` refuses \`wss://\`.
`;

/** Returns the text of the page: a table of settings for each group. */
export function settingsPageText(): string {
  const tables = settingsByGroup().map(([group, settings]) => {
    const rows = settings.map((setting) => [
      setting.flag === undefined ? "" : code(`--${setting.flag}`),
      setting.env.map(code).join(", "),
      code(setting.value),
      setting.default === undefined ? "" : code(setting.default),
      setting.help.replaceAll("<", "&lt;"),
    ]);
    const head = ["Flag", "Environment", "Value", "Default", "Meaning"];
    return `### ${group}\n\n${formatTable([head, ...rows])}\n\n`;
  });
  return HEAD + tables.join("") + TAIL;
}

/** Returns a text as code in a cell of a Markdown table. */
export function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

/** Returns a Markdown table whose columns are padded, as `deno fmt` does. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) =>
    Math.max(3, ...rows.map((row) => row[i]!.length))
  );
  const lineOf = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  const [head, ...body] = rows;
  const rule = widths.map((width) => "-".repeat(width));
  return [head!, rule, ...body].map(lineOf).join("\n");
}

if (import.meta.main) {
  await Deno.writeTextFile(SETTINGS_PAGE_FILE, settingsPageText());
}
