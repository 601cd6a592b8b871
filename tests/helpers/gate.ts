/**
 * A gate is a file that does not exist yet. A daemon delays its response until
 * the test creates the file, so no test depends on the speed of a machine.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";

/** The gate in the test's process. */
export class Gate implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "gate-" });
  /** The path to pass to the daemon in the arguments of a call. */
  readonly path = `${this.#folder}/open`;

  /** Creates the file, which releases every call that waits for it. */
  open(): void {
    Deno.writeTextFileSync(this.path, "");
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** Waits in the daemon until the file exists. Throws if its folder does not. */
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
