/**
 * Handles ids and progress tokens that a daemon returns as the other JSON type:
 * a number as a string, or a numeric string as a number.
 *
 * @module
 */

import type { Id } from "./jsonrpc.ts";

type IdJsonType = "number" | "string";

function idTypeOf(id: Id): IdJsonType {
  return id.startsWith('"') ? "string" : "number";
}

/**
 * Converts an id to the other JSON type. Returns `undefined` for a string whose
 * text is not an integer.
 */
export function toOtherIdType(id: Id): Id | undefined {
  // The digits of a number need no escapes.
  if (idTypeOf(id) === "number") return `"${id}"`;
  const text = JSON.parse(id) as string;
  if (/^-?(?:0|[1-9]\d*)$/.test(text)) return text;
  // Go and Python write doubles such as 1.073741824e+09 and 5.0.
  const isNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]\+?\d+)?$/.test(text);
  const number = isNumber ? Number(text) : NaN;
  return Number.isSafeInteger(number) ? `${number}` : undefined;
}

/** The JSON types that a client uses for its ids. */
export class ObservedIdTypes {
  #type: IdJsonType | "both" | undefined;

  /** True once the client has used both numbers and numeric strings. */
  get isMixed(): boolean {
    return this.#type === "both";
  }

  /** Records the type of a client's id. Ignores a string that is no integer. */
  observe(id: Id): void {
    const type = idTypeOf(id);
    if (this.#type === type || this.#type === "both") return;
    if (toOtherIdType(id) === undefined) return;
    this.#type = this.#type === undefined ? type : "both";
  }

  /** Returns the id as the other type, if all of the client's ids have it. */
  guessClientId(id: Id): Id | undefined {
    const isSingle = this.#type === "number" || this.#type === "string";
    return isSingle && this.#type !== idTypeOf(id)
      ? toOtherIdType(id)
      : undefined;
  }
}
