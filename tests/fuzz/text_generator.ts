/**
 * Generates texts that are messages, almost messages, or something else.
 *
 * @module
 */

import { seededRandom } from "../simulation/scheduler.ts";

const SPACES = [" ", "\n", "\t", "\r\n", "  ", " \n "];
const NUMBERS = [
  ...["0", "-0", "1", "7", "-1", "1.0", "1e3", "1.5", "1E+2", "1e-7", "2e1"],
  ...["1e999", "-1e999", "1e21", "0.1", "123456789012345678901234"],
  ...["12345678901234567890", "-12345678901234567890", "9007199254740993"],
  ...["12345678901234567890.0", "9007199254740991", "-0.0", "1e400"],
];
/** Parts of JSON strings, as they are written. */
const STRING_PARTS = [
  ...["a", "id", "x y", "0", "\\n", "\\\\", '\\"', "\\/", "{", "}", "[", "]"],
  ...[",", ":", "\u00e9", "\u{1f600}", "\\u0069d", "\\ud800", "\\ud83d\\ude00"],
  ...["\ud800", '\\"id\\":1', '}},{\\"x', "NaN", "\u2028", "\ufeff", "\\u0000"],
  ...[
    '\\"jsonrpc\\":\\"2.0\\"',
    "null",
    "//",
    "'",
    "\x7f",
    "Infinity",
    "\\u00",
  ],
];
/** Names of members, as they are written. */
const OTHER_NAMES = [
  ...["_meta", "session", "a", "b", "0", "", "x", "__proto__", "constructor"],
  ...["code", "message", "data", "isError", "content", "Id", "toString"],
  // These names can mislead the runtime's JSON parser.
  ...["\\\\u", "\\\\u0", "\\\\u00", "\\\\u006", "\\\\u0072", "\\\\u006a0"],
  ...["\\u00e9", "a\\/b", "\\\\", '\\"', "\\u005f\\u005fproto__", "\\u0061"],
];
const MESSAGE_NAMES = ["jsonrpc", "id", "method", "params", "result", "error"];
const METHODS = [
  ...['"tools/call"', '"x"', '"notifications/message"', '"initialized"', '""'],
  ...['"notifications/cancelled"', '"ping"', "5", "null", "{}", '"\\u0078"'],
];
const ERRORS = [
  '{"code":-1,"message":"no"}',
  '{"code":1,"message":"","data":{"n":1.0}}',
  ...['{"code":"-32601","message":"no"}', '{"code":"E_BUSY","detail":"no"}'],
  ...['{"code":0,"message":""}', '{"code":1.5,"data":1.0,"error":"no"}'],
  ...['"no"', '""', "null", "false", "true", "0", "1", "{}", "[]", '["no"]'],
  ...["[null]", '{"a":{}}', '{"a":{"b":0}}', '{"message":"no","code":null}'],
  ...['{"data":null}', '{"code":9007199254740993,"message":"no","data":[]}'],
  ...['{"code":"1e3","reason":"no"}', '{"code":-0,"message":"no"}'],
];
/** What mutations insert. */
const INSERTED = [
  ...["{", "}", "[", "]", ",", ":", '"', "\\", "0", "-", ".", "e", " ", "x"],
  ...["NaN", "Infinity", "-Infinity", "null", "/* c */", "// c\n", "'", "#"],
  ...["\0", "\x01", "\t", "\n", "\r", "\x1e", "\x1f", "\ufeff", "\u00a0"],
  ...["\ud800", "\udc00", "\u{1f600}", "\\u", "\\u00", '"id":5,', ',"id":6'],
  ...[',"result":{}', '"error":null,', '"x":null,', '}{"id":1', "},{", "}}"],
  ...[',"error":{"code":2,"message":"two"}', "undefined", "None", "True"],
];
const LOG_LINES = [
  ...["starting", "INFO done", "5", '"text"', "[]", "[1]", "Content-Length: 9"],
  ...['{"level":"info","id":1}', '{"level":"error","id":2,"error":"no"}'],
  ...["{ port: 8080 }", "{starting", '{"id":3,"result":{', "null", "]", "}"],
];

/** Writes the text that belongs to a seed. */
class TextWriter {
  readonly #random: () => number;
  /** The share of spaces, repeated names and escapes in this text. */
  readonly #spaces: number;
  readonly #repeats: number;
  readonly #escapes: number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#spaces = this.#pick([0, 0, 0.03, 0.3]);
    this.#repeats = this.#pick([0, 0, 0, 0.15]);
    this.#escapes = this.#pick([0, 0, 0, 0.1, 0.3]);
  }

  writeText(): string {
    let text = this.#writeWhole();
    if (this.#chance(0.3)) {
      const count = this.#below(3) + 1;
      for (let i = 0; i < count; i++) text = this.#mutate(text);
    }
    return text;
  }

  #writeWhole(): string {
    const choice = this.#random();
    if (choice < 0.4) return this.#around(this.#writeMessage());
    if (choice < 0.7) return this.#around(this.#writeLargeResponse());
    if (choice < 0.78) return this.#around(this.#writeBatch());
    if (choice < 0.8) return this.#around(this.#writeValue(3));
    return this.#writeFrame();
  }

  /** Puts something around a text that some peers put there. */
  #around(text: string): string {
    if (this.#chance(0.9)) return this.#space() + text + this.#space();
    return this.#pick(["\ufeff", "\0", "\x1e", "\n", "", " "]) + text +
      this.#pick(["\0", "\n", "\r\n", "\x1e", "", "\ufeff"]);
  }

  /** Writes several messages, lines of a log, and separators. */
  #writeFrame(): string {
    const count = this.#below(4) + 1;
    const logs = this.#pick([0, 0.3, 0.6]);
    let text = "";
    for (let i = 0; i < count; i++) {
      text += this.#chance(logs)
        ? this.#pick(LOG_LINES)
        : this.#chance(0.5)
        ? this.#writeMessage()
        : this.#writeLargeResponse();
      text += this.#chance(0.7)
        ? this.#pick(["\n", "\r\n", "\x1e", "\0", "\n\ufeff", "\n\n"])
        : this.#pick(["", "", " ", ",", ";", " and "]);
    }
    return text;
  }

  #writeBatch(): string {
    const elements: string[] = [];
    const count = this.#below(4);
    for (let i = 0; i < count; i++) {
      elements.push(
        this.#chance(0.85) ? this.#writeMessage() : this.#writeValue(2),
      );
    }
    return this.#join("[", elements, "]");
  }

  #writeMessage(): string {
    const kind = this.#below(10) - 2;
    const members: [string, string][] = [];
    const add = (share: number, name: string, write: () => string): void => {
      if (this.#chance(share)) members.push([name, write()]);
    };
    const isCall = kind < 3;
    const isMixed = kind === 7;
    add(0.97, "jsonrpc", () => this.#writeVersion());
    add(kind < 0 ? 0.05 : 0.95, "id", () => this.#writeId());
    add(isCall ? 1 : isMixed ? 0.5 : 0.03, "method", () => {
      return this.#pick(METHODS);
    });
    add(isCall ? 0.8 : isMixed ? 0.4 : 0.03, "params", () => {
      return this.#writeBody();
    });
    const isResult = !isCall && kind < 5;
    add(isResult ? 1 : isMixed ? 0.5 : 0.04, "result", () => {
      return this.#writeBody();
    });
    add(
      !isCall && kind < 7 && !isResult ? 1 : isMixed ? 0.5 : 0.04,
      "error",
      () => {
        return this.#chance(0.9) ? this.#pick(ERRORS) : this.#writeValue(2);
      },
    );
    add(0.1, this.#pick(OTHER_NAMES), () => this.#writeValue(2));
    if (this.#chance(this.#repeats * 4)) {
      const [name, value] = this.#pick(
        members.length > 0 ? members : [["x", "1"]],
      );
      members.push([name, this.#chance(0.5) ? value : this.#writeValue(2)]);
    }
    if (this.#chance(0.3)) this.#shuffle(members);
    return this.#writeMembers(members);
  }

  /** Writes a response in the form of which the result may be read later. */
  #writeLargeResponse(): string {
    const start: [string, string][] = [];
    const end: [string, string][] = [];
    const version = this.#chance(0.9) ? '"2.0"' : this.#writeVersion();
    (this.#chance(0.7) ? start : end).push(["jsonrpc", version]);
    (this.#chance(0.5) ? start : end).push(["id", this.#writeId()]);
    if (this.#chance(0.1)) this.#shuffle(start);
    if (this.#chance(this.#repeats)) end.push(["id", this.#writeId()]);
    while (this.#chance(0.25)) {
      const name = this.#chance(0.6)
        ? this.#pick(MESSAGE_NAMES)
        : this.#pick(OTHER_NAMES);
      const value = this.#chance(0.3) ? this.#pick(ERRORS) : this.#writeBody();
      end.splice(this.#below(end.length + 1), 0, [name, value]);
    }
    const body = this.#chance(0.9) ? this.#writeObject(3) : this.#writeBody();
    return this.#writeMembers([...start, ["result", body], ...end]);
  }

  #writeVersion(): string {
    return this.#chance(0.93) ? '"2.0"' : this.#pick([
      '"1.0"',
      "2",
      "2.0",
      "null",
      '"2.\\u0030"',
      '"2.0 "',
      "{}",
    ]);
  }

  #writeId(): string {
    const choice = this.#random();
    if (choice < 0.5) return `${this.#below(30)}`;
    if (choice < 0.65) return this.#pick(NUMBERS);
    if (choice < 0.75) return this.#pick(["null", "true", "{}", "[1]", "[]"]);
    return this.#pick(['"a"', '"0"', '""', '"\\u00e9"', this.#writeString()]);
  }

  /** Writes params or a result. */
  #writeBody(): string {
    return this.#chance(0.75)
      ? this.#writeObject(3)
      : this.#pick(["null", "[]", "{}", "[ ]", "[1]", this.#writeValue(2)]);
  }

  #writeValue(depth: number): string {
    const choice = this.#random();
    if (depth > 0 && choice < 0.25) return this.#writeObject(depth);
    if (depth > 0 && choice < 0.4) {
      const elements: string[] = [];
      const count = this.#below(4);
      for (let i = 0; i < count; i++) {
        elements.push(this.#writeValue(depth - 1));
      }
      return this.#join("[", elements, "]");
    }
    if (choice < 0.6) return this.#writeString();
    if (choice < 0.8) return this.#pick(NUMBERS);
    return this.#pick(["null", "null", "true", "false"]);
  }

  #writeObject(depth: number): string {
    const members: [string, string][] = [];
    const count = this.#below(4);
    for (let i = 0; i < count; i++) {
      const name = this.#chance(0.3)
        ? this.#pick(MESSAGE_NAMES)
        : this.#pick(OTHER_NAMES);
      members.push([name, this.#writeValue(depth - 1)]);
    }
    return this.#writeMembers(members);
  }

  #writeString(): string {
    let text = "";
    const count = this.#below(4);
    for (let i = 0; i < count; i++) text += this.#pick(STRING_PARTS);
    return `"${text}"`;
  }

  #writeMembers(members: readonly (readonly [string, string])[]): string {
    return this.#join(
      "{",
      members.map(([name, value]) =>
        `"${this.#spell(name)}"${this.#space()}:${this.#space()}${value}`
      ),
      "}",
    );
  }

  /** Writes some letters of a name as escapes. */
  #spell(name: string): string {
    if (this.#escapes === 0 || name.includes("\\")) return name;
    if (!this.#chance(this.#escapes)) return name;
    return name.replace(/./g, (char) => {
      if (this.#chance(0.6)) return char;
      const digits = char.charCodeAt(0).toString(16).padStart(4, "0");
      return `\\u${this.#chance(0.5) ? digits : digits.toUpperCase()}`;
    });
  }

  #join(open: string, parts: readonly string[], close: string): string {
    let text = open + this.#space();
    for (const [i, part] of parts.entries()) {
      if (i > 0) text += `,${this.#space()}`;
      text += part + this.#space();
    }
    return text + close;
  }

  /** Changes a text in one place. */
  #mutate(text: string): string {
    const at = this.#below(text.length + 1);
    const end = at + this.#below(3) + 1;
    switch (this.#below(9)) {
      case 0:
        return text.slice(0, at) + text.slice(end);
      case 1:
      case 2:
        return text.slice(0, at) + this.#pick(INSERTED) + text.slice(at);
      case 3:
        return text.slice(0, at) + this.#pick(INSERTED) + text.slice(end);
      case 4:
        return text.slice(0, at);
      case 5:
        return text.slice(at);
      case 6:
        return text + text.slice(at);
      case 7: {
        // Puts something where it is likely to matter.
        const places = [...text.matchAll(/[{}[\],:"]/g)];
        if (places.length === 0) return text;
        const { index } = this.#pick(places);
        const offset = index + this.#below(2);
        return text.slice(0, offset) + this.#pick(INSERTED) +
          text.slice(offset);
      }
      default: {
        // Moves a part of the text to another place.
        const from = this.#below(text.length + 1);
        const part = text.slice(from, from + this.#below(20));
        return text.slice(0, at) + part + text.slice(at);
      }
    }
  }

  #shuffle(items: unknown[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.#below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
  }

  #space(): string {
    return this.#spaces > 0 && this.#chance(this.#spaces)
      ? this.#pick(SPACES)
      : "";
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)]!;
  }
}

/** Returns the text that belongs to a seed. */
export function generateText(seed: number): string {
  return new TextWriter(seed).writeText();
}
