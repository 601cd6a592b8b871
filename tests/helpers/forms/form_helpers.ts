/**
 * The definition of a message form, and functions that change a proper message
 * into a form.
 *
 * @module
 */

// deno-lint-ignore no-explicit-any
export type Json = any;

/** What a WebSocket carries: a text frame, or a binary one. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** The context of a message from the daemon. */
export interface MessageContext {
  /**
   * The method of the answered request. For a call or notification, its own
   * method.
   */
  readonly method: string;
  /** Whether the answered request is one of the proxy's own. */
  readonly isOwn: boolean;
}

/** A call that the daemon first answers wrongly, and what the client gets. */
export interface SpoiledCall {
  /** The frames that arrive instead of the response. */
  readonly frames: (answer: Json) => Frame[];
  /** How many responses of one tool on one connection are spoiled. */
  readonly times: number;
  /** After so many milliseconds the proper response arrives nevertheless. */
  readonly answerAfterMs?: number;
  /**
   * The outcome of a read-only call, and of any other: the number of the
   * execution whose result the client gets, or the text of the error -31002.
   */
  readonly readOutcome: number | RegExp;
  readonly writeOutcome: number | RegExp;
}

/** One way to write messages. */
export interface MessageForm {
  readonly kind: string;
  readonly name: string;
  /** The text of a message. Default: `JSON.stringify`. */
  readonly serialize?: (message: Json, about: MessageContext) => string;
  /**
   * The frames for messages that are sent at the same time. Default: one each.
   */
  readonly frames?: (texts: string[], messages: Json[]) => Frame[];
  /**
   * Frames before the response to a call that must not be taken for it.
   * `closed` is the id of an answered call.
   */
  readonly decoys?: (answer: Json, closed: Json) => Frame[];
  /** How long the response is delayed after the decoys, in milliseconds. */
  readonly pauseMs?: number;
  /** Changes the proxy's message as a bridge does; `undefined` drops it. */
  readonly bridgeRequest?: (message: Json) => Json | undefined;
  /** The page of `tools/list` for a cursor; `tools` has all tools. */
  readonly listPage?: (
    tools: Json[],
    cursor: string | undefined,
    isRestarted: boolean,
  ) => Json;
  /** Whether the daemon has other tools after its restart. */
  readonly changesTools?: true;
  /**
   * The progress that the daemon sends for a call, its interval, and the
   * progress that the client receives.
   */
  readonly progress?: { sent: Json[]; received: number[]; pauseMs: number };
  /** The progress after the call was sent again. */
  readonly progressAfterRestart?: { sent: number[]; received: number[] };
  /** The `error` of a response, and what the client gets. */
  readonly error?: { raw: Json; code: number; pattern: RegExp };
  readonly spoiledCall?: SpoiledCall;
  /** Changes the client's messages before the proxy reads them. */
  readonly fromClient?: (message: Json) => Json;
  /**
   * Changes the proxy's messages before the client reads them; `undefined`
   * drops them.
   */
  readonly toClient?: (message: Json) => Json | undefined;
  /**
   * Whether two calls are in flight when the spoiled frames arrive. Both are
   * answered later.
   */
  readonly hasTwoCalls?: true;
  /** Whether the log must mention what the daemon sends. */
  readonly expectsLog?: true;
  /** Whether the client pings, too. */
  readonly clientPings?: true;
  /** Whether the raw form is also used with the exai daemon. */
  readonly alsoExai?: true;
}

/** A form's name in a URL and in the table. */
export function formKey({ kind, name }: MessageForm): string {
  return `${kind}: ${name}`;
}

/** Whether a message is a result or an error. */
export function isResponse(message: Json): boolean {
  return message.method === undefined;
}

/** Whether a message is a notification. */
export function isNotification(message: Json): boolean {
  return message.method !== undefined && message.id === undefined;
}

/** A message's members as JSON texts. */
type Members = Map<string, string>;

/** The characters that open, separate and close members. */
type Separators = readonly [
  open: string,
  colon: string,
  comma: string,
  close: string,
];

/** Serializes a message after a change to its members, which are JSON texts. */
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

/** Adds members to some messages. */
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

/** The same, with the new members in front. */
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

/** Writes an envelope key with an escape. */
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
export const withoutParams = (message: Json): boolean =>
  message.method !== undefined && message.params === undefined;

/** One frame for all messages that are sent at the same time. */
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

/** A text as the bytes of a binary frame. */
export function encodeUtf8(it: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(it);
}

/** A wrong response with the same id. */
export function wrongResponse(answer: Json): Json {
  const content = [{ type: "text", text: "a wrong answer" }];
  return { ...answer, result: { content } };
}

export const DAEMON_ERROR_TEXT = "the daemon's own words";

/** An error that names no request. */
export function errorWithoutId(code: number, id?: null): SpoiledCall["frames"] {
  const error = { code, message: DAEMON_ERROR_TEXT };
  const rest = id === undefined ? {} : { id };
  return () => [JSON.stringify({ jsonrpc: "2.0", ...rest, error })];
}

/** A read-only call is sent once more, any other is not. */
export const SPOILED_ONCE = {
  times: 1,
  readOutcome: 2,
  writeOutcome: /the daemon's own words/,
} as const;

/** Two pages: all tools but the last, and the last. */
export function paginate(
  next: (cursor: string | undefined) => Json,
): NonNullable<MessageForm["listPage"]> {
  return (tools, cursor) => ({
    tools: cursor === undefined ? tools.slice(0, -1) : tools.slice(-1),
    nextCursor: next(cursor),
  });
}

/**
 * The same form with a list that changes at the restart, and with one that does
 * not.
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

/** Writes every message of a text on a line of its own, indented. */
export function prettyPrint(it: string): string {
  return JSON.stringify(JSON.parse(it), null, 2);
}

/**
 * Messages with an escaped key that the runtime's parser misreads because of
 * the text before each. That text has another key of the same length, with
 * which the escaped spelling begins.
 */
export function confuseParser(
  wrap: (trapText: string) => string,
): Required<Pick<MessageForm, "frames">> {
  const key = /"(\\u00[0-9a-f]{2}\w*)":/;
  return {
    frames: (texts, messages) =>
      texts.flatMap((it, i) => {
        const isFirst = messages[i].result?.protocolVersion !== undefined;
        const escapedKey = key.exec(it)?.[1];
        if (isFirst || escapedKey === undefined) return [it];
        const other = escapedKey.slice(0, JSON.parse(`"${escapedKey}"`).length);
        const trapText = it.replace(key, () => `${JSON.stringify(other)}:`);
        return [wrap(trapText), it];
      }),
  };
}
