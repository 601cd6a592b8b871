/**
 * Ids and progress tokens that come back as the other JSON type: some daemons
 * make a text of every number, or a number of every text that is one.
 *
 * @module
 */

import type { Id } from "./jsonrpc.ts";

/** The JSON types that an id can have. */
type IdJsonType = "number" | "string";

function idTypeOf(id: Id): IdJsonType {
  return id.startsWith('"') ? "string" : "number";
}

/** The same id as the other JSON type; `undefined` for a text that is no whole number. */
export function toOtherIdType(id: Id): Id | undefined {
  if (idTypeOf(id) === "number") return JSON.stringify(id);
  const text = JSON.parse(id) as string;
  if (/^-?(?:0|[1-9]\d*)$/.test(text)) return text;
  // Go and Python write a double so: 1.073741824e+09, 5.0.
  const isNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]\+?\d+)?$/.test(text);
  const number = isNumber ? Number(text) : NaN;
  return Number.isSafeInteger(number) ? `${number}` : undefined;
}

/** The type that the ids of a client have, if it is one. */
export class ObservedIdTypes {
  #type: IdJsonType | "both" | undefined;

  /** Whether some are numbers and some are texts. */
  get isMixed(): boolean {
    return this.#type === "both";
  }

  /** The client has used an id; a text that no number can be mistaken for says nothing. */
  observe(id: Id): void {
    if (toOtherIdType(id) === undefined) return;
    const type = idTypeOf(id);
    if (this.#type === undefined) this.#type = type;
    else if (this.#type !== type) this.#type = "both";
  }

  /**
   * Which of the client's ids the daemon may have meant by an id, apart from
   * that itself: the same as the other type, if all of the client's have that.
   */
  guessClientId(id: Id): Id | undefined {
    const isSingle = this.#type === "number" || this.#type === "string";
    return isSingle && this.#type !== idTypeOf(id)
      ? toOtherIdType(id)
      : undefined;
  }
}
