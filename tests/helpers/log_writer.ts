/**
 * Writes numbered lines to a log file with small limits. Tests start it as
 * several processes.
 *
 *     deno run -A log_writer.ts PATH COUNT MAX_BYTES MAX_OLD_FILES
 *
 * @module
 */

import { detectHost } from "../../lib/runtime/detect.ts";
import { LogFile } from "../../lib/proxy/log_file.ts";
import { print } from "./print.ts";

const [path, ...numbers] = Deno.args;
const [count, maxBytes, maxOldFiles] = numbers.map(Number) as [
  number,
  number,
  number,
];
const host = await detectHost();
const file = new LogFile(host, path!, print, { maxBytes, maxOldFiles });
for (let i = 1; i <= count; i++) {
  file.write(`${host.pid} ${i} ${"x".repeat(i % 50)}`);
  // Waits for the disk. Otherwise, all lines would be written together.
  if (i % 10 === 0) await file.close();
}
await file.close();
