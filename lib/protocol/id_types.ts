/**
 * Handles ids and progress tokens that come back as the other JSON type: some
 * daemons turn every number into a string, or every numeric string into a
 * number.
 *
 * @module
 */

import type { Id } from "./jsonrpc.ts";

/** The JSON types that an id can have. */
type IdJsonType = "number" | "string";

function idTypeOf(id: Id): IdJsonType {
  return id.startsWith('"') ? "string" : "number";
}

/**
 * Converts an id to the other JSON type; `undefined` for a string that is not
 * an integer.
 */
export function toOtherIdType(id: Id): Id | undefined {
  if (idTypeOf(id) === "number") return JSON.stringify(id);
  const text = JSON.parse(id) as string;
  if (/^-?(?:0|[1-9]\d*)$/.test(text)) return text;
  // Go and Python write a double like this: 1.073741824e+09, 5.0.
  const isNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]\+?\d+)?$/.test(text);
  const number = isNumber ? Number(text) : NaN;
  return Number.isSafeInteger(number) ? `${number}` : undefined;
}

/** The JSON type of a client's ids, if all have the same. */
export class ObservedIdTypes {
  #type: IdJsonType | "both" | undefined;

  /** Whether some ids are numbers and some are strings. */
  get isMixed(): boolean {
    return this.#type === "both";
  }

  /**
   * Records an id of the client; a string that cannot be confused with a number
   * is ignored.
   */
  observe(id: Id): void {
    if (toOtherIdType(id) === undefined) return;
    const type = idTypeOf(id);
    if (this.#type === undefined) this.#type = type;
    else if (this.#type !== type) this.#type = "both";
  }

  /**
   * Guesses which of the client's ids the daemon meant, if not the id itself:
   * the same as the other type, if all of the client's ids have that type.
   */
  guessClientId(id: Id): Id | undefined {
    const isSingle = this.#type === "number" || this.#type === "string";
    return isSingle && this.#type !== idTypeOf(id)
      ? toOtherIdType(id)
      : undefined;
  }
}
