/**
 * The timeouts of a request: from its provider, the user's settings, or the
 * daemon.
 *
 * @module
 */

import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import { getMember, type OutboundMessage } from "../protocol/jsonrpc.ts";

/** A timeout, and the setting it comes from. */
export interface Timeout {
  /** The name of the setting. */
  readonly setting: string;
  /** Milliseconds. */
  readonly ms: number;
}

/** The timeouts of one request. */
export interface Timeouts {
  /**
   * The time until the response, counted from the arrival of the request;
   * `undefined` for no limit.
   */
  readonly total: Timeout | undefined;
  /**
   * The time until the response or progress, counted from the daemon's last
   * activity on it.
   */
  readonly idle: Timeout;
}

/**
 * A model provider and the timeouts of its calls; `Infinity` for no timeout of
 * its own.
 */
export interface Provider {
  /** Its name, as in `<NAME>_STREAM_TIMEOUT`. */
  readonly name: string;
  /** The time for the whole call, in milliseconds. */
  readonly total: number;
  /** The time without progress, in milliseconds. */
  readonly idle: number;
}

/**
 * The settings that limit a request, in milliseconds; `Infinity` for no limit.
 */
export interface TimeoutConfig {
  /** For every response. */
  readonly requestTimeout: number;
  /** For every response, or progress on it. */
  readonly idleTimeout: number;
  /** The providers; their timeouts replace the above for their calls. */
  readonly providers: readonly Provider[];
}

/**
 * The providers that have other prefixes besides their name: how the names of
 * their models or tools begin.
 */
const PROVIDER_PREFIXES: Readonly<Record<string, RegExp>> = {
  GLM: /^(glm(?![a-z])|zhipu)/i, //     glm-4.6, glm_web_search, zhipuai
  KIMI: /^(kimi(?![a-z])|moonshot)/i, // kimi-k2, kimi_chat_with_tools, moonshot-v1-8k
};

const NO_TIMEOUT: Timeout = { setting: "--idle-timeout", ms: Infinity };

/**
 * Returns the timeouts of a request: the provider's, else the general ones. A
 * timeout that the daemon sets counts only if `total` is `undefined`.
 */
export function timeoutsOf(
  message: OutboundMessage,
  config: TimeoutConfig,
): Timeouts {
  const { requestTimeout, idleTimeout } = config;
  const providers = providersOf(message, config.providers);
  const totalProvider = providers.find(({ total }) => total < Infinity);
  const idleProvider = providers.find(({ idle }) => idle < Infinity);
  const total = totalProvider === undefined
    ? { setting: "--request-timeout", ms: requestTimeout }
    : {
      setting: `${totalProvider.name}_STREAM_TIMEOUT`,
      ms: totalProvider.total,
    };
  const idle = idleProvider === undefined
    ? { setting: "--idle-timeout", ms: idleTimeout }
    : {
      setting: `${idleProvider.name}_STREAM_IDLE_TIMEOUT`,
      ms: idleProvider.idle,
    };
  const { kind, method } = message;
  // A subscription gets no response before it ends.
  if (isSubscriptionMethod(method)) {
    return { total: undefined, idle: NO_TIMEOUT };
  }
  // A long-lived request is held while there is no daemon: an error would mean
  // that the daemon implements an older protocol version.
  const isLimited = kind === "request" && !isLongLived(method) &&
    total.ms < Infinity;
  return { total: isLimited ? total : undefined, idle };
}

/**
 * Returns the providers of a call: those whose prefix fits the `model`
 * argument, else those whose prefix fits the tool's name. The longest name
 * comes first (`GLM_AIR` before `GLM`).
 */
export function providersOf(
  { method, params }: OutboundMessage,
  providers: readonly Provider[],
): readonly Provider[] {
  if (method !== "tools/call") return [];
  const names = [
    getMember(params, "arguments", "model"),
    getMember(params, "name"),
  ];
  const longest = providers.toSorted((a, b) => b.name.length - a.name.length);
  for (const text of names) {
    if (typeof text !== "string") continue;
    const found = longest.filter(({ name }) =>
      prefixPatternOf(name).test(text)
    );
    if (found.length > 0) return found;
  }
  return [];
}

/**
 * The prefix of any other provider is its name, not followed by a letter; `_`
 * and `-` are equivalent.
 */
function prefixPatternOf(name: string): RegExp {
  const known = PROVIDER_PREFIXES[name];
  if (known !== undefined) return known;
  return new RegExp(`^${name.replaceAll("_", "[-_]")}(?![a-z])`, "i");
}
