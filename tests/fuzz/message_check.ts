/**
 * Compares the messages that `lib/protocol/` reads in a text with those that
 * the rules describe. These are the only exceptions:
 *
 * - `JSON.parse` confuses names with escapes (V8 in Deno 2.9.6). Names of small
 *   letters are repaired at the top level of a message. Inside a result, params
 *   or an error, values may differ if a name has an escape. At the top level, a
 *   null member whose name has an escape may be forwarded.
 * - If a frame has a broken object, the messages before it are compared. Behind
 *   it there may only be responses that are in the frame, and invalid messages
 *   with ids that are in the frame.
 * - A large response that is not JSON may have an id that the small one does
 *   not have, and may have other text behind it. It never has another id.
 * - If a large object follows a large result, a null member between the two may
 *   be forwarded.
 *
 * @module
 */

import type { Message, Response } from "../../lib/protocol/jsonrpc.ts";
import {
  parseFrame,
  parseMessages,
  requireResult,
} from "../../lib/protocol/message_parser.ts";
import {
  type ExpectedError,
  type ExpectedFrame,
  type ExpectedMessage,
  expectFrame,
  expectJson,
  expectLine,
} from "./expected_messages.ts";
import {
  isSameValue,
  JsonReader,
  type Member,
  readJson,
} from "./json_reader.ts";
import { generateText } from "./text_generator.ts";

/** How the description of a difference in the forwarded text begins. */
const FORWARDED = "forwarded text";

/** How often each thing happened. */
export type FuzzTally = Record<string, number>;

function count(tally: FuzzTally, name: string): void {
  tally[name] = (tally[name] ?? 0) + 1;
}

/** A difference between the code and the rules. */
class Difference extends Error {}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Difference(what);
}

/** Returns how the messages in a text differ from the rules, if they do. */
export function findDifference(
  text: string,
  tally: FuzzTally = {},
): string | undefined {
  try {
    checkText(text, tally);
    return undefined;
  } catch (error) {
    return error instanceof Difference
      ? error.message
      : `throws ${(error as Error).stack}`;
  }
}

function checkText(text: string, tally: FuzzTally): void {
  const json = checkReader(text);
  count(tally, json ? "JSON" : "not JSON");

  const line = parseMessages(text);
  const expected = expectLine(text);
  compareAll(line, expected, "a line", tally);
  if (json && Array.isArray(readJson(text)!.value)) count(tally, "batch");
  else count(tally, expected[0]!.kind);

  // A line and a frame with JSON are read alike.
  checkFrame(
    text,
    json ? { messages: expected, isBroken: false } : undefined,
    tally,
  );
  checkLenientFrame(text, json ? expected : undefined, tally);
}

/** Compares our own reader with the runtime's. Returns whether it is JSON. */
function checkReader(text: string): boolean {
  const json = readJson(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    check(json === undefined, "reader: only JSON.parse rejects the text");
    return false;
  }
  check(json !== undefined, "reader: only JSON.parse accepts the text");
  check(
    json.hasEscapedNames || isSameValue(json.value, value),
    "reader: another value than that of JSON.parse",
  );
  return true;
}

function checkFrame(
  text: string,
  known: ExpectedFrame | undefined,
  tally: FuzzTally,
): void {
  const messages = parseFrame(text);
  const expected = known ?? expectFrame(text);
  if (!expected.isBroken) {
    compareAll(messages, expected.messages, "a frame", tally);
    if (messages.length > 1) count(tally, "frame with several messages");
    return;
  }
  count(tally, "frame with a broken object");
  // The messages before the broken object count. What else counts must be in
  // the frame.
  const first = messages.slice(0, expected.messages.length);
  compareAll(first, expected.messages, "a broken frame", tally);
  const candidates: ExpectedMessage[] = [];
  const ids = new Set<string | undefined>([undefined]);
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== "{") continue;
    const reader = new JsonReader(text, at);
    const members: Member[] = [];
    const isWhole = reader.readChildren(members);
    if (isWhole) candidates.push(...expectJson(text.slice(at, reader.at))!);
    for (const { name, value, valueText } of members) {
      if (name !== "id") continue;
      ids.add(valueText).add(JSON.stringify(value));
    }
  }
  for (const message of messages.slice(first.length)) {
    if (message.kind === "invalid") {
      check(ids.has(message.id), `a broken frame: the id ${message.id}`);
    } else {
      check(message.kind === "response", "a broken frame: not a response");
      check(
        candidates.some((it) => differs(message, it) === undefined),
        "a broken frame: a message that is not in the frame",
      );
    }
  }
}

/** Checks a frame as if it were large. */
function checkLenientFrame(
  text: string,
  expected: readonly ExpectedMessage[] | undefined,
  tally: FuzzTally,
): void {
  // This only saves time: no other text is a large response.
  if (!text.includes('"result"') || !text.trimEnd().endsWith("}")) return;
  const messages = parseFrame(text, 0);
  const [message] = messages;
  if (!isLenient(message)) return;
  count(tally, "read later");
  if (expected !== undefined) {
    const difference = differs(message, expected[0]!);
    if (difference?.startsWith(FORWARDED) && hasNullBeforeObject(text)) {
      count(tally, "with a null member before a large object");
      return;
    }
    compareAll(messages, expected, "a large frame", tally);
    check(requireResult(message) === message, "a large frame: no result");
    return;
  }
  count(tally, "read later, not JSON");
  check(messages.length === 1, "a large frame: more than one message");
  check(message.text === text, "a large frame: not its text");
  const invalid = requireResult(message);
  check(invalid.kind === "invalid", "a large frame: accepted as JSON");
  check(invalid.id === message.id, "a large frame: two ids");
  for (const other of parseFrame(text)) {
    if (other.kind === "response") count(tally, "with text behind a response");
    const id = "id" in other ? other.id : undefined;
    check(
      id === undefined || id === message.id,
      `a large frame: id ${message.id}, and ${id} in a small one`,
    );
  }
}

/** Returns true if a null member and an object follow the result. */
function hasNullBeforeObject(text: string): boolean {
  const children = readJson(text)!.children!;
  const start = children.findIndex(({ name }) => name === "result") + 1;
  const end = children.findLastIndex((it) => it.valueText.startsWith("{"));
  return children.slice(start, end).some(({ nameText, value }) =>
    value === null && !nameText.includes("\\")
  );
}

/** Returns true if a message's result is parsed only on first use. */
function isLenient(message: Message | undefined): message is Response {
  const property = message &&
    Object.getOwnPropertyDescriptor(message, "result");
  return property?.get !== undefined;
}

function compareAll(
  actual: readonly Message[],
  expected: readonly ExpectedMessage[],
  where: string,
  tally: FuzzTally,
): void {
  check(
    actual.length === expected.length,
    `${where}: ${actual.length} messages, expected ${expected.length}`,
  );
  for (const [i, message] of actual.entries()) {
    const difference = differs(message, expected[i]!, tally);
    check(difference === undefined, `${where}: ${difference}`);
  }
}

/** Returns how a message differs from the expected one. */
function differs(
  actual: Message,
  expected: ExpectedMessage,
  tally: FuzzTally = {},
): string | undefined {
  if (actual.kind !== expected.kind) {
    return `${actual.kind}, expected ${expected.kind}`;
  }
  const id = "id" in actual ? actual.id : undefined;
  if (id !== expected.id) return `id ${id}, expected ${expected.id}`;
  if (actual.kind === "invalid") {
    return actual.intendedKind === expected.intendedKind
      ? undefined
      : `intended ${actual.intendedKind}, expected ${expected.intendedKind}`;
  }
  if ("method" in actual && actual.method !== expected.method) {
    return `method ${actual.method}, expected ${expected.method}`;
  }
  for (const name of ["params", "result"] as const) {
    const value = (actual as unknown as Record<string, unknown>)[name];
    if (isSameValue(value, expected[name])) continue;
    if (!expected.hasEscapedNames) return `another value of ${name}`;
    count(tally, "misread by JSON.parse");
  }
  const errorDifference = actual.kind === "response"
    ? differsInError(actual, expected.error)
    : undefined;
  if (errorDifference !== undefined && expected.hasEscapedNames) {
    count(tally, "misread by JSON.parse");
    return undefined;
  }
  const difference = errorDifference ?? differsInText(actual.text, expected);
  // The runtime may read another name than that of a null member.
  const isMissed = difference !== undefined &&
    expected.unchangedText === undefined &&
    readJson(actual.text)?.children?.some(({ nameText, value }) =>
      value === null && nameText.includes("\\")
    );
  if (isMissed) count(tally, "null member misread by JSON.parse");
  return isMissed ? undefined : difference;
}

function differsInError(
  { error }: Response,
  expected: ExpectedError | undefined,
): string | undefined {
  if (error === undefined || expected === undefined) {
    return error === expected ? undefined : "an error, or none";
  }
  // As numbers, 0 and -0 are the same code.
  if (error.code !== expected.code) {
    return `code ${error.code}, expected ${expected.code}`;
  }
  const isMessage = expected.message === undefined
    ? error.message === "The daemon did not say why" ||
      expected.sourceText.startsWith(error.message)
    : error.message === expected.message;
  if (!isMessage) {
    return `error message ${error.message}, expected ${expected.message}`;
  }
  const data = expected.dataText && readJson(expected.dataText)!.value;
  return isSameValue(error.data, data) ? undefined : "other data in the error";
}

function differsInText(
  text: string,
  expected: ExpectedMessage,
): string | undefined {
  const { unchangedText, forwarded } = expected;
  if (unchangedText !== undefined) {
    return text === unchangedText ? undefined : `text ${text} was changed`;
  }
  const children = readJson(text)?.children;
  if (children?.length !== forwarded.length) return `${FORWARDED} ${text}`;
  for (const [i, { name, valueText, value }] of children.entries()) {
    const [expectedName, expectedText] = forwarded[i]!;
    if (name !== expectedName) return `member ${name} in ${text}`;
    if (expectedText === undefined) {
      const { code, message, data } = value as Record<string, unknown>;
      const error = { kind: "response", error: { code, message, data } };
      const difference = differsInError(
        error as unknown as Response,
        expected.error,
      );
      if (difference !== undefined) return `forwarded text: ${difference}`;
      if (!valueText.includes(expected.error?.dataText ?? "")) {
        return `forwarded text: data in ${text}`;
      }
    } else if (valueText !== expectedText) {
      return `value of ${name} in ${text}`;
    }
  }
  return undefined;
}

/**
 * Returns the smallest text to which a text can be shrunk, with a difference in
 * the same place.
 */
export function shrink(text: string): string {
  const placeOf = (it: string): string | undefined =>
    findDifference(it)?.split(":")[0];
  const place = placeOf(text);
  let smallest = text;
  for (let size = smallest.length >> 1; size > 0;) {
    let isShorter = false;
    for (let at = 0; at + size <= smallest.length;) {
      const shorter = smallest.slice(0, at) + smallest.slice(at + size);
      if (placeOf(shorter) === place) {
        smallest = shorter;
        isShorter = true;
      } else at++;
    }
    if (!isShorter) size >>= 1;
  }
  return smallest;
}

/** Checks the text of a seed. Throws if there is a difference. */
export function checkSeed(seed: number, tally: FuzzTally): void {
  const text = generateText(seed);
  // Half of the texts are no JSON, and the stack traces would take half of the
  // time.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const difference = findDifference(text, tally);
  Error.stackTraceLimit = stackTraceLimit;
  if (difference === undefined) return;
  const smallest = shrink(text);
  throw new Error(
    `seed ${seed}: ${difference}\n  ${JSON.stringify(text)}\n` +
      `smallest: ${findDifference(smallest)}\n  ${JSON.stringify(smallest)}`,
  );
}
