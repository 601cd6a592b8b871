/**
 * Runs a client against a daemon that writes its messages in one form, before
 * and after the daemon's restart.
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

/** The daemon's tools. After the restart, it may have one more. */
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
 * whole call takes longer, but each progress restarts the wait.
 */
const SLOW_CALL_TIMEOUT_MS = 4_000;

/** A text so long that the proxy forwards the result without parsing it. */
const LARGE_TEXT = '"id" \u{1f600} {[\n'.repeat(7_000);

/** The checks of one client of the SDK with one form. */
export class FormScenario {
  readonly form: MessageForm;
  readonly version: SdkVersion;
  readonly #client: SdkClient;
  /** The call that is in flight when the daemon is killed, and its progress. */
  #callInFlight: Promise<string> | undefined;
  readonly #progress: number[] = [];
  /** The number of `list_changed` notifications that must have arrived. */
  #expectedListChanges = 0;

  constructor(form: MessageForm, version: SdkVersion, port: number) {
    this.form = form;
    this.version = version;
    const url = `ws://127.0.0.1:${port}/${encodeURIComponent(formKey(form))}`;
    // Probes of the proxy must not arrive between the spoiled frames.
    const pingInterval = form.spoiledCall ? "60s" : "500ms";
    this.#client = new SdkClient(version, [
      ...["--url", url, "--connections", "many"],
      ...["--ping-interval", pingInterval, "--ping-timeout", "30s"],
      // The daemon's progress is tested, so the proxy must send none.
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

  /** Checks the client until the daemon's kill. A call stays in flight. */
  async before(): Promise<void> {
    const client = this.#client;
    await client.connect();
    if (!this.form.spoiledCall) await client.setLevel("info");
    await this.#checkCalls(false);
    const reported = Promise.withResolvers<void>();
    const input = { key: crypto.randomUUID() };
    this.#callInFlight = client.callForText("steady", input, {
      // The call ends after the restart, which waits for all other scenarios.
      timeout: 8 * RESPONSE_TIMEOUT_MS,
      onprogress: (value) => {
        this.#progress.push(value);
        if (this.#progress.length === 3) reported.resolve();
        const last = this.form.progressAfterRestart?.received.at(-1) ?? 4;
        if (value === last) this.#releaseCall(input);
      },
    });
    // `after` awaits the call. If the test fails earlier, this handler prevents
    // an unhandled rejection.
    this.#callInFlight.catch(() => {});
    await Promise.race([reported.promise, this.#callInFlight]);
    assertEquals(this.#progress, [1, 2, 3], "progress before the restart");
  }

  /** Checks the client from the kill of the daemon on. */
  async after(): Promise<void> {
    // A call before the disconnect may get an outcome-unknown error.
    await this.#client.waitForDisconnect();
    const client = this.#client;
    const queued = client.callForText("echo", { text: "queued" });
    assertEquals(await queued, "echo: queued");
    assertEquals(await this.#callInFlight, "steady");
    const { received = [4] } = this.form.progressAfterRestart ?? {};
    assertEquals(
      this.#progress,
      [1, 2, 3, ...received],
      "progress after the call was sent again",
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
    // In a cycle of cursors, the last page may arrive twice.
    const names = [...new Set(await client.toolNames())];
    const hasMoreTool = form.changesTools && isRestarted;
    assertEquals(names, hasMoreTool ? [...TOOL_NAMES, "more"] : TOOL_NAMES);
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
    // The daemon responds only after the proxy's next probe.
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

  /** Checks two calls that are in flight at the same time. */
  async #checkTwoCalls(): Promise<void> {
    const texts = ["a", "b"];
    const calls = texts.map((text) =>
      this.#client.callForText("pair", { text })
    );
    assertEquals(await Promise.all(calls), ["pair: a", "pair: b"]);
  }

  /** Lets the daemon respond to a call. If this fails, that call fails, too. */
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
    if (this.form.spoilsDuringTwoCalls) await this.#checkTwoCalls();
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

/** Returns the log lines about invalid or unexpected messages. */
function unexpectedLogLines(log: string): string[] {
  return log.split("\n").filter((line) =>
    / (WARN|ERROR) |Dropped an answer .* from the daemon/.test(line) &&
    !/Lost the WebSocket daemon|Attempt \d+/.test(line)
  );
}

/** Returns the error of a call. Throws if the call succeeds. */
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
  throw new Error("The call succeeded, but an error was expected");
}
