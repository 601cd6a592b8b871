/**
 * Says which messages a text holds, by the written rules alone: those of
 * JSON-RPC 2.0 and MCP, and those in the comments of `lib/protocol/`. It shares
 * no code with `lib/`. It is as slow and as simple as possible.
 *
 * @module
 */

import { JsonReader, type Member, readJson } from "./json_reader.ts";

/** A message as the rules describe it. */
export interface ExpectedMessage {
  readonly kind: "request" | "notification" | "response" | "invalid";
  /** The id as JSON text. */
  readonly id: string | undefined;
  /** What the sender meant; only of an invalid message. */
  readonly intendedKind?: "request-or-notification" | "response" | "any";
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: ExpectedError | undefined;
  /**
   * The members that are forwarded: their names and exact texts, in order. A
   * text of `undefined` stands for an error that was repaired.
   */
  readonly forwarded: readonly (readonly [string, string | undefined])[];
  /** The exact text that is forwarded; `undefined` if it must change. */
  readonly unchangedText: string | undefined;
  /** True if the runtime's JSON parser may read the content differently. */
  readonly hasEscapedNames: boolean;
}

/** The error of a response, after repair. */
export interface ExpectedError {
  readonly code: unknown;
  /** The message; `undefined` if the error does not state one. */
  readonly message: string | undefined;
  /** The exact text of the data. */
  readonly dataText: string | undefined;
  /** The exact text of the daemon's error. */
  readonly sourceText: string;
  readonly isRepaired: boolean;
}

const MEMBERS = ["jsonrpc", "id", "method", "params", "result", "error"];

function expectInvalid(
  id: string | undefined = undefined,
  intendedKind: ExpectedMessage["intendedKind"] = "request-or-notification",
): ExpectedMessage {
  return {
    kind: "invalid",
    id,
    ...intendedKind && { intendedKind },
    ...{ forwarded: [], unchangedText: undefined, hasEscapedNames: false },
  };
}

/** Returns the last member with a name: of members with a name, it counts. */
function lastOf(members: readonly Member[], name: string): Member | undefined {
  return members.findLast((it) => it.name === name);
}

/** A string or a finite number is an id. A large integer keeps its digits. */
function toId(member: Member | undefined): string | undefined {
  const { value, valueText = "" } = member ?? {};
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
  const isLarge = Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return isLarge && /^-?\d+$/.test(valueText)
    ? valueText
    : JSON.stringify(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmptyArray(value: unknown): boolean {
  return JSON.stringify(value) === "[]";
}

/** Returns true if an error beside a result or a method says nothing. */
function saysNothing(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return !error;
  return Object.values(error).every((it) =>
    !it || JSON.stringify(it) === "{}" || JSON.stringify(it) === "[]"
  );
}

/** Returns the messages in a text that is JSON; `undefined` if it is not. */
export function expectJson(text: string): ExpectedMessage[] | undefined {
  const json = readJson(text);
  if (json === undefined) return undefined;
  if (!Array.isArray(json.value)) return [expectValue(text)];
  if (json.value.length === 0) return [expectInvalid()];
  return json.children!.map(({ valueText }) => expectValue(valueText));
}

/** Returns the message in a JSON text that is not a batch. */
function expectValue(text: string): ExpectedMessage {
  const json = readJson(text)!;
  if (!isObject(json.value)) return expectInvalid();
  const message = expectObject(json.children!);
  if (message.kind === "invalid") return message;
  const isSpelled = json.children!.every((it) => !it.nameText.includes("\\"));
  const isUnchanged = isSpelled && message.isUnchanged;
  return {
    ...message,
    unchangedText: isUnchanged ? text : undefined,
    hasEscapedNames: json.hasEscapedNames,
  };
}

function expectObject(
  members: readonly Member[],
): ExpectedMessage & { readonly isUnchanged?: boolean } {
  const get = (name: string): unknown => lastOf(members, name)?.value;
  const has = (name: string): boolean => lastOf(members, name) !== undefined;
  const isPresent = (name: string): boolean => (get(name) ?? null) !== null;
  const id = toId(lastOf(members, "id"));

  // Beside a result or a method, an empty error is no error.
  const isError = has("result") || isPresent("method")
    ? !saysNothing(get("error"))
    : isPresent("error");
  const isResponse = isPresent("method")
    ? isPresent("id") && (isError || isPresent("result"))
    : isError || has("result");
  const intendedKind = isResponse
    ? "response"
    : isPresent("method") || has("params")
    ? "request-or-notification"
    : "any";
  if (get("jsonrpc") !== "2.0") {
    // An error with other members than those of messages is a log line.
    const isLogLine = isResponse && isError &&
      members.some(({ name }) => !MEMBERS.includes(name));
    return expectInvalid(isLogLine ? undefined : id, intendedKind);
  }

  // Members with these names, or null in other members, are not forwarded.
  let unwanted = ["error", "result"];
  let mayBeNull: readonly string[] = [];
  if (isResponse) {
    unwanted = ["method", "params", isError ? "result" : "error"];
    mayBeNull = ["id", "result"];
  } else {
    if (isEmptyArray(get("params"))) unwanted.push("params");
    if (typeof get("method") !== "string") {
      return expectInvalid(id, intendedKind);
    }
    const isOneWay = !has("id") || get("id") === null &&
        /^(?:notifications\/|initialized$)/.test(get("method") as string);
    if (!isOneWay && id === undefined) {
      return expectInvalid(
        get("id") === null ? "null" : undefined,
        intendedKind,
      );
    }
  }
  const kept = members.filter(({ name }) =>
    !unwanted.includes(name) && (get(name) !== null || mayBeNull.includes(name))
  );
  const isUnchanged = kept.length === members.length;
  const forwarded = kept.map(({ name, valueText }) =>
    [name, valueText] as [string, string | undefined]
  );
  const common = {
    ...{ id, forwarded, isUnchanged },
    ...{ unchangedText: undefined, hasEscapedNames: false },
  };
  const replaceLast = (name: string, text: string | undefined): void => {
    forwarded.findLast((it) => it[0] === name)![1] = text;
    common.isUnchanged = false;
  };

  if (!isResponse) {
    const params = isEmptyArray(get("params"))
      ? undefined
      : get("params") ?? undefined;
    const kind = id === undefined ? "notification" : "request";
    return { kind, method: get("method") as string, params, ...common };
  }
  const kind = "response";
  if (isError) {
    const error = expectError(lastOf(members, "error")!);
    if (error.isRepaired) replaceLast("error", undefined);
    return { kind, error, ...common };
  }
  // PHP writes an empty object as an array.
  if (get("result") === null || isEmptyArray(get("result"))) {
    replaceLast("result", "{}");
    return { kind, result: {}, ...common };
  }
  return { kind, result: get("result"), ...common };
}

/** Returns what becomes of the error of a response. */
function expectError({ value, valueText }: Member): ExpectedError {
  const members = isObject(value) ? readJson(valueText)!.children! : [];
  const get = (name: string): unknown => lastOf(members, name)?.value;
  const code = get("code");
  const dataText = lastOf(members, "data")?.valueText;
  const common = { dataText, sourceText: valueText };
  if (Number.isSafeInteger(code) && typeof get("message") === "string") {
    const message = get("message") as string;
    return { code, message, ...common, isRepaired: false };
  }
  const number = typeof code === "string" && /^-?\d+$/.test(code)
    ? Number(code)
    : code;
  const isNumber = Number.isSafeInteger(number);
  const text = [
    value,
    ...["message", "error", "detail", "reason", "description"].map(get),
  ].find((it) => typeof it === "string" && it !== "");
  const message = [isNumber ? "" : code, text]
    .filter((it) => typeof it === "string" && it !== "").join(": ");
  return {
    code: isNumber ? number : -32603,
    message: message === "" ? undefined : message,
    ...common,
    isRepaired: true,
  };
}

/**
 * Returns the invalid message for a text that is not JSON. Only a response has
 * an id, and only if the id is complete before the break.
 */
export function expectNoJson(text: string): ExpectedMessage {
  const reader = new JsonReader(text);
  if (reader.skipSpace() !== "{") return expectInvalid();
  const members: Member[] = [];
  // A complete object with other text behind it is a log line.
  if (reader.readChildren(members)) return expectInvalid();
  const { brokenName } = reader;
  // A value at the end of the text may be cut off.
  const isCut = brokenName === undefined &&
    /^[ \t\r\n]*$/.test(text.slice(members.at(-1)?.end));
  const names = members.map(({ name }) => name);
  if (brokenName !== undefined) names.push(brokenName);
  if (!names.includes("result") && !names.includes("error")) {
    return expectInvalid();
  }
  const isIdBroken = brokenName === "id" || isCut && names.at(-1) === "id";
  const id = isIdBroken ? undefined : toId(lastOf(members, "id"));
  return id === undefined ? expectInvalid() : expectInvalid(id, "response");
}

/** Returns the messages in a line of the client. */
export function expectLine(line: string): ExpectedMessage[] {
  const text = line.startsWith("\ufeff") ? line.slice(1) : line;
  return expectJson(text) ?? [expectNoJson(text)];
}

/** What the rules say about a frame. */
export interface ExpectedFrame {
  /** The messages, in order. Before a broken object: the first ones. */
  readonly messages: readonly ExpectedMessage[];
  /** True if there is an object that is broken. Then more may follow. */
  readonly isBroken: boolean;
}

/** Returns the messages in a frame of the daemon. */
export function expectFrame(frame: string): ExpectedFrame {
  // deno-lint-ignore no-control-regex
  const text = frame.replace(/^[ \t\r\n\0\x1e\ufeff]+/, "")
    // deno-lint-ignore no-control-regex
    .replace(/[ \t\r\n\0\x1e\ufeff]+$/, "");
  const messages = expectJson(frame) ?? expectJson(text);
  return messages === undefined
    ? expectLines(text)
    : { messages, isBroken: false };
}

/**
 * Returns the messages in a frame that is not one JSON text. Messages at the
 * start of a line count, and those behind them on the line, unless other text
 * than an object follows. With other text, only responses count, and all other
 * text is one invalid message.
 */
function expectLines(text: string): ExpectedFrame {
  const all: ExpectedMessage[] = [];
  let isPure = true;
  let isBroken = false;
  let at = 0;
  while (at < text.length && !isBroken) {
    const line: ExpectedMessage[] = [];
    // The end of an object that is not a message. It may be on a later line.
    let otherEnd = 0;
    while (text[at] === "{") {
      const reader = new JsonReader(text, at);
      const members: Member[] = [];
      isBroken = !reader.readChildren(members);
      if (isBroken) break;
      if (lastOf(members, "jsonrpc")?.value !== "2.0") {
        otherEnd = reader.at;
        break;
      }
      line.push(expectValue(text.slice(at, reader.at)));
      at = reader.at;
      while (text[at] === " " || text[at] === "\t") at++;
    }
    // deno-lint-ignore no-control-regex
    const rest = /^[^\r\n\0\x1e]*/.exec(text.slice(at))![0];
    if (rest !== "") isPure = false;
    if (rest === "" || rest.startsWith("{")) all.push(...line);
    at = Math.max(at, otherEnd);
    // deno-lint-ignore no-control-regex
    at += /^[^\r\n\0\x1e]*/.exec(text.slice(at))![0].length;
    // deno-lint-ignore no-control-regex
    at += /^[ \t\r\n\0\x1e\ufeff]*/.exec(text.slice(at))![0].length;
  }
  if (isPure && !isBroken && all.length > 0) {
    return { messages: all, isBroken };
  }
  const messages = all.filter(({ kind }) => kind === "response");
  return isBroken
    ? { messages, isBroken }
    : { messages: [...messages, expectInvalid()], isBroken };
}
