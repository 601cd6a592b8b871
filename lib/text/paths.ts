/**
 * Paths that mean the same in whichever folder a program is started.
 *
 * @module
 */

/** What Windows has for files that are none; they are in every folder. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)$/i;
/** A drive, or a share of a server. */
const ROOT = /^([a-z]:|[/\\]{2}[^/\\]+[/\\][^/\\]+)/i;

/** Whether a path is the same in every folder; on Windows `\a` and `C:a` are not. */
export function isWhole(os: string, path: string): boolean {
  if (os !== "windows") return path.startsWith("/");
  return /^([a-z]:[/\\]|[/\\]{2})/i.test(path) || DEVICE.test(path);
}

/**
 * The same path, whole.
 *
 * @param real gives the whole path of a folder: of `.`, or of `C:.`, which is the current one of that drive
 */
export function whole(
  os: string,
  path: string,
  real: (folder: string) => string,
): string {
  if (isWhole(os, path)) return path;
  const separator = os === "windows" ? "\\" : "/";
  const below = (folder: string, name: string): string => {
    const rest = name.replace(/^(\.[/\\])+/, "");
    if (rest === "") return folder;
    const isRoot = /[/\\]$/.test(folder);
    return `${folder}${isRoot ? "" : separator}${rest}`;
  };
  if (os !== "windows") return below(real("."), path);
  const [, drive, name] = /^([a-z]:)(.*)$/is.exec(path) ?? [];
  if (drive !== undefined) return below(real(`${drive}.`), name!);
  if (!/^[/\\]/.test(path)) return below(real("."), path);
  return (ROOT.exec(real("."))?.[0] ?? "") + path;
}

/** The folder of a path, with what ends it; empty where none is named. */
export function folderOf(path: string): string {
  return path.replace(/[^/\\]*$/, "");
}
