/**
 * The protocol versions that begin with `initialize`.
 *
 * @module
 */

import {
  LATEST_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from "@modelcontextprotocol/sdk/types.js";
import {
  negotiateVersion,
  usesInitialize,
} from "../../../lib/protocol/versions.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Versions: those that the MCP SDK initializes with, and no others", () => {
  for (const version of SUPPORTED_PROTOCOL_VERSIONS) {
    assertEquals([usesInitialize(version), negotiateVersion(version)], [
      true,
      version,
    ]);
  }
  for (const version of ["2026-07-28", "2099-01-01", "", undefined, 5]) {
    assertEquals(usesInitialize(version), false, `${version}`);
  }
});

test("Versions: an unknown one is answered with the latest", () => {
  for (const version of ["2099-01-01", "", undefined, 5]) {
    assertEquals(negotiateVersion(version), LATEST_PROTOCOL_VERSION);
  }
});
