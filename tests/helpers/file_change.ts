/** Waits until a condition holds, which may change when a file or folder does. Throws if that does not exist. */
export async function waitForFileChange(
  path: string,
  holds: () => boolean,
): Promise<void> {
  // The watch begins before the look, so that nothing falls between them.
  using watcher = Deno.watchFs(path);
  if (holds()) return;
  for await (const _ of watcher) {
    if (holds()) return;
  }
  throw new Error(`Nobody watches ${path} any more`);
}
