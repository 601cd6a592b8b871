/**
 * One thing that `alwaysup doctor` has looked at.
 *
 * @module
 */

/** What became of one check. */
export interface Check {
  /** What was looked at. */
  readonly name: string;
  /** `warn` is worth a look, `skip` was not looked at. */
  readonly state: "ok" | "warn" | "fail" | "skip";
  /** What was found. */
  readonly text: string;
  /** What to do, where something is to be done. */
  readonly advice?: string;
  /** What was found, for programs (`--json`). */
  readonly data?: Readonly<Record<string, unknown>>;
}
