/**
 * Makes paths absolute, so that they do not depend on the current folder.
 *
 * @module
 */

/** The names of Windows devices, which exist in every folder. */
const WINDOWS_DEVICE_NAME = /^(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)$/i;
/** The root of a Windows path: a drive, or a share of a server. */
const WINDOWS_ROOT = /^([a-z]:|[/\\]{2}[^/\\]+[/\\][^/\\]+)/i;

/** Returns true if a path is absolute. On Windows, `\a` and `C:a` are not. */
export function isAbsolutePath(os: string, path: string): boolean {
  if (os !== "windows") return path.startsWith("/");
  return /^([a-z]:[/\\]|[/\\]{2})/i.test(path) ||
    WINDOWS_DEVICE_NAME.test(path);
}

/**
 * Makes a path absolute. `resolveFolder` must return the absolute path of a
 * folder: of `.`, and on Windows also of `C:.`, the current folder of drive C.
 */
export function toAbsolutePath(
  os: string,
  path: string,
  resolveFolder: (folder: string) => string,
): string {
  if (isAbsolutePath(os, path)) return path;
  const separator = os === "windows" ? "\\" : "/";
  const join = (folder: string, name: string): string => {
    const rest = name.replace(/^(\.[/\\])+/, "");
    if (rest === "") return folder;
    const isRoot = /[/\\]$/.test(folder);
    return `${folder}${isRoot ? "" : separator}${rest}`;
  };
  if (os !== "windows") return join(resolveFolder("."), path);
  const [, drive, name] = /^([a-z]:)(.*)$/is.exec(path) ?? [];
  if (drive !== undefined) return join(resolveFolder(`${drive}.`), name!);
  if (!/^[/\\]/.test(path)) return join(resolveFolder("."), path);
  return (WINDOWS_ROOT.exec(resolveFolder("."))?.[0] ?? "") + path;
}

/** Returns a path up to its last separator; an empty text if it has none. */
export function parentFolderOf(path: string): string {
  return path.replace(/[^/\\]*$/, "");
}
