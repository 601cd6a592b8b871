/**
 * Holds a file open, as a virus scanner or an editor may do. Other programs can
 * read the file, but cannot replace it.
 *
 *     bun hold.ts FILE [MILLISECONDS]
 *
 * Without a time, it holds the file until stdin ends.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";

const READ = 0x80000000;
const SHARE_READ = 1;
const OPEN_EXISTING = 3;
const NORMAL = 0x80;

/** Opens a file with CreateFileW, because no runtime can open it this way. */
async function open(path: string): Promise<number> {
  const name = Buffer.from(`${path}\0`, "utf16le");
  const how = [READ, SHARE_READ, null, OPEN_EXISTING, NORMAL, null] as const;
  const system = "kernel32.dll";
  if ("Deno" in globalThis) {
    const { symbols } = Deno.dlopen(system, {
      CreateFileW: {
        parameters: [
          ...["buffer", "u32", "u32", "pointer"] as const,
          ...["u32", "u32", "pointer"] as const,
        ],
        result: "isize",
      },
    });
    return Number(symbols.CreateFileW(name, ...how));
  }
  const ffi = "bun:ffi";
  const { dlopen } = await import(ffi);
  const args = ["ptr", "u32", "u32", "ptr", "u32", "u32", "ptr"];
  const { symbols } = dlopen(system, {
    CreateFileW: { args, returns: "i64" },
  });
  return Number(symbols.CreateFileW(name, ...how));
}

const [path, ms] = process.argv.slice(2);
if (path === undefined || await open(path) <= 0) {
  throw new Error(`${path} cannot be opened`);
}
process.stdout.write("held\n");
if (ms !== undefined) setTimeout(() => process.exit(0), Number(ms));
process.stdin.on("end", () => process.exit(0)).resume();
