/**
 * The timeouts of a request, from its model provider's settings or the general
 * settings.
 *
 * @module
 */

import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import { getMember, type OutboundMessage } from "../protocol/jsonrpc.ts";

/** A timeout with its source. */
export interface Timeout {
  /** The name of the setting, for error messages. */
  readonly setting: string;
  /** The length in milliseconds; `Infinity` for no timeout. */
  readonly ms: number;
}

/** The timeouts of one request. */
export interface Timeouts {
  /** From the arrival of the request to the response; `undefined` for none. */
  readonly total: Timeout | undefined;
  /** How long the daemon may show no sign that it works on the request. */
  readonly idle: Timeout;
}

/** A model provider with the timeouts of its calls; `Infinity` for none. */
export interface Provider {
  /** The name, as in `<NAME>_STREAM_TIMEOUT`. */
  readonly name: string;
  /** The total timeout in milliseconds. */
  readonly total: number;
  /** The idle timeout in milliseconds. */
  readonly idle: number;
}

/** The timeout settings, in milliseconds; `Infinity` for no timeout. */
export interface TimeoutConfig {
  /** The total timeout of each request. */
  readonly requestTimeout: number;
  /** The idle timeout of each request. */
  readonly idleTimeout: number;
  /** The providers, whose timeouts replace the general ones for their calls. */
  readonly providers: readonly Provider[];
}

/** Patterns for providers whose name is not the only prefix of their models. */
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
  // A subscription gets its response only when it ends.
  const idleMs = isSubscriptionMethod(method) ? Infinity : config.idleTimeout;
  let total = { setting: "--request-timeout", ms: config.requestTimeout };
  let idle = { setting: "--idle-timeout", ms: idleMs };
  const providers = providersOf(message, config.providers);
  const totalProvider = providers.find((it) => it.total < Infinity);
  const idleProvider = providers.find((it) => it.idle < Infinity);
  if (totalProvider !== undefined) {
    total = {
      setting: `${totalProvider.name}_STREAM_TIMEOUT`,
      ms: totalProvider.total,
    };
  }
  if (idleProvider !== undefined) {
    idle = {
      setting: `${idleProvider.name}_STREAM_IDLE_TIMEOUT`,
      ms: idleProvider.idle,
    };
  }
  // A long-lived request waits until there is a daemon. An error would end a
  // subscription, or suggest that the daemon has an older protocol version.
  const isLimited = kind === "request" && !isLongLived(method) &&
    total.ms < Infinity;
  return { total: isLimited ? total : undefined, idle };
}

/**
 * Returns the providers whose name is a prefix of the call's model, or else of
 * the tool's name. The longest name comes first (`GLM_AIR` before `GLM`).
 */
function providersOf(
  { method, params }: OutboundMessage,
  providers: readonly Provider[],
): readonly Provider[] {
  if (method !== "tools/call" || providers.length === 0) return [];
  const model = getMember(params, "arguments", "model");
  const longestFirst = providers.toSorted((a, b) =>
    b.name.length - a.name.length
  );
  for (const text of [model, getMember(params, "name")]) {
    if (typeof text !== "string") continue;
    const found = longestFirst.filter(({ name }) => prefixOf(name).test(text));
    if (found.length > 0) return found;
  }
  return [];
}

/** Returns the pattern for a name: `_` also matches `-`; no letter follows. */
function prefixOf(name: string): RegExp {
  return PROVIDER_PREFIXES[name] ??
    new RegExp(`^${name.replaceAll("_", "[-_]")}(?![a-z])`, "i");
}
