/**
 * Every form in which daemons write messages, with both versions of the SDK's
 * client behind the proxy: the clients must accept what reaches them, before
 * the daemon is killed and after its restart.
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

/** How many kinds run at a time: most of the time is waiting. */
const PARALLEL_RUNS = 3;

/** More connections than the daemon allows by default. */
const EXAI_FLAGS = ["--sessions", "1000"];

/** The kinds, each with its forms. */
const KINDS = Map.groupBy(
  [...MESSAGE_FORMS, ...EXAI_FORMS],
  ({ kind }) => kind,
);

/** The outcome of a form. An absent member means success. */
interface Outcome {
  readonly form: MessageForm;
  readonly before: Partial<Record<SdkVersion, string>>;
  readonly after: Partial<Record<SdkVersion, string>>;
  /** What the proxy wrote that no daemon should get. */
  readonly wrong: string[];
}

async function errorOf(work: Promise<void>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    // The values alone show a difference.
    return errorMessageOf(error).split(/\s*\n/).filter((line) => line !== "")
      .join(" ");
  }
}

/**
 * Runs all forms of a kind at the same time: one daemon, and a proxy for each
 * client.
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

/** Runs the kinds, a few at a time. */
function runAllForms(): Map<string, Promise<Outcome[]>> {
  const lanes: Promise<unknown>[] = Array.from(
    { length: PARALLEL_RUNS },
    () => Promise.resolve(),
  );
  return new Map(
    [...KINDS].map(([kind, forms], i) => {
      const played = lanes[i % PARALLEL_RUNS]!.then(() => runForms(forms));
      lanes[i % PARALLEL_RUNS] = played.catch(() => {});
      return [kind, played];
    }),
  );
}

let outcomesByKind: Map<string, Promise<Outcome[]>> | undefined;

/** The outcomes of a kind. The first call starts all kinds. */
function outcomesOf(kind: string): Promise<Outcome[]> {
  outcomesByKind ??= runAllForms();
  return outcomesByKind.get(kind)!;
}

for (const kind of KINDS.keys()) {
  test(
    `Message forms: of ${kind}, what reaches the SDK's clients is what they accept`,
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

/** Pads the cells of each column to one width. */
function aligned(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, i) =>
    Math.max(...rows.map((row) => row[i]!.length))
  );
  return rows.map((row) =>
    row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")
  );
}

/** The outcome of a form, as a row of the table. */
function row({ form, before, after }: Outcome): string[] {
  const cell = (isGood: boolean): string => isGood ? "ok" : "fails";
  const isThere = (["v1", "v2"] as const).filter((it) => !before[it]);
  const isGood = isThere.every((version) => !after[version]);
  return [
    formKey(form),
    cell(isThere.includes("v1")),
    cell(isThere.includes("v2")),
    isThere.length < 2 ? "-" : cell(isGood),
  ];
}

test("Message forms: the table of all of them", async (context) => {
  const rows = [["form", "v1", "v2", "after a restart"]];
  for (const kind of KINDS.keys()) {
    rows.push(...(await outcomesOf(kind)).map(row));
  }
  // A step's name is printed at every verbosity.
  for (const line of aligned(rows)) await context.step(line, () => {});
}, UNSANITIZED);
