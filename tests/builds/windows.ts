/**
 * Tests the Windows executable: natively on Windows, under Wine on x64 Linux.
 *
 *     deno task windows
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import { Windows, windowsSkipReason } from "./windows_executable.ts";

const skipReason = await windowsSkipReason();
if (skipReason === undefined) {
  const windows = await Windows.start();
  Deno.test.afterAll(() => windows[Symbol.asyncDispose]());
  const { registerStartTests } = await import("./windows/starts.ts");
  const { registerOutageTests } = await import("./windows/outages.ts");
  const { registerFileTests } = await import("./windows/files.ts");
  const { registerTrafficTests } = await import("./windows/traffic.ts");
  registerStartTests(windows);
  registerOutageTests(windows);
  registerFileTests(windows);
  registerTrafficTests(windows);
} else {
  print(`Skipped: ${skipReason}.`);
}
