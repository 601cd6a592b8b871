/**
 * Tests every form in which daemons write messages. Clients of both SDK
 * versions must accept what the proxy sends them, before the daemon is killed
 * and after its restart.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { assertEquals } from "../helpers/assert.ts";
import { formKey, type MessageForm } from "../helpers/forms/form_helpers.ts";
import { MESSAGE_FORMS } from "../helpers/forms/forms.ts";
import type { SdkVersion } from "../helpers/forms/sdk_clients.ts";
import { EXAI_FORMS } from "../helpers/forms/exai_forms.ts";
import { ExaiFormScenario } from "../helpers/forms/exai_form_scenario.ts";
import { FormScenario } from "../helpers/forms/form_scenario.ts";
import { test } from "../helpers/time_limit.ts";
import {
  type ChildProcess,
  freePort,
  startDaemonScript,
} from "../helpers/process.ts";

/** The SDK's transports leave a timer behind when they are closed. */
const UNSANITIZED = { sanitizeOps: false, sanitizeResources: false };

/** How many kinds run at the same time. They mostly wait. */
const PARALLEL_RUNS = 3;

/** Allows more connections than the daemon's default of 100. */
const EXAI_FLAGS = ["--sessions", "1000"];

/** The forms of each kind. */
const KINDS = Map.groupBy(
  [...MESSAGE_FORMS, ...EXAI_FORMS],
  ({ kind }) => kind,
);

/** The errors of a form. A version without an error has succeeded. */
interface Outcome {
  readonly form: MessageForm;
  readonly before: Partial<Record<SdkVersion, string>>;
  readonly after: Partial<Record<SdkVersion, string>>;
  /** The daemon's reports of invalid messages from the proxy. */
  readonly wrong: string[];
}

async function errorOf(work: Promise<void>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    // Joins the lines, because each error is one element of a list.
    return errorMessageOf(error).split(/\s*\n/).filter((line) => line !== "")
      .join(" ");
  }
}

/**
 * Runs all forms of a kind at the same time, with one daemon, and with one
 * proxy for each client.
 */
async function runForms(forms: readonly MessageForm[]): Promise<Outcome[]> {
  const outcomes = forms.map((form): Outcome => ({
    ...{ form, before: {}, after: {}, wrong: [] },
  }));
  const port = freePort();
  const isExai = forms === KINDS.get("exai");
  const start = (...args: string[]): Promise<ChildProcess> =>
    isExai
      ? startDaemonScript("exai_daemon.ts", "--port", `${port}`, ...EXAI_FLAGS)
      : startDaemonScript("forms_daemon.ts", `${port}`, ...args);
  const first = await start();
  const scenarios = outcomes.flatMap((outcome) =>
    (["v1", "v2"] as const).map((version) => ({
      outcome,
      version,
      scenario: new (isExai ? ExaiFormScenario : FormScenario)(
        outcome.form,
        version,
        port,
      ),
    }))
  );
  const run = (
    part: "before" | "after",
  ): Promise<void[]> =>
    Promise.all(scenarios.map(async ({ outcome, version, scenario }) => {
      if (part === "after" && outcome.before[version]) return;
      const what = await errorOf(scenario[part]());
      if (what !== undefined) outcome[part][version] = what;
    }));
  await run("before");
  await first.signal("SIGKILL");
  const rest = run("after");
  const second = await start("restarted");
  await rest;
  await Promise.all(scenarios.map(({ scenario }) => scenario.close()));
  await second.signal("SIGKILL");
  for (const { text } of [...first.stdout.lines, ...second.stdout.lines]) {
    const outcome = outcomes.find(({ form }) =>
      text.startsWith(`wrong ${formKey(form)}: `)
    );
    if (!outcome?.wrong.includes(text)) outcome?.wrong.push(text);
  }
  return outcomes;
}

/** Runs all kinds, `PARALLEL_RUNS` at a time. */
function runAllForms(): Map<string, Promise<Outcome[]>> {
  const lanes: Promise<unknown>[] = Array.from(
    { length: PARALLEL_RUNS },
    () => Promise.resolve(),
  );
  return new Map(
    [...KINDS].map(([kind, forms], i) => {
      const outcomes = lanes[i % PARALLEL_RUNS]!.then(() => runForms(forms));
      lanes[i % PARALLEL_RUNS] = outcomes.catch(() => {});
      return [kind, outcomes];
    }),
  );
}

let outcomesByKind: Map<string, Promise<Outcome[]>> | undefined;

/** Returns the outcomes of a kind. The first call starts all kinds. */
function outcomesOf(kind: string): Promise<Outcome[]> {
  outcomesByKind ??= runAllForms();
  return outcomesByKind.get(kind)!;
}

for (const kind of KINDS.keys()) {
  test(
    `Message forms: the SDK's clients accept every form of ${kind}`,
    async () => {
      const wrong = (await outcomesOf(kind)).flatMap(
        ({ form: { name }, before, after, wrong }) => [
          ...Object.entries(before).map(([version, what]) =>
            `${name}, ${version}: ${what}`
          ),
          ...Object.entries(after).map(([version, what]) =>
            `${name}, ${version}, after the restart: ${what}`
          ),
          ...wrong,
        ],
      );
      assertEquals(wrong, []);
    },
    UNSANITIZED,
  );
}

/** Pads the cells of each column to the same width. */
function aligned(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, i) =>
    Math.max(...rows.map((row) => row[i]!.length))
  );
  return rows.map((row) =>
    row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")
  );
}

/** Returns the outcome of a form as a row of the table. */
function row({ form, before, after }: Outcome): string[] {
  const cell = (isGood: boolean): string => isGood ? "ok" : "fails";
  const startedVersions = (["v1", "v2"] as const).filter((it) => !before[it]);
  const isGood = startedVersions.every((version) => !after[version]);
  return [
    formKey(form),
    cell(startedVersions.includes("v1")),
    cell(startedVersions.includes("v2")),
    startedVersions.length < 2 ? "-" : cell(isGood),
  ];
}

test("Message forms: the table of all forms", async (context) => {
  const rows = [["form", "v1", "v2", "after a restart"]];
  for (const kind of KINDS.keys()) {
    rows.push(...(await outcomesOf(kind)).map(row));
  }
  // Deno prints the name of a step at every verbosity.
  for (const line of aligned(rows)) await context.step(line, () => {});
}, UNSANITIZED);
