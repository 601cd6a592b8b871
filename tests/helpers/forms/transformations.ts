/**
 * What a form is, and the ways in which forms change a proper message.
 *
 * @module
 */

// deno-lint-ignore no-explicit-any
export type Json = any;

/** What a WebSocket carries: a text frame, or a binary one. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** What a message of the daemon's is about. */
export interface About {
  /** The method that is answered; of a call or notification, its own. */
  readonly method: string;
  /** The request that is answered is one of the proxy's own. */
  readonly isOwn: boolean;
}

/** A call that the daemon first answers wrongly, and what the client gets of it. */
export interface Spoiled {
  /** What comes instead of the answer. */
  readonly frames: (answer: Json) => Frame[];
  /** How many answers of a connection to one tool are spoiled. */
  readonly times: number;
  /** After so many milliseconds the proper answer comes all the same. */
  readonly answerAfterMs?: number;
  /** What a read-only call comes to, and any other: the number of the execution whose answer the client gets, or the words of the error -31002. */
  readonly read: number | RegExp;
  readonly write: number | RegExp;
}

/** One way to write messages. */
export interface Form {
  readonly kind: string;
  readonly name: string;
  /** A message's text; by default that of `JSON.stringify`. */
  readonly write?: (message: Json, about: About) => string;
  /** The frames for the texts of messages that are said at the same time; by default one for each. */
  readonly frames?: (texts: string[], messages: Json[]) => Frame[];
  /** What comes in front of the answer to a call and must not be taken for it; `closed` is the id of an answered call. */
  readonly decoys?: (answer: Json, closed: Json) => Frame[];
  /** How long the answer waits after the decoys, in milliseconds. */
  readonly pauseMs?: number;
  /** What a bridge makes of the proxy's message; `undefined` drops it. */
  readonly take?: (message: Json) => Json | undefined;
  /** The page of `tools/list` for a cursor; `tools` are all. */
  readonly page?: (
    tools: Json[],
    cursor: string | undefined,
    isRestarted: boolean,
  ) => Json;
  /** The daemon has other tools after its restart. */
  readonly isChanged?: true;
  /** What a call's progress says, how fast, and what the client hears of it. */
  readonly progress?: { said: Json[]; heard: number[]; pauseMs: number };
  /** The progress after the call was sent again. */
  readonly again?: { said: number[]; heard: number[] };
  /** The `error` of an answer, and what the client gets. */
  readonly error?: { is: Json; code: number; words: RegExp };
  readonly spoiled?: Spoiled;
  /** What the client's messages become before the proxy reads them. */
  readonly say?: (message: Json) => Json;
  /** What the proxy's messages become before the client reads them; `undefined` keeps them back. */
  readonly hear?: (message: Json) => Json | undefined;
  /** Two calls are in flight when the spoiled frames come, and both are answered later. */
  readonly isOfTwo?: true;
  /** The log has to name what the daemon sends. */
  readonly isLogged?: true;
  /** The client pings, too. */
  readonly pings?: true;
  /** The raw form exists with the exai daemon, too. */
  readonly exai?: true;
}

/** A form's name in an URL and in the table. */
export function keyOf({ kind, name }: Form): string {
  return `${kind}: ${name}`;
}

/** Whether a message is a result or an error. */
export function isAnswer(message: Json): boolean {
  return message.method === undefined;
}

/** Whether a message is a notification. */
export function isNotice(message: Json): boolean {
  return message.method !== undefined && message.id === undefined;
}

/** A message's members as JSON texts. */
type Members = Map<string, string>;

/** What opens, separates and closes members. */
type Signs = readonly [
  open: string,
  colon: string,
  comma: string,
  close: string,
];

/** Writes a message after its members, as JSON texts, were changed. */
export function spell(
  message: Json,
  change: (members: Members) => void,
  [open, colon, comma, close]: Signs = ["{", ":", ",", "}"],
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
export function adding(
  which: (message: Json) => boolean,
  members: Record<string, string>,
  signs?: Signs,
): Pick<Form, "write"> {
  return {
    write: (message) =>
      spell(message, (all) => {
        if (!which(message)) return;
        for (const [key, text] of Object.entries(members)) {
          if (!all.has(`"${key}"`)) all.set(`"${key}"`, text);
        }
      }, signs),
  };
}

/** The same with the new members in front. */
export function leading(
  which: (message: Json) => boolean,
  members: Record<string, string>,
): Pick<Form, "write"> {
  return {
    write: (message) =>
      which(message)
        ? spell(message, (all) => {
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

/** Writes the ids of some answers in another way. */
export function ids(
  retype: (id: Json) => string,
  which: (about: About) => boolean = () => true,
): Pick<Form, "write"> {
  return {
    write: (message, about) =>
      spell(message, (all) => {
        if (isAnswer(message) && which(about)) {
          all.set('"id"', retype(message.id));
        }
      }),
  };
}

/** Writes progress tokens in another way. */
export function tokens(retype: (token: Json) => string): Pick<Form, "write"> {
  return {
    write: (message) => {
      const { progressToken } = message.params ?? {};
      if (progressToken === undefined) return JSON.stringify(message);
      return spell(message, (all) =>
        all.set(
          '"params"',
          spell(
            message.params,
            (params) => params.set('"progressToken"', retype(progressToken)),
          ),
        ));
    },
  };
}

/** Writes a key of the envelope with an escape. */
export function escaped(key: string, isLast = false): Pick<Form, "write"> {
  const hex = key.charCodeAt(0).toString(16).padStart(4, "0");
  const name = `"\\u${hex}${key.slice(1)}"`;
  return {
    write: (message) => {
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

export const text = (id: Json): string => JSON.stringify(`${id}`);
export const isResult = (message: Json): boolean =>
  message.result !== undefined;
export const isError = (message: Json): boolean => message.error !== undefined;
export const withoutParams = (message: Json): boolean =>
  message.method !== undefined && message.params === undefined;

/** One frame for all messages that are said at the same time. */
export function joined(
  join: (texts: string[]) => Frame,
): Pick<Form, "frames" | "exai"> {
  return { frames: (texts) => [join(texts)], exai: true };
}

/** Something around each message. */
export function around(
  put: (text: string) => Frame,
): Pick<Form, "frames" | "exai"> {
  return { frames: (texts) => texts.map(put), exai: true };
}

/** Other text around answers only. */
export function beside(
  put: (text: string) => Frame,
): Pick<Form, "frames" | "exai" | "isLogged"> {
  return {
    frames: (texts, messages) =>
      texts.map((it, i) => isAnswer(messages[i]) ? put(it) : it),
    isLogged: true,
    exai: true,
  };
}

/** A text as the bytes of a binary frame. */
export function bytes(it: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(it);
}

/** An answer of the same id that is wrong. */
export function wrong(answer: Json): Json {
  const content = [{ type: "text", text: "a wrong answer" }];
  return { ...answer, result: { content } };
}

export const WORDS = "the daemon's own words";

/** An error that names no request. */
export function nameless(code: number, id?: null): Spoiled["frames"] {
  const error = { code, message: WORDS };
  const rest = id === undefined ? {} : { id };
  return () => [JSON.stringify({ jsonrpc: "2.0", ...rest, error })];
}

/** A read-only call is written once more, any other is not. */
export const ONCE = {
  times: 1,
  read: 2,
  write: /the daemon's own words/,
} as const;

/** Pages: all tools but the last, and the last. */
export function paged(
  next: (cursor: string | undefined) => Json,
): NonNullable<Form["page"]> {
  return (tools, cursor) => ({
    tools: cursor === undefined ? tools.slice(0, -1) : tools.slice(-1),
    nextCursor: next(cursor),
  });
}

/** The same form with a list that changes at the restart, and with one that does not. */
export function bothLists(
  name: string,
  page: NonNullable<Form["page"]>,
): Form[] {
  const kind = "cursors";
  return [
    { kind, name: `${name}, same list`, page },
    { kind, name: `${name}, other list`, page, isChanged: true },
  ];
}

export const isInitialized = (message: Json): boolean =>
  message.method === "notifications/initialized";
const PAUSE_MS = 1_000;

export function progress(said: number[]): Pick<Form, "progress"> {
  return { progress: { said, heard: said, pauseMs: PAUSE_MS } };
}

/** Writes every message of a text on a line of its own, indented. */
export function pretty(it: string): string {
  return JSON.stringify(JSON.parse(it), null, 2);
}

/**
 * Messages whose escaped keys the runtime's parser confuses, because of a text
 * in front of each: it has another key in their place, of the same length,
 * which the escaped spelling begins with.
 */
export function poisoned(
  around: (poison: string) => string,
): Required<Pick<Form, "frames">> {
  const key = /"(\\u00[0-9a-f]{2}\w*)":/;
  return {
    frames: (texts, messages) =>
      texts.flatMap((it, i) => {
        const isFirst = messages[i].result?.protocolVersion !== undefined;
        const spelled = key.exec(it)?.[1];
        if (isFirst || spelled === undefined) return [it];
        const other = spelled.slice(0, JSON.parse(`"${spelled}"`).length);
        const poison = it.replace(key, () => `${JSON.stringify(other)}:`);
        return [around(poison), it];
      }),
  };
}
