/**
 * The deliberate bugs that the tests must find. Each one breaks a promise of
 * the README, so the mutants guard the delivery contract.
 *
 * A mutant still fits after renames and new formatting (`pattern.ts`). Write
 * our own names as `$words`. Write a name literally only if JavaScript, a
 * protocol or a setting defines it.
 *
 * @module
 */

import { DIALECTS } from "./dialects.ts";
import { ENV } from "./env.ts";
import { FILES } from "./files.ts";
import type { Mutant } from "./fit.ts";
import { FORMS } from "./forms.ts";
import { LINK } from "./link.ts";
import { REQUESTS } from "./requests.ts";
import { SESSION } from "./session.ts";
import { TELEMETRY } from "./telemetry.ts";

export const MUTANTS: readonly Mutant[] = [
  ...REQUESTS,
  ...LINK,
  ...SESSION,
  ...DIALECTS,
  ...FORMS,
  ...FILES,
  ...ENV,
  ...TELEMETRY,
];
