/**
 * Makes the program use the package `ws` under Node.
 *
 * @module
 */

import { useWsPackage } from "../../lib/runtime/ws_socket.ts";
import loadWs from "./ws.cjs";

useWsPackage(loadWs);
