/**
 * Writes `config/env.example` from the settings table.
 *
 *     deno task settings
 *
 * @module
 */

import { listSettings } from "../../lib/config/config.ts";

/** The URL of `config/env.example`. */
export const ENV_EXAMPLE_FILE: URL = new URL(
  "../../config/env.example",
  import.meta.url,
);

/**
 * Returns the file's text: every variable with its default. All lines are
 * comments, so that a copy of the file changes no setting.
 */
export function envExampleText(): string {
  const blocks = listSettings().filter(([name]) => name !== "envFile")
    .flatMap(([, { env, help, default: fallback = "", value }]) =>
      env.map((name) =>
        `# ${help[0]?.toUpperCase()}${help.slice(1)}\n` +
        `# (${value.replaceAll("'", "")}${
          fallback && `; default ${fallback}`
        })\n` +
        `#${name}=${fallback}\n`
      )
    );
  return "# Settings of alwaysup, for --env-file PATH (or ENV_FILE=PATH).\n" +
    "# Written from the table in lib/config/settings.ts by: deno task settings\n\n" +
    blocks.join("\n");
}

if (import.meta.main) {
  await Deno.writeTextFile(ENV_EXAMPLE_FILE, envExampleText());
}
