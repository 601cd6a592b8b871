/**
 * Runs a client against an exai daemon that writes its messages in one form,
 * before and after the daemon's restart.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import type { MessageForm } from "./form_helpers.ts";
import { SdkClient, type SdkVersion } from "./sdk_clients.ts";

export class ExaiFormScenario {
  readonly #client: SdkClient;

  constructor({ name }: MessageForm, version: SdkVersion, port: number) {
    const url = `ws://127.0.0.1:${port}/${encodeURIComponent(name)}`;
    this.#client = new SdkClient(version, ["--dialect", "exai", "--url", url]);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async before(): Promise<void> {
    await this.#client.connect();
    await this.#checkCalls();
  }

  /** Checks the client from the kill of the daemon on. */
  async after(): Promise<void> {
    // A call before the disconnect may get an outcome-unknown error.
    await this.#client.waitForDisconnect();
    await this.#checkCalls();
    assertEquals(this.#client.listChanges, 0, "list_changed");
    assertEquals(this.#client.errors, [], "errors of the SDK");
  }

  async #checkCalls(): Promise<void> {
    const client = this.#client;
    const reply = await client.callForText("chat", { text: "hello" });
    assertEquals(reply, "hello\ncontinuation_id: c-1");
    assert((await client.toolNames()).includes("chat"));
    for (
      const [name, words] of [
        ["reject", /^it went wrong/],
        ["fail", /EXEC_ERROR.*the tool failed/],
      ] as const
    ) {
      const { isError, content } = await client.callTool(name);
      assertEquals(isError, true, name);
      assertMatch(content[0].text, words);
    }
  }
}
