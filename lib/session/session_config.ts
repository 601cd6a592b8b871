/**
 * The settings of a session.
 *
 * @module
 */

import type { CachedResults } from "../cache/cache.ts";
import type { LinkSetConfig } from "../link/link_set.ts";
import type { RetryPolicy } from "../protocol/methods.ts";
import type { TrackerConfig } from "../requests/request_state.ts";
import type { TimeoutConfig } from "../requests/timeouts.ts";

/**
 * The settings of a session; durations in milliseconds, `Infinity` for no
 * limit.
 */
export interface SessionConfig
  extends LinkSetConfig, TrackerConfig, TimeoutConfig {
  /** The daemon's URL without secrets, for display. */
  readonly redactedUrl: string;
  /** What to remove from the daemon's text and from what is cached. */
  readonly secrets: readonly string[];
  /** The user names in URLs to remove from the daemon's text only. */
  readonly urlUsers: readonly string[];
  /** How long to run without a connection, in milliseconds. */
  readonly giveUpAfter: number;
  /** Which requests may be sent a second time. */
  readonly retry: RetryPolicy;
  /** The largest message in either direction, in UTF-16 units of its text. */
  readonly maxMessage: number;
  /** How long an `initialize` waits before it gets a placeholder. */
  readonly initializeGrace: number;
  /** The cached results of the daemon; `undefined` if caching is off. */
  readonly cachedResults: CachedResults | undefined;
  /** The version of alwaysup. */
  readonly version: string;
  /** The path of the daemon's health file, if there is one. */
  readonly healthFile: string | undefined;
}
