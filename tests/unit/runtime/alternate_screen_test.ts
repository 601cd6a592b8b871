/**
 * Tests that the screen of the terminal is restored on every way out.
 *
 * @module
 */

import { withAlternateScreen } from "../../../lib/runtime/alternate_screen.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";

/** A terminal that takes few bytes at a time, and may break. */
class FakeTerminal {
  #text = "";
  /** What is left of it; a write then fails. */
  readonly #capacity: number;

  constructor(capacity = Infinity) {
    this.#capacity = capacity;
  }

  get text(): string {
    return this.#text;
  }

  writeStdout(bytes: Uint8Array): Promise<number> {
    if (this.#text.length >= this.#capacity) throw new Error("EIO");
    const part = bytes.subarray(0, 3);
    this.#text += new TextDecoder().decode(part);
    return Promise.resolve(part.length);
  }
}

test("Alternate screen: it is entered, painted and left", async () => {
  const terminal = new FakeTerminal();
  const result = await withAlternateScreen(terminal, async (paint) => {
    await paint(["one", "two"]);
    await paint(["three"]);
    return 7;
  });
  assertEquals(result, 7);
  assertEquals(
    terminal.text,
    `${ENTER}\x1b[H\x1b[Kone\n\x1b[Jtwo\x1b[H\x1b[Jthree${LEAVE}`,
  );
});

/** Returns the message of the error with which a promise rejects. */
async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(() => undefined, (it) => it);
  return error instanceof Error ? error.message : "no error";
}

test("Alternate screen: it is left after an exception, which goes on", async () => {
  const terminal = new FakeTerminal();
  const run = (): Promise<never> => Promise.reject(new Error("bug"));
  assertEquals(await messageOf(withAlternateScreen(terminal, run)), "bug");
  assertEquals(terminal.text, ENTER + LEAVE);
});

test("Alternate screen: a terminal that breaks gives its error, and ends the painting", async () => {
  for (const capacity of [0, 5, ENTER.length, ENTER.length + 5]) {
    const terminal = new FakeTerminal(capacity);
    const painting = withAlternateScreen(terminal, async (paint) => {
      for (;;) await paint(["one", "two"]);
    });
    assertEquals(await messageOf(painting), "EIO");
  }
});
