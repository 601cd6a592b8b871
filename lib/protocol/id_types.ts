/**
 * Ids and progress tokens that come back as the other JSON type: some daemons
 * make a text of every number, or a number of every text that is one.
 *
 * @module
 */

import type { Id } from "./jsonrpc.ts";

/** The JSON types that an id can have. */
type IdType = "number" | "text";

function typeOf(id: Id): IdType {
  return id.startsWith('"') ? "text" : "number";
}

/** The same id as the other JSON type; `undefined` for a text that is no whole number. */
export function otherType(id: Id): Id | undefined {
  if (typeOf(id) === "number") return JSON.stringify(id);
  const text = JSON.parse(id) as string;
  if (/^-?(?:0|[1-9]\d*)$/.test(text)) return text;
  // Go and Python write a double so: 1.073741824e+09, 5.0.
  const isNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]\+?\d+)?$/.test(text);
  const number = isNumber ? Number(text) : NaN;
  return Number.isSafeInteger(number) ? `${number}` : undefined;
}

/** The type that the ids of a client have, if it is one. */
export class IdTypes {
  #type: IdType | "both" | undefined;

  /** Whether some are numbers and some are texts. */
  get isMixed(): boolean {
    return this.#type === "both";
  }

  /** The client has used an id; a text that no number can be mistaken for says nothing. */
  note(id: Id): void {
    if (otherType(id) === undefined) return;
    const type = typeOf(id);
    if (this.#type === undefined) this.#type = type;
    else if (this.#type !== type) this.#type = "both";
  }

  /**
   * Which of the client's ids the daemon may have meant by an id, apart from
   * that itself: the same as the other type, if all of the client's have that.
   */
  meant(id: Id): Id | undefined {
    const isSingle = this.#type === "number" || this.#type === "text";
    return isSingle && this.#type !== typeOf(id) ? otherType(id) : undefined;
  }
}
