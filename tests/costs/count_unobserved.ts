/**
 * Prints what telemetry costs a proxy that nobody observes, as JSON.
 * `measure.ts` starts this file as a process.
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import { unobservedCosts } from "./proxy_costs.ts";

print(JSON.stringify(await unobservedCosts()));
