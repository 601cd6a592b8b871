/**
 * Applies deliberate bugs to the source.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { compile, findAll, replaceMatch, tokenizeText } from "./pattern.ts";

/** A deliberate bug that the tests must find. */
export interface Mutant {
  /** A plain description of the bug. */
  readonly name: string;
  /**
   * The original code, as a pattern that matches in exactly one place.
   * `pattern.ts` describes the notation.
   */
  readonly from: string;
  /** The replacement, in which the wildcards of the pattern are filled in. */
  readonly to: string;
}

/** A source file, with or without a bug. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A mutant that was applied to its file. */
export interface MutatedFile {
  readonly name: string;
  /** The file, with the bug in it. */
  readonly file: SourceFile;
}

/** The result of applying a list of mutants. */
export interface FitResult {
  /** One changed file for each mutant that matches exactly once. */
  readonly mutated: readonly MutatedFile[];
  /** One line for each other mutant. */
  readonly problems: readonly string[];
}

/** Applies each mutant to its own copy of the source. */
export function fitMutants(
  mutants: readonly Mutant[],
  sources: readonly SourceFile[],
): FitResult {
  const files = sources.map(({ path, text }) => ({
    path,
    ...tokenizeText(text),
  }));
  const mutated: MutatedFile[] = [];
  const problems: string[] = [];
  for (const { name, from, to } of mutants) {
    try {
      const pattern = compile(from);
      const places = files.flatMap((file) =>
        findAll(pattern, file).map((match) => ({ ...file, match }))
      );
      const [place] = places;
      if (places.length !== 1 || place === undefined) {
        const where = places.map(({ path, text, match }) =>
          ` ${path}:${text.slice(0, match.start).split("\n").length}`
        );
        problems.push(`${name}: fits ${places.length} times${where}`);
        continue;
      }
      const text = replaceMatch(place.text, place.match, to.trim());
      mutated.push({ name, file: { path: place.path, text } });
    } catch (error) {
      problems.push(
        `${name}: ${errorMessageOf(error)}`,
      );
    }
  }
  return { mutated, problems };
}
