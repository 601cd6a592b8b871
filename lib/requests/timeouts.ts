/**
 * The timeouts of a request, from its provider or the user's settings.
 *
 * @module
 */

import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import { getMember, type OutboundMessage } from "../protocol/jsonrpc.ts";

/** A timeout, and the setting it comes from. */
export interface Timeout {
  /** The name of the setting. */
  readonly setting: string;
  /** Its length. */
  readonly ms: number;
}

/** The timeouts of one request. */
export interface Timeouts {
  /** From the arrival of the request to its response, if that is limited. */
  readonly total: Timeout | undefined;
  /** From the daemon's last activity on it to the response or progress. */
  readonly idle: Timeout;
}

/** A model provider and the timeouts of its calls; `Infinity` for none. */
export interface Provider {
  /** Its name, as in `<NAME>_STREAM_TIMEOUT`. */
  readonly name: string;
  /** The time for the whole call, in milliseconds. */
  readonly total: number;
  /** The time without progress, in milliseconds. */
  readonly idle: number;
}

/** The settings that limit a request, in milliseconds; `Infinity` for none. */
export interface TimeoutConfig {
  /** For every response. */
  readonly requestTimeout: number;
  /** For every response, or progress on it. */
  readonly idleTimeout: number;
  /** The providers; their timeouts replace the above for their calls. */
  readonly providers: readonly Provider[];
}

/** How the names of models or tools begin, if not with the provider's name. */
const PROVIDER_PREFIXES: Readonly<Record<string, RegExp>> = {
  GLM: /^(glm(?![a-z])|zhipu)/i, //     glm-4.6, glm_web_search, zhipuai
  KIMI: /^(kimi(?![a-z])|moonshot)/i, // kimi-k2, kimi_chat_with_tools, moonshot-v1-8k
};

/** Returns the timeouts of a request: the provider's, else the general ones. */
export function timeoutsOf(
  message: OutboundMessage,
  config: TimeoutConfig,
): Timeouts {
  const { kind, method } = message;
  // A subscription gets no response before it ends.
  const idleMs = isSubscriptionMethod(method) ? Infinity : config.idleTimeout;
  let total = { setting: "--request-timeout", ms: config.requestTimeout };
  let idle = { setting: "--idle-timeout", ms: idleMs };
  const providers = providersOf(message, config.providers);
  const totalOf = providers.find((it) => it.total < Infinity);
  const idleOf = providers.find((it) => it.idle < Infinity);
  if (totalOf !== undefined) {
    total = { setting: `${totalOf.name}_STREAM_TIMEOUT`, ms: totalOf.total };
  }
  if (idleOf !== undefined) {
    idle = { setting: `${idleOf.name}_STREAM_IDLE_TIMEOUT`, ms: idleOf.idle };
  }
  // A long-lived request is held while there is no daemon: an error would mean
  // that the daemon implements an older protocol version.
  const isLimited = kind === "request" && !isLongLived(method) &&
    total.ms < Infinity;
  return { total: isLimited ? total : undefined, idle };
}

/** The longest name comes first (`GLM_AIR` before `GLM`). */
function providersOf(
  { method, params }: OutboundMessage,
  providers: readonly Provider[],
): readonly Provider[] {
  if (method !== "tools/call" || providers.length === 0) return [];
  const model = getMember(params, "arguments", "model");
  const longest = providers.toSorted((a, b) => b.name.length - a.name.length);
  for (const text of [model, getMember(params, "name")]) {
    if (typeof text !== "string") continue;
    const found = longest.filter(({ name }) => prefixOf(name).test(text));
    if (found.length > 0) return found;
  }
  return [];
}

/** A name is not followed by a letter; `_` and `-` are equivalent in it. */
function prefixOf(name: string): RegExp {
  return PROVIDER_PREFIXES[name] ??
    new RegExp(`^${name.replaceAll("_", "[-_]")}(?![a-z])`, "i");
}
