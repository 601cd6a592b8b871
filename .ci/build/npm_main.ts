/**
 * The main module of the npm package: `main.ts` with the package `ws`, which
 * must be set up first.
 *
 * @module
 */

import "./use_ws.ts";
import "../../main.ts";
