/**
 * Tests how the texts of settings are parsed.
 *
 * @module
 */

import * as parsers from "../../../lib/config/parsers.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const REFUSED = Symbol("refused");

/** A parser, and texts with their values or `REFUSED`. */
const TABLE: Record<
  string,
  [parse: (text: string) => unknown, ...rows: [text: string, value: unknown][]]
> = {
  "duration": [
    parsers.parseDuration,
    ["1ms", 1],
    ["720h", 2_592_000_000],
    ["0.5s", 500],
    ["0.5ms", REFUSED],
    ["720.1h", REFUSED],
    [" 1s", REFUSED],
    ["1S", REFUSED],
    [".5s", REFUSED],
    ["1s\n", REFUSED],
  ],
  "whole number": [
    parsers.wholeNumber("whole number", 1_000_000),
    ["1", 1],
    ["1000000", 1_000_000],
    ["0", REFUSED],
    ["1000001", REFUSED],
    ["1.0", REFUSED],
    ["+1", REFUSED],
    ["1e3", REFUSED],
  ],
  "size": [
    parsers.parseSize,
    ["1024", 1024],
    ["1KiB", 1024],
    ["1 GiB", 1024 ** 3],
    ["1023", REFUSED],
    ["2GiB", REFUSED],
    ["1.5MiB", REFUSED],
    ["1kib", REFUSED],
  ],
  "duration, or no limit": [
    parsers.allowOff(parsers.parseDuration),
    ["off", Infinity],
    ["0", Infinity],
    ["OFF", REFUSED],
    ["2s", 2_000],
  ],
  "one of some words": [
    parsers.oneOf("safe", "never"),
    ["SAFE", "safe"],
    ["never", "never"],
    ["", REFUSED],
    ["saf", REFUSED],
  ],
  "word of ASCII": [
    parsers.parseToken,
    ["a~!", "a~!"],
    ["", REFUSED],
    ["a b", REFUSED],
    ["\u00e4", REFUSED],
  ],
  "host": [
    parsers.parseHost,
    ["h.example", "h.example"],
    ["0.0.0.0", "127.0.0.1"],
    ["::", "[::1]"],
    ["[::]", "[::1]"],
    ["fe80::1", "[fe80::1]"],
    ["h/", REFUSED],
    ["u@h", REFUSED],
    ["h:1", REFUSED],
    ["", REFUSED],
  ],
  "port": [
    parsers.wholeNumber("port", 65_535),
    ["1", 1],
    ["65535", 65_535],
    ["0", REFUSED],
    ["65536", REFUSED],
    ["1.5", REFUSED],
    ["", REFUSED],
  ],
  "number": [
    parsers.parseFiniteNumber,
    ["-1.5", -1.5],
    ["0", 0],
    [" ", REFUSED],
    ["Infinity", REFUSED],
    ["x", REFUSED],
  ],
  "duration, or zero": [
    parsers.parseDurationOrZero,
    ["0", 0],
    ["0.00", 0],
    ["1", 1_000],
    ["0s", REFUSED],
  ],
  "session id": [
    parsers.parseSessionId,
    ["a_B-1", "a_B-1"],
    ["ab", REFUSED],
    ["x".repeat(49), REFUSED],
    ["a b c", REFUSED],
  ],
  "any text": [parsers.parseNonEmpty, [" a ", " a "], ["", REFUSED]],
  "yes or no": [
    parsers.parseBoolean,
    ["1", true],
    [" Yes ", true],
    ["on", true],
    ["2", false],
    ["", false],
    ["truely", false],
  ],
  "name": [
    parsers.parseShortName,
    ["a b", "a b"],
    ["x".repeat(101), REFUSED],
    ["a\nb", REFUSED],
  ],
  "path": [
    parsers.parsePath,
    ["/a b", "/a b"],
    ["", REFUSED],
    ["a\0b", REFUSED],
  ],
};
for (const [what, [parse, ...rows]] of Object.entries(TABLE)) {
  test(`Setting parsers: ${what}`, () => {
    for (const [text, value] of rows) {
      if (value === REFUSED) {
        assertThrows(() => parse(text), parsers.SettingError);
      } else assertEquals(parse(text), value, JSON.stringify(text));
    }
  });
}

test("Setting parsers: a URL is shown without user, password and query", () => {
  const { href, redacted, authorization } = parsers.parseWebSocketUrl(
    "wss://u:p@h/a?b=c",
  );
  assertEquals([href, redacted, authorization], [
    ...["wss://u:p@h/a?b=c", "wss://h/a?***", `Basic ${btoa("u:p")}`],
  ]);
  assertEquals(parsers.parseWebSocketUrl("ws://h").authorization, undefined);
});

test("Setting parsers: headers are read line by line, each name once", () => {
  assertEquals(parsers.parseHeaders("A: b\r\n\n X-C:d: e \nF:"), [
    ...[["A", "b"], ["X-C", "d: e"], ["F", ""]] as const,
  ]);
  for (const text of ["A b", "A : b", "A: \u00e4", "A: b\nC", "A: 1\na: 2"]) {
    assertThrows(() => parsers.parseHeaders(text), parsers.SettingError);
  }
});
