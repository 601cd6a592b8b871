/**
 * Prints the counts of session and proxy as JSON. `measure.ts` starts this file
 * as a process with its own V8 flags.
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import { proxyCosts } from "./proxy_costs.ts";
import { sessionCosts } from "./session_costs.ts";

print(JSON.stringify({ ...await sessionCosts(), ...await proxyCosts() }));
