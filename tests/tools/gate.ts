/**
 * A file that does not exist yet. A daemon holds a call until the test creates
 * it, so that no test depends on how fast a machine is.
 *
 * @module
 */

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

/** The daemon's side: waits until the file exists. */
export async function opened(path: string): Promise<void> {
  const isOpen = (): Promise<boolean> =>
    Deno.stat(path).then(() => true, () => false);
  // The watch begins before the look, so that nothing falls between them.
  using watcher = Deno.watchFs(path.replace(/[^/\\]*$/, ""));
  if (await isOpen()) return;
  for await (const _ of watcher) {
    if (await isOpen()) return;
  }
}
