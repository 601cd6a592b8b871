/**
 * Defines message forms, and has functions that write a valid message in a
 * form.
 *
 * @module
 */

// deno-lint-ignore no-explicit-any
export type Json = any;

/** A WebSocket message: a text frame, or a binary frame. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** The context of a message from the daemon. */
export interface MessageContext {
  /**
   * For a response, the method of its request. For a request or notification,
   * its own method.
   */
  readonly method: string;
  /** True for a response to one of the proxy's own requests. */
  readonly isOwn: boolean;
}

/** A call whose first responses are invalid, and the outcome for the client. */
export interface SpoiledCall {
  /** Returns the frames that the daemon sends instead of the response. */
  readonly frames: (answer: Json) => Frame[];
  /** The number of spoiled responses per tool and connection. */
  readonly spoiledCount: number;
  /** The delay after which the valid response follows, in ms, if it does. */
  readonly answerAfterMs?: number;
  /**
   * The outcome of a read-only call, and of any other call: the number of the
   * execution whose result the client gets, or a pattern for the text of error
   * -31002 (outcome unknown).
   */
  readonly readOutcome: number | RegExp;
  readonly writeOutcome: number | RegExp;
}

/** A form in which a daemon may write messages, and its consequences. */
export interface MessageForm {
  readonly kind: string;
  readonly name: string;
  /** Returns the text of a message. Default: `JSON.stringify`. */
  readonly serialize?: (message: Json, about: MessageContext) => string;
  /**
   * Returns the frames for messages that are sent at the same time. Default:
   * one frame for each message.
   */
  readonly frames?: (texts: string[], messages: Json[]) => Frame[];
  /**
   * Returns frames that are sent before the response to a call, and that must
   * not count as this response. `closed` is the id of an answered call.
   */
  readonly decoys?: (answer: Json, closed: Json) => Frame[];
  /** The delay between the decoys and the response, in milliseconds. */
  readonly pauseMs?: number;
  /** Changes the proxy's message, as a bridge does. `undefined` drops it. */
  readonly bridgeRequest?: (message: Json) => Json | undefined;
  /** Returns the page of `tools/list` at a cursor. `tools` has all tools. */
  readonly listPage?: (
    tools: Json[],
    cursor: string | undefined,
    isRestarted: boolean,
  ) => Json;
  /** True if the daemon has an additional tool after its restart. */
  readonly changesTools?: true;
  /**
   * The progress values that the daemon sends for a call, the interval in
   * milliseconds, and the values that the client receives.
   */
  readonly progress?: { sent: Json[]; received: number[]; pauseMs: number };
  /** The progress values after the restart, when the call is sent again. */
  readonly progressAfterRestart?: { sent: number[]; received: number[] };
  /** The `error` of a response, and the error that the client gets. */
  readonly error?: { raw: Json; code: number; pattern: RegExp };
  readonly spoiledCall?: SpoiledCall;
  /** Changes the client's messages before the proxy reads them. */
  readonly fromClient?: (message: Json) => Json;
  /**
   * Changes the proxy's messages before the client reads them. `undefined`
   * drops the message.
   */
  readonly toClient?: (message: Json) => Json | undefined;
  /**
   * True if two calls are in flight when the spoiled frames arrive. Valid
   * responses to both follow later.
   */
  readonly spoilsDuringTwoCalls?: true;
  /** True if the proxy must log the daemon's invalid messages. */
  readonly expectsLog?: true;
  /** True if the client also sends a ping. */
  readonly clientPings?: true;
  /** True if the form is also used with the exai daemon. */
  readonly alsoExai?: true;
}

/** Returns the form's name in URLs and in the printed table. */
export function formKey({ kind, name }: MessageForm): string {
  return `${kind}: ${name}`;
}

/** Returns whether a message is a result or an error. */
export function isResponse(message: Json): boolean {
  return message.method === undefined;
}

export function isNotification(message: Json): boolean {
  return message.method !== undefined && message.id === undefined;
}

/** The names and values of a message's members, both as JSON texts. */
type Members = Map<string, string>;

/** The texts before, inside, between and after members. */
type Separators = readonly [
  open: string,
  colon: string,
  comma: string,
  close: string,
];

/** Serializes a message. Before that, `change` can change its members. */
export function serializeMembers(
  message: Json,
  change: (members: Members) => void,
  [open, colon, comma, close]: Separators = ["{", ":", ",", "}"],
): string {
  const members: Members = new Map(
    Object.entries(message).map(([key, value]) => [
      JSON.stringify(key),
      JSON.stringify(value),
    ]),
  );
  change(members);
  const all = [...members].map(([key, value]) => `${key}${colon}${value}`);
  return `${open}${all.join(comma)}${close}`;
}

/** Adds members to some messages, unless they have them. */
export function addMembers(
  which: (message: Json) => boolean,
  members: Record<string, string>,
  separators?: Separators,
): Pick<MessageForm, "serialize"> {
  return {
    serialize: (message) =>
      serializeMembers(message, (all) => {
        if (!which(message)) return;
        for (const [key, text] of Object.entries(members)) {
          if (!all.has(`"${key}"`)) all.set(`"${key}"`, text);
        }
      }, separators),
  };
}

/** Adds members to some messages, in front of the others. */
export function prependMembers(
  which: (message: Json) => boolean,
  members: Record<string, string>,
): Pick<MessageForm, "serialize"> {
  return {
    serialize: (message) =>
      which(message)
        ? serializeMembers(message, (all) => {
          const rest = [...all];
          all.clear();
          for (const [key, text] of Object.entries(members)) {
            all.set(`"${key}"`, text);
          }
          for (const [key, text] of rest) all.set(key, text);
        })
        : JSON.stringify(message),
  };
}

/** Changes the type of the ids of some responses. */
export function retypeIds(
  retype: (id: Json) => string,
  which: (about: MessageContext) => boolean = () => true,
): Pick<MessageForm, "serialize"> {
  return {
    serialize: (message, about) =>
      serializeMembers(message, (all) => {
        if (isResponse(message) && which(about)) {
          all.set('"id"', retype(message.id));
        }
      }),
  };
}

/** Changes the type of progress tokens. */
export function retypeTokens(
  retype: (token: Json) => string,
): Pick<MessageForm, "serialize"> {
  return {
    serialize: (message) => {
      const { progressToken } = message.params ?? {};
      if (progressToken === undefined) return JSON.stringify(message);
      return serializeMembers(message, (all) =>
        all.set(
          '"params"',
          serializeMembers(
            message.params,
            (params) => params.set('"progressToken"', retype(progressToken)),
          ),
        ));
    },
  };
}

/**
 * Writes the name of a member with an escape. If `isLast` is true, the member
 * comes last.
 */
export function escapeKey(
  key: string,
  isLast = false,
): Pick<MessageForm, "serialize"> {
  const hex = key.charCodeAt(0).toString(16).padStart(4, "0");
  const name = `"\\u${hex}${key.slice(1)}"`;
  return {
    serialize: (message) => {
      if (message[key] === undefined) return JSON.stringify(message);
      const all = Object.keys(message);
      const rest = all.filter((it) => it !== key);
      const order = isLast ? [...rest, key] : all;
      const parts = order.map((it) =>
        `${it === key ? name : `"${it}"`}:${JSON.stringify(message[it])}`
      );
      return `{${parts.join(",")}}`;
    },
  };
}

export const asJsonString = (id: Json): string => JSON.stringify(`${id}`);
export const isResult = (message: Json): boolean =>
  message.result !== undefined;
export const isError = (message: Json): boolean => message.error !== undefined;
export const hasNoParams = (message: Json): boolean =>
  message.method !== undefined && message.params === undefined;

/** Joins messages that are sent at the same time into one frame. */
export function joinIntoFrame(
  join: (texts: string[]) => Frame,
): Pick<MessageForm, "frames" | "alsoExai"> {
  return { frames: (texts) => [join(texts)], alsoExai: true };
}

/** Adds text around each message. */
export function wrapMessages(
  put: (text: string) => Frame,
): Pick<MessageForm, "frames" | "alsoExai"> {
  return { frames: (texts) => texts.map(put), alsoExai: true };
}

/** Adds text around responses only. */
export function wrapResponses(
  put: (text: string) => Frame,
): Pick<MessageForm, "frames" | "alsoExai" | "expectsLog"> {
  return {
    frames: (texts, messages) =>
      texts.map((it, i) => isResponse(messages[i]) ? put(it) : it),
    expectsLog: true,
    alsoExai: true,
  };
}

export function encodeUtf8(it: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(it);
}

/** Returns a wrong response with the same id. */
export function wrongResponse(answer: Json): Json {
  const content = [{ type: "text", text: "a wrong answer" }];
  return { ...answer, result: { content } };
}

export const DAEMON_ERROR_TEXT = "the daemon's own words";

/**
 * Returns a function that returns an error frame without an id, or with the id
 * null.
 */
export function errorWithoutId(code: number, id?: null): SpoiledCall["frames"] {
  const error = { code, message: DAEMON_ERROR_TEXT };
  const rest = id === undefined ? {} : { id };
  return () => [JSON.stringify({ jsonrpc: "2.0", ...rest, error })];
}

/** The first response is spoiled. Only a read-only call is sent again. */
export const SPOILED_FIRST_RESPONSE = {
  spoiledCount: 1,
  readOutcome: 2,
  writeOutcome: /the daemon's own words/,
} as const;

/**
 * Returns a function that divides a list into two pages: all tools but the
 * last, and the last.
 */
export function paginate(
  next: (cursor: string | undefined) => Json,
): NonNullable<MessageForm["listPage"]> {
  return (tools, cursor) => ({
    tools: cursor === undefined ? tools.slice(0, -1) : tools.slice(-1),
    nextCursor: next(cursor),
  });
}

/**
 * Returns a form twice: with a tool list that stays the same at the restart,
 * and with one that changes.
 */
export function withAndWithoutChange(
  name: string,
  listPage: NonNullable<MessageForm["listPage"]>,
): MessageForm[] {
  const kind = "cursors";
  return [
    { kind, name: `${name}, same list`, listPage },
    { kind, name: `${name}, other list`, listPage, changesTools: true },
  ];
}

export const isInitialized = (message: Json): boolean =>
  message.method === "notifications/initialized";
const PROGRESS_PAUSE_MS = 1_000;

export function sendsProgress(sent: number[]): Pick<MessageForm, "progress"> {
  return { progress: { sent, received: sent, pauseMs: PROGRESS_PAUSE_MS } };
}

/** Indents a JSON text. Its members are on separate lines. */
export function prettyPrint(it: string): string {
  return JSON.stringify(JSON.parse(it), null, 2);
}

/**
 * Sends another text before each message that has an escaped name. The
 * runtime's parser then misreads the message (see `unescapeMemberNames`). In
 * the other text, the name is replaced by the beginning of its escaped
 * spelling, cut to the length of the name.
 */
export function withParserTrap(
  wrap: (trapText: string) => string,
): Required<Pick<MessageForm, "frames">> {
  const key = /"(\\u00[0-9a-f]{2}\w*)":/;
  return {
    frames: (texts, messages) =>
      texts.flatMap((it, i) => {
        const isInitializeResult =
          messages[i].result?.protocolVersion !== undefined;
        const escapedKey = key.exec(it)?.[1];
        if (isInitializeResult || escapedKey === undefined) return [it];
        const other = escapedKey.slice(0, JSON.parse(`"${escapedKey}"`).length);
        const trapText = it.replace(key, () => `${JSON.stringify(other)}:`);
        return [wrap(trapText), it];
      }),
  };
}
