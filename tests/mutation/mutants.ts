/**
 * The deliberate bugs that the tests must find. They guard the delivery
 * contract: each breaks a promise that the README makes.
 *
 * A mutant outlives new names and new formats (`pattern.ts`), so a pattern says
 * as a `$word` whatever we have named, and literally only what JavaScript, a
 * protocol or a setting has.
 *
 * @module
 */

import { DIALECTS } from "./dialects.ts";
import type { Mutant } from "./fit.ts";
import { LINK } from "./link.ts";
import { REQUESTS } from "./requests.ts";
import { SESSION } from "./session.ts";

export const MUTANTS: readonly Mutant[] = [
  ...REQUESTS,
  ...LINK,
  ...SESSION,
  ...DIALECTS,
];
