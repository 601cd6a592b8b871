/**
 * The folder in which this program keeps its files.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** The folder in which the program keeps what it knows; `undefined` where the user has none. */
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
      // A relative one is to be ignored (XDG Base Directory Specification).
      if (state?.startsWith("/")) return state;
      return home && `${home}/.local/state`;
    }
  }
}

/** Where it usually is: some clients pass on only the user's folder. */
function localAppDataIn(profile: string | undefined): string | undefined {
  return profile && `${profile}\\AppData\\Local`;
}
