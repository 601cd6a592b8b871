/**
 * Simulates a file that another program holds open. It cannot be replaced.
 *
 * @module
 */

import { MemoryDisk } from "./memory_disk.ts";

/** The path of the file that the tests write. */
export const FILE = "/h/a.json";

/**
 * Returns a disk, and a host on which the first `tries` renames fail, because
 * another program holds the target open. `meanwhile` runs before each failure.
 */
export function diskWithOpenFile(
  os: string,
  tries: number,
  meanwhile: () => void = () => {},
): {
  readonly disk: MemoryDisk;
  readonly host: ReturnType<MemoryDisk["host"]>;
} {
  const disk = new MemoryDisk();
  const host = disk.host({ os });
  const rename = host.rename;
  const getEnv = (): string => "/h";
  return {
    disk,
    host: {
      ...host,
      getEnv,
      rename: (from, to) => {
        if (tries-- > 0) {
          meanwhile();
          throw new Error("EPERM: operation not permitted");
        }
        rename(from, to);
      },
    },
  };
}
