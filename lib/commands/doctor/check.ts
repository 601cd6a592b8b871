/**
 * One check of `alwaysup doctor`.
 *
 * @module
 */

/** The result of one check. */
export interface Check {
  /** What was checked. */
  readonly name: string;
  /** `warn` needs attention; `skip` was not checked. */
  readonly state: "ok" | "warn" | "fail" | "skip";
  /** What was found. */
  readonly text: string;
  /** What to do, if anything. */
  readonly advice?: string;
  /** What was found, for programs (`--json`). */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** What to do where nothing listens. */
export const START_ADVICE =
  "start the daemon; in Docker, publish its port (-p 8079:8079)";
/** What to do where only the daemon knows more. */
export const READ_LOG_ADVICE = "look at the daemon's own log";
