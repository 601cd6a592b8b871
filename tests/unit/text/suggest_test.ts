/**
 * Tests the suggestions for unknown words.
 *
 * @module
 */

import { describeChoices, suggest } from "../../../lib/text/suggest.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/time_limit.ts";

const COMMANDS = ["doctor", "status", "install", "uninstall"];
const FLAGS = ["--url", "--cache", "--queue-timeout", "--request-timeout"];

const CASES: [word: string, candidates: string[], nearest?: string][] = [
  ["docter", COMMANDS, "doctor"],
  ["Statsu", COMMANDS, "status"],
  ["instal", COMMANDS, "install"],
  ["unistall", COMMANDS, "uninstall"],
  ["--ulr", FLAGS, "--url"],
  ["--queue-timout", FLAGS, "--queue-timeout"],
  ["--que-timeout", FLAGS, "--queue-timeout"],
  ["s3cret", COMMANDS],
  ["", COMMANDS],
  ["x", ["y"]],
  ["--frobnicate", FLAGS],
  ["--url", ["--all", "--write"]],
];

test("suggest: returns the nearest word, but no word that is too different", () => {
  for (const [word, candidates, nearest] of CASES) {
    assertEquals(suggest(word, candidates), nearest, word);
  }
});

test("describeChoices: names the nearest word or all words, but never the unknown word", () => {
  assertEquals(
    describeChoices("docter", "commands", COMMANDS),
    "did you mean doctor?",
  );
  assertEquals(
    describeChoices("s3cret", "commands", COMMANDS),
    "the commands are doctor, status, install, uninstall",
  );
});
