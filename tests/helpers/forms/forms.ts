/**
 * The forms in which real daemons and bridges write messages. Each form defines
 * the change to a valid message, and the outcome for the client.
 *
 * @module
 */

import {
  addMembers,
  asJsonString,
  DAEMON_ERROR_TEXT,
  encodeUtf8,
  errorWithoutId,
  escapeKey,
  formKey,
  hasNoParams,
  isError,
  isInitialized,
  isNotification,
  isResponse,
  isResult,
  joinIntoFrame,
  type MessageForm,
  paginate,
  prependMembers,
  prettyPrint,
  retypeIds,
  retypeTokens,
  sendsProgress,
  serializeMembers,
  SPOILED_FIRST_RESPONSE,
  withAndWithoutChange,
  withParserTrap,
  wrapMessages,
  wrapResponses,
  wrongResponse,
} from "./form_helpers.ts";

const PARSER_TRAP = withParserTrap((trapText) =>
  `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":` +
  `"info","data":${trapText}}}`
);

/** Returns the forms of a kind. The keys of `forms` are their names. */
function formsOfKind(
  name: string,
  forms: Record<string, Omit<MessageForm, "kind" | "name">>,
): MessageForm[] {
  return Object.entries(forms).map(([form, rest]) => ({
    kind: name,
    name: form,
    ...rest,
  }));
}

export const MESSAGE_FORMS: readonly MessageForm[] = [
  ...formsOfKind("valid messages", { "unchanged": {} }),
  ...formsOfKind("null members", {
    "error null beside a result": addMembers(isResult, { error: "null" }),
    "error null in front": prependMembers(isResult, { error: "null" }),
    "error false beside a result": addMembers(isResult, { error: "false" }),
    "error empty beside a result": addMembers(isResult, { error: '""' }),
    "result null beside an error": addMembers(isError, { result: "null" }),
    "method and params null in responses": addMembers(isResponse, {
      method: "null",
      params: "null",
    }),
    "params null on calls": addMembers(hasNoParams, { params: "null" }),
    "everything null, with blanks": addMembers(
      isResponse,
      { error: "null", result: "null", method: "null", params: "null" },
      ["{ ", " : ", "\t,\n ", " }"],
    ),
    "result null alone": {
      clientPings: true,
      serialize: (message, { method }) =>
        /^(ping|logging\/setLevel)$/.test(method) && isResponse(message)
          ? serializeMembers(message, (all) => all.set('"result"', "null"))
          : JSON.stringify(message),
    },
  }),
  ...formsOfKind("retyped ids", {
    "as a string": retypeIds(asJsonString),
    "as 5.0": retypeIds((id) =>
      typeof id === "number" ? `${id}.0` : asJsonString(id)
    ),
    "as the string 5.0": retypeIds((id) => JSON.stringify(`${id}.0`)),
    "with an exponent": retypeIds((id) => id.toExponential()),
    "as a string at initialize": retypeIds(
      asJsonString,
      ({ method }) => method === "initialize",
    ),
    "as a string at tools/list": retypeIds(
      asJsonString,
      ({ method }) => method === "tools/list",
    ),
    "as a string at probes and replays": retypeIds(
      asJsonString,
      ({ isOwn }) => isOwn,
    ),
    "a text with an escape": retypeIds((id) =>
      `"\\u003${`${id}`[0]}${`${id}`.slice(1)}"`
    ),
    "a number for the client's string": {
      ...retypeIds((id) => `${Number(id)}`),
      fromClient: (message) =>
        message.id === undefined || isResponse(message)
          ? message
          : { ...message, id: `${message.id}` },
      toClient: (message) =>
        isResponse(message) && typeof message.id === "string"
          ? { ...message, id: Number(message.id) }
          : message,
    },
  }),
  ...formsOfKind("retyped tokens", {
    "as a string": retypeTokens(asJsonString),
    "as 5.0": retypeTokens((token) => `${token}.0`),
    "a string, and the id, too": {
      serialize: (message, about) =>
        isResponse(message)
          ? retypeIds(asJsonString).serialize!(message, about)
          : retypeTokens(asJsonString).serialize!(message, about),
    },
    "a number for the client's string": {
      ...retypeTokens((token) => `${Number(token)}`),
      fromClient: (message) => {
        const { _meta } = message.params ?? {};
        if (_meta?.progressToken === undefined) return message;
        const progressToken = `${_meta.progressToken}`;
        const params = {
          ...message.params,
          _meta: { ..._meta, progressToken },
        };
        return { ...message, params };
      },
      toClient: (message) => {
        const { params } = message;
        if (typeof params?.progressToken !== "string") return message;
        const progressToken = Number(params.progressToken);
        return { ...message, params: { ...params, progressToken } };
      },
    },
  }),
  ...formsOfKind("several messages in a frame", {
    "nothing between": joinIntoFrame((texts) => texts.join("")),
    "blanks between": joinIntoFrame((texts) => texts.join(" \t")),
    "a line each": joinIntoFrame((texts) => texts.join("\n")),
    "CRLF and empty lines": joinIntoFrame((texts) =>
      `${texts.join("\r\n\r\n")}\r\n`
    ),
    "a record separator each": joinIntoFrame((texts) =>
      texts.map((it) => `\x1e${it}\n`).join("")
    ),
    "NUL between": joinIntoFrame((texts) => texts.join("\0")),
    "a batch": { frames: (texts) => [`[${texts.join(",")}]`] },
  }),
  ...formsOfKind("characters around a message", {
    "a byte order mark": wrapMessages((it) => `\ufeff${it}`),
    "NUL behind": wrapMessages((it) => `${it}\0`),
    "NUL on both sides": wrapMessages((it) => `\0${it}\0\0`),
    "a record separator": wrapMessages((it) => `\x1e${it}\n`),
    "blanks and line breaks": wrapMessages((it) => `\r\n \t${it}\r\n\r\n`),
    "a mark, a separator and NUL": wrapMessages((it) => `\ufeff\x1e${it}\n\0`),
    "lines inside, NUL behind": wrapMessages((it) => `${prettyPrint(it)}\n\0`),
  }),
  ...formsOfKind("binary frames", {
    "a text": wrapMessages(encodeUtf8),
    "with a byte order mark": wrapMessages((it) => encodeUtf8(`\ufeff${it}`)),
    "with NUL": wrapMessages((it) => encodeUtf8(`${it}\0`)),
    "several messages": joinIntoFrame((texts) => encodeUtf8(texts.join("\n"))),
    "bytes that are not UTF-8 in front": {
      frames: (texts) =>
        texts.flatMap((it) => [new Uint8Array([0xff, 0xfe, 0x7b]), it]),
      expectsLog: true,
      alsoExai: true,
    },
  }),
  ...formsOfKind("log text beside a response", {
    "in front": wrapResponses((it) => `INFO answered in 3 ms\n${it}`),
    "behind": wrapResponses((it) => `${it}\nINFO done\n`),
    "on both sides, CRLF": wrapResponses((it) =>
      `WARN {deprecated}\r\n\r\n${it}\r\nbye\0`
    ),
    "a log line that is JSON": wrapResponses((it) =>
      `{"level":"info","msg":"answered"}\n${it}`
    ),
    "notifications and requests in the text": wrapResponses((it) =>
      [
        "INFO I would say",
        '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
        '{"jsonrpc":"2.0","id":"log","method":"roots/list"}',
        it,
      ].join("\n")
    ),
  }),
  ...formsOfKind("malformed errors", {
    "no code": {
      error: {
        raw: { message: DAEMON_ERROR_TEXT },
        code: -32603,
        pattern: /own words/,
      },
    },
    "a code that is a string": {
      error: {
        raw: { code: "-32050", message: DAEMON_ERROR_TEXT },
        code: -32050,
        pattern: /own words/,
      },
    },
    "a code that is a word": {
      error: {
        raw: { code: "E_DOWN", message: DAEMON_ERROR_TEXT },
        code: -32603,
        pattern: /own words/,
      },
    },
    "a code with a fraction": {
      error: {
        raw: { code: 1.5, message: DAEMON_ERROR_TEXT },
        code: -32603,
        pattern: /own words/,
      },
    },
    "a text": {
      error: { raw: DAEMON_ERROR_TEXT, code: -32603, pattern: /own words/ },
    },
    "a list": {
      error: { raw: [DAEMON_ERROR_TEXT], code: -32603, pattern: /own words/ },
    },
    "no message, but data": {
      error: {
        raw: { code: -32050, data: { detail: DAEMON_ERROR_TEXT } },
        code: -32050,
        pattern: /own words/,
      },
    },
    "a message that is an object": {
      error: {
        raw: { code: -32050, message: { text: DAEMON_ERROR_TEXT } },
        code: -32050,
        pattern: /own words/,
      },
    },
    "a text, and result null": {
      ...addMembers(isError, { result: "null" }),
      error: { raw: DAEMON_ERROR_TEXT, code: -32603, pattern: /own words/ },
    },
  }),
  ...withAndWithoutChange(
    "an empty cursor",
    (tools) => ({ tools, nextCursor: "" }),
  ),
  ...withAndWithoutChange(
    "a cursor that stays the same",
    paginate(() => "page"),
  ),
  ...withAndWithoutChange(
    "a cycle",
    paginate((cursor) => cursor === "one" ? "two" : "one"),
  ),
  ...withAndWithoutChange(
    "an empty cursor after the first page",
    paginate((cursor) => cursor === undefined ? "page" : ""),
  ),
  ...formsOfKind("progress", {
    "stays": sendsProgress([1, 1, 1, 1, 1]),
    "falls": sendsProgress([5, 4, 3, 2, 1]),
    "stays at zero": sendsProgress([0, 0, 0, 0, 0]),
    "rises, and begins again after a repeat": {
      progressAfterRestart: { sent: [1, 2, 3, 4], received: [4] },
    },
    "falls after a repeat": {
      progressAfterRestart: { sent: [9, 8, 10], received: [9, 10] },
    },
    "stays after a repeat": {
      progressAfterRestart: { sent: [3, 3, 5, 5, 6], received: [5, 6] },
    },
  }),
  ...formsOfKind("the client's initialized", {
    "with id null": {
      fromClient: (message) =>
        isInitialized(message) ? { ...message, id: null } : message,
    },
    "with a number for an id": {
      fromClient: (message) =>
        isInitialized(message) ? { ...message, id: 90_001 } : message,
      toClient: (message) => message.id === 90_001 ? undefined : message,
    },
    "with a text for an id": {
      fromClient: (message) =>
        isInitialized(message) ? { ...message, id: "ready" } : message,
      toClient: (message) => message.id === "ready" ? undefined : message,
    },
    "by its old name": {
      fromClient: (message) =>
        isInitialized(message)
          ? { ...message, method: "initialized" }
          : message,
    },
    "by its old name, with id null": {
      fromClient: (message) =>
        isInitialized(message)
          ? { ...message, method: "initialized", id: null }
          : message,
    },
    "with params null": {
      fromClient: (message) =>
        isInitialized(message) ? { ...message, params: null } : message,
    },
  }),
  ...formsOfKind("notifications with id null", {
    "behind": addMembers(isNotification, { id: "null" }),
    "in front": prependMembers(isNotification, { id: "null" }),
    "with blanks, and error null": addMembers(isNotification, {
      id: "null",
      error: "null",
    }, ["{ ", " : ", " ,\r\n", " }"]),
    "and params null": addMembers(isNotification, {
      params: "null",
      id: "null",
    }),
  }),
  ...formsOfKind("escaped keys", {
    "id": { ...escapeKey("id"), ...PARSER_TRAP },
    "id at the end": { ...escapeKey("id", true), ...PARSER_TRAP },
    "result": { ...escapeKey("result"), ...PARSER_TRAP },
    "error": { ...escapeKey("error"), ...PARSER_TRAP },
    "method": { ...escapeKey("method", true), ...PARSER_TRAP },
    "params": { ...escapeKey("params"), ...PARSER_TRAP },
    "jsonrpc": { ...escapeKey("jsonrpc"), ...PARSER_TRAP },
  }),
  ...formsOfKind("errors with id null", {
    "-32700": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        frames: errorWithoutId(-32700, null),
      },
    },
    "-32600": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        frames: errorWithoutId(-32600, null),
      },
    },
    "-32700 without id": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        frames: errorWithoutId(-32700),
      },
    },
    "-32600 again and again": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        frames: errorWithoutId(-32600, null),
        spoiledCount: 9,
        readOutcome: /the daemon's own words/,
      },
    },
    "-32700, and the response soon after": {
      spoiledCall: {
        frames: errorWithoutId(-32700, null),
        spoiledCount: 9,
        answerAfterMs: 200,
        readOutcome: 1,
        writeOutcome: 1,
      },
    },
    "-32700 while two calls are in flight": {
      spoilsDuringTwoCalls: true,
      spoiledCall: {
        frames: errorWithoutId(-32700, null),
        spoiledCount: 0,
        readOutcome: 1,
        writeOutcome: 1,
      },
    },
    "-32000, which belongs to no request": {
      spoiledCall: {
        frames: errorWithoutId(-32000, null),
        spoiledCount: 9,
        answerAfterMs: 3_000,
        readOutcome: 1,
        writeOutcome: 1,
      },
    },
  }),
  ...formsOfKind("malformed responses", {
    "NaN": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        writeOutcome: /./,
        frames: ({ id }) => [
          `{"jsonrpc":"2.0","id":${id},"result":{"content":[],"mean":NaN}}`,
        ],
      },
    },
    "cut off": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        writeOutcome: /./,
        frames: (answer) => [JSON.stringify(answer).slice(0, -7)],
      },
    },
    "a line break inside a text": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        writeOutcome: /./,
        frames: ({ id }) => [
          `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text",` +
          `"text":"one\ntwo"}]}}`,
        ],
      },
    },
    "cut off, id as a text": {
      spoiledCall: {
        ...SPOILED_FIRST_RESPONSE,
        writeOutcome: /./,
        frames: ({ id, result }) => [
          `{"jsonrpc":"2.0","id":"${id}","result":` +
          JSON.stringify(result).slice(0, -3),
        ],
      },
    },
  }),
  ...formsOfKind("bridges that need integer ids", {
    "drops requests without an integer id": {
      bridgeRequest: (message) =>
        message.method === undefined || !("id" in message) ||
          Number.isInteger(message.id)
          ? message
          : undefined,
    },
    "parses ids": {
      bridgeRequest: (message) =>
        "id" in message && message.method !== undefined
          ? { ...message, id: parseInt(message.id) }
          : message,
    },
    "cuts ids to 32 bits": {
      bridgeRequest: (message) =>
        "id" in message && message.method !== undefined
          ? { ...message, id: message.id | 0 }
          : message,
    },
    "splits ids at colons": {
      bridgeRequest: (message) =>
        "id" in message && message.method !== undefined
          ? { ...message, id: Number(`7:${message.id}`.split(":")[1]) }
          : message,
    },
  }),
  ...formsOfKind("messages that are not the response", {
    "a result with id null": {
      decoys: (
        answer,
      ) => [JSON.stringify({ ...wrongResponse(answer), id: null })],
    },
    "a result without id": {
      decoys: ({ id: _, ...answer }) => [JSON.stringify(wrongResponse(answer))],
    },
    "an answer to a closed id": {
      decoys: (answer, closed) => [
        JSON.stringify({ ...wrongResponse(answer), id: closed }),
      ],
    },
    "an answer to a closed id as a text": {
      decoys: (answer, closed) => [
        JSON.stringify({ ...wrongResponse(answer), id: `${closed}` }),
      ],
    },
    "an unknown id": {
      decoys: (
        answer,
      ) => [JSON.stringify({ ...wrongResponse(answer), id: 424_242 })],
    },
    "quoted in a log line": {
      decoys: (answer) => [
        `INFO writing ${JSON.stringify(wrongResponse(answer))}`,
        `${JSON.stringify(wrongResponse(answer))} was written`,
        `INFO a\nwriting ${JSON.stringify(wrongResponse(answer))}\nb`,
      ],
    },
    "quoted in a log line that is JSON": {
      decoys: (answer) => [
        JSON.stringify({ level: "info", wrote: wrongResponse(answer) }),
        JSON.stringify({
          level: "info",
          wrote: JSON.stringify(wrongResponse(answer)),
        }),
      ],
    },
    "inside nested arrays": {
      decoys: (answer) => [`[[${JSON.stringify(wrongResponse(answer))}]]`],
    },
  }),
];

/** Returns the form with a key. Throws if it does not exist. */
export function formByKey(key: string): MessageForm {
  const form = MESSAGE_FORMS.find((it) => formKey(it) === key);
  if (form === undefined) throw new Error(`There is no form "${key}"`);
  return form;
}
