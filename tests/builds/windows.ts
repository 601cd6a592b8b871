/**
 * The Windows executable at work: on Windows as it is, on x64 Linux under Wine.
 *
 *     deno task windows
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import { whyNoWindows, Windows } from "./windows_executable.ts";

const why = await whyNoWindows();
if (why === undefined) {
  const windows = await Windows.start();
  Deno.test.afterAll(() => windows[Symbol.asyncDispose]());
  const { starts } = await import("./windows/starts.ts");
  const { outages } = await import("./windows/outages.ts");
  const { files } = await import("./windows/files.ts");
  const { traffic } = await import("./windows/traffic.ts");
  starts(windows);
  outages(windows);
  files(windows);
  traffic(windows);
} else {
  print(`Skipped: ${why}.`);
}
