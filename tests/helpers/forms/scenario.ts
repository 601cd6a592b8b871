/**
 * What a client does with a daemon that writes in one form, before its restart
 * and after it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { type Form, keyOf } from "./transformations.ts";
import {
  type Options,
  PATIENCE_MS,
  SdkClient,
  type Version,
} from "./sdk_clients.ts";

/** The tools of the daemon before its restart. */
const NAMES = ["read", "steady", "echo", "work", "go", "fail", "change", "ask"]
  .concat("quiet", "pair", "level", "write");

/** How long the client waits for a call whose progress is slow, in milliseconds; all of it takes longer. */
const SLOW_MS = 4_000;

/** One client, one form. */
export class Scene {
  readonly form: Form;
  readonly version: Version;
  readonly #client: SdkClient;
  /** The call that is in flight when the daemon is killed, and its progress. */
  #steady: Promise<string> | undefined;
  readonly #heard: number[] = [];
  /** How often the list of tools must have changed. */
  #changes = 0;

  constructor(form: Form, version: Version, port: number) {
    this.form = form;
    this.version = version;
    const url = `ws://127.0.0.1:${port}/${encodeURIComponent(keyOf(form))}`;
    // Where calls are spoiled, nothing of the proxy's own comes between.
    const silence = form.spoiled ? "60s" : "500ms";
    this.#client = new SdkClient(version, [
      ...["--url", url, "--connections", "many"],
      ...["--ping-interval", silence, "--ping-timeout", "30s"],
      // Only the daemon tells of progress.
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

  /** Before the restart: ends with a call in flight. */
  async before(): Promise<void> {
    const client = this.#client;
    await client.connect();
    if (!this.form.spoiled) await client.setLevel("info");
    await this.#talk(false);
    const heard = Promise.withResolvers<void>();
    const input = { key: crypto.randomUUID() };
    this.#steady = client.call("steady", input, {
      // It also waits for the other clients of the daemon.
      timeout: 8 * PATIENCE_MS,
      onprogress: (value) => {
        this.#heard.push(value);
        if (this.#heard.length === 3) heard.resolve();
        const last = this.form.again?.heard.at(-1) ?? 4;
        if (value === last) this.#go(input);
      },
    });
    // It is looked at after the restart, if that is reached.
    this.#steady.catch(() => {});
    await Promise.race([heard.promise, this.#steady]);
    assertEquals(this.#heard, [1, 2, 3], "progress before the restart");
  }

  /** From the kill on. */
  async after(): Promise<void> {
    // What is written before that may have been executed.
    await this.#client.lost();
    const client = this.#client;
    const queued = client.call("echo", { text: "queued" });
    assertEquals(await queued, "echo: queued");
    assertEquals(await this.#steady, "steady");
    const { heard = [4] } = this.form.again ?? {};
    assertEquals(this.#heard, [1, 2, 3, ...heard], "progress after a repeat");
    if (this.form.isChanged) await client.changed(++this.#changes);
    if (!this.form.spoiled) assertEquals(await client.call("level"), "info");
    await this.#talk(true);
    assertEquals(client.changes, this.#changes, "list_changed");
    assertEquals(client.trouble, [], "what the SDK did not take");
    const lines = strange(client.log);
    const { isLogged, spoiled, decoys } = this.form;
    if (!isLogged && !spoiled && !decoys) assertEquals(lines, [], "the log");
    else assert(lines.length > 0, "nothing is logged");
  }

  async #talk(isRestarted: boolean): Promise<void> {
    const client = this.#client;
    const { form } = this;
    const names = [...new Set(await client.tools())];
    // The client does not ask for what is behind an empty cursor.
    const isMore = form.isChanged && isRestarted;
    assertEquals(names, isMore ? [...NAMES, "more"] : NAMES);
    assertEquals(await client.call("echo", { text: "one" }), "echo: one");
    if (form.pings) await client.ping();
    if (form.spoiled) return await this.#spoiled(form.spoiled);
    await this.#work();
    await this.#fail();
    await client.call("change");
    await client.changed(++this.#changes);
    assertEquals(await client.call("ask"), "file:///forms file:///forms");
    await this.#pair();
    // Nothing is said until the proxy asks whether the daemon lives.
    assertEquals(await client.call("quiet"), "quiet");
    assertEquals(await client.call("echo", { text: "two" }), "echo: two");
  }

  async #work(): Promise<void> {
    const client = this.#client;
    const { progress } = this.form;
    const expected = progress?.heard ?? [1, 2, 3];
    const input = { key: crypto.randomUUID() };
    const heard: number[] = [];
    const options: Options = {
      onprogress: (value) => {
        heard.push(value);
        if (heard.length === expected.length) this.#go(input);
      },
      ...(progress && { timeout: SLOW_MS }),
    };
    assertEquals(await client.call("work", input, options), "worked");
    assertEquals(heard, expected, "progress");
  }

  /** Two calls at the same time. */
  async #pair(): Promise<void> {
    const texts = ["a", "b"];
    const calls = texts.map((text) => this.#client.call("pair", { text }));
    assertEquals(await Promise.all(calls), ["pair: a", "pair: b"]);
  }

  /** Lets the daemon answer; if it cannot hear that, the call that waits fails. */
  #go(input: { key: string }): void {
    this.#client.call("go", input).catch(() => {});
  }

  async #fail(): Promise<void> {
    const { code, words } = this.form.error ??
      { code: -32050, words: /the daemon's own words/ };
    const error = await refused(this.#client.call("fail"));
    assertMatch(error.message + JSON.stringify(error.data ?? ""), words);
    assertEquals(error.code, code);
  }

  async #spoiled({ read, write }: NonNullable<Form["spoiled"]>): Promise<void> {
    if (this.form.isOfTwo) await this.#pair();
    for (const [name, end] of [["read", read], ["write", write]] as const) {
      const call = this.#client.call(name);
      if (typeof end === "number") {
        assertEquals(await call, `${name}: ${end}`);
        continue;
      }
      const { code, message, data } = await refused(call);
      assertEquals(code, -31002, message);
      assertMatch(message + JSON.stringify(data), end);
      assertEquals(data?.delivered, "unknown");
    }
  }
}

/** What a log says of messages that are not understood, or belong to nothing. */
function strange(log: string): string[] {
  return log.split("\n").filter((line) =>
    / (WARN|ERROR) |Dropped an answer .* from the daemon/.test(line) &&
    !/Lost the WebSocket daemon|Attempt \d+/.test(line)
  );
}

/** The error of a call. Throws where there is none. */
async function refused(
  call: Promise<unknown>,
  // deno-lint-ignore no-explicit-any
): Promise<{ code?: unknown; message: string; data?: any }> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof Error);
    return error as Error;
  }
  throw new Error("There is an answer, and no error");
}
