/**
 * A file that does not exist yet. A daemon delays its answer until the test
 * creates it, so that no test depends on how fast a machine is.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";

/** The test's side. */
export class Gate implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "gate-" });
  /** What a call is told to wait for. */
  readonly path = `${this.#folder}/open`;

  /** Lets every call go on that waits for it. */
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
