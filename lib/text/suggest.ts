/**
 * Finds the word that a user may have meant.
 *
 * @module
 */

import { levenshteinDistance } from "npm:/deno-std@1.3.4/text/levenshtein_distance.js";

// The package has no types.
const distanceOf: (a: string, b: string) => number = levenshteinDistance;

/**
 * Returns the candidate nearest to a word; `undefined` if none is near.
 *
 * A candidate is near if at most a third of the word's characters differ, or if
 * it has the same characters in another order. The dashes of flags do not
 * count.
 */
export function suggest(
  word: string,
  candidates: readonly string[],
): string | undefined {
  const name = withoutDashes(word.toLowerCase());
  const maxDistance = Math.floor(name.length / 3);
  let nearest: string | undefined;
  let leastDistance = Infinity;
  for (const candidate of candidates) {
    const known = withoutDashes(candidate);
    const distance = distanceOf(name, known);
    const isNear = distance <= maxDistance ||
      sortedCharsOf(name) === sortedCharsOf(known);
    if (!isNear || distance >= leastDistance) continue;
    nearest = candidate;
    leastDistance = distance;
  }
  return nearest;
}

function sortedCharsOf(text: string): string {
  return [...text].sort().join("");
}

function withoutDashes(flag: string): string {
  return flag.replace(/^-+/, "");
}

/** Returns `did you mean X?`; `undefined` if no candidate is near. */
export function didYouMean(
  word: string,
  candidates: readonly string[],
): string | undefined {
  const nearest = suggest(word, candidates);
  return nearest === undefined ? undefined : `did you mean ${nearest}?`;
}

/**
 * Completes the message about an unknown word: it names the nearest candidate,
 * or all candidates if none is near. It does not repeat the word, which may be
 * a secret.
 *
 * @param plural the noun for all candidates
 */
export function describeChoices(
  word: string,
  plural: string,
  candidates: readonly string[],
): string {
  return didYouMean(word, candidates) ??
    `the ${plural} are ${candidates.join(", ")}`;
}
