/**
 * How long a call may take: by its provider, by what the user allows, by what
 * the daemon allows.
 *
 * @module
 */

import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import {
  getNested,
  type Notification,
  type Request,
} from "../protocol/jsonrpc.ts";

/** A limit, and the setting that it comes from. */
export interface Timeout {
  /** The name of the setting. */
  readonly setting: string;
  /** Milliseconds. */
  readonly ms: number;
}

/** The limits of one request. */
export interface Timeouts {
  /** For the answer, counted from when the request came; `undefined` where nobody limits it. */
  readonly total: Timeout | undefined;
  /** For the answer or progress, counted from when the daemon was last heard of it. */
  readonly idle: Timeout;
}

/** A provider of models, and how long its calls may take; `Infinity` for no limit of its own. */
export interface Provider {
  /** Its name as in `<NAME>_STREAM_TIMEOUT`. */
  readonly name: string;
  /** Milliseconds altogether. */
  readonly total: number;
  /** Milliseconds without progress. */
  readonly idle: number;
}

/** The settings that limit a request, in milliseconds; `Infinity` for no limit. */
export interface TimeoutConfig {
  /** For every answer. */
  readonly requestTimeout: number;
  /** For every answer or progress on it. */
  readonly idleTimeout: number;
  /** What holds for calls that belong to a provider, instead of the above. */
  readonly providers: readonly Provider[];
}

/**
 * The providers that are known by more than their name: how a model's name, or
 * a tool's, begins.
 */
const PROVIDER_PREFIXES: Readonly<Record<string, RegExp>> = {
  GLM: /^(glm(?![a-z])|zhipu)/i, //     glm-4.6, glm_web_search, zhipuai
  KIMI: /^(kimi(?![a-z])|moonshot)/i, // kimi-k2, kimi_chat_with_tools, moonshot-v1-8k
};

const NO_TIMEOUT: Timeout = { setting: "--idle-timeout", ms: Infinity };

/**
 * The limits of a request, the first that applies: its provider's, then what
 * holds for every request. What the daemon itself allows counts only where
 * `total` is `undefined`.
 */
export function timeoutsOf(
  message: Request | Notification,
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
  // A subscription has no answer before it ends.
  if (isSubscriptionMethod(method)) {
    return { total: undefined, idle: NO_TIMEOUT };
  }
  // It is held without a daemon: an error would say that the daemon is of the older era.
  const isLimited = kind === "request" && !isLongLived(method) &&
    total.ms < Infinity;
  return { total: isLimited ? total : undefined, idle };
}

/**
 * The providers that a call belongs to: those whose names the model that it
 * names begins with, else those of the tool's name; the longest name first
 * (`GLM_AIR` before `GLM`).
 */
export function providersOf(
  { method, params }: Request | Notification,
  providers: readonly Provider[],
): readonly Provider[] {
  if (method !== "tools/call") return [];
  const names = [
    getNested(params, "arguments", "model"),
    getNested(params, "name"),
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

/** Any other provider's calls begin with its name and what is no letter; `_` and `-` are the same. */
function prefixPatternOf(name: string): RegExp {
  const known = PROVIDER_PREFIXES[name];
  if (known !== undefined) return known;
  return new RegExp(`^${name.replaceAll("_", "[-_]")}(?![a-z])`, "i");
}
