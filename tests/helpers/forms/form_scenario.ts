/**
 * A client's requests to a daemon that writes in one form, before and after its
 * restart.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { formKey, type MessageForm } from "./form_helpers.ts";
import {
  type CallOptions,
  RESPONSE_TIMEOUT_MS,
  SdkClient,
  type SdkVersion,
} from "./sdk_clients.ts";

/** The tools of the daemon before its restart. */
const TOOL_NAMES = [
  "read",
  "steady",
  "echo",
  "work",
  "go",
  "fail",
  "change",
  "ask",
]
  .concat("quiet", "pair", "level", "write");

/**
 * How long the client waits for a call with slow progress, in milliseconds. The
 * whole call takes longer.
 */
const SLOW_CALL_TIMEOUT_MS = 4_000;

/** A text that makes its answer one whose result is only carried. */
const LARGE_TEXT = '"id" \u{1f600} {[\n'.repeat(7_000);

/** One client, one form. */
export class FormScenario {
  readonly form: MessageForm;
  readonly version: SdkVersion;
  readonly #client: SdkClient;
  /** The call that is in flight when the daemon is killed, and its progress. */
  #callInFlight: Promise<string> | undefined;
  readonly #progress: number[] = [];
  /** How often the tool list must have changed. */
  #expectedListChanges = 0;

  constructor(form: MessageForm, version: SdkVersion, port: number) {
    this.form = form;
    this.version = version;
    const url = `ws://127.0.0.1:${port}/${encodeURIComponent(formKey(form))}`;
    // With spoiled calls, the proxy's own probes must not come between.
    const pingInterval = form.spoiledCall ? "60s" : "500ms";
    this.#client = new SdkClient(version, [
      ...["--url", url, "--connections", "many"],
      ...["--ping-interval", pingInterval, "--ping-timeout", "30s"],
      // Only the daemon sends progress.
      ...["--wait-progress", "off", "--log-level", "debug"],
    ], form);
  }

  /** The log of the proxy. */
  get log(): string {
    return this.#client.log;
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** The part before the restart. It ends with a call in flight. */
  async before(): Promise<void> {
    const client = this.#client;
    await client.connect();
    if (!this.form.spoiledCall) await client.setLevel("info");
    await this.#checkCalls(false);
    const reported = Promise.withResolvers<void>();
    const input = { key: crypto.randomUUID() };
    this.#callInFlight = client.callForText("steady", input, {
      // It also waits for the daemon's other clients.
      timeout: 8 * RESPONSE_TIMEOUT_MS,
      onprogress: (value) => {
        this.#progress.push(value);
        if (this.#progress.length === 3) reported.resolve();
        const last = this.form.progressAfterRestart?.received.at(-1) ?? 4;
        if (value === last) this.#releaseCall(input);
      },
    });
    // It is awaited after the restart, if the test gets there.
    this.#callInFlight.catch(() => {});
    await Promise.race([reported.promise, this.#callInFlight]);
    assertEquals(this.#progress, [1, 2, 3], "progress before the restart");
  }

  /** The part from the kill on. */
  async after(): Promise<void> {
    // A call sent before that may have been executed.
    await this.#client.waitForDisconnect();
    const client = this.#client;
    const queued = client.callForText("echo", { text: "queued" });
    assertEquals(await queued, "echo: queued");
    assertEquals(await this.#callInFlight, "steady");
    const { received = [4] } = this.form.progressAfterRestart ?? {};
    assertEquals(
      this.#progress,
      [1, 2, 3, ...received],
      "progress after a repeat",
    );
    if (this.form.changesTools) {
      await client.waitForListChanges(++this.#expectedListChanges);
    }
    if (!this.form.spoiledCall) {
      assertEquals(await client.callForText("level"), "info");
    }
    await this.#checkCalls(true);
    assertEquals(client.listChanges, this.#expectedListChanges, "list_changed");
    assertEquals(client.errors, [], "errors of the SDK");
    const lines = unexpectedLogLines(client.log);
    const { expectsLog, spoiledCall, decoys } = this.form;
    if (!expectsLog && !spoiledCall && !decoys) {
      assertEquals(lines, [], "the log");
    } else assert(lines.length > 0, "nothing is logged");
  }

  async #checkCalls(isRestarted: boolean): Promise<void> {
    const client = this.#client;
    const { form } = this;
    const names = [...new Set(await client.toolNames())];
    // The client does not request a page after an empty cursor.
    const isMore = form.changesTools && isRestarted;
    assertEquals(names, isMore ? [...TOOL_NAMES, "more"] : TOOL_NAMES);
    assertEquals(
      await client.callForText("echo", { text: "one" }),
      "echo: one",
    );
    if (form.clientPings) await client.ping();
    if (form.spoiledCall) {
      return await this.#checkSpoiledCalls(form.spoiledCall);
    }
    await this.#checkProgress();
    await this.#checkError();
    await client.callForText("change");
    await client.waitForListChanges(++this.#expectedListChanges);
    assertEquals(
      await client.callForText("ask"),
      "file:///forms file:///forms",
    );
    await this.#checkTwoCalls();
    // The daemon stays silent until the proxy probes it.
    assertEquals(await client.callForText("quiet"), "quiet");
    for (const text of ["two", LARGE_TEXT]) {
      assertEquals(await client.callForText("echo", { text }), `echo: ${text}`);
    }
  }

  async #checkProgress(): Promise<void> {
    const client = this.#client;
    const { progress } = this.form;
    const expected = progress?.received ?? [1, 2, 3];
    const input = { key: crypto.randomUUID() };
    const reported: number[] = [];
    const options: CallOptions = {
      onprogress: (value) => {
        reported.push(value);
        if (reported.length === expected.length) this.#releaseCall(input);
      },
      ...(progress && { timeout: SLOW_CALL_TIMEOUT_MS }),
    };
    assertEquals(await client.callForText("work", input, options), "worked");
    assertEquals(reported, expected, "progress");
  }

  /** Two calls at the same time. */
  async #checkTwoCalls(): Promise<void> {
    const texts = ["a", "b"];
    const calls = texts.map((text) =>
      this.#client.callForText("pair", { text })
    );
    assertEquals(await Promise.all(calls), ["pair: a", "pair: b"]);
  }

  /** Lets the daemon respond. If that fails, the waiting call fails. */
  #releaseCall(input: { key: string }): void {
    this.#client.callForText("go", input).catch(() => {});
  }

  async #checkError(): Promise<void> {
    const { code, pattern } = this.form.error ??
      { code: -32050, pattern: /the daemon's own words/ };
    const error = await errorOf(this.#client.callForText("fail"));
    assertMatch(error.message + JSON.stringify(error.data ?? ""), pattern);
    assertEquals(error.code, code);
  }

  async #checkSpoiledCalls(
    { readOutcome, writeOutcome }: NonNullable<MessageForm["spoiledCall"]>,
  ): Promise<void> {
    if (this.form.hasTwoCalls) await this.#checkTwoCalls();
    for (
      const [name, end] of [["read", readOutcome], [
        "write",
        writeOutcome,
      ]] as const
    ) {
      const call = this.#client.callForText(name);
      if (typeof end === "number") {
        assertEquals(await call, `${name}: ${end}`);
        continue;
      }
      const { code, message, data } = await errorOf(call);
      assertEquals(code, -31002, message);
      assertMatch(message + JSON.stringify(data), end);
      assertEquals(data?.delivered, "unknown");
    }
  }
}

/** Log lines about messages that are invalid or unexpected. */
function unexpectedLogLines(log: string): string[] {
  return log.split("\n").filter((line) =>
    / (WARN|ERROR) |Dropped an answer .* from the daemon/.test(line) &&
    !/Lost the WebSocket daemon|Attempt \d+/.test(line)
  );
}

/** The error of a call. Throws if it succeeds. */
async function errorOf(
  call: Promise<unknown>,
  // deno-lint-ignore no-explicit-any
): Promise<{ code?: unknown; message: string; data?: any }> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof Error);
    return error as Error;
  }
  throw new Error("There is a result, and no error");
}
