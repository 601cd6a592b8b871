/**
 * Handles ids and progress tokens that come back as the other JSON type: a
 * number as a string, or a numeric string as a number.
 *
 * @module
 */

import type { Id } from "./jsonrpc.ts";

type IdJsonType = "number" | "string";

function idTypeOf(id: Id): IdJsonType {
  return id.startsWith('"') ? "string" : "number";
}

/** Converts an id to the other JSON type, if it is an integer. */
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

  /** Records an id of the client, if it may be taken for a number. */
  observe(id: Id): void {
    if (toOtherIdType(id) === undefined) return;
    const type = idTypeOf(id);
    if (this.#type === undefined) this.#type = type;
    else if (this.#type !== type) this.#type = "both";
  }

  /** Guesses which client id the daemon meant, if all have the other type. */
  guessClientId(id: Id): Id | undefined {
    const isSingle = this.#type === "number" || this.#type === "string";
    return isSingle && this.#type !== idTypeOf(id)
      ? toOtherIdType(id)
      : undefined;
  }
}
