/**
 * The documentation: its length, its links, and the commands, flags and
 * settings that it names.
 *
 * @module
 */

import configuration from "../deno.json" with { type: "json" };
import {
  drawMetrics,
  METRICS_PICTURE_FILE,
} from "../.ci/build/metrics_picture.ts";
import { drawOutage, PICTURE_FILE } from "../.ci/build/outage_picture.ts";
import { COMMANDS, flagsOf } from "../lib/commands/command_table.ts";
import { CLIENTS } from "../lib/clients/registry.ts";
import { listSettingFlags } from "../lib/config/config.ts";
import { assert, assertEquals } from "./helpers/assert.ts";
import { test } from "./helpers/time_limit.ts";

const ROOT = new URL("../", import.meta.url);
const PAGES = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "CHANGELOG.md",
  "config/README.md",
  "config/LOG.md",
  "config/METRICS.md",
  "tests/README.md",
  "lib/commands/README.md",
  "lib/session/README.md",
  "lib/dialects/exai/README.md",
];

/** Flags of other programs that the pages name. */
const OTHER_FLAGS = new Set([
  "--unsafely-ignore-certificate-errors",
  "--check",
  "--ignore-missing",
  "--port",
  "--target",
  "--bin",
  "--runtime",
  "--package-lock-only",
  "--lint",
  "--repo",
  "--version",
  "--quiet",
  "--picture",
  // Options of Docker and of node_exporter.
  "--add-host",
  "--network",
  "--collector",
  // Options of the benchmark.
  "--columns",
  "--rows",
  "--rounds",
  "--minute",
  "--markdown",
  "--json",
]);

function readPage(name: string): Promise<string> {
  return Deno.readTextFile(new URL(name, ROOT));
}

test("README: it has at most 1,800 words", async () => {
  const words = (await readPage("README.md")).split(/\s+/).filter(Boolean);
  assert(words.length <= 1_800, `${words.length} words`);
});

test("README: it names every client, and its snippet is config/mcp-config.json", async () => {
  const readme = await readPage("README.md");
  for (const { name } of CLIENTS) assert(readme.includes(`\`${name}\``), name);
  assert(readme.includes((await readPage("config/mcp-config.json")).trim()));
});

test("README: a command that people paste has no placeholder", async () => {
  const blocks = (await readPage("README.md")).matchAll(/```sh\n([^]*?)```/g);
  const commands = [...blocks].map(([, text]) => text!);
  assert(commands.length >= 5);
  for (const text of commands) {
    assertEquals(/[A-Z]{4,}|<[a-z]|\/path\/|\.\.\./.test(text), false, text);
  }
});

test("Documentation: every link to a file leads to one", async () => {
  for (const page of PAGES) {
    const links = (await readPage(page)).matchAll(/\]\(([^)#\s]+)\)/g);
    for (const [, target] of links) {
      if (/^https?:/.test(target!)) continue;
      const url = new URL(target!, new URL(page, ROOT));
      assert((await Deno.stat(url)) !== undefined, `${page}: ${target}`);
    }
  }
});

test("Documentation: the flags and tasks that it names exist", async () => {
  const known = new Set([
    ...listSettingFlags(),
    ...COMMANDS.flatMap(({ name }) => flagsOf(name)),
    ...OTHER_FLAGS,
  ]);
  const tasks = Object.keys(configuration.tasks);
  for (const page of PAGES) {
    const text = await readPage(page);
    const flags = [...text.matchAll(/(?<![\w-])--[a-z][a-z-]+/g)]
      .map(([flag]) => flag);
    assertEquals(flags.filter((flag) => !known.has(flag)), [], page);
    const named = [
      ...text.matchAll(/deno(?:@[\d.]+)? task (?:--quiet )?([a-z]\w+)/g),
    ].map(([, task]) => task!);
    assertEquals(named.filter((task) => !tasks.includes(task)), [], page);
  }
});

test("Documentation: CONTRIBUTING.md names every task that is not for users", async () => {
  const text = await readPage("CONTRIBUTING.md");
  const forUsers = ["run", "dev", "demo", "daemon", "test", "lint"];
  for (const task of Object.keys(configuration.tasks)) {
    if (forUsers.includes(task)) continue;
    assert(text.includes(`\`deno task ${task}\``), task);
  }
});

test("Outage picture: it is the one drawn from the timeline in its metadata (deno task picture)", async () => {
  const picture = await Deno.readTextFile(PICTURE_FILE);
  const [, timeline] = /<metadata>(.*)<\/metadata>/.exec(picture)!;
  assertEquals(picture, drawOutage(JSON.parse(timeline!)));
});

test("Metrics picture: it is the one drawn from the values in its metadata (deno task prometheus --picture)", async () => {
  const picture = await Deno.readTextFile(METRICS_PICTURE_FILE);
  const [, values] = /<metadata>(.*)<\/metadata>/.exec(picture)!;
  assertEquals(picture, drawMetrics(JSON.parse(values!)));
});
