/**
 * The settings that a session needs.
 *
 * @module
 */

import type { CachedResults } from "../cache/cache.ts";
import type { LinkSetConfig } from "../link/link_set.ts";
import type { RetryPolicy } from "../protocol/methods.ts";
import type { TrackerConfig } from "../requests/request_state.ts";
import type { TimeoutConfig } from "../requests/timeouts.ts";

/**
 * The settings of a session. Durations are in milliseconds, and `Infinity`
 * means no limit.
 */
export interface SessionConfig
  extends LinkSetConfig, TrackerConfig, TimeoutConfig {
  /** The daemon's URL without its secrets, for messages and the log. */
  readonly redactedUrl: string;
  /** Secrets: redacted from the daemon's texts, and kept out of the cache. */
  readonly secrets: readonly string[];
  /** URL user names: redacted from the daemon's texts only. */
  readonly urlUsers: readonly string[];
  /** How long the proxy may be without a connection before it exits. */
  readonly giveUpAfter: number;
  /** Which requests may be sent a second time. */
  readonly retry: RetryPolicy;
  /** The largest message in either direction, in UTF-16 code units. */
  readonly maxMessage: number;
  /** How long a request waits for the daemon before it is answered locally. */
  readonly initializeGrace: number;
  /** The daemon's results from the cache; `undefined` if caching is off. */
  readonly cachedResults: CachedResults | undefined;
  /** The version of this program. */
  readonly version: string;
  /** The path of the daemon's health file, if one is configured. */
  readonly healthFile: string | undefined;
}
