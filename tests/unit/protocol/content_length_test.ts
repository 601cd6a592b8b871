/**
 * Tests how messages with `Content-Length` headers are split.
 *
 * @module
 */

import { LineSplitter } from "../../../lib/proxy/stdio.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const encoder = new TextEncoder();

const sizeOf = (text: string): number => encoder.encode(text).length;

const requestText = (id: number, more = ""): string =>
  `{"jsonrpc":"2.0","id":${id},"method":"m","params":{"a":"${more}"}}`;

/** Returns a framed message. The length in its header is wrong by `off`. */
const frame = (text: string, off = 0): string =>
  `Content-Length: ${sizeOf(text) + off}\r\n\r\n${text}`;

/** A message on several lines, as an LSP client may send it. */
const multiLine = JSON.stringify(JSON.parse(requestText(1, "\u00e9")), null, 2);

/**
 * Splits a text that arrives in chunks of `size` bytes. Returns each line, each
 * framed body after `>`, a single `>` for the first header, and for a line over
 * the limit its size in bytes. Empty lines are left out.
 */
function splitChunks(text: string, size: number): string[] {
  const splitter = new LineSplitter(10_000);
  const bytes = encoder.encode(text);
  const found = [];
  for (let at = 0; at < bytes.length; at += size) {
    found.push(...splitter.push(bytes.slice(at, at + size)));
  }
  found.push(...splitter.flush());
  return found.map((it) => {
    if (it.type === "line-too-long") return `${it.bytes}`;
    return it.type === "line" ? it.text : `>${it.text ?? ""}`;
  }).filter((text) => text !== "");
}

const [one, two] = [requestText(1), requestText(2)];

const multiByte = requestText(1, "tw\u00f6 \u{1f600}");

const FRAMES: [what: string, input: string, expected: string[]][] = [
  ["one body without a line break", frame(one), [">", `>${one}`]],
  ["several", frame(one) + frame(two) + frame(one), [
    ">",
    `>${one}`,
    `>${two}`,
    `>${one}`,
  ]],
  ["a length in bytes", frame(multiByte) + frame(two), [
    ">",
    `>${multiByte}`,
    `>${two}`,
  ]],
  [
    "other headers, other letter case, and LF only",
    `content-type : application/json\nCONTENT-LENGTH:${sizeOf(one)}\n\n${one}` +
    `X-Other: 1\r\n${two}\n`,
    [">", `>${one}`, "X-Other: 1", two],
  ],
  [
    "another header after the length",
    `Content-Length: ${sizeOf(one)}  \r\nX-Other: 1\r\n\r\n${one}`,
    [">", `>${one}`],
  ],
  ["a body over several lines", frame(multiLine) + frame(two), [
    ">",
    `>${multiLine}`,
    `>${two}`,
  ]],
  ["a line break after the body", `${frame(one)}\r\n${frame(two)}\n`, [
    ">",
    `>${one}`,
    `>${two}`,
  ]],
  ["a line break in the body", `${frame(`${one}\n`)}${two}\n`, [
    ">",
    `>${one}\n`,
    two,
  ]],
  ["plain lines after the body", `${frame(one)}${two}\n${one}\n`, [
    ">",
    `>${one}`,
    two,
    one,
  ]],
  ["a length that is too small", `${frame(one, -2)}\n${two}\n`, [
    ">",
    `>${one.slice(0, -2)}`,
    one.slice(-2),
    two,
  ]],
  ["a length that is too large", `${frame(one, 3)}\n\n\n${two}\n`, [
    ">",
    `>${one}\n\n\n`,
    two,
  ]],
  ["a length above the limit", `${frame(one, 1e15)}\n${two}\n`, [
    ">",
    one,
    two,
  ]],
  [
    "a length that is not a number",
    `Content-Length: x\r\n\r\n${one}\n${two}\n`,
    [
      ">",
      one,
      two,
    ],
  ],
  ["no body", `Content-Length: 0\r\n\r\n${one}\n`, [">", one]],
  ["no empty line", `Content-Length: 5\r\n${one}\n${two}\n`, [
    ">",
    one,
    two,
  ]],
  ["a body that the end of the input cuts off", frame(multiLine, 9), [
    ">",
    `>${multiLine}\n`,
  ]],
  ["a line that is not a header", `content-length\n{"content-length": 5}\n`, [
    "content-length",
    '{"content-length": 5}',
  ]],
];

for (const [what, input, expected] of FRAMES) {
  test(`Content-Length: ${what}, wherever the chunks end`, () => {
    for (const size of [1, 2, 3, 7, 50, 64, 10_000]) {
      assertEquals(splitChunks(input, size), expected, `chunks of ${size}`);
    }
  });
}
