/**
 * Compares how generated texts are read with `JSON.parse` and the rules.
 * `deno task fuzz` does the same with more texts.
 *
 * @module
 */

import { generateText } from "../../fuzz/text_generator.ts";
import { checkSeed, type FuzzTally } from "../../fuzz/message_check.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const TEXT_COUNT = 100_000;

test(`Fuzzing: ${TEXT_COUNT} texts are read as JSON.parse and the rules say`, () => {
  const tally: FuzzTally = {};
  for (let seed = 1; seed <= TEXT_COUNT; seed++) checkSeed(seed, tally);
  // Without these texts, the test would prove nothing.
  for (
    const name of [
      ...["JSON", "not JSON", "request", "notification", "response", "invalid"],
      ...["batch", "frame with several messages", "frame with a broken object"],
      "read later",
    ]
  ) {
    assert(tally[name]! > TEXT_COUNT / 50, `only ${tally[name]} ${name}`);
  }
  assert(tally["read later, not JSON"]! > TEXT_COUNT / 1_000);
});

test("Fuzzing: a seed gives the same text again", () => {
  assertEquals(generateText(7), generateText(7));
});
