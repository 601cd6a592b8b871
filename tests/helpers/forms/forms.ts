/**
 * The forms in which real daemons and bridges write messages: each says what a
 * proper message becomes, and what the client must get.
 *
 * @module
 */

import {
  adding,
  around,
  beside,
  bothLists,
  bytes,
  escaped,
  type Form,
  ids,
  isAnswer,
  isError,
  isInitialized,
  isNotice,
  isResult,
  joined,
  keyOf,
  leading,
  nameless,
  ONCE,
  paged,
  poisoned,
  pretty,
  progress,
  spell,
  text,
  tokens,
  withoutParams,
  WORDS,
  wrong,
} from "./transformations.ts";

const POISONED = poisoned((poison) =>
  `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":` +
  `"info","data":${poison}}}`
);

/** A kind with its forms. */
function kind(
  name: string,
  forms: Record<string, Omit<Form, "kind" | "name">>,
): Form[] {
  return Object.entries(forms).map(([form, rest]) => ({
    kind: name,
    name: form,
    ...rest,
  }));
}

/** Every form. */
export const FORMS: readonly Form[] = [
  ...kind("no form", { "as it should be": {} }),
  ...kind("null members", {
    "error null beside a result": adding(isResult, { error: "null" }),
    "error null in front": leading(isResult, { error: "null" }),
    "error false beside a result": adding(isResult, { error: "false" }),
    "error empty beside a result": adding(isResult, { error: '""' }),
    "result null beside an error": adding(isError, { result: "null" }),
    "method and params null on answers": adding(isAnswer, {
      method: "null",
      params: "null",
    }),
    "params null on calls": adding(withoutParams, { params: "null" }),
    "everything null, with blanks": adding(
      isAnswer,
      { error: "null", result: "null", method: "null", params: "null" },
      ["{ ", " : ", "\t,\n ", " }"],
    ),
    "result null alone": {
      pings: true,
      write: (message, { method }) =>
        /^(ping|logging\/setLevel)$/.test(method) && isAnswer(message)
          ? spell(message, (all) => all.set('"result"', "null"))
          : JSON.stringify(message),
    },
  }),
  ...kind("retyped ids", {
    "as a text": ids(text),
    "as 5.0": ids((id) => typeof id === "number" ? `${id}.0` : text(id)),
    "as the text 5.0": ids((id) => JSON.stringify(`${id}.0`)),
    "with an exponent": ids((id) => id.toExponential()),
    "a text at initialize": ids(
      text,
      ({ method }) => method === "initialize",
    ),
    "a text at tools/list": ids(
      text,
      ({ method }) => method === "tools/list",
    ),
    "a text at probes and replays": ids(text, ({ isOwn }) => isOwn),
    "a text with an escape": ids((id) =>
      `"\\u003${`${id}`[0]}${`${id}`.slice(1)}"`
    ),
    "a number for the client's text": {
      ...ids((id) => `${Number(id)}`),
      say: (message) =>
        message.id === undefined || isAnswer(message)
          ? message
          : { ...message, id: `${message.id}` },
      hear: (message) =>
        isAnswer(message) && typeof message.id === "string"
          ? { ...message, id: Number(message.id) }
          : message,
    },
  }),
  ...kind("retyped tokens", {
    "as a text": tokens(text),
    "as 5.0": tokens((token) => `${token}.0`),
    "a text, as is the id": {
      write: (message, about) =>
        isAnswer(message)
          ? ids(text).write!(message, about)
          : tokens(text).write!(message, about),
    },
    "a number for the client's text": {
      ...tokens((token) => `${Number(token)}`),
      say: (message) => {
        const { _meta } = message.params ?? {};
        if (_meta?.progressToken === undefined) return message;
        const progressToken = `${_meta.progressToken}`;
        const params = {
          ...message.params,
          _meta: { ..._meta, progressToken },
        };
        return { ...message, params };
      },
      hear: (message) => {
        const { params } = message;
        if (typeof params?.progressToken !== "string") return message;
        const progressToken = Number(params.progressToken);
        return { ...message, params: { ...params, progressToken } };
      },
    },
  }),
  ...kind("several messages in a frame", {
    "nothing between": joined((texts) => texts.join("")),
    "blanks between": joined((texts) => texts.join(" \t")),
    "a line each": joined((texts) => texts.join("\n")),
    "CRLF and empty lines": joined((texts) => `${texts.join("\r\n\r\n")}\r\n`),
    "a record separator each": joined((texts) =>
      texts.map((it) => `\x1e${it}\n`).join("")
    ),
    "NUL between": joined((texts) => texts.join("\0")),
    "a batch": { frames: (texts) => [`[${texts.join(",")}]`] },
  }),
  ...kind("characters around", {
    "a byte order mark": around((it) => `\ufeff${it}`),
    "NUL behind": around((it) => `${it}\0`),
    "NUL on both sides": around((it) => `\0${it}\0\0`),
    "a record separator": around((it) => `\x1e${it}\n`),
    "blanks and line breaks": around((it) => `\r\n \t${it}\r\n\r\n`),
    "a mark, a separator and NUL": around((it) => `\ufeff\x1e${it}\n\0`),
    "lines inside, NUL behind": around((it) => `${pretty(it)}\n\0`),
  }),
  ...kind("binary frames", {
    "a text": around(bytes),
    "with a byte order mark": around((it) => bytes(`\ufeff${it}`)),
    "with NUL": around((it) => bytes(`${it}\0`)),
    "several messages": joined((texts) => bytes(texts.join("\n"))),
    "no UTF-8 in front": {
      frames: (texts) =>
        texts.flatMap((it) => [new Uint8Array([0xff, 0xfe, 0x7b]), it]),
      isLogged: true,
      exai: true,
    },
  }),
  ...kind("log text beside an answer", {
    "in front": beside((it) => `INFO answered in 3 ms\n${it}`),
    "behind": beside((it) => `${it}\nINFO done\n`),
    "on both sides, CRLF": beside((it) =>
      `WARN {deprecated}\r\n\r\n${it}\r\nbye\0`
    ),
    "a log line that is JSON": beside((it) =>
      `{"level":"info","msg":"answered"}\n${it}`
    ),
    "notifications and requests among it": beside((it) =>
      [
        "INFO I would say",
        '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
        '{"jsonrpc":"2.0","id":"log","method":"roots/list"}',
        it,
      ].join("\n")
    ),
  }),
  ...kind("malformed errors", {
    "no code": {
      error: { is: { message: WORDS }, code: -32603, words: /own words/ },
    },
    "a code that is a text": {
      error: {
        is: { code: "-32050", message: WORDS },
        code: -32050,
        words: /own words/,
      },
    },
    "a code that is a word": {
      error: {
        is: { code: "E_DOWN", message: WORDS },
        code: -32603,
        words: /own words/,
      },
    },
    "a code with a fraction": {
      error: {
        is: { code: 1.5, message: WORDS },
        code: -32603,
        words: /own words/,
      },
    },
    "a text": { error: { is: WORDS, code: -32603, words: /own words/ } },
    "a list": { error: { is: [WORDS], code: -32603, words: /own words/ } },
    "no message, but data": {
      error: {
        is: { code: -32050, data: { detail: WORDS } },
        code: -32050,
        words: /own words/,
      },
    },
    "a message that is an object": {
      error: {
        is: { code: -32050, message: { text: WORDS } },
        code: -32050,
        words: /own words/,
      },
    },
    "a text, and result null": {
      ...adding(isError, { result: "null" }),
      error: { is: WORDS, code: -32603, words: /own words/ },
    },
  }),
  ...bothLists("an empty cursor", (tools) => ({ tools, nextCursor: "" })),
  ...bothLists("one that stays", paged(() => "page")),
  ...bothLists(
    "a cycle",
    paged((cursor) => cursor === "one" ? "two" : "one"),
  ),
  ...bothLists(
    "an empty one behind a page",
    paged((cursor) => cursor === undefined ? "page" : ""),
  ),
  ...kind("progress", {
    "stays": progress([1, 1, 1, 1, 1]),
    "falls": progress([5, 4, 3, 2, 1]),
    "stays at nothing": progress([0, 0, 0, 0, 0]),
    "rises, from the start after a repeat": {
      again: { said: [1, 2, 3, 4], heard: [4] },
    },
    "falls after a repeat": { again: { said: [9, 8, 10], heard: [9, 10] } },
    "stays after a repeat": { again: { said: [3, 3, 5, 5, 6], heard: [5, 6] } },
  }),
  ...kind("the client's initialized", {
    "with id null": {
      say: (message) =>
        isInitialized(message) ? { ...message, id: null } : message,
    },
    "with a number for an id": {
      say: (message) =>
        isInitialized(message) ? { ...message, id: 90_001 } : message,
      hear: (message) => message.id === 90_001 ? undefined : message,
    },
    "with a text for an id": {
      say: (message) =>
        isInitialized(message) ? { ...message, id: "ready" } : message,
      hear: (message) => message.id === "ready" ? undefined : message,
    },
    "by its old name": {
      say: (message) =>
        isInitialized(message)
          ? { ...message, method: "initialized" }
          : message,
    },
    "by its old name, with id null": {
      say: (message) =>
        isInitialized(message)
          ? { ...message, method: "initialized", id: null }
          : message,
    },
    "with params null": {
      say: (message) =>
        isInitialized(message) ? { ...message, params: null } : message,
    },
  }),
  ...kind("notifications with id null", {
    "behind": adding(isNotice, { id: "null" }),
    "in front": leading(isNotice, { id: "null" }),
    "with blanks, and error null": adding(isNotice, {
      id: "null",
      error: "null",
    }, ["{ ", " : ", " ,\r\n", " }"]),
    "and params null": adding(isNotice, { params: "null", id: "null" }),
  }),
  ...kind("escaped keys", {
    "id": { ...escaped("id"), ...POISONED },
    "id at the end": { ...escaped("id", true), ...POISONED },
    "result": { ...escaped("result"), ...POISONED },
    "error": { ...escaped("error"), ...POISONED },
    "method": { ...escaped("method", true), ...POISONED },
    "params": { ...escaped("params"), ...POISONED },
    "jsonrpc": { ...escaped("jsonrpc"), ...POISONED },
  }),
  ...kind("errors with id null", {
    "-32700": { spoiled: { ...ONCE, frames: nameless(-32700, null) } },
    "-32600": { spoiled: { ...ONCE, frames: nameless(-32600, null) } },
    "-32700 without id": { spoiled: { ...ONCE, frames: nameless(-32700) } },
    "-32600 again and again": {
      spoiled: {
        ...ONCE,
        frames: nameless(-32600, null),
        times: 9,
        read: /the daemon's own words/,
      },
    },
    "-32700, and the answer soon": {
      spoiled: {
        frames: nameless(-32700, null),
        times: 9,
        answerAfterMs: 200,
        read: 1,
        write: 1,
      },
    },
    "-32700 while two calls are in flight": {
      isOfTwo: true,
      spoiled: {
        frames: nameless(-32700, null),
        times: 0,
        read: 1,
        write: 1,
      },
    },
    "-32000 belongs to nobody": {
      spoiled: {
        frames: nameless(-32000, null),
        times: 9,
        answerAfterMs: 3_000,
        read: 1,
        write: 1,
      },
    },
  }),
  ...kind("broken answers", {
    "NaN": {
      spoiled: {
        ...ONCE,
        write: /./,
        frames: ({ id }) => [
          `{"jsonrpc":"2.0","id":${id},"result":{"content":[],"mean":NaN}}`,
        ],
      },
    },
    "cut off": {
      spoiled: {
        ...ONCE,
        write: /./,
        frames: (answer) => [JSON.stringify(answer).slice(0, -7)],
      },
    },
    "a line break inside a text": {
      spoiled: {
        ...ONCE,
        write: /./,
        frames: ({ id }) => [
          `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text",` +
          `"text":"one\ntwo"}]}}`,
        ],
      },
    },
    "cut off, id as a text": {
      spoiled: {
        ...ONCE,
        write: /./,
        frames: ({ id, result }) => [
          `{"jsonrpc":"2.0","id":"${id}","result":` +
          JSON.stringify(result).slice(0, -3),
        ],
      },
    },
  }),
  ...kind("bridges with whole ids", {
    "drops what has no whole id": {
      take: (message) =>
        message.method === undefined || !("id" in message) ||
          Number.isInteger(message.id)
          ? message
          : undefined,
    },
    "parses ids": {
      take: (message) =>
        "id" in message && message.method !== undefined
          ? { ...message, id: parseInt(message.id) }
          : message,
    },
    "cuts ids to 32 bits": {
      take: (message) =>
        "id" in message && message.method !== undefined
          ? { ...message, id: message.id | 0 }
          : message,
    },
    "takes ids apart at colons": {
      take: (message) =>
        "id" in message && message.method !== undefined
          ? { ...message, id: Number(`7:${message.id}`.split(":")[1]) }
          : message,
    },
  }),
  ...kind("no answers", {
    "a result with id null": {
      decoys: (answer) => [JSON.stringify({ ...wrong(answer), id: null })],
    },
    "a result without id": {
      decoys: ({ id: _, ...answer }) => [JSON.stringify(wrong(answer))],
    },
    "an answer to a closed id": {
      decoys: (answer, closed) => [
        JSON.stringify({ ...wrong(answer), id: closed }),
      ],
    },
    "an answer to a closed id as a text": {
      decoys: (answer, closed) => [
        JSON.stringify({ ...wrong(answer), id: `${closed}` }),
      ],
    },
    "an id that nobody has": {
      decoys: (answer) => [JSON.stringify({ ...wrong(answer), id: 424_242 })],
    },
    "quoted in a log line": {
      decoys: (answer) => [
        `INFO writing ${JSON.stringify(wrong(answer))}`,
        `${JSON.stringify(wrong(answer))} was written`,
        `INFO a\nwriting ${JSON.stringify(wrong(answer))}\nb`,
      ],
    },
    "quoted in a log line that is JSON": {
      decoys: (answer) => [
        JSON.stringify({ level: "info", wrote: wrong(answer) }),
        JSON.stringify({ level: "info", wrote: JSON.stringify(wrong(answer)) }),
      ],
    },
    "in a list inside": {
      decoys: (answer) => [`[[${JSON.stringify(wrong(answer))}]]`],
    },
  }),
];

/** The form of a key. Throws where there is none. */
export function formOf(key: string): Form {
  const form = FORMS.find((it) => keyOf(it) === key);
  if (form === undefined) throw new Error(`There is no form "${key}"`);
  return form;
}
