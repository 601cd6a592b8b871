/**
 * A file that does not exist yet. A daemon delays its response until the test
 * creates it, so that no test depends on the speed of a machine.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";

/** The test's side. */
export class Gate implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "gate-" });
  /** The path that a call is to wait for. */
  readonly path = `${this.#folder}/open`;

  /** Releases every call that waits for it. */
  open(): void {
    Deno.writeTextFileSync(this.path, "");
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** The daemon's side: waits until the file exists. Throws if its folder is gone. */
export async function waitUntilOpen(path: string): Promise<void> {
  const exists = (): boolean => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  };
  await waitForFileChange(path.replace(/[^/\\]*$/, ""), exists);
}
