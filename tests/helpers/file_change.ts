/**
 * Waits until a condition that depends on a file or folder is true. Throws if
 * the file or folder does not exist.
 */
export async function waitForFileChange(
  path: string,
  holds: () => boolean,
): Promise<void> {
  // The watch begins before the first check, so that no change is missed.
  using watcher = Deno.watchFs(path);
  if (holds()) return;
  for await (const _ of watcher) {
    if (holds()) return;
  }
  throw new Error(`The watch of ${path} has ended`);
}
