/**
 * A file that another program holds open, so that it cannot be replaced.
 *
 * @module
 */

import { MemoryDisk } from "./memory_disk.ts";

/** A file on the disk. */
export const FILE = "/h/a.json";

/**
 * A disk on which another program holds a file open, so that so many attempts
 * to replace it fail.
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
