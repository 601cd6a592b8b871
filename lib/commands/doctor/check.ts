/**
 * Defines a check of `alwaysup doctor`, and advice that several checks give.
 *
 * @module
 */

/** The result of one check. */
export interface CheckResult {
  /** The name of the check, e.g. `network`. */
  readonly name: string;
  /** `warn`: it needs attention. `skip`: the check could not be made. */
  readonly state: "ok" | "warn" | "fail" | "skip";
  /** The finding for users, in one or more lines. */
  readonly text: string;
  /** What the user should do about the finding. */
  readonly advice?: string;
  /** The finding for programs, which `--json` prints. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** The advice if nothing listens at the daemon's address. */
export const START_ADVICE =
  "start the daemon; in Docker, publish its port (-p 8079:8079)";
/** The advice if only the daemon can know the reason. */
export const READ_LOG_ADVICE = "look at the daemon's own log";
