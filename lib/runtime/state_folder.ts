/**
 * The folder for this program's files.
 *
 * @module
 */

import type { Host } from "./host.ts";

/**
 * Returns the folder for the program's files; `undefined` where the user has
 * none.
 */
export function stateFolder(host: Host): string | undefined {
  const folder = userStateFolder(host);
  return folder && `${folder}/alwaysup`;
}

/** XDG on Linux, the usual places elsewhere. */
function userStateFolder({ os, getEnv }: Host): string | undefined {
  const home = getEnv("HOME");
  switch (os) {
    case "windows":
      return getEnv("LOCALAPPDATA") ?? localAppDataIn(getEnv("USERPROFILE"));
    case "darwin":
      return home && `${home}/Library/Application Support`;
    default: {
      const state = getEnv("XDG_STATE_HOME");
      // A relative path must be ignored (XDG Base Directory Specification).
      if (state?.startsWith("/")) return state;
      return home && `${home}/.local/state`;
    }
  }
}

/** The usual place: some clients pass on only `USERPROFILE`. */
function localAppDataIn(profile: string | undefined): string | undefined {
  return profile && `${profile}\\AppData\\Local`;
}
